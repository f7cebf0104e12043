"""Which candidate edges and ops a searched cell has. Pure Python: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Place(NamedTuple):
    """One candidate edge: it leads from state ``input`` to ``node``; a node may have it in several slots."""

    node: int
    slot: int
    input: int


@dataclass(frozen=True)
class Wiring:
    """All candidate edges of a cell, and the candidate ops of each.

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

    @cached_property
    def live(self) -> tuple[int, ...]:
        """Indices of the ops but ``none``, whose output is zero and need not be computed."""
        return tuple(index for index, op in enumerate(self.ops) if op != "none")

    @cached_property
    def everything(self) -> tuple[tuple[int, ...], ...]:
        """All live ops on all edges."""
        return (self.live,) * len(self.edges)

    def paths_into(self, edge: int) -> int:
        """k: how many live ops lead into the node that this edge leads to."""
        return len(self.into[self.edges[edge].node]) * len(self.live)
