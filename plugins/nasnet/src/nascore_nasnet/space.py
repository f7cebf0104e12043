"""The search space of NASNet (Zoph, Vasudevan, Shlens and Le 2018, arXiv:1707.07012, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn

from nascore.errors import SettingsError, nearest
from nascore.records import Architecture
from nascore_blocks.cells import CellModule
from nascore_blocks.genotypes import Cell, Edge, Genotype
from nascore_blocks.ops import relu_conv_bn
from nascore_blocks.spaces import NASNetSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Json
    from nascore_blocks.cellspace import Pairs
    from nascore_blocks.genotypes import Node
    from nascore_blocks.networks import CellNetwork

NASNET_OPS = (
    "skip_connect",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)
"""The thirteen ops of the paper."""

COMBINE = ("add", "concat")


@dataclass(frozen=True)
class CombinedCell(Cell):
    """A cell some of whose nodes concatenate the outputs of their two edges.

    Attributes:
        joined: these nodes (2, 3, ...); the others add.
    """

    joined: tuple[int, ...] = ()


class CombiningCell(CellModule):
    """The network of a :class:`CombinedCell`.

    A node that concatenates has twice the channels; ReLU, 1x1 convolution, BN bring them back, so that
    all states of a cell can feed any op.
    """

    def __init__(self, plain: CellModule, joined: Sequence[int]) -> None:
        """
        Args:
            plain: the same cell where all nodes add; its modules are taken over.
            joined: the nodes that concatenate.
        """
        nn.Module.__init__(self)
        self.cell, self.outputs = plain.cell, plain.outputs
        self.preprocess, self.edges, self.drop_path = plain.preprocess, plain.edges, plain.drop_path
        channels = plain.outputs // len(plain.cell.concat)
        self.project = nn.ModuleDict({str(state): relu_conv_bn(2 * channels, channels, 1) for state in joined})

    def forward(self, before: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`nascore_blocks.cells.CellModule.forward`."""
        given = (before, previous)
        states = {int(state): module(given[int(state)]) for state, module in self.preprocess.items()}
        for state, (first, second) in enumerate(self.cell.nodes, start=2):
            one, other = (self._edge(f"{state}_{n}", states[edge.input]) for n, edge in enumerate((first, second)))
            joins = str(state) in self.project
            states[state] = self.project[str(state)](torch.cat([one, other], 1)) if joins else one + other
        return torch.cat([states[state] for state in self.cell.concat], dim=1)


class NASNetCells(NASNetSpace):
    """Normal and reduction cell of B blocks, five decisions a block, in the order of the paper's controller.

    Block ``b`` of the normal cell is made by ``normal.b.input.0``, ``normal.b.input.1``,
    ``normal.b.op.0``, ``normal.b.op.1`` and ``normal.b.combine``; so is the reduction cell's. The
    blocks that no other block reads are concatenated.
    """

    provides: ClassVar[frozenset[str]] = NASNetSpace.provides - {"supernet"}

    def __init__(
        self,
        blocks: int = 5,
        ops: Sequence[str] = NASNET_OPS,
        channels: int = 16,
        cells: int = 1,
        reductions: int | None = None,
        stem: str = "auto",
        auxiliary: bool = False,
        combine: Sequence[str] = ("add",),
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
            combine: how a block may combine its two halves: ``add``, ``concat`` (with a 1x1
                convolution back to F channels), or both.

        Raises:
            SettingsError: a value that is not allowed.
        """
        super().__init__(blocks, ops, channels, cells, reductions, stem, auxiliary)
        if isinstance(combine, str) or not combine or len(set(combine)) < len(combine):
            raise SettingsError(f"combine is {combine!r}; it needs a list of {' and '.join(COMBINE)}, each once.")
        for word in combine:
            if word not in COMBINE:
                raise SettingsError(f"There is no combination {word!r}; {nearest(word, COMBINE)}.")
        self.combine = tuple(combine)

    # ------------------------------------------------------------------ the program

    def decide(self, choose: Choose) -> Genotype:
        """Decide both cells; the normal one alone where the network has no reduction."""
        normal, *reduce = [self._cell(choose, kind) for kind in self._kinds]
        return Genotype(normal, *reduce or [normal])

    def ask(self, choose: Choose, kind: str) -> tuple[Node, ...]:
        """The nodes of one cell, without how they combine."""
        return self._cell(choose, kind).nodes

    def _cell(self, choose: Choose, kind: str) -> CombinedCell:
        nodes, joined = [], []
        for block, (((i, o), (j, p)), inputs) in enumerate(zip(self._names[kind], self._inputs, strict=True)):
            first, second = choose(i, inputs), choose(j, inputs)
            nodes.append((Edge(choose(o, self.ops), first), Edge(choose(p, self.ops), second)))
            if choose(_combine(kind, block), self.combine) == "concat":
                joined.append(block + 2)
        return CombinedCell(tuple(nodes), self.concat(nodes), tuple(joined))

    def read(self, genome: Mapping[str, Json], kind: str) -> list[Pairs]:
        """See :meth:`CellSpace.read`; the ops of a block that concatenates are marked, for they are other nodes."""
        nodes = super().read(genome, kind)
        return [
            [(state, f"{op} | concat") for state, op in node] if genome[_combine(kind, block)] == "concat" else node
            for block, node in enumerate(nodes)
        ]

    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """See :meth:`CellSpace.write`; the nodes combine by the first way that this space allows."""
        genome: dict[str, Json] = {}
        for block, (((i, o), (j, p)), (first, second)) in enumerate(zip(self._names[kind], nodes, strict=True)):
            genome |= {i: first.input, j: second.input, o: first.op, p: second.op}
            genome[_combine(kind, block)] = self.combine[0]
        return genome

    def genome_of(self, genotype: Genotype) -> dict[str, Json]:
        """See :meth:`CellSpace.genome_of`; the nodes of a plain :class:`Cell` add."""
        genome = super().genome_of(genotype)
        for kind in self._kinds:
            joined = getattr(getattr(genotype, kind), "joined", ())
            for block in range(self.blocks):
                genome[_combine(kind, block)] = "concat" if block + 2 in joined else "add"
        self.check(Architecture(self.name, genome, ""))
        return genome

    # ------------------------------------------------------------------ the network

    def build(self, architecture: Architecture, task: Task) -> CellNetwork:
        """See :meth:`CellSpace.build`."""
        network = super().build(architecture, task)
        for layer, module in network.cells.items():
            plain = cast("CellModule", module)
            joined = cast("CombinedCell", plain.cell).joined
            if joined:
                network.cells[layer] = CombiningCell(plain, joined)
        return network


def _combine(kind: str, block: int) -> str:
    return f"{kind}.{block}.combine"
