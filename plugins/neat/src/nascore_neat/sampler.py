"""NEAT as a sampler: a generation is a batch of trials (Stanley and Miikkulainen 2002)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore_neat.breeding import Rates
from nascore_neat.generations import Generations
from nascore_neat.genome import from_json, to_json
from nascore_neat.lineage import Birth, describe
from nascore_neat.mating import Metric
from nascore_neat.population import COPY, Population, Settings

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial
    from nascore_neat.genome import Floats, Genomes
    from nascore_neat.space import NEATSpace


class NEAT(Sampler):
    """Evolve graphs from minimal ones, in species that protect what is new.

    The genomes of a generation are proposed one after the other; when all have been told, the next is
    bred. Asked before that, and with nothing left to propose, it answers None: parallel executors wait.
    A trial that failed, was pruned or is infeasible counts as the worst of its generation.

    Args:
        population_size: P, >= 2.
        add_node: probability that a child gets a node, by splitting a connection.
        add_connection: probability that a child gets a connection (the paper: 0.05, and 0.3 where P is 1000).
        mutate_weights: probability that the weights of a child are mutated.
        perturbed: share of those weights that are perturbed; the rest is drawn anew.
        power: perturbations are uniform in [-power, power].
        reach: new weights are uniform in [-reach, reach].
        disabled: probability that a gene stays disabled when it is so in a parent.
        mutation_only: share of offspring with one parent.
        interspecies: probability that a crossover takes the other parent from another species.
        excess, disjoint, weight: the coefficients c1, c2, c3 of the compatibility distance.
        small: genomes of fewer genes than this are not divided by their size in the distance. Where sizes
            lie on both sides of it, one large representative is near to everybody, and its species
            swallows the others: then set it far above (or far below) the sizes that come up.
        threshold: delta_t, the distance below which two genomes are of one species.
        survival: share of a species, its fittest, that has offspring; in (0, 1].
        elite_size: the fittest of a species with more members than this lives on unchanged.
        stagnation: generations without a better fitness after which a species has no offspring.
        refocus: generations without a better fitness of all, after which only the two best species have.
        goal: a value of the objective at which the search ends; None: it uses its budget.
        generations_per_trial: 0: each genome is a trial. Else a trial stands for so many whole generations, bred and
            judged in memory by the evaluator (``neat:xor``, ``neat:balance``, ``neat:gym``, ``neat:classify``):
            the best genome of them is proposed, with ``generation``, ``species``, ``mean_fitness``,
            ``best_fitness`` and ``candidates`` (judged so far) as metrics. So 10^6 candidates are a small store.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"neurons"})
    provides: ClassVar[frozenset[str]] = frozenset({"generations"})

    def __init__(
        self,
        population_size: int = 150,
        add_node: float = 0.03,
        add_connection: float = 0.05,
        mutate_weights: float = 0.8,
        perturbed: float = 0.9,
        power: float = 2.5,
        reach: float = 2.5,
        disabled: float = 0.75,
        mutation_only: float = 0.25,
        interspecies: float = 0.001,
        excess: float = 1.0,
        disjoint: float = 1.0,
        weight: float = 0.4,
        small: int = 20,
        threshold: float = 3.0,
        survival: float = 0.2,
        elite_size: int = 5,
        stagnation: int = 15,
        refocus: int = 20,
        goal: float | None = None,
        generations_per_trial: int = 0,
    ) -> None:
        if population_size < 2:
            raise SettingsError(f"population_size is {population_size}; it must be at least 2.")
        if generations_per_trial < 0:
            raise SettingsError(f"generations_per_trial is {generations_per_trial}; it must be at least 0.")
        rates = Rates(
            add_node, add_connection, mutate_weights, perturbed, power, reach, disabled, mutation_only, interspecies
        )
        metric = Metric(excess, disjoint, weight, small)
        self.settings = Settings(metric, rates, threshold, survival, elite_size, stagnation, refocus)
        self.population_size = population_size
        self.goal = goal
        self.generations_per_trial = generations_per_trial
        self.population: Population | None = None  # None in the first generation, until it is told
        self._proposed: dict[int, int] = {}  # trial number -> place in the generation, of this generation
        self._first: dict[int, Architecture] = {}  # place -> architecture, of the first generation
        self._fitness = np.full(population_size, math.nan)
        self._told = 0
        self._done = False
        self._ancestors: list[int] = []  # place -> trial number, of the generation before

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: several objectives: fitness sharing needs one. Or constraints, which are judged a
                trial at a time, where a trial stands for generations.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            names = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"neat has one objective, and got {len(self.objectives)}: {names}. Name one.")
        if self.generations_per_trial and self.constraints:
            raise CapabilityError(
                "Constraints are judged a trial at a time, so a trial cannot stand for generations: "
                "set sampler.generations_per_trial=0, or leave the constraints out."
            )
        self._shape = cast("NEATSpace", space).shape
        self._generations = Generations(self.settings, self._shape, self.population_size, self._founders)

    # ------------------------------------------------------------------ ask and tell

    def ask(self, view: View) -> Candidate | None:
        """The next of the generation; None while some of it are not told, and when the goal is reached."""
        if self._done:
            return None
        if self.generations_per_trial:
            return self._champion()
        if self._told == self.population_size:
            self._breed(view)
        place = len(self._proposed)
        if place == self.population_size:
            return None
        candidate = self._founder(view) if self.population is None else self._child(self.population, place)
        if self.population is None:
            self._first[place] = candidate.architecture
        self._proposed[view.number] = place
        return candidate

    def tell(self, trial: Trial) -> None:
        """Note the fitness of a member of this generation."""
        place = self._proposed.get(trial.number)
        if place is None and not self.generations_per_trial:
            return
        self._told += 1
        objective = self.objectives[0]
        value = trial.value(objective.name)
        if eligible(trial) and not math.isnan(value):
            if place is not None:
                self._fitness[place] = self._sign * value
            if self.goal is not None and not objective.direction.better(self.goal, value):
                self._done = True

    @property
    def _sign(self) -> float:
        """Inside, fitness grows; what is recorded and shown keeps its own direction."""
        return 1.0 if self.objectives[0].direction is Direction.MAXIMIZE else -1.0

    def _founder(self, view: View) -> Candidate:
        return Candidate(view.within(lambda: self._minimal(view.rng)), origin="generation 0: minimal")

    def _minimal(self, rng: random.Random) -> Architecture:
        return self.space.sample(lambda _, options: rng.choice(options))

    def _child(self, population: Population, place: int) -> Candidate:
        architecture = self.space.architecture(to_json(population.genomes, place, self._shape))
        first, second = population.parents[place].tolist()
        mother = self._ancestors[first]
        how = f"copy of {mother}" if second == COPY else f"mutation of {mother}"
        if second >= 0:
            how = f"child of {mother} and {self._ancestors[second]}"
        species = int(population.names[population.species[place]])
        return Candidate(architecture, origin=describe(Birth(population.generation, species), how))

    def _breed(self, view: View) -> None:
        if self.population is None:
            genomes = from_json([self._first[place].genome for place in range(self.population_size)])
            self.population = Population.first(self.settings, self._shape, genomes)
            self._first = {}
        self.population.advance(self._fitness, view.rng)
        self._ancestors = sorted(self._proposed, key=self._proposed.__getitem__)
        self._proposed, self._told = {}, 0
        self._fitness = np.full(self.population_size, math.nan)

    # ------------------------------------------------------------------ a trial that stands for generations

    def breed_generations(self, judge: Callable[[Genomes], Floats], rng: random.Random) -> bool:
        """Breed the generations of the next trial, unless they are bred, or nothing more is to be.

        Args:
            judge: gives the objective of every genome of a generation, (genomes,), in its own direction.
            rng: all is drawn from it.

        Returns:
            Whether anything was bred.
        """
        if not self.generations_per_trial or self._done or self._generations.champion is not None:
            return False
        goal = math.inf if self.goal is None else self._sign * self.goal
        self._generations.advance(self.generations_per_trial, lambda genomes: self._sign * judge(genomes), goal, rng)
        return True

    def _founders(self, rng: random.Random) -> list[Any]:
        return [self._minimal(rng).genome for _ in range(self.population_size)]

    def _champion(self) -> Candidate:
        """The best of the generations that were bred for this trial.

        Raises:
            CapabilityError: none were: the evaluator judges single candidates only.
        """
        champion = self._generations.champion
        if champion is None:
            raise CapabilityError(
                "This evaluator judges one candidate at a time, so a trial cannot stand for generations: "
                "set sampler.generations_per_trial=0, or take neat:xor, neat:balance, neat:gym or neat:classify."
            )
        origin, numbers = self._generations.describe(self._sign)
        self._generations.champion = None
        return Candidate(self.space.architecture(champion.genome), origin=origin, metrics=numbers)

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The generation, and how far it is."""
        return {
            "population": None if self.population is None else self.population.state_dict(),
            "proposed": dict(self._proposed),
            "first": {place: architecture.genome for place, architecture in self._first.items()},
            "fitness": self._fitness.copy(),
            "told": self._told,
            "done": self._done,
            "ancestors": list(self._ancestors),
            "generations": self._generations.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """See :meth:`nascore.contracts.Sampler.load_state_dict`."""
        saved = state["population"]
        self.population = None if saved is None else Population.from_state(saved, self.settings, self._shape)
        self._proposed = dict(state["proposed"])
        self._first = {place: self.space.architecture(genome) for place, genome in state["first"].items()}
        self._fitness, self._told, self._done = state["fitness"], state["told"], state["done"]
        self._ancestors = list(state["ancestors"])
        self._generations.load_state_dict(state["generations"])
