"""Whole searches under a limit."""

import nascore
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_snas.sampler import SNAS

OPS = ("sep_conv_5x5", "sep_conv_3x3", "skip_connect", "max_pool_3x3")


def search(folder, **given):
    return nascore.search(
        space=DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1),
        sampler=SNAS(learning_rate=0.3, eta=0.0),
        evaluator=SharedWeights(rounds=3, steps=2, batch_size=16, calibration=1), data="blocks:digits",
        costs=["blocks:params"], trials=3, seed=1, tracking="off", out=folder, **given,
    )  # fmt: skip


def test_the_answer_never_breaks_a_constraint_that_the_likeliest_edges_would(tmp_path):
    free = search(tmp_path / "free")
    limit = int(min(trial.value("params") for trial in free.history)) - 1  # what was proposed before breaks it
    bound = search(tmp_path / "bound", constraints=[f"params<={limit}"])
    assert bound.best.value("params") <= limit
    assert all(trial.value("params") <= limit for trial in bound.history)
    assert bound.counts["complete"] == 3
