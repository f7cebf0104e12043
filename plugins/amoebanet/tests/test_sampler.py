"""Aging evolution: the properties of the paper's algorithm 1."""

import random
from collections import Counter

import pytest

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_amoebanet.sampler import AgingEvolution
from nascore_blocks.spaces import NASNetSpace

ONES = Objective("ones", Direction.MAXIMIZE)
ZEROS = Objective("zeros", Direction.MINIMIZE)


class Bits(DecisionSpace):
    name = "bits"

    def __init__(self, length=30):
        self.length = length

    def decide(self, choose):
        return [choose(f"bit.{index}", [0, 1]) for index in range(self.length)]

    def build(self, architecture, task):
        raise NotImplementedError


def ones(architecture):
    return sum(architecture.genome.values())


def told(number, candidate, status=Status.COMPLETE, **objectives):
    return Trial(number, candidate, status, objectives)


def started(sampler, objectives=(ONES,), space=None):
    sampler.setup(space or Bits(), objectives, 0)
    return sampler


def ask(sampler, number, seed=0):
    return sampler.ask(View(number, random.Random(derive_seed(seed, number)), None))


def evolve(sampler, trials, seed=0, space=None):
    """All trials of a run, until the optimum; each with the population that it met."""
    started(sampler, space=space)
    for number in range(trials):
        candidate = ask(sampler, number, seed)
        trial = told(number, candidate, ones=ones(candidate.architecture))
        sampler.tell(trial)
        yield trial


def filled(size, **options):
    """A sampler whose population has the values 0, 1, 2, ..."""
    sampler = started(AgingEvolution(population_size=size, **options))
    for number in range(size):
        sampler.tell(told(number, Candidate(Architecture("bits", {"bit.0": 0}, str(number))), ones=number))
    return sampler


def test_the_population_is_the_last_complete_trials():
    sampler = AgingEvolution(7, 3)
    for trial in evolve(sampler, 60):
        first = max(0, trial.number - 6)
        assert [member.number for member in sampler.population] == list(range(first, trial.number + 1))


def test_the_best_lives_just_as_long_as_any_other():
    sampler = started(AgingEvolution(5, 5, identity_probability=0.0))
    best_lives = 0
    for number in range(20):
        candidate = ask(sampler, number)
        sampler.tell(told(number, candidate, ones=100 if number == 6 else number))
        best_lives += any(member.number == 6 for member in sampler.population)
    assert best_lives == 5


def test_a_tournament_of_the_whole_population_takes_the_best():
    sampler = filled(9, tournament_size=9, identity_probability=1.0)
    assert {ask(sampler, number).parent for number in range(9, 60)} == {8}


def test_the_best_is_the_least_when_minimising():
    sampler = started(AgingEvolution(4, 4, identity_probability=1.0), [ZEROS])
    for number, zeros in enumerate([3, 1, 2, 4]):
        sampler.tell(told(number, Candidate(Architecture("bits", {}, str(number))), zeros=zeros))
    assert ask(sampler, 4).parent == 1


@pytest.mark.parametrize("replacement", [False, True])
def test_a_tournament_of_one_takes_anyone(replacement):
    sampler = filled(8, tournament_size=1, identity_probability=1.0, replacement=replacement)
    draws = 4000
    counts = Counter(ask(sampler, number).parent for number in range(8, 8 + draws))
    expected = draws / 8
    chi_squared = sum((counts[member] - expected) ** 2 / expected for member in range(8))
    assert chi_squared < 24.3  # the 99.9% point with 7 degrees of freedom


def test_with_replacement_the_best_can_miss_a_tournament_of_the_whole_population():
    sampler = filled(5, tournament_size=5, replacement=True, identity_probability=1.0)
    share = sum(ask(sampler, number).parent == 4 for number in range(5, 2005)) / 2000
    assert share == pytest.approx(1 - 0.8**5, abs=0.04)


