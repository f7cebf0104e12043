"""MetaQNN: Baker, Gupta, Naik and Raskar 2017, arXiv:1611.02167."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError, nearest
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore.seeding import derive_seed
from nascore_metaqnn.learning import QTable, Schedule, Step, action_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Objective, Option, Trial

EPSILONS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
MODELS = (1500, 100, 100, 100, 150, 150, 150, 150, 150, 150)
"""The schedule of the paper: 2,700 unique models."""

STATES = ("layer", "prefix")


class _States(Protocol):
    """What the capability ``states`` of a search space means: what a table knows of a chain that has begun."""

    def state(self, answers: Sequence[Option]) -> str: ...


class MetaQNN(Sampler):
    """An agent draws architectures decision by decision, epsilon-greedily by a table Q(s, a).

    After each judged architecture, ``replays`` of those judged until now are drawn with replacement, and Q is
    updated along each, from the last decision to the first. The reward is the objective (its negative, where
    less is better), given at the end.

    A state is what the space says (capability ``states``: that of :class:`~nascore_metaqnn.space.ChainSpace` is
    the paper's tuple); in other spaces of decisions, the decision and the answer before it.

    No architecture is judged twice: one that was proposed before is drawn again, at most ``redraws`` times by the
    schedule, then as often at random. When nothing new comes up even so, the space is as good as exhausted, and
    the sampler has nothing more to propose. Trials that failed, were pruned or are infeasible count as models of the
    schedule, and teach nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def __init__(
        self,
        learning_rate: float = 0.01,
        discount: float = 1.0,
        initial: float = 0.5,
        replays: int = 128,
        epsilons: Sequence[float] = EPSILONS,
        models: Sequence[int] = MODELS,
        total: int = 0,
        shaping: bool = False,
        state: str = "layer",
        redraws: int = 100,
    ) -> None:
        """Set the agent; the defaults are the paper's.

        Args:
            learning_rate: alpha, in (0, 1].
            discount: gamma, in [0, 1].
            initial: Q of what was never tried, in units of the objective.
            replays: architectures that are replayed after each judged one, >= 1.
            epsilons: probabilities of a random answer, each in [0, 1].
            models: how many unique architectures each epsilon is for, >= 0; the last one stays.
            total: scale ``models`` to so many in all; 0: to the search's budget of trials where that is less than
                their sum; -1: leave them.
            shaping: give R / T at each of the T decisions, instead of R at the last (so BlockQNN; the paper not).
            state: ``layer``, or ``prefix``: all answers until now, which no two architectures share.
            redraws: how often at most to draw again where the architecture is known, >= 0.

        Raises:
            SettingsError: a value that is not allowed.
        """
        if not 0 < learning_rate <= 1:
            raise SettingsError(f"learning_rate is {learning_rate}; it must be in (0, 1].")
        if not 0 <= discount <= 1:
            raise SettingsError(f"discount is {discount}; it must be in [0, 1].")
        if not math.isfinite(initial):
            raise SettingsError(f"initial is {initial}; it must be a finite number.")
        for name, value, least in (("replays", replays, 1), ("redraws", redraws, 0), ("total", total, -1)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if not epsilons or len(epsilons) != len(models):
            raise SettingsError(f"epsilons has {len(epsilons)} numbers and models {len(models)}; one for each.")
        if not all(0 <= epsilon <= 1 for epsilon in epsilons):
            raise SettingsError(f"epsilons is {list(epsilons)}; each must be in [0, 1].")
        if min(models) < 0 or not sum(models):
            raise SettingsError(f"models is {list(models)}; it needs whole numbers >= 0, one of them more.")
        if state not in STATES:
            raise SettingsError(f"state: there is no {state!r}; {nearest(state, STATES)}.")
        self.epsilons, self.models, self.total = tuple(epsilons), tuple(models), total
        self.replays, self.shaping, self.by, self.redraws = replays, shaping, state, redraws
        self.table = QTable(learning_rate, discount, initial)
        self.memory: list[tuple[tuple[Step, ...], float]] = []  # trajectories and their rewards R, as told
        self.remembered: list[int] = []  # their trials
        self.proposed: set[str] = set()  # keys

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: there are several objectives; a reward is one number.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            given = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"MetaQNN has one objective; got {given}. Make the others constraints.")
        self.decisions = cast("DecisionSpace", space)
        self.sign = 1.0 if self.objectives[0].direction is Direction.MAXIMIZE else -1.0

    def ask(self, view: View) -> Candidate | None:
        """A new architecture within the constraints, epsilon-greedily; None when none is left."""
        epsilon = self.schedule(view.trials).epsilon(len(self.proposed))
        architecture = view.within(lambda: self._new(view.rng, epsilon))
        if architecture.key in self.proposed:
            return None
        self.proposed.add(architecture.key)
        return Candidate(architecture, origin=f"epsilon {epsilon:g}")

    def tell(self, trial: Trial) -> None:
        """Remember the reward, and learn from what is remembered."""
        self.proposed.add(trial.architecture.key)
        if not eligible(trial) or not math.isfinite(trial.value(self.objectives[0].name)):
            return
        self._remember(trial)
        rng = random.Random(derive_seed(self.seed, "replay", trial.number))
        for steps, reward in rng.choices(self.memory, k=self.replays):
            self.table.replay(steps, self._rewards(len(steps), reward))

    def schedule(self, trials: int | None) -> Schedule:
        """The schedule for a search with this budget; None: no budget of trials."""
        if self.total or trials is None:
            return Schedule(self.epsilons, self.models, max(self.total, 0))
        return Schedule(self.epsilons, self.models, min(trials, sum(self.models)))

    # ------------------------------------------------------------------ drawing

    def _new(self, rng: random.Random, epsilon: float) -> Architecture:
        drawn = self.rollout(rng, epsilon)
        for attempt in range(2 * self.redraws):
            if drawn.key not in self.proposed:
                break
            drawn = self.rollout(rng, epsilon if attempt < self.redraws else 1.0)
        return drawn

    def rollout(self, rng: random.Random, epsilon: float) -> Architecture:
        """One architecture: each answer at random with probability epsilon, else a best one by the table."""
        answers: list[Option] = []

        def choose(name: str, options: Sequence[Option]) -> Option:
            if rng.random() < epsilon:
                index = rng.randrange(len(options))
            else:
                index = self.table.greedy(self._state(name, answers), [action_of(o) for o in options], rng)
            answers.append(options[index])
            return options[index]

        return self.space.sample(choose)

    def trajectory(self, architecture: Architecture) -> tuple[Step, ...]:
        """The transitions that make an architecture."""
        steps: list[Step] = []
        answers: list[Option] = []
        for decision in self.decisions.decisions(architecture):
            options = tuple(action_of(option) for option in decision.options)
            steps.append(Step(self._state(decision.name, answers), options, action_of(decision.value)))
            answers.append(decision.value)
        return tuple(steps)

    def _state(self, name: str, answers: Sequence[Option]) -> str:
        if self.by == "prefix":
            return f"{name} {action_of_all(answers)}"
        if "states" in self.space.provides:
            return cast("_States", self.space).state(answers)
        return f"{name} {action_of_all(answers[-1:])}"

    # ------------------------------------------------------------------ learning

    def _remember(self, trial: Trial) -> None:
        reward = self.sign * trial.value(self.objectives[0].name)
        self.memory.append((self.trajectory(trial.architecture), reward))
        self.remembered.append(trial.number)

    def _rewards(self, steps: int, reward: float) -> list[float]:
        return [reward / steps] * steps if self.shaping else [0.0] * (steps - 1) + [reward]

    def state_dict(self) -> dict[str, Any]:
        """The table, and which trials are remembered, in the order of telling."""
        return {
            "table": {name: dict(values) for name, values in self.table.values.items()},
            "remembered": list(self.remembered),
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.table.values = {name: dict(values) for name, values in state["table"].items()}
        self.memory, self.remembered = [], []
        for number in state["remembered"]:
            self._remember(history[number])
        self.proposed = {trial.architecture.key for trial in history}


def action_of_all(answers: Sequence[Option]) -> str:
    """Answers as text."""
    return ",".join(map(action_of, answers))
