"""DARTS on a small supernet: what moves when, what it proposes, and resuming."""

import random

import pytest
import torch

from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext, toy_data
from nascore.testing.driver import through_checkpoint
from nascore_blocks.spaces import DARTSSpace, NASNetSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_darts.sampler import DARTS

OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]
SMOOTH = ("avg_pool_3x3", "skip_connect")


def made(space=DARTSSpace, rounds=2, **options):
    data = toy_data()
    space = space(blocks=2, channels=4, cells=1, reductions=1)
    space.name = "blocks:cells"
    space.setup(data.task)
    evaluator = SharedWeights(rounds=rounds, steps=2, batch_size=8)
    evaluator.setup(space, data.for_search())
    sampler = DARTS(**{"hessian_every": 0, **options})
    sampler.setup(space, OBJECTIVES, 0)
    return evaluator, sampler


def prepare(evaluator, sampler, seed):
    with isolated_random(seed):
        return evaluator.prepare(sampler, MemoryContext(toy_data().for_search(), seed=seed))


class Spy:
    """Stands before the shared tools and remembers the weights at each step."""

    def __init__(self, shared):
        self._shared, self.at_step = shared, []

    def __getattr__(self, name):
        return getattr(self._shared, name)

    def step(self, mixture, batch):
        self.at_step.append([p.detach().clone() for p in self._shared.parameters])
        assert all(p.weights is None or not p.weights.requires_grad for p in mixture.values())
        return self._shared.step(mixture, batch)


@pytest.mark.parametrize("order", ["first", "second", "exact"])
def test_the_step_of_alpha_leaves_the_weights_bit_equal(order):
    evaluator, sampler = made(order=order)
    prepare(evaluator, sampler, 0)  # so that the momentum is not empty
    shared = evaluator._shared(MemoryContext(toy_data().for_search(), seed=1))
    shared.rate = 0.02
    weights = [p.detach().clone() for p in shared.parameters]
    alphas = {kind: a.detach().clone() for kind, a in sampler.policy.alphas.items()}
    spy = Spy(shared)
    sampler.policy.iterate(spy)
    assert len(spy.at_step) == 1
    assert all(torch.equal(a, b) for a, b in zip(spy.at_step[0], weights, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(shared.parameters, weights, strict=True))
    assert all(not torch.equal(a, alphas[kind]) for kind, a in sampler.policy.alphas.items())


def test_alpha_learns_from_the_validation_batch_and_weights_from_the_training_batch():
    evaluator, sampler = made()
    prepare(evaluator, sampler, 0)
    shared = evaluator._shared(MemoryContext(toy_data().for_search(), seed=1))
    train, valid = shared.train_batch(), shared.valid_batch()
    found = sampler.policy.gradient(shared, train, valid)
    mixed = shared.loss(sampler.policy.mix(shared), valid)
    expected = torch.autograd.grad(mixed, list(sampler.policy.alphas.values()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_second_order_agrees_with_exact_on_a_smooth_cell():
    # With ReLUs and max-pooling the perturbed weights cross kinks, and the two differ by far.
    data = toy_data()
    space = DARTSSpace(blocks=1, channels=4, cells=1, reductions=0, ops=SMOOTH)
    space.name = "blocks:cells"
    space.setup(data.task)
    evaluator = SharedWeights(rounds=1, steps=1, batch_size=8, fast=False)
    evaluator.setup(space, data.for_search())
    found = {}
    for order in ("second", "exact"):
        sampler = DARTS(order=order)
        sampler.setup(space, OBJECTIVES, 0)
        with isolated_random(0):
            evaluator._made("cpu").double()
        for module in evaluator.supernet.modules():
            for name, child in module.named_children():
                if isinstance(child, torch.nn.ReLU):
                    setattr(module, name, torch.nn.Softplus())
        for alpha in sampler.policy.alphas.values():
            alpha.data = alpha.data.double()
        shared = evaluator._shared(MemoryContext(data.for_search(), seed=1))
        train, valid = (b._replace(inputs=b.inputs.double()) for b in (shared.train_batch(), shared.valid_batch()))
        shared.rate = 0.05
        found[order] = torch.cat(sampler.policy.gradient(shared, train, valid))
    assert float((found["second"] - found["exact"]).norm() / found["exact"].norm()) < 5e-4


@pytest.mark.parametrize("space", [DARTSSpace, NASNetSpace])
def test_each_round_proposes_the_strongest_edges_and_the_end_nothing(space):
    evaluator, sampler = made(space)
    for seed in range(2):
        assert prepare(evaluator, sampler, seed).ready
        candidate = sampler.ask(None)
        assert candidate.architecture == sampler.space.derive(sampler.policy.weights())
        sampler.space.check(candidate.architecture)
    prepare(evaluator, sampler, 2)
    assert sampler.ask(None) is None


def test_alpha_decides_more_and_more():
    evaluator, sampler = made(rounds=8, learning_rate=0.1)
    entropies = [prepare(evaluator, sampler, seed).metrics["alphas_entropy"] for seed in range(8)]
    ops = len(sampler.space.wiring.ops)
    assert entropies[0] <= torch.log(torch.tensor(float(ops)))
    assert entropies[-1] < entropies[0] - 0.05


def test_a_resumed_search_is_bit_identical():
    evaluator, sampler = made(rounds=3, order="second", hessian_every=2, hessian_examples=8)
    for seed in range(3):
        prepare(evaluator, sampler, seed)
    other, resumed = made(rounds=3, order="second", hessian_every=2, hessian_examples=8)
    prepare(other, resumed, 0)
    for seed in (1, 2):
        states = through_checkpoint({"sampler": resumed.state_dict(), "evaluator": other.state_dict()})
        other, resumed = made(rounds=3, order="second", hessian_every=2, hessian_examples=8)
        resumed.load_state_dict(states["sampler"], TrialHistory(OBJECTIVES))
        other.load_state_dict(states["evaluator"])
        prepare(other, resumed, seed)
    for kind, alpha in sampler.policy.alphas.items():
        assert torch.equal(alpha, resumed.policy.alphas[kind])
    mine, theirs = evaluator.supernet.state_dict(), other.supernet.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_alpha_starts_near_zero_by_the_seed_and_no_other_random_number_moves():
    random.seed(0)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    _, first = made()
    assert torch.equal(before, torch.get_rng_state())
    _, second = made()
    for kind, alpha in first.policy.alphas.items():
        assert torch.equal(alpha, second.policy.alphas[kind])
        assert 0 < float(alpha.detach().std()) < 2e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "frist"}, "did you mean 'first'"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"beta1": 1}, "beta1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        DARTS(**options)


def test_the_answer_is_the_last_architecture_that_keeps_the_constraints():
    history = TrialHistory(OBJECTIVES)
    for number, (accuracy, violation) in enumerate([(0.9, -1.0), (0.2, -1.0), (0.8, 1.0)]):
        candidate = Candidate(Architecture("darts", {}, str(number)))
        history.add(Trial(number, candidate, Status.COMPLETE, {"accuracy": accuracy}, violations={"params": violation}))
    _, sampler = made()
    assert sampler.recommend(history).number == 1
    assert sampler.recommend(TrialHistory(history.objectives)) is None
