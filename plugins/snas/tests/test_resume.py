"""A search that is stopped at any point and resumed is the same search, bit for bit."""

import pytest

import nascore
import nascore.loop
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_snas.sampler import SNAS

OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3")


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


def fresh():
    return {
        "space": DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1),
        "sampler": SNAS(learning_rate=0.2, last_temperature=0.1, eta=0.1),
        "evaluator": SharedWeights(rounds=4, steps=2, batch_size=16, calibration=1),
        "data": "blocks:digits",
    }


def search(parts, folder):
    return nascore.search(**parts, costs=["blocks:params"], trials=4, tracking="off", out=folder)


def stopping(evaluator, at):
    """The evaluator, dying in the middle of its ``at``-th piece of work (rounds and evaluations)."""
    calls = iter(range(10**9))

    def die(method):
        def wrapped(*arguments):
            result = method(*arguments)  # the work is done, and lost
            if next(calls) == at:
                raise Stop
            return result

        return wrapped

    evaluator.evaluate, evaluator.prepare = die(evaluator.evaluate), die(evaluator.prepare)
    return evaluator


def outcome(result, parts):
    trials = [(t.number, t.architecture.key, dict(t.objectives), t.value("params"), t.seed) for t in result.history]
    states = parts["sampler"].state_dict(), parts["evaluator"].state_dict()
    return trials, [tensor.tolist() for state in states for tensor in tensors(state)]


def tensors(state):
    if hasattr(state, "tolist"):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in tensors(value)]


def test_a_search_stopped_anywhere_and_resumed_is_the_same_search(tmp_path, monkeypatch):
    monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 0.0)
    parts = fresh()
    whole = outcome(search(parts, tmp_path / "whole"), parts)
    assert len({objectives["loss"] for _, _, objectives, *_ in whole[0]}) == 4
    for at in (0, 1, 4, 7):
        folder = tmp_path / f"stopped-{at}"
        stopped = fresh()
        with pytest.raises(Stop):
            search({**stopped, "evaluator": stopping(stopped["evaluator"], at)}, folder)
        again = fresh()
        del again["data"]
        assert outcome(nascore.resume(folder, **again), again) == whole, f"stopped at {at}"
