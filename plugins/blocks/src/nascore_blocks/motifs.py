"""Motifs: small graphs of ops, of which hierarchical networks are made (Liu et al. 2018, arXiv:1711.00436)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Union

from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.nasbench201 import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NONE, IDENTITY = "none", "skip_connect"

Form = Union[str, "list[tuple[tuple[int, str], ...]]"]
"""What a motif does: one op, or its nodes in their least writing."""


def links(nodes: int) -> tuple[Link, ...]:
    """The possible edges among ``nodes`` nodes, node by node, then by input: n (n - 1) / 2."""
    return tuple(Link(node, given) for node in range(1, nodes) for given in range(node))


def live_links(present: Iterable[Link], nodes: int) -> list[Link]:
    """Those of the edges that lie on a path from node 0 (the source) to the last node (the sink)."""
    ordered = sorted(present)
    fed, read = {0}, {nodes - 1}
    for link in ordered:
        if link.input in fed:
            fed.add(link.node)
    for link in reversed(ordered):
        if link.node in read:
            read.add(link.input)
    return [link for link in ordered if link.input in fed and link.node in read]


class Motif(NamedTuple):
    """A graph of ops: the upper triangle of the paper's matrix G.

    Attributes:
        nodes: how many; node 0 is the source, the last one the sink.
        ops: for each of :func:`links` the op G_ij of the level below, or ``none``.
    """

    nodes: int
    ops: tuple[str, ...]

    def live(self) -> dict[Link, str]:
        """The edges that count, node by node, with their ops; empty where source and sink are not connected."""
        present = {link: op for link, op in zip(links(self.nodes), self.ops, strict=True) if op != NONE}
        return {link: present[link] for link in live_links(present, self.nodes)}


def motif_form(motif: Motif, labels: Mapping[str, str]) -> Form:
    """A form that two motifs share exactly when renaming nodes makes one of the other, dead edges aside.

    A node with nothing but an identity from another one is that other one; and an op whose output is but one
    part of one merge is written on the edge to it, wherever in the motif the op stands.

    Args:
        motif: with source and sink connected.
        labels: op -> what it does; motifs that do the same have the same label.
    """
    live = {link: labels[op] for link, op in motif.live().items()}
    states = {0: 0}  # node -> state, as canonical_nodes counts: the source is 0, and 2, 3, ... are computed
    nodes: list[list[tuple[int, str]]] = []
    for node in dict.fromkeys(link.node for link in live):
        reads = [(states[link.input], op) for link, op in live.items() if link.node == node]
        if len(reads) == 1 and reads[0][1] == IDENTITY:
            states[node] = reads[0][0]
        else:
            nodes.append(reads)
            states[node] = len(nodes) + 1
    if not nodes:
        return IDENTITY
    if len(nodes) == 1 and len(nodes[0]) == 1:
        return nodes[0][0][1]
    return canonical_nodes(_inlined(nodes))


def _inlined(nodes: list[list[tuple[int, str]]]) -> list[list[tuple[int, str]]]:
    """The nodes (of states 2, 3, ...) without those of one op that a merge alone reads, as it is."""
    reads = Counter(given for node in nodes for given, _ in node)
    merged = {given for node in nodes for given, op in node if op == IDENTITY and reads[given] == 1}
    moved = {state: node[0] for state, node in enumerate(nodes, start=2) if len(node) == 1 and state in merged}
    numbers, kept = {0: 0}, []
    for state, node in enumerate(nodes, start=2):
        if state not in moved:
            pairs = [moved.get(given, (given, op)) for given, op in node]
            kept.append([(numbers[given], op) for given, op in pairs])
            numbers[state] = len(kept) + 1
    return kept
