"""The whole search in memory: no trials, no storage, nothing but generations. For measurements.

What a search proposes and what this loop breeds come from the same :class:`~nascore_neat.population.Population`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nascore_neat.genome import from_json, minimal
from nascore_neat.population import Population

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_neat.genome import Floats, Genomes, Shape
    from nascore_neat.population import Settings


@dataclass(frozen=True)
class Outcome:
    """How an evolution ended.

    Attributes:
        solved: the goal was reached.
        generations: how many were judged.
        evaluations: how many genomes.
        population: the last generation.
        winner: index of its best genome.
        fitness: of the last generation, (population,).
    """

    solved: bool
    generations: int
    evaluations: int
    population: Population
    winner: int
    fitness: Floats


def start(settings: Settings, shape: Shape, size: int, rng: random.Random, reach: float = 1.0) -> Population:
    """The first generation: ``size`` minimal genomes with random weights in [-reach, reach]."""
    count = (shape.inputs + 1) * shape.outputs
    genomes = [minimal(shape, [round(rng.uniform(-reach, reach), 6) for _ in range(count)]) for _ in range(size)]
    return Population.first(settings, shape, from_json(genomes))


def evolve(
    judge: Callable[[Genomes], tuple[Floats, int]],
    settings: Settings,
    shape: Shape,
    *,
    size: int = 150,
    generations: int = 200,
    seed: int = 0,
) -> Outcome:
    """Evolve until a genome solves the task.

    Args:
        judge: gives the fitness of a whole generation, (population,), and the first genome that solves
            the task, -1 where none does.
        settings, shape: see there.
        size: of the population.
        generations: at most, >= 1.
        seed: of everything.
    """
    rng = random.Random(seed)
    population = start(settings, shape, size, rng)
    for generation in range(1, generations + 1):
        fitness, winner = judge(population.genomes)
        if winner >= 0 or generation == generations:
            best = winner if winner >= 0 else int(np.argmax(fitness))
            evaluations = (generation - 1) * size + (winner + 1 if winner >= 0 else size)
            return Outcome(winner >= 0, generation, evaluations, population, best, fitness)
        population.advance(fitness, rng)
    raise ValueError(f"generations is {generations}; it must be at least 1")
