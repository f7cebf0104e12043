"""How trials are told to Optuna's samplers, and what they make of it."""

import random

import optuna
import pytest

from nascore.contracts import SearchSpace, View
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.testing import drive
from nascore_optuna.samplers import GP, NSGAII, QMC, TPE, BruteForce, Random

VALUE = Objective("value", Direction.MINIMIZE)
OTHER = Objective("other", Direction.MAXIMIZE)


class Digits(DecisionSpace):
    """Two digits, and a third one where the first is 0: 3 x 3 + 2 x 3 = 15 architectures."""

    name = "digits"

    def decide(self, choose):
        first, second = choose("first", [0, 1, 2]), choose("second", ["0", "1", "2"])
        return [first, int(second), *([choose("third", [None, True, 2.5])] if first == 0 else [])]

    def build(self, architecture, task):
        raise NotImplementedError


def started(sampler, *objectives):
    sampler.setup(Digits(), objectives or [VALUE], 0)
    return sampler


def ask(sampler, number):
    return sampler.ask(View(number, random.Random(0), TrialHistory([VALUE])))


def test_brute_force_finds_every_architecture_once_and_ends():
    trials = drive(BruteForce, Digits(), [VALUE], trials=100)
    assert len({trial.architecture.key for trial in trials}) == len(trials) == 15


def test_brute_force_that_is_restored_at_the_end_stays_at_the_end():
    trials = drive(BruteForce, Digits(), [VALUE], trials=100, restarts=[7, 15])
    assert len(trials) == 15


def test_options_come_back_as_they_were_given():
    seen = {repr(t.architecture.genome.get("third", "-")) for t in drive(Random, Digits(), [VALUE], trials=60)}
    assert seen == {"'-'", "None", "True", "2.5"}


def test_tpe_learns():
    def distance(number, candidate, objectives):
        genome = candidate.architecture.genome
        return Trial(number, candidate, Status.COMPLETE, {"value": genome["first"] + int(genome["second"])})

    late = drive(TPE, Digits(), [VALUE], trials=60, judge=distance)[30:]
    assert sum(trial.objectives["value"] == 0 for trial in late) > 15  # 1 in 9 at random


def test_what_optuna_is_told():
    sampler = started(TPE())
    outcomes = [
        Trial(0, ask(sampler, 0), Status.COMPLETE, {"value": 0.5}, violations={"params": -3.0}),
        Trial(1, ask(sampler, 1), Status.PRUNED, reports=((1, {"value": 0.9}), (2, {"value": 0.7, "loss": 1.0}))),
        Trial(2, ask(sampler, 2), Status.INFEASIBLE, violations={"params": 12.0}),
        Trial(3, ask(sampler, 3), Status.FAIL),
        Trial(4, ask(sampler, 4), Status.COMPLETE, {"value": float("nan")}),
    ]
    for trial in outcomes:
        sampler.tell(trial)
    told = sampler.study.get_trials()
    assert [trial.state.name for trial in told] == ["COMPLETE", "PRUNED", "PRUNED", "FAIL", "FAIL"]
    assert told[0].value == 0.5
    assert told[1].intermediate_values == {1: 0.9, 2: 0.7}
    assert [told[number].system_attrs["constraints"] for number in (0, 2)] == [[-3.0], [12.0]]
    assert [trial.params for trial in told] == [trial.architecture.genome for trial in outcomes]


@pytest.mark.skipif(not hasattr(optuna.trial.FrozenTrial, "constraints"), reason="Optuna models constraints from 5 on")
def test_tpe_keeps_away_from_what_breaks_a_constraint():
    def the_best_is_too_slow(number, candidate, objectives):
        first = candidate.architecture.genome["first"]
        slow = {"latency_ms": 5.0 if first == 0 else -5.0}
        return Trial(number, candidate, Status.COMPLETE, {"value": first}, violations=slow)

    late = drive(TPE, Digits(), [VALUE], trials=60, judge=the_best_is_too_slow)[30:]
    assert sum(trial.objectives["value"] == 0 for trial in late) < 10  # 4; without the constraint 22 to 24


def test_a_trial_that_was_not_asked_for_is_learned_from():
    first, second = started(NSGAII()), started(NSGAII())
    trial = Trial(0, ask(first, 0), Status.COMPLETE, {"value": 1.0})
    first.tell(trial)
    second.tell(trial)
    (one,), (other,) = first.study.get_trials(), second.study.get_trials()
    assert (one.params, one.distributions, one.values) == (other.params, other.distributions, other.values)
    assert one.system_attrs == other.system_attrs != {}


@pytest.mark.parametrize("make", [lambda: NSGAII(population_size=4), QMC, TPE])
def test_a_used_sampler_can_be_set_back(make):
    trials = drive(make, Digits(), [VALUE], trials=13)
    history = TrialHistory([VALUE])
    for trial in trials[:12]:
        history.add(trial)
    used = started(make())
    for number in range(9):
        used.tell(Trial(number, ask(used, number), Status.COMPLETE, {"value": 1.0}))
    used.load_state_dict({}, history)
    assert ask(used, 12).architecture == trials[12].architecture


def test_objectives_keep_their_directions():
    sampler = started(NSGAII(), VALUE, OTHER)
    assert [direction.name for direction in sampler.study.directions] == ["MINIMIZE", "MAXIMIZE"]


def test_the_study_is_not_announced(capfd):
    started(TPE())
    assert capfd.readouterr().err == ""


def test_spaces_without_decisions_are_refused():
    class Opaque(SearchSpace):
        name = "opaque"

        def sample(self, choose): ...

        def check(self, architecture): ...

        def build(self, architecture, task): ...

    with pytest.raises(CapabilityError, match="'opaque'"):
        TPE().setup(Opaque(), [VALUE], 0)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TPE(n_startup_trials=-1), "n_startup_trials"),
        (lambda: TPE(n_ei_candidates=0), "n_ei_candidates"),
        (lambda: NSGAII(population_size=1), "population_size"),
        (lambda: NSGAII(crossover_prob=2), "crossover_prob"),
        (lambda: GP(n_startup_trials=0), "n_startup_trials"),
        (lambda: QMC(sequence="latin"), "halton, sobol"),
    ],
)
def test_impossible_options_are_named(make, named):
    with pytest.raises(SettingsError, match=named):
        make()


def test_any_optuna_sampler_can_be_adapted():
    from nascore_optuna.adapter import OptunaSampler

    class Partial(OptunaSampler):
        def make(self, seed):
            return optuna.samplers.PartialFixedSampler({"first": 2}, optuna.samplers.RandomSampler(seed=seed))

    trials = drive(Partial, Digits(), [VALUE], trials=20)
    assert {trial.architecture.genome["first"] for trial in trials} == {2}
