"""Ctrl-C and SIGTERM while a search runs: the first ends it in order, the second at once; both can be resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

INTERRUPTED = 130
"""Exit status of what was interrupted and can be resumed."""


@contextlib.contextmanager
def interruptible(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM raises KeyboardInterrupt and the second ends the process.

    At once means as a kill does: no file is half written for longer than the next resume, and worker
    processes end by themselves when the driver is gone.

    Args:
        how_to_go_on: the sentence that is said at the second signal.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    pressed = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            _end(how_to_go_on())
        pressed = True
        raise KeyboardInterrupt

    kinds = (signal.SIGINT, signal.SIGTERM)
    # A search in the background (`nascore search ... &`) is deaf to Ctrl-C, which is for others.
    heard = [kind for kind in kinds if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, stop) for kind in heard}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _end(text: str) -> None:
    """Leave without any cleaning up; a live display may have hidden the cursor."""
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}\n{text}\n".encode())  # the buffer of sys.stderr may be in use just now
    os._exit(INTERRUPTED)
