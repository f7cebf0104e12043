"""What each candidate op of a supernet costs on its edge, so that an expected cost can stand in a loss.

A price table has, for each kind of place, a tensor (edges, ops) in the order of the wiring: the cost of
the op on that edge, summed over all places of that kind. ``none`` costs nothing. Ops are priced as the
final network has them (affine BNs, no BN after a pooling), so a table adds up to that network's cost
without what every network has, such as stem and classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.ops import make_op

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore_blocks.supernet.base import PricedOp, Supernet


class OpShape(NamedTuple):
    """An op of a cell: its name, channels and stride, and the height and width of its input."""

    op: str
    channels: int
    stride: int
    height: int
    width: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    def build(self) -> torch.nn.Module:
        """The op as the final network has it."""
        return make_op(self.op, self.channels, self.stride)


def price_table(supernet: Supernet, price: Callable[[PricedOp], float]) -> dict[str, Tensor]:
    """Kind of place -> costs (edges, ops), float64, in the unit of ``price``; equal ops are priced once."""
    table = {kind: torch.zeros(wiring.size, dtype=torch.float64) for kind, wiring in supernet.wirings.items()}
    known: dict[PricedOp, float] = {}
    for kind, edge, op, shape in supernet.priced_ops():
        if shape not in known:
            known[shape] = price(shape)
        table[kind][edge, op] += known[shape]
    return table


def expected_cost(probabilities: Mapping[str, Tensor], table: Mapping[str, Tensor]) -> Tensor:
    """The sum of p c over all edges and ops, a scalar; differentiable in the probabilities.

    Args:
        probabilities: kind of place -> (edges, ops), rows that sum to 1.
        table: of :func:`price_table`.
    """
    return torch.stack([(p * table[kind].to(p)).sum() for kind, p in probabilities.items()]).sum()


def params(op: PricedOp) -> float:
    """Trainable parameters of an op."""
    return _counted(count_params, op)


def macs(op: PricedOp) -> float:
    """Multiply-accumulates of an op for one input; pooling and identity have none."""
    return _counted(count_macs, op)


def _counted(count: Callable[[torch.nn.Module, Tensor], int], op: PricedOp) -> float:
    with torch.device("meta"), torch.no_grad():  # shapes and no memory, and nothing drawn for weights
        return float(count(op.build().eval(), torch.empty(1, *op.input_shape)))
