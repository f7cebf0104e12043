"""Islands: populations of programs that evolve in compiled rounds and exchange members after each."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.history import eligible
from nascore.records import Candidate
from nascore.seeding import derive_seed
from nascore_automlzero.numeric import Programs, empty, genome, write
from nascore_automlzero.sampler import check_evolution, one_objective, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial
    from nascore_automlzero.bytecode import Floats, Ints
    from nascore_automlzero.space import ProgramSpace

COUNTED = ("candidates", "text_hits", "behaviour_hits", "evaluated", "hurdle_rejects")
"""What is counted over the whole search, in the order of :data:`nascore_automlzero.evolving.CANDIDATES`."""
_WINDOW = 256
"""Programs that a hurdle is made of."""


class Island:
    """One population, and what belongs to it.

    Attributes:
        living: its members; ``counts`` says which is the oldest.
        best: one program, the best of the last round.
        counts: see :data:`nascore_automlzero.evolving.CANDIDATES`.
        recent: what the hurdle is made of.
    """

    def __init__(self, living: Programs, best: Programs) -> None:
        self.living, self.best = living, best
        self.counts: Ints = np.zeros(7, np.int64)
        self.recent: Floats = np.zeros(_WINDOW + 1)

    def arrays(self) -> list[Any]:
        """All that changes."""
        return [*self.living, *self.best, self.counts, self.recent]

    def clear(self) -> None:
        """Empty programs, to be judged; what was counted stays."""
        for array in (*self.living, self.recent):
            array[...] = 0
        self.counts[len(COUNTED) :] = 0

    def receive(self, migrants: Programs) -> None:
        """Newcomers take the places of the oldest."""
        size = len(self.living.fitness)
        places = (self.counts[-1] + np.arange(len(migrants.fitness))) % size
        mine: Any
        for mine, theirs in zip(self.living, migrants, strict=True):
            mine[places] = theirs
        self.counts[-1] = (self.counts[-1] + len(migrants.fitness)) % size


class ProgramIslands(Sampler):
    """Regularised evolution on islands (section 3.2), in rounds; each round's best program is one trial.

    A round is made by the evaluator, compiled, before the trial is asked for. It judges
    ``candidates_per_trial`` programs, as many on each island, which share nothing meanwhile: the result does not
    depend on the number of cores. Then ``migrants`` random members of each island go to the next one, where the
    oldest die. Only proposed programs are stored: the state holds the populations, and the metrics of a trial count
    the candidates.

    Constraints hold for what is proposed, not inside a round: the best program of the round that breaks none, or of
    the living; the best one of all where each of them breaks one.

    Args:
        candidates_per_trial: of one round, over all islands, >= islands.
        islands: >= 1; each runs in a thread of its own.
        population_size: P of each island, >= 1.
        tournament_size: T, drawn with replacement, >= 1.
        mutate_probability: how often a child differs from its parent; in (0, 1].
        migrants: members that leave each island after a round, >= 0; all do where it has fewer.
        experiment_rounds: rounds after which all islands begin anew, as the authors' demonstration repeats its
            experiment until one succeeds; >= 0; 0: never.
        start: the first P programs are ``random``, or all ``empty``.
        goal: the fitness at which the search ends; None: it uses its budget.

    Raises:
        SettingsError: a value is out of its range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"programs", "rounds"})
    provides: ClassVar[frozenset[str]] = frozenset({"islands"})

    def __init__(
        self,
        candidates_per_trial: int = 20_000,
        islands: int = 2,
        population_size: int = 100,
        tournament_size: int = 10,
        mutate_probability: float = 0.9,
        migrants: int = 10,
        experiment_rounds: int = 0,
        start: Literal["random", "empty"] = "random",
        goal: float | None = None,
    ) -> None:
        check_evolution(population_size, tournament_size, mutate_probability, start)
        if islands < 1 or candidates_per_trial < islands:
            raise SettingsError(
                f"islands is {islands} and candidates_per_trial {candidates_per_trial}; there is at least one island, "
                "and a candidate for each."
            )
        for name, value in (("migrants", migrants), ("experiment_rounds", experiment_rounds)):
            if value < 0:
                raise SettingsError(f"{name} is {value}; it must be at least 0.")
        self.candidates_per_trial, self.population_size = candidates_per_trial, population_size
        self.tournament_size, self.mutate_probability = tournament_size, mutate_probability
        self.migrants, self.experiment_rounds = migrants, experiment_rounds
        self.start, self.goal = start, goal
        self._count = islands
        self.islands: list[Island] = []
        self._rounds = 0
        self._done = False

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Found the islands; see :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: several objectives.
        """
        super().setup(space, objectives, seed)
        one_objective(self.objectives)
        self._rounds = 0
        limits = cast("ProgramSpace", space).limits
        self.islands = [Island(empty(self.population_size, limits), empty(1, limits)) for _ in range(self._count)]
        self._found(seed)

    def _found(self, seed: int) -> None:
        """Every island begins an experiment, with first members of its own."""
        limits = cast("ProgramSpace", self.space).limits
        for number, island in enumerate(self.islands):
            island.clear()
            if self.start == "random":
                rng = random.Random(derive_seed(seed, "island", number))
                for place in range(self.population_size):
                    first: Any = self.space.sample(lambda _, options: rng.choice(options)).genome  # noqa: B023 - called at once
                    write(first, island.living, place, limits)

    def evolve(self, run: Callable[[Island, int, np.random.Generator], None], seed: int) -> dict[str, float]:
        """One round.

        Args:
            run: evolves one island by so many candidates; threads call it at the same time.
            seed: of the round.

        Returns:
            What was counted in this round; nothing where the goal was reached before.
        """
        if self._done:
            return {}
        if self.experiment_rounds and self._rounds and self._rounds % self.experiment_rounds == 0:
            self._found(seed)
        self._rounds += 1
        before = self.counted()
        shares = np.diff(np.linspace(0, self.candidates_per_trial, self._count + 1).astype(int))
        rngs = [np.random.default_rng(derive_seed(seed, "island", number)) for number in range(self._count)]
        for island in self.islands:
            island.best.fitness[0] = -1.0
        with ThreadPoolExecutor(min(self._count, os.cpu_count() or 1)) as pool:
            list(pool.map(run, self.islands, map(int, shares), rngs))
        self._migrate(np.random.default_rng(derive_seed(seed, "migration")))
        best = max(float(island.best.fitness[0]) for island in self.islands)
        self._done = self.goal is not None and best >= self.goal
        return {"best": best, **{name: value - before[name] for name, value in self.counted().items()}}

    def counted(self) -> dict[str, float]:
        """Candidates, hits of the cache, evaluations and rejects at the hurdle so far, over all islands."""
        return {name: float(sum(island.counts[at] for island in self.islands)) for at, name in enumerate(COUNTED)}

    def _migrate(self, rng: np.random.Generator) -> None:
        """Random members of each island go to the next, as the authors' workers exchange them."""
        if not self.migrants or self._count == 1:
            return
        leaving = []
        for island in self.islands:
            places = rng.permutation(self.population_size)[: self.migrants]
            leaving.append(Programs(*(array[places].copy() for array in island.living)))
        for number, migrants in enumerate(leaving):
            self.islands[(number + 1) % self._count].receive(migrants)

    def ask(self, view: View) -> Candidate | None:
        """The best program of the round."""
        if reached(view.history, self.goal, self.objectives[0]):
            return None
        chosen = self._best(view)
        return Candidate(chosen, origin="best of a round", metrics=self.counted())

    def _best(self, view: View) -> Architecture:
        pools = [programs for island in self.islands for programs in (island.best, island.living)]
        ranked = sorted(
            ((float(value), pool, place) for pool in pools for place, value in enumerate(pool.fitness)),
            key=lambda one: -one[0],
        )  # stable: of equals the best of a round stands first
        limits = cast("ProgramSpace", self.space).limits
        for _, pool, place in ranked:
            found = self.space.architecture(cast("Any", genome(pool, place, limits)))
            if view.excess(found) <= 0:
                return found
        _, pool, place = ranked[0]
        return self.space.architecture(cast("Any", genome(pool, place, limits)))

    def recommend(self, history: History) -> Trial | None:
        """The trial that is best on tasks that evolution did not see, as the paper selects among its experiments.

        Evolution also fits what is peculiar to the tasks that it sees. Where no trial has the metric
        ``valid_fitness``: the best one.
        """
        kept = [trial for trial in history if eligible(trial) and "valid_fitness" in trial.metrics]
        return max(kept, key=lambda trial: trial.metrics["valid_fitness"], default=history.best)

    def state_dict(self) -> dict[str, Any]:
        """The islands. Each round has its own generators and begins with an empty cache."""
        return {"done": self._done, "rounds": self._rounds, "islands": [island.arrays() for island in self.islands]}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """See :meth:`nascore.contracts.Sampler.load_state_dict`."""
        self._done, self._rounds = state["done"], state["rounds"]
        for island, arrays in zip(self.islands, state["islands"], strict=True):
            for mine, saved in zip(island.arrays(), arrays, strict=True):
                mine[...] = saved
