"""A generation: species by distance, then offspring by shared fitness (sections 3.3 and 4.1), compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore_neat.genetics import add_connection, add_node, below, mutate_weights
from nascore_neat.jit import compiled
from nascore_neat.mating import cross, distance

if TYPE_CHECKING:
    from nascore_neat.genetics import Book
    from nascore_neat.genome import Floats, Genomes, Ints, Shape
    from nascore_neat.mating import Metric


class Rates(NamedTuple):
    """How offspring is made; each a probability unless said otherwise.

    Attributes:
        add_node, add_connection: of a structural mutation of a child.
        mutate_weights: of a child to have its weights mutated; then of each weight to be ``perturbed``,
            by up to ``power``, and else to be drawn anew within ``reach``.
        disabled: of an inherited gene to stay disabled when it is so in a parent.
        mutation_only: of a child to have one parent.
        interspecies: of a crossover to take its other parent from another species.
    """

    add_node: float
    add_connection: float
    mutate_weights: float
    perturbed: float
    power: float
    reach: float
    disabled: float
    mutation_only: float
    interspecies: float


PAPER_RATES = Rates(
    add_node=0.03,
    add_connection=0.05,
    mutate_weights=0.8,
    perturbed=0.9,
    power=2.5,
    reach=2.5,
    disabled=0.75,
    mutation_only=0.25,
    interspecies=0.001,
)
"""The paper's (section 4.1), but for ``power`` and ``reach``, which it does not state."""


@compiled
def assign(genomes: Genomes, models: Genomes, metric: Metric, threshold: float) -> tuple[Ints, Ints]:
    """Sort genomes into species: each to the first whose representative is nearer than the threshold.

    Args:
        genomes: of the new generation, in order.
        models: the representatives of the species that there are.
        metric, threshold: of the distance.

    Returns:
        The species of each genome, from 0 on, those of ``models`` first; and for each new species the
        genome that founded it and represents it in this generation.
    """
    old = len(models.genes)
    species = np.full(len(genomes.genes), -1, np.int64)
    founders = np.empty(len(genomes.genes), np.int64)
    new = 0
    for k in range(len(genomes.genes)):
        for s in range(old):
            if distance(genomes, k, models, s, metric) < threshold:
                species[k] = s
                break
        for f in range(new):
            if species[k] >= 0:
                break
            if distance(genomes, k, genomes, founders[f], metric) < threshold:
                species[k] = old + f
        if species[k] < 0:
            founders[new] = k
            species[k] = old + new
            new += 1
    return species, founders[:new]


@compiled
def mutate(g: Genomes, k: int, book: Book, rng: np.random.Generator, shape: Shape, rates: Rates) -> None:
    """The mutation of one child: a node, or else a connection, or else its weights.

    What is new is judged with the weights that its parent had, as in the authors' own program; the paper
    leaves open whether one child can have several kinds of mutation.
    """
    if rng.random() < rates.add_node and add_node(g, k, book, rng, shape.inputs):
        return
    if rng.random() < rates.add_connection and add_connection(g, k, book, rng, shape, rates.reach):
        return
    if rng.random() < rates.mutate_weights:
        mutate_weights(g, k, rng, rates.perturbed, rates.power, rates.reach, shape.weight_limit)


@compiled
def copy(a: Genomes, i: int, b: Genomes, k: int) -> None:
    """Write genome i of ``a`` to row k of ``b``."""
    n = a.genes[i]
    b.innovation[k, :n], b.source[k, :n], b.target[k, :n] = a.innovation[i, :n], a.source[i, :n], a.target[i, :n]
    b.weight[k, :n], b.enabled[k, :n] = a.weight[i, :n], a.enabled[i, :n]
    b.genes[k] = n


@compiled
def rank(fitness: Floats, species: Ints, count: int) -> tuple[Ints, Ints]:
    """Genomes by species, the fittest of each first (of equals, the one that came first).

    Returns:
        The genomes; and where each species starts among them, and at last where the last one ends.
    """
    order = np.argsort(-fitness, kind="mergesort")
    order = order[np.argsort(species[order], kind="mergesort")]
    starts = np.zeros(count + 1, np.int64)
    for s in species:
        starts[s + 1] += 1
    return order, np.cumsum(starts)


@compiled
def breed(
    old: Genomes,
    fitness: Floats,
    order: Ints,
    starts: Ints,
    quotas: Ints,
    survival: float,
    elite_size: int,
    new: Genomes,
    book: Book,
    rng: np.random.Generator,
    shape: Shape,
    rates: Rates,
) -> Ints:
    """Fill the next generation.

    Args:
        old, fitness: the generation that was judged.
        order, starts: of :func:`rank`.
        quotas: offspring of each species, together as many as ``new`` has rows.
        survival: share of a species, its fittest, from which parents are drawn.
        elite_size: a species of more members than this passes its fittest on unchanged.
        new: rows to fill, with room enough.
        book, rng, shape, rates: see there.

    Returns:
        (genomes, 2): the parents of each child. The second is -1 where there is one, -2 of a copy.
    """
    parents = np.full((len(new.genes), 2), -1, np.int64)
    child = 0
    for s in range(len(quotas)):
        size = starts[s + 1] - starts[s]
        pool = max(1, int(np.ceil(survival * size)))
        for nth in range(quotas[s]):
            first = order[starts[s] + below(rng, pool)]
            if nth == 0 and size > elite_size:
                first = order[starts[s]]
                copy(old, first, new, child)
                parents[child, 0], parents[child, 1] = first, -2
                child += 1
                continue
            second = first
            if rng.random() >= rates.mutation_only:
                mate = s
                if rng.random() < rates.interspecies:
                    mate = below(rng, len(quotas))
                pool_of_mate = max(1, int(np.ceil(survival * (starts[mate + 1] - starts[mate]))))
                second = order[starts[mate] + below(rng, pool_of_mate)]
            if second == first:
                copy(old, first, new, child)
            else:
                if fitness[second] > fitness[first]:
                    first, second = second, first
                equal = fitness[first] == fitness[second]
                cross(old, first, old, second, equal, new, child, rng, rates.disabled, shape.recurrent)
                parents[child, 1] = second
            parents[child, 0] = first
            mutate(new, child, book, rng, shape, rates)
            child += 1
    return parents
