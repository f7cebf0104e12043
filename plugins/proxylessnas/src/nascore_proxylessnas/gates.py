"""Binarised paths, and the two ways to learn their probabilities: Cai, Zhu and Han 2019, arXiv:1812.00332."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nascore_blocks.supernet import prices
from nascore_blocks.supernet.alphas import entropy, shares
from nascore_blocks.supernet.mix import BinaryGates, SinglePath, keep_other_probabilities, logit_gradient, masked
from nascore_blocks.supernet.policy import Policy
from nascore_proxylessnas.latency import latency_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore_blocks.supernet.base import PricedOp
    from nascore_blocks.supernet.limits import Limits
    from nascore_blocks.supernet.mix import Mixture, Paths
    from nascore_blocks.supernet.policy import Shared
    from nascore_blocks.supernet.wiring import Wiring

COSTS = ("none", "params", "macs", "latency_ms")

LEAST_COST = 0.1
"""Of the reference: what a cheaper network counts as in a reward. Stem and classifier have no price, so a
network of free ops would cost nothing, and its reward be endless."""


class Gates(Policy):
    """One op an edge runs, drawn by p = softmax(alpha); the weights learn on it, alpha on ``valid``.

    Attributes:
        alphas: kind of cell -> alpha, (edges, ops).
        table: kind of cell -> F(o), (edges, ops); None until the first step of alpha that needs it. It is
            part of the state: a resumed search goes on with the latencies that were measured.
        reference: the cost that costs are compared to; 0 until then.
    """

    def __init__(
        self,
        wirings: Mapping[str, Wiring],
        limits: Limits,
        alphas: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        every: int,
        warm_up: int,
        cost: str,
        weight: float,
        reference: float,
    ) -> None:
        """
        Args:
            wirings: kind of place -> its candidate edges and ops.
            limits: the constraints of the search.
            alphas: see above; leaves.
            optimizer: of alpha; Adam without momentum, so that what has no gradient does not move.
            every: steps of the weights for one of alpha.
            warm_up: rounds at the start in which alpha does not move.
            cost: one of :data:`COSTS`.
            weight: of the cost; see the subclasses.
            reference: see above; 0: the expected cost at the first step of alpha.
        """
        self.wirings, self.limits = wirings, limits
        self.alphas, self.optimizer = alphas, optimizer
        self.every, self.warm_up = every, warm_up
        self.cost, self.weight, self.reference = cost, weight, reference
        self.table: dict[str, Tensor] | None = None
        self.ended = False
        self._single = SinglePath()

    @abstractmethod
    def learn(self, shared: Shared) -> None:
        """Fill the gradient of each alpha and step; the weights stay."""

    # ------------------------------------------------------------------ an iteration

    def mix(self, shared: Shared) -> Mixture:
        """Equation 2: one op an edge, by p."""
        return {kind: self._single(a, shared.wirings[kind], shared.generator) for kind, a in self.alphas.items()}

    def iterate(self, shared: Shared) -> None:
        """Section 3.2.1: a step of the weights on one path; after ``every`` of them, a step of alpha."""
        shared.step(self.mix(shared), shared.train_batch())
        if shared.round >= self.warm_up and len(shared.losses) % self.every == 0:
            self.prepare_costs(shared)
            self.learn(shared)

    def probabilities(self) -> dict[str, Tensor]:
        """Kind of cell -> p, (edges, ops); differentiable."""
        return shares(self.alphas, self.wirings)

    # ------------------------------------------------------------------ costs

    def prepare_costs(self, shared: Shared) -> None:
        """Price every op at every place, once in a search."""
        if self.cost == "none" or self.table is not None:
            return
        device = shared.parameters[0].device
        price: dict[str, Callable[[PricedOp], float]] = {
            "params": prices.params,
            "macs": prices.macs,
            "latency_ms": lambda shape: latency_ms(shape, device),
        }
        self.table = prices.price_table(shared.supernet, price[self.cost])
        if not self.reference:
            self.reference = float(self.expected().detach())

    def expected(self) -> Tensor:
        """Equation 6: E = sum_j p_j F(o_j) over all edges, a scalar in the unit of the cost."""
        assert self.table is not None  # prepared
        return prices.expected_cost(self.probabilities(), self.table)

    def pressed(self) -> dict[str, Tensor]:
        """Kind -> gradient of the penalty for a broken constraint, (edges, ops)."""
        if not self.limits.pressure > 0:
            return {kind: torch.zeros_like(a) for kind, a in self.alphas.items()}
        found = torch.autograd.grad(self.limits.penalty(self.probabilities()), list(self.alphas.values()))
        return dict(zip(self.alphas, found, strict=True))

    # ------------------------------------------------------------------ rounds and state

    @torch.no_grad()
    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Mean entropy of an edge (nats), and the expected cost."""
        found = {"alphas_entropy": entropy(self.probabilities())}
        if self.table is not None:
            found[f"expected_{self.cost}"] = float(self.expected())
        return found

    def ready(self, done: int, rounds: int) -> bool:
        """After each round in which alpha moved: what it stands for before that is chance."""
        return done > self.warm_up or done >= rounds

    def end(self) -> None:
        """Alpha changes no more, so there is nothing new to propose."""
        self.ended = True

    def state_dict(self) -> dict[str, Any]:
        """Alpha, its Adam, and the price table."""
        return {
            "alphas": {kind: a.detach() for kind, a in self.alphas.items()},
            "optimizer": self.optimizer.state_dict(),
            "table": self.table,
            "reference": self.reference,
            "pressure": self.limits.pressure,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; prices that were found after it are kept, for they do not age."""
        with torch.no_grad():
            for kind, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][kind])
        self.optimizer.load_state_dict(state["optimizer"])
        self.limits.pressure = state["pressure"]
        if state["table"] is not None:
            self.table, self.reference = state["table"], state["reference"]


class TwoPaths(Gates):
    """Sections 3.2.1 and 3.2.2: the gradient of the gates, of two drawn ops an edge; cost in the loss.

    Loss: cross entropy + weight * (E - reference) / reference (equation 7, with a cost that has no unit).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
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
        """Kind of cell -> dLoss/dg_j, (edges, ops), of the drawn ops.

        The cost adds weight F(o_j) / reference, as the output of o_j adds to the cross entropy: of an op
        that computes nothing (``none``) it is zero like its cost, and its partner's still counts.
        """
        gates = {kind: paths.weights for kind, paths in drawn.items()}
        leaves = [gate for gate in gates.values() if gate is not None]
        with shared.frozen():
            loss = shared.loss(drawn, shared.valid_batch())
            shared.check(loss.detach(), "the validation loss")
            # Where nothing but `none` was drawn, the loss depends on no gate.
            found = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
        gradients = {
            kind: torch.zeros_like(leaf) if gradient is None else gradient
            for kind, leaf, gradient in zip(gates, leaves, found, strict=True)
        }
        if self.table is not None:
            gradients = {k: g + self.weight * self.table[k].to(g) / self.reference for k, g in gradients.items()}
        return gradients


class Reinforce(Gates):
    """Section 3.3.2: sampled networks, each rewarded by accuracy * (reference / cost)^weight.

    Attributes:
        samples: networks for one step of alpha.
        decay: beta of the baseline b <- beta b + (1 - beta) R, which is the mean reward at first.
        baseline: b; None before the first reward.
    """

    def __init__(self, *arguments: Any, samples: int, decay: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.samples, self.decay = samples, decay
        self.baseline: float | None = None

    def learn(self, shared: Shared) -> None:
        """Equation 5: ascend on the mean of (R - b) log p of what was drawn."""
        batch = shared.valid_batch()
        drawn = [self.mix_drawn(shared) for _ in range(self.samples)]
        rewards = [self.reward(shared.accuracy(mixture, batch), chosen) for mixture, chosen in drawn]
        mean = sum(rewards) / len(rewards)
        baseline = mean if self.baseline is None else self.baseline
        terms = [(r - baseline) * self.log_probability(chosen) for r, (_, chosen) in zip(rewards, drawn, strict=True)]
        self.optimizer.zero_grad()
        (self.limits.penalty(self.probabilities()) - torch.stack(terms).mean()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        self.baseline = self.decay * baseline + (1 - self.decay) * mean

    def mix_drawn(self, shared: Shared) -> tuple[Mixture, dict[str, Tensor]]:
        """A mixture, and the indices of its ops, (edges,) for each kind; ``none`` among them."""
        mixture = self.mix(shared)
        chosen = {}
        for kind, paths in mixture.items():
            names = self.wirings[kind].ops
            none = names.index("none") if "none" in names else 0
            chosen[kind] = torch.tensor([ops[0] if ops else none for ops in paths.active])
        return mixture, chosen

    def log_probability(self, chosen: Mapping[str, Tensor]) -> Tensor:
        """Of the drawn ops together, a scalar; differentiable in alpha."""
        rows = [
            torch.log_softmax(masked(a, self.wirings[kind]), dim=-1).gather(1, chosen[kind].to(a.device)[:, None]).sum()
            for kind, a in self.alphas.items()
        ]
        return torch.stack(rows).sum()

    def reward(self, accuracy: float, chosen: Mapping[str, Tensor]) -> float:
        """Accuracy * (reference / cost)^weight, the cost that of the drawn ops."""
        if self.table is None:
            return accuracy
        cost = sum(float(self.table[kind].gather(1, ops[:, None]).sum()) for kind, ops in chosen.items())
        return accuracy * float((self.reference / max(cost, LEAST_COST * self.reference)) ** self.weight)

    def state_dict(self) -> dict[str, Any]:
        """Alpha, its Adam, the price table, the baseline."""
        return {**super().state_dict(), "baseline": self.baseline}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        super().load_state_dict(state)
        self.baseline = state["baseline"]


def _pairs(paths: Paths) -> Tensor:
    assert paths.drawn is not None  # what BinaryGates gives
    return paths.drawn
