"""SNAS: the properties of the paper."""

import itertools
import random

import pytest
import torch

from nascore.contracts import Task
from nascore.errors import SettingsError
from nascore.records import Direction, Objective
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.recipe import Recipe
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.mix import Concrete
from nascore_blocks.supernet.policy import Shared, Stream
from nascore_blocks.supernet.prices import expected_cost
from nascore_blocks.supernet.wiring import CellWiring
from nascore_snas.sampler import SNAS

TASK = Task("noise", (1, 8, 8), 3)
OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
LOGITS = torch.tensor([1.0, 0.0, -1.0, 0.5])
WIRING = CellWiring(1, 1, ("a", "b", "c", "none"))
OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]


def small_space():
    space = DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1)
    space.setup(TASK)
    return space


def started(**options):
    sampler = SNAS(**options)
    sampler.setup(small_space(), OBJECTIVES, 0)
    return sampler


def stream(seed, batch=8):
    generator = torch.Generator().manual_seed(seed)
    data = TensorSplit(torch.randn(32, *TASK.shape, generator=generator), torch.arange(32) % TASK.classes)
    return Stream(data, batch, generator, "cpu", None)


def forbidden():
    raise AssertionError("SNAS has no use for validation data")


def shared_of(number=0, valid=None, rounds=10):
    torch.manual_seed(0)
    supernet = small_space().supernet(TASK)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05)
    supernet.train()
    generator = torch.Generator().manual_seed(1)
    return Shared(
        supernet, optimizer, Recipe(), generator, random.Random(0), (stream(2), valid or stream(3)), (number, rounds)
    )


def samples(temperature, draws):
    """(draws, ops), one concrete variable for each of as many edges."""
    logits = LOGITS.repeat(draws, 1)
    return Concrete(temperature)(logits, WIRING, torch.Generator().manual_seed(0)).weights


def test_the_largest_component_is_drawn_by_softmax():  # P1
    frequencies = torch.bincount(samples(1.0, 20_000).argmax(-1), minlength=4) / 20_000
    assert torch.allclose(frequencies, torch.softmax(LOGITS, -1), atol=0.01)
    assert torch.allclose(torch.softmax(LOGITS, -1), torch.tensor([0.474, 0.174, 0.064, 0.288]), atol=6e-4)


@pytest.mark.parametrize(("temperature", "least", "most"), [(0.01, 0.95, 0.98), (0.1, 0.64, 0.73)])
def test_samples_sharpen_as_the_temperature_falls(temperature, least, most):  # P2
    z = samples(temperature, 20_000)
    assert torch.allclose(z.sum(-1), torch.ones(20_000))
    assert least < float((z.max(-1).values > 0.99).float().mean()) < most


def test_samples_are_uniform_at_a_high_temperature():  # P2
    assert torch.allclose(samples(1e6, 100), torch.full((100, 4), 0.25), atol=1e-4)


