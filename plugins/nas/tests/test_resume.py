"""A search that is killed at any trial, and resumed, ends with the very same trials."""

import random

import pytest

import nascore
from nascore.records import Direction, Measurement, Metric
from nascore.seeding import derive_seed
from nascore.testing.toys import ToySpace, toy_data
from nascore_nas.sampler import NAS


class Toy(nascore.Dataset):
    provides = frozenset({"images", "labels"})

    def load(self, seed):
        return toy_data()


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


class Drawn(nascore.Evaluator):
    """A value that depends on the architecture alone; one trial in five fails."""

    objectives = {"accuracy": Metric("", Direction.MAXIMIZE)}

    def __init__(self, stop_at=-1):
        self.stop_at = stop_at

    def evaluate(self, candidate, context):
        if context.number == self.stop_at:
            raise Stop
        if context.number % 5 == 3:
            raise RuntimeError("out of memory")
        return Measurement.complete(accuracy=random.Random(derive_seed(0, candidate.architecture.key)).random())


def parts(stop_at=-1):
    return {
        "space": ToySpace(),
        "sampler": NAS(hidden=8, batch=4, learning_rate=0.05),
        "evaluator": Drawn(stop_at),
        "data": Toy(),
    }


def outcome(result):
    return [(t.number, t.architecture.key, t.candidate.origin, t.status, dict(t.objectives)) for t in result.history]


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["a checkpoint after every trial", "no checkpoint at all"])
def test_killed_and_resumed_is_as_if_never_killed(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr("nascore.loop.CHECKPOINT_SECONDS", seconds)
    settings = {"trials": 18, "costs": [], "tracking": "off", "seed": 1}
    whole = nascore.search(**parts(), **settings, out=tmp_path / "whole")
    assert len(whole.history) == 18
    for at in (6, 13):
        folder = tmp_path / f"stopped at {at}"
        with pytest.raises(Stop):
            nascore.search(**parts(at), **settings, out=folder)
        assert outcome(nascore.resume(folder, **parts())) == outcome(whole), f"stopped at trial {at}"
