"""The search on top of a trained hypernetwork: Brock et al. 2017, algorithm 1 and section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.history import eligible
from nascore.records import Candidate, Direction

if TYPE_CHECKING:
    import random as python_random

    from nascore.contracts import History, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Trial


class Perturb(Sampler):
    """Random draws, then perturbations of the best of them, then a chain that moves on to what is better.

    A perturbation draws each decision anew, among its other options, with a small probability. In the second phase
    all are of the best random draw; in the third each is of the best trial so far, until the budget ends. The answer
    is the best trial, to be trained alone by ``nascore retrain``. All is read from the history, so there is no state.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def __init__(self, random: int = 500, perturbations: int = 100, probability: float = 0.05) -> None:
        """Set the phases; the defaults are the paper's, which ends with a chain of 100: 700 trials.

        Args:
            random: trials of the first phase, >= 1.
            perturbations: trials of the second phase, >= 0; what is left of the budget is the chain.
            probability: of a decision to be drawn anew, in (0, 1].

        Raises:
            SettingsError: a value is out of its range.
        """
        for name, value, least in (("random", random, 1), ("perturbations", perturbations, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if not 0 < probability <= 1:
            raise SettingsError(f"probability is {probability}; it must be in (0, 1].")
        self.random, self.perturbations, self.probability = random, perturbations, probability

    def ask(self, view: View) -> Candidate:
        """The next candidate; within the constraints."""
        rng = view.rng
        if view.number >= self.random:
            chain = view.number >= self.random + self.perturbations
            best = view.history.best if chain else self._best(view.history)
            if best is not None:
                drawn = view.within(lambda: self.perturbed(best.architecture, rng))
                return Candidate(drawn, parent=best.number, origin=f"perturbation of {best.number}")
        return Candidate(view.within(lambda: self._drawn(rng)), origin="random")

    def perturbed(self, architecture: Architecture, rng: python_random.Random) -> Architecture:
        """A neighbour that is another network where a hundred draws find one."""
        space = cast("DecisionSpace", self.space)
        decisions = space.decisions(architecture)
        child = architecture
        for _ in range(100):
            values = {decision.name: decision.value for decision in decisions}
            for decision in decisions:
                others = [option for option in decision.options if option != decision.value]
                if others and rng.random() < self.probability:
                    values[decision.name] = rng.choice(others)
            child = space.replay(values, rng)
            if child.key != architecture.key:
                break
        return child

    def _drawn(self, rng: python_random.Random) -> Architecture:
        return self.space.sample(lambda _, options: rng.choice(options))

    def _best(self, history: History) -> Trial | None:
        """Of the first phase, by the first objective; of equals, the first."""
        lead = self.objectives[0]
        sign = 1 if lead.direction is Direction.MAXIMIZE else -1
        first = [trial for trial in history if trial.number < self.random and eligible(trial)]
        usable = [trial for trial in first if trial.value(lead.name) == trial.value(lead.name)]  # no NaN
        return max(usable, key=lambda trial: (sign * trial.value(lead.name), -trial.number), default=None)
