"""Crossover and compatibility distance: both walk two genomes side by side by innovation number, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nascore_neat.genetics import append, may_join
from nascore_neat.jit import compiled

if TYPE_CHECKING:
    import numpy as np

    from nascore_neat.genome import Genomes


class Metric(NamedTuple):
    """Of the compatibility distance: the coefficients c1, c2, c3; below how many genes a genome is small."""

    excess: float
    disjoint: float
    weight: float
    small: int


@compiled
def compare(a: Genomes, i: int, b: Genomes, j: int) -> tuple[int, int, int, float]:
    """Line two genomes up.

    Returns:
        The numbers of matching, disjoint and excess genes, and the mean weight difference of the
        matching ones (0 where none match).
    """
    x, y, matching, disjoint, difference = 0, 0, 0, 0, 0.0
    while x < a.genes[i] and y < b.genes[j]:
        one, other = a.innovation[i, x], b.innovation[j, y]
        if one == other:
            matching += 1
            difference += abs(a.weight[i, x] - b.weight[j, y])
            x += 1
            y += 1
        else:
            disjoint += 1
            if one < other:
                x += 1
            else:
                y += 1
    excess = (a.genes[i] - x) + (b.genes[j] - y)
    return matching, disjoint, excess, difference / max(matching, 1)


@compiled
def distance(a: Genomes, i: int, b: Genomes, j: int, metric: Metric) -> float:
    """Compatibility distance, equation 1: c1 E / N + c2 D / N + c3 W; N is 1 where both genomes are small."""
    _, disjoint, excess, difference = compare(a, i, b, j)
    size = max(a.genes[i], b.genes[j])
    if size < metric.small:
        size = 1
    between: float = (metric.excess * excess + metric.disjoint * disjoint) / size + metric.weight * difference
    return between


@compiled
def cross(
    a: Genomes,
    i: int,
    b: Genomes,
    j: int,
    equal: bool,
    child: Genomes,
    k: int,
    rng: np.random.Generator,
    disabled: float,
    recurrent: bool,
) -> None:
    """Mate genome i of ``a``, the fitter one, with genome j of ``b``; write the child to row k (section 3.2).

    Matching genes come from either parent at random. Disjoint and excess genes come from the fitter
    parent; where both are as fit (``equal``), each such gene of either is taken or left at random. A gene
    that is disabled in a parent that has it is disabled in the child with probability ``disabled``.
    """
    child.genes[k] = 0
    x, y = 0, 0
    while x < a.genes[i] or y < b.genes[j]:
        in_a = x < a.genes[i] and (y >= b.genes[j] or a.innovation[i, x] <= b.innovation[j, y])
        in_b = y < b.genes[j] and (x >= a.genes[i] or b.innovation[j, y] <= a.innovation[i, x])
        on = (not in_a or a.enabled[i, x]) and (not in_b or b.enabled[j, y])
        if in_a and in_b:
            wanted, from_a = True, rng.random() < 0.5
        else:
            wanted, from_a = (rng.random() < 0.5 if equal else in_a), in_a
        if wanted:
            if from_a:
                number, source, target, weight = a.innovation[i, x], a.source[i, x], a.target[i, x], a.weight[i, x]
            else:
                number, source, target, weight = b.innovation[j, y], b.source[j, y], b.target[j, y], b.weight[j, y]
            # Only genes of both parents together can be two of one connection, or close a cycle.
            if not equal or may_join(child, k, source, target, recurrent):
                enabled = on or rng.random() >= disabled
                append(child, k, number, source, target, weight, enabled)
        if in_a:
            x += 1
        if in_b:
            y += 1
