"""How the candidate ops of an edge are mixed: five short formulas.

A strategy turns logits into :class:`Paths`: which ops run, and with what weight. An op that does not
run is not computed. Strategies draw from the generator they are given, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from nascore.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore_blocks.supernet.wiring import Wiring

    Mixture = Mapping[str, "Paths"]
    """Kind of place (``normal``, ``reduce``, ...) -> its paths."""

TINY, ALMOST_ONE = 1e-20, 1 - 1e-7
"""Where uniform numbers are cut, so that -log(-log u) is finite in float32."""


@dataclass(frozen=True)
class Paths:
    """What runs at one kind of place.

    Attributes:
        active: for each edge of the wiring, the indices of the ops that run.
        weights: (edges, ops), what each op's output is multiplied by; None: 1.
        concat: the nodes (2, 3, ...) that make the output; the others count as zeros. None: all.
        drawn: (edges, 2), the pairs of ops that :class:`BinaryGates` drew; None for other mixes.
    """

    active: tuple[tuple[int, ...], ...]
    weights: Tensor | None = None
    concat: tuple[int, ...] | None = None
    drawn: Tensor | None = None

    def detached(self) -> Paths:
        """The same paths; no gradient flows to the weights."""
        return self if self.weights is None else replace(self, weights=self.weights.detach())


class Mix(Protocol):
    """Logits (edges, ops) of one kind of place, to paths."""

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """Draw, where the strategy draws at all."""


class PathDropout:
    """m = sum of the ops that are not dropped (One-Shot, Bender et al. 2018, section 3.2).

    An op is dropped with probability share * r^(1/k), k the number of ops that lead into its node: at
    share 1 a node loses all of them with probability r. Survivors are not rescaled: dropping is removing.
    """

    def __init__(self, r: float, share: float = 1.0) -> None:
        """
        Args:
            r: in [0, 1).
            share: in [0, 1]; rises with the training.

        Raises:
            SettingsError: out of range.
        """
        if not 0 <= r < 1:
            raise SettingsError(f"r is {r}; it must be in [0, 1).")
        if not 0 <= share <= 1:
            raise SettingsError(f"share is {share}; it must be in [0, 1].")
        self.r, self.share = r, share

    def probability(self, wiring: Wiring, edge: int) -> float:
        """Of an op on this edge to be dropped."""
        return float(self.share * self.r ** (1 / wiring.paths_into(edge))) if self.r else 0.0

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """The logits are not looked at."""
        draws = torch.rand(wiring.size, generator=generator).tolist()
        active = []
        for edge, row in enumerate(draws):
            limit = self.probability(wiring, edge)
            active.append(tuple(op for op in wiring.everything[edge] if row[op] >= limit))
        return Paths(tuple(active))


class Softmax:
    """m = sum of softmax(alpha)_o o(x) (DARTS, Liu et al. 2019, equation 2); ``none`` has its share."""

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """Differentiable in the logits; draws nothing."""
        return Paths(wiring.everything, torch.softmax(masked(logits, wiring), dim=-1))


class Concrete:
    """m = sum of Z_o o(x), Z = softmax((alpha + G) / lambda), G Gumbel noise (SNAS, Xie et al. 2019, equation 5).

    One sample serves a whole minibatch.
    """

    def __init__(self, temperature: float) -> None:
        """
        Args:
            temperature: lambda, > 0; towards 0 the samples become one-hot.

        Raises:
            SettingsError: out of range.
        """
        if not temperature > 0:
            raise SettingsError(f"temperature is {temperature}; it must be > 0.")
        self.temperature = temperature

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """Differentiable in the logits."""
        uniform = torch.rand(logits.shape, generator=generator, dtype=logits.dtype).clamp_(TINY, ALMOST_ONE)
        gumbel = -torch.log(-torch.log(uniform)).to(logits.device)
        return Paths(wiring.everything, torch.softmax(masked(logits + gumbel, wiring) / self.temperature, dim=-1))


class SinglePath:
    """m = o(x), one op an edge, drawn from softmax(alpha) (ENAS; equal logits: uniformly)."""

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """Not differentiable; drawing ``none`` leaves the edge out."""
        drawn = torch.multinomial(torch.softmax(masked(logits.detach().cpu(), wiring), dim=-1), 1, generator=generator)
        return Paths(tuple((op,) if op in wiring.live else () for op in drawn.flatten().tolist()))


class BinaryGates:
    """m = sum of g_o o(x), g one-hot (ProxylessNAS, Cai et al. 2019, section 3.2.2, two paths).

    Two ops an edge are drawn without replacement by softmax(alpha), then one of the two by their
    renormalised probabilities; its gate is 1, the other's 0. Both run, so that the gates have
    gradients; ``weights`` is a leaf whose gradient :func:`logit_gradient` turns into that of alpha.
    """

    def __call__(self, logits: Tensor, wiring: Wiring, generator: torch.Generator) -> Paths:
        """``active`` has the pairs, without ``none``: its output is zero, so its gate has no gradient."""
        share = torch.softmax(masked(logits.detach().cpu(), wiring), dim=-1)
        pairs = torch.multinomial(share, 2, generator=generator)
        first = torch.multinomial(share.gather(1, pairs), 1, generator=generator)
        gates = torch.zeros_like(share).scatter_(1, pairs.gather(1, first), 1.0)
        active = tuple(tuple(op for op in pair if op in wiring.live) for pair in pairs.tolist())
        return Paths(active, gates.to(logits.device).requires_grad_(), drawn=pairs.to(logits.device))


def masked(logits: Tensor, wiring: Wiring) -> Tensor:
    """The logits (edges, ops), minus infinity for an op that its edge may not have."""
    barred = torch.ones(wiring.size, dtype=torch.bool)
    for edge, ops in enumerate(wiring.allowed):
        barred[edge, list(ops)] = False
    return logits.masked_fill(barred.to(logits.device), -torch.inf) if bool(barred.any()) else logits


def logit_gradient(logits: Tensor, gates: Tensor, pairs: Tensor) -> Tensor:
    """Gradient of the logits from that of the gates (ProxylessNAS, equation 4), over the drawn pairs.

    Args:
        logits: alpha, (edges, ops).
        gates: dL/dg, (edges, ops).
        pairs: indices of the drawn ops, (edges, 2).

    Returns:
        dL/dalpha_i = sum_j dL/dg_j p_j (delta_ij - p_i), (edges, ops); zero outside the pairs.
    """
    p = torch.softmax(logits.gather(1, pairs), dim=-1)
    g = gates.gather(1, pairs)
    return torch.zeros_like(logits).scatter_(1, pairs, p * (g - (p * g).sum(dim=-1, keepdim=True)))


def keep_other_probabilities(before: Tensor, after: Tensor, pairs: Tensor) -> Tensor:
    """``after``, its drawn pairs moved so that the probabilities of all other ops are as ``before``.

    Args:
        before: alpha before the step, (edges, ops).
        after: alpha after it; differs at ``pairs`` alone.
        pairs: indices of the drawn ops, (edges, 2).
    """
    offset = torch.logsumexp(after.gather(1, pairs), 1, True) - torch.logsumexp(before.gather(1, pairs), 1, True)
    return after.scatter(1, pairs, after.gather(1, pairs) - offset)
