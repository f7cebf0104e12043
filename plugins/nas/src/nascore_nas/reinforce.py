"""REINFORCE (Williams 1992) with a moving baseline, as Zoph and Le 2017 use it (section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_nas.controller import Controller, Question


class Sample(NamedTuple):
    """A judged architecture.

    Attributes:
        questions: its decisions, in the order of the program.
        answers: index of the chosen option of each.
        reward: larger is better.
    """

    questions: tuple[Question, ...]
    answers: tuple[int, ...]
    reward: float


class Reinforce:
    """Adam on -(1/m) sum_k [log P(a_k) (R_k - b) + w H_k].

    The log-probability is that of the controller as it is when it learns, also for an architecture that an
    earlier one drew: workers that come back late are not reweighed.
    """

    def __init__(
        self, controller: Controller, *, learning_rate: float, entropy_weight: float, baseline_decay: float
    ) -> None:
        """
        Args:
            controller: what learns.
            learning_rate: of Adam, > 0.
            entropy_weight: w, worth of a nat of entropy, >= 0.
            baseline_decay: beta of the baseline, b <- beta b + (1 - beta) R, in [0, 1).
        """
        self.controller, self.entropy_weight, self.decay = controller, entropy_weight, baseline_decay
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
        for sample in samples:  # one that another worker's controller drew may have decisions that are new here
            for question in sample.questions:
                self.adopt(self.controller.meet(question))
        advantages = [self.advantage(sample.reward) for sample in samples]
        losses = [
            self._loss([samples[row] for row in rows], [advantages[row] for row in rows]) for rows in _alike(samples)
        ]
        self.optimizer.zero_grad(set_to_none=True)
        (torch.stack(losses).sum() / len(samples)).backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimizer.step()

    def advantage(self, reward: float) -> float:
        """Against the baseline as it was: one that holds the reward already would shrink it."""
        before = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * before + (1 - self.decay) * reward
        return reward - before

    def _loss(self, samples: Sequence[Sample], advantages: Sequence[float]) -> Tensor:
        device = next(iter(self.controller.parameters())).device
        answers = torch.tensor([sample.answers for sample in samples], device=device)
        scores = self.controller.score(samples[0].questions, answers)
        gain = torch.tensor(advantages, device=device).to(scores.log_prob)
        return -(scores.log_prob * gain + self.entropy_weight * scores.entropy).sum()

    def state_dict(self) -> dict[str, Any]:
        """The controller with the decisions it met, its Adam, and the baseline."""
        return {
            "met": list(zip(self.controller.met, self.controller.counts, strict=True)),
            "controller": dict(self.controller.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state, from a fresh one."""
        for kind, options in state["met"]:
            self.adopt(self.controller.meet_kind(kind, options))
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]


def _alike(samples: Sequence[Sample]) -> list[list[int]]:
    """Rows of samples with the same decisions, which can be scored at once; one group where names are fixed."""
    groups: dict[tuple[Question, ...], list[int]] = {}
    for row, sample in enumerate(samples):
        groups.setdefault(sample.questions, []).append(row)
    return list(groups.values())
