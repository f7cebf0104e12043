"""Pruning decides as plain Optuna does, and a resumed search as one that was not."""

from __future__ import annotations

import random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.contracts import Pruner
from nascore.errors import SettingsError
from nascore.parts import Workshop
from nascore.pruning import Pruning, make_pruner
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial

PRUNERS = [
    {"use": "median", "n_startup_trials": 3},
    {"use": "percentile", "percentile": 60.0, "n_startup_trials": 2},
    {"use": "hyperband", "min_resource": 1, "max_resource": 9, "reduction_factor": 3},
    {"use": "successivehalving", "min_resource": 1, "reduction_factor": 2},
    {"use": "threshold", "lower": 0.1},
]
UP = Objective("accuracy", Direction.MAXIMIZE)


def curves(seed, trials=30, steps=9):
    rng = random.Random(seed)
    return [[rng.random() + step / steps * rng.random() for step in range(steps)] for _ in range(trials)]


def trial(number, status, reports, objective="accuracy"):
    objectives = {objective: reports[-1][1][objective]} if status is Status.COMPLETE else {}
    return Trial(number, Candidate(Architecture("s", {}, "k")), status, objectives, reports=tuple(reports))


def run(pruning, number, curve, objective="accuracy"):
    """One trial, judged as the loop does; returns it."""
    reports = []
    for step, value in enumerate(curve, 1):
        reports.append((step, {objective: value, "other": -value}))
        if not pruning.go_on(number, *reports[-1]):
            break
    else:
        done = trial(number, Status.COMPLETE, reports, objective)
        pruning.finish(done)
        return done
    done = trial(number, Status.PRUNED, reports, objective)
    pruning.finish(done)
    return done


@pytest.mark.parametrize("table", PRUNERS, ids=lambda table: table["use"])
@pytest.mark.parametrize("direction", list(Direction))
def test_it_decides_as_plain_optuna(table, direction):
    study = optuna.create_study(study_name="pruning", direction=direction.value, pruner=make_pruner(table).pruner)
    expected = []
    for curve in curves(1):
        asked = study.ask()
        for step, value in enumerate(curve, 1):
            asked.report(value, step)
            if asked.should_prune():
                study.tell(asked, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(asked, curve[-1])
        expected.append(step)
    pruning = Pruning(make_pruner(table), Objective("accuracy", direction))
    assert [len(run(pruning, n, curve).reports) for n, curve in enumerate(curves(1))] == expected
    assert set(expected) != {9}, "this pruner never stopped anything: the test would see nothing"
    assert 9 in expected


@pytest.mark.parametrize("table", PRUNERS, ids=lambda table: table["use"])
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 25))
def test_after_a_replay_it_decides_as_if_it_had_never_stopped(table, seed, killed):
    every = curves(seed)
    whole = Pruning(make_pruner(table), UP)
    told = [run(whole, number, curve) for number, curve in enumerate(every)]
    resumed = Pruning(make_pruner(table), UP)
    for done in told[:killed]:
        resumed.replay(done)
    assert [run(resumed, n, every[n]) for n in range(killed, len(every))] == told[killed:]


def test_reports_without_the_objective_decide_nothing():
    pruning = Pruning(make_pruner({"use": "threshold", "lower": 0.5}), UP)
    assert pruning.go_on(0, 1, {"other": 0.0})
    assert not pruning.go_on(0, 2, {"other": 1.0, "accuracy": 0.4})
    pruning.finish(trial(5, Status.FAIL, []))  # never reported: nothing to finish


def test_failed_trials_are_compared_with_nothing():
    pruning = Pruning(make_pruner({"use": "median", "n_startup_trials": 1}), UP)
    pruning.go_on(0, 1, {"accuracy": 1.0})
    pruning.finish(trial(0, Status.FAIL, [(1, {"accuracy": 1.0})]))
    assert pruning.go_on(1, 1, {"accuracy": 0.1})
    pruning.finish(trial(1, Status.COMPLETE, [(1, {"accuracy": 0.1})]))
    assert not pruning.go_on(2, 1, {"accuracy": 0.05})


