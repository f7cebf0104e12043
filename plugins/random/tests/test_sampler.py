"""Random search: METHODS, section 19."""

import random
import statistics
from collections import Counter

import pytest

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore.testing import drive
from nascore_random.sampler import RandomSearch

VALUE = Objective("value", Direction.MAXIMIZE)


class Grid(DecisionSpace):
    """3 x 3 x 3 points, all equally likely."""

    name = "grid"

    def decide(self, choose):
        return [choose(f"x.{index}", ["a", "b", "c"]) for index in range(3)]

    def build(self, architecture, task):
        raise NotImplementedError


def keys(trials):
    return [trial.architecture.key for trial in trials]


def test_the_sequence_does_not_depend_on_the_number_of_workers():
    runs = [drive(RandomSearch, Grid(), [VALUE], trials=24, parallel=workers) for workers in (1, 3, 8)]
    ordered = [keys(sorted(run, key=lambda trial: trial.number)) for run in runs]
    assert ordered[0] == ordered[1] == ordered[2]


def test_every_option_is_equally_likely():
    trials = drive(RandomSearch, Grid(), [VALUE], trials=3000)
    for name in ("x.0", "x.1", "x.2"):
        counts = Counter(trial.architecture.genome[name] for trial in trials)
        assert sum((counts[option] - 1000) ** 2 / 1000 for option in "abc") < 13.8  # 99.9%, 2 degrees of freedom


def test_the_best_of_n_uniform_values_is_n_over_n_plus_one_on_average():
    def uniform(number, candidate, objectives):
        return Trial(number, candidate, Status.COMPLETE, {"value": random.Random(derive_seed(7, number)).random()})

    best = []
    for run in range(400):
        trials = drive(
            RandomSearch, Grid(), [VALUE], trials=9, judge=lambda n, c, o, run=run: uniform(n + 9 * run, c, o)
        )
        best.append(max(trial.objectives["value"] for trial in trials))
    assert statistics.mean(best) == pytest.approx(0.9, abs=0.02)


def test_without_duplicates_every_point_comes_once_and_then_the_search_ends():
    trials = drive(lambda: RandomSearch(deduplicate=True), Grid(), [VALUE], trials=100)
    assert len(trials) == 27
    assert len(set(keys(trials))) == 27


def test_without_duplicates_running_ones_count_as_well():
    trials = drive(lambda: RandomSearch(deduplicate=True), Grid(), [VALUE], trials=100, parallel=5)
    assert len(set(keys(trials))) == len(trials) == 27


def test_what_was_under_way_at_a_checkpoint_is_not_proposed_twice():
    first, second = RandomSearch(deduplicate=True), RandomSearch(deduplicate=True)
    first.setup(Grid(), [VALUE], 0)
    asked = first.ask(View(0, random.Random(0), []))
    second.setup(Grid(), [VALUE], 0)
    second.load_state_dict(first.state_dict(), [])
    again = second.ask(View(1, random.Random(0), []))
    assert asked.architecture.key != again.architecture.key
    assert second.ask(View(0, random.Random(0), [])).architecture.key == asked.architecture.key


def test_duplicates_come_by_default():
    trials = drive(RandomSearch, Grid(), [VALUE], trials=100)
    assert len(trials) == 100


def test_tries_must_be_positive():
    with pytest.raises(SettingsError, match="tries is 0"):
        RandomSearch(tries=0)