@pytest.mark.parametrize("space", [Bits(12), NASNetSpace(blocks=3)])
def test_every_child_differs_from_its_parent_in_exactly_one_decision(space):
    sampler = started(AgingEvolution(10, 3), space=space)
    history = TrialHistory([ONES])
    changed = Counter()
    for number in range(300):
        candidate = ask(sampler, number)
        space.check(candidate.architecture)
        if candidate.parent is not None:
            genes, parents = candidate.architecture.genome, history[candidate.parent].architecture.genome
            assert genes.keys() == parents.keys()
            changed[sum(genes[name] != parents[name] for name in genes)] += 1
        trial = told(number, candidate, ones=random.Random(number).random())
        history.add(trial)
        sampler.tell(trial)
    assert set(changed) == {0, 1}
    assert changed[0] / 290 == pytest.approx(0.05, abs=0.04)  # the identity mutation


def test_the_two_mutations_of_nasnet_cells_are_equally_likely():
    space = NASNetSpace(blocks=5)
    sampler = started(AgingEvolution(1, 1, identity_probability=0.0), space=space)
    first = ask(sampler, 0)
    sampler.tell(told(0, first, ones=0))
    kinds = Counter()
    for number in range(1, 2001):
        genes = ask(sampler, number).architecture.genome
        (name,) = [name for name in genes if genes[name] != first.architecture.genome[name]]
        kinds["op" if "op" in name else "input"] += 1
    assert kinds["op"] / 2000 == pytest.approx(0.5, abs=0.04)


def test_the_answer_is_the_best_ever_though_it_left_the_population():
    sampler, history = AgingEvolution(3, 1, identity_probability=0.0), TrialHistory([ONES])
    for trial in evolve(sampler, 40):
        history.add(trial)
    best = sampler.recommend(history)
    assert best.objectives["ones"] == max(trial.objectives["ones"] for trial in history)
    assert all(member.number != best.number for member in sampler.population)


def test_one_max_is_solved_within_3000_evaluations_and_not_by_random_search():
    for seed in range(5):
        assert any(t.objectives["ones"] == 30 for t in evolve(AgingEvolution(20, 5), 3000, seed))
    assert all(t.objectives["ones"] < 30 for t in evolve(AgingEvolution(3000, 1), 3000))  # never full: random search


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_only_complete_trials_enter(status):
    sampler = started(AgingEvolution(3, 1))
    for number in range(20):
        candidate = ask(sampler, number)
        assert candidate.origin == "random"
        sampler.tell(told(number, candidate, status, ones=30))
    assert sampler.population == []


def test_values_that_cannot_be_ranked_do_not_enter():
    sampler = started(AgingEvolution(3, 1))
    candidate = ask(sampler, 0)
    sampler.tell(told(0, candidate, ones=float("nan")))
    sampler.tell(told(1, candidate))
    sampler.tell(told(2, Candidate(candidate.architecture, {"epochs": 1}), ones=1))
    sampler.tell(Trial(3, candidate, Status.COMPLETE, {"ones": 1}, violations={"latency_ms": 0.5}))
    assert sampler.population == []


def test_age_is_the_order_of_asking_not_of_finishing():
    sampler = started(AgingEvolution(3, 1))
    candidate = ask(sampler, 0)
    for number in [4, 0, 3, 1, 5, 2]:
        sampler.tell(told(number, candidate, ones=number))
    assert [member.number for member in sampler.population] == [3, 4, 5]


def test_with_several_objectives_no_parent_is_dominated():
    sampler = started(AgingEvolution(4, 4, identity_probability=1.0), [ONES, ZEROS])
    values = [(5, 5), (7, 9), (4, 6), (5, 6)]  # the first two dominate, or are not compared to, the others
    for number, (many, few) in enumerate(values):
        sampler.tell(told(number, Candidate(Architecture("bits", {}, str(number))), ones=many, zeros=few))
    parents = Counter(ask(sampler, number).parent for number in range(4, 404))
    assert set(parents) == {0, 1}
    assert parents[0] / 400 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"population_size": 0}, "population_size"),
        ({"tournament_size": 0}, "tournament_size"),
        ({"population_size": 5, "tournament_size": 6}, "tournament_size"),
        ({"identity_probability": 1.5}, "identity_probability"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        AgingEvolution(**options)
