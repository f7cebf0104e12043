"""The black-box evaluator."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nascore.contracts import Context, Splits
from nascore.decisions import FunctionSpace
from nascore.errors import DataError, SettingsError
from nascore.records import Architecture, Candidate, Status
from nascore.seeding import isolated_random
from nascore_blocks.data import Digits
from nascore_blocks.evaluators import Train
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import TrainingError, evaluate

if TYPE_CHECKING:
    from pathlib import Path

    from nascore.contracts import Choose, Task


def tiny(choose: Choose, task: Task) -> nn.Module:
    width = choose("width", [4, 8])
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(width * 16, task.classes),
    )


Make = Callable[..., tuple[Train, Architecture]]


class Here(Context):
    """A context that notes the reports and says stop where told."""

    def __init__(self, data: Splits, folder: Path, seed: int = 0, stop: int = 99) -> None:
        self.number, self.seed, self.device, self.data = 0, seed, "cpu", data
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._folder, self._stop = folder, stop

    def report(self, step: int, **metrics: float) -> bool:
        self.reports.append((step, metrics))
        return step < self._stop

    def folder(self, number: int | None = None) -> Path:
        return self._folder


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


@pytest.fixture
def make(splits: Splits) -> Make:
    def make(**options: object) -> tuple[Train, Architecture]:
        space = FunctionSpace(tiny)
        space.setup(splits.task)
        evaluator = Train(**options)  # type: ignore[arg-type]  # the tests give what they like
        evaluator.setup(space, splits.for_search())
        return evaluator, space.architecture({"width": 8})

    return make


def test_a_candidate_is_trained_validated_and_kept(make: Make, splits: Splits, tmp_path: Path) -> None:
    evaluator, architecture = make(epochs=3)
    context = Here(splits.for_search(), tmp_path, seed=7)
    with isolated_random(7):
        measured = evaluator.evaluate(Candidate(architecture), context)
    assert measured.status is Status.COMPLETE
    assert measured.objectives["accuracy"] > 0.85
    assert [step for step, _ in context.reports] == [1, 2, 3]
    last = context.reports[-1][1]
    assert measured.objectives == {name: last[name] for name in ("accuracy", "loss")}
    assert measured.metrics["train_loss"] == last["train_loss"]
    assert measured.metrics["samples"] == 3 * len(splits.train)
    network = evaluator.space.build(architecture, splits.task)
    network.load_state_dict(load_file(tmp_path / measured.artifacts["weights"]))
    assert evaluate(network, splits.valid) == pytest.approx((last["accuracy"], last["loss"]))

    with isolated_random(7):
        again = evaluator.evaluate(Candidate(architecture), context)
    assert again.objectives == measured.objectives


def test_the_global_generator_is_given_back(make: Make, splits: Splits, tmp_path: Path) -> None:
    evaluator, architecture = make(epochs=1)
    state = torch.get_rng_state()
    evaluator.retrain(architecture, splits, seed=3)
    assert torch.get_rng_state().equal(state)


def test_stopped_early_is_pruned(make: Make, splits: Splits, tmp_path: Path) -> None:
    evaluator, architecture = make(epochs=5)
    measured = evaluator.evaluate(Candidate(architecture), Here(splits.for_search(), tmp_path, stop=2))
    assert measured.status is Status.PRUNED
    assert measured.reason == "stopped after epoch 2 of 5"
    assert measured.metrics["epochs"] == 2
    assert set(measured.objectives) == {"accuracy", "loss"}
    assert not list(tmp_path.iterdir())


def test_fidelity_makes_it_cheaper(make: Make, splits: Splits, tmp_path: Path) -> None:
    evaluator, architecture = make(epochs=5)
    context = Here(splits.for_search(), tmp_path)
    cheap = evaluator.evaluate(Candidate(architecture, {"epochs": 2, "data_fraction": 0.25}), context)
    assert cheap.metrics["epochs"] == 2
    assert cheap.metrics["samples"] == pytest.approx(2 * 0.25 * len(splits.train), abs=10)
    with pytest.raises(SettingsError, match="no fidelity 'width'"):
        evaluator.evaluate(Candidate(architecture, {"width": 0.5}), context)


def test_a_diverging_training_raises(make: Make, splits: Splits, tmp_path: Path) -> None:
    evaluator, architecture = make(epochs=2, learning_rate=1e30, optimizer="sgd", clip=0.0)
    with pytest.raises(TrainingError, match="epoch 1"):
        evaluator.evaluate(Candidate(architecture), Here(splits.for_search(), tmp_path))


def test_retrain_learns_from_train_and_valid_and_tests(make: Make, splits: Splits) -> None:
    evaluator, architecture = make(epochs=99)
    measured, state = evaluator.retrain(architecture, splits, seed=1, epochs=3)
    assert measured.metrics["samples"] == 3 * (len(splits.train) + len(splits.valid))
    assert measured.objectives["test_accuracy"] > 0.85
    network = evaluator.space.build(architecture, splits.task)
    network.load_state_dict(state)
    assert evaluate(network, splits.test)[0] == pytest.approx(measured.objectives["test_accuracy"])
    assert evaluator.retrain(architecture, splits, seed=1, epochs=3)[0].objectives == measured.objectives
    assert evaluator.retrain(architecture, splits, seed=2, epochs=3)[0].objectives != measured.objectives
    with pytest.raises(DataError, match="never sees the test split"):
        evaluator.retrain(architecture, splits.for_search(), seed=1, epochs=1)


def test_the_options_are_those_of_the_recipe() -> None:
    options = {p.name: p.default for p in inspect.signature(Train).parameters.values()}
    recipe = {field.name: field.default for field in dataclasses.fields(Recipe)}
    assert {name: default for name, default in options.items() if name in recipe} == recipe
    assert set(options) - set(recipe) == {"save_weights", "resolution", "channels", "cells"}
    given: dict[str, Any] = {"epochs": 3, "optimizer": "sgd", "drop_path": 0.2, "cutout": 4, "auxiliary_weight": 0.4}
    assert Train(**given).recipe == Recipe(**given)
