"""Cells as data, and the published ones. Pure Python: no torch.

A cell has two inputs, the outputs of the two cells before it (0: the one before the previous,
1: the previous), and nodes 2, 3, ...; a node is the sum of its edges, an edge applies an op to an
earlier state. The output is the concatenation of some nodes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, cast

from nascore.errors import SpaceError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.records import Json


class Edge(NamedTuple):
    """An op applied to an earlier state of the cell."""

    op: str
    input: int


Node = tuple[Edge, ...]
"""The edges whose outputs are added."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        nodes: of states 2, 3, ..., in an order in which every input comes first.
        concat: the nodes (2, 3, ...) whose concatenation is the output.
    """

    nodes: tuple[Node, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what is no cell.

        Raises:
            SpaceError: a node without edges, an edge from a state that does not come before its
                node, or a concatenation of nothing or of something that is no node.
        """
        for state, node in enumerate(self.nodes, start=2):
            if not node:
                raise SpaceError(f"Node {state} has no edge; give it at least one [op, input].")
            for edge in node:
                if not 0 <= edge.input < state:
                    raise SpaceError(f"Node {state} reads state {edge.input}; allowed: 0..{state - 1}.")
        if not self.concat or not all(2 <= state < len(self.nodes) + 2 for state in self.concat):
            raise SpaceError(
                f"The cell concatenates {list(self.concat)}; allowed: one or more of 2..{len(self.nodes) + 1}."
            )

    @property
    def inputs(self) -> frozenset[int]:
        """Which of the two cell inputs, 0 and 1, are read at all."""
        return frozenset(edge.input for node in self.nodes for edge in node if edge.input < 2)


def loose_ends(nodes: Sequence[Node]) -> tuple[int, ...]:
    """The nodes that no other node reads: what NASNet concatenates (Zoph et al. 2018, section 3)."""
    used = {edge.input for node in nodes for edge in node}
    return tuple(state for state in range(2, len(nodes) + 2) if state not in used)


@dataclass(frozen=True)
class Genotype:
    """A normal cell, which keeps height and width, and a reduction cell, which halves them.

    PNAS uses one cell for both: ``Genotype(cell, cell)``.
    """

    normal: Cell
    reduce: Cell

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Genotype:
        """Read the customary form: ``[op, input]`` pairs one after the other, two a node.

        Args:
            data: with the keys ``normal``, ``normal_concat``, ``reduce``, ``reduce_concat``.

        Raises:
            SpaceError: a key is missing, or a cell is none.
        """
        return cls(_cell(data, "normal"), _cell(data, "reduce"))


def _cell(data: Mapping[str, Json], kind: str) -> Cell:
    pairs, concat = data.get(kind), data.get(f"{kind}_concat")
    if not isinstance(pairs, list) or not isinstance(concat, list) or len(pairs) % 2:
        raise SpaceError(f"{kind} and {kind}_concat must be lists, {kind} of two [op, input] pairs a node.")
    edges = [_edge(pair) for pair in pairs]
    nodes = tuple(zip(edges[::2], edges[1::2], strict=True))
    if not all(isinstance(state, int) for state in concat):
        raise SpaceError(f"{kind}_concat must be a list of integers; got {concat!r}.")
    return Cell(nodes, tuple(cast("list[int]", concat)))


def _edge(pair: Json) -> Edge:
    match pair:
        case [str(op), int(state)]:
            return Edge(op, state)
    raise SpaceError(f"An edge is a pair such as ['skip_connect', 0]; got {pair!r}.")


@cache
def _published() -> dict[str, dict[str, Json]]:
    text = files("nascore_blocks").joinpath("genotypes.json").read_text(encoding="utf-8")
    return json.loads(text)["genotypes"]  # type: ignore[no-any-return]  # our own file, read by the tests


def published() -> tuple[str, ...]:
    """Names of the published genotypes: ``NASNet_A``, ``AmoebaNet_A``, ``DARTS_V1``, ``DARTS_V2``."""
    return tuple(_published())


def genotype(name: str) -> Genotype:
    """A published genotype.

    Raises:
        SpaceError: none has this name.
    """
    if name not in _published():
        raise SpaceError(f"There is no genotype {name!r}; {nearest(name, published())}.")
    return Genotype.from_json(_published()[name])


def source(name: str) -> str:
    """Where a published genotype comes from: authors, year, arXiv number."""
    genotype(name)
    return str(_published()[name]["source"])
