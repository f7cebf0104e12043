"""A nascore sampler inside a plain Optuna study."""

import optuna
import pytest

from nascore.contracts import Sampler, SearchSpace
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError
from nascore.records import Candidate, Status
from nascore_optuna import NascoreSampler


class Recipe(DecisionSpace):
    """A depth, and as many ops."""

    name = "recipe"

    def decide(self, choose):
        return [choose(f"op.{index}", ["a", "b", "c", "d"]) for index in range(choose("depth", [1, 2, 3]))]

    def build(self, architecture, task):
        raise NotImplementedError


class Climber(Sampler):
    """Mutates the best one so far: a small sampler that learns, and remembers what it was told."""

    def setup(self, space, objectives, seed):
        super().setup(space, objectives, seed)
        self.told = []

    def ask(self, view):
        best = view.history.best
        if best is None or len(view.history) < 5:
            return Candidate(self.space.sample(lambda _, options: view.rng.choice(options)))
        return Candidate(self.space.mutate(best.architecture, view.rng), parent=best.number)

    def tell(self, trial):
        self.told.append(trial)


class Three(Climber):
    """Has three proposals and no more."""

    def ask(self, view):
        return super().ask(view) if view.number < 3 else None


def share_of_a(ops):
    return sum(op == "a" for op in ops) / 3


def study_with(sampler, seed=0, **options):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options = {"direction": "maximize", **options}
    return optuna.create_study(sampler=NascoreSampler(sampler, Recipe(), seed), **options)


def by_space(trial):
    return share_of_a(Recipe().sample(trial.suggest_categorical).genome.values())


def by_hand(trial):
    depth = trial.suggest_categorical("depth", [1, 2, 3])
    return share_of_a([trial.suggest_categorical(f"op.{index}", ["a", "b", "c", "d"]) for index in range(depth)])


@pytest.mark.parametrize("objective", [by_space, by_hand])
def test_it_searches_and_learns(objective):
    sampler = Climber()
    study = study_with(sampler)
    study.optimize(objective, n_trials=60)
    assert study.best_value == 1.0
    assert [trial.architecture.genome for trial in sampler.told] == [trial.params for trial in study.trials]
    assert [trial.objectives["value_0"] for trial in sampler.told] == [trial.value for trial in study.trials]


def test_one_seed_one_sequence():
    runs = []
    for seed in (0, 0, 1):
        study = study_with(Climber(), seed)
        study.optimize(by_hand, n_trials=25)
        runs.append([trial.params for trial in study.trials])
    assert runs[0] == runs[1] != runs[2]


def test_failing_and_pruned_trials_are_told():
    def objective(trial):
        value = by_space(trial)
        if trial.number % 3 == 1:
            raise RuntimeError("no memory")
        if trial.number % 3 == 2:
            trial.report(0.25, step=4)
            raise optuna.TrialPruned
        return value

    sampler = Climber()
    study_with(sampler).optimize(objective, n_trials=12, catch=RuntimeError)
    assert [trial.status for trial in sampler.told] == [Status.COMPLETE, Status.FAIL, Status.PRUNED] * 4
    assert sampler.told[2].reports == ((4, {"value_0": 0.25}),)
    assert dict(sampler.told[2].objectives) == {}


def test_a_trial_that_fails_while_it_decides_is_told_as_what_was_asked():
    def objective(trial):
        trial.suggest_categorical("depth", [1, 2, 3])
        raise RuntimeError("at once")

    sampler = Climber()
    study = study_with(sampler)
    study.optimize(objective, n_trials=6, catch=RuntimeError)
    assert [trial.status for trial in sampler.told] == [Status.FAIL] * 6
    for told, trial in zip(sampler.told, study.trials, strict=True):
        assert len(told.architecture.genome) == 1 + trial.params["depth"]


def test_several_objectives():
    def objective(trial):
        value = by_space(trial)
        return value, trial.params["depth"]

    sampler = Climber()
    study = study_with(sampler, direction=None, directions=["maximize", "minimize"])
    study.optimize(objective, n_trials=30)
    assert [o.direction.value for o in sampler.objectives] == ["maximize", "minimize"]
    assert [tuple(trial.objectives.values()) for trial in sampler.told] == [tuple(t.values) for t in study.trials]


def test_a_loaded_study_goes_on_as_if_it_had_not_stopped():
    whole = study_with(Climber())
    whole.optimize(by_hand, n_trials=30)
    storage = optuna.storages.InMemoryStorage()
    study_with(Climber(), storage=storage, study_name="x").optimize(by_hand, n_trials=12)
    again = study_with(Climber(), storage=storage, study_name="x", load_if_exists=True)
    again.optimize(by_hand, n_trials=18)
    assert [trial.params for trial in again.trials] == [trial.params for trial in whole.trials]


@pytest.mark.parametrize("given", [{"depth": 2, "op.0": "d", "op.1": "a"}, {"depth": 2}, {"op.0": "b"}])
def test_an_enqueued_trial_is_told_as_what_it_was(given):
    sampler = Climber()
    study = study_with(sampler)
    for _ in range(6):
        study.enqueue_trial(given)
    study.optimize(by_hand, n_trials=8)
    assert [trial.architecture.genome for trial in sampler.told] == [trial.params for trial in study.trials]
    assert all(trial.params.items() >= given.items() for trial in study.trials[:6])


def test_other_parameters_are_drawn_at_random():
    def objective(trial):
        return by_space(trial) * trial.suggest_float("learning_rate", 0.1, 1)

    study = study_with(Climber())
    study.optimize(objective, n_trials=10)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 10


def test_it_stops_when_nothing_is_left():
    study = study_with(Three())
    study.optimize(by_space, n_trials=50)
    assert len(study.trials) == 4  # Optuna finishes the trial in which it is stopped


def test_parts_that_do_not_fit_are_refused():
    class Greedy(Climber):
        requires = frozenset({"supernet"})

    class Opaque(SearchSpace):
        def sample(self, choose): ...

        def check(self, architecture): ...

        def build(self, architecture, task): ...

    with pytest.raises(CapabilityError, match="'supernet'"):
        NascoreSampler(Greedy(), Recipe())
    with pytest.raises(CapabilityError, match="decisions"):
        NascoreSampler(Climber(), Opaque())
