"""The supernet of NAS-Bench-201 cells: every op on every edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_blocks.graphcells import GraphCell, GraphNetwork, ResidualReduction
from nascore_blocks.nasbench201 import EDGES, HOUSE_OPS, NODES, live_edges
from nascore_blocks.ops import make_search_op
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.mix import Paths
from nascore_blocks.supernet.prices import OpShape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nascore_blocks.nasbench201 import GraphWiring
    from nascore_blocks.supernet.mix import Mixture


class SuperGraphCell(nn.Module):
    """The searched cell at one place, with weights of its own for each op of each edge."""

    def __init__(self, wiring: GraphWiring, channels: int) -> None:
        """
        Args:
            wiring: the candidate ops.
            channels: that come in and go out.
        """
        super().__init__()
        self.wiring, self.channels = wiring, channels
        names = [wiring.ops[op] for op in wiring.live]
        self.edges = nn.ModuleList(
            [nn.ModuleDict({name: make_search_op(HOUSE_OPS[name], channels) for name in names}) for _ in EDGES]
        )

    def op(self, edge: int, op: int) -> nn.Module:
        """The module of an op, both by their indices in the wiring."""
        module: nn.Module = self.edges[edge][self.wiring.ops[op]]  # type: ignore[index]  # ModuleList forgets the class
        return module

    def forward(self, x: Tensor, paths: Paths) -> Tensor:
        """(batch, channels, height, width) -> the same shape; zeros where nothing leads to the output."""
        nodes = {0: x}
        for edge, link in enumerate(EDGES):
            if link.input not in nodes:
                continue  # zero, and so is every op of it: their BNs have no bias
            for op in paths.active[edge]:
                y: Tensor = self.op(edge, op)(nodes[link.input])
                y = y if paths.weights is None else y * paths.weights[edge, op]
                nodes[link.node] = nodes[link.node] + y if link.node in nodes else y
        return nodes[NODES - 1] if NODES - 1 in nodes else torch.zeros_like(x)


class GraphSupernet(Supernet):
    """The network of NAS-Bench-201 with supernet cells; see :class:`~nascore_blocks.supernet.base.Supernet`.

    The one kind is ``cell``; a structure is one op for each edge.
    """

    def __init__(
        self,
        wiring: GraphWiring,
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 16,
        cells: int = 5,
        reductions: int = 2,
    ) -> None:
        """
        Args:
            wiring: the candidate ops.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: of the first row; each reduction doubles them.
            cells: in a row.
            reductions: between rows.
        """
        super().__init__()
        self.wiring, self.wirings, self.fast = wiring, {"cell": wiring}, False
        self.shape, self.classes = tuple(shape), classes
        self.channels, self.cells, self.reductions = channels, cells, reductions
        self.network = self._network(lambda c: SuperGraphCell(wiring, c))
        without_running_statistics(self)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes), of the batch's statistics.

        Args:
            x: the images.
            mixture: the paths of ``cell``.
        """
        x = self.network.stem(x)
        for part in self.network.body:
            x = part(x, mixture["cell"]) if isinstance(part, SuperGraphCell) else part(x)
        logits: Tensor = self.network.classifier(self.network.head(x))
        return logits

    def paths(self, structure: tuple[str, ...]) -> dict[str, Paths]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.paths`; edges that reach nothing do not run."""
        chosen = zip(self._indices(structure), live_edges(structure), strict=True)
        return {"cell": Paths(tuple((op,) if lives else () for op, lives in chosen))}

    def extract(self, structure: tuple[str, ...]) -> GraphNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`."""
        indices = self._indices(structure)
        alone = self._network(lambda c: GraphCell(structure, c, searching=True)).to(next(self.parameters()))
        for name in ("stem", "head", "classifier"):
            # Not strict, here and below: the supernet's BNs keep no statistics.
            getattr(alone, name).load_state_dict(getattr(self.network, name).state_dict(), strict=False)
        for mine, copy in zip(self.network.body, alone.body, strict=True):
            if not isinstance(mine, SuperGraphCell):
                copy.load_state_dict(mine.state_dict(), strict=False)
                continue
            for edge, link in enumerate(EDGES):
                name = f"{link.node}_{link.input}"
                if name in copy.edges:  # type: ignore[operator]  # ModuleList forgets the class
                    copy.edges[name].load_state_dict(mine.op(edge, indices[edge]).state_dict(), strict=False)  # type: ignore[index,union-attr]  # as above
        return alone

    def priced_ops(self) -> Iterator[tuple[str, int, int, OpShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`."""
        height, width = self.shape[1:]
        for part in self.network.body:
            if isinstance(part, ResidualReduction):
                height, width = -(-height // 2), -(-width // 2)
            elif isinstance(part, SuperGraphCell):
                for edge in range(len(EDGES)):
                    for op in self.wiring.live:
                        shape = OpShape(HOUSE_OPS[self.wiring.ops[op]], part.channels, 1, height, width)
                        yield "cell", edge, op, shape

    def _network(self, make_cell: Callable[[int], nn.Module]) -> GraphNetwork:
        return GraphNetwork(
            make_cell,
            self.shape,
            self.classes,
            channels=self.channels,
            cells=self.cells,
            reductions=self.reductions,
        )

    def _indices(self, structure: tuple[str, ...]) -> list[int]:
        for edge, op in zip(EDGES, structure, strict=True):
            if op not in self.wiring.ops:
                raise SpaceError(f"The supernet has no {op!r} on {edge}; it has {', '.join(self.wiring.ops)}.")
        return [self.wiring.ops.index(op) for op in structure]
