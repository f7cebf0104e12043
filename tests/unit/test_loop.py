"""The trial loop: what is asked, judged, stored and told, and that a resumed search is the same search."""

from __future__ import annotations

import pytest
from toy_parts import Letters, NoData, Table, Vowels, parts, share_of_c

import nascore
import nascore.loop
from nascore.errors import RunError, SearchFailedError, UsageError
from nascore.records import Candidate, Measurement, Status

VOWELS = ["toy_parts:Vowels"]


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


def outcome(result):
    return [
        (t.number, t.architecture.key, t.status, dict(t.objectives), dict(t.costs), t.reports, t.seed)
        for t in result.history
    ]


class Learner(nascore.Sampler):
    """A sampler whose proposals depend on all it was told and on random state of its own."""

    provides = frozenset({"policy"})

    def setup(self, space, objectives, seed):
        super().setup(space, objectives, seed)
        self.total = 0.0
        self.asks = 0

    def ask(self, view):
        self.asks += 1
        pick = int(self.total * 1000) + self.asks
        architecture = self.space.sample(lambda name, options: options[(pick + view.rng.randrange(5)) % len(options)])
        return Candidate(architecture, origin=f"ask {self.asks}")

    def tell(self, trial):
        self.total += trial.objectives.get("accuracy", 0.5)

    def state_dict(self):
        return {"total": self.total, "asks": self.asks}

    def load_state_dict(self, state, history):
        self.total, self.asks = state["total"], state["asks"]


class Rounds(Table):
    """Shared training: a warm-up of three rounds, then one a trial; the value depends on all of them."""

    def setup(self, space, data):
        super().setup(space, data)
        self.weights = 0
        self.rounds = 0

    def prepare(self, sampler, context):
        self.rounds += 1
        self.weights = (self.weights * 31 + context.seed) % 1009
        return nascore.Round(changed=True, ready=self.rounds >= 3, metrics={"weights": float(self.weights)})

    def evaluate(self, candidate, context):
        return Measurement.complete(accuracy=share_of_c(candidate.architecture) + self.weights / 1e4, loss=0.0)

    def state_dict(self):
        return {"weights": self.weights, "rounds": self.rounds}

    def load_state_dict(self, state):
        self.weights, self.rounds = state["weights"], state["rounds"]


def stopping(evaluator, at):
    """The evaluator, dying when it is called for the ``at``-th time (counted over prepare and evaluate)."""
    calls = iter(range(10**9))

    def die(method):
        def wrapped(*arguments):
            if next(calls) == at:
                raise Stop
            return method(*arguments)

        return wrapped

    evaluator.evaluate = die(evaluator.evaluate)
    if isinstance(evaluator, Rounds):
        evaluator.prepare = die(evaluator.prepare)
    return evaluator


@pytest.mark.parametrize("evaluator", [Table, Rounds])
@pytest.mark.parametrize("checkpoints", [0.0, 3600.0])
def test_a_search_stopped_anywhere_and_resumed_is_the_same_search(tmp_path, monkeypatch, evaluator, checkpoints):
    monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", checkpoints)
    whole = nascore.search(**parts(sampler=Learner(), evaluator=evaluator(), trials=6, out=tmp_path / "whole"))
    assert len({t.architecture.key for t in whole.history}) > 3
    for at in range(6):
        folder = tmp_path / f"stopped-{at}"
        with pytest.raises(Stop):
            nascore.search(**parts(sampler=Learner(), evaluator=stopping(evaluator(), at), trials=6, out=folder))
        resumed = nascore.resume(folder, space=Letters(), sampler=Learner(), evaluator=evaluator(), data=NoData())
        assert outcome(resumed) == outcome(whole), f"stopped at call {at}"
        assert resumed.best.number == whole.best.number


def test_damaged_checkpoints_cost_nothing_but_a_replay(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 0.0)
    whole = nascore.search(**parts(sampler=Learner(), evaluator=Rounds(), trials=6, out=tmp_path / "run"))
    for path in (tmp_path / "run" / "state").glob("*.checkpoint"):
        path.write_bytes(path.read_bytes()[:-3])
    resumed = nascore.resume(
        tmp_path / "run", trials=9, space=Letters(), sampler=Learner(), evaluator=Rounds(), data=NoData()
    )
    longer = nascore.search(**parts(sampler=Learner(), evaluator=Rounds(), trials=9, out=tmp_path / "longer"))
    assert outcome(resumed) == outcome(longer)
    assert outcome(resumed)[:6] == outcome(whole)
    assert "damaged" in caplog.text


def test_a_changed_sampler_is_told_instead_of_mixing_two_searches(tmp_path):
    run = tmp_path / "run"
    nascore.search(**parts(sampler=Learner(), trials=3, out=run))
    for path in (run / "state").glob("*.checkpoint"):
        path.unlink()
    with pytest.raises(RunError, match="not what the sampler proposes now"):
        nascore.resume(run, trials=5, space=Letters(), sampler=Always("b"), evaluator=Table(), data=NoData())


