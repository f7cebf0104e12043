"""Latency of an op, measured here: the F(o) of ProxylessNAS (Cai et al. 2019, section 3.3)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch

from nascore.seeding import isolated_random
from nascore_blocks.costs import timed
from nascore_blocks.threads import pinned_threads

if TYPE_CHECKING:
    from nascore_blocks.supernet.base import PricedOp

WARM_UP, REPEATS = 5, 25


def latency_ms(op: PricedOp, device: str | torch.device = "cpu") -> float:
    """Median of 25 timed runs after 5 that are not, of the op alone on one input, in evaluation mode, on one thread."""
    device = torch.device(device)
    # The weights' values do not matter; the caller's random stream does.
    with isolated_random(0), pinned_threads(1), torch.inference_mode():
        module = op.build().to(device).eval()
        x = torch.randn(1, *op.input_shape, device=device)
        for _ in range(WARM_UP):
            module(x)
        return statistics.median(timed(lambda: module(x), device, lambda times: len(times) < REPEATS))
