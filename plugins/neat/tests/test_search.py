"""The sampler's generations; and whole searches, killed and not, through the one trial loop."""

import contextlib
import itertools
import random

import numpy as np
import pytest

import nascore
from nascore.contracts import Task, View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.options import make
from nascore.plugins import Plugins, resolve
from nascore.records import Direction, Objective, Status, Trial
from nascore.settings import merge, nest
from nascore.testing import driver
from nascore_neat.lineage import read
from nascore_neat.sampler import NEAT
from nascore_neat.space import NEATSpace

FITNESS = Objective("fitness", Direction.MAXIMIZE)
LOSS = Objective("loss", Direction.MINIMIZE)
METHOD = Plugins().find("methods", "neat")[1]
TABLES = {"space": "search_spaces", "sampler": "samplers", "evaluator": "evaluators", "data": "datasets"}


def ready(objective=FITNESS, **options):
    space = NEATSpace()
    space.name = "neat:neurons"
    space.setup(Task("two", (2,), 1))
    sampler = NEAT(**options)
    sampler.setup(space, [objective], 0)
    return sampler


def ask(sampler, number, seed=0):
    return sampler.ask(View(number, random.Random(1000 * seed + number), TrialHistory([FITNESS])))


def generations(sampler, size, count, value):
    """Trials of some generations; ``value(candidate, place)`` judges."""
    for number in range(size * count):
        candidate = ask(sampler, number)
        trial = Trial(number, candidate, Status.COMPLETE, {sampler.objectives[0].name: value(candidate, number % size)})
        sampler.tell(trial)
        yield trial


def by_first_weight(candidate, place):
    return candidate.architecture.genome["connections"][0][3]


def test_nothing_is_proposed_until_the_generation_is_told():
    sampler = ready(population_size=6)
    trials = [Trial(n, ask(sampler, n), Status.COMPLETE, {"fitness": float(n)}) for n in range(6)]
    assert ask(sampler, 6) is None
    for trial in trials[:0:-1]:
        sampler.tell(trial)
        assert ask(sampler, 6) is None
    sampler.tell(trials[0])
    assert read(ask(sampler, 6).origin).generation == 1


@pytest.mark.parametrize(("objective", "sign"), [(FITNESS, 1), (LOSS, -1)])
def test_the_better_have_the_offspring(objective, sign):
    sampler = ready(objective, population_size=60, mutation_only=1.0, mutate_weights=0.0, add_node=0.0)
    trials = list(generations(sampler, 60, 2, lambda c, p: sign * by_first_weight(c, p) + 5))
    first = sorted(by_first_weight(t.candidate, 0) for t in trials[:60])
    second = {by_first_weight(t.candidate, 0) for t in trials[60:]}
    assert min(second) >= first[-12]  # the best fifth; without mutation each child is its parent
    assert len(second) > 4


def test_the_champion_of_a_large_species_lives_on_unchanged():
    sampler = ready(population_size=40, threshold=50.0, mutate_weights=1.0)
    trials = list(generations(sampler, 40, 8, by_first_weight))
    for old, new in itertools.pairwise(trials[start : start + 40] for start in range(0, 320, 40)):
        best = max(old, key=lambda t: t.objectives["fitness"])
        copies = [t for t in new if "copy of" in t.candidate.origin]
        assert [t.architecture.genome for t in copies] == [best.architecture.genome]
        assert f"copy of {best.number}" in copies[0].candidate.origin


def test_a_species_of_five_has_no_champion():
    sampler = ready(population_size=5, threshold=50.0)
    assert not any("copy of" in t.candidate.origin for t in generations(sampler, 5, 6, by_first_weight))


def test_fitness_is_shared_in_a_species():
    sampler = ready(population_size=100, threshold=0.3, stagnation=100)
    list(generations(sampler, 100, 3, lambda c, p: 1.0))
    ask(sampler, 300)
    population = sampler.population
    counts = np.bincount(population.species)
    assert len(counts) > 5
    # All are as fit, so each species has the same share, however large it is.
    fitness = np.full(100, 1.0)
    leaders = np.ones(len(counts))
    quotas = population._quotas(fitness, leaders, 100)
    assert quotas.sum() == 100
    assert quotas.max() - quotas.min() <= 1


