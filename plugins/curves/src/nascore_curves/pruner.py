"""Early stopping by the predicted end of the learning curve (Baker et al. 2018, algorithm of section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nascore.contracts import Pruner
from nascore.errors import SettingsError
from nascore.records import Direction, Status
from nascore_curves.architecture import Describer, as_matrix
from nascore_curves.predictor import LEAST, CurvePredictor
from nascore_curves.stopping import cannot_win

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import SearchSpace
    from nascore.records import Candidate, Objective, Trial

    Fidelity = tuple[tuple[str, float], ...]


LOOKS = 20
"""Curves of twice as many epochs and more are looked at after each such part only: a look costs a regressor, and may
be wrong."""


@dataclass(frozen=True)
class Finished:
    """A run that went to its end.

    Attributes:
        curve: the values of the first objective, as reported.
        end: its final value.
        features: of its candidate, by name.
        feasible: no constraint is violated; others teach, and are not to be beaten.
    """

    curve: tuple[float, ...]
    end: float
    features: Mapping[str, float]
    feasible: bool


@dataclass
class Peers:
    """The runs of one fidelity: only they are compared, and predicted from each other."""

    runs: list[Finished]
    best: float | None = None


@dataclass
class Learnt:
    """What was learnt from the first runs of one fidelity.

    Attributes:
        runs: how many there were.
        leader: which of them is the best; None where none is feasible.
        names: of the features.
        predictor: fitted to them.
    """

    runs: int
    leader: int | None
    names: tuple[str, ...]
    predictor: CurvePredictor


class Predict(Pruner):
    """Stop a trial when its predicted end is unlikely to beat the best.

    What is to be beaten is the best end so far or, where that is less, what was predicted of that very run after as
    many epochs: predictions of the best fall short, and a trial that looks as good as the best did then goes on.

    Only the first objective is looked at. Regressors learn from complete trials alone: stopped ones would bias
    them. A stopped trial keeps the prediction among its metrics, as ``predicted`` and ``predicted_std``. A trial
    that reported NaN is neither stopped nor learnt from.

    Args:
        delta: stop at this probability that the trial will not beat the best, in (0, 1]; 1 stops nothing.
        burn_in: complete trials before anything is stopped, >= 6; the paper has 100.
        least: share of a whole curve that is seen before a trial may stop, in (0, 1).
        refit: the regressors are fitted anew after so many further complete trials, >= 1.
        settings: of the SVR that are tried for each number of epochs; the paper's number is 1,000.
        folds: of the cross-validation, >= 2.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"curve"})

    def __init__(
        self,
        delta: float = 0.85,
        burn_in: int = 15,
        least: float = 0.2,
        refit: int = 5,
        settings: int = 15,
        folds: int = 3,
    ) -> None:
        for name, holds, allowed in (
            ("delta", 0 < delta <= 1, "in (0, 1]"),
            ("burn_in", burn_in >= LEAST, f">= {LEAST}"),
            ("least", 0 < least < 1, "in (0, 1)"),
            ("refit", refit >= 1, ">= 1"),
            ("folds", 2 <= folds <= burn_in, "at least 2 and at most burn_in"),
        ):
            if not holds:
                raise SettingsError(f"pruner.{name} is {locals()[name]}; it must be {allowed}.")
        CurvePredictor(settings, folds)  # refuses what it cannot work with
        self.delta, self.burn_in, self.least = delta, burn_in, least
        self.refit, self.settings, self.folds = refit, settings, folds

    def setup(self, space: SearchSpace | None, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`Pruner.setup`."""
        super().setup(space, objectives, seed)
        self._describe = Describer(space, self.task)
        self._peers: dict[Fidelity, Peers] = {}
        self._running: dict[int, list[float]] = {}
        self._predicted: dict[int, tuple[float, float]] = {}
        self._learnt: dict[Fidelity, Learnt] = {}

    # ------------------------------------------------------------------ decisions

    def go_on(self, number: int, step: int, metrics: Mapping[str, float], candidate: Candidate | None) -> bool:
        """Stop when it is ``delta`` likely that the end will not beat the best; see :meth:`Pruner.go_on`."""
        objective = self.objectives[0]
        if objective.name not in metrics:
            return True
        curve = self._running.setdefault(number, [])
        curve.append(metrics[objective.name])
        peers = self._peers.get(_fidelity(candidate))
        # Phi rounds to 1 far from the best: a delta of 1 must stop nothing all the same.
        if self.delta == 1 or peers is None or peers.best is None or not self._may_stop(curve, peers):
            return True
        learnt = self._learn(_fidelity(candidate), peers)
        mean, std = self._predict(learnt, curve, candidate)
        if cannot_win(self._to_beat(learnt, peers.best, len(curve)), mean, std, objective.direction) < self.delta:
            return True
        self._predicted[number] = (mean, std)
        return False

    def _may_stop(self, curve: Sequence[float], peers: Peers) -> bool:
        if len(peers.runs) < self.burn_in or not np.isfinite(curve).all():
            return False
        known = peers.runs[: self._usable(peers)]
        whole = max(len(run.curve) for run in known)
        first = max(2, math.ceil(self.least * whole))
        looked_at = first <= len(curve) < whole and (len(curve) - first) % max(1, whole // LOOKS) == 0
        return looked_at and sum(len(run.curve) >= len(curve) for run in known) >= max(LEAST, self.folds)

    def _usable(self, peers: Peers) -> int:
        """How many runs the regressors learn from: it grows in steps, so that they are not fitted all the time."""
        return self.burn_in + (len(peers.runs) - self.burn_in) // self.refit * self.refit

    def _learn(self, fidelity: Fidelity, peers: Peers) -> Learnt:
        count = self._usable(peers)
        learnt = self._learnt.get(fidelity)
        if learnt is None or learnt.runs != count:
            runs = peers.runs[:count]
            names = tuple(sorted({name for run in runs for name in run.features}))
            predictor = CurvePredictor(self.settings, self.folds, self.seed)
            predictor.fit(
                [run.curve for run in runs], as_matrix([run.features for run in runs], names), [run.end for run in runs]
            )
            learnt = self._learnt[fidelity] = Learnt(count, self._leader(runs), names, predictor)
        return learnt

    def _leader(self, runs: Sequence[Finished]) -> int | None:
        feasible = [number for number, run in enumerate(runs) if run.feasible]
        choose = max if self.objectives[0].direction is Direction.MAXIMIZE else min
        return choose(feasible, key=lambda number: runs[number].end, default=None)

    def _predict(self, learnt: Learnt, curve: Sequence[float], candidate: Candidate | None) -> tuple[float, float]:
        features = as_matrix([self._describe(candidate)], learnt.names)
        mean, std = learnt.predictor.predict([curve], features)
        return float(mean[0]), float(std[0])

    def _to_beat(self, learnt: Learnt, best: float, tau: int) -> float:
        """The best end, or what was predicted of the best run after ``tau`` epochs, whichever is easier to beat."""
        if learnt.leader is None:
            return best
        guess = float(learnt.predictor.guesses(tau)[learnt.leader])
        return guess if self.objectives[0].direction.better(best, guess) else best

    # ------------------------------------------------------------------ what it learns from

    def finish(self, trial: Trial) -> None:
        """Learn from a complete trial; see :meth:`Pruner.finish`."""
        self._running.pop(trial.number, None)
        self._predicted.pop(trial.number, None)
        objective = self.objectives[0]
        curve = tuple(values[objective.name] for _, values in trial.reports if objective.name in values)
        end = trial.value(objective.name)
        if trial.status is not Status.COMPLETE or trial.reused is not None or not math.isfinite(end):
            return
        peers = self._peers.setdefault(_fidelity(trial.candidate), Peers([]))
        feasible = all(violation <= 0 for violation in trial.violations.values())
        if feasible and (peers.best is None or objective.direction.better(end, peers.best)):
            peers.best = end
        if len(curve) >= 2 and np.isfinite(curve).all():
            peers.runs.append(Finished(curve, end, self._describe(trial.candidate), feasible))

    def metrics(self, number: int) -> Mapping[str, float]:
        """The prediction that stopped a trial; see :meth:`Pruner.metrics`."""
        if number not in self._predicted:
            return {}
        mean, std = self._predicted[number]
        return {"predicted": mean, "predicted_std": std}

    def replay(self, trial: Trial) -> None:
        """What it knows comes from the ends of trials alone; see :meth:`Pruner.replay`."""
        self.finish(trial)


def _fidelity(candidate: Candidate | None) -> Fidelity:
    return tuple(sorted(candidate.fidelity.items())) if candidate is not None else ()
