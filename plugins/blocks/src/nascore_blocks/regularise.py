"""Regularisation by dropping paths (FractalNet, arXiv:1605.07648; as NASNet and DARTS use it)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop the whole input of an example with ``probability``; scale the survivors by 1 / keep.

    The expected output equals the input. It acts in training mode only. The training loop sets
    ``probability``, usually a little higher every epoch.
    """

    def __init__(self, probability: float = 0.0) -> None:
        """
        Args:
            probability: of dropping, in [0, 1).
        """
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ...) -> (batch, ...): each example of the batch lives or dies by itself."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        mask = torch.empty(x.shape[0], *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype).bernoulli_(keep)
        return x * (mask / keep)
