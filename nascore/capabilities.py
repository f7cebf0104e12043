"""Do these parts fit together? Asked before any compute; the answer names what would fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nascore.errors import CapabilityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Chosen:
    """One chosen part: a class or an instance with ``requires`` and ``provides``."""

    kind: str
    address: str
    part: Any


@dataclass(frozen=True)
class Mismatch:
    """A word that one part requires and no other one provides."""

    chosen: Chosen
    word: str

    def __str__(self) -> str:
        return f"the {self.chosen.kind} {self.chosen.address!r} requires {self.word!r}, which no other part provides"


def mismatches(chosen: Iterable[Chosen]) -> list[Mismatch]:
    """All words that a part requires and none of the others provides, sorted."""
    chosen = list(chosen)
    return [
        Mismatch(one, word)
        for one in chosen
        for word in sorted(one.part.requires)
        if not any(word in other.part.provides for other in chosen if other is not one)
    ]


def check(chosen: Iterable[Chosen], providers: Callable[[str], list[str]]) -> None:
    """Refuse parts that do not fit.

    Args:
        chosen: the parts of one search.
        providers: word -> what provides it among the installed parts, such as
            ``search space blocks:nasnet``.

    Raises:
        CapabilityError: names each mismatch, and what would fit.
    """
    problems = []
    for mismatch in mismatches(chosen):
        fitting = providers(mismatch.word)
        would = f"; these do: {', '.join(fitting)}" if fitting else "; nothing installed does"
        problems.append(f"{mismatch}{would}")
    if problems:
        text = ". ".join(problems)
        raise CapabilityError(f"These parts do not fit: {text}. `nascore plugins matrix` shows what fits.")
