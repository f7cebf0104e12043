"""NASNet: Zoph, Vasudevan, Shlens and Le 2018, arXiv:1707.07012, section 3.1 and appendix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore_blocks.threads import pinned_threads
from nascore_nasnet.controller import Controller, Walk
from nascore_nasnet.ppo import PPO, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from nascore.contracts import History, SearchSpace, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Objective, Trial


class NASNet(Sampler):
    """An LSTM controller draws architectures decision by decision, and learns from their values by PPO.

    The reward is the objective (its negative, where less is better). Judged architectures are gathered;
    each time ``batch`` of them are there, the controller learns from them. They may have been drawn
    by an earlier controller: the ratio of PPO is to the probability with which each was drawn, so
    trials may come back late and in any order. A trial that failed, was pruned or is infeasible teaches nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def __init__(
        self,
        hidden: int = 100,
        learning_rate: float = 3.5e-4,
        batch: int = 20,
        epochs: int = 4,
        clip: float = 0.2,
        entropy_weight: float = 1e-5,
        baseline_decay: float = 0.95,
    ) -> None:
        """Set the controller; the defaults are the paper's where METHODS could find them.

        Args:
            hidden: units of the LSTM, >= 1.
            learning_rate: of Adam, > 0.
            batch: architectures that one update learns from, >= 1.
            epochs: passes of an update over its batch, >= 1.
            clip: epsilon of PPO, > 0.
            entropy_weight: worth of a nat of entropy, in units of the objective, >= 0.
            baseline_decay: of the moving baseline, in [0, 1).

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value in (("hidden", hidden), ("batch", batch), ("epochs", epochs)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= 1.")
        for name, number in (("learning_rate", learning_rate), ("clip", clip)):
            if not 0 < number < math.inf:
                raise SettingsError(f"{name} is {number}; it must be a number > 0.")
        if not 0 <= entropy_weight < math.inf:
            raise SettingsError(f"entropy_weight is {entropy_weight}; it must be a number >= 0.")
        if not 0 <= baseline_decay < 1:
            raise SettingsError(f"baseline_decay is {baseline_decay}; it must be in [0, 1).")
        self.hidden, self.batch = hidden, batch
        self.learning: dict[str, Any] = {
            "learning_rate": learning_rate,
            "clip": clip,
            "epochs": epochs,
            "entropy_weight": entropy_weight,
            "baseline_decay": baseline_decay,
        }
        self.drawn: dict[int, tuple[float, ...]] = {}  # trials under way: log-probabilities of their answers
        self.judged: dict[int, Sample] = {}  # since the last update

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw the controller's weights; see :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: there are several objectives; a reward is one number.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            given = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"NASNet has one objective; got {given}. Make the others constraints.")
        self.decisions = cast("DecisionSpace", space)
        self.sign = 1.0 if self.objectives[0].direction is Direction.MAXIMIZE else -1.0
        self.ppo = PPO(Controller(self.hidden, seed), **self.learning)

    def ask(self, view: View) -> Candidate:
        """A draw of the controller, within the constraints."""
        new: list[nn.Parameter] = []
        with pinned_threads(1):
            architecture = view.within(lambda: self.space.sample(Walk(self.ppo.controller, view.rng, new).choose))
            self.ppo.adopt(new)
            names, answers = self._answers(architecture)
            with torch.no_grad():
                log_probs = self.ppo.controller.score(names, torch.tensor([answers])).log_probs[0]
        self.drawn[view.number] = tuple(log_probs.tolist())
        return Candidate(architecture, origin="drawn by the controller")

    def tell(self, trial: Trial) -> None:
        """Take the reward in; a full batch makes the controller learn."""
        log_probs = self.drawn.pop(trial.number, None)
        value = trial.value(self.objectives[0].name)
        if log_probs is None or not eligible(trial) or not math.isfinite(value):
            return
        self.judged[trial.number] = self._sample(trial, log_probs)
        if len(self.judged) >= self.batch:
            with pinned_threads(1):
                self.ppo.update([self.judged[number] for number in sorted(self.judged)])
            self.judged = {}

    def _sample(self, trial: Trial, log_probs: Sequence[float]) -> Sample:
        reward = self.sign * trial.value(self.objectives[0].name)
        return Sample(*self._answers(trial.architecture), tuple(log_probs), reward)

    def _answers(self, architecture: Architecture) -> tuple[tuple[str, ...], tuple[int, ...]]:
        made = self.decisions.decisions(architecture)
        return tuple(d.name for d in made), tuple(_index(d.value, d.options) for d in made)

    def state_dict(self) -> dict[str, Any]:
        """The controller and its optimiser, and what was judged since the last update."""
        return {
            "ppo": self.ppo.state_dict(),
            "judged": [[number, list(sample.log_probs)] for number, sample in self.judged.items()],
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.ppo.load_state_dict(state["ppo"])
        self.drawn = {}
        self.judged = {number: self._sample(history[number], log_probs) for number, log_probs in state["judged"]}


def _index(value: object, options: Sequence[object]) -> int:
    """Place of ``value``; 1 and True are different options."""
    return next(n for n, option in enumerate(options) if type(option) is type(value) and option == value)
