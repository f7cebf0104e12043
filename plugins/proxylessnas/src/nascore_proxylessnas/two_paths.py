"""Learning alpha by gradient, through the gates of two paths: Cai, Zhu and Han 2019, sections 3.2 and 3.3.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nascore_blocks.supernet.mix import BinaryGates, keep_other_probabilities, logit_gradient
from nascore_proxylessnas.gates import LEAST_COST, Gates

if TYPE_CHECKING:
    from nascore_blocks.supernet.mix import Paths
    from nascore_blocks.supernet.policy import Shared

COST_FORMS = ("add", "multiply")


class TwoPaths(Gates):
    """The gradient of the gates, of two drawn ops an edge; the cost E in the loss in one of two forms.

    ``add``: cross entropy + weight * (E - reference) / reference (equation 7, with a cost that has no unit).
    ``multiply``: scale * cross entropy * (ln(1 + E) / ln(1 + reference))^weight, as the authors' code has it
    with ln E: that of a latency below 1 ms would be negative, and have no power.
    """

    def __init__(self, *arguments: Any, form: str = "add", scale: float = 1.0, **options: Any) -> None:
        """
        Args:
            arguments, options: see :class:`~nascore_proxylessnas.gates.Gates`.
            form: one of :data:`COST_FORMS`.
            scale: see above.
        """
        super().__init__(*arguments, **options)
        self.form, self.scale = form, scale
        self._binary = BinaryGates()

    def learn(self, shared: Shared) -> None:
        """One step of alpha by the gradient of two paths."""
        drawn = {kind: self._binary(a, shared.wirings[kind], shared.generator) for kind, a in self.alphas.items()}
        before = {kind: a.detach().clone() for kind, a in self.alphas.items()}
        pressed = self.pressed()
        for kind, gate_gradient in self.gate_gradients(shared, drawn).items():
            pairs = _pairs(drawn[kind])
            gradient = logit_gradient(before[kind], gate_gradient, pairs)
            chosen = torch.zeros_like(gradient).scatter_(1, pairs, 1.0)  # two ops an edge move, no other
            self.alphas[kind].grad = gradient + chosen * pressed[kind]
        self.optimizer.step()
        with torch.no_grad():
            for kind, alpha in self.alphas.items():
                alpha.copy_(keep_other_probabilities(before[kind], alpha, _pairs(drawn[kind])))

    def gate_gradients(self, shared: Shared, drawn: dict[str, Paths]) -> dict[str, Tensor]:
        """Kind of place -> dLoss/dg_j, (edges, ops), of the drawn ops.

        As the output of o_j adds to the cross entropy, F(o_j) adds to E: of an op that computes nothing
        (``none``) both are zero, and its partner's still count.
        """
        gates = {kind: paths.weights for kind, paths in drawn.items()}
        leaves = [gate for gate in gates.values() if gate is not None]
        with shared.frozen():
            loss = shared.loss(drawn, shared.valid_batch())
            value = shared.check(loss.detach(), "the validation loss")
            # Where nothing but `none` was drawn, the loss depends on no gate.
            found = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
        gradients = {
            kind: torch.zeros_like(leaf) if gradient is None else gradient
            for kind, leaf, gradient in zip(gates, leaves, found, strict=True)
        }
        if self.table is None:
            return gradients
        factor, slope = self.slopes(value)
        return {kind: factor * g + slope * self.table[kind].to(g) for kind, g in gradients.items()}

    def slopes(self, cross_entropy: float) -> tuple[float, float]:
        """Of the loss, by the cross entropy (nats), and by the cost E (per its unit)."""
        if self.form == "add":
            return 1.0, self.weight / self.reference
        expected = self.expected().detach().requires_grad_()
        known = torch.log1p(torch.as_tensor(self.reference).to(expected))
        factor = self.scale * (torch.log1p(expected.clamp_min(LEAST_COST * self.reference)) / known) ** self.weight
        (slope,) = torch.autograd.grad(factor, expected)
        return float(factor.detach()), cross_entropy * float(slope)


def _pairs(paths: Paths) -> Tensor:
    assert paths.drawn is not None  # what BinaryGates gives
    return paths.drawn
