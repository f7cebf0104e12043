"""Parts for tests of the command line: evaluators that fail, stop, wait or retrain; data that is not there."""

from __future__ import annotations

import time

import torch
from toy_parts import Letters, NoData, Table, share_of_c

import nascore
from nascore.errors import DataError
from nascore.records import Measurement


class Failing(Table):
    """Every evaluation raises."""

    def evaluate(self, candidate, context):
        raise RuntimeError("out of cheese")


class Interrupted(Table):
    """Ctrl-C is pressed in trial 2, the first time."""

    pressed = False

    def evaluate(self, candidate, context):
        if context.number == 2 and not Interrupted.pressed:
            Interrupted.pressed = True
            raise KeyboardInterrupt
        return super().evaluate(candidate, context)


class Slow(Table):
    """A trial takes a while."""

    def evaluate(self, candidate, context):
        time.sleep(0.2)
        return super().evaluate(candidate, context)


class Retraining(Table):
    """Retrains in no time; the test accuracy is a function of the seed, the epochs and the data it was given."""

    provides = frozenset({"curve", "retrain"})
    calls: list[int] = []

    def retrain(self, architecture, splits, *, seed, device, report, epochs=None):
        Retraining.calls.append(seed)
        list(splits.test)  # opened: a sealed split would raise
        report(1, {"train_loss": 0.5})
        accuracy = share_of_c(architecture) / 2 + (seed % 100) / 1000 + (epochs or 0) / 10000
        measurement = Measurement.complete(test_accuracy=accuracy, test_loss=0.1)
        return measurement, {"weight": torch.full((2, 2), float(seed % 7))}


class Pixels(Letters):
    """Networks of one layer for pictures of four pixels: 15 parameters, 12 multiply-accumulates."""

    def build(self, architecture, task):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, task.classes))


class NotHere(nascore.Dataset):
    """Data that nobody has, with a description."""

    provides = frozenset({"images", "labels"})

    def __init__(self, root: str = "") -> None:
        self.root = root

    def load(self, seed):
        raise DataError(f"No data in {self.root or 'the usual place'}.")

    def outline(self):
        return nascore.Task("far-away", (3, 32, 32), 7), 45_000


class NowhereAtAll(NoData):
    """Data that nobody has and nobody describes."""

    def load(self, seed):
        raise DataError("No data.")


class Twice(nascore.CostModel):
    """A cost model without a method, for `plugins check`."""
