"""What a supernet is, and what a search space with one has: the capability ``supernet``.

::

    supernet = space.supernet(task)
    logits = supernet(inputs, {kind: paths, ...})           # any mix of nascore_blocks.supernet.mix
    logits = supernet(inputs, supernet.paths(structure))    # one architecture switched in
    network = supernet.extract(structure)                   # it alone, with the supernet's weights
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nascore.contracts import Task
    from nascore.records import Architecture
    from nascore_blocks.supernet.mix import Mixture, Paths
    from nascore_blocks.supernet.wiring import Wiring


class PricedOp(Protocol):
    """A candidate op at one place; equal ones cost the same."""

    def __hash__(self) -> int: ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of the op, without the batch."""

    def build(self) -> nn.Module:
        """The op as the final network has it."""


class Supernet(nn.Module, ABC):
    """All networks of a search space in one, sharing weights.

    Its BNs use the statistics of the batch and keep none: running averages mean nothing where each
    step runs other paths. :meth:`extract`, then :func:`~nascore_blocks.supernet.calibrate.recalibrate`,
    gives a network with statistics of its own.

    Attributes:
        wirings: kind of place (``normal``, ``reduce``, ...) -> its candidate edges and ops.
        fast: on the CPU, in training mode, share arithmetic between edges where the supernet can.
            Set it to False for second derivatives.
    """

    wirings: Mapping[str, Wiring]
    fast: bool

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of places that are decided."""
        return tuple(self.wirings)

    @abstractmethod
    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Inputs (batch, ...) -> logits (batch, classes, ...), of the batch's statistics.

        Args:
            x: the inputs.
            mixture: kind -> what runs there.
        """

    @abstractmethod
    def paths(self, structure: Any) -> dict[str, Paths]:
        """The mixture in which one architecture runs alone; ``structure`` is what the space's own gives.

        Raises:
            SpaceError: the supernet has not all its edges.
        """

    @abstractmethod
    def extract(self, structure: Any) -> nn.Module:
        """One architecture as a network of its own, with copies of the supernet's weights.

        In training mode its outputs equal those of the supernet with :meth:`paths`.

        Raises:
            SpaceError: the supernet has not all its edges.
        """

    @abstractmethod
    def priced_ops(self) -> Iterator[tuple[str, int, int, PricedOp]]:
        """Of every op at every place: kind, index of the edge, index of the op, and what is to be priced.

        One edge comes as often as it is built: a cell that is stacked six times yields each six times.
        """


class SupernetSpace(Protocol):
    """A search space with the capability ``supernet``."""

    @property
    def task(self) -> Task:
        """What it was set up for."""

    @property
    def wirings(self) -> Mapping[str, Wiring]:
        """Kind of place -> its candidate edges and ops, as the supernet has them; known after ``setup``."""

    def supernet(self, task: Task, *, fast: bool = True) -> Supernet:
        """A fresh supernet, its weights drawn from torch's global generator."""

    def structure(self, architecture: Architecture) -> Any:
        """What the supernet's ``paths`` and ``extract`` take."""

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The architecture of the strongest edges and ops; kind -> (edges, ops), whose order counts."""


def without_running_statistics(module: nn.Module) -> None:
    """Let every BN inside use the statistics of the batch, and keep none."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):  # the base of those of 1, 2 and 3 dimensions
            part.track_running_stats = False
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                part.register_buffer(name, None)
