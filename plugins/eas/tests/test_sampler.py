"""The controller and REINFORCE: METHODS sections 0.6 and 7."""

import math
import random

import pytest
import torch

from nascore.contracts import Task, View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore.testing import SamplerConformance
from nascore_blocks.morphs.episodes import Episode
from nascore_eas.chain import ChainSpace, chain_of
from nascore_eas.sampler import EAS

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)
LOSS = Objective("loss", Direction.MINIMIZE)
SMALL = {"hidden": 6, "embedding": 4, "wider": 1, "deeper": 1}


class TestSampler(SamplerConformance):
    trials = 16
    restarts = (1, 2, 9)

    def make(self):
        return EAS(**SMALL, batch=3, stage_trials=6, learning_rate=0.02)

    def space(self):
        space = ChainSpace()
        space.name = "eas:chain"
        return space


def set_up():
    space = ChainSpace()
    space.name = "eas:chain"
    space.setup(Task("small", (1, 8, 8), 10))
    return space


def started(objective=ACCURACY, seed=0, **options):
    sampler = EAS(**{**SMALL, **options})
    sampler.setup(set_up(), [objective], seed)
    return sampler


def run(sampler, value, trials, seed=0, status=Status.COMPLETE):
    history = TrialHistory(sampler.objectives)
    for number in range(trials):
        view = View(number, random.Random(derive_seed(seed, "ask", number)), history, trials)
        candidate = sampler.ask(view)
        name = sampler.objectives[0].name
        trial = Trial(number, candidate, status, {name: value(sampler.space.tokens(candidate.architecture))})
        history.add(trial)
        sampler.tell(trial)
    return list(history)


def test_the_start_comes_first_and_is_the_parent_until_the_next_stage():
    sampler = started(stage_trials=4, batch=50)
    values = iter([0.1, 0.2, 0.5, 0.3, 0.4, *[0.05] * 5])
    trials = run(sampler, lambda _: next(values), 9)
    assert trials[0].candidate.parent is None
    assert trials[0].architecture == sampler.space.start()
    assert [trial.candidate.parent for trial in trials[1:]] == [0] * 4 + [2] * 4
    old, new = (len(sampler.space.tokens(trials[number].architecture)) for number in (2, 5))
    assert new == old + 1  # of the best, one layer deeper


def test_nothing_is_proposed_before_the_start_is_judged():
    sampler = started()
    history = TrialHistory(sampler.objectives)
    first = sampler.ask(View(0, random.Random(0), history, 5))
    assert sampler.ask(View(1, random.Random(1), history, 5)) is None
    sampler.tell(Trial(0, first, Status.FAIL))
    child = sampler.ask(View(1, random.Random(1), history, 5))
    assert child.parent is None  # there are no weights to inherit


def test_widths_go_to_the_next_of_the_list():
    sampler = started(wider=1, deeper=0)
    space, answers = sampler.space, [1, 0, 1]
    made = sampler.controller.transform(space.start(), Episode(answers=answers))
    assert space.tokens(made) == ("conv-8-3", "pool", "conv-4-3", "pool", "fc-16")
    widest = space.of_chain(chain_of(["conv-16-3", "pool", "conv-16-3", "pool", "fc-32"]))
    episode = Episode(rng=random.Random(0))
    assert sampler.controller.transform(widest, episode) == widest
    assert episode.answers == []  # nobody is asked


def test_a_deeper_decision_is_block_place_kernel():
    sampler = started(wider=0, deeper=1)
    space = sampler.space
    start = space.of_chain(chain_of(["conv-4-3", "conv-8-3", "pool", "conv-4-3", "pool", "fc-8"]))
    made = sampler.controller.transform(start, Episode(answers=[0, 1, 2]))
    assert space.tokens(made)[:4] == ("conv-4-3", "conv-8-3", "conv-8-5", "pool")
    made = sampler.controller.transform(start, Episode(answers=[2, 0]))
    assert space.tokens(made)[-2:] == ("fc-8", "fc-8")


