"""Double pole balancing as a task: the evaluator, and the data set that says how many inputs there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nascore.contracts import Dataset, Evaluator, Splits, Task
from nascore.records import Direction, Measurement, Metric, digest
from nascore_neat.genome import from_json
from nascore_neat.keeping import kept
from nascore_neat.poles import LONG, SHORT, generalisation, judge, lasts
from nascore_neat.space import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context
    from nascore.records import Candidate

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


class Balance(Evaluator):
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
        velocities = context.task.shape == (6,)
        how = (velocities, *running(self.space))
        genome = from_json([candidate.architecture.genome])
        fitness, balanced = judge(genome, *how)
        metrics = {"balanced": float(balanced[0])}
        solved = bool(balanced[0] == LONG)
        if not velocities and balanced[0] == SHORT:
            metrics["balanced"] = float(lasts(genome, 0, *how))
            if metrics["balanced"] == LONG:
                metrics["generalisation"] = float(generalisation(genome, 0, *how))
                solved = metrics["generalisation"] >= NEEDED
        measured = {"fitness": float(fitness[0]), "solved": float(solved)}
        return kept(measured, self.space, candidate, context, self.save_weights, metrics)
