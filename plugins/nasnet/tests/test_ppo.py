"""The controller and its gradient, on synthetic rewards."""

import itertools
import random

import pytest
import torch

from nascore_nasnet.controller import Controller, Walk
from nascore_nasnet.ppo import PPO, Sample, clipped

NAMES = ("a", "b", "c")
SIZES = (2, 3, 2)
EVERY = torch.tensor(list(itertools.product(*map(range, SIZES))))


def controller(scale=30.0, seed=0):
    made = Controller(6, seed)
    for name, options in zip(NAMES, SIZES, strict=True):
        made.meet(name, options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made


def ppo(made, **changes):
    settings = {"learning_rate": 0.01, "clip": 0.2, "epochs": 1, "entropy_weight": 0.0, "baseline_decay": 0.9}
    return PPO(made, **settings | changes)


def test_the_probabilities_of_all_answers_add_up_to_one():
    probabilities = controller().score(NAMES, EVERY).log_probs.sum(1).exp().detach()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert float(probabilities.max()) > 2 / len(EVERY), "uniform would add up to one as well"


def test_a_walk_draws_as_often_as_the_score_says():
    made, rng, draws = controller(), random.Random(0), 4000
    expected = made.score(NAMES, EVERY).log_probs.sum(1).exp().tolist()
    counts = dict.fromkeys(map(tuple, EVERY.tolist()), 0)
    for _ in range(draws):
        walk = Walk(made, rng, [])
        counts[tuple(walk.choose(name, range(size)) for name, size in zip(NAMES, SIZES, strict=True))] += 1
    for count, p in zip(counts.values(), expected, strict=True):
        assert count / draws == pytest.approx(p, abs=4 * (p * (1 - p) / draws) ** 0.5 + 1e-3)


def test_the_entropy_counts_all_options():
    scores = controller(scale=0.0).score(NAMES, EVERY[:1])
    assert float(scores.entropy.detach()) == pytest.approx(torch.tensor(SIZES, dtype=torch.float).log().sum().item())


def test_a_decision_starts_the_same_whenever_it_is_met():
    first, second = Controller(6, 0), Controller(6, 0)
    for name in ("a", "b"):
        first.meet(name, 2)
    for name in ("b", "a"):
        second.meet(name, 2)
    answers = torch.tensor([[0, 1]])
    assert torch.equal(first.score(("a", "b"), answers).log_probs, second.score(("a", "b"), answers).log_probs)
    assert not torch.equal(first.softmaxes[0].weight, first.softmaxes[1].weight)


def test_at_ratio_one_the_gradient_is_that_of_reinforce():
    """METHODS, section 5, P4."""
    made = controller()
    log_probs = made.score(NAMES, EVERY).log_probs
    advantages = torch.linspace(-1, 1, len(EVERY))
    weights = list(made.parameters())[:-1]  # the last decision's embedding feeds nothing
    ours = torch.autograd.grad(
        clipped(log_probs, log_probs.detach(), advantages, 0.2).sum(), weights, retain_graph=True
    )
    reinforce = torch.autograd.grad((advantages * log_probs.sum(1)).sum(), weights)
    for one, other in zip(ours, reinforce, strict=True):
        torch.testing.assert_close(one, other)
    assert any(float(grad.abs().max()) > 0.1 for grad in ours)


@pytest.mark.parametrize(
    ("ratio", "advantage", "learns"),
    [(1.3, 1.0, False), (1.1, 1.0, True), (0.7, 1.0, True), (0.7, -1.0, False), (0.9, -1.0, True), (1.3, -1.0, True)],
)
def test_beyond_the_clip_the_gradient_is_zero(ratio, advantage, learns):
    """METHODS, section 5, P4: A > 0 and rho > 1 + eps, or A < 0 and rho < 1 - eps."""
    log_probs = torch.tensor([[ratio]]).log().requires_grad_()
    clipped(log_probs, torch.zeros(1, 1), torch.tensor([advantage]), 0.2).sum().backward()
    assert float(log_probs.grad) == pytest.approx(ratio * advantage if learns else 0.0)


def test_the_baseline_is_the_one_before():
    made = ppo(controller())
    assert [made.advantage(r) for r in (0.5, 1.0, 0.0)] == pytest.approx([0.0, 0.5, -0.55])
    assert made.baseline == pytest.approx(0.9 * 0.55)


def samples(made, rewards):
    old = made.score(NAMES, EVERY).log_probs.tolist()
    rows = zip(EVERY.tolist(), old, rewards, strict=True)
    return [Sample(NAMES, tuple(answers), tuple(log_probs), reward) for answers, log_probs, reward in rows]


def test_an_update_makes_what_was_better_likelier():
    made = controller(scale=1.0)
    rewards = [float(answers[1] == 2) for answers in EVERY.tolist()]
    learner = ppo(made, epochs=4)
    learner.baseline = 0.5
    before = made.score(NAMES, EVERY).log_probs[:, 1].exp()
    learner.update(samples(made, rewards))
    after = made.score(NAMES, EVERY).log_probs[:, 1].exp()
    better = torch.tensor(rewards) > 0
    assert bool((after[better] > before[better]).all())
    assert bool((after[~better] < before[~better]).all())


def test_the_entropy_is_a_reward():
    made = controller(scale=3.0)
    learner = ppo(made, epochs=30, entropy_weight=1.0)
    learner.baseline = 0.5
    before = made.score(NAMES, EVERY).entropy.mean().detach()
    learner.update(samples(made, [0.5] * len(EVERY)))
    assert float(made.score(NAMES, EVERY).entropy.mean().detach()) > float(before)


def test_samples_with_other_decisions_are_learnt_from_together():
    """A conditional space: two of the samples have two decisions, the others three."""
    made = controller()
    short = [Sample(NAMES[:2], (0, 0), (-1.0, -1.0), 1.0), Sample(NAMES[:2], (1, 2), (-1.0, -1.0), 0.0)]
    learner = ppo(made)
    before = [parameter.clone() for parameter in made.parameters()]
    learner.update([short[0], *samples(made, [0.5] * len(EVERY)), short[1]])
    changed = [not torch.equal(one, other) for one, other in zip(before, made.parameters(), strict=True)]
    assert all(changed[:5])
