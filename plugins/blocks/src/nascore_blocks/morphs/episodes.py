"""Searching by transformation: REINFORCE over episodes that begin at a trained network (Cai et al. 2018a)."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.threads import pinned_threads

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial

CLIP = 0.999
"""tan(accuracy pi / 2) has a pole at 1."""


class Episode:
    """The choices of one walk of a policy: drawn, or given again to learn from them.

    Attributes:
        answers: index of each choice among its options.
        log_prob: of all choices together (nats).
        entropy: of the distributions they were drawn from, summed (nats).
    """

    def __init__(self, rng: random.Random | None = None, answers: Sequence[int] | None = None) -> None:
        """
        Args:
            rng: draws the choices; or
            answers: the choices.
        """
        self._rng, self._given = rng, answers
        self.answers: list[int] = []
        self.log_prob = self.entropy = torch.zeros(())

    def choose(self, logits: Tensor) -> int:
        """Answer one question.

        Args:
            logits: (options,), of the allowed options only.

        Returns:
            The index of the chosen one.
        """
        log_p = torch.log_softmax(logits, 0)
        if self._given is not None:
            index = self._given[len(self.answers)]
        elif self._rng is not None:
            (index,) = self._rng.choices(range(len(log_p)), log_p.exp().tolist())
        else:
            index = int(log_p.argmax())
        self.answers.append(index)
        self.log_prob = self.log_prob + log_p[index]
        self.entropy = self.entropy - (log_p.exp() * log_p).sum()
        return index

    def bit(self, logit: Tensor) -> bool:
        """Answer yes with probability sigmoid(``logit``), a scalar."""
        return self.choose(torch.stack([torch.zeros_like(logit), logit])) == 1


class Policy(nn.Module):
    """A distribution over transformations of an architecture."""

    @abstractmethod
    def transform(self, architecture: Architecture, episode: Episode) -> Architecture:
        """Transform an architecture, as the episode answers."""


class TransformSampler(Sampler):
    """The first trial is the start network; then each trial is the start, transformed, with its weights for parent.

    Judged trials are gathered, and each time ``batch`` are there the policy takes one step of Adam along
    (1/m) sum_k [(R_k - b) grad log P + w grad H], with b the moving baseline before R_k. After ``stage_trials``
    trials the best network so far becomes the start (the second stage of training).

    A subclass names its options and writes :meth:`start` and :meth:`policy`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"morphs"})

    def __init__(
        self,
        *,
        learning_rate: float,
        batch: int,
        entropy_weight: float,
        baseline_decay: float,
        stage_trials: int,
        reward: str,
    ) -> None:
        """
        Args:
            learning_rate: of Adam, > 0.
            batch: trials that one step learns from, >= 1.
            entropy_weight: w, worth of a nat of entropy, >= 0.
            baseline_decay: beta of b <- beta b + (1 - beta) R, in [0, 1).
            stage_trials: trials after which the best one becomes the start, >= 1; 0: never.
            reward: ``tan`` of the accuracy times pi / 2, or ``value``.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value, holds, allowed in (
            ("learning_rate", learning_rate, 0 < learning_rate < math.inf, "> 0"),
            ("batch", batch, batch >= 1, ">= 1"),
            ("entropy_weight", entropy_weight, 0 <= entropy_weight < math.inf, ">= 0"),
            ("baseline_decay", baseline_decay, 0 <= baseline_decay < 1, "in [0, 1)"),
            ("stage_trials", stage_trials, stage_trials >= 0, ">= 0 (0: never)"),
        ):
            if not holds:
                raise SettingsError(f"{name} is {value}; it must be a number {allowed}.")
        if reward not in ("tan", "value"):
            raise SettingsError(f"reward is {reward!r}; allowed: tan, value.")
        self.learning_rate, self.batch, self.entropy_weight = learning_rate, batch, entropy_weight
        self.decay, self.stage_trials, self.reward = baseline_decay, stage_trials, reward

    @abstractmethod
    def start(self) -> Architecture:
        """The first network."""

    @abstractmethod
    def policy(self) -> Policy:
        """The policy for ``self.space``, its weights drawn from torch's global generator."""

    # ------------------------------------------------------------------ the search

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw the policy's weights; see :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: there are several objectives; a reward is one number.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            given = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"A reward is one number; got {given}. Make the others constraints.")
        with isolated_random(derive_seed(seed, "policy")):
            self.controller = self.policy()
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=self.learning_rate)
        self.baseline: float | None = None
        self.base: Architecture = self.start()
        self.parent: int | None = None
        self.started = False
        """The start network was proposed."""
        self.ready = False
        """It was judged, or will not be."""
        self.told = 0
        """Trials of this stage."""
        self.asked: dict[int, list[Any]] = {}
        """Trial -> stage's base genome and answers, as long as it is not learnt from."""
        self.rewards: dict[int, float] = {}

    def ask(self, view: View) -> Candidate | None:
        """The start network; then an episode of the policy, within the constraints."""
        if not self.started:
            self.started = True
            return Candidate(self.base, origin="the start network")
        if not self.ready:
            return None
        episode = Episode()

        def propose() -> Architecture:
            nonlocal episode
            episode = Episode(rng=view.rng)
            made = self.controller.transform(self.base, episode)
            drawn[made.key] = episode.answers
            return made

        drawn: dict[str, list[int]] = {}
        with pinned_threads(1), torch.no_grad():
            architecture = view.within(propose)
        self.asked[view.number] = [self.base.genome, drawn[architecture.key]]
        origin = "transformed start" if self.parent is None else f"transformed {self.parent}"
        return Candidate(architecture, parent=self.parent, origin=origin)

    def tell(self, trial: Trial) -> None:
        """Take the reward in; a full batch makes the policy learn."""
        if not self.ready and trial.architecture.key == self.base.key:
            self.ready = True
            self.parent = trial.number if eligible(trial) else None
            if self.parent is not None:
                self.best = (self._signed(trial), trial.number)
            return
        if trial.number not in self.asked:
            return
        self.told += 1
        if eligible(trial) and math.isfinite(self._signed(trial)):
            self.rewards[trial.number] = self._reward(trial)
            if self.best is None or self._signed(trial) > self.best[0]:
                self.best = (self._signed(trial), trial.number)
                self._best_architecture = trial.architecture
        else:
            del self.asked[trial.number]
        if len(self.rewards) >= self.batch:
            self._learn()
        if self.stage_trials and self.told >= self.stage_trials:
            self._next_stage()

    best: tuple[float, int] | None = None
    _best_architecture: Architecture | None = None

    def _next_stage(self) -> None:
        self.told = 0
        if self.best is not None and self._best_architecture is not None:
            self.base, self.parent = self._best_architecture, self.best[1]

    def _signed(self, trial: Trial) -> float:
        value = trial.value(self.objectives[0].name)
        return value if self.objectives[0].direction is Direction.MAXIMIZE else -value

    def _reward(self, trial: Trial) -> float:
        value = self._signed(trial)
        if self.reward == "value" or self.objectives[0].direction is Direction.MINIMIZE:
            return value
        return math.tan(min(max(value, 0.0), CLIP) * math.pi / 2)

    # ------------------------------------------------------------------ learning

    def advantage(self, reward: float) -> float:
        """Against the baseline as it was; the first reward is the first baseline."""
        before = reward if self.baseline is None else self.baseline
        self.baseline = self.decay * before + (1 - self.decay) * reward
        return reward - before

    def _learn(self) -> None:
        numbers = sorted(self.rewards)
        losses = []
        with pinned_threads(1):
            for number in numbers:
                genome, answers = self.asked.pop(number)
                episode = Episode(answers=answers)
                self.controller.transform(self.space.architecture(genome), episode)
                gain = self.advantage(self.rewards[number])
                losses.append(episode.log_prob * gain + self.entropy_weight * episode.entropy)
            loss = -torch.stack(losses).mean()
            if loss.requires_grad:  # nothing was left to choose: nothing to learn
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                self.optimizer.step()
        self.rewards = {}

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Policy, optimiser, baseline, stage, and what is not learnt from yet."""
        best = self._best_architecture
        return {
            "controller": dict(self.controller.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
            "base": self.base.genome,
            "parent": self.parent,
            "started": self.started,
            "ready": self.ready,
            "told": self.told,
            "asked": [[number, *entry] for number, entry in self.asked.items()],
            "rewards": [[number, reward] for number, reward in self.rewards.items()],
            "best": list(self.best) if self.best else None,
            "best_genome": best.genome if best else None,
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.base = self.space.architecture(state["base"])
        for name in ("baseline", "parent", "started", "ready", "told"):
            setattr(self, name, state[name])
        self.asked = {number: [genome, answers] for number, genome, answers in state["asked"]}
        self.rewards = dict(state["rewards"])
        self.best = (state["best"][0], state["best"][1]) if state["best"] else None
        self._best_architecture = (
            self.space.architecture(state["best_genome"]) if state["best"] and state["best_genome"] else None
        )
