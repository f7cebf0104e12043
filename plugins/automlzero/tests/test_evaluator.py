"""Tasks, the evaluator with its cache, evolution over it, and a search that is resumed."""

import copy
import random
from itertools import combinations

import numpy as np
import pytest

from nascore.contracts import Splits, Task, View
from nascore.errors import CapabilityError, DataError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Candidate, Constraint, Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_automlzero.evaluator import ProgramSize, ProgramTasks
from nascore_automlzero.mutation import random_instruction
from nascore_automlzero.sampler import ProgramEvolution
from nascore_automlzero.space import ProgramSpace
from nascore_automlzero.tasks import BINARY, ClassPairs, Regression, Tasks, check_tasks

REGRESSOR = {
    "setup": [["s_constant", 2, 0.1]],
    "predict": [["s_dot", 1, 0, 1]],
    "learn": [["s_subtract", 3, 0, 1], ["s_multiply", 3, 3, 2], ["v_scale", 2, 3, 0], ["v_add", 1, 1, 2]],
}
FITNESS = Objective("fitness", Direction.MAXIMIZE)


def judged(data, ops="linear", **options):
    data = data.load(0).for_search()
    space = ProgramSpace(ops=ops)
    space.name = "automlzero:programs"
    space.setup(data.task)
    evaluator = ProgramTasks(**options)
    evaluator.setup(space, data)
    return space, evaluator, lambda genome: evaluator.evaluate(Candidate(space.architecture(genome)), None)


def evolve(space, judge, sampler, trials, seed=0):
    sampler.setup(space, [FITNESS], seed)
    history = TrialHistory([FITNESS])
    for number in range(trials):
        candidate = sampler.ask(View(number, random.Random(derive_seed(seed, number)), history, trials))
        if candidate is None:
            break
        trial = Trial(number, candidate, Status.COMPLETE, judge(candidate.architecture.genome).objectives)
        history.add(trial)
        sampler.tell(trial)
    return history


@pytest.mark.parametrize("rule", ["linear", "affine", "nonlinear"])
def test_regression_tasks_follow_their_rule(rule):
    splits = Regression(rule, tasks=3, features=4).load(0)
    for part in (splits.train, splits.valid, splits.test):
        x, y = np.concatenate([part.x[0], part.x_valid[0]]), np.concatenate([part.y[0], part.y_valid[0]])
        design = np.column_stack([x, np.ones(len(x))])
        solution, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
        assert (residual < 1e-20) == (rule != "nonlinear")
        assert (abs(solution[-1]) > 1e-6) == (rule != "linear")
    assert not np.array_equal(splits.train.x, splits.test.x)


def test_pairs_of_digits_keep_their_pairs_apart_and_can_be_told_apart():
    splits = ClassPairs(tasks=15).load(0)
    dealt = ClassPairs(tasks=15).pairs(0).reshape(-1, 2).tolist()
    assert sorted(dealt) == sorted(list(pair) for pair in combinations(range(10), 2))
    for part in (splits.train, splits.valid, splits.test):
        check_tasks(part, splits.task)
        np.testing.assert_allclose(part.x.mean(axis=1), 0, atol=0.2)
        correct = []
        for t in range(15):
            weights, *_ = np.linalg.lstsq(part.x[t], 2 * part.y[t] - 1, rcond=None)
            correct.append(((part.x_valid[t] @ weights > 0) == part.y_valid[t]).mean())
        assert np.mean(correct) > 0.9
    assert ClassPairs().load(0).task == ClassPairs().load(0).task != ClassPairs().load(1).task


def test_each_projection_of_a_pair_is_a_task():
    once, twice = ClassPairs(tasks=3).load(0), ClassPairs(tasks=3, projections=2).load(0)
    for split in ("train", "valid", "test"):
        few, many = getattr(once, split), getattr(twice, split)
        assert (len(few.x), len(many.x)) == (3, 6)
        assert len(np.unique(many.x[:, 0, 0])) == 6


def test_several_tasks_are_averaged_and_held_out_ones_are_a_metric():
    _, evaluator, judge = judged(Regression())
    measured = judge(REGRESSOR)
    each = evaluator.fitness(evaluator._lower(evaluator.space.architecture(REGRESSOR)), evaluator._train)
    assert each.shape == (10,)
    assert measured.objectives["fitness"] == each.mean() > 0.99
    assert measured.metrics["valid_fitness"] != measured.objectives["fitness"]