def test_trials_at_the_same_time_are_kept_apart():
    pruning = Pruning(make_pruner({"use": "threshold", "upper": 1.0}), UP)
    assert pruning.go_on(0, 1, {"accuracy": 0.5})
    assert not pruning.go_on(1, 1, {"accuracy": 2.0})
    assert pruning.go_on(0, 2, {"accuracy": 0.6})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"use": "medain"}, r"no pruner 'medain'; did you mean 'median'\? Allowed: hyperband, median, nop"),
        ({}, "no pruner ''"),
        ({"use": ["median"]}, r"no pruner \['median'\]"),
        ({"use": "patient"}, "no pruner 'patient'"),
        (
            {"use": "median", "n_startup": 1},
            r"pruner\.n_startup is no option of MedianPruner; did you mean 'n_startup_trials'",
        ),
        ({"use": "median", "n_startup_trials": "x"}, r"pruner\.n_startup_trials = 'x'"),
        ({"use": "median", "n_startup_trials": -1}, "pruner: Number of startup trials cannot be negative"),
        ({"use": "percentile"}, r"pruner\.percentile is required"),
    ],
)
def test_a_bad_table_is_told(table, said):
    with pytest.raises(SettingsError, match=said):
        make_pruner(table)


def test_making_one_leaves_optunas_log_level_alone():
    before = optuna.logging.get_verbosity()
    Pruning(make_pruner({"use": "nop"}), UP)
    assert optuna.logging.get_verbosity() == before


class Stubborn(Pruner):
    """Stops a trial at ``limit`` reports, and remembers what it was shown."""

    def __init__(self, limit: int = 2) -> None:
        self.limit = limit
        self.shown = []
        self.over = []

    def go_on(self, number, step, metrics, candidate):
        self.shown.append((number, step, metrics["accuracy"], candidate and candidate.origin))
        return step < self.limit

    def finish(self, trial):
        self.over.append(trial.number)

    def metrics(self, number):
        return {"shown": float(sum(n == number for n, *_ in self.shown))}


def test_a_pruner_of_one_s_own_sees_the_candidate_and_adds_metrics():
    pruner = Stubborn()
    pruning = Pruning(pruner, UP, Objective("loss", Direction.MINIMIZE), seed=3)
    assert (pruner.objectives[0], len(pruner.objectives), pruner.seed) == (UP, 2, 3)
    pruning.begin(0, Candidate(Architecture("s", {}, "k"), origin="here"))
    assert pruning.go_on(0, 1, {"accuracy": 0.1})
    assert not pruning.go_on(0, 2, {"accuracy": 0.2})
    done = pruning.noted(trial(0, Status.PRUNED, [(1, {"accuracy": 0.1})]))
    assert done.metrics == {"shown": 2.0}
    pruning.finish(done)
    assert pruner.over == [0]
    pruning.go_on(0, 1, {"accuracy": 0.1})
    assert [origin for *_, origin in pruner.shown] == ["here", "here", None], "a candidate is forgotten with its trial"


def test_a_stored_trial_is_replayed_with_its_candidate():
    pruner = Stubborn()
    stored = trial(4, Status.COMPLETE, [(1, {"accuracy": 0.1}), (2, {"accuracy": 0.3})])
    Pruning(pruner, UP).replay(stored)
    assert [shown[:3] for shown in pruner.shown] == [(4, 1, 0.1), (4, 2, 0.3)]
    assert pruner.over == [4]


def test_a_pruner_of_one_s_own_is_named_by_its_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from nascore.contracts import Pruner\n\n"
        "class Mine(Pruner):\n"
        "    def __init__(self, limit: int = 2) -> None:\n        self.limit = limit\n\n"
        "    def go_on(self, number, step, metrics, candidate):\n        return step < self.limit\n"
    )
    pruner = make_pruner({"use": f"{file}:Mine", "limit": 7})
    assert pruner.limit == 7
    with pytest.raises(SettingsError, match=r"pruner\.limt is no option of Mine; did you mean 'limit'"):
        make_pruner({"use": f"{file}:Mine", "limt": 7})


def test_the_names_of_plugins_and_of_optuna_are_told_together():
    with pytest.raises(
        SettingsError, match=r"There is no pruner 'medain'; did you mean 'median'\? Allowed: .*hyperband"
    ):
        Workshop().settings("", "", [{"pruner": "medain"}])
