"""The cells of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): four nodes, six edges, one op on each."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError, nearest
from nascore_blocks.supernet.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_blocks.graphcells import GraphNetwork
    from nascore_blocks.supernet.nasbench201 import GraphSupernet

    Ops = tuple[str, ...]
    """One op for each of :data:`EDGES`: a cell."""


class Link(NamedTuple):
    """An edge of the cell: it leads from node ``input`` to ``node``."""

    node: int
    input: int


NODES = 4
EDGES = tuple(Link(node, given) for node in range(1, NODES) for given in range(node))
NAMES = tuple(f"edge.{edge.node}.{edge.input}" for edge in EDGES)
"""Names of the decisions, in the order of :data:`EDGES`."""

HOUSE_OPS = {
    "none": "none",
    "skip_connect": "skip_connect",
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "avg_pool_3x3": "avg_pool_3x3",
}
"""The benchmark's name of an op -> its name in :data:`nascore_blocks.ops.OPS`."""


@dataclass(frozen=True)
class GraphWiring(Wiring):
    """The six edges of the cell, and the candidate ops of each.

    Attributes:
        ops: names of the candidate ops.
    """

    ops: tuple[str, ...]

    @property
    def edges(self) -> tuple[Link, ...]:
        """Node by node, then by input."""
        return EDGES

    def target(self, edge: int) -> int:
        """The node."""
        return EDGES[edge].node

    @cached_property
    def into(self) -> dict[int, tuple[int, ...]]:
        """Node -> indices of the edges that lead to it."""
        return {n: tuple(i for i, edge in enumerate(EDGES) if edge.node == n) for n in range(1, NODES)}


