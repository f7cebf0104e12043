"""The supernet of the choice blocks: every block with every input and every op (Bender et al., ICML 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_blocks.choice import KINDS, output, reading
from nascore_blocks.networks import CellNetwork, stems
from nascore_blocks.ops import FactorisedReduction, make_search_op, relu_conv_bn
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.mix import Paths
from nascore_blocks.supernet.prices import OpShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nascore_blocks.choice import Switches
    from nascore_blocks.genotypes import Cell, Genotype
    from nascore_blocks.supernet.mix import Mixture

HERE = 0
"""Index of the op that is no ``none``."""


class ChoiceCell(nn.Module):
    """A cell of choice blocks with all candidates; its own weights for each input and op of each block."""

    def __init__(
        self,
        wirings: Mapping[str, Switches],
        ops: Sequence[str],
        inputs: tuple[int, int],
        channels: int,
        reduction: bool,
        reduction_before: bool,
    ) -> None:
        """
        Args:
            wirings: of the kinds ``input`` and ``op``.
            ops: names of what a block may apply.
            inputs: channels of the output of the cell before the previous one, and of the previous one.
            channels: of every block.
            reduction: halve height and width.
            reduction_before: the previous cell did, so input 0 is twice as large as input 1.
        """
        super().__init__()
        self.wirings, self.channels, self.reduction = wirings, channels, reduction
        self.blocks = 1 + wirings["op"].target(-1)
        self.preprocess = nn.ModuleList(
            [
                FactorisedReduction(inputs[0], channels, affine=False)
                if reduction_before
                else relu_conv_bn(inputs[0], channels, 1, affine=False),
                relu_conv_bn(inputs[1], channels, 1, affine=False),
            ]
        )
        self.outputs = channels * self.blocks
        reads = [make_search_op("skip_connect", channels, self.stride(state)) for _, state in wirings["input"].edges]
        applied = [make_search_op(ops[op], channels) for _, op in wirings["op"].edges]
        self.edges = nn.ModuleDict({"input": nn.ModuleList(reads), "op": nn.ModuleList(applied)})

    def stride(self, state: int) -> int:
        """Of reading ``state``."""
        return 2 if self.reduction and state < 2 else 1

    def edge(self, kind: str, edge: int) -> nn.Module:
        """The module of an edge."""
        module: nn.Module = self.edges[kind][edge]  # type: ignore[index]  # ModuleDict forgets the class
        return module

    def forward(self, before: Tensor, previous: Tensor, mixture: Mixture) -> Tensor:
        """Run what ``mixture`` says; a block that reads or applies nothing gives zeros.

        Args:
            before: (batch, inputs[0], height, width), or twice as high and wide after a reduction.
            previous: (batch, inputs[1], height, width).
            mixture: paths of ``input`` and ``op``.

        Returns:
            (batch, channels * blocks, height, width); height and width halved, rounded up, by a reduction.
        """
        active = mixture["input"].active
        read = {state for (_, state), ops in zip(self.wirings["input"].edges, active, strict=True) if ops}
        states: dict[int, Tensor] = {s: self.preprocess[s](x) for s, x in enumerate((before, previous)) if s in read}
        for block in range(self.blocks):
            given = self._sum("input", block, mixture["input"], states)
            # Of zeros every op gives zeros: it has no bias.
            total = None if given is None else self._sum("op", block, mixture["op"], given)
            states[2 + block] = self._zeros(previous) if total is None else total
        return torch.cat([states[2 + block] for block in range(self.blocks)], dim=1)

    def _sum(self, kind: str, block: int, paths: Paths, given: Mapping[int, Tensor] | Tensor) -> Tensor | None:
        """What the active edges of a block give together, of their states, or all of one map; None without any."""
        total: Tensor | None = None
        wiring = self.wirings[kind]
        for edge, (target, item) in enumerate(wiring.edges):
            if target == block and paths.active[edge]:
                y: Tensor = self.edge(kind, edge)(given if isinstance(given, Tensor) else given[item])
                y = y if paths.weights is None else y * paths.weights[edge, HERE]
                total = y if total is None else total + y
        return total

    def _zeros(self, previous: Tensor) -> Tensor:
        stride = self.stride(1)
        batch, _, height, width = previous.shape
        return previous.new_zeros(batch, self.channels, -(-height // stride), -(-width // stride))


class ChoiceSupernet(Supernet):
    """Stem, cells of choice blocks, global pooling, classifier; see :class:`~nascore_blocks.supernet.base.Supernet`.

    The kinds are ``input`` and ``op``, the same for all cells. ``fast`` changes nothing.
    """

    wirings: dict[str, Switches]

    def __init__(
        self,
        wirings: Mapping[str, Switches],
        ops: Sequence[str],
        shape: Sequence[int],
        classes: int,
        *,
        channels: int,
        layers: int,
        reductions: Sequence[int],
        stem: str,
    ) -> None:
        """
        Args:
            wirings: of the kinds ``input`` and ``op``.
            ops: names of what a block may apply.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: of a block before the first reduction; each reduction doubles them.
            layers: number of cells.
            reductions: which of them reduce.
            stem: ``small`` or ``image``; see :class:`~nascore_blocks.networks.CellNetwork`.
        """
        super().__init__()
        self.wirings, self.ops, self.fast = dict(wirings), tuple(ops), False
        self.shape, self.classes = tuple(shape), classes
        self.channels, self.layers, self.reductions, self.stem = channels, layers, tuple(reductions), stem
        self.stem0, self.stem1, width = stems(shape[0], channels, stem)
        before = previous = width
        reduced = stem == "image"
        self.cells = nn.ModuleList()
        for layer in range(layers):
            reduces = layer in self.reductions
            channels = 2 * channels if reduces else channels
            cell = ChoiceCell(wirings, ops, (before, previous), channels, reduces, reduced)
            self.cells.append(cell)
            before, previous, reduced = previous, cell.outputs, reduces
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(previous, classes))
        without_running_statistics(self)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes), of the batch's statistics."""
        # Channels-last, some gradients of strided 1x1 convolutions damage memory; see nascore_blocks.layout.
        before = self.stem0(x.contiguous())
        previous = before if self.stem1 is None else self.stem1(before)
        for cell in self.cells:
            before, previous = previous, cell(before, previous, mixture)
        logits: Tensor = self.end(previous)
        return logits

    def priced_ops(self) -> Iterator[tuple[str, int, int, OpShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`."""
        height, width = self.shape[1:]
        for _ in range(3 if self.stem == "image" else 0):
            height, width = -(-height // 2), -(-width // 2)
        for cell in self.cells:
            assert isinstance(cell, ChoiceCell)  # ModuleList forgets the class
            size, inside = (height, width), (height, width)
            if cell.reduction:
                inside = -(-height // 2), -(-width // 2)
            for edge, (_, state) in enumerate(self.wirings["input"].edges):
                read = size if state < 2 else inside
                yield "input", edge, HERE, OpShape("skip_connect", cell.channels, cell.stride(state), *read)
            for edge, (_, op) in enumerate(self.wirings["op"].edges):
                yield "op", edge, HERE, OpShape(self.ops[op], cell.channels, 1, *inside)
            height, width = inside

    # ------------------------------------------------------------------ one architecture

    def paths(self, genotype: Genotype) -> dict[str, Paths]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.paths`."""
        found = self._edges(genotype.normal)
        return {
            kind: Paths(tuple((HERE,) if edge in found[kind] else () for edge in range(len(self.wirings[kind].edges))))
            for kind in KINDS
        }

    def extract(self, genotype: Genotype) -> CellNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`."""
        found = self._edges(genotype.normal)
        network = CellNetwork(
            genotype, self.shape, self.classes, channels=self.channels, layers=self.layers,
            reductions=self.reductions, stem=self.stem, searching=True,
        ).to(next(self.parameters()))  # fmt: skip
        _copy(self.stem0, network.stem0)
        if self.stem1 is not None and network.stem1 is not None:
            _copy(self.stem1, network.stem1)
        _copy(self.end[-1], network.classifier)
        for layer, target in network.cells.items():
            source = self.cells[int(layer)]
            assert isinstance(source, ChoiceCell)  # ModuleList forgets the class
            for state, module in target.preprocess.items():  # type: ignore[operator, union-attr]  # as above
                _copy(source.preprocess[int(state)], module)
            for kind in KINDS:
                for edge, name in found[kind].items():
                    _copy(source.edge(kind, edge), target.edges[name])  # type: ignore[arg-type, index]  # as above
        return network

    def _edges(self, cell: Cell) -> dict[str, dict[int, str]]:
        """Kind -> the edges that an architecture has, each with the name it has in a cell's module."""
        found: dict[str, dict[int, str]] = {kind: {} for kind in KINDS}
        for block in range(len(cell.nodes) // 2):
            for number, edge in enumerate(cell.nodes[2 * block]):
                state = edge.input if edge.input < 2 else 2 + (edge.input - 3) // 2
                found["input"][self._number("input", block, state)] = f"{reading(block)}_{number}"
            for number, edge in enumerate(cell.nodes[2 * block + 1]):
                if edge.op not in self.ops:
                    raise SpaceError(
                        f"The supernet has no {edge.op!r} in block {block}; allowed: {', '.join(self.ops)}."
                    )
                found["op"][self._number("op", block, self.ops.index(edge.op))] = f"{output(block)}_{number}"
        return found

    def _number(self, kind: str, block: int, item: int) -> int:
        places = self.wirings[kind].places
        if (block, item) not in places:
            raise SpaceError(f"The supernet has no {kind} {item} in block {block}.")
        return places.index((block, item))


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Weights of ``source``, which has no running statistics, into ``target``, which has."""
    target.load_state_dict(source.state_dict(), strict=False)
