"""METHODS section 16, P2, P4 and P5, and what a stopped trial does and does not do."""

import dataclasses

import numpy as np
import pytest

from nascore.errors import SettingsError
from nascore.pruning import Pruning
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore_curves.pruner import Predict
from nascore_curves.replay import replay
from nascore_curves.stopping import cannot_win

UP = Objective("accuracy", Direction.MAXIMIZE)
DOWN = Objective("loss", Direction.MINIMIZE)


def synthetic(seed, count=60, epochs=12, noise=0.01):
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.6, 0.95, count), rng.uniform(0.1, 0.6, count), rng.uniform(0.3, 1.5, count)
    time = np.arange(1, epochs + 1)
    return a[:, None] - b[:, None] * time ** -c[:, None] + rng.normal(0, noise, (count, epochs))


def candidate(fidelity=()):
    return Candidate(Architecture("s", None, "k"), dict(fidelity))


def finished(number, curve, status=Status.COMPLETE, name="accuracy", fidelity=(), **fields):
    reports = tuple((step, {name: float(value), "other": 0.0}) for step, value in enumerate(curve, 1))
    ends = {name: float(curve[-1])} if status is Status.COMPLETE else {}
    return Trial(number, candidate(fidelity), status, ends, reports=reports, **fields)


def taught(curves, pruner=None, objectives=(UP,), **options):
    """A pruning whose pruner has seen these curves to their end."""
    pruning = Pruning(pruner or Predict(**{"settings": 2, **options}), *objectives)
    for number, curve in enumerate(curves):
        pruning.finish(finished(number, curve, name=objectives[0].name))
    return pruning


def epochs_of(pruning, number, curve, name="accuracy", fidelity=()):
    """After how many epochs a trial stops."""
    pruning.begin(number, candidate(fidelity))
    for step, value in enumerate(curve, 1):
        if not pruning.go_on(number, step, {name: float(value)}):
            return step
    return len(curve)


def test_p2_the_probability():
    p = cannot_win(best=0.8, mean=0.7, std=0.05)
    assert p == pytest.approx(0.97725, abs=1e-5)
    assert 0.95 <= p < 0.99
    assert cannot_win(0.7, 0.8, 0.05, Direction.MINIMIZE) == pytest.approx(p)
    assert cannot_win(0.8, 0.9, 0.05) == pytest.approx(1 - p, abs=0.01)
    assert [cannot_win(0.5, mean, 0.0) for mean in (0.4, 0.5, 0.6)] == [1.0, 0.5, 0.0]


def test_p2_stops_at_one_threshold_and_not_at_the_other(monkeypatch):
    monkeypatch.setattr(Predict, "_predict", lambda *_: (0.7, 0.05))
    curves = np.tile(np.linspace(0.5, 0.8, 12), (15, 1))
    assert epochs_of(taught(curves, delta=0.95), 15, curves[0]) == 3
    assert epochs_of(taught(curves, delta=0.99), 15, curves[0]) == 12


def test_p4_nothing_stops_at_delta_one_nor_before_the_burn_in():
    curves = synthetic(0)
    assert replay(Predict(delta=1.0, settings=5), curves).epochs == 60 * 12
    lengths = replay(Predict(delta=0.6, burn_in=20, settings=5), curves).lengths
    assert set(lengths[:20]) == {12}
    assert min(lengths[20:]) == 3, "a quarter of 12 epochs is seen before a trial may stop"


@pytest.mark.parametrize("seed", range(2))
def test_p5_saves_epochs_and_loses_little(seed):
    curves = synthetic(seed)
    done = replay(Predict(delta=0.99, burn_in=15, settings=6), curves)
    assert done.epochs < 0.7 * curves.size
    assert curves[:, -1].max() - done.best <= 0.05


def test_a_trial_that_looks_as_the_best_did_goes_on():
    """The best end has luck in it that no beginning shows: it alone would be too much to ask."""
    rng = np.random.default_rng(0)
    curves = np.repeat(rng.uniform(0.5, 0.7, (20, 1)), 12, axis=1) + rng.normal(0, 0.001, (20, 12))
    lucky = int(curves[:, 5].argmax())
    curves[lucky, -1] += 0.1
    pruning = taught(curves, delta=0.6)
    assert epochs_of(pruning, 20, curves[lucky] + 0.001) == 12
    assert epochs_of(pruning, 21, curves[lucky] - 0.05) < 12
    for number in range(22, 27):
        pruning.finish(finished(number, curves[lucky] + 0.3, violations={"params": 1.0}))
    assert epochs_of(pruning, 27, curves[lucky] + 0.001) == 12, "one that is not feasible is no measure"
    down = taught(-curves, delta=0.6, objectives=(DOWN,))
    assert epochs_of(down, 20, -curves[lucky] - 0.001, name="loss") == 12
    assert epochs_of(down, 21, -curves[lucky] + 0.05, name="loss") < 12


