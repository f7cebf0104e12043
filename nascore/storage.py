"""Opening an Optuna storage: any of its kinds, and the journal mended after a kill."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from nascore.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

JOURNAL = "journal"
MEMORY = "memory"
_JOURNAL_BEGINS = b'{"op_code":'


def open_storage(url: str, folder: Path, mend: bool = True) -> optuna.storages.BaseStorage:
    """Open an Optuna storage.

    Args:
        url: ``journal`` (the file ``trials`` in ``folder``), ``journal:PATH``, ``memory``, or any
            URL of Optuna's relational storage (``sqlite:///x.db``, ``postgresql://...``).
        folder: the run folder.
        mend: repair what a killed writer left in a journal. Only for who holds the run's lock: a
            reader would cut off what the running search is writing.

    Raises:
        RunError: it cannot be opened.
    """
    import optuna

    if url == MEMORY:
        return optuna.storages.InMemoryStorage()
    kind, _, rest = url.partition(":")
    try:
        if kind == JOURNAL:
            return _open_journal(Path(rest) if rest else folder / "trials", mend, shared=bool(rest))
        if "://" in url and not url.startswith("sqlite"):
            # A connection that a restart of the server broke is noticed before it is used.
            server = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
            return optuna.storages.get_storage(server)
        return optuna.storages.get_storage(url)
    except RunError:
        raise
    except Exception as error:  # a driver can fail in any way
        raise RunError(
            f"Cannot open the storage {url!r}: {type(error).__name__}: {error}. "
            "Allowed: journal, journal:PATH, memory, sqlite:///FILE, postgresql://USER@HOST/NAME."
        ) from error


def anchored(url: str) -> str:
    """The storage with its file as an absolute path: a search may be resumed from another folder."""
    for prefix in (f"{JOURNAL}:", "sqlite:///"):
        file = url.removeprefix(prefix)
        if file and file != url and not file.startswith((":", "file:")):  # :memory:, and SQLite's own URIs
            return f"{prefix}{Path(file).absolute()}"
    return url


def _open_journal(path: Path, mend: bool, shared: bool) -> optuna.storages.BaseStorage:
    """Optuna's journal, mended after a kill.

    Args:
        path: the file.
        mend: see :func:`open_storage`.
        shared: it lies outside the run folder, so other processes may write in it now.
    """
    import optuna.storages.journal

    backend = optuna.storages.journal.JournalFileBackend(str(path))
    with readable(path):
        if mend and shared:
            lock = optuna.storages.journal.JournalFileSymlinkLock(str(path))
            lock.acquire()
            try:
                _refuse_other_files(path)
                _drop_torn_line(path)
            finally:
                lock.release()
        elif mend:  # the run folder is locked by us: who held the lock of the journal is dead
            path.with_name(path.name + ".lock").unlink(missing_ok=True)
            _drop_torn_line(path)
        return optuna.storages.JournalStorage(backend)


def _refuse_other_files(path: Path) -> None:
    """Mending cuts what is behind the last whole line: a file that somebody named by mistake keeps it.

    Raises:
        ValueError: the file does not begin as a journal does.
    """
    with path.open("rb") as file:
        if not _JOURNAL_BEGINS.startswith(file.read(len(_JOURNAL_BEGINS))):
            raise ValueError("it is no journal of Optuna's")


def _drop_torn_line(path: Path) -> None:
    """Cut a half-written last line, which a killed process leaves.

    Without this, the next line would be glued to the torn one and the file would be lost.

    Raises:
        ValueError: the last whole line is no JSON. Optuna passes over it until more is written behind it.
    """
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            at = file.read(keep - start).rfind(b"\n")
            if at >= 0:
                keep = start + at + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)
        last = _last_line(file, keep)
    if last:
        json.loads(last)


def _last_line(file: BinaryIO, end: int) -> bytes:
    """The last whole line of the file, which ends at ``end``."""
    tail, start = b"", end
    while start > 0 and b"\n" not in tail[:-1]:
        start = max(0, start - 65536)
        file.seek(start)
        tail = file.read(end - start)
    return tail[:-1].rpartition(b"\n")[2]


def is_server(storage: Any) -> bool:
    """Is this a database server, which may be restarted? SQLite is a file."""
    engine = getattr(getattr(storage, "_backend", None), "engine", None)
    return engine is not None and engine.dialect.name != "sqlite"


def where_is(storage: Any) -> Any:
    """The file of a journal, or words for another storage; for messages."""
    return getattr(getattr(storage, "_backend", None), "_file_path", "The storage")


@contextlib.contextmanager
def readable(where: Any) -> Iterator[None]:
    """Reading inside turns what a damaged storage raises into a RunError that names ``where``."""
    import optuna

    # LookupError and AttributeError: Optuna reads its records without checking them.
    wrong = (ValueError, LookupError, AssertionError, TypeError, AttributeError, RecursionError)
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise RunError(f"The storage cannot be read: {error}.") from error
    except (*wrong, optuna.exceptions.DuplicatedStudyError) as error:
        raise RunError(
            f"{where} is damaged ({type(error).__name__}: {error}). Copy it away, cut it after the last line "
            "that is whole JSON, and resume: what stands before is used."
        ) from error
