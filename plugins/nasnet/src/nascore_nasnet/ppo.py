"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347, eq. 7), as NASNet uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_nasnet.controller import Controller


class Sample(NamedTuple):
    """A judged architecture.

    Attributes:
        names: of its decisions.
        answers: index of the chosen option of each.
        log_probs: of each answer, by the controller that drew it (nats).
        reward: larger is better.
    """

    names: tuple[str, ...]
    answers: tuple[int, ...]
    log_probs: tuple[float, ...]
    reward: float


def clipped(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """sum_t min(rho_t A, clip(rho_t, 1 - clip, 1 + clip) A), with rho_t = pi(a_t) / pi_old(a_t).

    Each decision is an action with a ratio of its own; the advantage is that of the architecture.

    Args:
        log_probs: (count, decisions), by the controller as it is.
        old: the same by the controller that drew.
        advantages: (count,).
        clip: epsilon, > 0.

    Returns:
        (count,), to be maximised.
    """
    ratio = (log_probs - old).exp()
    gain = advantages[:, None]
    return torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain).sum(1)


class PPO:
    """Adam on the clipped objective, several passes over each batch of judged architectures."""

    def __init__(
        self,
        controller: Controller,
        *,
        learning_rate: float,
        clip: float,
        epochs: int,
        entropy_weight: float,
        baseline_decay: float,
    ) -> None:
        """
        Args:
            controller: what learns.
            learning_rate: of Adam, > 0.
            clip: epsilon, > 0.
            epochs: passes over a batch, >= 1.
            entropy_weight: worth of a nat of entropy, >= 0.
            baseline_decay: of the baseline, b <- decay b + (1 - decay) R, in [0, 1).
        """
        self.controller, self.clip, self.epochs = controller, clip, epochs
        self.entropy_weight, self.decay = entropy_weight, baseline_decay
        self.optimizer = torch.optim.Adam(list(controller.parameters()), lr=learning_rate)
        self.baseline: float | None = None

    def adopt(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Learn these parameters too."""
        self.optimizer.param_groups[0]["params"].extend(parameters)

    def update(self, samples: Sequence[Sample]) -> None:
        """Make the better ones likelier.

        Args:
            samples: at least one; the baseline takes their rewards in, one after the other.
        """
        advantages = [self.advantage(sample.reward) for sample in samples]
        batches = [self._batch(samples, advantages, rows) for rows in _alike(samples)]
        for _ in range(self.epochs):
            losses = [self._loss(*batch) for batch in batches]
            self.optimizer.zero_grad(set_to_none=True)
            (torch.stack(losses).sum() / len(samples)).backward()  # type: ignore[no-untyped-call]  # torch's own
            self.optimizer.step()

    def advantage(self, reward: float) -> float:
        """Against the baseline as it was: one that holds the reward already would shrink it."""
        before = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * before + (1 - self.decay) * reward
        return reward - before

    def _batch(
        self, samples: Sequence[Sample], advantages: Sequence[float], rows: Sequence[int]
    ) -> tuple[tuple[str, ...], Tensor, Tensor, Tensor]:
        device = self.controller.start.device
        return (
            samples[rows[0]].names,
            torch.tensor([samples[row].answers for row in rows], device=device),
            torch.tensor([samples[row].log_probs for row in rows], device=device),
            torch.tensor([advantages[row] for row in rows], device=device),
        )

    def _loss(self, names: tuple[str, ...], answers: Tensor, old: Tensor, advantages: Tensor) -> Tensor:
        scores = self.controller.score(names, answers)
        gain = clipped(scores.log_probs, old, advantages, self.clip)
        return -(gain + self.entropy_weight * scores.entropy).sum()

    def state_dict(self) -> dict[str, Any]:
        """The controller with the decisions it met, its Adam, and the baseline."""
        return {
            "decisions": list(self.controller.decisions.items()),
            "controller": dict(self.controller.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state, from a fresh one."""
        for name, options in state["decisions"]:
            self.adopt(self.controller.meet(name, options))
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]


def _alike(samples: Sequence[Sample]) -> list[list[int]]:
    """Rows of samples with the same decisions, which can be scored at once; one group where names are fixed."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, sample in enumerate(samples):
        groups.setdefault(sample.names, []).append(row)
    return list(groups.values())
