"""The network of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326, section 2.1 and figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.nasbench201 import EDGES, HOUSE_OPS, NODES, live_edges
from nascore_blocks.ops import make_op, make_search_op, relu_conv_bn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class GraphCell(nn.Module):
    """One cell; node 0 is its input, node 3 its output, a node is the sum of its edges.

    The parameters are those of its edges: C^2 k^2 + 2 C for a k x k convolution.
    """

    def __init__(self, ops: Sequence[str], channels: int, *, searching: bool = False, keep_dead: bool = False) -> None:
        """
        Args:
            ops: one for each of :data:`~nascore_blocks.nasbench201.EDGES`.
            channels: C, that come in and go out.
            searching: build the ops as a supernet has them: no weight or bias in their BNs, and a BN after a
                pooling.
            keep_dead: build edges that come from nothing or lead nowhere too.
        """
        super().__init__()
        make = make_search_op if searching else make_op
        live = live_edges(tuple(ops))
        self.edges = nn.ModuleDict(
            {
                f"{edge.node}_{edge.input}": make(HOUSE_OPS[op], channels)
                for edge, op, lives in zip(EDGES, ops, live, strict=True)
                if lives or keep_dead
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape; zeros where nothing leads to the output."""
        nodes = {0: x}
        for edge in EDGES:
            name = f"{edge.node}_{edge.input}"
            if name in self.edges:
                y = self.edges[name](nodes[edge.input])
                nodes[edge.node] = nodes[edge.node] + y if edge.node in nodes else y
        return nodes[NODES - 1] if NODES - 1 in nodes else torch.zeros_like(x)


class ResidualReduction(nn.Module):
    """Halve height and width, rounded up: two 3x3 convolutions, beside average pooling and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """
        Args:
            inputs: channels that come in.
            outputs: channels that go out.
        """
        super().__init__()
        self.convs = nn.Sequential(relu_conv_bn(inputs, outputs, 3, 2), relu_conv_bn(outputs, outputs, 3))
        # Rounding up lets odd sizes through, as the convolutions do; it changes nothing on even ones.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, ceil(height / 2), ceil(width / 2))."""
        y: Tensor = self.shortcut(x) + self.convs(x)
        return y


class GraphNetwork(nn.Module):
    """Stem, rows of cells with reductions between them, BN, ReLU, global pooling, classifier."""

    def __init__(
        self,
        make_cell: Callable[[int], nn.Module],
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 16,
        cells: int = 5,
        reductions: int = 2,
    ) -> None:
        """
        Args:
            make_cell: channels -> a new cell.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: of the first row; each reduction doubles them.
            cells: in a row.
            reductions: between rows.
        """
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(shape[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.ModuleList()
        for row in range(reductions + 1):
            if row:
                self.body.append(ResidualReduction(channels, 2 * channels))
                channels *= 2
            self.body.extend([make_cell(channels) for _ in range(cells)])
        self.head = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        x = self.stem(x)
        for part in self.body:
            x = part(x)
        logits: Tensor = self.classifier(self.head(x))
        return logits
