"""The networks of the table: one NAS-Bench-201 cell on 4x4 maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore_blocks.nasbench201 import NASBench201

if TYPE_CHECKING:
    from nascore.contracts import Task
    from nascore.records import Architecture
    from nascore_blocks.graphcells import GraphNetwork
    from nascore_nasbench_digits.supernet import StridedSupernet


class DigitsCells(NASBench201):
    """NAS-Bench-201 cells in the network of this table.

    It is ``blocks:nasbench201`` with ``channels=16, cells=1, reductions=0``, but that the convolution of the
    stem has stride 2, so that the cell works on 4x4 maps of an 8x8 image.
    """

    def __init__(self, channels: int = 16, none_wins: bool = True) -> None:
        """
        Args:
            channels: C; the table has 16.
            none_wins: see :class:`~nascore_blocks.nasbench201.NASBench201`.
        """
        super().__init__(channels=channels, cells=1, reductions=0, none_wins=none_wins)

    def build(self, architecture: Architecture, task: Task) -> GraphNetwork:
        """The network for this task."""
        return strided(super().build(architecture, task))

    def supernet(self, task: Task, *, fast: bool = True) -> StridedSupernet:
        """All networks of this space in one; there is no faster way for ``fast``."""
        from nascore_nasbench_digits.supernet import StridedSupernet

        supernet = StridedSupernet(self.wirings["cell"], **self._macro(task))
        supernet.fast = fast
        return supernet


def strided(network: GraphNetwork) -> GraphNetwork:
    """The same network, its stem of stride 2."""
    network.stem[0].stride = (2, 2)  # type: ignore[assignment]  # nn.Sequential does not know what it holds
    return network
