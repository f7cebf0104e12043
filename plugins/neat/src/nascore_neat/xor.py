"""XOR, the paper's first task (section 4.2): the smallest one that needs a hidden node."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import SettingsError, nearest
from nascore.records import Direction, Measurement, Metric, digest
from nascore_neat.generations import GenerationEvaluator
from nascore_neat.genome import from_json
from nascore_neat.keeping import kept
from nascore_neat.network import outputs
from nascore_neat.space import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context
    from nascore.records import Candidate
    from nascore_neat.genome import Floats, Genomes

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS = np.array([0.0, 1.0, 1.0, 0.0])


class XORTable(Dataset):
    """The truth table of XOR: all three splits are its four rows, as there are no others."""

    provides: ClassVar[frozenset[str]] = frozenset({"truth_table"})

    def load(self, seed: int) -> Splits:
        """Inputs (4, 2) and labels (4,), in {0, 1}."""
        table = (INPUTS, LABELS)
        task = Task("xor", (2,), 1, kind="truth-table", fingerprint=digest([INPUTS.tolist(), LABELS.tolist()]))
        return Splits(task, table, table, table)


FITNESS = ("paper", "squares")
"""The paper's, (rows - sum of errors)^2 (section 4.2), or rows - sum of squared errors."""


def judge(values: Floats, labels: Floats, fitness: str = "paper") -> tuple[Floats, Floats]:
    """Fitness and accuracy of many networks.

    Args:
        values: (genomes, rows) what each network gives.
        labels: (rows,) in {0, 1}.
        fitness: one of :data:`FITNESS`.

    Returns:
        (genomes,) fitness, for values in [0, 1] in [0, rows^2] or [0, rows];
        and (genomes,) the share of the rows on the right side of 0.5.
    """
    errors = np.abs(values - labels)
    right = (values > 0.5) == (labels > 0.5)
    if fitness == "squares":
        return len(labels) - (errors**2).sum(axis=1), right.mean(axis=1)
    return np.maximum(len(labels) - errors.sum(axis=1), 0.0) ** 2, right.mean(axis=1)


class TruthTable(GenerationEvaluator):
    """Judge a network on a truth table; it is solved when the accuracy is 1.

    Args:
        fitness: ``paper``, (rows - sum of errors)^2, or ``squares``, rows - sum of squared errors: that one
            sees no plateau where three of four rows are right, so fewer searches stay there.
        save_weights: keep the weights of the torch module in the trial's folder.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"neurons", "truth_table"})
    deterministic: ClassVar[bool] = True
    objectives: ClassVar[Mapping[str, Metric]] = {
        "fitness": Metric("", Direction.MAXIMIZE),
        "accuracy": Metric("", Direction.MAXIMIZE),
    }

    def __init__(self, fitness: str = "squares", save_weights: bool = True) -> None:
        if fitness not in FITNESS:
            raise SettingsError(f"There is no fitness {fitness!r}; {nearest(fitness, FITNESS)}.")
        self.fitness = fitness
        self.save_weights = save_weights

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Run the network on every row; see :meth:`Evaluator.evaluate`."""
        fitness, accuracy = self._measure(from_json([candidate.architecture.genome]), context)
        measured = {"fitness": float(fitness[0]), "accuracy": float(accuracy[0])}
        return kept(measured, self.space, candidate, context, self.save_weights)

    def values(self, genomes: Genomes, objective: str, context: Context) -> Floats:
        """See :meth:`GenerationEvaluator.values`."""
        fitness, accuracy = self._measure(genomes, context)
        return fitness if objective == "fitness" else accuracy

    def _measure(self, genomes: Genomes, context: Context) -> tuple[Floats, Floats]:
        inputs, labels = context.data.valid
        return judge(outputs(genomes, inputs, *running(self.space))[:, :, 0], labels, self.fitness)
