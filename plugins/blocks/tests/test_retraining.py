"""Retraining a found network on real data: options, and going on after a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import nascore
from nascore.errors import SettingsError
from nascore.retrain import retrain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nascore.result import SearchResult

OPTIONS = {"epochs": 4, "batch_size": 256, "flip": True, "crop": 1, "ema": 0.9, "drop_path": 0.1}


class _StoppedError(Exception):
    pass


def _search(folder: Path) -> SearchResult:
    space = {"use": "blocks:nasnet", "blocks": 1, "cells": 1, "channels": 4, "reductions": 1}
    evaluator = {"use": "blocks:train", "epochs": 1, "data_fraction": 0.1}
    return nascore.search(
        space=space, sampler="optuna:random", data="blocks:digits", evaluator=evaluator, trials=1, seed=1, out=folder,
        tracking="off",
    )  # fmt: skip


def test_a_retraining_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nascore.checkpoint.SAVING_SHARE", float("inf"))  # keep every epoch
    seen: list[int] = []

    def stop(index: int, epoch: int, metrics: Mapping[str, float]) -> None:
        seen.append(epoch)
        if seen == [1, 2]:
            raise _StoppedError

    stopped = _search(tmp_path / "stopped")
    with pytest.raises(_StoppedError):
        retrain(stopped, options=OPTIONS, report=stop)
    second = retrain(nascore.open_run(stopped.folder), options=OPTIONS, report=stop)
    assert seen == [1, 2, 3, 4]
    whole = retrain(_search(tmp_path / "whole"), options=OPTIONS)
    assert second.accuracies == whole.accuracies
    weights = [(done.folder / "seed-0" / "weights.safetensors").read_bytes() for done in (second, whole)]
    assert weights[0] == weights[1]
    assert not list(tmp_path.rglob("checkpoint"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flips": True}, r"retrain\.flips is no option of Recipe; did you mean 'flip'"),
        ({"crop": "wide"}, r"retrain\.crop = 'wide'"),
        ({"ema": 1}, "ema is 1"),
        ({"autoaugment": "trivial"}, r"colour images that are kept as bytes.* these inputs are floats \(1, 8, 8\)"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        retrain(_search(tmp_path / "run"), options=options)
