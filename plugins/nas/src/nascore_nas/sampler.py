"""NAS: Zoph and Le 2017, arXiv:1611.01578."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError, nearest
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore_blocks.threads import pinned_threads
from nascore_nas.controller import Factorised, Question
from nascore_nas.recurrent import Recurrent
from nascore_nas.reinforce import Reinforce, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from nascore.contracts import History, SearchSpace, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Objective, Trial

LEARNING_RATES = {"lstm": 6e-4, "factorised": 0.1}
"""Controller -> learning rate where none is given; the paper's for its LSTM."""

REWARDS: dict[str, Callable[[float], float]] = {
    "value": lambda value: value,
    "cube": lambda value: value**3,
    "perplexity": lambda value: 80 * math.exp(min(2 * value, 700)),
}
"""Name -> reward of the objective's value, or of its negative where less is better. ``perplexity`` is the paper's
c / ppl^2 with c = 80, of a loss in nats: ppl = exp(loss)."""


class NAS(Sampler):
    """A controller draws architectures decision by decision, and learns from their rewards by REINFORCE.

    Judged architectures are gathered; each time ``batch`` of them are there, the controller takes one step on
    all of them. Trials may come back late and in any order, and several workers share the one controller: a
    trial counts with its probability under the controller as it is when it learns. A trial that failed, was
    pruned or is infeasible teaches nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def __init__(
        self,
        controller: str = "lstm",
        hidden: int = 35,
        layers: int = 2,
        shared: bool = True,
        learning_rate: float | None = None,
        batch: int = 8,
        entropy_weight: float = 0.0,
        baseline_decay: float = 0.95,
        reward: str = "cube",
        last: int = 5,
        redraws: int = 0,
    ) -> None:
        """Set the controller; the defaults are the paper's, as far as they are known.

        Args:
            controller: ``lstm``, the paper's; or ``factorised``, in which each decision has a softmax of its own
                and no answer depends on another: better where there are few trials.
            hidden: units of a layer of the LSTM, >= 1.
            layers: of the LSTM, >= 1.
            shared: decisions of one type (names that differ in numbers alone, the same options) share a softmax of
                the LSTM, as in the paper; false gives each its own, which learns sooner.
            learning_rate: of Adam, > 0; by default 6e-4 for ``lstm`` and 0.1 for ``factorised``.
            batch: architectures that one step learns from, >= 1.
            entropy_weight: worth of a nat of entropy, in units of the reward, >= 0.
            baseline_decay: of the moving baseline, in [0, 1).
            reward: ``cube`` of the objective, its ``value``, or ``perplexity``, 80 / exp(loss)^2, of a loss in nats.
                Where less is better, of its negative; ``perplexity`` is for such an objective alone.
            last: the reward is that of the best of the last so many points of the learning curve, >= 1 (where the
                evaluator reports none, of its value).
            redraws: how often at most to draw again where the architecture was proposed before, >= 0; 0 as in the
                paper. What is drawn again is no draw of the policy any more: a small bias, for no trial wasted.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, choice, allowed in (("controller", controller, LEARNING_RATES), ("reward", reward, REWARDS)):
            if choice not in allowed:
                raise SettingsError(f"{name}: there is no {choice!r}; {nearest(choice, allowed)}.")
        least = (("hidden", hidden, 1), ("layers", layers, 1), ("batch", batch, 1), ("last", last, 1))
        for name, value, lowest in (*least, ("redraws", redraws, 0)):
            if value < lowest:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {lowest}.")
        rate = LEARNING_RATES[controller] if learning_rate is None else learning_rate
        if not 0 < rate < math.inf:
            raise SettingsError(f"learning_rate is {rate}; it must be a number > 0.")
        if not 0 <= entropy_weight < math.inf:
            raise SettingsError(f"entropy_weight is {entropy_weight}; it must be a number >= 0.")
        if not 0 <= baseline_decay < 1:
            raise SettingsError(f"baseline_decay is {baseline_decay}; it must be in [0, 1).")
        self.controller, self.hidden, self.layers, self.shared = controller, hidden, layers, shared
        self.batch, self.reward, self.last, self.redraws = batch, reward, last, redraws
        self.learning = {
            "learning_rate": rate,
            "entropy_weight": entropy_weight,
            "baseline_decay": baseline_decay,
        }
        self.judged: dict[int, Sample] = {}  # since the last step
        self.proposed: set[str] = set()  # keys

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw the controller's weights; see :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: there are several objectives; a reward is one number.
            SettingsError: ``reward`` is ``perplexity``, and more is better.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            given = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"NAS has one objective; got {given}. Make the others constraints.")
        maximise = self.objectives[0].direction is Direction.MAXIMIZE
        if maximise and self.reward == "perplexity":
            raise SettingsError(
                f"reward is 'perplexity', which is of a loss; the objective is {self.objectives[0].name}. "
                "Use reward=cube, or --objective loss."
            )
        self.sign = 1.0 if maximise else -1.0
        self.decisions = cast("DecisionSpace", space)
        lstm = self.controller == "lstm"
        made = Recurrent(seed, self.hidden, self.layers, self.shared) if lstm else Factorised(seed)
        self.reinforce = Reinforce(made, **self.learning)

    def ask(self, view: View) -> Candidate:
        """A draw of the controller, within the constraints."""
        new: list[nn.Parameter] = []

        def propose() -> Architecture:
            for _ in range(self.redraws):
                drawn = self.reinforce.controller.draw(self.space, view.rng, new)
                if drawn.key not in self.proposed:
                    return drawn
            return self.reinforce.controller.draw(self.space, view.rng, new)

        with pinned_threads(1):
            architecture = view.within(propose)
        self.reinforce.adopt(new)
        self.proposed.add(architecture.key)
        return Candidate(architecture, origin="drawn by the controller")

    def tell(self, trial: Trial) -> None:
        """Take the reward in; a full batch makes the controller learn."""
        self.proposed.add(trial.architecture.key)
        if not eligible(trial) or not math.isfinite(self._reward(trial)):
            return
        self.judged[trial.number] = self._sample(trial)
        if len(self.judged) >= self.batch:
            with pinned_threads(1):
                self.reinforce.update([self.judged[number] for number in sorted(self.judged)])
            self.judged = {}

    def _reward(self, trial: Trial) -> float:
        name = self.objectives[0].name
        if not math.isfinite(trial.value(name)):
            return math.nan
        curve = [metrics[name] for _, metrics in trial.reports if name in metrics][-self.last :]
        # The value itself may be that of an earlier epoch, where the evaluator goes back to the best.
        values = [value for value in (*curve, trial.value(name)) if math.isfinite(value)]
        return REWARDS[self.reward](max(self.sign * value for value in values))

    def _sample(self, trial: Trial) -> Sample:
        made = self.decisions.decisions(trial.architecture)
        questions = tuple(Question(decision.name, decision.options) for decision in made)
        return Sample(questions, tuple(_index(d.value, d.options) for d in made), self._reward(trial))

    def state_dict(self) -> dict[str, Any]:
        """The controller, its optimiser and baseline, and which trials it has yet to learn from."""
        return {"reinforce": self.reinforce.state_dict(), "judged": list(self.judged)}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.reinforce.load_state_dict(state["reinforce"])
        self.judged = {number: self._sample(history[number]) for number in state["judged"]}
        self.proposed = {trial.architecture.key for trial in history}


def _index(value: object, options: Sequence[object]) -> int:
    """Place of ``value``; 1 and True are different options."""
    return next(n for n, option in enumerate(options) if type(option) is type(value) and option == value)
