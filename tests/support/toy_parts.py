"""Small real parts for tests: a space of six decisions, a table evaluator, a data set without data."""

from __future__ import annotations

import nascore
from nascore.records import Direction, Measurement, Metric, Status


class Letters(nascore.DecisionSpace):
    """Six letters of five; the more 'c', the better."""

    def __init__(self, length: int = 6) -> None:
        self.length = length

    def decide(self, choose):
        return [choose(f"op{i}", list("abcde")) for i in range(self.length)]

    def build(self, architecture, task):
        import torch

        return torch.nn.Linear(task.channels, task.classes)


def share_of_c(architecture: nascore.Architecture) -> float:
    values = list(architecture.genome.values())
    return values.count("c") / len(values)


class Table(nascore.Evaluator):
    """The share of 'c': free, and known in advance."""

    objectives = {"accuracy": Metric("", Direction.MAXIMIZE), "loss": Metric("", Direction.MINIMIZE)}
    requires = frozenset({"decisions"})
    provides = frozenset({"curve"})

    def evaluate(self, candidate, context):
        value = share_of_c(candidate.architecture)
        for step in (1, 2, 3):
            if not context.report(step, accuracy=value * step / 3):
                return Measurement(Status.PRUNED, {"accuracy": value * step / 3})
        return Measurement.complete(accuracy=value, loss=1 - value)


class Vowels(nascore.CostModel):
    """How many vowels."""

    metrics = {"vowels": Metric("", Direction.MINIMIZE)}

    def estimate(self, space, architecture, context):
        return {"vowels": nascore.Cost(sum(v in "ae" for v in architecture.genome.values()), "")}


class Stopwatch(Vowels):
    """Counts vowels, and comes out a little differently each time, as a measured cost does."""

    cheap = False
    calls = 0

    def estimate(self, space, architecture, context):
        type(self).calls += 1
        found = super().estimate(space, architecture, context)["vowels"]
        return {"vowels": nascore.Cost(found.value + self.calls * 1e-3, "")}


class NoData(nascore.Dataset):
    """A task without data."""

    def load(self, seed):
        return nascore.Splits(nascore.Task("none", (1, 2, 2), 3, fingerprint="none"), [], [], [])


def parts(**changes):
    """Keyword arguments of nascore.search for a search that trains nothing."""
    return {"space": Letters(), "sampler": "random:random", "evaluator": Table(), "data": NoData(),
            "costs": [], "tracking": "off"} | changes  # fmt: skip
