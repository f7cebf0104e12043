"""One form for all cells that differ only in the order of a node's edges or of the nodes.

Two cells are isomorphic when renaming the nodes turns one into the other. Nodes with equal
definitions have weights of their own, so they are not merged: which of them a reader reads counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Form = tuple[tuple[int, str], ...]
    Nodes = Sequence[Sequence[tuple[int, str]]]
    Readers = Sequence[Sequence[tuple[int, str]]]


def canonical_nodes(nodes: Nodes) -> list[Form]:
    """The least way to write the nodes down.

    A writing is an order of the nodes in which inputs come first, each node as its sorted
    (input, op) pairs, with inputs renumbered in this order. It determines the cell, and isomorphic
    cells have the same writings, so the least of them is a complete invariant. The least writing
    starts with the least node that can come first, and so on; only ties need a look ahead.

    Args:
        nodes: of states 2, 3, ...: (input, op) pairs; input < the node's own state.

    Returns:
        The nodes of the least writing, in its order and its numbers.
    """
    readers: list[list[tuple[int, str]]] = [[] for _ in range(len(nodes) + 2)]
    for state, node in enumerate(nodes, start=2):
        for given, op in node:
            readers[given].append((state, op))
    names = [0, 1] + [-1] * len(nodes)
    waits = [sum([given > 1 for given, _ in node]) for node in nodes]
    ready = {state: tuple(sorted(node)) for state, node in enumerate(nodes, start=2) if not waits[state - 2]}
    return _least(nodes, readers, _Writing(names, waits, ready))


@dataclass
class _Writing:
    """A writing that has begun.

    Attributes:
        names: number of each state, -1 where it has none yet.
        waits: of each node, how many edges come from states without a number.
        ready: state -> form, of the nodes that may come next.
    """

    names: list[int]
    waits: list[int]
    ready: dict[int, Form]

    def copy(self) -> _Writing:
        return _Writing(self.names[:], self.waits[:], self.ready.copy())

    def append(self, state: int, nodes: Nodes, readers: Readers) -> _Writing:
        """Give ``state`` the next number; its readers may become ready by it."""
        names, waits = self.names, self.waits
        names[state] = max(names) + 1
        del self.ready[state]
        for reader, _ in readers[state]:
            waits[reader - 2] -= 1
            if not waits[reader - 2]:
                self.ready[reader] = tuple(sorted([(names[given], op) for given, op in nodes[reader - 2]]))
        return self


def _least(nodes: Nodes, readers: Readers, writing: _Writing) -> list[Form]:
    """The rest of the least writing that begins like this one, which is used up."""
    forms: list[Form] = []
    while writing.ready:
        least = min(writing.ready.values())
        tied = [state for state, form in writing.ready.items() if form == least]
        if len(tied) > 1:
            # Equal so far. Where they are told apart by who reads them, and how, try one of each kind.
            tied = list({tuple(sorted(readers[state])): state for state in tied}.values())
        if len(tied) > 1:
            begun = [writing.copy().append(state, nodes, readers) for state in tied]
            return [*forms, least, *min(_least(nodes, readers, each) for each in begun)]
        forms.append(least)
        writing.append(tied[0], nodes, readers)
    return forms
