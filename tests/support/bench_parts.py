"""A plugin with a benchmark: six letters, a noisy table, a truth."""

from __future__ import annotations

from dataclasses import replace

from toy_parts import Letters, NoData, Table, share_of_c

from nascore.hooks import Benchmark, Component, hookimpl
from nascore.records import Direction, Measurement, Metric, Status

__all__ = ["Letters", "Listed", "NoData", "Noisy"]


class Noisy(Table):
    """The share of 'c', seen through noise; ``truth`` is without it."""

    provides = frozenset({"table"})

    def __init__(self, noise: float = 0.3) -> None:
        self.noise = noise

    def evaluate(self, candidate, context):
        truth = share_of_c(candidate.architecture)
        seen = truth + self.noise * (context.seed % 1000 / 1000 - 0.5)
        return Measurement(Status.COMPLETE, {"accuracy": seen, "loss": -seen}, metrics={"truth": truth, "seconds": 2.0})


class Listed(Noisy):
    """The same with a second objective, the share of 'a' and 'b', and all that there is to know."""

    provides = frozenset({"table", "rows"})
    objectives = {"accuracy": Metric("", Direction.MAXIMIZE), "size": Metric("", Direction.MINIMIZE)}

    def evaluate(self, candidate, context):
        found = super().evaluate(candidate, context)
        letters = list(candidate.architecture.genome.values())
        size = sum(letter in "ab" for letter in letters) / len(letters)
        return replace(found, objectives={"accuracy": found.objectives["accuracy"], "size": size})

    def rows(self):
        """Only how many letters are c, and how many a or b, counts."""
        for c in range(7):
            for small in range(7 - c):
                yield Measurement(Status.COMPLETE, {"accuracy": 0.0, "size": small / 6}, metrics={"truth": c / 6})


@hookimpl
def nascore_search_spaces():
    return [Component("letters", "six letters", "toy_parts:Letters")]


@hookimpl
def nascore_evaluators():
    return [
        Component("noisy", "a noisy table", "bench_parts:Noisy"),
        Component("listed", "a noisy table that lists itself", "bench_parts:Listed"),
    ]


@hookimpl
def nascore_datasets():
    return [Component("nothing", "no data", "toy_parts:NoData")]


@hookimpl
def nascore_benchmarks():
    return [
        Benchmark("letters", "six letters", "bench:letters", "bench:noisy", "bench:nothing", score="truth",
                  seconds="seconds", reference={"a peer": {"10": 0.5}}),
        Benchmark("two", "six letters", "bench:letters", "bench:listed", "bench:nothing", score="truth",
                  reference={"a peer": {"10": 0.5}}, reference_point={"accuracy": 0.2}),
        Benchmark("far", "six letters", "bench:letters", "bench:listed", "bench:nothing", score="truth",
                  reference_point={"accuracy": 2.0}),
        Benchmark("bare", "six letters", "bench:letters", "bench:noisy", "bench:nothing"),
    ]  # fmt: skip
