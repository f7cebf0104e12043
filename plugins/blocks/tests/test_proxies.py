"""The ladder of cheaper judgements: METHODS.md, section 20."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nascore.decisions import FunctionSpace
from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.records import Candidate, Direction, Measurement, Objective, Status, Trial
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext
from nascore_blocks.costs import count_macs
from nascore_blocks.data import Digits
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.evaluators import Train
from nascore_blocks.nasbench201 import NASBench201
from nascore_blocks.proxies import Reduction, Resized, divided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Splits, Task

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
CHEAP: dict[str, Any] = {"epochs": 1, "data_fraction": 0.1, "save_weights": True}


class Watched(NASBench201):
    """Notes the task and the parameters of each network."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.built: list[tuple[Task, int, int]] = []

    def build(self, architecture: Any, task: Task) -> Any:
        network = super().build(architecture, task)
        parameters = sum(p.numel() for p in network.parameters())
        macs = count_macs(copy.deepcopy(network).eval(), torch.zeros(1, *task.shape))
        self.built.append((task, parameters, macs))
        return network


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


def judged(splits: Splits, fidelity: Mapping[str, float] | None = None, **options: Any) -> tuple[Measurement, Watched]:
    space = Watched(channels=8, cells=2, reductions=1)
    space.name = "watched"
    space.setup(splits.task)
    evaluator = Train(**{**CHEAP, **options})
    evaluator.setup(space, splits.for_search())
    candidate = Candidate(space.architecture(space.genome_of(CELL)), fidelity or {})
    with isolated_random(0):
        return evaluator.evaluate(candidate, MemoryContext(splits.for_search(), seed=0)), space


def cost(splits: Splits, fidelity: dict[str, float]) -> float:
    """Examples that were learnt from, times multiply-accumulates of one."""
    measured, space = judged(splits, fidelity)
    return measured.metrics["samples"] * space.built[-1][2]


def test_the_cost_scales_with_each_knob(splits: Splits) -> None:
    full = cost(splits, {})
    assert cost(splits, {"epochs": 2}) == 2 * full
    assert cost(splits, {"data_fraction": 0.2}) == pytest.approx(2 * full, rel=0.05)
    assert cost(splits, {"resolution": 4}) == pytest.approx(full / 4, rel=0.05)
    assert cost(splits, {"channels": 4}) == pytest.approx(full / 4, rel=0.15)  # but the stem and the classifier
    assert cost(splits, {"cells": 1}) == pytest.approx(full / 2, rel=0.2)  # but the residual block


def test_a_fidelity_and_an_option_do_the_same(splits: Splits) -> None:
    for name, value in (("resolution", 4), ("channels", 4), ("cells", 1)):
        option: dict[str, Any] = {name: value}
        by_option, one = judged(splits, **option)
        by_fidelity, other = judged(splits, {name: value})
        assert by_option.objectives == by_fidelity.objectives
        assert one.built == other.built


def test_weights_of_a_proxy_are_not_kept_and_the_space_stays(splits: Splits) -> None:
    whole, space = judged(splits)
    assert whole.artifacts == {"weights": "weights.safetensors"}
    for fidelity in ({"resolution": 4}, {"channels": 4}, {"cells": 1}):
        measured, space = judged(splits, fidelity)
        assert measured.status is Status.COMPLETE
        assert not measured.artifacts
        assert (space.channels, space.cells) == (8, 2)


def test_retrain_is_at_full_size(splits: Splits) -> None:
    space = Watched(channels=8, cells=2, reductions=1)
    space.setup(splits.task)
    evaluator = Train(**CHEAP, resolution=4, channels=4, cells=1)
    evaluator.setup(space, splits.for_search())
    evaluator.retrain(space.architecture(space.genome_of(CELL)), splits, seed=0)
    assert space.built[-1][0] == splits.task
    assert space.built[-1][1] == judged(splits)[1].built[-1][1]


def test_images_are_averaged() -> None:
    images = torch.arange(32.0).reshape(2, 1, 4, 4)
    small = Resized(TensorSplit(images, torch.tensor([3, 4])), 2)
    inputs, labels = small.batch(torch.tensor([1]))
    assert inputs.tolist() == [[[[18.5, 20.5], [26.5, 28.5]]]]
    assert labels.tolist() == [4]
    assert torch.equal(inputs, F.avg_pool2d(images[1:], 2))
    assert len(small) == 2


def test_values_of_another_fidelity_are_not_ranked(splits: Splits) -> None:
    history = TrialHistory([Objective("accuracy", Direction.MAXIMIZE)])
    architecture = Watched().architecture(Watched().genome_of(CELL))
    for number, fidelity in enumerate([{}, {"resolution": 4}, {"cells": 1}]):
        candidate = Candidate(architecture, fidelity)
        history.add(Trial(number, candidate, Status.COMPLETE, {"accuracy": 0.5 + number / 10}))
    assert history.best is not None
    assert history.best.number == 0


@pytest.mark.parametrize(
    ("fidelity", "says"),
    [
        ({"width": 4}, "no fidelity 'width'"),
        ({"resolutions": 4}, "did you mean 'resolution'"),
        ({"resolution": 4.5}, "whole number"),
        ({"resolution": 1}, "resolution is 1"),
        ({"resolution": 9}, "images of 'digits' are"),
        ({"channels": 9}, "has only 8"),
        ({"cells": -1}, "cells is -1"),
    ],
)
def test_bad_fidelities_are_named(splits: Splits, fidelity: dict[str, float], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        judged(splits, fidelity)


def test_a_space_without_the_option_says_so(splits: Splits) -> None:
    space = FunctionSpace(lambda choose: nn.Linear(choose("width", [1]), 1))
    space.name = "mine"
    architecture = space.sample(lambda _, options: random.Random(0).choice(options))
    for name in ("channels", "cells"):
        with pytest.raises(SettingsError, match=f"'mine' has no option {name}"):
            Reduction(**{name: 1}).space(space, architecture)


def test_bad_options_fail_at_construction() -> None:
    for name in ("resolution", "channels", "cells"):
        option: dict[str, Any] = {name: -1}
        with pytest.raises(SettingsError, match=name):
            Train(**option)


def test_a_fidelity_is_divided() -> None:
    assert divided({"epochs": 2, "cells": 1}) == ({"epochs": 2}, {"cells": 1})
