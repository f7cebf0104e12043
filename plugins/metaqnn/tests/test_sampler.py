"""The table, the schedule and the agent on synthetic tables: no network is trained."""

import itertools
import random

import pytest

from nascore.contracts import Task, View
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_metaqnn.learning import QTable, Schedule, Step
from nascore_metaqnn.sampler import EPSILONS, MODELS, MetaQNN
from nascore_metaqnn.space import ChainSpace

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)


class Tokens(DecisionSpace):
    """Four layers of four choices: 256 networks. The state knows the last answer alone."""

    name = "tokens"

    def decide(self, choose):
        return [choose(f"layer.{index}", ["a", "b", "c", "d"]) for index in range(4)]

    def build(self, architecture, task):
        raise NotImplementedError


def table(seed):
    """Key -> value in about [0, 1], the sum of one number for each answered decision; best first."""
    space, rng = Tokens(), random.Random(derive_seed(seed, "table"))
    worth = {(layer, option): rng.random() / 4 for layer in range(4) for option in "abcd"}
    found = {}
    for answers in itertools.product("abcd", repeat=4):
        architecture = space.architecture({f"layer.{layer}": option for layer, option in enumerate(answers)})
        found[architecture.key] = sum(worth[pair] for pair in enumerate(answers))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def started(space=None, objective=ACCURACY, seed=0, **options):
    sampler = MetaQNN(**options)
    sampler.setup(space or Tokens(), [objective], seed)
    return sampler


def ask(sampler, number, seed=0, trials=None, **view):
    rng = random.Random(derive_seed(seed, "ask", number))
    return sampler.ask(View(number, rng, TrialHistory([ACCURACY]), trials, **view))


def tell(sampler, number, candidate, value, status=Status.COMPLETE):
    sampler.tell(Trial(number, candidate, status, {sampler.objectives[0].name: value}))


# ------------------------------------------------------------------------------ the update


def test_terminal_updates_by_hand():
    """P1 of METHODS section 3: 0.504 after one, 0.9 - 0.4 0.99^n after n."""
    learned = QTable(0.01, 1.0, 0.5)
    step = [Step("s", ("a", "b"), "a")]
    learned.replay(step, [0.9])
    assert learned.value("s", "a") == pytest.approx(0.504)
    for _ in range(9):
        learned.replay(step, [0.9])
    assert learned.value("s", "a") == pytest.approx(0.538247, abs=1e-6)
    assert learned.value("s", "b") == 0.5


def test_one_pass_carries_the_reward_to_the_first_step():
    """P2: with alpha = 1 every Q is R after one pass; a pass from first to last would set the last alone."""
    learned = QTable(1.0, 1.0, 0.5)
    steps = [Step(f"s{number}", ("a",), "a") for number in range(5)]
    learned.replay(steps, [0, 0, 0, 0, 0.9])
    assert [learned.value(step.state, "a") for step in steps] == [0.9] * 5


def test_the_maximum_is_over_all_options_of_the_next_state():
    learned = QTable(0.5, 0.9, 0.2)
    learned.values = {"t": {"x": 0.1, "y": 0.8}}
    learned.replay([Step("s", ("a",), "a"), Step("t", ("x", "y"), "x")], [0.0, 1.0])
    assert learned.value("t", "x") == pytest.approx(0.5 * 0.1 + 0.5 * 1.0)
    assert learned.value("s", "a") == pytest.approx(0.5 * 0.2 + 0.5 * 0.9 * 0.8)  # y is the better one there


def test_ties_are_broken_at_random():
    learned, rng = QTable(0.1, 1.0, 0.5), random.Random(0)
    learned.values = {"s": {"a": 0.4}}
    drawn = [learned.greedy("s", ("a", "b", "c"), rng) for _ in range(400)]
    assert 0 not in drawn
    assert 150 < drawn.count(1) < 250


def test_shaping_spreads_the_reward():
    sampler = started(shaping=True, learning_rate=1.0, replays=1, initial=0.0)
    candidate = ask(sampler, 0)
    tell(sampler, 0, candidate, 0.8)
    steps = sampler.trajectory(candidate.architecture)
    assert [sampler.table.value(s.state, s.action) for s in steps] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    plain = started(learning_rate=1.0, replays=1, initial=0.0)
    tell(plain, 0, candidate, 0.8)
    assert [plain.table.value(s.state, s.action) for s in steps] == pytest.approx([0.8] * 4)


def test_each_judged_model_is_followed_by_so_many_replays():
    """All of one model at first: n terminal updates of Q = 0.5 with alpha."""
    sampler = started(replays=10)
    candidate = ask(sampler, 0)
    tell(sampler, 0, candidate, 0.9)
    last = sampler.trajectory(candidate.architecture)[-1]
    assert sampler.table.value(last.state, last.action) == pytest.approx(0.538247, abs=1e-6)


# ------------------------------------------------------------------------------ the schedule


def test_the_papers_schedule():
    """P4: 1.0 for 1,500 models, 0.9 to 0.7 for 100 each, 0.6 to 0.1 for 150 each: 2,700."""
    schedule = Schedule(EPSILONS, MODELS, 0)
    found = [schedule.epsilon(number) for number in range(2800)]
    assert [found.count(epsilon) for epsilon in EPSILONS] == [1500, 100, 100, 100, *[150] * 5, 250]
    assert found == sorted(found, reverse=True)
    assert found[1499:1501] == [1.0, 0.9]