def test_p3_equal_behaviour_hits_the_cache_and_different_does_not():
    _, evaluator, judge = judged(Regression(tasks=2), ops="all", cache_size=2)
    value = judge(REGRESSOR).objectives["fitness"]
    other = copy.deepcopy(REGRESSOR)
    other["learn"][0] = ["s_subtract", 3, 1, 0]  # prediction - label, and a negative rate: other text, same numbers
    other["setup"][0] = ["s_constant", 2, -0.1]
    assert judge(other).objectives["fitness"] == value
    assert evaluator.hits == 1
    other["setup"][0] = ["s_constant", 2, -0.2]
    assert judge(other).objectives["fitness"] != value
    assert evaluator.hits == 1
    judge({"setup": [], "predict": [], "learn": []})  # the oldest of three leaves
    judge(REGRESSOR)
    assert evaluator.hits == 1


@pytest.mark.parametrize("seed", range(3))
def test_p5_one_damaged_instruction_is_repaired(seed):
    space, _, judge = judged(Regression(tasks=1))
    rng = random.Random(seed)
    damaged = REGRESSOR
    while judge(damaged).objectives["fitness"] > 0.9:
        damaged = copy.deepcopy(REGRESSOR)
        damaged["learn"][rng.randrange(4)] = random_instruction(space.limits, rng)
    for _ in range(4000):
        child = copy.deepcopy(damaged)
        child["learn"][rng.randrange(4)] = random_instruction(space.limits, rng)
        if judge(child).objectives["fitness"] > 0.9:
            return
    pytest.fail("no repair in 4,000 tries")


def test_evolution_finds_a_classifier_where_chance_does_not():
    """Neither without selection (a tournament of one) nor without heredity (random search)."""
    space, _, judge = judged(ClassPairs(tasks=3))
    samplers = (ProgramEvolution(), ProgramEvolution(tournament_size=1), ProgramEvolution(population_size=3000))
    found = [evolve(space, judge, sampler, 3000, seed=1).best.objectives["fitness"] for sampler in samplers]
    assert found[0] > 0.9
    assert max(found[1:]) < 0.8


def test_evolution_ends_at_its_goal_and_starts_empty_where_it_should():
    space, _, judge = judged(ClassPairs(tasks=1))
    history = evolve(space, judge, ProgramEvolution(population_size=5, start="empty", goal=0.1), 50)
    assert len(history) == 1
    assert history.best.architecture == space.trivial()
    history = evolve(space, judge, ProgramEvolution(population_size=5, tournament_size=2, start="empty"), 12)
    assert all((trial.architecture == space.trivial()) == (trial.number < 5) for trial in history if trial.number < 6)


@pytest.mark.parametrize(("direction", "parent"), [(Direction.MINIMIZE, 2), (Direction.MAXIMIZE, 1)])
def test_the_oldest_dies_and_the_tournament_wants_the_better(direction, parent):
    sampler = ProgramEvolution(population_size=3, tournament_size=50, mutate_probability=1e-9)
    space = ProgramSpace()
    sampler.setup(space, [Objective("value", direction)], 0)
    for number, value in enumerate([0.0, 3.0, 1.0, 2.0]):
        sampler.tell(Trial(number, Candidate(space.trivial()), Status.COMPLETE, {"value": value}))
    assert [one.number for one in sampler.population] == [1, 2, 3]
    assert sampler.ask(View(4, random.Random(0), TrialHistory([]))).parent == parent


def test_proposals_keep_a_constraint():
    space, _, judge = judged(Regression(tasks=1))
    sampler = ProgramEvolution(population_size=10, tournament_size=3)
    sampler.constraints = (Constraint("instructions", 3),)
    sampler.setup(space, [FITNESS], 0)

    def size(architecture):
        return ProgramSize().estimate(space, architecture, None)["instructions"].value

    for number in range(100):
        view = View(number, random.Random(number), TrialHistory([FITNESS]), None, lambda a: max(0, size(a) - 3))
        candidate = sampler.ask(view)
        assert size(candidate.architecture) <= 3
        measured = judge(candidate.architecture.genome).objectives
        sampler.tell(Trial(number, candidate, Status.COMPLETE, measured))


