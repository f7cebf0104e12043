"""The trials told so far, with the best one and the Pareto front kept up to date."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nascore.contracts import History
from nascore.records import Direction, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore.records import Objective, Trial


def eligible(trial: Trial) -> bool:
    """May this trial be an answer: complete, at full fidelity, no constraint broken?"""
    return (
        trial.status is Status.COMPLETE
        and not trial.candidate.fidelity
        and all(violation <= 0 for violation in trial.violations.values())
    )


def dominates(first: Sequence[float], second: Sequence[float], directions: Sequence[Direction]) -> bool:
    """Is ``first`` no worse in every objective and better in one (Pareto dominance)?"""
    better = False
    for a, b, direction in zip(first, second, directions, strict=True):
        if direction.better(b, a):
            return False
        better = better or direction.better(a, b)
    return better


class TrialHistory(History):
    """The told trials in the order of telling.

    Adding costs the same at any length with one objective, and grows with the front with several.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self._directions = [objective.direction for objective in self.objectives]
        self._names = [objective.name for objective in self.objectives]
        self._trials: list[Trial] = []
        self._by_number: dict[int, Trial] = {}
        self._best: Trial | None = None
        self._best_values: tuple[float, ...] = ()
        self._front: dict[int, tuple[float, ...]] = {}

    def add(self, trial: Trial) -> None:
        """Append a trial that has just been told."""
        self._trials.append(trial)
        self._by_number[trial.number] = trial
        if not eligible(trial):
            return
        values = self.values(trial)
        if any(map(math.isnan, values)):
            return
        if self._best is None or self._leads(values, self._best_values):
            self._best, self._best_values = trial, values
        if len(values) == 1:
            return
        if not any(dominates(other, values, self._directions) for other in self._front.values()):
            beaten = [n for n, other in self._front.items() if dominates(values, other, self._directions)]
            for number in beaten:
                del self._front[number]
            self._front[trial.number] = values

    def _leads(self, values: tuple[float, ...], best: tuple[float, ...]) -> bool:
        """Better in the first objective; where that ties, better in the others with none worse."""
        if values[0] != best[0]:
            return self._directions[0].better(values[0], best[0])
        return dominates(values, best, self._directions)

    def values(self, trial: Trial) -> tuple[float, ...]:
        """The trial's objective values in the order of the objectives; NaN where it has none."""
        return tuple(map(trial.value, self._names))

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._by_number[number]

    def __contains__(self, number: object) -> bool:
        return number in self._by_number

    @property
    def best(self) -> Trial | None:
        """See :attr:`nascore.contracts.History.best`."""
        return self._best

    @property
    def pareto_front(self) -> tuple[Trial, ...]:
        """See :attr:`nascore.contracts.History.pareto_front`; with one objective, the best alone."""
        if len(self.objectives) == 1:
            return (self._best,) if self._best is not None else ()
        return tuple(self._by_number[number] for number in sorted(self._front))

    def counts(self) -> dict[str, int]:
        """How many trials ended in each status."""
        out = {status.value: 0 for status in Status}
        for trial in self._trials:
            out[trial.status.value] += 1
        return out
