"""What the commands share: options, signals, JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nascore.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit status of what was interrupted and can be resumed."""


class Commands(click.Group):
    """A group that keeps the order of its commands, and names the nearest when one is misspelt."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; an unknown name gets a helpful message."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"There is no command {args[0]!r}; {nearest(args[0], self.commands)}.")
        return super().resolve_command(ctx, args)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, nothing else.")(command)


def example(*lines: str) -> str:
    """Command lines for the end of a help text, which click is not to wrap."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def run_argument(command: Command) -> Command:
    """Add the argument RUN, a run folder; an absolute path, so that ``.`` has a name too."""
    kind = click.Path(path_type=Path, resolve_path=True)
    return click.argument("run", type=kind)(command)


def say(text: str = "") -> None:
    """Write a line for people on standard error."""
    click.echo(text, err=True, color=color())


def tell(text: str) -> None:
    """Write a line that quotes a run folder on standard output; what it quotes may be a stranger's."""
    from nascore.display import printable

    click.echo(printable(text))


def color() -> bool | None:
    """False where NO_COLOR is set; else click decides by the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def print_json(value: Any) -> None:
    """Print one JSON value on standard output. NaN and infinities, which JSON has not, become null."""
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def type_this(*words: object) -> str:
    """A command line that can be pasted."""
    return shlex.join(["nascore", *map(str, words)])


def shown(path: Path) -> str:
    """A path from here on, where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextlib.contextmanager
def terminate_like_interrupt() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C does: the search stops in order and can be resumed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show_warnings() -> None:
    """Let the core's warnings appear on standard error as ``warning: ...``."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"{record.levelname.lower()}: {record.getMessage()}")

    logger = logging.getLogger("nascore")
    for handler in list(logger.handlers):
        if type(handler).__name__ == Lines.__name__:
            logger.removeHandler(handler)
    logger.addHandler(Lines())
    logger.propagate = False