def test_retraining_tests_on_held_out_pairs_and_regressions_say_why_not():
    splits = ClassPairs(tasks=3).load(0)
    space, evaluator, _ = judged(ClassPairs(tasks=3))
    measured, weights = evaluator.retrain(space.architecture(REGRESSOR), splits, seed=0)
    assert measured.objectives["test_accuracy"] > 0.8
    assert weights == {}
    space, evaluator, _ = judged(Regression())
    with pytest.raises(CapabilityError, match="accuracy"):
        evaluator.retrain(space.architecture(REGRESSOR), Regression().load(0), seed=0)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda t: t._replace(x=np.where(t.x > 2, np.nan, t.x)), "x holds NaN"),
        (lambda t: t._replace(y=t.y[:, :-1]), "one label"),
        (lambda t: t._replace(x=t.x[0]), "tasks, examples, features"),
        (lambda t: t._replace(x_valid=t.x_valid[:, :, :2]), "features"),
        (lambda t: t._replace(x=t.x[:, :, :3], x_valid=t.x_valid[:, :, :3]), "has 4 features, and the arrays have 3"),
        (lambda t: (t.x, t.y), "four arrays"),
    ],
)
def test_unusable_tasks_are_refused(spoil, named):
    good = Regression(tasks=2).load(0)
    spoilt = Splits(good.task, spoil(good.train), good.valid)
    space = ProgramSpace()
    space.setup(good.task)
    with pytest.raises(DataError, match=named):
        ProgramTasks().setup(space, spoilt)


def test_labels_of_two_classes_are_0_and_1():
    with pytest.raises(DataError, match="neither 0 nor 1"):
        check_tasks(Regression(tasks=1).load(0).train, Task("t", (4,), 1, kind=BINARY))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ProgramTasks(epochs=0), "epochs"),
        (lambda: ProgramTasks(max_error=float("nan")), "max_error"),
        (lambda: ProgramTasks(cache_size=-1), "cache_size"),
        (lambda: ProgramEvolution(population_size=0), "population_size"),
        (lambda: ProgramEvolution(tournament_size=0), "tournament_size"),
        (lambda: ProgramEvolution(mutate_probability=0.0), "mutate_probability"),
        (lambda: Regression(rule="cubic"), "rule"),
        (lambda: Regression(features=0), "features"),
        (lambda: ClassPairs(tasks=16), "tasks"),
        (lambda: ClassPairs(projections=0), "projections"),
    ],
)
def test_impossible_options_are_named(make, named):
    with pytest.raises(SettingsError, match=named):
        make()


def test_a_space_without_an_empty_program_cannot_start_empty():
    with pytest.raises(CapabilityError, match="start=random"):
        ProgramEvolution(start="empty").setup(object(), [FITNESS], 0)
    with pytest.raises(CapabilityError, match="one objective"):
        ProgramEvolution().setup(ProgramSpace(), [FITNESS, Objective("instructions", Direction.MINIMIZE)], 0)


def test_features_come_from_the_task():
    space = ProgramSpace()
    with pytest.raises(SettingsError, match="setup"):
        _ = space.features
    space.setup(Task("t", (2, 3), 1))
    assert space.features == 6
    x = np.zeros((1, 5, 6))
    assert check_tasks(Tasks(x, x[:, :, 0], x, x[:, :, 0]), Task("t", (2, 3), 1, kind=BINARY)).x.shape == (1, 5, 6)


def test_a_resumed_search_ends_with_the_very_same_trials(tmp_path):
    import nascore

    def run(name, trials):
        return nascore.search(
            space="automlzero:programs", sampler="automlzero:evolution", evaluator="automlzero:tasks",
            data="automlzero:pairs", trials=trials, seed=3, out=tmp_path / name, tracking="off",
            options={"sampler.population_size": 20, "data.tasks": 2, "space.ops": "linear"},
        )  # fmt: skip

    whole = run("whole", 120)
    run("part", 60)
    parts = nascore.resume(tmp_path / "part", trials=120)
    rows = [
        [(t.architecture.key, t.objectives, t.candidate.origin) for t in one.search.history] for one in (whole, parts)
    ]
    assert len(rows[0]) == 120
    assert rows[0] == rows[1]
