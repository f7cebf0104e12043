"""Whole searches under a limit, and what cannot be searched at all."""

import pytest

import nascore
from nascore.errors import CapabilityError, SearchFailedError, SettingsError
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.weight_sharing import SharedWeights

OPS = ("sep_conv_5x5", "sep_conv_3x3", "skip_connect", "max_pool_3x3")


def space():
    return DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1)


def search(folder, **given):
    parts = {
        "space": space(), "sampler": "darts:darts", "data": "blocks:digits",
        "evaluator": SharedWeights(rounds=3, steps=2, batch_size=16, calibration=1), **given,
    }  # fmt: skip
    options = {"sampler.learning_rate": 0.3, "sampler.hessian_every": 0}
    return nascore.search(
        **parts, costs=["blocks:params"], trials=3, seed=1, tracking="off", out=folder,
        options=options if parts["sampler"] == "darts:darts" else {},
    )  # fmt: skip


def test_the_answer_never_breaks_a_constraint_that_the_strongest_edges_would(tmp_path):
    free = search(tmp_path / "free")
    found = [trial.value("params") for trial in free.history]
    limit = int(min(found)) - 1  # what was proposed before breaks it
    bound = search(tmp_path / "bound", constraints=[f"params<={limit}"])
    assert bound.best.value("params") <= limit
    assert all(trial.value("params") <= limit for trial in bound.history)
    assert bound.counts["complete"] == 3


def test_a_constraint_that_nothing_meets_ends_with_the_nearest_told(tmp_path):
    with pytest.raises(SearchFailedError, match="nearest to the constraints"):
        search(tmp_path / "run", constraints=["params<=10"])


def test_a_space_without_a_supernet_is_refused_before_any_run(tmp_path):
    @nascore.search_space
    def plain(choose, task):
        import torch

        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, task.classes))

    with pytest.raises(CapabilityError, match="supernet"):
        search(tmp_path / "run", space=plain)
    assert not (tmp_path / "run").exists()


def test_an_evaluator_without_shared_weights_is_refused_before_any_run(tmp_path):
    with pytest.raises(CapabilityError, match="shared_weights"):
        search(tmp_path / "run", evaluator="blocks:train")
    assert not (tmp_path / "run").exists()


def test_a_batch_of_one_is_refused_before_any_run(tmp_path):
    with pytest.raises(SettingsError, match="batch_size is 1"):
        nascore.search("darts", out=tmp_path / "run", tracking="off", options={"evaluator.batch_size": 1})
    assert not (tmp_path / "run").exists()
