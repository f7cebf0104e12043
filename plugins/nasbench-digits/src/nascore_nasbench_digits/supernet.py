"""The supernet of the networks of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore_blocks.supernet.nasbench201 import GraphSupernet
from nascore_nasbench_digits.space import strided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from nascore_blocks.graphcells import GraphNetwork
    from nascore_blocks.supernet.prices import OpShape


class StridedSupernet(GraphSupernet):
    """NAS-Bench-201's supernet, and what it gives, with a stem of stride 2."""

    def priced_ops(self) -> Iterator[tuple[str, int, int, OpShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`."""
        for kind, edge, op, shape in super().priced_ops():
            yield kind, edge, op, shape._replace(height=-(-shape.height // 2), width=-(-shape.width // 2))

    def _network(self, make_cell: Callable[[int], nn.Module]) -> GraphNetwork:
        return strided(super()._network(make_cell))
