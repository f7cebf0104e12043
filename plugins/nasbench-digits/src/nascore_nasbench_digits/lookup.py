"""The evaluator: what a cell reached on digits, looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nascore.contracts import Evaluator
from nascore.errors import DataError, SettingsError, SpaceError
from nascore.records import Direction, Measurement, Metric, Status
from nascore_blocks.nasbench201 import NAMES
from nascore_nasbench_digits.data import load_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nascore.contracts import Context, SearchSpace, Splits
    from nascore.records import Candidate


class Lookup(Evaluator):
    """Looks a cell up. The learning curve is that of one of its trainings, by the seed of the trial.

    It is reported epoch by epoch, so that a trial can be stopped. ``mean_accuracy`` among the metrics is the
    mean over all trainings, which no sampler sees. A candidate's fidelity may set ``epochs``: then the accuracy
    is that after so many of the ten epochs; the learning rate has not fallen to 0 by then.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})
    provides: ClassVar[frozenset[str]] = frozenset({"table", "rows", "curve"})
    objectives: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("", Direction.MAXIMIZE),
        "params_k": Metric("k", Direction.MINIMIZE),
        "macs_k": Metric("k", Direction.MINIMIZE),
    }

    def __init__(self, noise: bool = True) -> None:
        """
        Args:
            noise: one training decides; False: the mean over all does.
        """
        self.noise = noise

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """Read the table.

        Raises:
            SpaceError: the space makes other decisions than the six of a NAS-Bench-201 cell.
        """
        super().setup(space, data)
        made = space.sample(lambda _, options: options[0]).genome
        if not isinstance(made, dict) or sorted(made) != sorted(NAMES):
            raise SpaceError(f"The table is of NAS-Bench-201 cells (--space nasbench201), not of {space.name!r}.")
        self._table = load_table()

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """The trainings of the cell's network; see :meth:`Evaluator.evaluate`.

        Raises:
            SettingsError: the fidelity names something else than ``epochs``, or a number that is not in the table.
        """
        genome: Any = candidate.architecture.genome
        network = self._table.network_of([genome[name] for name in NAMES])
        curve = self._curve(network, context.seed)[: self._epochs(candidate.fidelity)]
        for epoch, accuracy in enumerate(curve, start=1):
            if not context.report(epoch, accuracy=float(accuracy)):
                return self._measured(network, float(accuracy), epoch, Status.PRUNED, f"stopped after epoch {epoch}")
        return self._measured(network, float(curve[-1]), len(curve))

    def rows(self) -> Iterator[Measurement]:
        """All cells, each as its first training was: the capability ``rows``."""
        measured = [
            self._measured(network, float(self._curve(network, 0)[-1]), self._table.curves.shape[2])
            for network in range(len(self._table.test))
        ]
        return (measured[network] for network in self._table.network)

    def _curve(self, network: int, seed: int) -> Any:
        """(epochs,) validation accuracy."""
        curves = self._table.curves[network]
        trained = curves[~np.isnan(curves[:, -1])]
        if not len(trained):
            raise DataError("The table is not complete: a cell has not been trained yet.")
        return trained[seed % len(trained)] if self.noise else trained.mean(axis=0)

    def _epochs(self, fidelity: Mapping[str, float]) -> int:
        most = self._table.curves.shape[2]
        epochs = fidelity.get("epochs", most)
        if set(fidelity) - {"epochs"} or epochs != int(epochs) or not 1 <= epochs <= most:
            raise SettingsError(f"The fidelity is {dict(fidelity)}; the table knows epochs, 1 to {most}.")
        return int(epochs)

    def _measured(
        self, network: int, accuracy: float, epochs: int, status: Status = Status.COMPLETE, reason: str = ""
    ) -> Measurement:
        table = self._table
        values = {
            "accuracy": accuracy,
            "params_k": int(table.params[network]) / 1000,
            "macs_k": int(table.macs[network]) / 1000,
        }
        share = epochs / table.curves.shape[2]
        metrics = {
            "mean_accuracy": float(np.nanmean(table.accuracy[network], dtype=float)),
            "train_seconds": float(table.seconds[network]) * share,
            "epochs": epochs,
        }
        return Measurement(status, values, metrics=metrics, reason=reason)
