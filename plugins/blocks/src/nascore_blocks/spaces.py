"""The cell spaces of NASNet (with AmoebaNet and PNAS) and of DARTS, as programs of decisions."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from nascore_blocks.cellspace import KINDS, CellSpace
from nascore_blocks.genotypes import Edge, Node, loose_ends

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Choose
    from nascore.records import Json, Option
    from nascore_blocks.cellspace import Pairs

AMOEBANET_OPS = (
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "avg_pool_3x3",
    "max_pool_3x3",
    "dil_conv_3x3",
    "conv_7x1_1x7",
)
"""The ops of AmoebaNet (Real et al. 2018) and PNAS; a subset of NASNet's thirteen."""

DARTS_OPS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The ops a DARTS edge can end with (Liu et al. 2019, section 3.1): ``none`` is for the supernet alone."""


class NASNetSpace(CellSpace):
    """NASNet cells (Zoph et al. 2018, arXiv:1707.07012), as AmoebaNet and PNAS search them.

    Each block takes two earlier states, applies an op to each, and adds the results. Block ``b`` of
    a cell is made by the decisions ``normal.b.input.0``, ``normal.b.op.0``, ``normal.b.input.1``
    and ``normal.b.op.1``; input 0 is the cell before the previous one, 1 the previous cell, 2 the
    first block, and so on. The blocks that no other block reads are concatenated.
    """

    slots: ClassVar[int] = 2

    def __init__(
        self,
        blocks: int = 5,
        ops: Sequence[str] = AMOEBANET_OPS,
        channels: int = 16,
        cells: int = 1,
        reductions: int | None = None,
        stem: str = "auto",
        auxiliary: bool = False,
    ) -> None:
        """
        Args:
            blocks: B, the blocks in a cell.
            ops: names of :data:`nascore_blocks.ops.OPS`.
            channels: F, of a block before the first reduction; each reduction doubles them.
            cells: N, the normal cells in a row, before, between and after the reductions.
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.
            stem: ``small``, ``image`` (1/8 of height and width), or ``auto`` by the size of the images.
            auxiliary: add an auxiliary head for training, on the last reduction.

        Raises:
            SettingsError: a value that is not allowed.
        """
        super().__init__(blocks, ops, channels, cells, reductions, stem, auxiliary)
        self._names = {kind: [_edge_names(kind, block) for block in range(blocks)] for kind in KINDS}
        self._inputs = [tuple(range(block + 2)) for block in range(blocks)]

    def ask(self, choose: Choose, kind: str) -> tuple[Node, ...]:
        """Make the decisions of one cell; see :class:`NASNetSpace`."""
        nodes = []
        for names, inputs in zip(self._names[kind], self._inputs, strict=True):
            edges = []
            for of_input, of_op in names:
                given = choose(of_input, inputs)
                edges.append(Edge(choose(of_op, self.ops), given))
            nodes.append(tuple(edges))
        return tuple(nodes)

    def concat(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """The loose ends."""
        return loose_ends(nodes)

    def read(self, genome: Mapping[str, Json], kind: str) -> list[Pairs]:
        """See :meth:`CellSpace.read`."""
        return [[(genome[i], genome[o]) for i, o in names] for names in self._names[kind]]  # type: ignore[misc]  # checked

    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """See :meth:`CellSpace.write`."""
        genome: dict[str, Json] = {}
        for names, node in zip(self._names[kind], nodes, strict=True):
            for (of_input, of_op), edge in zip(names, node, strict=True):
                genome |= {of_input: edge.input, of_op: edge.op}
        return genome


class DARTSSpace(CellSpace):
    """DARTS cells (Liu et al. 2019, arXiv:1806.09055): two distinct inputs a node, all nodes concatenated.

    Node ``b`` is made by ``normal.b.input`` (a pair such as ``"0,2"``, the first smaller; not asked
    for node 0, which has one pair), ``normal.b.op.0`` and ``normal.b.op.1``.
    """

    slots: ClassVar[int] = 1

    def __init__(
        self,
        blocks: int = 4,
        ops: Sequence[str] = DARTS_OPS,
        channels: int = 16,
        cells: int = 2,
        reductions: int | None = None,
        stem: str = "auto",
        auxiliary: bool = False,
    ) -> None:
        """
        Args:
            blocks: nodes in a cell, without the two inputs.
            ops: names of :data:`nascore_blocks.ops.OPS`.
            channels: of a node before the first reduction; each reduction doubles them.
            cells: the normal cells in a row, before, between and after the reductions (2 are the
                8 layers of the paper's search, 6 the 20 of its evaluation).
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.
            stem: ``small``, ``image`` (1/8 of height and width), or ``auto`` by the size of the images.
            auxiliary: add an auxiliary head for training, on the last reduction.

        Raises:
            SettingsError: a value that is not allowed.
        """
        super().__init__(blocks, ops, channels, cells, reductions, stem, auxiliary)
        self._pairs = [{f"{i},{j}": (i, j) for i, j in combinations(range(block + 2), 2)} for block in range(blocks)]
        self._options = [tuple(pairs) for pairs in self._pairs]

    def ask(self, choose: Choose, kind: str) -> tuple[Node, ...]:
        """Make the decisions of one cell; see :class:`DARTSSpace`."""
        nodes = []
        for block, options in enumerate(self._options):
            pair = choose(f"{kind}.{block}.input", options) if block else options[0]
            ops = [choose(f"{kind}.{block}.op.{edge}", self.ops) for edge in (0, 1)]
            nodes.append(tuple(Edge(op, given) for op, given in zip(ops, self._pairs[block][pair], strict=True)))
        return tuple(nodes)

    def concat(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """All nodes."""
        return tuple(range(2, len(nodes) + 2))

    def read(self, genome: Mapping[str, Json], kind: str) -> list[Pairs]:
        """See :meth:`CellSpace.read`."""

        def answer(name: str, options: Sequence[Option]) -> Json:
            return genome[name]

        return [[(edge.input, edge.op) for edge in node] for node in self.ask(answer, kind)]

    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """See :meth:`CellSpace.write`."""
        genome: dict[str, Json] = {}
        for block, node in enumerate(nodes):
            first, second = sorted(node, key=lambda edge: edge.input)
            if block:
                genome[f"{kind}.{block}.input"] = f"{first.input},{second.input}"
            genome |= {f"{kind}.{block}.op.0": first.op, f"{kind}.{block}.op.1": second.op}
        return genome


def _edge_names(kind: str, block: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"{kind}.{block}.input.{edge}", f"{kind}.{block}.op.{edge}") for edge in (0, 1))
