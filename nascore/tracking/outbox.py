"""The files between driver and sender: the outbox, and how much of it has been sent."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Event = dict[str, Any]

READ_BYTES = 8 * 2**20
"""The sender reads at most about this much at once, in bytes."""
READ_EVENTS = 2_000
"""The sender reads at most this many events at once."""


def outbox_path(run_folder: Path) -> Path:
    """Where the events of a run wait."""
    return run_folder / "tracking" / "outbox.jsonl"


class Outbox:
    """The writing end: one line an event, one system call a line.

    A line that could not be written (a full disk) is kept in memory, and goes first the next time.
    """

    def __init__(self, path: Path) -> None:
        """Open the outbox, make it where there is none, and cut off a line that a kill has torn.

        Raises:
            OSError: the folder cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._size = _whole_lines(path)
        self._file.truncate(self._size)
        self._waiting: list[bytes] = []

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event.

        Raises:
            OSError: it could not be written now; it is kept.
        """
        self._waiting.append(json.dumps(event, separators=(",", ":"), default=_plain).encode() + b"\n")
        self._write()

    def _write(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = self._file.write(line)
            except OSError:
                self._file.truncate(self._size)
                raise
            if written != len(line):  # the last free bytes of the disk took a part of it
                self._file.truncate(self._size)
                raise OSError(f"only {written} of {len(line)} bytes fit")
            self._size += len(line)
            del self._waiting[0]

    def close(self) -> None:
        """Try once more to write what did not fit, and close the file.

        A trial that is lost here is not lost: a resumed search notes what its outbox has missed.
        """
        with contextlib.suppress(OSError):
            self._write()
        self._file.close()


def _plain(value: Any) -> Any:
    """What plugins give where plain numbers are asked for: numpy scalars, tensors of one element, paths."""
    return value.item() if hasattr(value, "item") else str(value)


def _whole_lines(path: Path) -> int:
    """Length in bytes of the part that ends with a line break."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            cut = file.read(end - start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            end = start
    return 0


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event | None, int]]:
    """The events from ``offset`` on (in bytes), each with the offset behind it.

    A torn last line is left for later. A line that is no event (a damaged disk) comes as None.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            yield (event if isinstance(event, dict) and "event" in event else None), offset


@dataclass
class Sent:
    """How far the sender got, kept in ``sent.json``.

    Attributes:
        uri, experiment: where it was sent; for another place everything is sent anew.
        offset: bytes of the outbox that have been sent.
        status: MLflow's status of the parent run, as last set; "" before it exists.
        ended: the last thing sent was the end of the search, so the status is final.
        table: trials go to the parent run alone from now on, see :mod:`nascore.tracking.target`.
        best: best value of the first objective so far, in the order of the outbox.
        refused: events that MLflow refused for good, and that were passed over.
        error: why nothing can be sent at the moment; "" while all is well.
    """

    uri: str = ""
    experiment: str = ""
    offset: int = 0
    status: str = ""
    ended: bool = True
    table: bool = False
    best: float | None = None
    refused: int = 0
    error: str = ""

    @classmethod
    def load(cls, run_folder: Path, uri: str = "", experiment: str = "") -> Sent:
        """Read it; a new one where there is none, it is damaged, or it speaks of another place.

        Args:
            run_folder: of the search.
            uri, experiment: the place that is asked for; "" takes whatever the file says.
        """
        try:
            found = cls(**json.loads((run_folder / "tracking" / "sent.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return cls(uri, experiment)
        if (uri and found.uri != uri) or (experiment and found.experiment != experiment):
            return cls(uri, experiment)
        return found

    def save(self, run_folder: Path) -> None:
        """Write it atomically.

        Raises:
            RunError: it cannot be written.
        """
        write_atomically(run_folder / "tracking" / "sent.json", json.dumps(asdict(self)).encode())


def pending(run_folder: Path, uri: str = "", experiment: str = "") -> int:
    """How many events of a run have not been sent yet.

    Args:
        run_folder: of the search.
        uri, experiment: to which place; "" means where it was sent last.
    """
    path = outbox_path(run_folder)
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        file.seek(Sent.load(run_folder, uri, experiment).offset)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))
