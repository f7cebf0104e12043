"""The sampler on synthetic tables: no network is trained."""

import random
import statistics

import pytest
import torch

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_nasnet.sampler import NASNet
from nascore_nasnet.space import NASNetCells

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)


class Tokens(DecisionSpace):
    """Six tokens of four choices each: 4,096 architectures."""

    name = "tokens"

    def decide(self, choose):
        return [choose(f"token.{index}", [0, 1, 2, 3]) for index in range(6)]

    def build(self, architecture, task):
        raise NotImplementedError


def additive(seed):
    """A table whose value is the sum of one number for each answered decision."""

    def value(architecture):
        parts = (random.Random(derive_seed(seed, name, str(x))).gauss(0, 1) for name, x in architecture.genome.items())
        return 0.5 + 0.02 * sum(parts)

    return value


def started(objective=ACCURACY, space=None, seed=0, **options):
    sampler = NASNet(**{"hidden": 16, "batch": 10, "learning_rate": 0.01} | options)
    sampler.setup(space or Tokens(), [objective], seed)
    return sampler


def ask(sampler, number, seed=0, **view):
    return sampler.ask(View(number, random.Random(derive_seed(seed, number)), TrialHistory([ACCURACY]), **view))


def run(sampler, value, trials, seed=0):
    values = []
    for number in range(trials):
        candidate = ask(sampler, number, seed)
        values.append(value(candidate.architecture))
        sampler.tell(Trial(number, candidate, Status.COMPLETE, {sampler.objectives[0].name: values[-1]}))
    return values


def weights(sampler):
    return torch.cat([parameter.detach().flatten() for parameter in sampler.ppo.controller.parameters()])


def random_best(space, value, trials, seed):
    rng = random.Random(derive_seed(seed, "random"))
    return max(value(space.sample(lambda _, options: rng.choice(options))) for _ in range(trials))


def assert_better(gains):
    """The mean gain over ten seeds is above 0: t, 95%, two-sided, 9 degrees of freedom."""
    assert statistics.fmean(gains) > 2.26 * statistics.stdev(gains) / len(gains) ** 0.5


def test_it_beats_random_search_on_an_additive_table():
    gains = []
    for seed in range(10):
        value = additive(seed)
        found = max(run(started(seed=seed, learning_rate=0.02), value, 150, seed))
        gains.append(found - random_best(Tokens(), value, 150, seed))
    assert_better(gains)


@pytest.mark.slow
def test_it_beats_random_search_on_cells_at_the_quick_preset():
    from nascore_nasnet.hooks import QUICK

    gains = []
    options = {name.removeprefix("sampler."): v for name, v in QUICK.items() if name.startswith("sampler.")}
    for seed in range(10):
        space, value = NASNetCells(blocks=2, ops=QUICK["space.ops"], reductions=1), additive(seed)
        found = max(run(started(space=space, seed=seed, **options), value, QUICK["trials"], seed))
        gains.append(found - random_best(space, value, QUICK["trials"], seed))
    assert_better(gains)


def test_the_mean_of_what_it_draws_rises():
    values = run(started(learning_rate=0.02), additive(0), 150)
    assert statistics.fmean(values[-30:]) > statistics.fmean(values[:30]) + 2 * statistics.stdev(values[:30])


def test_less_is_better_when_minimising():
    loss = Objective("loss", Direction.MINIMIZE)
    up, down = started(), started(loss)
    run(up, additive(1), 40)
    run(down, lambda architecture: -additive(1)(architecture), 40)
    assert torch.equal(weights(up), weights(down))


def test_it_learns_when_a_batch_is_full():
    sampler = started(batch=5)
    changes, before = [], None
    for number in range(15):
        candidate = ask(sampler, number)
        now = weights(sampler)
        changes.append(before is not None and not torch.equal(before, now))
        before = now
        sampler.tell(Trial(number, candidate, Status.COMPLETE, {"accuracy": number / 10}))
    assert [number for number, changed in enumerate(changes) if changed] == [5, 10]


def test_a_late_trial_is_weighed_by_the_controller_that_drew_it():
    """Trials that come back in another order than asked, after an update in between."""
    sampler = started(batch=4, learning_rate=0.1)
    candidates = [ask(sampler, number) for number in range(8)]
    drawn = dict(sampler.drawn)
    for number in (7, 2, 5, 4):
        sampler.tell(Trial(number, candidates[number], Status.COMPLETE, {"accuracy": number / 10}))
    assert not sampler.judged
    sampler.tell(Trial(1, candidates[1], Status.COMPLETE, {"accuracy": 0.1}))
    kept = sampler.judged[1]
    assert kept.log_probs == drawn[1]
    now = sampler.ppo.controller.score(kept.names, torch.tensor([kept.answers])).log_probs[0]
    assert float((now.detach() - torch.tensor(kept.log_probs)).abs().max()) > 0.01


def test_the_order_of_return_does_not_matter_within_a_batch():
    made = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        sampler = started(batch=4)
        candidates = [ask(sampler, number) for number in range(4)]
        for number in order:
            sampler.tell(Trial(number, candidates[number], Status.COMPLETE, {"accuracy": number / 10}))
        made.append(weights(sampler))
    assert torch.equal(*made)


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_trials_without_a_value_teach_nothing(status):
    sampler = started(batch=2)
    ask(sampler, 0)
    before = weights(sampler)
    for number in range(1, 7):
        sampler.tell(Trial(number, ask(sampler, number), status, {"accuracy": 0.9}))
    assert torch.equal(weights(sampler), before)
    assert not sampler.judged
    candidate = ask(sampler, 7)
    sampler.tell(Trial(7, candidate, Status.COMPLETE, {"accuracy": float("nan")}))
    assert not sampler.judged


def test_draws_are_within_the_constraints():
    sampler = started()
    for number in range(20):
        candidate = ask(sampler, number, excess=lambda a: float(a.genome["token.0"] > 0))
        assert candidate.architecture.genome["token.0"] == 0


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        NASNet().setup(Tokens(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hidden": 0}, "hidden"),
        ({"batch": 0}, "batch"),
        ({"epochs": 0}, "epochs"),
        ({"clip": 0.0}, "clip"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"entropy_weight": -1.0}, "entropy_weight"),
        ({"baseline_decay": 1.0}, "baseline_decay"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        NASNet(**options)
