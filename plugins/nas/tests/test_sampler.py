"""The sampler and REINFORCE on synthetic tables: no network is trained."""

import math
import random
import statistics

import pytest
import torch

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_nas.controller import Factorised, Question
from nascore_nas.recurrent import Recurrent
from nascore_nas.reinforce import Reinforce, Sample
from nascore_nas.sampler import NAS

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)
LOSS = Objective("loss", Direction.MINIMIZE)


class Tokens(DecisionSpace):
    """Some tokens of some choices each."""

    name = "tokens"

    def __init__(self, tokens=6, choices=4):
        self.tokens, self.choices = tokens, choices

    def decide(self, choose):
        return [choose(f"token.{index}", list(range(self.choices))) for index in range(self.tokens)]

    def build(self, architecture, task):
        raise NotImplementedError


def additive(seed):
    """A table whose value is the sum of one number for each answered decision."""

    def value(architecture):
        parts = (random.Random(derive_seed(seed, name, str(x))).gauss(0, 1) for name, x in architecture.genome.items())
        return 0.5 + 0.02 * sum(parts)

    return value


def started(objective=ACCURACY, space=None, seed=0, **options):
    sampler = NAS(**{"hidden": 16, "layers": 1, "batch": 10, "learning_rate": 0.01, "reward": "value"} | options)
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


def random_best(value, trials, seed):
    rng = random.Random(derive_seed(seed, "random"))
    return max(value(Tokens().sample(lambda _, choices: rng.choice(choices))) for _ in range(trials))


def weights(sampler):
    return torch.cat([parameter.detach().flatten() for parameter in sampler.reinforce.controller.parameters()])


def complete(number, sampler, value, **more):
    return Trial(number, ask(sampler, number), Status.COMPLETE, {sampler.objectives[0].name: value}, **more)


# ------------------------------------------------------------------------------ P2 and the baseline

ONE = Question("a.0", (0, 1, 2)), Question("b.0", (0, 1))


def expected_gradient(baseline):
    """Of J by enumeration: sum_a P(a) grad log P(a) (R(a) - b)."""
    controller = Recurrent(0, 5, 1).double()
    for question in ONE:
        controller.meet(question)
    answers = torch.tensor([[i, j] for i in range(3) for j in range(2)])
    rewards = torch.tensor([0.1, 0.9, 0.4, 0.3, 0.8, 0.2], dtype=torch.float64)
    log_prob = controller.score(ONE, answers).log_prob
    (log_prob.exp().detach() * log_prob * (rewards - baseline)).sum().backward()
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in controller.parameters()])


def test_a_constant_baseline_leaves_the_expected_gradient_as_it_is():
    """P2 of METHODS section 2."""
    without = expected_gradient(0.0)
    assert float(without.abs().max()) > 1e-3
    torch.testing.assert_close(expected_gradient(0.7), without, rtol=0, atol=1e-12)


def test_the_first_step_is_the_formula():
    """(1/m) sum_k grad log P(a_k) (R_k - b), b the baseline before each reward, the first reward at first."""
    learner = Reinforce(Factorised(0), learning_rate=0.1, entropy_weight=0.0, baseline_decay=0.9)
    question = Question("op", ("a", "b"))
    learner.update([Sample((question,), (answer,), reward) for answer, reward in ((0, 1.0), (1, 3.0))])
    # Advantages: 1 - 1 = 0, then 3 - 1 = 2. Gradient of log P(b) at equal logits: (-1/2, 1/2); a loss is its negative.
    (logits,) = learner.controller.part(question).parameters()
    torch.testing.assert_close(logits.grad, torch.tensor([0.5, -0.5]))
    assert learner.baseline == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 1) + 0.1 * 3)


def test_the_advantage_is_against_the_old_baseline():
    learner = Reinforce(Factorised(0), learning_rate=0.1, entropy_weight=0.0, baseline_decay=0.95)
    assert learner.advantage(0.8) == 0.0
    assert learner.advantage(1.0) == pytest.approx(0.2)
    assert learner.baseline == pytest.approx(0.95 * 0.8 + 0.05)


def test_entropy_pulls_to_uniform():
    learner = Reinforce(Factorised(0), learning_rate=0.1, entropy_weight=1.0, baseline_decay=0.5)
    question = Question("op", ("a", "b", "c"))
    learner.adopt(learner.controller.meet(question))
    (logits,) = learner.controller.part(question).parameters()
    logits.data = torch.tensor([2.0, 0.0, 0.0])
    for _ in range(200):
        learner.update([Sample((question,), (0,), 0.5)])  # every reward the same: no advantage
    assert float((logits.detach() - logits.detach().mean()).abs().max()) < 0.05


# ------------------------------------------------------------------------------ it finds what is good


def test_five_armed_bandit():
    """P4: means .1, .2, .9, .3, .4, noise .05; tabular softmax, Adam 0.1, 300 steps; 6 of 8 seeds and more."""
    means, space, good = (0.1, 0.2, 0.9, 0.3, 0.4), Tokens(1, 5), 0
    for seed in range(8):
        noise = random.Random(derive_seed(seed, "noise"))
        sampler = started(space=space, seed=seed, controller="factorised", batch=1, learning_rate=0.1)
        run(sampler, lambda a, noise=noise: means[a.genome["token.0"]] + noise.gauss(0, 0.05), 300, seed)
        (logits,) = sampler.reinforce.controller.parts[0].parameters()
        good += torch.softmax(logits, 0)[2].item() > 0.9
    assert good >= 6


