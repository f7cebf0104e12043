"""Where a candidate comes from, as a few words for people; and read back, for pictures."""

from __future__ import annotations

import re
from typing import NamedTuple


class Birth(NamedTuple):
    """Generation and species (a number that it keeps while it lives) of a candidate."""

    generation: int
    species: int


_PATTERN = re.compile(r"generation (\d+), species (\d+)")


def describe(birth: Birth, how: str) -> str:
    """The origin of a candidate: ``generation 3, species 5: mutation of 71``."""
    return f"generation {birth.generation}, species {birth.species}: {how}"


def read(origin: str) -> Birth | None:
    """The inverse of :func:`describe`; None where the origin is another sampler's."""
    found = _PATTERN.match(origin)
    return Birth(int(found[1]), int(found[2])) if found else None
