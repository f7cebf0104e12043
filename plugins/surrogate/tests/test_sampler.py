"""The surrogate: its process against numbers by hand, the kit, and that it beats random search on a table."""

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest

from nascore.contracts import Task, View
from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.pareto import hypervolume
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore.testing import SamplerConformance, ToySpace
from nascore_surrogate.encoding import Encoding
from nascore_surrogate.process import START, Process, distances, fit, kernel, normal_scores
from nascore_surrogate.sampler import Surrogate
from nascore_surrogate.volume import directions, expected_gain, front_of, reach

OBJECTIVES = (Objective("accuracy", Direction.MAXIMIZE),)


class TestConformance(SamplerConformance):
    def make(self):
        return Surrogate(start=4, candidates=12)


class Tokens(DecisionSpace):
    """Six tokens of four; the value is a sum of one number a token."""

    def decide(self, choose):
        return [choose(f"t{i}", "abcd") for i in range(6)]

    def build(self, architecture, task):
        raise NotImplementedError


def additive(architecture, seed):
    rng = random.Random(seed)
    table = {(f"t{i}", letter): rng.random() for i in range(6) for letter in "abcd"}
    return sum(table[item] for item in architecture.genome.items())


def measured(architecture, seed):
    """Accuracy, and a cost that has nothing to do with it."""
    return {"accuracy": additive(architecture, seed), "cost": additive(architecture, seed + 1000)}


def run(sampler, seed, trials, excess=lambda architecture: 0.0, failing=(), objectives=OBJECTIVES):
    space = Tokens()
    space.setup(Task("none", (1,), 2))
    sampler.setup(space, objectives, seed)
    history = TrialHistory(objectives)
    for number in range(trials):
        candidate = sampler.ask(View(number, random.Random(seed * 1000 + number), history, trials, excess))
        fails = number in failing
        values = {} if fails else measured(candidate.architecture, seed)
        trial = Trial(number, candidate, Status.FAIL if fails else Status.COMPLETE, values)
        history.add(trial)
        sampler.tell(trial)
    return history


def best_of_draws(seed, count):
    rng, space = random.Random(seed), Tokens()
    return max(additive(space.sample(lambda _, options: rng.choice(options)), seed) for _ in range(count))


def test_it_beats_random_search_on_an_additive_table():
    differences = []
    for seed in range(10):
        found = run(Surrogate(start=8, candidates=60), seed, 40).best.objectives["accuracy"]
        differences.append(found - best_of_draws(seed, 40))
    assert statistics.fmean(differences) > 0.1
    assert sum(difference > 0 for difference in differences) >= 8


BOTH = (*OBJECTIVES, Objective("cost", Direction.MINIMIZE))
WAYS = [objective.direction for objective in BOTH]


def volume(points):
    return hypervolume(((p["accuracy"], p["cost"]) for p in points), (0.0, 6.0), WAYS)


def test_two_objectives_beat_random_search():
    differences = []
    for seed in range(8):
        history = run(Surrogate(start=8, candidates=60), seed, 40, objectives=BOTH)
        rng, space = random.Random(seed), Tokens()
        draws = [measured(space.sample(lambda _, options: rng.choice(options)), seed) for _ in range(40)]  # noqa: B023 - called at once
        differences.append(volume(t.objectives for t in history) / volume(draws) - 1)
    assert statistics.fmean(differences) > 0.08
    assert min(differences) > 0


def test_a_saved_state_goes_on_as_before_with_two_objectives():
    first = Surrogate(start=5, candidates=30, refit=2)
    history = run(first, 1, 14, objectives=BOTH)
    second = Surrogate(start=5, candidates=30, refit=2)
    second.setup(first.space, BOTH, 1)
    second.load_state_dict(first.state_dict(), history)
    for number in (14, 15):
        asked = [s.ask(View(number, random.Random(number), history)) for s in (first, second)]
        assert asked[0] == asked[1]


def test_two_objectives_with_failures_and_constraints():
    def excess(architecture):
        return float(architecture.genome["t0"] != "a")

    history = run(Surrogate(start=5, candidates=40), 0, 20, excess, failing={1, 8}, objectives=BOTH)
    assert {trial.architecture.genome["t0"] for trial in history} == {"a"}


@pytest.mark.parametrize("m", [1, 2, 3])
def test_reach_over_directions_is_the_hypervolume(m):
    rng = np.random.default_rng(m)
    points = rng.random((6, m))
    exact = hypervolume(points.tolist(), [0.0] * m, [Direction.MAXIMIZE] * m)
    factor = {1: 1.0, 2: np.pi / 4, 3: np.pi / 6}[m]  # volume of the unit ball's positive part
    along = directions(m, 200_000, rng)
    np.testing.assert_allclose(np.linalg.norm(along, axis=1), 1.0)
    assert factor * reach(points, along).max(0).mean() == pytest.approx(exact, rel=0.01)


def test_the_expected_gain_ranks_as_the_true_gain_when_all_is_sure():
    known = np.array([[0.2, 0.9], [0.6, 0.5], [0.9, 0.1]])
    new = np.array([[0.5, 0.5], [0.9, 0.9], [0.7, 0.6], [0.95, 0.05]])
    found = expected_gain(new, np.zeros_like(new), known, np.zeros(2), np.random.default_rng(0))
    ways = [Direction.MAXIMIZE] * 2
    true = [
        hypervolume([*known.tolist(), one], (0, 0), ways) - hypervolume(known, (0, 0), ways) for one in new.tolist()
    ]
    assert found[0] == 0.0
    assert list(np.argsort(found)) == list(np.argsort(true))
    np.testing.assert_allclose(np.pi / 4 * found[1:3], true[1:3], rtol=0.25)  # 64 directions
    unsure = expected_gain(new, np.full_like(new, 0.2), known, np.zeros(2), np.random.default_rng(0))
    assert unsure[0] > 0


