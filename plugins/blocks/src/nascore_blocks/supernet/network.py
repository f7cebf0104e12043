"""The supernet of the cell spaces: all networks of a space in one, sharing weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_blocks.networks import CellNetwork, stems
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.cells import SuperCell
from nascore_blocks.supernet.mix import Paths
from nascore_blocks.supernet.prices import OpShape
from nascore_blocks.supernet.wiring import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore_blocks.cells import CellModule
    from nascore_blocks.genotypes import Cell, Genotype
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.wiring import CellWiring


class CellSupernet(Supernet):
    """Stem, supernet cells, global pooling, classifier; see :class:`~nascore_blocks.supernet.base.Supernet`.

    The kinds are ``normal`` and, with a reduction, ``reduce``; both have the same wiring. The fast path
    is :mod:`nascore_blocks.supernet.fast`.
    """

    def __init__(
        self,
        wiring: CellWiring,
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 16,
        layers: int = 8,
        reductions: Sequence[int] = (2, 5),
        stem: str = "small",
        fast: bool = True,
    ) -> None:
        """
        Args:
            wiring: candidate edges and ops.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: of a node before the first reduction; each reduction doubles them.
            layers: number of cells.
            reductions: which of them reduce.
            stem: ``small`` or ``image``; see :class:`~nascore_blocks.networks.CellNetwork`.
            fast: see above.

        Raises:
            SpaceError: an op that does not exist.
        """
        super().__init__()
        self.wiring, self.fast = wiring, fast
        self.shape, self.classes = tuple(shape), classes
        self.channels, self.layers, self.reductions, self.stem = channels, layers, tuple(reductions), stem
        self.wirings = dict.fromkeys(("normal", "reduce") if reductions else ("normal",), wiring)
        self.stem0, self.stem1, width = stems(shape[0], channels, stem)
        before = previous = width
        reduced = stem == "image"
        self.cells = nn.ModuleList()
        for layer in range(layers):
            reduces = layer in self.reductions
            channels = 2 * channels if reduces else channels
            self.cells.append(SuperCell(wiring, (before, previous), channels, reduces, reduced))
            before, previous, reduced = previous, channels * wiring.nodes, reduces
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(previous, classes)
        without_running_statistics(self)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes), of the batch's statistics.

        Args:
            x: the images.
            mixture: the paths of each kind of cell.
        """
        fast = self.fast and x.device.type == "cpu"
        # Plain modules get the plain layout: channels-last, some of their gradients damage memory.
        x = x.contiguous(memory_format=torch.channels_last if fast else torch.contiguous_format)
        before = self.stem0(x)
        previous = before if self.stem1 is None else self.stem1(before)
        for layer, cell in enumerate(self.cells):
            before, previous = previous, cell(before, previous, mixture[self.kind(layer)], fast)
        logits: Tensor = self.classifier(self.flatten(self.pool(previous)))
        return logits

    def kind(self, layer: int) -> str:
        """``normal`` or ``reduce``."""
        return "reduce" if layer in self.reductions else "normal"

    def priced_ops(self) -> Iterator[tuple[str, int, int, OpShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`."""
        size = (self.shape[1], self.shape[2])
        if self.stem == "image":
            size = _halved(_halved(_halved(size)))
        for layer, module in enumerate(self.cells):
            cell = cast("SuperCell", module)
            inside = _halved(size) if cell.reduction else size
            for number, edge in enumerate(self.wiring.edges):
                height, width = size if edge.input < 2 else inside
                for op in self.wiring.live:
                    shape = OpShape(self.wiring.ops[op], cell.channels, cell.stride(edge.input), height, width)
                    yield self.kind(layer), number, op, shape
            size = inside

    # ------------------------------------------------------------------ one architecture

    def paths(self, genotype: Genotype) -> dict[str, Paths]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.paths`."""
        return {kind: self._paths(getattr(genotype, kind)) for kind in self.kinds}

    def extract(self, genotype: Genotype) -> CellNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`."""
        network = CellNetwork(
            genotype,
            self.shape,
            self.classes,
            channels=self.channels,
            layers=self.layers,
            reductions=self.reductions,
            stem=self.stem,
            searching=True,
        ).to(next(self.parameters()))
        network.stem0.load_state_dict(self.stem0.state_dict(), strict=False)
        if network.stem1 is not None and self.stem1 is not None:
            network.stem1.load_state_dict(self.stem1.state_dict(), strict=False)
        with torch.no_grad():
            for name, cell in network.cells.items():
                self._fill(cell, int(name), genotype)  # type: ignore[arg-type]  # ModuleDict forgets the class
            columns = self._columns(self.layers - 1, genotype)
            network.classifier.weight.copy_(self.classifier.weight[:, columns])
            network.classifier.bias.copy_(self.classifier.bias)
        return network

    def _edges(self, cell: Cell) -> list[tuple[int, int, str]]:
        """Of each edge of a cell, node by node: its index in the wiring, the index of its op, its name there."""
        found = []
        for node, edges in enumerate(cell.nodes, start=2):
            for number, edge in enumerate(edges):
                place = Place(node, number if self.wiring.slots > 1 else 0, edge.input)
                if place not in self.wiring.number or edge.op not in self.wiring.ops:
                    raise SpaceError(f"The supernet has no {edge.op!r} on edge {number} of node {node} ({place}).")
                found.append((self.wiring.number[place], self.wiring.ops.index(edge.op), f"{node}_{number}"))
        return found

    def _paths(self, cell: Cell) -> Paths:
        active: list[tuple[int, ...]] = [()] * len(self.wiring.edges)
        for edge, op, _ in self._edges(cell):
            if active[edge]:
                raise SpaceError(f"A node reads state {self.wiring.edges[edge].input} twice; this supernet cannot.")
            active[edge] = (op,)
        return Paths(tuple(active), concat=cell.concat)

    def _fill(self, target: CellModule, layer: int, genotype: Genotype) -> None:
        source: SuperCell = self.cells[layer]  # type: ignore[assignment]  # ModuleList forgets the class
        for state, module in target.preprocess.items():
            weights = source.preprocess[int(state)].state_dict()
            columns = self._columns(layer - 2 + int(state), genotype)
            module.load_state_dict({name: w[:, columns] for name, w in weights.items()}, strict=False)
        for edge, op, name in self._edges(getattr(genotype, self.kind(layer))):
            target.edges[name].load_state_dict(source.op(edge, op).state_dict(), strict=False)

    def _columns(self, layer: int, genotype: Genotype) -> Tensor | slice:
        """Which channels of the supernet's output of ``layer`` the architecture's own output has, in its order."""
        if layer < 0:
            return slice(None)
        cell: Cell = getattr(genotype, self.kind(layer))
        source: SuperCell = self.cells[layer]  # type: ignore[assignment]  # as above
        first = torch.tensor([(node - 2) * source.channels for node in cell.concat])
        return (first[:, None] + torch.arange(source.channels)).flatten()


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)
