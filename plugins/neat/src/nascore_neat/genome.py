"""Genomes: as plain JSON, and many of them as padded arrays.

Node numbers say what a node is: 0 .. I-1 are the inputs, I is the bias (always 1), I+1 .. I+O are the
outputs, and whatever is larger is hidden. So the node genes are the numbers alone, and the hidden nodes
of a genome are those that its connections mention. The paper's connections are disabled, never deleted.

As JSON: ``{"hidden": [4], "connections": [[innovation, source, target, weight, enabled], ...]}``, the
connections by rising innovation number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from nascore.records import Json

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


Gene = tuple[int, int, float]
"""Source, target, weight."""


class Genomes(NamedTuple):
    """Connection genes of many genomes: row k holds the genes 0 .. genes[k]-1 by rising innovation number.

    Attributes:
        innovation, source, target: (genomes, capacity) int64.
        weight: (genomes, capacity) float64.
        enabled: (genomes, capacity) bool.
        genes: (genomes,) int64; how many each has.
    """

    innovation: Ints
    source: Ints
    target: Ints
    weight: Floats
    enabled: Bools
    genes: Ints


class Shape(NamedTuple):
    """What is the same for every genome of a search.

    Attributes:
        inputs, outputs: how many, without the bias.
        recurrent: connections may close cycles; else every genome is acyclic, disabled genes included.
        weight_limit: weights lie in [-weight_limit, weight_limit].
    """

    inputs: int
    outputs: int
    recurrent: bool
    weight_limit: float


def empty(rows: int, capacity: int) -> Genomes:
    """Room for ``rows`` genomes of up to ``capacity`` genes, all without genes."""
    size = (rows, capacity)
    innovation, source, target = (np.zeros(size, np.int64) for _ in range(3))
    return Genomes(innovation, source, target, np.zeros(size), np.zeros(size, np.bool_), np.zeros(rows, np.int64))


def take(genomes: Genomes, rows: Ints) -> Genomes:
    """Copies of some genomes."""
    g = genomes
    return Genomes(g.innovation[rows], g.source[rows], g.target[rows], g.weight[rows], g.enabled[rows], g.genes[rows])


def trimmed(genomes: Genomes) -> Genomes:
    """The same genomes without the columns that no genome uses."""
    g, longest = genomes, max(1, int(genomes.genes.max()))
    innovation, source, target = (array[:, :longest].copy() for array in (g.innovation, g.source, g.target))
    return Genomes(innovation, source, target, g.weight[:, :longest].copy(), g.enabled[:, :longest].copy(), g.genes)


def minimal(shape: Shape, weights: Sequence[float]) -> Json:
    """The genome that evolution starts from: every input and the bias wired to every output, nothing hidden.

    Args:
        shape: of the search.
        weights: (inputs + 1) * outputs of them, output by output.
    """
    fixed = shape.inputs + 1
    genes: list[Json] = [
        [number, number % fixed, fixed + number // fixed, float(weight), True] for number, weight in enumerate(weights)
    ]
    return {"hidden": [], "connections": genes}


def from_json(genomes: Sequence[Any], room: int = 0) -> Genomes:
    """Pack genomes, which have been checked, in arrays with room for ``room`` more genes each."""
    rows = [genome["connections"] for genome in genomes]
    packed = empty(len(rows), max((len(genes) for genes in rows), default=0) + room)
    for k, genes in enumerate(rows):
        packed.genes[k] = len(genes)
        for array, column in zip(packed, zip(*genes, strict=True), strict=False):
            array[k, : len(genes)] = column
    return packed


def to_json(genomes: Genomes, row: int, shape: Shape) -> Json:
    """One genome as plain JSON."""
    n = int(genomes.genes[row])
    columns = [array[row, :n].tolist() for array in genomes[:5]]
    last = shape.inputs + shape.outputs
    hidden = sorted({node for ends in columns[1:3] for node in ends if node > last})
    return {"hidden": hidden, "connections": [list(gene) for gene in zip(*columns, strict=True)]}


def live_genes(genome: Any, shape: Shape) -> list[Gene]:
    """The genes that matter: enabled, and with a way from their end to an output."""
    genes = [(source, target, weight) for _, source, target, weight, enabled in genome["connections"] if enabled]
    into: dict[int, list[int]] = {}
    for source, target, _ in genes:
        into.setdefault(target, []).append(source)
    live = set(range(shape.inputs + 1, shape.inputs + 1 + shape.outputs))
    stack = list(live)
    while stack:
        for source in into.get(stack.pop(), ()):
            if source not in live:
                live.add(source)
                stack.append(source)
    return [gene for gene in genes if gene[1] in live]
