"""Predictor-guided search over any decision space.

PNAS (Liu et al. 2018, arXiv:1712.00559) spends trainings where a surrogate points. Here the surrogate is
a Gaussian process on two kernels, over decisions and over counts of options, its values the normal
scores of the accuracies; candidates are draws and mutations of the best, ranked by expected improvement.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.records import Candidate, Direction, Status
from nascore_surrogate.encoding import Encoding
from nascore_surrogate.process import START, Process, fit, normal_scores

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Objective, Trial
    from nascore_surrogate.process import Floats

MOST_POINTS = 400
"""The best and the latest of so many trials are looked at: the cost grows with the cube."""

TRIES = 50
"""Draws for one new architecture, before a space counts as used up."""


class Surrogate(Sampler):
    """Propose what a Gaussian process expects to improve most.

    The first proposals are draws. With several objectives each proposal looks at another weighting of them
    (ParEGO, Knowles 2006). An architecture that was proposed is not proposed again, unless nothing new is found.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def __init__(self, start: int = 10, candidates: int = 300, parents: int = 5, refit: int = 5) -> None:
        """Set the sizes.

        Args:
            start: random architectures before the first prediction, >= 2.
            candidates: among which a proposal is chosen, >= 2; half of them mutations of the best.
            parents: how many of the best are mutated, >= 1.
            refit: every so many trials the kernel's parameters are learnt anew, >= 1.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value, least in (
            ("start", start, 2), ("candidates", candidates, 2), ("parents", parents, 1), ("refit", refit, 1),
        ):  # fmt: skip
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        self.start, self.candidates, self.parents, self.refit = start, candidates, parents, refit

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Start without knowledge; see :meth:`nascore.contracts.Sampler.setup`."""
        super().setup(space, objectives, seed)
        self._decisions = cast("DecisionSpace", space)
        self._encoding = Encoding(self._decisions)
        self._told: list[tuple[Architecture, tuple[float, ...]]] = []
        self._proposed: set[str] = set()
        self._parameters: Floats = np.array(START)
        self._learnt_at = 0

    def tell(self, trial: Trial) -> None:
        """Remember it; a failure counts as worst, what was not evaluated for a constraint not at all."""
        self._proposed.add(trial.architecture.key)
        if trial.status is Status.COMPLETE:
            values = tuple(
                trial.value(o.name) if o.direction is Direction.MAXIMIZE else -trial.value(o.name)
                for o in self.objectives
            )
            self._told.append((trial.architecture, values))
        elif trial.status is Status.FAIL:
            self._told.append((trial.architecture, (-math.inf,) * len(self.objectives)))

    def ask(self, view: View) -> Candidate:
        """A draw at first, then the candidate of the greatest expected improvement that breaks no constraint."""
        if len(self._told) < self.start:
            chosen, origin, metrics = view.within(lambda: self._new(view.rng)), "random", {}
        else:
            chosen, improvement = self._improving(view)
            origin, metrics = "expected improvement", {"expected_improvement": improvement}
        self._proposed.add(chosen.key)
        return Candidate(chosen, origin=origin, metrics=metrics)

    # ------------------------------------------------------------------ inside

    def _new(self, rng: random.Random) -> Architecture:
        """A draw that was not proposed before; an old one where none is found."""
        for _ in range(TRIES):
            drawn = self._decisions.sample(lambda _, options: rng.choice(options))
            if drawn.key not in self._proposed:
                break
        return drawn

    def _improving(self, view: View) -> tuple[Architecture, float]:
        """The best candidate within the constraints, and its expected improvement (in normal scores)."""
        values = self._values(view.rng)
        kept = self._kept(values)
        candidates = self._candidates([self._told[i][0] for i in kept], values[kept], view.rng)
        known = [self._told[index][0] for index in kept]
        choices, counts = self._encoding.encode([*known, *candidates])
        scores = normal_scores(values[kept])
        points = choices[: len(known)], counts[: len(known)]
        if len(self._told) - self._learnt_at >= self.refit or not self._learnt_at:
            self._parameters, self._learnt_at = fit(points, scores, self._parameters), len(self._told)
        process = Process(points, scores, self._parameters)
        improvement = process.expected_improvement((choices[len(known) :], counts[len(known) :]))
        order = np.argsort(-improvement, kind="stable")
        ranked = iter([candidates[index] for index in order])
        chosen = view.within(lambda: next(ranked), tries=len(candidates))
        return chosen, float(improvement[next(i for i, one in enumerate(candidates) if one is chosen)])

    def _values(self, rng: random.Random) -> Floats:
        """One number a told trial, more is better: the objective, or a weighting of their ranks."""
        table = np.array([values for _, values in self._told])  # (trials, objectives)
        if table.shape[1] == 1:
            return table[:, 0]
        weights = np.array([-math.log(1.0 - rng.random()) for _ in range(table.shape[1])])  # uniform on the simplex
        weights /= weights.sum()
        ranks = np.stack([normal_scores(column) for column in table.T], axis=1)
        losses = weights * (ranks.max(0) - ranks)
        found: Floats = -(losses.max(1) + 0.05 * losses.sum(1))  # augmented Chebyshev distance to the ideal
        return found

    def _kept(self, values: Floats) -> list[int]:
        if len(values) <= MOST_POINTS:
            return list(range(len(values)))
        half = MOST_POINTS // 2
        best = np.argsort(-values, kind="stable")[:half].tolist()
        return sorted({*best, *range(len(values) - half, len(values))})

    def _candidates(self, known: list[Architecture], values: Floats, rng: random.Random) -> list[Architecture]:
        """New architectures: mutations of the best, one or two steps, and draws; at least one, old if need be."""
        best = [known[index] for index in np.argsort(-values, kind="stable")[: self.parents]]
        found: dict[str, Architecture] = {}
        for number in range(self.candidates):
            if number % 2:
                child = self._decisions.sample(lambda _, options: rng.choice(options))
            else:
                child = self._decisions.mutate(best[number // 2 % len(best)], rng)
                if rng.random() < 0.5:
                    child = self._decisions.mutate(child, rng)
            if child.key not in self._proposed:
                found.setdefault(child.key, child)
        return list(found.values()) or [self._new(rng)]

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """The kernel's parameters, and what was proposed; what was told is in the history."""
        return {
            "parameters": self._parameters.tolist(),
            "learnt_at": self._learnt_at,
            "proposed": sorted(self._proposed),
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        for trial in history:
            self.tell(trial)
        self._parameters, self._learnt_at = np.array(state["parameters"]), state["learnt_at"]
        self._proposed = set(state["proposed"])