class NASBench201(DecisionSpace):
    """NAS-Bench-201 cells, and its network around them.

    The decisions are ``edge.1.0``, ``edge.2.0``, ``edge.2.1``, ``edge.3.0``, ``edge.3.1`` and ``edge.3.2``:
    the op from node 0 (the input) to node 1, and so on; node 3 is the output, and a node is the sum of its
    edges. The network is a 3x3 convolution, ``cells`` cells, a residual block of stride 2 that doubles the
    channels, ``cells`` cells, and so on; the benchmark has ``channels=16, cells=5`` on images of 32x32.

    Edges that come from nothing or lead nowhere are not built, and count for nothing in the key: two cells
    share a key when their networks do the same, ``none`` being absent and ``skip_connect`` its input. By
    that the 15,625 cells are 5,260 networks. The paper's 6,466 are classes of a string: see
    :func:`published_form`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}

    def __init__(
        self,
        ops: Sequence[str] = tuple(HOUSE_OPS),
        channels: int = 16,
        cells: int = 1,
        reductions: int | None = None,
        none_wins: bool = True,
        keep_dead: bool = False,
    ) -> None:
        """
        Args:
            ops: candidates of an edge: ``none``, ``skip_connect``, ``nor_conv_1x1``, ``nor_conv_3x3``,
                ``avg_pool_3x3``, or some of them.
            channels: C, before the first reduction; each reduction doubles them.
            cells: N, the cells in a row, before, between and after the reductions.
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.
            none_wins: let :meth:`derive` end an edge with ``none``, as SNAS does, where it outweighs every
                other op; False: never, as in DARTS.
            keep_dead: build every edge, as the authors do, so that parameters are counted as in their
                table; no two cells share a key then.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value in (("channels", channels), ("cells", cells)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= 1.")
        if reductions is not None and reductions < 0:
            raise SettingsError(f"reductions is {reductions}; it must be a whole number >= 0.")
        self.ops, self.channels, self.cells = subset(ops, HOUSE_OPS), channels, cells
        self.reductions, self.none_wins, self.keep_dead = reductions, none_wins, keep_dead

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Remember the task."""
        self.task = task

    def decide(self, choose: Choose) -> Ops:
        """One op for each edge."""
        return tuple(choose(name, self.ops) for name in NAMES)

    def canonical(self, genome: Json) -> Json:
        """The network of the cell, in the one form that all cells with it share."""
        return genome if self.keep_dead else canonical_terms(ops_of(genome))

    def genome_of(self, text: str) -> dict[str, Json]:
        """The genome of a cell in the benchmark's own writing, such as ``|none~0|+|...~0|...~1|+|...|``.

        Raises:
            SpaceError: it is no such text, or has an op that this space has not.
        """
        genome: dict[str, Json] = dict(zip(NAMES, parse(text), strict=True))
        self.check(self.architecture(genome))
        return genome

    def text(self, architecture: Architecture) -> str:
        """The cell in the benchmark's own writing; the inverse of :meth:`genome_of`."""
        return write(ops_of(architecture.genome))

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> GraphNetwork:
        """The network for this task."""
        from nascore_blocks.graphcells import GraphCell, GraphNetwork

        ops = ops_of(architecture.genome)
        return GraphNetwork(lambda c: GraphCell(ops, c, keep_dead=self.keep_dead), **self._macro(task))

    def supernet(self, task: Task, *, fast: bool = True) -> GraphSupernet:
        """All networks of this space in one: the capability ``supernet``; there is no faster way for ``fast``."""
        from nascore_blocks.supernet.nasbench201 import GraphSupernet

        supernet = GraphSupernet(self.wirings["cell"], **self._macro(task))
        supernet.fast = fast
        return supernet

    @property
    def wirings(self) -> dict[str, GraphWiring]:
        """The one kind is ``cell``."""
        return {"cell": GraphWiring(self.ops)}

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The strongest op of each edge; of equals the first, and ``none`` last of all (see ``none_wins``).

        Args:
            weights: ``cell`` -> (6, ops), whose order counts.
        """
        live = [index for index, op in enumerate(self.ops) if op != "none"]
        genome: dict[str, Json] = {}
        for name, row in zip(NAMES, weights["cell"].tolist(), strict=True):
            best = max(live, key=row.__getitem__)
            none_is_stronger = self.none_wins and "none" in self.ops and row[self.ops.index("none")] > row[best]
            genome[name] = "none" if none_is_stronger else self.ops[best]
        return self.architecture(genome)

    def _macro(self, task: Task) -> dict[str, Any]:
        reductions = fitting_reductions(task.shape) if self.reductions is None else self.reductions
        return {
            "shape": task.shape, "classes": task.classes,
            "channels": self.channels, "cells": self.cells, "reductions": reductions,
        }  # fmt: skip


# ------------------------------------------------------------------------------------ a cell, as data


_ops_of: Callable[[Mapping[str, Json]], Ops] = itemgetter(*NAMES)


def ops_of(genome: Json) -> Ops:
    """The ops of a checked genome, in the order of :data:`EDGES`."""
    return _ops_of(genome)  # type: ignore[arg-type]  # a checked genome


def live_edges(ops: Ops) -> tuple[bool, ...]:
    """For each edge: does it come from the input and lead to the output?"""
    fed, read = {0}, {NODES - 1}
    for (node, given), op in zip(EDGES, ops, strict=True):
        if op != "none" and given in fed:
            fed.add(node)
    for (node, given), op in zip(reversed(EDGES), reversed(ops), strict=True):
        if op != "none" and node in read:
            read.add(given)
    return tuple(op != "none" and e.input in fed and e.node in read for e, op in zip(EDGES, ops, strict=True))


@cache  # there are 15,625 cells, and a search on a table asks for each many times
def canonical_terms(ops: Ops) -> Json:
    """What the cell computes: the least writing of its terms; not to be changed.

    A term is the input (number 0), or an op applied to a sum of terms; a node is a sum of terms, and a skip
    adds those of its input. Convolutions have weights of their own, so two of them are two terms, and it
    counts which one is read where: conv(x) + conv(x) with shared weights is not conv(x) + conv'(x). A
    pooling is the same wherever its input is.

    Returns:
        For each term that reaches the output its op and the numbers of the terms it reads; at the end the
        numbers of the terms whose sum is the output.
    """
    terms, output = _terms(ops)
    unfolded = {term: _unfolded(term, terms) for term in _reached(output, terms)}
    groups = [list(g) for _, g in itertools.groupby(sorted(unfolded, key=unfolded.__getitem__), unfolded.__getitem__)]
    # Terms that unfold alike can differ in who reads them, so each order of them is tried.
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return min(_numbered([t for group in order for t in group], terms, output) for order in orders)


Terms = dict[int, "tuple[str, tuple[int, ...]]"]
"""Number of a term -> its op, and the terms it reads."""


def _terms(ops: Ops) -> tuple[Terms, tuple[int, ...]]:
    terms: Terms = {}
    nodes: list[tuple[int, ...]] = [(0,), *[()] * (NODES - 1)]
    for number, ((node, given), op) in enumerate(zip(EDGES, ops, strict=True), start=1):
        read = nodes[given]
        if op == "none" or not read:
            continue
        if op == "skip_connect":
            added = read
        else:
            same = [old for old, term in terms.items() if term == (op, read) and "pool" in op]
            added = (same[0],) if same else (number,)
            terms.setdefault(added[0], (op, read))
        nodes[node] = tuple(sorted(nodes[node] + added))
    return terms, nodes[-1]


def _reached(output: tuple[int, ...], terms: Terms) -> set[int]:
    found = set(output) - {0}
    for term in sorted(terms, reverse=True):  # what reads a term has a larger number
        if term in found:
            found |= set(terms[term][1]) - {0}
    return found


def _unfolded(term: int, terms: Terms) -> str:
    if not term:
        return "x"
    op, read = terms[term]
    return f"{op}({'+'.join(sorted(_unfolded(each, terms) for each in read))})"


def _numbered(order: list[int], terms: Terms, output: tuple[int, ...]) -> list[Any]:
    number = {0: 0} | {term: index for index, term in enumerate(order, start=1)}
    rows = [[terms[term][0], sorted(number[each] for each in terms[term][1])] for term in order]
    return [*rows, sorted(number[term] for term in output)]


def published_form(ops: Ops) -> str:
    """The string by which Dong and Yang 2020 count 6,466 different cells.

    Each node is written out as the sorted sum of its edges; a skip is what its input is, ``none``, and an
    edge from nothing, is ``#``. Being a string it forgets which convolutions are one and the same, and it
    keeps how many ``#`` a sum has, which no network does; so it both joins different networks and parts
    equal ones.
    """
    nodes = ["x"]
    for node in range(1, NODES):
        parts = []
        for (target, given), op in zip(EDGES, ops, strict=True):
            if target == node:
                nothing = op == "none" or nodes[given] == "#"
                parts.append("#" if nothing else nodes[given] if op == "skip_connect" else f"({nodes[given]})@{op}")
        nodes.append("+".join(sorted(parts)))
    return nodes[-1]


def write(ops: Ops) -> str:
    """The benchmark's own writing: ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...~0|...~1|...~2|``."""
    texts = [[f"{op}~{e.input}" for e, op in zip(EDGES, ops, strict=True) if e.node == n] for n in range(1, NODES)]
    return "+".join(f"|{'|'.join(parts)}|" for parts in texts)


def parse(text: str) -> Ops:
    """The inverse of :func:`write`.

    Raises:
        SpaceError: it is no such text; shows one.
    """
    found = re.findall(r"(\w+)~(\d)", text)
    ops = tuple(op for op, _ in found)
    if len(ops) != len(EDGES) or write(ops) != text.strip():
        shown = write(("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1"))
        raise SpaceError(f"{text!r} is no cell of NAS-Bench-201; write it like {shown}.")
    return ops


# ------------------------------------------------------------------------------------ shared with the macro space


def fitting_reductions(shape: Sequence[int]) -> int:
    """How often to halve images (channels, height, width): up to twice, while the last map keeps 2 pixels or more."""
    return sum(min(shape[1:]) > 2**times for times in (1, 2))


def subset(ops: Sequence[str], allowed: Mapping[str, object]) -> Ops:
    """The ops as a tuple.

    Raises:
        SettingsError: none at all, one that is not ``allowed``, or one twice.
    """
    if isinstance(ops, str) or not ops or set(ops) == {"none"}:
        raise SettingsError(f"ops is {ops!r}; it needs a list of some of {', '.join(allowed)}.")
    for op in ops:
        if op not in allowed:
            raise SettingsError(f"There is no op {op!r}; {nearest(op, allowed)}.")
    if len(set(ops)) < len(ops):
        raise SettingsError(f"ops names one op twice: {', '.join(ops)}.")
    return tuple(ops)
