"""Judging programs in compiled rounds of evolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from nascore.contracts import Round
from nascore.errors import SettingsError
from nascore_automlzero.evaluator import ProgramTasks
from nascore_automlzero.numeric import grammar
from nascore_automlzero.tasks import Tasks

if TYPE_CHECKING:
    from nascore.contracts import Context, Sampler, SearchSpace, Splits
    from nascore_automlzero.evolving import Cache, Desk, Rules
    from nascore_automlzero.islands import Island, ProgramIslands
    from nascore_automlzero.space import ProgramSpace

_SAMPLE = 10
"""Examples to learn from, and to be tested on, that tell a behaviour."""


class ProgramRounds(ProgramTasks):
    """The mean fitness of a program over tasks, judged by the hundred thousand in the islands' rounds.

    Before each trial one round of evolution runs on the sampler's islands. In a round a program is run only if
    neither its text (of the instructions that compute) nor its behaviour (all errors on 10 + 10 examples of the
    first task, bit by bit) was met before in this round on its island. Programs that behave equally and yet differ
    later (rare) share the fitness of the one that came first.

    A program that is run meets a hurdle after the first tasks: if its fitness on them is below a quantile of the last
    256 programs that came so far, it gets the fitness 0 and the other tasks are saved.

    The trial itself is judged on all tasks, as by ``automlzero:tasks``.

    Args:
        epochs: passes over the examples, each followed by a test; the best one counts. >= 1.
        max_error: a prediction that is off by more ends the program, > 0.
        cache_size: texts and behaviours of which the fitness is kept on each island, a power of two; a newer one may
            take the place of an older one.
        hurdle_tasks: tasks before the hurdle; 0: no hurdle.
        hurdle: the quantile, in [0, 1); 0.75 lets a quarter pass.
    """

    requires: ClassVar[frozenset[str]] = ProgramTasks.requires | {"islands"}
    provides: ClassVar[frozenset[str]] = ProgramTasks.provides | {"rounds"}

    def __init__(
        self,
        epochs: int = 1,
        max_error: float = 100.0,
        cache_size: int = 65_536,
        hurdle_tasks: int = 1,
        hurdle: float = 0.75,
    ) -> None:
        super().__init__(epochs, max_error)
        if cache_size < 1 or cache_size & (cache_size - 1):
            raise SettingsError(f"cache_size is {cache_size}; it must be a power of two, such as 65536.")
        if hurdle_tasks < 0 or not 0 <= hurdle < 1:
            raise SettingsError(f"hurdle_tasks is {hurdle_tasks}, hurdle {hurdle}; they must be >= 0 and in [0, 1).")
        self.entries, self.hurdle_tasks, self.hurdle = cache_size, hurdle_tasks, hurdle

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`ProgramTasks.setup`."""
        super().setup(space, data)
        self._grammar = grammar(cast("ProgramSpace", space).limits, self._features)
        self._sample = Tasks(*(np.ascontiguousarray(array[:1, :_SAMPLE]) for array in self._train))

    def prepare(self, sampler: Sampler, context: Context) -> Round:
        """One round of evolution."""
        islands = cast("ProgramIslands", sampler)
        rules = self._rules(islands)

        def run(island: Island, candidates: int, rng: np.random.Generator) -> None:
            from nascore_automlzero.evolving import evolve

            evolve(
                candidates, island.living, island.best, island.counts, island.recent, self._cache_of_a_round(),
                self._desk(), self._train, self._sample, self._grammar, rules, self._noise, rng,
            )  # fmt: skip

        metrics = islands.evolve(run, context.seed)
        return Round(changed=bool(metrics), metrics=metrics)

    def _rules(self, islands: ProgramIslands) -> Rules:
        from nascore_automlzero.evolving import Rules

        return Rules(  # of just these types: for others numba would compile again
            tournament=islands.tournament_size,
            mutate=float(islands.mutate_probability),
            goal=float(np.inf if islands.goal is None else islands.goal),
            classify=self._classify,
            epochs=self.epochs,
            limit=float(self.max_error),
            first=self.hurdle_tasks,
            share=float(self.hurdle),
        )

    def _cache_of_a_round(self) -> Cache:
        from nascore_automlzero.evolving import Cache

        return Cache(np.zeros((2, self.entries), np.int64), np.zeros((2, self.entries)))

    def _desk(self) -> Desk:
        from nascore_automlzero.evolving import Desk

        rows = int(self._grammar.parts[3])
        return Desk(
            alive=np.zeros(rows, np.bool_),
            table=np.zeros((rows, 5), np.int64),
            constants=np.zeros((rows, 2)),
            ends=np.zeros(2, np.int64),
            memory=np.zeros(self._grammar.memory),
            errors=np.zeros(self._sample.y.shape[1] + self._sample.y_valid.shape[1]),
        )