class Always(nascore.Sampler):
    def __init__(self, letter):
        self.letter = letter

    def ask(self, view):
        return Candidate(self.space.sample(lambda name, options: self.letter))


class Trouble(Table):
    """Fails in every way, by the number of the trial."""

    def evaluate(self, candidate, context):
        if context.number % 4 == 1:
            raise MemoryError("no room")
        if context.number % 4 == 2:
            return Measurement.complete(accuracy=float("nan"), loss=0.0)
        if context.number % 4 == 3:
            return Measurement.complete(loss=0.0)
        return super().evaluate(candidate, context)


def test_failures_become_trials_with_their_reason_and_the_search_goes_on(tmp_path):
    result = nascore.search(**parts(evaluator=Trouble(), trials=8, out=tmp_path / "run"))
    assert result.counts == {"complete": 2, "pruned": 0, "infeasible": 0, "fail": 6}
    reasons = [t.reason for t in result.history]
    assert "MemoryError: no room" in reasons[1]
    assert "Traceback" in reasons[1]
    assert "nan" in reasons[2]
    assert "'accuracy'" in reasons[3]
    again = nascore.open_run(tmp_path / "run", space=Letters(), evaluator=Trouble(), data=NoData())
    assert [t.reason for t in again.history] == reasons


class Broken(Table):
    def evaluate(self, candidate, context):
        raise ValueError("never works")


def test_a_search_in_which_everything_fails_says_why(tmp_path):
    with pytest.raises(SearchFailedError, match=r"3 fail.*ValueError: never works"):
        nascore.search(**parts(evaluator=Broken(), trials=3, out=tmp_path / "run"))


class Counting(Table):
    deterministic = True

    def __init__(self):
        self.calls = 0

    def evaluate(self, candidate, context):
        self.calls += 1
        return super().evaluate(candidate, context)


def test_an_equal_architecture_is_not_judged_twice_by_a_deterministic_evaluator(tmp_path):
    evaluator = Counting()
    result = nascore.search(**parts(sampler=Always("c"), evaluator=evaluator, trials=5, out=tmp_path / "run"))
    assert evaluator.calls == 1
    assert [t.reused for t in result.history] == [None, 0, 0, 0, 0]
    assert all(t.objectives["accuracy"] == 1.0 for t in result.history)


def test_a_broken_constraint_costs_no_evaluation(tmp_path):
    evaluator = Counting()
    with pytest.raises(SearchFailedError, match=r"4 infeasible.*nearest.*vowels = 6 breaks vowels<=2"):
        nascore.search(
            **parts(sampler=Always("a"), evaluator=evaluator, trials=4, out=tmp_path / "run", costs=VOWELS),
            constraints=["vowels<=2"],
        )
    assert evaluator.calls == 0


class Telling(nascore.Sampler):
    """Keeps a number with each trial."""

    def ask(self, view):
        drawn = self.space.sample(lambda _, options: view.rng.choice(options))
        return Candidate(drawn, metrics={"guess": view.number / 2, "accuracy_of_old": 1})


def test_numbers_of_the_sampler_are_stored_with_the_trial(tmp_path):
    nascore.search(**parts(sampler=Telling(), trials=3, out=tmp_path / "run"))
    stored = nascore.open_run(tmp_path / "run").history
    assert [trial.metrics["guess"] for trial in stored] == [0.0, 0.5, 1.0]
    assert all(trial.metrics["accuracy_of_old"] == 1.0 for trial in stored)


class Careless(nascore.Sampler):
    """Draws, and does not look at the constraints."""

    def ask(self, view):
        return Candidate(self.space.sample(lambda _, options: view.rng.choice(options)))


@pytest.mark.parametrize("sampler", ["random:random", "amoebanet:amoebanet"])
def test_samplers_that_look_break_no_constraint(tmp_path, sampler):
    options = {"sampler.population_size": 5, "sampler.tournament_size": 2} if "amoebanet" in sampler else {}
    given = parts(sampler=sampler, trials=40, out=tmp_path / "run", costs=VOWELS, options=options)
    result = nascore.search(**given, constraints=["vowels<=1"])
    assert result.counts["complete"] == 40
    assert max(trial.costs["vowels"].value for trial in result.history) <= 1


def test_constrained_search_answers_within_the_constraint(tmp_path):
    given = parts(sampler=Careless(), trials=40, out=tmp_path / "run", costs=VOWELS)
    result = nascore.search(**given, constraints=["vowels<=1"])
    assert result.counts["infeasible"] > 0
    assert result.best.costs["vowels"].value <= 1
    for trial in result.history:
        assert (trial.status is Status.INFEASIBLE) == (
            Vowels().estimate(None, trial.architecture, None)["vowels"].value > 1
        )


class Exhausted(Always):
    def ask(self, view):
        return super().ask(view) if view.number < 2 else None


def test_a_sampler_with_nothing_more_to_propose_ends_the_search(tmp_path):
    result = nascore.search(**parts(sampler=Exhausted("c"), trials=9, out=tmp_path / "run"))
    assert len(result.history) == 2
    assert result.state == "finished"
    assert "nothing more" in result.reason


