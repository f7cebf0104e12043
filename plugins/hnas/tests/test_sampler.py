"""Tournament evolution without removal: the properties of the paper's algorithm."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_blocks.hierarchical import HierarchicalSpace
from nascore_hnas.sampler import TournamentEvolution

VALUE = Objective("value", Direction.MAXIMIZE)
LOSS = Objective("loss", Direction.MINIMIZE)


class Tokens(DecisionSpace):
    name = "tokens"

    def decide(self, choose):
        return [choose(f"token.{index}", [0, 1, 2, 3]) for index in range(6)]

    def build(self, architecture, task):
        raise NotImplementedError


def motifs(**options):
    space = HierarchicalSpace(**options)
    space.name = "blocks:hierarchical"
    return space


def additive(space, seed):
    """Each decision's value adds a number of its own; of a hierarchy, all motifs count, used or not."""
    table = {}

    def value(architecture):
        for decision in space.decisions(architecture):
            if decision.name not in table:
                rng = random.Random(f"{seed} {decision.name}")
                table[decision.name] = {option: rng.random() for option in decision.options}
        return sum(table[name][option] for name, option in architecture.genome.items())

    return value


def told(number, candidate, status=Status.COMPLETE, **objectives):
    return Trial(number, candidate, status, objectives)


def started(sampler, space=None, objectives=(VALUE,)):
    sampler.setup(space or Tokens(), objectives, 0)
    return sampler


def ask(sampler, number, seed=0, **view):
    return sampler.ask(View(number, random.Random(derive_seed(seed, number)), None, **view))


def search(sampler, space, value, trials, seed):
    """The trials of a run."""
    started(sampler, space)
    for number in range(trials):
        candidate = ask(sampler, number, seed)
        trial = told(number, candidate, value=value(candidate.architecture))
        sampler.tell(trial)
        yield trial


def filled(count, values=None, **options):
    """A sampler whose population has the given values; by default 0, 1, 2, ..."""
    sampler = started(TournamentEvolution(**{"population_size": 1, **options}))
    for number, value in enumerate(range(count) if values is None else values):
        genome = dict.fromkeys([f"token.{index}" for index in range(6)], 0)
        sampler.tell(told(number, Candidate(Tokens().architecture(genome)), value=value))
    return sampler


def test_nobody_leaves_and_the_best_never_gets_worse():
    sampler = TournamentEvolution(10)
    best = []
    for trial in search(sampler, Tokens(), additive(Tokens(), 0), 60, 0):
        assert [member.number for member in sampler.population] == list(range(trial.number + 1))
        best.append(max(member.values[0] for member in sampler.population))
    assert best == sorted(best)


def test_the_first_population_comes_first_and_then_only_children():
    trials = list(search(TournamentEvolution(10), Tokens(), additive(Tokens(), 0), 40, 0))
    assert [trial.candidate.parent is None for trial in trials] == [True] * 10 + [False] * 30
    assert {trial.candidate.origin for trial in trials[:10]} == {"first population"}


@pytest.mark.parametrize(("members", "size"), [(1, 1), (2, 2), (30, 2), (100, 5), (200, 10), (330, 16)])
def test_a_tournament_is_a_share_of_the_population_as_it_is_now(members, size):
    """Not of the first population: public re-implementations leave the children out."""
    sampler = filled(members)
    assert sampler.tournament_size == size
    assert filled(members, tournament_share=1.0).tournament_size == members


def test_children_compete_too():
    sampler = filled(40, population_size=4, tournament_share=1.0)
    assert ask(sampler, 40).parent == 39


def test_the_better_of_two_wins_by_the_law_of_tournaments():
    """Of 20 members 2 are drawn; the best is the parent when it is drawn (1/10), the worst never."""
    sampler = filled(20)
    draws = 3000
    parents = Counter(ask(sampler, number).parent for number in range(20, 20 + draws))
    assert 0 not in parents
    for rank in (1, 10, 19):  # the winner is number r with chance r / C(20, 2)
        assert parents[rank] / draws == pytest.approx(rank / 190, abs=0.02)


def test_the_least_wins_when_minimising():
    sampler = started(TournamentEvolution(1, 1.0), objectives=[LOSS])
    for number, loss in enumerate([3, 1, 2, 4]):
        sampler.tell(told(number, Candidate(Architecture("tokens", {"token.0": 0}, "")), loss=loss))
    assert sampler._winner(random.Random(0)).number == 1


def test_ties_are_broken_at_random():
    sampler = filled(0, values=[5, 5, 1, 5], tournament_share=1.0)
    parents = Counter(ask(sampler, number).parent for number in range(4, 604))
    assert set(parents) == {0, 1, 3}
    assert min(parents.values()) > 150