def test_long_curves_are_not_looked_at_after_each_epoch():
    curves = synthetic(0, epochs=120)
    lengths = replay(Predict(settings=0), curves).lengths
    assert min(lengths) < 120
    assert {length for length in lengths if length < 120} <= set(range(24, 120, 6))


def test_losses_are_stopped_when_they_stay_high():
    curves = synthetic(1)
    up = replay(Predict(settings=2), curves)
    down = replay(Predict(settings=2), -curves, direction=Direction.MINIMIZE)
    assert min(up.lengths) < 12
    assert min(down.lengths) < 12
    assert -down.best == pytest.approx(up.best, abs=0.02)


def test_a_stopped_run_tells_its_prediction_and_teaches_nothing():
    curves = synthetic(2)
    pruning = taught(curves[:20])
    bad = curves[20] - 0.4
    step = epochs_of(pruning, 20, bad)
    assert step < 12
    stopped = pruning.noted(finished(20, bad[:step], Status.PRUNED))
    assert stopped.metrics["predicted"] == pytest.approx(bad[-1], abs=0.3)
    assert stopped.metrics["predicted_std"] > 0
    pruning.finish(stopped)
    assert len(pruning._pruner._peers[()].runs) == 20
    assert pruning.noted(finished(21, curves[21])).metrics == {}


def test_only_complete_unbroken_first_hand_trials_count():
    curves = synthetic(2)
    pruning = taught(curves[:20])
    pruner = pruning._pruner
    best = curves[:20, -1].max()
    pruning.finish(finished(20, curves[20] + 1, Status.FAIL))
    pruning.finish(dataclasses.replace(finished(21, curves[21] + 1), reused=3))
    assert (len(pruner._peers[()].runs), pruner._peers[()].best) == (20, best)
    pruning.finish(finished(22, curves[22] + 1, violations={"params": 1.0}))
    assert (len(pruner._peers[()].runs), pruner._peers[()].best) == (21, best), "it teaches, and is not to be beaten"


def test_a_curve_with_nan_is_neither_stopped_nor_learnt_from():
    curves = synthetic(2)
    pruning = taught(curves[:20])
    broken = curves[20] - 0.4
    broken[1] = np.nan
    assert epochs_of(pruning, 20, broken) == 12
    pruning.finish(finished(20, broken))
    assert len(pruning._pruner._peers[()].runs) == 20
    assert epochs_of(pruning, 21, curves[21] - 0.4) < 12, "the next trial is judged as ever"


def test_a_fidelity_is_judged_among_its_own():
    curves = synthetic(2)
    pruning = taught(curves[:20])
    bad = curves[20] - 0.4
    assert epochs_of(pruning, 20, bad, fidelity={"epochs": 6}.items()) == 12
    assert epochs_of(pruning, 21, bad) < 12


def test_with_several_objectives_the_first_decides():
    curves = synthetic(2)
    other = Objective("latency_ms", Direction.MINIMIZE)
    one, two = (taught(curves[:20], objectives=objectives) for objectives in ((UP,), (UP, other)))
    assert [epochs_of(one, n, curves[n]) for n in range(20, 30)] == [
        epochs_of(two, n, curves[n]) for n in range(20, 30)
    ]
    assert two.go_on(99, 1, {"latency_ms": 1e9})


def test_replayed_it_decides_as_before():
    curves = synthetic(3)

    def run(pruning, numbers):
        out = []
        for n in numbers:
            step = epochs_of(pruning, n, curves[n])
            status = Status.COMPLETE if step == 12 else Status.PRUNED
            out.append(pruning.noted(finished(n, curves[n][:step], status)))
            pruning.finish(out[-1])
        return out

    whole = run(Pruning(Predict(settings=1), UP), range(60))
    assert {trial.status for trial in whole} == {Status.COMPLETE, Status.PRUNED}
    for killed in (7, 30):
        resumed = Pruning(Predict(settings=1), UP)
        for trial in whole[:killed]:
            resumed.replay(trial)
        assert run(resumed, range(killed, 60)) == whole[killed:]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delta": 0.0}, r"pruner\.delta is 0\.0; it must be in \(0, 1\]"),
        ({"delta": 1.5}, "pruner.delta"),
        ({"burn_in": 5}, r"pruner\.burn_in is 5; it must be >= 6"),
        ({"least": 0.0}, "pruner.least"),
        ({"refit": 0}, "pruner.refit"),
        ({"folds": 1}, "pruner.folds"),
        ({"settings": -1}, "settings is -1"),
    ],
)
def test_bad_options_are_told(options, said):
    with pytest.raises(SettingsError, match=said):
        Predict(**options)
