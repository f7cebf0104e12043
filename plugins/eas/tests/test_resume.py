"""A search that is killed at any trial, and resumed, ends with the same trials: real training, inherited weights."""

import pytest

import nascore
from nascore.testing.toys import toy_data
from nascore_blocks.inherit import Inherit
from nascore_eas.chain import ChainSpace
from nascore_eas.sampler import EAS


class Toy(nascore.Dataset):
    provides = frozenset({"images", "labels"})

    def load(self, seed):
        return toy_data()


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


class Stopped(Inherit):
    """Stops after the weights of a trial are written, and before it is told."""

    stop_at = -1

    def evaluate(self, candidate, context):
        measured = super().evaluate(candidate, context)
        if context.number == self.stop_at:
            raise Stop
        return measured


def parts(stop_at=-1):
    evaluator = Stopped(epochs=1, batch_size=16)
    evaluator.stop_at = stop_at
    sampler = EAS(hidden=5, embedding=4, wider=1, deeper=1, batch=3, stage_trials=4, learning_rate=0.05)
    return {"space": ChainSpace(), "sampler": sampler, "evaluator": evaluator, "data": Toy()}


def outcome(result):
    return [(t.number, t.architecture.key, t.candidate.parent, t.candidate.origin, t.status, dict(t.objectives))
            for t in result.history]  # fmt: skip


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["a checkpoint after every trial", "no checkpoint at all"])
def test_killed_and_resumed_is_as_if_never_killed(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr("nascore.loop.CHECKPOINT_SECONDS", seconds)
    settings = {"trials": 11, "costs": [], "tracking": "off", "seed": 1, "options": {"keep": "all"}}
    whole = nascore.search(**parts(), **settings, out=tmp_path / "whole")
    statuses = {trial.status.value for trial in whole.history}
    assert statuses == {"complete"}, [trial.reason for trial in whole.history]
    assert len({trial.candidate.parent for trial in whole.history}) >= 3  # none, the start, the best
    for at in (3, 7):
        folder = tmp_path / f"stopped at {at}"
        with pytest.raises(Stop):
            nascore.search(**parts(at), **settings, out=folder)
        assert outcome(nascore.resume(folder, **parts())) == outcome(whole), f"stopped at trial {at}"
