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
from nascore_surrogate.process import START, Process, distances, fit, normal_scores
from nascore_surrogate.volume import expected_gain, front_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture, Objective, Trial
    from nascore_surrogate.process import Apart, Floats

MOST_POINTS = 400
"""The best and the latest of so many trials are looked at: the cost grows with the cube."""

TRIES = 50
"""Draws for one new architecture, before a space counts as used up."""


class Surrogate(Sampler):
    """Propose what a Gaussian process expects to improve most.

    The first proposals are draws. With several objectives each has a process of its own, and a proposal is
    what is expected to add most to the hypervolume of the front, in normal scores.
    An architecture that was proposed is not proposed again, unless nothing new is found.
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
        self._parameters: Floats = np.tile(START, (len(objectives), 1))  # (objectives, 5)
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
        """The best candidate within the constraints, and what it is expected to improve (in normal scores)."""
        table = np.array([values for _, values in self._told])  # (trials, objectives)
        kept = self._kept(normal_scores(table).sum(1))
        table, known = table[kept], [self._told[index][0] for index in kept]
        candidates = self._candidates(self._parents(known, table, view.rng), view.rng)
        choices, counts = self._encoding.encode([*known, *candidates])
        old, new = ((choices[part], counts[part]) for part in (slice(len(known)), slice(len(known), None)))
        improvement = self._improvement(distances(old, old), distances(new, old), normal_scores(table), view.rng)
        order = np.argsort(-improvement, kind="stable")
        ranked = iter([candidates[index] for index in order])
        chosen = view.within(lambda: next(ranked), tries=len(candidates))
        return chosen, float(improvement[next(i for i, one in enumerate(candidates) if one is chosen)])

    def _improvement(self, old: Apart, new: Apart, scores: Floats, rng: random.Random) -> Floats:
        """Expected, of each candidate: of the best value, or of the hypervolume of the front.

        Args:
            old: distances between the known points.
            new: of the candidates from them.
            scores: of the known points, (points, objectives).
            rng: for the draws that a hypervolume needs.
        """
        if len(self._told) - self._learnt_at >= self.refit or not self._learnt_at:
            fitted = [fit(old, column, start) for column, start in zip(scores.T, self._parameters, strict=True)]
            self._parameters, self._learnt_at = np.array(fitted), len(self._told)
        models = [Process(old, column, theta) for column, theta in zip(scores.T, self._parameters, strict=True)]
        if len(models) == 1:
            return models[0].expected_improvement(new)
        means, deviations = (np.stack(each, axis=1) for each in zip(*(m.predict(new) for m in models), strict=True))
        believed = np.stack([m.predict(old)[0] for m in models], axis=1)  # a lucky value is no point of the front
        generator = np.random.default_rng(rng.getrandbits(64))
        return expected_gain(means, deviations, believed, scores.min(0), generator)

    def _parents(self, known: list[Architecture], table: Floats, rng: random.Random) -> list[Architecture]:
        """The best by value; with several objectives the front, in random order."""
        if table.shape[1] == 1:
            return [known[index] for index in np.argsort(-table[:, 0], kind="stable")[: self.parents]]
        front = [known[index] for index in front_of(table)]
        rng.shuffle(front)
        return front

    def _kept(self, values: Floats) -> list[int]:
        if len(values) <= MOST_POINTS:
            return list(range(len(values)))
        half = MOST_POINTS // 2
        best = np.argsort(-values, kind="stable")[:half].tolist()
        return sorted({*best, *range(len(values) - half, len(values))})

    def _candidates(self, best: list[Architecture], rng: random.Random) -> list[Architecture]:
        """New architectures: mutations of the best, one or two steps, and draws; at least one, old if need be."""
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