def test_with_several_objectives_no_parent_is_dominated():
    sampler = started(TournamentEvolution(1, 1.0), objectives=[VALUE, LOSS])
    for number, (value, loss) in enumerate([(5, 5), (7, 9), (4, 6), (5, 6)]):
        candidate = Candidate(Architecture("tokens", {"token.0": 0}, ""))
        sampler.tell(told(number, candidate, value=value, loss=loss))
    assert {sampler._winner(random.Random(seed)).number for seed in range(60)} == {0, 1}


def test_a_child_differs_from_its_parent_in_exactly_one_decision():
    space, sampler = motifs(), TournamentEvolution(5, mutations=30)
    trials = list(search(sampler, space, additive(space, 0), 60, 0))
    for trial in trials[5:]:
        genes = trial.architecture.genome
        parent = trials[trial.candidate.parent].architecture.genome
        assert sum(genes[name] != parent[name] for name in genes) == 1


def test_the_first_population_is_mutations_of_the_trivial_architecture():
    space = motifs()
    for mutations, differing in ((0, {0}), (1, {1})):
        sampler = started(TournamentEvolution(mutations=mutations), space)
        trivial = space.trivial().genome
        genomes = [ask(sampler, number).architecture.genome for number in range(20)]
        assert {sum(genes[n] != trivial[n] for n in genes) for genes in genomes} == differing
    many = started(TournamentEvolution(mutations=300), space)
    assert len({ask(many, number).architecture.key for number in range(20)}) > 15


def test_the_random_variant_never_breeds():
    trials = list(search(TournamentEvolution(3, variant="random"), Tokens(), additive(Tokens(), 0), 40, 0))
    assert all(trial.candidate.parent is None for trial in trials)


def best_of(sampler, space, seed):
    return max(trial.objectives["value"] for trial in search(sampler, space, additive(space, seed), 80, seed))


@pytest.mark.parametrize("make_space", [Tokens, motifs])
def test_it_beats_random_search_at_equal_budget(make_space):
    space, settings = make_space(), {"population_size": 15, "tournament_share": 0.1, "mutations": 60}
    gains = []
    for seed in range(10):
        evolved = best_of(TournamentEvolution(**settings), space, seed)
        gains.append(evolved - best_of(TournamentEvolution(**settings, variant="random"), space, seed))
    error = statistics.stdev(gains) / len(gains) ** 0.5
    assert statistics.mean(gains) > 2.26 * error  # the 95% point of Student's t with 9 degrees of freedom
    assert sum(gain >= 0 for gain in gains) >= 8


def test_constraints_are_kept():
    space = Tokens()

    def excess(architecture):
        return max(0.0, sum(architecture.genome.values()) - 9.0)

    sampler = started(TournamentEvolution(10), space)
    for number in range(60):
        candidate = ask(sampler, number, excess=excess)
        assert excess(candidate.architecture) == 0
        sampler.tell(told(number, candidate, value=sum(candidate.architecture.genome.values())))


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_only_complete_trials_enter(status):
    sampler = started(TournamentEvolution(3))
    for number in range(10):
        sampler.tell(told(number, ask(sampler, number), status, value=30))
    assert sampler.population == []


def test_values_that_cannot_be_ranked_do_not_enter():
    sampler = started(TournamentEvolution(3))
    candidate = ask(sampler, 0)
    sampler.tell(told(0, candidate, value=float("nan")))
    sampler.tell(told(1, candidate))
    sampler.tell(told(2, Candidate(candidate.architecture, {"epochs": 1}), value=1))
    sampler.tell(Trial(3, candidate, Status.COMPLETE, {"value": 1}, violations={"latency_ms": 0.5}))
    assert sampler.population == []


def test_its_state_is_the_history_alone():
    sampler, history = TournamentEvolution(5), TrialHistory([VALUE])
    for trial in search(sampler, Tokens(), additive(Tokens(), 3), 30, 0):
        history.add(trial)
    assert sampler.state_dict() == {}
    again = started(TournamentEvolution(5))
    again.load_state_dict({}, history)
    assert again.population == sampler.population
    assert ask(again, 30) == ask(sampler, 30)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"population_size": 0}, "population_size"),
        ({"tournament_share": 0.0}, "tournament_share"),
        ({"tournament_share": 1.1}, "tournament_share"),
        ({"mutations": -1}, "mutations"),
        ({"variant": "greedy"}, "evolution, random"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        TournamentEvolution(**options)
