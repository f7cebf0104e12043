"""From genes to activations, compiled: all genomes of a generation on all examples in one call.

Feed-forward networks are run node by node in the order of their depth. Recurrent ones are run in
steps: in each, every node reads what the others were before it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore_neat.genetics import hidden_nodes
from nascore_neat.jit import compiled

if TYPE_CHECKING:
    from nascore_neat.genome import Floats, Genomes, Ints, Shape

ACTIVATIONS = ("sigmoid", "tanh", "relu", "linear")
"""What a node can make of its sum; the paper has the sigmoid, 1 / (1 + exp(-4.9 x))."""

STEEPNESS = 4.9


class Wiring(NamedTuple):
    """The enabled genes, ready to run; nodes are counted from 0: inputs, bias, outputs, hidden.

    Attributes:
        order: (nodes that compute,) in which they do; a recurrent network has no order, and any will do.
        starts: (nodes that compute + 1,) where the genes into each begin, in that order.
        source: (genes,) where each comes from.
        weight: (genes,).
        nodes: of all kinds.
    """

    order: Ints
    starts: Ints
    source: Ints
    weight: Floats
    nodes: int


@compiled
def in_order(source: Ints, target: Ints, nodes: int, first: int, recurrent: bool) -> Ints:
    """The nodes from ``first`` on, each after those that lead to it; of a recurrent network by number.

    Args:
        source, target: (genes,) nodes.
        nodes: of all kinds.
        first: the first one that computes.
        recurrent: there may be cycles, and so no order.
    """
    depth = np.zeros(nodes, np.int64)
    changed = not recurrent
    while changed:  # the longest path to each node
        changed = False
        for i in range(len(source)):
            if depth[target[i]] <= depth[source[i]]:
                depth[target[i]] = depth[source[i]] + 1
                changed = True
    order = np.empty(nodes - first, np.int64)
    done, level = 0, 0
    while done < len(order):
        for node in range(first, nodes):
            if depth[node] == level:
                order[done] = node
                done += 1
        level += 1
    return order


@compiled
def wire(g: Genomes, k: int, shape: Shape) -> Wiring:
    """Sort the enabled genes of one genome by the node that they lead to."""
    fixed = shape.inputs + 1 + shape.outputs
    hidden = hidden_nodes(g, k, fixed - 1)
    nodes = fixed + len(hidden)
    source = np.empty(g.genes[k], np.int64)
    target = np.empty(g.genes[k], np.int64)
    weight = np.empty(g.genes[k], np.float64)
    size = 0
    for i in range(g.genes[k]):
        if g.enabled[k, i]:
            s, t = g.source[k, i], g.target[k, i]
            source[size] = s if s < fixed else fixed + np.searchsorted(hidden, s)
            target[size] = t if t < fixed else fixed + np.searchsorted(hidden, t)
            weight[size] = g.weight[k, i]
            size += 1
    first = shape.inputs + 1
    order = in_order(source[:size], target[:size], nodes, first, shape.recurrent)
    place = np.empty(nodes, np.int64)
    for n in range(len(order)):
        place[order[n]] = n
    starts = np.zeros(len(order) + 1, np.int64)
    for i in range(size):
        starts[place[target[i]] + 1] += 1
    for n in range(len(order)):
        starts[n + 1] += starts[n]
    free = starts.copy()
    sorted_source = np.empty(size, np.int64)
    sorted_weight = np.empty(size, np.float64)
    for i in range(size):
        n = place[target[i]]
        sorted_source[free[n]], sorted_weight[free[n]] = source[i], weight[i]
        free[n] += 1
    return Wiring(order, starts, sorted_source, sorted_weight, nodes)


@compiled
def activate(total: float, activation: int) -> float:
    """The value of a node; ``activation`` is an index of :data:`ACTIVATIONS`."""
    if activation == 0:
        return 1.0 / (1.0 + math.exp(-STEEPNESS * total)) if total > -140.0 else 0.0  # exp overflows further on
    if activation == 1:
        return math.tanh(total)
    if activation == 2:
        return max(total, 0.0)
    return total


@compiled
def step(wiring: Wiring, before: Floats, after: Floats, activation: int) -> None:
    """Compute every node once: from ``before``, (nodes,), into ``after``.

    With both the same array, a feed-forward network is run whole.
    """
    for n in range(len(wiring.order)):
        total = 0.0
        for i in range(wiring.starts[n], wiring.starts[n + 1]):
            total += before[wiring.source[i]] * wiring.weight[i]
        after[wiring.order[n]] = activate(total, activation)


@compiled
def run(wiring: Wiring, values: Floats, spare: Floats, shape: Shape, activation: int, steps: int) -> None:
    """Run a network whose inputs are set in ``values``, (nodes,), and leave what it gives there.

    Args:
        wiring, shape, activation: see there.
        values: the inputs and the bias, then what the nodes were before.
        spare: of the same shape; overwritten.
        steps: of a recurrent network.
    """
    if not shape.recurrent:
        step(wiring, values, values, activation)
        return
    first = shape.inputs + 1
    for _ in range(steps):
        step(wiring, values, spare, activation)
        values[first:] = spare[first:]


@compiled
def outputs(g: Genomes, inputs: Floats, shape: Shape, activation: int, steps: int) -> Floats:
    """Run every genome on every example; a recurrent network begins each one at rest, all nodes 0.

    Args:
        g: the genomes.
        inputs: (examples, inputs).
        shape, activation, steps: see :func:`run`.

    Returns:
        (genomes, examples, outputs).
    """
    first = shape.inputs + 1
    result = np.empty((len(g.genes), len(inputs), shape.outputs))
    for k in range(len(g.genes)):
        wiring = wire(g, k, shape)
        values, spare = np.zeros(wiring.nodes), np.zeros(wiring.nodes)
        for e in range(len(inputs)):
            values[: shape.inputs] = inputs[e]
            values[shape.inputs] = 1.0
            values[first:] = 0.0
            run(wiring, values, spare, shape, activation, steps)
            result[k, e] = values[first : first + shape.outputs]
    return result
