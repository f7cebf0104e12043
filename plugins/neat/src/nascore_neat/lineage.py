"""Where a candidate comes from, as a few words for people; and read back, for pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Birth(NamedTuple):
    """Generation and species (a number that it keeps while it lives) of a candidate."""

    generation: int
    species: int


_BIRTH = re.compile(r"generation (\d+), species (\d+)")
_SIZES = re.compile(r"best of generations \d+ to (\d+), species sizes then: ([\d: ]+)$")


def describe(birth: Birth, how: str) -> str:
    """The origin of a candidate: ``generation 3, species 5: mutation of 71``."""
    return f"generation {birth.generation}, species {birth.species}: {how}"


def read(origin: str) -> Birth | None:
    """The inverse of :func:`describe`; None where the origin is another sampler's."""
    found = _BIRTH.match(origin)
    return Birth(int(found[1]), int(found[2])) if found else None


def describe_sizes(first: int, last: int, sizes: Mapping[int, int]) -> str:
    """How a trial came about that stands for generations.

    In words: ``best of generations 31 to 40, species sizes then: 5:80 9:70``.

    Args:
        first, last: of these generations.
        sizes: species of the last one -> members.
    """
    members = " ".join(f"{species}:{size}" for species, size in sizes.items())
    return f"best of generations {first} to {last}, species sizes then: {members}"


def read_sizes(origin: str) -> tuple[int, dict[int, int]] | None:
    """The inverse of :func:`describe_sizes`: the last generation and its sizes; None of another origin."""
    found = _SIZES.search(origin)
    if found is None:
        return None
    pairs = (pair.split(":") for pair in found[2].split())
    return int(found[1]), {int(species): int(size) for species, size in pairs}