def test_front_of():
    values = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.4]])
    assert front_of(values) == [0, 1, 3, 4]


def test_no_architecture_is_proposed_twice_until_the_space_is_used_up():
    class Small(Tokens):
        def decide(self, choose):
            return [choose("t0", "abcd"), choose("t1", "ab")]

    space = Small()
    sampler = Surrogate(start=2, candidates=20)
    sampler.setup(space, OBJECTIVES, 0)
    history, keys = TrialHistory(OBJECTIVES), []
    for number in range(10):
        candidate = sampler.ask(View(number, random.Random(number), history))
        keys.append(candidate.architecture.key)
        trial = Trial(number, candidate, Status.COMPLETE, {"accuracy": float(number)})
        history.add(trial)
        sampler.tell(trial)
    assert len(set(keys[:8])) == 8


def test_constraints_hold_for_draws_and_for_predictions():
    def excess(architecture):
        return float(architecture.genome["t0"] != "a")

    history = run(Surrogate(start=5, candidates=40), 0, 20, excess)
    assert {trial.architecture.genome["t0"] for trial in history} == {"a"}


def test_failures_count_as_worst():
    history = run(Surrogate(start=5, candidates=40), 0, 30, failing={2, 7})
    assert len(history) == 30
    sampler = Surrogate(start=2)
    sampler.setup(Tokens(), OBJECTIVES, 0)
    for number, status in enumerate((Status.COMPLETE, Status.FAIL, Status.INFEASIBLE)):
        architecture = sampler.space.architecture({f"t{i}": "abc"[number] for i in range(6)})
        sampler.tell(Trial(number, Candidate(architecture), status, {"accuracy": 0.1} if number == 0 else {}))
    assert [values for _, values in sampler._told] == [(0.1,), (-np.inf,)]


@pytest.mark.parametrize("options", [{"start": 1}, {"candidates": 1}, {"parents": 0}, {"refit": 0}])
def test_bad_options(options):
    with pytest.raises(SettingsError, match=min(options)):
        Surrogate(**options)


# ---------------------------------------------------------------------------- the process


def encoded(*words):
    space = ToyWords()
    encoding = Encoding(space)
    return encoding.encode([space.architecture({"t0": a, "t1": b}) for a, b in words])


class ToyWords(Tokens):
    def decide(self, choose):
        return [choose("t0", "abcd"), choose("t1", "abcd")]


def test_the_kernel_by_hand():
    points = encoded("ab", "ac", "ba")
    parameters = np.log([2.0, 3.0, 0.5, 1.0, 0.01])
    found = kernel(distances(points, points), parameters)
    assert found[0, 0] == pytest.approx(1.5)
    # ab, ac: one decision of two differs; counts (1/2, 1/2, 0) and (1/2, 0, 1/2)
    assert found[0, 1] == pytest.approx(np.exp(-1.0) + 0.5 * np.exp(-1.5))
    # ab, ba: both differ, the counts are equal
    assert found[0, 2] == pytest.approx(np.exp(-2.0) + 0.5)
    assert np.linalg.eigvalsh(found).min() > 0


def test_the_posterior_by_hand():
    known, new = encoded("ab", "ac", "ba", "ca"), encoded("ab", "ac", "ba", "ca", "dd")
    values = np.array([1.0, -1.0, 0.5, 0.0])
    parameters = np.log([2.0, 3.0, 0.5, 1.5, 0.1])
    choices, counts = new
    width, depth = known[0].shape[1], known[1].shape[1]
    first = (choices[:4, :width], counts[:4, :depth])
    apart = distances(new, (choices[:4], counts[:4]))
    process = Process(tuple(table[:4] for table in apart), values, parameters)
    mean, deviation = process.predict(apart)
    covariance = 1.5 * kernel(distances(first, first), parameters)
    solved = np.linalg.inv(covariance + (0.1 + 1e-8) * np.eye(4))
    np.testing.assert_allclose(mean[:4], covariance @ solved @ values, rtol=1e-9)
    np.testing.assert_allclose(deviation[:4] ** 2, np.diag(covariance - covariance @ solved @ covariance), rtol=1e-7)
    assert deviation[4] > deviation[:4].max()
    # the improvement is the integral of the positive part
    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    integral = np.trapezoid(np.maximum(mean[1] + deviation[1] * grid - 1.0, 0) * density, grid)
    assert process.expected_improvement(apart)[1] == pytest.approx(integral, rel=1e-5)


def test_fitting_lowers_the_surprise():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), 2)) for _ in range(16)]
    points = encoded(*words)
    apart = distances(points, points)
    values = normal_scores(np.array([float(word.count("a")) for word in words]))
    found = fit(apart, values, np.array(START), iterations=20)
    assert Process(apart, values, found).surprise() < Process(apart, values, np.array(START)).surprise()


def test_normal_scores():
    found = normal_scores(np.array([10.0, 93.0, 92.0, 92.0]))
    assert found[2] == found[3]
    assert found[1] == pytest.approx(-found[0])
    assert found[1] == pytest.approx(1.1503, abs=1e-4)  # the quantile of 7/8


def test_conditional_decisions_have_columns_of_their_own():
    space = ToySpace()
    space.setup(Task("toy", (1, 4, 4), 2))
    rng = random.Random(0)
    architectures = [space.sample(lambda _, options: rng.choice(options)) for _ in range(20)]
    choices, counts = Encoding(space).encode(architectures)
    for row, architecture in zip(choices, architectures, strict=True):
        assert row.sum() == len(space.decisions(architecture))
    np.testing.assert_allclose(counts.sum(1), 1.0)
