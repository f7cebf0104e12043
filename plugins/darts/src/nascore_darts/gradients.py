"""The gradient of the validation loss with respect to alpha: Liu et al. 2019, section 2.3.

Bilevel: alpha minimises L_val(w*(alpha), alpha), w*(alpha) minimises L_train(w, alpha). The paper takes
w' = w - xi grad_w L_train(w, alpha), one step of the weights, for w* (equation 6). The step is that of
the optimiser at hand, momentum and decay included, as in the authors' code.

Each function takes losses as functions of nothing that read ``weights`` and ``alphas`` in place, and
gives one gradient an alpha.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Loss = Callable[[], Tensor]
    Functional = Callable[[Sequence[Tensor]], Tensor]
    Velocity = Callable[[Sequence[Tensor]], list[Tensor]]

RADIUS = 0.01
"""epsilon of equation 8 is this over the norm of the vector (the paper's footnote 2)."""


def first_order(valid: Loss, alphas: Sequence[Tensor]) -> list[Tensor]:
    """With xi = 0: the weights are taken to be the best already."""
    return list(torch.autograd.grad(valid(), alphas))


def finite_difference(
    train: Loss,
    valid: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    velocity: Velocity,
    xi: float,
) -> list[Tensor]:
    """Equations 7 and 8: two more passes stand for the product with the mixed second derivative.

    The weights are moved in place and end bit-equal to where they began.

    Args:
        train, valid: the two losses, of one batch each.
        weights: leaves; those that a loss does not reach do not move.
        alphas: leaves.
        velocity: gradient of the weights -> the direction the optimiser would step against.
        xi: learning rate of the weights.
    """
    start = [weight.detach().clone() for weight in weights]
    with _constant(alphas):
        gradient = _filled(torch.autograd.grad(train(), weights, allow_unused=True), weights)
    with torch.no_grad():
        torch._foreach_add_(list(weights), velocity(gradient), alpha=-xi)  # w'
    found = torch.autograd.grad(valid(), [*alphas, *weights], allow_unused=True)
    of_alphas = _filled(found[: len(alphas)], alphas)
    vector = _filled(found[len(alphas) :], weights)  # grad_w' L_val(w', alpha)
    epsilon = RADIUS / float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(vector))))
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            torch._foreach_copy_(list(weights), start)
            torch._foreach_add_(list(weights), vector, alpha=sign * epsilon)  # w+ and w-, from w itself
        with _constant(weights):
            sides.append(_filled(torch.autograd.grad(train(), alphas, allow_unused=True), alphas))
    with torch.no_grad():
        torch._foreach_copy_(list(weights), start)
    return [a - xi * (plus - minus) / (2 * epsilon) for a, plus, minus in zip(of_alphas, *sides, strict=True)]


def exact(
    train: Functional,
    valid: Functional,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    velocity: Velocity,
    xi: float,
) -> list[Tensor]:
    """Equation 7 without approximation: differentiate through the step of the weights.

    Args:
        train, valid: losses as functions of the weights, twice differentiable.
        weights, alphas, velocity, xi: as for :func:`finite_difference`; ``velocity`` differentiable.
    """
    gradient = torch.autograd.grad(train(weights), weights, create_graph=True, allow_unused=True)
    steps = velocity(_filled(gradient, weights))
    moved = [weight - xi * step for weight, step in zip(weights, steps, strict=True)]
    return _filled(torch.autograd.grad(valid(moved), alphas, allow_unused=True), alphas)


def sgd_velocity(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> Velocity:
    """What SGD steps against: momentum * buffer + gradient + decay * weight.

    Args:
        optimizer: plain SGD (another one has no such form; then only the gradient and decay count).
        weights: its parameters, in its order.
    """
    options: Mapping[str, float] = optimizer.param_groups[0]
    momentum, decay = options.get("momentum", 0.0), options["weight_decay"]
    buffers = [optimizer.state.get(weight, {}).get("momentum_buffer") for weight in weights]

    def velocity(gradient: Sequence[Tensor]) -> list[Tensor]:
        out = [g + decay * weight for g, weight in zip(gradient, weights, strict=True)]
        return [v if b is None else v + momentum * b for v, b in zip(out, buffers, strict=True)]

    return velocity


@contextmanager
def _constant(leaves: Sequence[Tensor]) -> Iterator[None]:
    """Inside, no gradient flows to ``leaves``, so nothing is kept or computed for one."""
    for leaf in leaves:
        leaf.requires_grad_(False)
    try:
        yield
    finally:
        for leaf in leaves:
            leaf.requires_grad_(True)


def _filled(gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, like, strict=True)]
