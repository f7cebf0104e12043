"""How numbers, durations and tables are written for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nascore.records import Trial

_TRACEBACK = "Traceback (most recent call last):"
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def headline(reason: str) -> str:
    r"""The one line that says most: of a traceback the line of its error, else the first one.

    Example:
        >>> headline("Traceback (most recent call last):\n  File ...\nValueError: too wide\nby 3")
        'ValueError: too wide'
    """
    lines = [line for line in reason.splitlines() if line.strip()]
    frames = [index for index, line in enumerate(lines) if line.strip() == _TRACEBACK]
    of_error = [line for line in lines[frames[-1] + 1 :] if not line.startswith(" ")] if frames else lines
    return (of_error or lines or [""])[0].strip()


def printable(text: str) -> str:
    r"""Text that a terminal shows and does not obey: control characters and halves of characters as escapes.

    Example:
        >>> printable("red \x1b[31m\n")
        'red \\x1b[31m\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def number(value: float) -> str:
    """A number with four significant digits; thousands and more with a suffix (powers of 1000).

    Example:
        >>> number(0.98331), number(12), number(12345), number(3349342)
        ('0.9833', '12', '12.35k', '3.349M')
    """
    if not math.isfinite(value):
        return str(value)
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds; tenths below ten seconds.

    Example:
        >>> duration(2.34), duration(65), duration(7384), duration(200000)
        ('2.3 s', '1:05', '2:03:04', '2 d 7:33:20')
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def values(metrics: Mapping[str, float]) -> str:
    """Names with their numbers: ``accuracy 0.9833  loss 0.071``."""
    return "  ".join(f"{name} {number(value)}" for name, value in metrics.items())


def trial_values(trial: Trial) -> str:
    """Objectives and costs of a trial, each name once."""
    return values({**trial.objectives, **{name: cost.value for name, cost in trial.costs.items()}})


def counted(counts: Mapping[str, int]) -> str:
    """``47 complete, 2 infeasible``: what there is none of is left out."""
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"


def columns(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Rows of text in aligned columns, two spaces apart; the last column is not padded."""
    rows = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=0))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows)
    return "\n".join(" " * indent + line for line in lines)
