"""A search with the pruner on that is killed at any trial, and resumed, ends with the very same trials."""

import contextlib
import math
import random

import pytest

import nascore
from nascore.records import Direction, Measurement, Metric, Status
from nascore.seeding import derive_seed
from nascore.testing import ToyData, ToySpace
from nascore.testing.searches import Stop
from nascore_random.sampler import RandomSearch


class Curves(nascore.Evaluator):
    """A power law that depends on the architecture alone; one trial in nine fails."""

    provides = frozenset({"curve"})
    objectives = {"accuracy": Metric("", Direction.MAXIMIZE), "loss": Metric("nats", Direction.MINIMIZE)}

    def __init__(self, stop_at=-1):
        self.stop_at = stop_at

    def evaluate(self, candidate, context):
        rng = random.Random(derive_seed(0, candidate.architecture.key))
        end, gap, slow = rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.5), rng.uniform(0.4, 1.5)
        for epoch in range(1, 9):
            value = end - gap * epoch**-slow
            if context.number == self.stop_at and epoch == 4:
                raise Stop
            if not context.report(epoch, accuracy=value, loss=-math.log(max(value, 0.01))) and epoch < 8:
                return Measurement(Status.PRUNED, {"accuracy": value})
        if context.number % 9 == 5:
            raise RuntimeError("out of memory")
        return Measurement.complete(accuracy=value, loss=-math.log(value))


def parts(stop_at=-1):
    return {"space": ToySpace(), "sampler": RandomSearch(), "evaluator": Curves(stop_at), "data": ToyData()}


SETTINGS = {
    "trials": 20,
    "costs": [],
    "tracking": "off",
    "seed": 1,
    "options": {"pruner.use": "curves:predict", "pruner.burn_in": 8, "pruner.settings": 2, "pruner.delta": 0.9},
}


def outcome(result):
    return [
        (t.number, t.architecture.key, t.status, dict(t.objectives), dict(t.metrics), t.reports) for t in result.history
    ]


@pytest.mark.parametrize(
    ("seconds", "objectives"),
    [(0.0, ["accuracy"]), (1e9, ["loss", "accuracy"])],
    ids=["a checkpoint after every trial", "no checkpoint at all, two objectives"],
)
def test_killed_and_resumed_is_as_if_never_killed(tmp_path, monkeypatch, seconds, objectives):
    monkeypatch.setattr("nascore.loop.CHECKPOINT_SECONDS", seconds)
    settings = {**SETTINGS, "objectives": objectives}
    whole = nascore.search(**parts(), **settings, out=tmp_path / "whole")
    stopped = [t for t in whole.history if t.status is Status.PRUNED]
    assert stopped, "the pruner stopped nothing: the test would see nothing"
    assert all(2 <= len(t.reports) < 8 for t in stopped)
    assert all({"predicted", "predicted_std"} <= set(t.metrics) for t in stopped)
    first = stopped[0].number
    for at in (first, 17):
        folder = tmp_path / f"stopped at {at}"
        # A trial that the pruner stops before epoch 4 cannot be killed there: the search then simply ends.
        with contextlib.suppress(Stop):
            nascore.search(**parts(at), **settings, out=folder)
        assert outcome(nascore.resume(folder, **parts())) == outcome(whole), f"stopped at trial {at}"