def test_the_reparametrised_gradient_tends_to_that_of_the_expectation():  # P3
    costs, draws, errors = torch.tensor([1.0, 2.0, 3.0, 4.0]), 100_000, []
    p = torch.softmax(LOGITS, -1)
    exact = p * (costs - (p * costs).sum())
    for temperature in (1.0, 0.5, 0.3, 0.1):
        logits = LOGITS.repeat(draws, 1).requires_grad_()
        z = Concrete(temperature)(logits, WIRING, torch.Generator().manual_seed(0)).weights
        found = torch.autograd.grad((z * costs).sum(), logits)[0].mean(0)
        errors.append(float((found - exact).norm() / exact.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(0.35, abs=0.03)
    assert errors[1] == pytest.approx(0.14, abs=0.03)
    assert errors[-1] < 0.01


def test_a_higher_eta_lowers_the_expected_cost():  # P4
    found = []
    for eta in (0.0, 0.1, 10.0):
        sampler, shared = started(eta=eta, learning_rate=0.2, weight_decay=0.0), shared_of()
        for _ in range(5):
            sampler.policy.iterate(shared)
        found.append(sampler.policy.end_round(shared)["expected_params"])
    assert found[0] > found[1] > found[2]


def test_the_gradient_of_the_resource_term_is_that_of_the_formula():
    sampler, shared = started(eta=0.7, spread=1.0), shared_of()
    policy = sampler.policy
    penalty = policy.penalty(shared)
    found = torch.autograd.grad(penalty, list(policy.log_alphas.values()))
    table = policy._table
    expected = float(expected_cost(policy.probabilities(), table).detach())
    assert float(penalty.detach()) == pytest.approx(0.7 * torch.log1p(torch.tensor(expected)).item())
    for gradient, (kind, p) in zip(found, policy.probabilities().items(), strict=True):
        costs = table[kind].float()
        by_hand = 0.7 / (1 + expected) * p * (costs - (p * costs).sum(-1, keepdim=True))
        assert torch.allclose(gradient, by_hand.detach(), atol=1e-7)


@pytest.mark.parametrize("rounds", [2, 3, 7, 150])
def test_the_temperature_hits_its_end_points(rounds):  # P5
    policy = started(temperature=1.0, last_temperature=0.03).policy
    schedule = [policy.temperature(number, rounds) for number in range(rounds)]
    assert (schedule[0], schedule[-1]) == (1.0, 0.03)
    steps = [a - b for a, b in itertools.pairwise(schedule)]
    assert steps == pytest.approx([0.97 / (rounds - 1)] * (rounds - 1))


def test_the_samples_have_the_temperature_of_the_round():
    sharpest = []
    for number in (0, 4):
        policy = started(last_temperature=0.01).policy
        z = torch.cat([paths.weights for paths in policy.mix(shared_of(number, rounds=5)).values()])
        sharpest.append(float(z.detach().max(-1).values.mean()))
    assert sharpest[0] < 0.7 < 0.95 < sharpest[1]


def test_alpha_and_weights_learn_from_one_training_batch():  # P6
    sampler, shared = started(cost="none", weight_decay=0.0), shared_of(valid=forbidden)
    policy = sampler.policy
    asked, given = [], shared.train_batch
    shared.train_batch = lambda: asked.append(given()) or asked[-1]
    alphas = [a.detach().clone() for a in policy.log_alphas.values()]
    weights = [w.detach().clone() for w in shared.parameters]
    policy.iterate(shared)
    assert len(asked) == 1
    assert all((a != b).any() for a, b in zip(policy.log_alphas.values(), alphas, strict=True))
    assert any((a != b).any() for a, b in zip(shared.parameters, weights, strict=True))
    # The gradient is that of the loss on this very batch, under this very draw.
    fresh = shared_of()
    fresh.train_batch = lambda: asked[0]
    again = started(cost="none", weight_decay=0.0).policy
    loss = fresh.loss(again.mix(fresh), asked[0])
    for mine, by_hand in zip(
        policy.log_alphas.values(), torch.autograd.grad(loss, list(again.log_alphas.values())), strict=True
    ):
        assert torch.allclose(mine.grad, by_hand, atol=1e-6)


def test_the_resource_term_adds_to_the_gradient_and_not_to_the_loss_that_is_told():
    losses, gradients = [], []
    for cost in ("none", "macs"):
        sampler, shared = started(cost=cost, eta=3.0), shared_of()
        sampler.policy.iterate(shared)
        losses.append(shared.losses)
        gradients.append(torch.cat([a.grad for a in sampler.policy.log_alphas.values()]))
    assert losses[0] == losses[1]
    assert not torch.allclose(gradients[0], gradients[1])


def test_it_proposes_the_likeliest_ops():
    sampler = started()
    wiring = sampler.space.wiring
    with torch.no_grad():
        for alpha in sampler.policy.log_alphas.values():
            alpha.zero_()
            alpha[:, wiring.ops.index("none")] = 9.0
            alpha[:, wiring.ops.index("dil_conv_3x3")] = 1.0
            for edge in wiring.into[3]:
                if wiring.edges[edge].input == 1:
                    alpha[edge] = torch.tensor([-5.0] * len(wiring.ops))
                    alpha[edge, wiring.ops.index("none")] = 9.0
    genome = sampler.ask(None).architecture.genome
    assert {value for name, value in genome.items() if ".op." in name} == {"dil_conv_3x3"}
    assert genome["normal.1.input"] == "0,2"


def test_nothing_is_proposed_once_the_training_is_over():
    sampler = started()
    assert sampler.ask(None) is not None
    sampler.policy.end()
    assert sampler.ask(None) is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cost": "parameters"}, "did you mean 'params'"),
        ({"eta": -1.0}, "eta"),
        ({"temperature": 0.0}, "temperature"),
        ({"last_temperature": -0.1}, "last_temperature"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"beta1": 1.0}, "beta1"),
        ({"spread": -0.1}, "spread"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        SNAS(**options)
