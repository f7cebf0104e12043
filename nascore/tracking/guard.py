"""When the sender must end, and that there is one only."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from nascore.tracking.outbox import Sent, pending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.25
"""How often the outbox, or the lock, is looked at."""
DYING_SECONDS = 3.0
"""So long may the lock of a killed process outlive it on a busy machine."""


class Driver:
    """The process that runs the search, as seen from here."""

    def __init__(self, pid: int | None) -> None:
        """
        Args:
            pid: of our parent while it lives. A process that it forked may hold its end of our
                standard input open for longer than it lives.
        """
        self._pid = pid if os.name == "posix" else None
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while sys.stdin is not None and sys.stdin.buffer.read(1):
            pass
        self._closed.set()

    @property
    def over(self) -> bool:
        """Does nothing more come from it?"""
        return self._closed.is_set() or (self._pid is not None and os.getppid() != self._pid)

    def sleep(self, seconds: float) -> None:
        """Sleep; wake up early when it is over."""
        if self.over:
            time.sleep(seconds)
        else:
            self._closed.wait(seconds)


@contextlib.contextmanager
def only_one(run_folder: Path, driver: Driver) -> Iterator[bool]:
    """Hold the outbox; two senders would make each run twice.

    Yields:
        Whether we hold it: False when another one has sent everything, or cannot, while we waited.
    """
    patient = time.monotonic() + DYING_SECONDS
    with (run_folder / "tracking" / "sender.lock").open("ab") as file:
        while not _lock(file.fileno()):
            state = Sent.load(run_folder)
            done = state.ended or time.monotonic() > patient
            if driver.over and (state.error or (done and pending(run_folder) == 0)):
                yield False
                return
            driver.sleep(POLL_SECONDS)
        yield True


def _lock(handle: int) -> bool:
    """Take the lock, which the kernel gives back when we end, however we end; False if it is taken."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