def test_masked_decisions_never_address_a_missing_layer():
    """P5: hundreds of deeper decisions of a loud controller, full blocks included."""
    sampler = started(wider=1, deeper=8)
    generator = torch.Generator().manual_seed(0)
    for parameter in sampler.controller.parameters():
        parameter.data = 2 * torch.randn(parameter.shape, generator=generator)
    rng, full = random.Random(0), 0
    with torch.no_grad():
        for _ in range(60):
            made = sampler.controller.transform(sampler.space.start(), Episode(rng=rng))
            sampler.space.check(made)
            full += all(not sampler.space.room(sampler.space.structure(made), block) for block in range(3))
    assert full > 2


def test_an_episode_scored_again_has_the_probability_it_was_drawn_with():
    sampler = started(wider=2, deeper=2)
    start = sampler.space.start()
    drawn = Episode(rng=random.Random(3))
    made = sampler.controller.transform(start, drawn)
    again = Episode(answers=drawn.answers)
    assert sampler.controller.transform(start, again) == made
    assert torch.equal(drawn.log_prob, again.log_prob)
    assert torch.equal(drawn.entropy, again.entropy)
    assert again.log_prob.requires_grad


@torch.no_grad()
def test_probabilities_of_a_decision_sum_to_one():
    sampler = started(wider=0, deeper=1)
    start, total, entropy = sampler.space.start(), 0.0, 0.0
    for block in range(3):
        for kernel in [0, 1, 2] if block < 2 else [None]:
            episode = Episode(answers=[block, 0] + ([] if kernel is None else [kernel]))
            sampler.controller.transform(start, episode)
            total += math.exp(episode.log_prob)
            entropy -= math.exp(episode.log_prob) * float(episode.log_prob)
    assert total == pytest.approx(1, abs=1e-5)
    assert entropy > 1


def test_the_advantage_is_against_the_old_baseline():
    sampler = started(baseline_decay=0.9)
    assert sampler.advantage(0.8) == 0.0
    assert sampler.advantage(1.0) == pytest.approx(0.2)
    assert sampler.baseline == pytest.approx(0.9 * 0.8 + 0.1)


@pytest.mark.parametrize(
    ("objective", "reward", "value", "expected"),
    [
        (ACCURACY, "tan", 0.5, 1.0),
        (ACCURACY, "tan", 1.0, math.tan(0.999 * math.pi / 2)),
        (ACCURACY, "value", 0.5, 0.5),
        (LOSS, "tan", 0.5, -0.5),
    ],
)
def test_rewards(objective, reward, value, expected):
    sampler = started(objective, reward=reward, batch=9)
    run(sampler, lambda _: value, 2)
    assert sampler.rewards == {1: pytest.approx(expected)}


def test_it_learns_to_deepen_the_block_that_pays():
    """A bandit over blocks: the first block pays; after 40 steps it is chosen nearly always."""
    sampler = started(wider=0, batch=5, learning_rate=0.03, stage_trials=0)
    trials = run(sampler, lambda tokens: 0.9 if tokens.index("pool") == 2 else 0.1, 201)
    late = [trial.objectives["accuracy"] for trial in trials[-30:]]
    early = [trial.objectives["accuracy"] for trial in trials[1:31]]
    assert sum(late) / 30 > 0.8 > sum(early) / 30


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_trials_without_a_value_teach_nothing(status):
    sampler = started(batch=2)
    before = [parameter.clone() for parameter in sampler.controller.parameters()]
    run(sampler, lambda _: 0.9, 7, status=status)
    assert all(map(torch.equal, before, sampler.controller.parameters()))
    assert not sampler.asked


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        EAS().setup(set_up(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hidden": 0}, "hidden"),
        ({"embedding": 0}, "embedding"),
        ({"wider": -1}, "wider"),
        ({"wider": 0, "deeper": 0}, "would change nothing"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"batch": 0}, "batch"),
        ({"entropy_weight": -1.0}, "entropy_weight"),
        ({"baseline_decay": 1.0}, "baseline_decay"),
        ({"stage_trials": -1}, "stage_trials"),
        ({"reward": "cube"}, "reward"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        EAS(**options)
