"""The network of hierarchical motifs (Liu et al. 2018, arXiv:1711.00436, section 2): ops, assembly, stacking."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.macro import make_layer_op
from nascore_blocks.motifs import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_blocks.motifs import Motif

    Levels = Sequence[Sequence[Motif]]
    """The motifs of level 2, of level 3, ...; an op ``motif.m`` of level l is the motif m of level l - 1."""

MERGES = ("concat", "sum")


# -------------------------------------------------------------------------------- level 1


def _conv(kernel: int, depthwise: bool, channels: int) -> nn.Module:
    """Convolution, BN, ReLU."""
    groups = channels if depthwise else 1
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _identity(channels: int) -> nn.Module:
    return nn.Identity()


PRIMITIVES: dict[str, Callable[[int], nn.Module]] = {
    IDENTITY: _identity,
    "conv_1x1": partial(_conv, 1, False),
    "dw_conv_3x3": partial(_conv, 3, True),
    "sep_conv_3x3": partial(make_layer_op, "sep_conv_3x3"),
    "max_pool_3x3": partial(make_layer_op, "max_pool_3x3"),
    "avg_pool_3x3": partial(make_layer_op, "avg_pool_3x3"),
}
"""Name -> ``make(channels)``: the six ops of level 1. BN and ReLU follow a convolution; a separable one is one
depthwise and one pointwise convolution. With C channels they have 0, C^2 + 2 C, 9 C + 2 C, 9 C + C^2 + 2 C, 0 and 0
parameters."""


# -------------------------------------------------------------------------------- assembly


class MotifModule(nn.Module):
    """One use of a motif, with weights of its own.

    Nodes are computed in order: x_i = merge[{o_ij(x_j)}: j < i] (equation 1). A merge of one tensor is that
    tensor; a concatenation of k is projected back by a 1x1 convolution and BN, of k C^2 + 2 C parameters.
    Edges that lead from nowhere or to nowhere are not built.
    """

    def __init__(self, motif: Motif, channels: int, make: Callable[[str], nn.Module], merge: str = "concat") -> None:
        """
        Args:
            motif: the graph; its source and sink are connected.
            channels: C, that come in and go out.
            make: op -> a new module, (batch, C, height, width) -> the same shape.
            merge: ``concat`` or ``sum``.
        """
        super().__init__()
        live = motif.live()
        self.sink = motif.nodes - 1
        self.inputs: dict[int, list[int]] = {}
        for link in live:
            self.inputs.setdefault(link.node, []).append(link.input)
        self.edges = nn.ModuleDict({f"{link.node}_{link.input}": make(op) for link, op in live.items()})
        self.project = nn.ModuleDict()
        if merge == "concat":
            for node, given in self.inputs.items():
                if len(given) > 1:
                    narrow = nn.Conv2d(len(given) * channels, channels, 1, bias=False)
                    self.project[str(node)] = nn.Sequential(narrow, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        nodes = {0: x}
        for node, inputs in self.inputs.items():
            outputs = [self.edges[f"{node}_{given}"](nodes[given]) for given in inputs]
            if str(node) in self.project:
                nodes[node] = self.project[str(node)](torch.cat(outputs, dim=1))
            else:
                nodes[node] = sum(outputs[1:], outputs[0])
        return nodes[self.sink]


def assemble(levels: Levels, channels: int, merge: str = "concat") -> MotifModule:
    """The one motif of the top level, with all that it uses (section 2.2).

    Args:
        levels: see :data:`Levels`; only the first motif of the last one is used.
        channels: C, that come in and go out.
        merge: ``concat`` or ``sum``.
    """
    *below, top = levels

    def make(op: str) -> nn.Module:
        if not below:
            return PRIMITIVES[op](channels)
        number = int(op.removeprefix("motif."))
        return assemble([*below[:-1], [below[-1][number]]], channels, merge)

    return MotifModule(top[0], channels, make, merge)
