"""The largest eigenvalue of the Hessian of the validation loss with respect to alpha.

Zela et al. 2020 (*Understanding and Robustifying Differentiable Architecture Search*, arXiv:1909.09656)
found that it rises where DARTS degenerates. It is computed exactly, by products of the Hessian with
vectors, each a second backward pass, and Lanczos' method, which needs few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore_blocks.supernet.policy import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared, Stream

TOLERANCE = 0.05
"""Least residual |Hv - lambda v| / lambda; the error of lambda falls with its square."""


def validation_curvature(
    shared: Shared, alphas: Sequence[Tensor], mix: Callable[[], Mixture], examples: int, tolerance: float = TOLERANCE
) -> float:
    """Of the supernet's loss on the same validation examples each time (nats); may be negative.

    Args:
        shared: of the round. Its supernet takes the plain path, whose arithmetic has second derivatives.
        alphas: leaves.
        mix: makes the mixture from them, without drawing.
        examples: of the validation split; all, where it has fewer.
        tolerance: see :func:`largest_eigenvalue`.
    """
    fast, shared.supernet.fast = shared.supernet.fast, False
    try:
        with shared.frozen():
            loss = shared.loss(mix(), fixed_batch(shared.valid_batch, examples))
            return largest_eigenvalue(loss, alphas, tolerance)
    finally:
        shared.supernet.fast = fast


def fixed_batch(stream: Stream, examples: int) -> Batch:
    """The same examples of a split at every call, drawn once for all; the stream's own order does not move."""
    data = stream._data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:examples]
    inputs, labels = data.batch(order.to(data.labels.device))
    return Batch(inputs.to(stream._device), labels.to(stream._device))


def largest_eigenvalue(loss: Tensor, leaves: Sequence[Tensor], tolerance: float = TOLERANCE) -> float:
    """The algebraically largest eigenvalue of the Hessian of ``loss`` (Lanczos, full reorthogonalisation).

    The start vector is the same each time, so the same loss gives the same number.

    Args:
        loss: a scalar, twice differentiable in ``leaves``.
        leaves: of any shapes, at least one element in all.
        tolerance: stop when the residual is this share of the eigenvalue, >= 0; 0 goes on to the end,
            at most as many products as the leaves have elements.
    """
    gradient = _flat(torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True), leaves)
    if not gradient.requires_grad:  # the loss is linear in the leaves
        return 0.0
    size = gradient.numel()
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(size, generator=generator, dtype=torch.float64)
    basis: list[Tensor] = []
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        vector = vector / vector.norm()
        basis.append(vector)
        product = _product(gradient, leaves, vector)
        diagonal.append(float(product @ vector))
        for _ in range(2):  # once is not enough in floating point
            for earlier in basis:
                product -= (product @ earlier) * earlier
        rest = float(product.norm())
        value, residual = _ritz(diagonal, beside, rest)
        if len(basis) == size or residual <= tolerance * abs(value) or rest <= 1e-12 * max(map(abs, diagonal)):
            return value
        beside.append(rest)
        vector = product


def _ritz(diagonal: Sequence[float], beside: Sequence[float], rest: float) -> tuple[float, float]:
    """Largest eigenvalue of the tridiagonal matrix, and its residual as an eigenvalue of the Hessian."""
    table = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if beside:
        off = torch.tensor(beside, dtype=torch.float64)
        table += torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(table)
    return float(values[-1]), rest * abs(float(vectors[-1, -1]))


def _product(gradient: Tensor, leaves: Sequence[Tensor], vector: Tensor) -> Tensor:
    """Hv in float64, on the CPU."""
    found = torch.autograd.grad(gradient @ vector.to(gradient), leaves, retain_graph=True, allow_unused=True)
    return _flat(found, leaves).detach().double().cpu()


def _flat(gradients: Sequence[Tensor | None], leaves: Sequence[Tensor]) -> Tensor:
    parts = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, leaves, strict=True)]
    return torch.cat([part.flatten() for part in parts])