class Ending(Learner):
    """Proposes nothing once the evaluator has said that its training is over; keeps that nowhere."""

    ended = False

    def ask(self, view):
        return None if self.ended else super().ask(view)


class ThreeRounds(Rounds):
    def prepare(self, sampler, context):
        if self.rounds == 5:  # three candidates, after a warm-up of three rounds
            sampler.ended = True
            return nascore.Round()
        return super().prepare(sampler, context)


def test_an_ended_training_is_not_asked_once_more_after_a_resume(tmp_path):
    arguments = parts(sampler=Ending(), evaluator=ThreeRounds(), trials=9, out=tmp_path / "run")
    whole = nascore.search(**arguments)
    assert len(whole.history) == 3
    again = nascore.resume(
        tmp_path / "run", trials=12, space=Letters(), sampler=Ending(), evaluator=ThreeRounds(), data=NoData()
    )
    assert outcome(again) == outcome(whole)


def test_time_ends_a_search(tmp_path):
    result = nascore.search(**parts(time=0.3, out=tmp_path / "run"))
    assert "0.3 seconds" in result.reason
    assert len(result.history) > 3
    assert result.wall_seconds < 2


def test_pruning_stops_trials_that_report_badly(tmp_path):
    result = nascore.search(
        **parts(trials=30, out=tmp_path / "run"), options={"pruner.use": "median", "pruner.n_startup_trials": 3}
    )
    pruned = [t for t in result.history if t.status is Status.PRUNED]
    assert pruned
    assert all(len(t.reports) < 3 for t in pruned if t.reports[-1][0] < 3)
    assert max(share_of_c(t.architecture) for t in pruned) < result.best.objectives["accuracy"]


def test_ctrl_c_gives_what_there_is_and_can_be_resumed(tmp_path):
    whole = nascore.search(**parts(sampler=Learner(), trials=5, out=tmp_path / "whole"))

    class Interrupted(Table):
        def evaluate(self, candidate, context):
            if context.number == 3:
                raise KeyboardInterrupt
            return super().evaluate(candidate, context)

    result = nascore.search(**parts(sampler=Learner(), evaluator=Interrupted(), trials=5, out=tmp_path / "run"))
    assert result.state == "interrupted"
    assert len(result.history) == 3
    assert f"nascore resume {tmp_path / 'run'}" in result.reason
    resumed = nascore.resume(tmp_path / "run", space=Letters(), sampler=Learner(), evaluator=Table(), data=NoData())
    assert outcome(resumed) == outcome(whole)


def test_the_caller_s_random_state_is_untouched(tmp_path):
    import random

    import numpy as np
    import torch

    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what this is about
    before = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
    nascore.search(**parts(trials=3, out=tmp_path / "run"))
    after = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert after == before


def test_a_run_folder_is_not_overwritten(tmp_path):
    nascore.search(**parts(trials=1, out=tmp_path / "run"))
    with pytest.raises(RunError, match="nascore resume"):
        nascore.search(**parts(trials=1, out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": 0}, "trials"),
        ({"trials": -1}, "trials"),
        ({"time": 0.0}, "time"),
        ({"seed": -1}, "seed"),
        ({"constraints": ["vowels<2"]}, "vowels<2"),
        ({"constraints": ["sizes<=2"]}, "sizes"),
        ({"objectives": ["acuracy"]}, "did you mean 'accuracy'"),
        ({"sampler": "random:randon"}, "random"),
        ({"options": {"trails": 3}}, "did you mean 'trials'"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(tmp_path, wrong, message):
    arguments = parts(out=tmp_path / "run") | {"trials": 3} | wrong
    with pytest.raises(UsageError, match=message):
        nascore.search(**arguments)
    assert not (tmp_path / "run").exists()


def test_observers_see_everything_in_order_and_a_failing_one_is_left_out(tmp_path, caplog):
    seen = []

    class Observer:
        @nascore.hookimpl
        def nascore_search_started(self, search):
            seen.append("search_started")

        @nascore.hookimpl
        def nascore_trial_started(self, number):
            seen.append(("started", number))

        @nascore.hookimpl
        def nascore_trial_reported(self, number, step):
            seen.append(("reported", number, step))

        @nascore.hookimpl
        def nascore_trial_finished(self, trial):
            seen.append(("finished", trial.number))

        @nascore.hookimpl
        def nascore_search_finished(self, result):
            seen.append(result.state)

    class Failing:
        @nascore.hookimpl
        def nascore_trial_finished(self, trial):
            raise RuntimeError("observer broke")

    nascore.search(**parts(trials=2, out=tmp_path / "run", observers=[Failing(), Observer()]))
    one = [("started", 0), ("reported", 0, 1), ("reported", 0, 2), ("reported", 0, 3), ("finished", 0)]
    assert seen[:6] == ["search_started", *one]
    assert seen[-2:] == [("finished", 1), "finished"]
    assert caplog.text.count("observer broke") == 1
