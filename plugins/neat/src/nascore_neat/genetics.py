"""What happens to genes: mutation, crossover, distance (sections 3.1 to 3.3 of the paper), compiled.

Every function works on rows of :class:`~nascore_neat.genome.Genomes` and draws from ``rng`` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore_neat.jit import compiled

if TYPE_CHECKING:
    from nascore_neat.genome import Genomes, Ints, Shape

DECIMALS = 1e6
"""Weights are kept to six decimals: as JSON they are then half as long."""

TRIES = 20
"""How often a new connection is drawn before the mutation is given up."""


class Book(NamedTuple):
    """Innovation numbers: the counters, and the structural changes of this generation.

    Attributes:
        next: (2,) the next innovation number, the next node number.
        used: (2,) how many rows of ``links`` and of ``splits`` are written.
        links: (changes, 3) source, target, innovation.
        splits: (changes, 4) innovation of the gene split, new node, innovation into it, and out of it.
    """

    next: Ints
    used: Ints
    links: Ints
    splits: Ints


def open_book(innovation: int, node: int, changes: int) -> Book:
    """A book for one generation: the counters go on, the table begins anew.

    Args:
        innovation, node: the next numbers.
        changes: how many genomes will be mutated, at most.
    """
    counters = np.array([innovation, node], np.int64)
    return Book(counters, np.zeros(2, np.int64), np.zeros((changes, 3), np.int64), np.zeros((changes, 4), np.int64))


@compiled
def below(rng: np.random.Generator, n: int) -> int:
    """A number from 0 to n-1, each as likely."""
    return int(rng.random() * n)


@compiled
def append(g: Genomes, k: int, innovation: int, source: int, target: int, weight: float, enabled: bool) -> None:
    """Add a gene behind the others."""
    n = g.genes[k]
    g.innovation[k, n], g.source[k, n], g.target[k, n] = innovation, source, target
    g.weight[k, n], g.enabled[k, n] = weight, enabled
    g.genes[k] = n + 1


@compiled
def insert(g: Genomes, k: int, innovation: int, source: int, target: int, weight: float) -> None:
    """Add an enabled gene where its innovation number belongs.

    A number of this generation can be smaller than one that the genome got a moment ago.
    """
    i = g.genes[k]
    while i > 0 and g.innovation[k, i - 1] > innovation:
        g.innovation[k, i], g.source[k, i], g.target[k, i] = (
            g.innovation[k, i - 1],
            g.source[k, i - 1],
            g.target[k, i - 1],
        )
        g.weight[k, i], g.enabled[k, i] = g.weight[k, i - 1], g.enabled[k, i - 1]
        i -= 1
    g.innovation[k, i], g.source[k, i], g.target[k, i] = innovation, source, target
    g.weight[k, i], g.enabled[k, i] = weight, True
    g.genes[k] += 1


@compiled
def connected(g: Genomes, k: int, source: int, target: int) -> bool:
    """Is there a gene from source to target, enabled or not?"""
    for i in range(g.genes[k]):  # noqa: SIM110 - numba compiles no generator
        if g.source[k, i] == source and g.target[k, i] == target:
            return True
    return False


@compiled
def reaches(g: Genomes, k: int, start: int, goal: int) -> bool:
    """Is there a path from start to goal? A disabled gene counts too, as it may come back."""
    if start == goal:
        return True
    n = g.genes[k]
    used = np.zeros(n, np.bool_)
    stack = np.empty(n + 1, np.int64)
    stack[0], size = start, 1
    while size:
        size -= 1
        node = stack[size]
        for i in range(n):
            if not used[i] and g.source[k, i] == node:
                if g.target[k, i] == goal:
                    return True
                used[i] = True
                stack[size] = g.target[k, i]
                size += 1
    return False


@compiled
def may_join(g: Genomes, k: int, source: int, target: int, recurrent: bool) -> bool:
    """May a gene from source to target be added: new, and closing no cycle unless that is allowed?"""
    return not connected(g, k, source, target) and (recurrent or not reaches(g, k, target, source))


@compiled
def hidden_nodes(g: Genomes, k: int, last: int) -> Ints:
    """The numbers of the hidden nodes, sorted; ``last`` is the number of the last output."""
    found = np.empty(2 * g.genes[k], np.int64)
    size = 0
    for i in range(g.genes[k]):
        for node in (g.source[k, i], g.target[k, i]):
            if node > last:
                place = size
                while place > 0 and found[place - 1] > node:
                    place -= 1
                if place == 0 or found[place - 1] != node:
                    for later in range(size, place, -1):
                        found[later] = found[later - 1]
                    found[place] = node
                    size += 1
    return found[:size]


@compiled
def mutate_weights(
    g: Genomes, k: int, rng: np.random.Generator, perturbed: float, power: float, reach: float, limit: float
) -> None:
    """Perturb each weight with probability ``perturbed``, by up to ``power``; else draw it anew within ``reach``."""
    for i in range(g.genes[k]):
        weight = g.weight[k, i]
        if rng.random() < perturbed:
            weight += (2 * rng.random() - 1) * power
        else:
            weight = (2 * rng.random() - 1) * reach
        weight = min(max(weight, -limit), limit)
        g.weight[k, i] = np.rint(weight * DECIMALS) / DECIMALS


@compiled
def add_node(g: Genomes, k: int, book: Book, rng: np.random.Generator, inputs: int) -> bool:
    """Split an enabled gene i -> o with weight w in i -> h with weight 1 and h -> o with weight w.

    The bias is not split: a node that only sees a constant is a constant.

    Returns:
        False where no gene can be split.
    """
    n = g.genes[k]
    open_genes = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        if g.enabled[k, i] and g.source[k, i] != inputs:
            open_genes[size] = i
            size += 1
    if not size:
        return False
    gene = open_genes[below(rng, size)]
    old = g.innovation[k, gene]
    row = 0
    while row < book.used[1] and book.splits[row, 0] != old:
        row += 1
    if row == book.used[1]:
        book.splits[row, 0], book.splits[row, 1] = old, book.next[1]
        book.splits[row, 2], book.splits[row, 3] = book.next[0], book.next[0] + 1
        book.next[0] += 2
        book.next[1] += 1
        book.used[1] += 1
    node = book.splits[row, 1]
    g.enabled[k, gene] = False
    source, target, weight = g.source[k, gene], g.target[k, gene], g.weight[k, gene]
    insert(g, k, book.splits[row, 2], source, node, 1.0)
    insert(g, k, book.splits[row, 3], node, target, weight)
    return True


@compiled
def add_connection(g: Genomes, k: int, book: Book, rng: np.random.Generator, shape: Shape, reach: float) -> bool:
    """Connect two nodes that are not connected, with a weight within ``reach``.

    Returns:
        False where :data:`TRIES` draws found no such pair.
    """
    first = shape.inputs + 1  # the first output
    last = shape.inputs + shape.outputs
    hidden = hidden_nodes(g, k, last)
    senders = shape.inputs + 1 + (shape.outputs if shape.recurrent else 0)
    for _ in range(TRIES):
        s = below(rng, senders + len(hidden))
        t = below(rng, shape.outputs + len(hidden))
        source = s if s < senders else hidden[s - senders]
        target = first + t if t < shape.outputs else hidden[t - shape.outputs]
        if may_join(g, k, source, target, shape.recurrent):
            row = 0
            while row < book.used[0] and (book.links[row, 0] != source or book.links[row, 1] != target):
                row += 1
            if row == book.used[0]:
                book.links[row, 0], book.links[row, 1], book.links[row, 2] = source, target, book.next[0]
                book.next[0] += 1
                book.used[0] += 1
            weight = min(max((2 * rng.random() - 1) * reach, -shape.weight_limit), shape.weight_limit)
            insert(g, k, book.links[row, 2], source, target, np.rint(weight * DECIMALS) / DECIMALS)
            return True
    return False
