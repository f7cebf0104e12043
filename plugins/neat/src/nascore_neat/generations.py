"""Whole generations between two trials: bred and judged in memory, and what a trial says of them.

A stored trial costs about two kilobytes and two milliseconds, a bred and judged genome some microseconds. So with
``generations_per_trial`` a trial stands for generations: it is the best genome of them, with numbers about
all the others. What is kept of a search is then its population, in the checkpoint, and a counted log, the trials.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from nascore.contracts import Evaluator, Round
from nascore.errors import CapabilityError
from nascore_neat.genome import from_json, to_json
from nascore_neat.lineage import Birth, describe, describe_sizes
from nascore_neat.population import Population, usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore.contracts import Context, Sampler
    from nascore_neat.genome import Floats, Genomes, Shape
    from nascore_neat.population import Settings
    from nascore_neat.sampler import NEAT

    Judge = Callable[[Genomes], Floats]
    Found = Callable[[random.Random], list[Any]]


class GenerationEvaluator(Evaluator):
    """An evaluator that judges single candidates, and whole generations at once."""

    stateless: ClassVar[bool] = True  # generations are bred in the driver; single candidates may be judged elsewhere

    def prepare(self, sampler: Sampler, context: Context) -> Round:
        """Let the sampler breed the generations of its next trial, where its trials stand for generations.

        Raises:
            CapabilityError: the objective is not one that this evaluator measures (a cost, say).
        """
        if "generations" not in sampler.provides:
            return Round()
        breeder = cast("NEAT", sampler)
        name = breeder.objectives[0].name
        if breeder.generations_per_trial and name not in self.objectives:
            raise CapabilityError(
                f"The objective {name!r} is priced a trial at a time, so a trial cannot stand for generations: "
                f"set sampler.generations_per_trial=0, or take one of the objectives {', '.join(self.objectives)}."
            )
        judge = lambda genomes: self.values(genomes, name, context)  # noqa: E731 - one line, used once
        return Round(changed=breeder.breed_generations(judge, random.Random(context.seed)))

    @abstractmethod
    def values(self, genomes: Genomes, objective: str, context: Context) -> Floats:
        """One objective of every genome, as :meth:`evaluate` would measure it.

        Args:
            genomes: of a generation.
            objective: one of ``objectives``.
            context: of the round; draw from its seed.

        Returns:
            (genomes,); NaN or infinite counts as the worst of the generation.
        """


@dataclass
class Champion:
    """The best genome of the generations that a trial stands for.

    Attributes:
        genome: plain JSON.
        value: of the objective, turned so that larger is better.
        generation, species: where it was born.
    """

    genome: Any
    value: float
    generation: int
    species: int


class Generations:
    """Breeds some generations for each trial.

    Attributes:
        population: the generation that was judged last; None before the first.
        fitness: (size,) of it, larger is better.
        candidates: genomes judged so far.
        champion: the best of the generations that no trial has been proposed for yet.
        first: number of the first of these generations.
    """

    def __init__(self, settings: Settings, shape: Shape, size: int, found: Found) -> None:
        """
        Args:
            settings, shape: see there.
            size: of the population.
            found: gives the first generation, ``size`` genomes as JSON, from a generator.
        """
        self._settings, self._shape, self._size, self._found = settings, shape, size, found
        self.population: Population | None = None
        self.fitness = np.zeros(size)
        self.candidates = 0
        self.first = 0
        self.champion: Champion | None = None

    def advance(self, count: int, judge: Judge, goal: float, rng: random.Random) -> None:
        """Breed and judge ``count`` generations, or as many as it takes to reach ``goal``.

        Args:
            count: >= 1.
            judge: gives the fitness of a generation, larger is better.
            goal: a fitness.
            rng: all is drawn from it.
        """
        self.champion = None
        for nth in range(count):
            if self.population is None:
                self.population = Population.first(self._settings, self._shape, from_json(self._found(rng)))
            else:
                self.population.advance(self.fitness, rng)
            if nth == 0:
                self.first = self.population.generation
            self.fitness = usable(np.asarray(judge(self.population.genomes), dtype=float))
            self.candidates += self._size
            self._look_for_champion(self.population)
            if self.champion is not None and self.champion.value >= goal:
                return

    def _look_for_champion(self, population: Population) -> None:
        row = int(np.argmax(self.fitness))
        value = float(self.fitness[row])
        if self.champion is None or value > self.champion.value:
            genome = to_json(population.genomes, row, self._shape)
            species = int(population.names[population.species[row]])
            self.champion = Champion(genome, value, population.generation, species)

    def describe(self, sign: float) -> tuple[str, dict[str, float]]:
        """What a trial says of its generations: its origin in words, and numbers.

        Args:
            sign: of the objective's direction: its values are the fitness times this.

        Returns:
            The origin; and ``generation`` (the last one), ``species`` (in it), ``mean_fitness`` (of it),
            ``best_fitness`` (of all these generations) and ``candidates`` (genomes judged so far).
        """
        population, champion = self.population, self.champion
        assert population is not None  # the caller has bred
        assert champion is not None
        sizes = np.bincount(population.species, minlength=len(population.names)).tolist()
        members = dict(zip(population.names.tolist(), sizes, strict=True))
        how = describe_sizes(self.first, population.generation, members)
        numbers = {
            "generation": float(population.generation),
            "species": float(len(members)),
            "mean_fitness": sign * float(self.fitness.mean()),
            "best_fitness": sign * champion.value,
            "candidates": float(self.candidates),
        }
        return describe(Birth(champion.generation, champion.species), how), numbers

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as plain data and arrays."""
        return {
            "population": None if self.population is None else self.population.state_dict(),
            "fitness": self.fitness.copy(),
            "candidates": self.candidates,
            "first": self.first,
            "champion": None if self.champion is None else asdict(self.champion),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        saved, champion = state["population"], state["champion"]
        self.population = None if saved is None else Population.from_state(saved, self._settings, self._shape)
        self.fitness, self.candidates, self.first = state["fitness"], state["candidates"], state["first"]
        self.champion = None if champion is None else Champion(**champion)
