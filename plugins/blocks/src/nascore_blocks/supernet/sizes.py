"""How large a supernet is, counted without memory or computing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.records import Cost
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.supernet.mix import Paths

if TYPE_CHECKING:
    from nascore.contracts import Task
    from nascore_blocks.supernet.base import Supernet, SupernetSpace


class AllPaths(nn.Module):
    """A supernet in which everything runs, as a network of inputs alone."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self.supernet = supernet
        self._mixture = {kind: Paths(wiring.everything) for kind, wiring in supernet.wirings.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (batch, ...) -> logits."""
        logits: Tensor = self.supernet(x, self._mixture)
        return logits


def sizes_of(space: SupernetSpace, task: Task) -> dict[str, Cost]:
    """``supernet_params``, and ``supernet_macs`` for one input (one forward pass, all ops on all edges).

    Args:
        space: set up.
        task: whose shape counts.
    """
    with torch.device("meta"), torch.no_grad():
        network = AllPaths(space.supernet(task, fast=False))
        dtype = torch.int64 if task.kind == "language-modelling" else torch.float32
        inputs = torch.zeros(1, *task.shape, dtype=dtype)
        return {
            "supernet_params": Cost(count_params(network, inputs), ""),
            "supernet_macs": Cost(count_macs(network, inputs), ""),
        }
