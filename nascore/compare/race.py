"""One sampler on one benchmark with one seed: the trial loop without storage, tracking or files.

Candidates, seeds and values are those of :class:`nascore.loop.TrialLoop` with the serial executor: a
comparison and a search of the same seed see the same trials.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nascore.compare.score import Score
from nascore.contracts import Context, View
from nascore.errors import UsageError
from nascore.history import TrialHistory
from nascore.parts import Workshop
from nascore.records import Trial
from nascore.seeding import derive_seed, isolated_random

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nascore.contracts import Evaluator, SearchSpace, Splits
    from nascore.hooks import Benchmark


@dataclass(frozen=True)
class Curve:
    """What one race gave.

    Attributes:
        scores: after 1, 2, ... evaluations.
        seconds: simulated seconds until then, by the benchmark; empty where it has none.
    """

    scores: tuple[float, ...]
    seconds: tuple[float, ...] = ()

    def at(self, evaluations: int) -> float:
        """The score after so many evaluations; the last one where the sampler had nothing more to propose."""
        return self.scores[min(evaluations, len(self.scores)) - 1]


class Course:
    """A benchmark made ready in this process: its space and evaluator serve race after race."""

    def __init__(
        self, benchmark: Benchmark, options: Mapping[str, Any] | None = None, objectives: Sequence[str] = ()
    ) -> None:
        """
        Args:
            benchmark: the record.
            options: settings over its own, by table: ``{"evaluator": {"noise": False}}``.
            objectives: what samplers see; none: the benchmark's own.

        Raises:
            UsageError: an unknown objective, its parts do not fit, or a package that it reads is missing.
        """
        self.benchmark = benchmark
        self.workshop = Workshop()
        tables = {table: dict(benchmark.settings.get(table, {})) for table in ("space", "evaluator", "data")}
        for table, given in (options or {}).items():
            if table not in tables:
                raise UsageError(f"{table} is no part of a benchmark; allowed: {', '.join(tables)}.")
            tables[table] |= given
        self.space: SearchSpace = self.workshop.part("space", {"use": benchmark.space, **tables["space"]})
        self.evaluator: Evaluator = self.workshop.part("evaluator", {"use": benchmark.evaluator, **tables["evaluator"]})
        self.data: Splits = self.workshop.part("data", {"use": benchmark.data, **tables["data"]}).load(0)
        self.space.setup(self.data.task)
        self.evaluator.setup(self.space, self.data.for_search())
        self._looks_up = "table" in self.evaluator.provides
        self.score = Score(benchmark, self.evaluator, objectives)

    def race(self, sampler: Mapping[str, Any], seed: int, evaluations: int, seconds: float | None = None) -> Curve:
        """Let one sampler search.

        Args:
            sampler: its settings: ``{"use": "amoebanet:amoebanet", "population_size": 50}``.
            seed: of the search.
            evaluations: at most.
            seconds: simulated, at most.

        Returns:
            The curve of its scores, see :class:`nascore.compare.score.Score`.

        Raises:
            UsageError: an unknown sampler or option.
        """
        made = self.workshop.part("sampler", sampler)
        made.setup(self.space, self.score.objectives, seed)
        history = TrialHistory(self.score.objectives)
        scores: list[float] = []
        times: list[float] = []
        for number in range(evaluations):
            rng = random.Random(derive_seed(seed, "ask", number))
            candidate = made.ask(View(number, rng, history, evaluations))
            if candidate is None:
                break
            trial = self._judge(number, candidate, derive_seed(seed, "trial", number))
            history.add(trial)
            made.tell(trial)
            scores.append(self.score.of(history, trial, scores[-1] if scores else math.nan))
            if self.benchmark.seconds:
                times.append((times[-1] if times else 0.0) + trial.metrics[self.benchmark.seconds])
                if seconds is not None and times[-1] >= seconds:
                    break
        return Curve(tuple(scores), tuple(times))

    def _judge(self, number: int, candidate: Any, seed: int) -> Trial:
        """A trial of a candidate. What a table says needs no random numbers but its own seed."""
        context = _Bare(number, seed, self.data)
        if self._looks_up:
            found = self.evaluator.evaluate(candidate, context)
        else:
            with isolated_random(seed):
                found = self.evaluator.evaluate(candidate, context)
        metrics = {**candidate.metrics, **found.metrics} if candidate.metrics else found.metrics
        told = found.objectives, found.costs, metrics
        return Trial(number, candidate, found.status, *told, reason=found.reason, seed=seed)


class _Bare(Context):
    """The context of an evaluation that writes no files."""

    device = "cpu"

    def __init__(self, number: int, seed: int, data: Splits) -> None:
        self.number, self.seed, self.data = number, seed, data

    def report(self, step: int, **metrics: float) -> bool:
        """Nobody listens."""
        return True

    def folder(self, number: int | None = None) -> Path:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise UsageError("A comparison keeps no files: this evaluator needs a search of its own.")
