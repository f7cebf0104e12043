"""A run folder: everything of one search, self-contained and movable.

::

    search.toml    the fully resolved settings
    run.json       what was known at the start: study, space, objectives, task, versions of the plugins
    trials         the storage file (Optuna's journal)
    state/         checkpoints, and status.json
    artifacts/     a folder a trial, for the trials whose artifacts are kept
    best/          the answer: architecture, weights, Python file
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import Checkpoints, write_atomically
from nascore.errors import RunError, SettingsError
from nascore.settings import SearchSettings, merge, read_toml, to_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class RunFolder:
    """One run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "state")

    @classmethod
    def create(cls, path: Path, settings: SearchSettings, facts: Mapping[str, Any]) -> RunFolder:
        """Make a new run folder.

        Args:
            path: where; empty, or not there yet.
            settings: the resolved settings.
            facts: what else is known from the start, see :meth:`facts`.

        Raises:
            RunError: it holds a run already, or cannot be written.
        """
        if (path / "search.toml").exists():
            raise RunError(f"{path} holds a run already: `nascore resume {path}` goes on with it, --out names another.")
        try:
            (path / "state").mkdir(parents=True, exist_ok=True)
            (path / "artifacts").mkdir(exist_ok=True)
        except OSError as error:
            why = error.strerror or str(error)
            raise RunError(f"Cannot make the run folder {path}: {why}. --out names another.") from error
        run = cls(path)
        run.write_facts(facts)
        run.write_settings(settings)  # last: it is what makes a folder a run
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run folder that exists.

        Raises:
            RunError: it is none, or something in it is not its own.
        """
        if not (path / "search.toml").is_file():
            runs = [str(folder) for folder, _ in list_runs(path) or list_runs(path.parent)]
            also = f" Runs there: {', '.join(runs[-10:])}." if runs else ""
            raise RunError(f"{path} is no run folder: it has no search.toml.{also}")
        _check_its_own(path)
        return cls(path)

    def settings(self) -> SearchSettings:
        """The settings in ``search.toml``, checked.

        Raises:
            RunError: it is damaged.
        """
        try:
            return merge([read_toml(self.path / "search.toml")])
        except SettingsError as error:
            raise RunError(f"{self.path / 'search.toml'} is damaged: {error}") from error

    def write_settings(self, settings: SearchSettings) -> None:
        """Replace ``search.toml``."""
        write_atomically(self.path / "search.toml", to_toml(settings).encode())

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace ``run.json``."""
        write_atomically(self.path / "run.json", json.dumps(dict(facts), indent=2).encode())

    def facts(self) -> dict[str, Any]:
        """What was known when the search began: study, space, objectives, task.

        Raises:
            RunError: ``run.json`` is missing or damaged.
        """
        try:
            found = json.loads((self.path / "run.json").read_text())
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise RunError(
                f"{self.path / 'run.json'} is missing or damaged: {why}. It is written once, when a search begins: "
                "bring it back from a copy of the run folder."
            ) from error
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: two drivers in one folder would spoil each other's trials.

        Raises:
            RunError: another process holds it.
        """
        path = self.path / "state" / "lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"Cannot write in {path.parent}: {error.strerror or error}.") from error
        try:
            try:
                _lock(handle)
            except OSError:
                raise RunError(f"Another process is working in {self.path}; wait for it, or end it.") from None
            yield
        finally:
            os.close(handle)  # the kernel gives the lock back, even when we are killed

    # ------------------------------------------------------------------ artifacts

    def artifacts(self, number: int) -> Path:
        """The folder for artifacts of a trial; it may not exist."""
        return self.path / "artifacts" / f"{number:06d}"

    def artifact(self, number: int, file: str) -> Path:
        """The path of one artifact of a trial; it may not exist.

        Raises:
            RunError: the name leads out of the trial's folder.
        """
        folder = self.artifacts(number)
        if not (folder / file).resolve().is_relative_to(folder.resolve()):
            raise RunError(f"Trial {number} names the artifact {file!r}, which is not in its folder {folder}.")
        return folder / file

    def keep_artifacts(self, numbers: set[int]) -> set[int]:
        """Delete the artifacts of all trials but these; returns which of them have any."""
        kept = set()
        for folder in (self.path / "artifacts").glob("*"):
            if not re.fullmatch(r"\d{6,}", folder.name):
                continue
            if int(folder.name) in numbers:
                kept.add(int(folder.name))
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return kept

    # ------------------------------------------------------------------ status

    def status(self) -> dict[str, Any]:
        """How far it is.

        Returns:
            ``state`` (running, finished, interrupted, failed), ``wall_seconds``, ``reason``, and
            ``best``: the number of the trial that answers the search, None before its end.
        """
        try:
            found = json.loads((self.path / "state" / "status.json").read_text())
        except (OSError, ValueError, RecursionError):
            found = {}
        status: dict[str, Any] = {"state": "running", "wall_seconds": 0.0, "reason": "", "best": None}
        allowed: dict[str, tuple[type, ...]] = {
            "state": (str,), "wall_seconds": (float, int), "reason": (str,), "best": (int,),
        }  # fmt: skip
        known = found.items() if isinstance(found, dict) else ()
        status |= {name: value for name, value in known if type(value) in allowed.get(name, ())}
        if not status["state"].isprintable():
            status["state"] = "running"
        if not 0 <= status["wall_seconds"] < math.inf:
            status["wall_seconds"] = 0.0
        return status

    def write_status(self, **values: Any) -> None:
        """Change some values of the status."""
        write_atomically(self.path / "state" / "status.json", json.dumps(self.status() | values).encode())


_LOCK_OF_JOURNAL = "trials.lock"
"""A link that Optuna makes and never follows; a killed search leaves it."""


def _check_its_own(path: Path) -> None:
    """Refuse a link that leads out of the run folder, and what is neither a file nor a folder (a pipe, a device).

    A run folder may come from a stranger: nothing else is read through it, and nothing else written.

    Raises:
        RunError: names it.
    """
    root, waiting = os.path.realpath(path), [str(path)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                inside = list(entries)
        except OSError as error:
            raise RunError(f"Cannot read {error.filename}: {error.strerror or error}.") from error
        for entry in inside:
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if entry.name != _LOCK_OF_JOURNAL and not target.startswith(root + os.sep):
                    raise RunError(
                        f"{entry.path} is a link that leads out of the run folder, to {target}. Everything of a run "
                        "lies in its folder: if you trust it, put there what the link leads to."
                    )
            elif entry.is_dir():
                waiting.append(entry.path)
            elif not entry.is_file():
                raise RunError(f"{entry.path} is neither a file nor a folder; nothing else belongs in a run folder.")


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore] # there on Windows only
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def new_run_path(base: Path, plugin: str) -> Path:
    """``base/<time>-<plugin>``, with a number behind it where that is taken."""
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', plugin) or 'search'}"
    path, count = base / stem, 2
    while path.exists():
        path, count = base / f"{stem}-{count}", count + 1
    return path


def list_runs(base: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The run folders in ``base``, oldest first, with their status; ``damaged`` is the state of one that is refused."""
    if not base.is_dir():
        return []
    found = sorted(path.parent for path in base.glob("*/search.toml") if path.is_file())
    return [(path, _status(path)) for path in found]


def _status(path: Path) -> dict[str, Any]:
    try:
        return RunFolder.open(path).status()
    except RunError as error:
        return {"state": "damaged", "wall_seconds": 0.0, "reason": str(error), "best": None}
