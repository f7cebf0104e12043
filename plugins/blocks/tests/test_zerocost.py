"""Scores of untrained networks: values known from their formulas, and what each must or must not see."""

from __future__ import annotations

import copy
import itertools
import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.errors import SettingsError
from nascore.records import Candidate, Status
from nascore.seeding import isolated_random
from nascore.testing import EvaluatorConformance, MemoryContext
from nascore_blocks.data import Digits
from nascore_blocks.nasbench201 import NASBench201
from nascore_blocks.zerocost import SCORES, ScoreError, ZeroCost, grad_norm, jacob_cov, naswot, params, snip, synflow

INPUTS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def linear(*sizes: int, relu: bool = False, seed: int = 0) -> nn.Sequential:
    with isolated_random(seed):
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after, bias=False), *([nn.ReLU()] if relu else [])]
        return nn.Sequential(*layers[: -1 if relu else None])


def test_params_are_counted() -> None:
    assert params(linear(5, 4, 3), INPUTS, LABELS) == 32


def test_synaptic_flow_is_conserved_from_layer_to_layer() -> None:
    """Each layer's sum of w dR/dw is R itself (Tanaka et al. 2020, theorem 1), so the score is layers times R."""
    network = linear(5, 4, 4, 3, relu=True)
    first, second, third = (p.detach().double().abs() for p in network.parameters())
    flow = (third @ second @ first).sum().item()
    assert synflow(copy.deepcopy(network), INPUTS, LABELS) == pytest.approx(math.log1p(3 * flow))


def test_synflow_needs_no_data() -> None:
    found = {synflow(linear(5, 4, 3), inputs, LABELS) for inputs in (INPUTS, 0 * INPUTS)}
    assert len(found) == 1


def cross_entropy_gradient(weight: Tensor) -> Tensor:
    """Of a linear classifier, by hand: (softmax - one hot) x, mean over the batch."""
    error = torch.softmax(INPUTS @ weight.T, 1) - F.one_hot(LABELS, 3)
    return error.T @ INPUTS / len(INPUTS)


def test_snip_and_grad_norm_of_a_linear_classifier_are_those_by_hand() -> None:
    network = linear(5, 3)
    weight = next(network.parameters()).detach()
    gradient = cross_entropy_gradient(weight)
    assert snip(network, INPUTS, LABELS) == pytest.approx((weight * gradient).abs().sum().item(), rel=1e-5)
    assert grad_norm(network, INPUTS, LABELS) == pytest.approx(gradient.norm().item(), rel=1e-5)


def test_jacob_cov_of_a_linear_network_is_the_least_there_is() -> None:
    """All gradients are one row: the correlations are all 1, with eigenvalues 6, 0, 0, 0, 0, 0."""
    k = 1e-5
    least = -(math.log(6 + k) + 1 / (6 + k) + 5 * (math.log(k) + 1 / k))
    assert jacob_cov(linear(5, 4, 3), INPUTS, LABELS) == pytest.approx(least, rel=1e-3)
    assert jacob_cov(linear(5, 64, 3, relu=True), INPUTS, LABELS) > least / 2


def test_jacob_cov_of_gradients_without_correlation() -> None:
    """Each input has its own direction: correlations near the identity, and near -6 (log 1 + 1)."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 4000, generator=torch.Generator().manual_seed(0)))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs * self.weight

    assert jacob_cov(Own(), torch.zeros(6, 4000), LABELS) == pytest.approx(-6, abs=0.05)


def test_naswot_counts_units_that_agree() -> None:
    class Known(nn.Sequential):
        pass

    codes = torch.tensor([[1.0, 1, 1, -1], [1, -1, 1, 1], [-1, -1, 1, -1]])
    kernel = torch.tensor([[4.0, 2, 2], [2, 4, 2], [2, 2, 4]])  # how many of four are on, or off, together
    assert naswot(Known(nn.ReLU()), codes, LABELS) == pytest.approx(torch.logdet(kernel).item(), abs=1e-4)


def test_naswot_of_inputs_that_are_all_one_is_far_less_and_finite() -> None:
    network = linear(5, 64, 3, relu=True)
    same = naswot(network, INPUTS[:1].expand(6, 5), LABELS)
    assert math.isfinite(same)
    assert same < naswot(network, INPUTS, LABELS) - 10
    assert not any(module._forward_hooks for module in network.modules())


def test_naswot_without_a_relu_says_so() -> None:
    with pytest.raises(ScoreError, match=r"no nn\.ReLU"):
        naswot(linear(5, 3), INPUTS, LABELS)


@pytest.mark.parametrize("score", SCORES)
def test_a_cell_of_convolutions_beats_one_of_nothing(score: str) -> None:
    data = Digits().load(0)
    space = NASBench201(channels=8, reductions=1)
    space.setup(data.task)
    evaluator = ZeroCost(score, batch_size=16)
    evaluator.setup(space, data.for_search())
    found = []
    for ops in (["none"] * 6, ["nor_conv_3x3"] * 6):
        genome = dict(zip(space.decisions(space.sample(lambda _, o: o[0])), ops, strict=True))
        architecture = space.architecture({decision.name: op for decision, op in genome.items()})
        with isolated_random(0):
            measured = evaluator.evaluate(Candidate(architecture), MemoryContext(data.for_search(), seed=0))
        assert measured.status is Status.COMPLETE
        found.append(measured.objectives["score"])
    assert found[0] < found[1]


@pytest.mark.parametrize("options", [{"score": "synflo"}, {"batch_size": 1}, {"repeats": 0}])
def test_bad_options_are_named(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        ZeroCost(**options)  # type: ignore[arg-type]  # that is the test


class TestNaswot(EvaluatorConformance):
    def make(self) -> ZeroCost:
        return ZeroCost("naswot", batch_size=8)

    def _candidate(self, seed: int = 0) -> Candidate:
        space = self.space()
        space.setup(self.data().task)
        rng = random.Random(seed)
        answers = {"depth": 2, "op.0": "conv"}  # one of identities alone has no ReLU
        return Candidate(space.sample(lambda name, options: answers.get(name, rng.choice(options))))


class TestSynflow(EvaluatorConformance):
    def make(self) -> ZeroCost:
        return ZeroCost("synflow", repeats=2)


del EvaluatorConformance  # pytest would collect it
