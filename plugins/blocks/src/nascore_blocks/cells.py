"""A cell as a module (Liu et al. 2019, section 2.1; the same cell serves NASNet, AmoebaNet and PNAS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.ops import FactorisedReduction, make_op, make_search_op, relu_conv_bn
from nascore_blocks.regularise import DropPath

if TYPE_CHECKING:
    from nascore_blocks.genotypes import Cell


class CellModule(nn.Module):
    """The network of one :class:`~nascore_blocks.genotypes.Cell`.

    Both inputs are first brought to ``channels`` channels and to the size of the previous cell's
    output: ReLU, 1x1 convolution, BN; or a factorised reduction, where the previous cell halved
    the size. In a reduction cell the edges from the two inputs have stride 2, all others 1. An
    input that no node reads is not projected: it would be parameters without a use.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: tuple[int, int],
        channels: int,
        reduction: bool = False,
        reduction_before: bool = False,
        affine: bool = True,
        pool_norm: bool = False,
    ) -> None:
        """
        Args:
            cell: what to build.
            inputs: channels of the output of the cell before the previous one, and of the previous one.
            channels: of every node; the output has ``channels * len(cell.concat)``.
            reduction: halve height and width.
            reduction_before: the previous cell did, so input 0 is twice as large as input 1.
            affine: give the BNs a weight and a bias.
            pool_norm: let a BN follow each pooling, as in a supernet.

        Raises:
            SpaceError: an op that does not exist.
        """
        super().__init__()
        self.cell = cell
        self.label = "reduction cell" if reduction else "normal cell"  # pictures name it so
        make = make_search_op if pool_norm else make_op
        self.outputs = channels * len(cell.concat)
        self.preprocess = nn.ModuleDict()
        for state in sorted(cell.inputs):
            self.preprocess[str(state)] = (
                FactorisedReduction(inputs[0], channels, affine)
                if state == 0 and reduction_before
                else relu_conv_bn(inputs[state], channels, 1, affine=affine)
            )
        self.edges = nn.ModuleDict()
        for state, node in enumerate(cell.nodes, start=2):
            for number, edge in enumerate(node):
                stride = 2 if reduction and edge.input < 2 else 1
                self.edges[f"{state}_{number}"] = make(edge.op, channels, stride, affine)
        self.drop_path = DropPath()

    def forward(self, before: Tensor, previous: Tensor) -> Tensor:
        """Run the cell.

        Args:
            before: (batch, inputs[0], height, width), or twice as high and wide after a reduction.
            previous: (batch, inputs[1], height, width).

        Returns:
            (batch, channels * len(concat), height, width); height and width halved, rounded up, by
            a reduction.
        """
        given = (before, previous)
        states = {int(state): module(given[int(state)]) for state, module in self.preprocess.items()}
        for state, node in enumerate(self.cell.nodes, start=2):
            total = self._edge(f"{state}_0", states[node[0].input])
            for number, edge in enumerate(node[1:], start=1):
                total = total + self._edge(f"{state}_{number}", states[edge.input])
            states[state] = total
        return torch.cat([states[state] for state in self.cell.concat], dim=1)

    def _edge(self, name: str, x: Tensor) -> Tensor:
        # A dropped identity would cut the gradient's shortest way, so it always lives (NASNet, DARTS).
        op = self.edges[name]
        y: Tensor = op(x)
        return y if isinstance(op, nn.Identity) else self.drop_path(y)
