"""The average of a network's weights over its training."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


class Average:
    """An exponential moving average of a network's weights (Polyak and Juditsky 1992).

    After step n, counted from 1, ``average = d * average + (1 - d) * weight``, with
    ``d = min(decay, (1 + n) / (10 + n))``, so that a short training does not remember its random start.
    Buffers of floating point, such as the statistics of batch norm, are averaged alike: those of the
    last weights would not fit the averaged ones. Whole numbers (batches seen) stay those of the network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the weights as they are.

        Args:
            network: whose parameters and buffers are averaged; all exist, none is replaced later.
            decay: in (0, 1).
        """
        tensors = [*network.parameters(), *network.buffers()]
        self.live = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self.averages = [tensor.clone() for tensor in self.live]
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one more step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.averages, self.live, 1 - decay)

    @torch.no_grad()
    def settle(self) -> None:
        """Put the averages into the network, for good."""
        torch._foreach_copy_(self.live, self.averages)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network has the averaged weights; then its own again."""
        own = [tensor.clone() for tensor in self.live]
        self.settle()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.live, own)
