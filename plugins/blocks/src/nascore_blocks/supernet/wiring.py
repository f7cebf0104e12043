"""Which candidate edges and ops a supernet has. Pure Python: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Wiring:
    """The candidate edges of one kind of place, and the candidate ops of each: (edges, ops).

    An edge stands for one choice: which op runs between two states of a cell, at a layer, in a chain.

    Attributes:
        ops: names of the candidate ops. ``none`` computes nothing: its output is zero.
        edges: what the edges are; their order is that of the rows of every table.
    """

    ops: tuple[str, ...]

    @property
    def edges(self) -> Sequence[Hashable]:
        """What the edges are."""
        raise NotImplementedError

    def target(self, edge: int) -> Hashable:
        """What an edge leads to: the outputs of edges with the same target are added."""
        return edge

    @cached_property
    def size(self) -> tuple[int, int]:
        """(edges, ops), the shape of every table."""
        return len(self.edges), len(self.ops)

    @cached_property
    def allowed(self) -> tuple[tuple[int, ...], ...]:
        """For each edge, the indices of the ops that it may have, ``none`` among them; by default all."""
        return (tuple(range(len(self.ops))),) * len(self.edges)

    @cached_property
    def live(self) -> tuple[int, ...]:
        """Indices of the ops but ``none``, whose output is zero and need not be computed."""
        return tuple(index for index, op in enumerate(self.ops) if op != "none")

    @cached_property
    def everything(self) -> tuple[tuple[int, ...], ...]:
        """All live ops on all edges."""
        return tuple(tuple(op for op in ops if op in self.live) for ops in self.allowed)

    def paths_into(self, edge: int) -> int:
        """k: how many live ops lead into what this edge leads to."""
        target = self.target(edge)
        return sum(len(ops) for other, ops in enumerate(self.everything) if self.target(other) == target)


@dataclass(frozen=True)
class Row(Wiring):
    """Edges that lead each to a place of its own: the layers of a chain.

    Attributes:
        count: of edges.
        ops: names of the candidate ops.
        options: for each edge, the names of the ops that it may have; empty: all.
    """

    count: int
    ops: tuple[str, ...]
    options: tuple[tuple[str, ...], ...] = ()

    @property
    def edges(self) -> range:
        """Their numbers."""
        return range(self.count)

    @cached_property
    def allowed(self) -> tuple[tuple[int, ...], ...]:
        """See :class:`Wiring`."""
        options = self.options or (self.ops,) * self.count
        return tuple(tuple(self.ops.index(op) for op in names) for names in options)


class Place(NamedTuple):
    """One candidate edge of a cell: it leads from state ``input`` to ``node``; a node may have it in several slots."""

    node: int
    slot: int
    input: int


@dataclass(frozen=True)
class CellWiring(Wiring):
    """All candidate edges of a cell with two inputs, and the candidate ops of each.

    Attributes:
        nodes: without the two inputs; they are the states 2, 3, ....
        slots: 1 where a node adds edges from distinct inputs (DARTS), one edge from every earlier
            state; 2 where it adds two independent choices of (input, op) (NASNet, ENAS), each with
            weights of its own, so the same input may be read twice.
        ops: names of the candidate ops; may have ``none``.
    """

    nodes: int
    slots: int
    ops: tuple[str, ...]

    @cached_property
    def edges(self) -> tuple[Place, ...]:
        """All candidate edges; node by node, then slot by slot, then by input."""
        states = range(2, self.nodes + 2)
        return tuple(Place(n, slot, i) for n in states for slot in range(self.slots) for i in range(n))

    def target(self, edge: int) -> int:
        """The node."""
        return self.edges[edge].node

    @cached_property
    def number(self) -> dict[Place, int]:
        """Place -> its index in :attr:`edges`."""
        return {place: index for index, place in enumerate(self.edges)}

    @cached_property
    def into(self) -> dict[int, tuple[int, ...]]:
        """Node -> indices of the edges that lead to it."""
        return {
            node: tuple(index for index, edge in enumerate(self.edges) if edge.node == node)
            for node in range(2, self.nodes + 2)
        }
