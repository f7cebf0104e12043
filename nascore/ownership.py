"""Whose word a run folder is: nothing of a stranger's is imported, and no storage of a stranger's choice is opened.

``search.toml`` may name a user's own code (``my_space.py:my_space``), which going on with the search, exporting or
reporting imports, and a storage outside the run folder. So what it names is sealed, when the search begins, with a key
that lies with the user and not in the run folder. Where the seal is missing or another one, the folder came from
somebody else, or from another machine: ``nascore trust RUN`` shows what it names, and seals it.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from nascore.checkpoint import write_atomically
from nascore.errors import RunError
from nascore.storage import JOURNAL, MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nascore.parts import Workshop
    from nascore.run import RunFolder
    from nascore.settings import SearchSettings


def named(settings: SearchSettings, workshop: Workshop) -> list[str]:
    """What the settings of a run name beside plugins and its own folder: code of a user's own, and a storage."""
    elsewhere = settings.storage not in (JOURNAL, MEMORY)
    return [*workshop.own_code(settings), *([settings.storage] if elsewhere else [])]


def seal(run: RunFolder, names: Iterable[str]) -> None:
    """Vouch for what a run names, as the user who works here.

    Raises:
        RunError: the key, or the seal in the run folder, cannot be written.
    """
    found = {name: _digest(name) for name in names}
    if found:
        write_atomically(_path(run), json.dumps(_sealed(run) | found).encode())


def check(run: RunFolder, name: str) -> None:
    """Accept only what is sealed with this user's key.

    Raises:
        RunError: it is not; says what to type.
    """
    if not hmac.compare_digest(_sealed(run).get(name, ""), _digest(name)):
        raise RunError(
            f"{run.path} names {name}, which is no part of it, and it was not begun by you on this machine. If you "
            f"trust whoever gave it to you, look at it: nascore trust {run.path}"
        )


def _path(run: RunFolder) -> Path:
    return run.path / "state" / "own.json"


def _sealed(run: RunFolder) -> dict[str, str]:
    try:
        found = json.loads(_path(run).read_bytes())
        return {str(name): str(value).encode("ascii", "replace").decode() for name, value in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}  # there is none, or it is damaged: nothing is sealed


def _digest(name: str) -> str:
    return hmac.new(_key(), name.encode(errors="replace"), "sha256").hexdigest()


def _key() -> bytes:
    """The user's key, made when it is first wanted."""
    path = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "nascore" / "key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"key-{secrets.token_hex(8)}")
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):  # another search was first
                os.link(fresh, path)
            fresh.unlink()
        return path.read_bytes()
    except OSError as error:
        raise RunError(
            f"Cannot keep your key in {path}: {error.strerror or error}. It says that a run is yours, where it names "
            "code or a storage of your own: set XDG_DATA_HOME to a folder that can be written."
        ) from error
