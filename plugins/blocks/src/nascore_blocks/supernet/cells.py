"""A cell in which every edge has every candidate op, run the plain way: one module call an op."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.ops import FactorisedReduction, make_search_op, relu_conv_bn
from nascore_blocks.supernet.fast import node_sums, preprocessed

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_blocks.supernet.mix import Paths
    from nascore_blocks.supernet.wiring import CellWiring

    NodeSum = Callable[[int], Tensor]


class SuperCell(nn.Module):
    """The searched cell at one layer; its own weights for each op of each edge.

    Built like :class:`~nascore_blocks.cells.CellModule`, with the BNs of a supernet. In training
    mode these use the batch's statistics and keep none.
    """

    def __init__(
        self,
        wiring: CellWiring,
        inputs: tuple[int, int],
        channels: int,
        reduction: bool = False,
        reduction_before: bool = False,
    ) -> None:
        """
        Args:
            wiring: candidate edges and ops.
            inputs: channels of the output of the cell before the previous one, and of the previous one.
            channels: of every node; the output has ``channels * wiring.nodes``.
            reduction: halve height and width.
            reduction_before: the previous cell did, so input 0 is twice as large as input 1.

        Raises:
            SpaceError: an op that does not exist.
        """
        super().__init__()
        self.wiring, self.channels, self.reduction = wiring, channels, reduction
        self.outputs = channels * wiring.nodes
        self.preprocess = nn.ModuleList(
            [
                FactorisedReduction(inputs[0], channels, affine=False)
                if reduction_before
                else relu_conv_bn(inputs[0], channels, 1, affine=False),
                relu_conv_bn(inputs[1], channels, 1, affine=False),
            ]
        )
        self.edges = nn.ModuleList()
        for edge in wiring.edges:
            ops = {
                wiring.ops[op]: make_search_op(wiring.ops[op], channels, self.stride(edge.input)) for op in wiring.live
            }
            self.edges.append(nn.ModuleDict(ops))

    def stride(self, state: int) -> int:
        """Of all edges that leave ``state``."""
        return 2 if self.reduction and state < 2 else 1

    def op(self, edge: int, op: int) -> nn.Module:
        """The module of an op, both by their indices in the wiring."""
        module: nn.Module = self.edges[edge][self.wiring.ops[op]]  # type: ignore[index]  # ModuleList forgets the class
        return module

    def forward(self, before: Tensor, previous: Tensor, paths: Paths, fast: bool = False) -> Tensor:
        """Run the cell.

        Args:
            before: (batch, inputs[0], height, width), or twice as high and wide after a reduction.
            previous: (batch, inputs[1], height, width).
            paths: what runs.
            fast: use the shared arithmetic of :mod:`nascore_blocks.supernet.fast`, which is for training
                mode; same outputs and gradients.

        Returns:
            (batch, channels * nodes, height, width); height and width halved, rounded up, by a reduction.
        """
        read = {edge.input for index, edge in enumerate(self.wiring.edges) if paths.active[index]}
        given = (before, previous)
        states: dict[int, Tensor] = {}
        for state in sorted(read & {0, 1}):
            module, x = self.preprocess[state], given[state]
            states[state] = preprocessed(module, x) if fast else module(x)
        sums: NodeSum = node_sums(self, states, paths) if fast else lambda node: self._plain(node, states, paths)
        for node in range(2, self.wiring.nodes + 2):
            states[node] = sums(node) if any(paths.active[i] for i in self.wiring.into[node]) else self._zeros(previous)
        chosen = states if paths.concat is None else paths.concat
        nodes = [states[n] if n in chosen else torch.zeros_like(states[n]) for n in range(2, self.wiring.nodes + 2)]
        return torch.cat(nodes, dim=1)

    def _zeros(self, previous: Tensor) -> Tensor:
        stride = self.stride(1)
        batch, _, height, width = previous.shape
        return previous.new_zeros(batch, self.channels, -(-height // stride), -(-width // stride))

    def _plain(self, node: int, states: dict[int, Tensor], paths: Paths) -> Tensor:
        total: Tensor | None = None
        for edge in self.wiring.into[node]:
            for op in paths.active[edge]:
                y: Tensor = self.op(edge, op)(states[self.wiring.edges[edge].input])
                y = y if paths.weights is None else y * paths.weights[edge, op]
                total = y if total is None else total + y
        assert total is not None  # the caller asks only for nodes with an active edge
        return total
