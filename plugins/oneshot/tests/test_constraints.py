"""Whole searches under a limit, and settings that batch norm cannot bear."""

import pytest

import nascore
from nascore.errors import CapabilityError, SettingsError
from nascore_blocks.spaces import DARTSSpace
from nascore_oneshot.evaluator import OneShotModel
from nascore_oneshot.sampler import FixedDistribution

OPS = ("sep_conv_5x5", "sep_conv_3x3", "skip_connect", "max_pool_3x3")


def search(folder, **given):
    parts = {
        "space": DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1),
        "evaluator": OneShotModel(rounds=1, steps=2, batch_size=16, calibration=1), "sampler": FixedDistribution(),
    }  # fmt: skip
    return nascore.search(
        **{**parts, **given}, data="blocks:digits", costs=["blocks:params"], trials=6, seed=1, tracking="off",
        out=folder,
    )  # fmt: skip


def test_what_breaks_a_constraint_is_not_even_drawn(tmp_path):
    free = search(tmp_path / "free")
    sizes = sorted(trial.value("params") for trial in free.history)
    limit = int(sizes[1])  # a sixth to a third of what is drawn freely holds it
    bound = search(tmp_path / "bound", constraints=[f"params<={limit}"])
    assert bound.best.value("params") <= limit
    assert all(trial.value("params") <= limit for trial in bound.history)
    assert bound.counts["complete"] == 6


def test_a_space_without_a_supernet_is_refused_before_any_run(tmp_path):
    @nascore.search_space
    def plain(choose, task):
        import torch

        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, task.classes))

    with pytest.raises(CapabilityError, match="supernet"):
        search(tmp_path / "run", space=plain)
    assert not (tmp_path / "run").exists()


def test_a_ghost_of_one_example_is_refused_before_any_run(tmp_path):
    with pytest.raises(SettingsError, match="each ghost needs two examples"):
        nascore.search(
            "oneshot", out=tmp_path / "run", tracking="off",
            options={"evaluator.batch_size": 3, "evaluator.ghosts": 2},
        )  # fmt: skip
    assert not (tmp_path / "run").exists()
