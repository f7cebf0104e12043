"""The three phases of the search."""

import random

import pytest

from nascore.contracts import View
from nascore.history import TrialHistory
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore.testing import drive
from nascore.testing.toys import ToySpace
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace

ACCURACY, LOSS = Objective("accuracy", Direction.MAXIMIZE), Objective("loss", Direction.MINIMIZE)


def parents(trials):
    return [trial.candidate.parent for trial in trials]


@pytest.mark.parametrize("objective", [ACCURACY, LOSS])
def test_random_then_of_the_best_random_then_of_the_best(objective):
    sign = 1 if objective is ACCURACY else -1

    def judge(number, candidate, objectives):
        return Trial(number, candidate, Status.COMPLETE, {objective.name: sign * (number % 7 + number / 10)})

    trials = drive(lambda: Perturb(random=4, perturbations=4), ToySpace(), [objective], trials=40, judge=judge)
    value = {trial.number: trial.value(objective.name) for trial in trials}
    assert parents(trials[:4]) == [None] * 4
    assert set(parents(trials[4:8])) == {max(range(4), key=lambda n: sign * value[n])}
    for number in range(8, 40):
        assert trials[number].candidate.parent == max(range(number), key=lambda n: sign * value[n])
    assert len(set(parents(trials[8:]))) > 1  # the chain moved


def test_without_one_complete_trial_it_goes_on_at_random():
    def failing(number, candidate, objectives):
        return Trial(number, candidate, Status.FAIL)

    trials = drive(lambda: Perturb(random=3, perturbations=3), ToySpace(), [ACCURACY], trials=12, judge=failing)
    assert parents(trials) == [None] * 12


def test_a_value_that_is_no_number_is_not_perturbed():
    space = ToySpace()
    sampler = Perturb(random=2)
    sampler.setup(space, [ACCURACY], 0)
    history = TrialHistory([ACCURACY])
    drawn = [space.sample(lambda _, options, i=i: options[i]) for i in (0, 1)]
    for number, value in enumerate((float("nan"), 0.1)):
        history.add(Trial(number, Candidate(drawn[number]), Status.COMPLETE, {"accuracy": value}))
    assert sampler.ask(View(2, random.Random(0), history)).parent == 1


def test_each_decision_is_drawn_anew_with_the_probability():
    space = BankSpace(blocks=1, ops=12)
    rng = random.Random(0)
    start = space.sample(lambda _, options: rng.choice(options))
    sampler = Perturb(probability=0.05)
    sampler.setup(space, [ACCURACY], 0)
    changed, every = 0, 0
    for _ in range(100):
        child = sampler.perturbed(start, rng)
        assert child.key != start.key
        changed += sum(child.genome[name] != value for name, value in start.genome.items())
        every += len(start.genome)
    assert changed / every == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / every) ** 0.5)


def test_a_space_with_one_architecture_does_not_hang():
    space = BankSpace(blocks=1, ops=1, banks=2, inputs=2, widths=[1], kernels=[3], dilations=[1], groups=[1])
    sampler = Perturb(probability=1e-9)
    sampler.setup(space, [ACCURACY], 0)
    only = space.sample(lambda _, options: options[0])
    assert sampler.perturbed(only, random.Random(0)) == only