def test_a_stagnant_species_has_no_offspring_and_the_best_two_are_the_last_resort():
    sampler = ready(population_size=100, threshold=0.3, stagnation=4, refocus=1000)
    list(generations(sampler, 100, 1, by_first_weight))
    ask(sampler, 100)
    population = sampler.population
    count = len(population.names)
    fitness, leaders = np.ones(100), np.full(count, 1.0)
    population.best[:] = 1.0
    population.idle[:] = 3
    leaders[2] = 2.0  # only this one got better
    quotas = population._quotas(fitness, leaders, 100)
    assert quotas[2] == quotas.sum() == 100
    population.settings = ready(population_size=100, refocus=5).settings
    population.top, population.counters[3], population.idle[:] = 9.0, 5, 0
    quotas = population._quotas(fitness, np.linspace(0, 1, count), 100)
    assert np.flatnonzero(quotas).tolist() == [count - 2, count - 1]


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_what_did_not_end_well_counts_as_the_worst(status):
    sampler = ready(population_size=20, threshold=50.0, survival=0.5, mutate_weights=0.0, mutation_only=1.0)
    bad = set()
    for number in range(20):
        candidate = ask(sampler, number)
        good = number % 2
        if not good:
            bad.add(by_first_weight(candidate, 0))
        sampler.tell(Trial(number, candidate, Status.COMPLETE if good else status, {"fitness": 1.0 if good else 99.0}))
    children = {by_first_weight(ask(sampler, 20 + place), 0) for place in range(20)}
    assert not children & bad


def test_it_ends_at_its_goal():
    sampler = ready(LOSS, population_size=10, goal=0.1)
    sampler.tell(Trial(0, ask(sampler, 0), Status.COMPLETE, {"loss": 0.11}))
    assert ask(sampler, 1) is not None
    sampler.tell(Trial(1, ask(sampler, 1), Status.COMPLETE, {"loss": 0.1}))
    assert ask(sampler, 2) is None


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="fitness, loss"):
        NEAT().setup(ready().space, [FITNESS, LOSS], 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"population_size": 1}, "population_size"),
        ({"add_node": 1.5}, "add_node"),
        ({"power": -1.0}, "power"),
        ({"threshold": float("nan")}, "threshold"),
        ({"survival": 0.0}, "survival"),
        ({"stagnation": 0}, "stagnation"),
    ],
)
def test_impossible_options_are_named(options, said):
    with pytest.raises(SettingsError, match=said):
        NEAT(**options)


def search(folder, trials, **more):
    options = {"sampler.population_size": 20, "sampler.goal": None}
    return nascore.search("neat", trials=trials, out=folder, tracking="off", seed=5, options=options, **more)


def outcome(result):
    return [(driver.described(trial), trial.seed, trial.reused) for trial in result.history]


def test_a_search_that_stops_and_is_resumed_ends_like_one_that_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr("nascore.loop.CHECKPOINT_SECONDS", 0.0)  # a checkpoint after every trial
    whole = search(tmp_path / "whole", 90)

    class Stop:
        @nascore.hookimpl
        def nascore_trial_finished(self, trial):
            if trial.number == 47:  # in the middle of a generation
                raise KeyboardInterrupt

    broken = tmp_path / "broken"
    with contextlib.suppress(KeyboardInterrupt):
        search(broken, 90, observers=[Stop()])
    assert len(nascore.open_run(broken).history) == 48
    assert outcome(nascore.resume(broken)) == outcome(whole)
    assert any(trial.reused is not None for trial in whole.history)  # copies are not run again


def test_the_network_of_a_search_is_a_module(tmp_path):
    import torch

    result = search(tmp_path / "run", 60)
    network = result.model()
    with torch.no_grad():
        values = network(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]))[:, 0]
    errors = (values - torch.tensor([0.0, 1, 1, 0])).abs()
    assert float(4 - (errors**2).sum()) == pytest.approx(result.best.objectives["fitness"], abs=1e-4)


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_preset_fits_the_parts(preset):
    parts = {table: {"use": getattr(METHOD, table)} for table in TABLES}
    settings = merge([parts, nest(METHOD.presets[preset])])
    for table, hook in TABLES.items():
        options = getattr(settings, table)
        record = Plugins().find(hook, options.pop("use"))[1]
        assert make(resolve(record.factory), options, table) is not None
