"""A plugin with a benchmark: six letters, a noisy table, a truth."""

from __future__ import annotations

from toy_parts import Letters, NoData, Table, share_of_c

from nascore.hooks import Benchmark, Component, hookimpl
from nascore.records import Measurement, Status

__all__ = ["Letters", "NoData", "Noisy"]


class Noisy(Table):
    """The share of 'c', seen through noise; ``truth`` is without it."""

    provides = frozenset({"table"})

    def __init__(self, noise: float = 0.3) -> None:
        self.noise = noise

    def evaluate(self, candidate, context):
        truth = share_of_c(candidate.architecture)
        seen = truth + self.noise * (context.seed % 1000 / 1000 - 0.5)
        return Measurement(Status.COMPLETE, {"accuracy": seen, "loss": -seen}, metrics={"truth": truth, "seconds": 2.0})


@hookimpl
def nascore_search_spaces():
    return [Component("letters", "six letters", "toy_parts:Letters")]


@hookimpl
def nascore_evaluators():
    return [Component("noisy", "a noisy table", "bench_parts:Noisy")]


@hookimpl
def nascore_datasets():
    return [Component("nothing", "no data", "toy_parts:NoData")]


@hookimpl
def nascore_benchmarks():
    return [
        Benchmark("letters", "six letters", "bench:letters", "bench:noisy", "bench:nothing", score="truth",
                  seconds="seconds", reference={"a peer": {"10": 0.5}}),
        Benchmark("bare", "six letters", "bench:letters", "bench:noisy", "bench:nothing"),
    ]  # fmt: skip
