"""A search that is stopped at any point and resumed is the same search, bit for bit; and bad days."""

import math

import pytest
import torch

import nascore
from nascore.errors import CapabilityError
from nascore.records import Candidate
from nascore.retrain import retrain
from nascore.testing import ResumeConformance
from nascore_smash.evaluator import HyperWeights
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace


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


class TestResume(ResumeConformance):
    trials = 7
    stops = (0, 2, 4, 9)
    settings = {"costs": ["blocks:params"]}

    def make(self):
        return fresh()

    def check(self, result, parts):
        assert [t.candidate.origin.split()[0] for t in result.history] == ["random"] * 3 + ["perturbation"] * 4
        assert parts["evaluator"].done == 3  # all rounds before the first trial


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
