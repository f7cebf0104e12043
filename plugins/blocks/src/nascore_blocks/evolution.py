"""What the evolutionary methods share: a member of a population, and the winner of a tournament. No torch."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from nascore.history import dominates, eligible
from nascore.records import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Architecture, Objective, Trial


class Individual(NamedTuple):
    """A member of a population: its trial's number (a smaller one is older), genes and objective values."""

    number: int
    architecture: Architecture
    values: tuple[float, ...]


def individual(trial: Trial, objectives: Sequence[Objective]) -> Individual | None:
    """The member that a trial becomes; None where it failed, was pruned or breaks a constraint, or a value is NaN."""
    if not eligible(trial):
        return None
    values = tuple([trial.value(objective.name) for objective in objectives])
    # A NaN compares with nothing, so it would win or lose by its place in the draw.
    return None if any(map(math.isnan, values)) else Individual(trial.number, trial.architecture, values)


def winner(members: Sequence[Individual], directions: Sequence[Direction]) -> Individual:
    """The best of a tournament; of equals, and of several that none dominates, the one drawn first.

    Args:
        members: in the order of the draw, which is random: so each of the front is as likely.
        directions: of the objectives.
    """
    if len(directions) == 1:
        best = max if directions[0] is Direction.MAXIMIZE else min
        return best(members, key=attrgetter("values"))
    front: list[Individual] = []
    for member in members:
        if not any(dominates(other.values, member.values, directions) for other in front):
            front = [other for other in front if not dominates(member.values, other.values, directions)]
            front.append(member)
    return front[0]
