"""Double pole balancing as a task: the evaluator, and the data set that says how many inputs there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nascore.contracts import Dataset, Splits, Task
from nascore.records import Direction, Measurement, Metric, digest
from nascore_neat.generations import GenerationEvaluator
from nascore_neat.genome import from_json
from nascore_neat.keeping import kept
from nascore_neat.poles import LONG, SHORT, generalisation, judge, lasts
from nascore_neat.space import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context
    from nascore.records import Candidate
    from nascore_neat.genome import Floats, Genomes

STARTS = 625
NEEDED = 200
"""A network without velocities has solved the task when it balances from so many of the 625 starts."""


class Poles(Dataset):
    """The task of two poles on a cart; nothing is read.

    Args:
        velocities: the network sees position, angles and all speeds (6 inputs); else no speeds (3 inputs),
            so that it needs a memory: ``space.recurrent=true``.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"poles"})

    def __init__(self, velocities: bool = True) -> None:
        self.velocities = velocities

    def load(self, seed: int) -> Splits:
        """A task of one output; the splits are empty."""
        name = "double-poles" if self.velocities else "double-poles-without-velocities"
        return Splits(
            Task(name, (6 if self.velocities else 3,), 1, kind="control", fingerprint=digest(name)), (), (), ()
        )


class Balance(GenerationEvaluator):
    """Balance two poles (section 5). The fitness is the number of actions, or Gruau's without velocities.

    ``solved`` is 1 for a network that balances for 100,000 actions (33 minutes of the simulation), and
    without velocities from 200 of 625 other starts too.

    Args:
        save_weights: keep the weights of the torch module in the trial's folder.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"neurons", "poles"})
    deterministic: ClassVar[bool] = True
    objectives: ClassVar[Mapping[str, Metric]] = {
        "fitness": Metric("", Direction.MAXIMIZE),
        "solved": Metric("", Direction.MAXIMIZE),
    }

    def __init__(self, save_weights: bool = True) -> None:
        self.save_weights = save_weights

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Let it balance; see :meth:`Evaluator.evaluate`."""
        genome = from_json([candidate.architecture.genome])
        fitness, balanced = judge(genome, *self._how(context))
        solved, metrics = self._examine(genome, 0, float(balanced[0]), context)
        measured = {"fitness": float(fitness[0]), "solved": float(solved)}
        return kept(measured, self.space, candidate, context, self.save_weights, metrics)

    def values(self, genomes: Genomes, objective: str, context: Context) -> Floats:
        """See :meth:`GenerationEvaluator.values`."""
        fitness, balanced = judge(genomes, *self._how(context))
        if objective == "fitness":
            return fitness
        return np.array([self._examine(genomes, k, float(n), context)[0] for k, n in enumerate(balanced)], float)

    def _how(self, context: Context) -> Any:
        return (context.task.shape == (6,), *running(self.space))

    def _examine(self, genomes: Genomes, k: int, balanced: float, context: Context) -> tuple[bool, dict[str, float]]:
        """Has a network solved the task, given the actions it balanced; and what was measured to find out."""
        velocities, *_ = how = self._how(context)
        metrics = {"balanced": balanced}
        if velocities or balanced < SHORT:
            return balanced == LONG, metrics
        metrics["balanced"] = float(lasts(genomes, k, *how))
        if metrics["balanced"] < LONG:
            return False, metrics
        metrics["generalisation"] = float(generalisation(genomes, k, *how))
        return metrics["generalisation"] >= NEEDED, metrics
