"""What each candidate op of a supernet costs on its edge, so that an expected cost can stand in a loss.

A price table has, for each kind of cell, a tensor (edges, ops) in the order of the wiring: the cost of
the op on that edge, summed over all cells of that kind. ``none`` costs nothing. Ops are priced as the
final network has them (affine BNs, no BN after a pooling), so a table adds up to that network's cost
without stem, input projections and classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.ops import make_op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nascore_blocks.supernet.cells import SuperCell
    from nascore_blocks.supernet.network import Supernet


class OpShape(NamedTuple):
    """An op at one place: its name, channels and stride, and the height and width of its input."""

    op: str
    channels: int
    stride: int
    height: int
    width: int


def op_shapes(supernet: Supernet) -> Iterator[tuple[str, int, int, OpShape]]:
    """Of every op of every edge of every cell: kind of cell, index of the edge, of the op, and its shape."""
    wiring = supernet.wiring
    size = (supernet.shape[1], supernet.shape[2])
    if supernet.stem == "image":
        size = _halved(_halved(_halved(size)))
    for layer, module in enumerate(supernet.cells):
        cell = cast("SuperCell", module)
        inside = _halved(size) if cell.reduction else size
        for number, edge in enumerate(wiring.edges):
            height, width = size if edge.input < 2 else inside
            for op in wiring.live:
                shape = OpShape(wiring.ops[op], cell.channels, cell.stride(edge.input), height, width)
                yield supernet.kind(layer), number, op, shape
        size = inside


def price_table(supernet: Supernet, price: Callable[[OpShape], float]) -> dict[str, Tensor]:
    """Kind of cell -> costs (edges, ops), float64, in the unit of ``price``; each shape is priced once."""
    wiring = supernet.wiring
    size = (len(wiring.edges), len(wiring.ops))
    table = {kind: torch.zeros(size, dtype=torch.float64) for kind in supernet.kinds}
    known: dict[OpShape, float] = {}
    for kind, edge, op, shape in op_shapes(supernet):
        if shape not in known:
            known[shape] = price(shape)
        table[kind][edge, op] += known[shape]
    return table


def expected_cost(probabilities: Mapping[str, Tensor], table: Mapping[str, Tensor]) -> Tensor:
    """The sum of p c over all edges and ops, a scalar; differentiable in the probabilities.

    Args:
        probabilities: kind of cell -> (edges, ops), rows that sum to 1.
        table: of :func:`price_table`.
    """
    return torch.stack([(p * table[kind].to(p)).sum() for kind, p in probabilities.items()]).sum()


def params(shape: OpShape) -> float:
    """Trainable parameters of an op."""
    return _counted(count_params, shape)


def macs(shape: OpShape) -> float:
    """Multiply-accumulates of an op for one input; pooling and identity have none."""
    return _counted(count_macs, shape)


def _counted(count: Callable[[torch.nn.Module, Tensor], int], shape: OpShape) -> float:
    with torch.device("meta"), torch.no_grad():  # shapes and no memory, and nothing drawn for weights
        op = make_op(shape.op, shape.channels, shape.stride).eval()
        return float(count(op, torch.empty(1, shape.channels, shape.height, shape.width)))


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)