@pytest.mark.parametrize(
    "options",
    [{"controller": "factorised", "learning_rate": 0.1}, {"shared": False, "batch": 5, "learning_rate": 0.02}],
    ids=["factorised", "lstm"],
)
def test_it_beats_random_search_on_an_additive_table(options):
    """The mean gain over ten seeds is above 0: t, 95%, two-sided, 9 degrees of freedom."""
    gains = []
    for seed in range(10):
        value, rng = additive(seed), random.Random(derive_seed(seed, "random"))
        found = max(run(started(seed=seed, **options), value, 150, seed))
        random_best = max(value(Tokens().sample(lambda _, choices: rng.choice(choices))) for _ in range(150))  # noqa: B023 - called at once
        gains.append(found - random_best)
    assert statistics.fmean(gains) > 2.26 * statistics.stdev(gains) / len(gains) ** 0.5


def test_less_is_better_when_minimising():
    up, down = started(), started(LOSS)
    run(up, additive(1), 40)
    run(down, lambda architecture: -additive(1)(architecture), 40)
    assert torch.equal(weights(up), weights(down))
    assert not torch.equal(weights(up), weights(started(seed=1)))


# ------------------------------------------------------------------------------ rewards


@pytest.mark.parametrize(
    ("reward", "objective", "value", "expected"),
    [
        ("value", ACCURACY, 0.5, 0.5),
        ("cube", ACCURACY, 0.5, 0.125),
        ("value", LOSS, 0.5, -0.5),
        ("cube", LOSS, 0.5, -0.125),
        ("perplexity", LOSS, math.log(4.0), 80 / 16),
    ],
)
def test_rewards(reward, objective, value, expected):
    sampler = started(objective, reward=reward)
    sampler.tell(complete(0, sampler, value))
    assert sampler.judged[0].reward == pytest.approx(expected)


def test_the_reward_is_the_best_of_the_last_epochs():
    curve = tuple((step, {"accuracy": a}) for step, a in enumerate((0.99, 0.5, 0.8, float("nan"), 0.6), start=1))
    sampler = started(last=4)
    sampler.tell(complete(0, sampler, 0.6, reports=curve))
    assert sampler.judged[0].reward == 0.8
    sampler = started(last=1)
    sampler.tell(complete(0, sampler, 0.6, reports=curve))
    assert sampler.judged[0].reward == 0.6


def test_perplexity_needs_a_loss():
    with pytest.raises(SettingsError, match="cube"):
        started(reward="perplexity")


# ------------------------------------------------------------------------------ workers, constraints, options


def test_it_learns_when_a_batch_is_full():
    sampler = started(batch=5)
    changes, before = [], None
    for number in range(15):
        trial = complete(number, sampler, number / 10)
        now = weights(sampler)
        changes.append(before is not None and not torch.equal(before, now))
        before = now
        sampler.tell(trial)
    assert [number for number, changed in enumerate(changes) if changed] == [5, 10]


def test_the_order_of_return_does_not_matter_within_a_batch():
    made = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        sampler = started(batch=4)
        trials = [complete(number, sampler, number / 10) for number in range(4)]
        for number in order:
            sampler.tell(trials[number])
        made.append(weights(sampler))
    assert torch.equal(*made)


def test_a_late_trial_counts_with_the_probability_of_now():
    """Drawn before an update, told after it: the gradient is that of a trial drawn after it."""
    made = []
    for early in (True, False):
        sampler = started(batch=1, learning_rate=0.1)
        first = complete(0, sampler, 0.2)
        late = complete(1, sampler, 0.9) if early else None
        sampler.tell(first)
        sampler.tell(complete(2, sampler, 0.7))
        if late is None:
            architecture = complete(1, started(batch=1), 0.9).candidate.architecture
            late = Trial(1, Candidate(architecture), Status.COMPLETE, {"accuracy": 0.9})
        sampler.tell(late)
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
    sampler.tell(complete(7, sampler, float("nan")))
    assert not sampler.judged


def test_draws_are_within_the_constraints():
    sampler = started()
    for number in range(20):
        candidate = ask(sampler, number, excess=lambda a: float(a.genome["token.0"] > 0))
        assert candidate.architecture.genome["token.0"] == 0


def test_what_was_proposed_is_drawn_again():
    sampler, keys = started(space=Tokens(2, 3), redraws=200), []
    for number in range(9):
        candidate = ask(sampler, number)
        keys.append(candidate.architecture.key)
    assert len(set(keys)) == 9  # all there are
    assert ask(sampler, 9) is not None  # and on it goes


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        NAS().setup(Tokens(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"controller": "lstmm"}, "did you mean 'lstm'"),
        ({"reward": "square"}, "reward"),
        ({"hidden": 0}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"batch": 0}, "batch"),
        ({"last": 0}, "last"),
        ({"redraws": -1}, "redraws"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"entropy_weight": -1.0}, "entropy_weight"),
        ({"baseline_decay": 1.0}, "baseline_decay"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        NAS(**options)
