"""A whole search on a tiny supernet: warm-up first, then candidates judged by its weights."""

import pytest

import nascore

OPTIONS = {
    "space.blocks": 2, "space.channels": 4, "space.cells": 1, "evaluator.rounds": 2, "evaluator.steps": 2,
    "evaluator.batch_size": 16,
}  # fmt: skip


@pytest.mark.slow
def test_candidates_come_after_the_rounds_and_a_resumed_search_is_the_same(tmp_path):
    whole = nascore.search("oneshot", trials=4, out=tmp_path / "whole", tracking="off", options=OPTIONS)
    assert whole.counts["complete"] == 4
    assert {trial.metrics["round"] for trial in whole.history} == {2.0}
    nascore.search("oneshot", trials=2, out=tmp_path / "part", tracking="off", options=OPTIONS)
    resumed = nascore.resume(tmp_path / "part", trials=4)
    assert [(t.architecture.key, dict(t.objectives)) for t in resumed.history] == [
        (t.architecture.key, dict(t.objectives)) for t in whole.history
    ]
