"""Learning alpha by REINFORCE: Cai, Zhu and Han 2019, section 3.3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nascore_blocks.supernet.mix import masked
from nascore_proxylessnas.gates import LEAST_COST, Gates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared


class Reinforce(Gates):
    """Sampled networks, each rewarded by accuracy * (reference / cost)^weight.

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