def test_a_shrunk_schedule_fills_the_budget():
    for total in (27, 60, 100, 2700):
        schedule = Schedule(EPSILONS, MODELS, total)
        found = [schedule.epsilon(number) for number in range(total)]
        assert schedule.until[-1] == total
        for epsilon, share in zip(EPSILONS, MODELS, strict=True):
            assert abs(found.count(epsilon) - share * total / 2700) <= 1


def test_epsilon_is_counted_in_unique_models():
    sampler = started(epsilons=(1.0, 0.5, 0.0), models=(3, 2, 5))
    origins = []
    for number in range(8):
        candidate = ask(sampler, number)
        origins.append(candidate.origin)
        tell(sampler, number, candidate, 0.5, Status.FAIL if number == 1 else Status.COMPLETE)
    assert origins == ["epsilon 1"] * 3 + ["epsilon 0.5"] * 2 + ["epsilon 0"] * 3


@pytest.mark.parametrize(
    ("total", "trials", "until"), [(0, 54, 54), (0, None, 2700), (0, 9999, 2700), (-1, 54, 2700), (540, 54, 540)]
)
def test_the_schedule_shrinks_to_the_budget(total, trials, until):
    assert started(total=total).schedule(trials).until[-1] == until


# ------------------------------------------------------------------------------ the agent


def test_no_model_is_judged_twice_and_an_exhausted_space_ends_the_search():
    sampler, keys = started(epsilons=(0.0,), models=(1,), redraws=3000), []
    for number in range(257):
        candidate = ask(sampler, number)
        if candidate is None:
            break
        keys.append(candidate.architecture.key)
        tell(sampler, number, candidate, 0.5)
    assert len(keys) == len(set(keys)) == number == 256


def test_prefixes_as_states_find_the_optimum():
    """P5: alpha = 0.1, 20,000 replays over all 256 networks; greedy is the optimum in 10 of 10 seeds."""
    for seed in range(10):
        values, space = table(seed), Tokens()
        sampler = started(space, seed=seed, learning_rate=0.1, state="prefix")
        models = [
            space.architecture({f"layer.{i}": option for i, option in enumerate(answers)})
            for answers in itertools.product("abcd", repeat=4)
        ]
        steps = [(sampler.trajectory(model), values[model.key]) for model in models]
        rng = random.Random(seed)
        for trajectory, value in rng.choices(steps, k=20_000):
            sampler.table.replay(trajectory, [0, 0, 0, value])
        assert sampler.rollout(rng, 0.0).key == next(iter(values))


def test_the_last_answer_as_state_finds_what_is_good():
    """P5: with the state of the method and alpha = 0.1, in the best tenth for 7 of 10 seeds or more (180 models)."""
    good = 0
    for seed in range(10):
        values = table(seed)
        sampler = started(seed=seed, learning_rate=0.1)
        for number in range(180):
            candidate = ask(sampler, number, seed, trials=180)
            tell(sampler, number, candidate, values[candidate.architecture.key])
        rank = list(values).index(sampler.rollout(random.Random(seed), 0.0).key)
        good += rank < 26
    assert good >= 7


def test_less_is_better_when_minimising():
    up, down = started(initial=0.0), started(objective=Objective("loss", Direction.MINIMIZE), initial=0.0)
    for number in range(20):
        candidate = ask(up, number)
        assert candidate == ask(down, number)
        tell(up, number, candidate, -number / 20)
        tell(down, number, candidate, number / 20)
    assert up.table.values == down.table.values != {}


def test_the_table_of_chains_has_the_papers_states():
    space = ChainSpace(depth=4)
    space.setup(Task("cifar", (3, 32, 32), 10))
    sampler = started(space)
    answers = iter(["conv_64_3", "pool_3_2", "conv_128_5", "gap"])
    architecture = space.sample(lambda name, options: next(answers))
    states = [step.state for step in sampler.trajectory(architecture)]
    assert states == [
        "start 0 0 0 0 8 0 False",
        "conv 1 64 3 1 8 0 False",
        "pool 2 0 3 2 8 0 False",
        "conv 3 128 5 1 8 0 False",
    ]


@pytest.mark.parametrize("status", [Status.FAIL, Status.PRUNED, Status.INFEASIBLE])
def test_trials_without_a_value_teach_nothing(status):
    sampler = started()
    for number in range(5):
        tell(sampler, number, ask(sampler, number), 0.9, status)
    tell(sampler, 5, ask(sampler, 5), float("nan"))
    assert sampler.table.values == {}
    assert len(sampler.proposed) == 6


def test_draws_are_within_the_constraints():
    sampler = started()
    for number in range(20):
        candidate = ask(sampler, number, excess=lambda a: float(a.genome["layer.0"] != "b"))
        assert candidate.architecture.genome["layer.0"] == "b"


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        MetaQNN().setup(Tokens(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"discount": 1.1}, "discount"),
        ({"initial": float("nan")}, "initial"),
        ({"replays": 0}, "replays"),
        ({"redraws": -1}, "redraws"),
        ({"total": -2}, "total"),
        ({"epsilons": [0.5]}, "epsilons has 1"),
        ({"epsilons": [2.0], "models": [1]}, "epsilons is"),
        ({"epsilons": [0.5], "models": [0]}, "models is"),
        ({"state": "whole"}, "state"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        MetaQNN(**options)
