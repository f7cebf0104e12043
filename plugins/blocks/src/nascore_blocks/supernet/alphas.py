"""What the methods that learn alpha by gradient share: drawing it, and how decided it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore.seeding import derive_seed
from nascore_blocks.supernet.mix import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore_blocks.supernet.wiring import Wiring


def draw_alphas(wirings: Mapping[str, Wiring], seed: int, spread: float, mean: float = 0.0) -> dict[str, Tensor]:
    """Kind of place -> alpha (edges, ops), a leaf; normal around ``mean`` with standard deviation ``spread``."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "alphas"))
    return {
        kind: (mean + spread * torch.randn(wiring.size, generator=generator)).requires_grad_()
        for kind, wiring in wirings.items()
    }


def shares(alphas: Mapping[str, Tensor], wirings: Mapping[str, Wiring]) -> dict[str, Tensor]:
    """Kind of place -> softmax(alpha) (edges, ops), 0 for an op that its edge may not have; differentiable."""
    return {kind: torch.softmax(masked(alpha, wirings[kind]), dim=-1) for kind, alpha in alphas.items()}


def entropy(weights: Mapping[str, Tensor]) -> float:
    """Mean entropy of an edge (nats): ln(ops) at first, falling as alpha decides."""
    edges = torch.cat([torch.special.entr(w.detach()).sum(-1).cpu() for w in weights.values()])
    return float(edges.mean())
