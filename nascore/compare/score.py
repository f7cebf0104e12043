"""What a race is scored by: the truth of its incumbent, or how much of the exact front its own front covers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from nascore.errors import UsageError, nearest
from nascore.pareto import hypervolume, worst
from nascore.records import Objective, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nascore.contracts import Evaluator
    from nascore.history import TrialHistory
    from nascore.hooks import Benchmark
    from nascore.records import Measurement, Trial


class Lists(Protocol):
    """What the word ``rows`` of an evaluator means: it can list all that it knows."""

    def rows(self) -> Iterable[Measurement]:
        """A measurement for every architecture of the space, in any order."""


def objectives_of(benchmark: Benchmark, evaluator: Evaluator, names: Sequence[str]) -> tuple[Objective, ...]:
    """What the samplers see.

    Args:
        benchmark: its own objective counts where no name is given.
        evaluator: of the benchmark.
        names: of objectives, the first is the primary one.

    Raises:
        UsageError: the evaluator has no such objective, or one is named twice.
    """
    known = evaluator.objectives
    chosen = tuple(names) or (benchmark.objective or next(iter(known)),)
    for name in chosen:
        if name not in known:
            raise UsageError(f"The benchmark {benchmark.name!r} has no objective {name!r}; {nearest(name, known)}.")
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"An objective is named twice: {', '.join(chosen)}.")
    return tuple(Objective(name, known[name].direction) for name in chosen)


class Score:
    """The score of a race so far.

    One objective: the truth of the trial with the best seen value. Several: the trials that no other one
    dominates, by the values that the sampler saw, are taken at their true values; the score is the
    hypervolume of these, as a share of the one of the whole table.

    Attributes:
        objectives: what the samplers see.
        truths: for each objective the metric that is scored: the benchmark's ``score`` for its own
            objective, the others are what is seen.
        own: the objective is the benchmark's own, so that the numbers of others compare.
        reference: the reference point, a value an objective; empty with one objective.
        exact: hypervolume of the whole table; 0 with one objective.
    """

    def __init__(self, benchmark: Benchmark, evaluator: Evaluator, names: Sequence[str] = ()) -> None:
        """
        Args:
            benchmark: the record.
            evaluator: set up.
            names: see :func:`objectives_of`.

        Raises:
            UsageError: an unknown objective; several of them, and the evaluator cannot list its table, or all
                of the table is worse than the reference point.
        """
        self.objectives = objectives_of(benchmark, evaluator, names)
        scored = benchmark.objective or next(iter(evaluator.objectives))
        self.truths = tuple(
            benchmark.score if benchmark.score and o.name == scored else o.name for o in self.objectives
        )
        self.own = [o.name for o in self.objectives] == [scored]
        self.reference: tuple[float, ...] = ()
        self.exact = 0.0
        self._directions = [objective.direction for objective in self.objectives]
        if len(self.objectives) > 1:
            self._measure(benchmark, evaluator)

    def _measure(self, benchmark: Benchmark, evaluator: Evaluator) -> None:
        if "rows" not in evaluator.provides:
            raise UsageError(
                f"The benchmark {benchmark.name!r} takes one objective: its evaluator does not list its table, so "
                "the exact front is not known."
            )
        rows = cast("Lists", evaluator).rows()
        table = {self._values(row) for row in rows if row.status is Status.COMPLETE}
        given = benchmark.reference_point
        lowest = worst(table, self._directions)
        self.reference = tuple(given.get(o.name, low) for o, low in zip(self.objectives, lowest, strict=True))
        self.exact = hypervolume(table, self.reference, self._directions)
        if not self.exact > 0:
            raise UsageError(f"No row of {benchmark.name!r} is better than its reference point {self.reference}.")

    @property
    def name(self) -> str:
        """What the score is, in words."""
        return "hypervolume" if len(self.objectives) > 1 else self.truths[0]

    @property
    def described(self) -> str:
        """The name, and what has it."""
        return f"{self.name} of the {'front / of the exact one' if len(self.objectives) > 1 else 'incumbent'}"

    def of(self, history: TrialHistory, last: Trial, before: float) -> float:
        """The score after ``last`` was added to the history.

        Args:
            history: all trials of the race.
            last: the latest.
            before: the score without it, which stands where it changed nothing; NaN at the start.
        """
        if len(self.objectives) == 1:
            best = history.best
            return self._value(best, self.truths[0]) if best is last else before
        front = history.pareto_front
        if not any(trial is last for trial in front):
            return before if front else 0.0
        return hypervolume(map(self._values, front), self.reference, self._directions) / self.exact

    def _values(self, found: Trial | Measurement) -> tuple[float, ...]:
        return tuple(self._value(found, name) for name in self.truths)

    @staticmethod
    def _value(found: Trial | Measurement, name: str) -> float:
        return float(found.metrics[name] if name in found.metrics else found.objectives[name])
