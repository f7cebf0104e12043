"""The gradient of the controller: REINFORCE with a moving baseline (Pham et al. 2018, section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_enas.controller import Writer


class Reinforce:
    """Adam on -sum (R_m - b) log pi(m), with b an average of the rewards before the m-th, and on a penalty."""

    def __init__(
        self,
        controller: Writer,
        learning_rate: float,
        entropy_weight: float,
        decay: float,
        penalty_weight: float = 0.0,
    ) -> None:
        """
        Args:
            controller: what learns.
            learning_rate: of Adam, > 0.
            entropy_weight: of the entropy in the reward, per nat, >= 0.
            decay: of the baseline, b <- decay b + (1 - decay) R, in [0, 1).
            penalty_weight: of the controller's penalty in the loss, per nat, >= 0, where it has one.
        """
        self.controller, self.entropy_weight, self.decay = controller, entropy_weight, decay
        self.penalty_weight = penalty_weight
        self.optimizer = torch.optim.Adam(controller.parameters(), lr=learning_rate)
        self.baseline: float | None = None

    def step(
        self, count: int, generator: torch.Generator, value: Callable[[Sequence[int]], float]
    ) -> tuple[float, float]:
        """Draw ``count`` architectures, and make the better ones likelier.

        Args:
            count: M, >= 1.
            generator: of the draws.
            value: tokens of an architecture -> its value, such as an accuracy in [0, 1].

        Returns:
            The mean value, and the mean entropy of an architecture (nats).
        """
        draws = self.controller.draw(count, generator)
        values = [value(row) for row in draws.tokens.tolist()]
        rewards = [v + self.entropy_weight * e for v, e in zip(values, draws.entropy.tolist(), strict=True)]
        advantages = torch.tensor([self._advantage(reward) for reward in rewards]).to(draws.log_prob)
        loss = -(advantages * draws.log_prob).mean()
        if draws.penalty is not None:
            loss = loss + self.penalty_weight * draws.penalty.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        return sum(values) / count, float(draws.entropy.mean())

    def _advantage(self, reward: float) -> float:
        """Against the baseline as it was: one that holds the reward already would shrink it."""
        before = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * before + (1 - self.decay) * reward
        return reward - before

    def state_dict(self) -> dict[str, Any]:
        """The controller, its Adam, and the baseline."""
        return {
            "controller": dict(self.controller.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
