"""A search that is stopped at any point and resumed is the same search, bit for bit; and bad days."""

import math

import pytest
import torch

import nascore
import nascore.loop
from nascore.errors import CapabilityError
from nascore.records import Candidate
from nascore.retrain import retrain
from nascore_smash.evaluator import HyperWeights
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


def fresh(**evaluator):
    options = {"rounds": 3, "steps": 2, "batch_size": 16, "growth": 4, "layers": (1,), "learning_rate": 0.01}
    return {
        "space": BankSpace(1, 3, 4, 4, widths=(1, 2), kernels=(3,), dilations=(1,), groups=(1,)),
        "sampler": Perturb(random=3, perturbations=2),
        "evaluator": HyperWeights(**{**options, **evaluator}),
        "data": "blocks:digits",
    }


def search(parts, folder, trials=7, **more):
    return nascore.search(**parts, costs=["blocks:params"], trials=trials, tracking="off", out=folder, **more)


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
    trials = [
        (t.number, t.architecture.key, t.candidate.origin, dict(t.objectives), t.value("params"), t.seed)
        for t in result.history
    ]
    return trials, [tensor.tolist() for tensor in tensors(parts["evaluator"].state_dict())]


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in tensors(value)]


def test_a_search_stopped_anywhere_and_resumed_is_the_same_search(tmp_path, monkeypatch):
    monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 0.0)
    parts = fresh()
    whole = outcome(search(parts, tmp_path / "whole"), parts)
    assert [origin.split()[0] for _, _, origin, *_ in whole[0]] == ["random"] * 3 + ["perturbation"] * 4
    assert parts["evaluator"].done == 3  # all rounds before the first trial
    for at in (0, 2, 4, 9):
        folder = tmp_path / f"stopped-{at}"
        stopped = fresh()
        with pytest.raises(Stop):
            search({**stopped, "evaluator": stopping(stopped["evaluator"], at)}, folder)
        again = fresh()
        del again["data"]
        assert outcome(nascore.resume(folder, **again), again) == whole, f"stopped at {at}"


def test_a_round_that_diverges_is_undone_and_the_search_goes_on(tmp_path):
    parts = fresh(learning_rate=1e38, last_rate=1e38)
    result = search(parts, tmp_path / "run", trials=2)
    assert parts["evaluator"].failures == 3
    assert parts["evaluator"].done == 0
    assert all(math.isfinite(trial.value("loss")) for trial in result.history)
    assert result.counts["complete"] == 2


def test_a_space_without_banks_is_refused_before_any_run(tmp_path):
    @nascore.search_space
    def plain(choose, task):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, task.classes))

    with pytest.raises(CapabilityError, match="banks"):
        search({**fresh(), "space": plain}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Drawing(nascore.Sampler):
    """Somebody else's sampler."""

    def ask(self, view):
        rng = view.rng
        return Candidate(view.within(lambda: self.space.sample(lambda _, options: rng.choice(options))))


def test_any_sampler_searches_on_it_within_constraints_and_the_answer_is_trained_alone(tmp_path):
    result = search({**fresh(), "sampler": Drawing()}, tmp_path / "run", constraints=["params<=4000"])
    assert result.counts["complete"] == 7
    assert max(trial.value("params") for trial in result.history) <= 4000
    done = retrain(result, seeds=1, options={"epochs": 1})
    assert 0 < done.accuracies[0] <= 1
    assert done.params == result.best.value("params")
