"""Retraining: seeds, what is kept, and what is not trained twice."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import toy_parts
from cli_parts import Retraining
from safetensors.torch import load_file

import nascore
from nascore.checkpoint import TrainingCheckpoint
from nascore.cli.main import main
from nascore.errors import CapabilityError, RunError, SettingsError, UsageError
from nascore.history import TrialHistory
from nascore.preference import preferred
from nascore.records import Cost, Direction, Measurement, Objective, Status
from nascore.retrain import retrain, retrained_weights
from nascore.tracking.outbox import Outbox, outbox_path, read_events


@pytest.fixture
def result(tmp_path):
    Retraining.calls.clear()
    parts = {"space": "cli_parts:Pixels", "evaluator": "cli_parts:Retraining", "data": "toy_parts:NoData"}
    costs = ["toy_parts:Vowels", "blocks:params"]
    return nascore.search(**toy_parts.parts(**parts, costs=costs, trials=4, seed=5, out=tmp_path / "run"))


def test_mean_and_std_over_seeds_and_weights_of_each(result):
    done = retrain(result, seeds=3, options={"epochs": 20})
    expected = [toy_parts.share_of_c(result.best.architecture) / 2 + s % 100 / 1000 + 0.002 for s in Retraining.calls]
    assert len(set(Retraining.calls)) == 3
    mean = sum(expected) / 3
    summary = done.summary()["test_accuracy"]
    assert summary["mean"] == pytest.approx(mean)
    assert summary["std"] == pytest.approx((sum((x - mean) ** 2 for x in expected) / 2) ** 0.5)
    assert (summary["seeds"], summary["values"]) == (3, pytest.approx(expected))
    for index, seed in enumerate(Retraining.calls):
        assert load_file(done.folder / f"seed-{index}" / "weights.safetensors")["weight"][0, 0] == seed % 7
    assert retrained_weights(result, result.best.number) == done.folder / "seed-0" / "weights.safetensors"
    assert json.loads((done.folder / "result.json").read_text()) == done.summary()


def test_what_was_trained_is_read_unless_the_epochs_differ(result):
    first = retrain(result, seeds=2)
    again = retrain(result, seeds=3)
    assert again.reused == 2
    assert again.accuracies[:2] == first.accuracies
    assert len(Retraining.calls) == 3
    (first.folder / "seed-1" / "measurement.json").write_text("{")
    assert retrain(result, seeds=3).accuracies == again.accuracies  # the damaged one is trained again
    assert len(Retraining.calls) == 4
    assert retrain(result, seeds=1, options={"epochs": 9}).reused == 0
    assert retrain(result, 2, seeds=1).trial == 2


def test_costs_come_from_the_trial_and_else_from_what_is_installed(result):
    done = retrain(result)
    assert "macs" not in result.best.costs
    assert (done.params, done.macs) == (15, 12)


def test_a_cost_that_cannot_be_priced_spoils_nothing(tmp_path, caplog, monkeypatch):
    parts = {"space": "toy_parts:Letters", "evaluator": "cli_parts:Retraining", "data": "toy_parts:NoData"}
    monkeypatch.setattr(logging.getLogger("nascore"), "propagate", True)
    done = retrain(nascore.search(**toy_parts.parts(**parts, trials=1, out=tmp_path / "run")))
    assert len(done.accuracies) == 1
    assert done.macs is None  # the letters build a layer that does not fit the pictures
    assert "blocks:macs cannot price this network" in caplog.text


def test_an_evaluator_that_cannot_retrain_is_refused(tmp_path):
    result = nascore.search(**toy_parts.parts(trials=1, out=tmp_path / "run"))
    with pytest.raises(CapabilityError, match="cannot retrain"):
        retrain(result)


def test_the_command_prints_the_binding_keys(result, capsys):
    assert main(["retrain", str(result.folder), "--seeds", "2", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert {"mean", "std", "seeds"} <= set(found["test_accuracy"])
    assert {"params", "macs"} <= set(found)
    assert "seed 1 of 2, epoch 1: train_loss 0.5" in captured.err
    assert main(["retrain", str(result.folder), "--seeds", "2"]) == 0
    assert "2 of them trained before" in capsys.readouterr().out


# ------------------------------------------------------------------ which trial


def _rule_result(result, monkeypatch, *values):
    """The same search with trials of these (accuracy, vowels)."""
    first = next(iter(result.history))
    history = TrialHistory([Objective("accuracy", Direction.MAXIMIZE)])
    for number, (accuracy, vowels) in enumerate(values):
        history.add(
            replace(
                first, number=number, status=Status.COMPLETE, objectives={"accuracy": accuracy},
                costs={"vowels": Cost(vowels, "")}, violations={},
            )
        )  # fmt: skip
    monkeypatch.setattr(result.search, "history", history)
    return result


def test_a_rule_takes_the_most_accurate_trial_that_keeps_it(result, monkeypatch):
    found = _rule_result(result, monkeypatch, (0.9, 5), (0.7, 2), (0.8, 3), (0.8, 1), (0.95, 4))
    assert preferred(found, ["vowels<=3"]).number == 2  # of two alike, the first
    assert preferred(found, ["vowels<=4"]).number == 4
    assert preferred(found, ["vowels<=4", "accuracy<=0.75"]).number == 1
    assert preferred(found, ["vowels>=5"]).number == 0
    assert retrain(found, prefer=["vowels<=2"]).trial == 3


def test_where_no_trial_keeps_the_rules_the_nearest_is_named(result, monkeypatch):
    found = _rule_result(result, monkeypatch, (0.9, 5), (0.7, 3), (0.8, 4))
    with pytest.raises(RunError, match=r"None of the 3 .* keeps vowels<=2\. The nearest is trial 1: vowels 3"):
        preferred(found, ["vowels<=2"])
    with pytest.raises(RunError, match=r"vowels<=4 and accuracy>=0\.95\. The nearest is trial 2"):
        preferred(found, ["vowels<=4", "accuracy>=0.95"])


@pytest.mark.parametrize(
    ("rule", "message"), [("vowel<=2", "did you mean 'vowels'"), ("vowels<2", "is no constraint; write NAME<=NUMBER")]
)
def test_rules_that_mean_nothing_are_refused(result, monkeypatch, rule, message):
    found = _rule_result(result, monkeypatch, (0.9, 5))
    with pytest.raises(UsageError, match=message):
        preferred(found, [rule])


def test_pruned_and_infeasible_trials_and_those_of_low_fidelity_are_no_answer(result, monkeypatch):
    found = _rule_result(result, monkeypatch, (0.5, 1))
    good = found.history[0]
    candidate = replace(good.candidate, fidelity={"epochs": 1})
    for number, change in enumerate(({"status": Status.PRUNED}, {"violations": {"x": 1.0}}, {"candidate": candidate})):
        found.history.add(replace(good, number=number + 1, objectives={"accuracy": 0.9}, **change))
    assert preferred(found, ["vowels<=1"]).number == 0


def test_the_command_takes_a_rule_or_a_trial(result, capsys):
    assert main(["retrain", str(result.folder), "--prefer", "params<=100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trial"] == result.best.number
    assert main(["retrain", str(result.folder), "--trial", "1", "--prefer", "params<=100"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["retrain", str(result.folder), "--prefer", "params<=10"]) == 1
    assert "keeps params<=10. The nearest is trial" in capsys.readouterr().err
    assert main(["export", str(result.folder), "--format", "py", "--trial", "1", "--prefer", "params<=100"]) == 2
    assert "not both" in capsys.readouterr().err


# ------------------------------------------------------------------ options


def test_options_reach_the_training_and_epochs_wins(result, capsys):
    assert main(["retrain", str(result.folder), "--set", "epochs=3", "--epochs", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["options"] == {"epochs": 20}
    assert main(["retrain", str(result.folder), "--set", "epochs=3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["options"] == {"epochs": 3}


def test_options_that_the_evaluator_does_not_take_are_refused_before_the_training(result, capsys):
    with pytest.raises(SettingsError, match=r"retrain\.epoch is no option of Retraining; did you mean 'epochs'"):
        retrain(result, options={"epoch": 3})
    assert main(["retrain", str(result.folder), "--set", "seed=3"]) == 2
    assert "Allowed: epochs" in capsys.readouterr().err
    assert Retraining.calls == []


class AnyOption(Retraining):
    """Checks its options itself."""

    def retrain(self, architecture, splits, *, seed, device, report, **options):
        return super().retrain(architecture, splits, seed=seed, device=device, report=report, epochs=options["epochs"])


def test_what_the_core_sets_is_no_option_even_of_an_evaluator_that_takes_any(tmp_path):
    parts = {"space": "cli_parts:Pixels", "evaluator": AnyOption(), "data": "toy_parts:NoData"}
    result = nascore.search(**toy_parts.parts(**parts, trials=1, out=tmp_path / "run"))
    with pytest.raises(SettingsError, match=r"retrain\.seed is set by nascore itself"):
        retrain(result, options={"seed": 3})
    assert retrain(result, options={"epochs": 3}).options == {"epochs": 3}


# ------------------------------------------------------------------ checkpoints


class StoppedError(Exception):
    pass


class InSteps(Retraining):
    """Adds up the epochs' numbers, and keeps the sum between them."""

    stop = 0
    epochs_run: list[int] = []

    def retrain(self, architecture, splits, *, seed, device, report, checkpoint, epochs=4):
        state = checkpoint.load() or {"epoch": 0, "sum": torch.zeros(2)}
        for epoch in range(state["epoch"] + 1, epochs + 1):
            InSteps.epochs_run.append(epoch)
            state = {"epoch": epoch, "sum": state["sum"] + epoch}
            checkpoint.save(epoch, state)
            if epoch == InSteps.stop:
                raise StoppedError
        return Measurement.complete(test_accuracy=0.5), {"weight": state["sum"]}


@pytest.fixture
def in_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("nascore.checkpoint.SAVING_SHARE", float("inf"))  # keep every epoch
    InSteps.epochs_run.clear()
    monkeypatch.setattr(InSteps, "stop", 2)
    parts = {"space": "cli_parts:Pixels", "data": "toy_parts:NoData", "evaluator": InSteps()}
    return nascore.search(**toy_parts.parts(**parts, trials=2, seed=5, out=tmp_path / "run"))


def test_a_retraining_that_was_stopped_goes_on_and_leaves_no_checkpoint(in_steps, monkeypatch):
    folder = in_steps.folder / "retrain" / f"{in_steps.best.number:06d}" / "seed-0"
    with pytest.raises(StoppedError):
        retrain(in_steps)
    assert (folder / "checkpoint").is_dir()
    assert retrained_weights(in_steps, in_steps.best.number) is None
    monkeypatch.setattr(InSteps, "stop", 0)
    retrain(in_steps)
    assert InSteps.epochs_run == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == ["measurement.json", "weights.safetensors"]
    assert load_file(folder / "weights.safetensors")["weight"].tolist() == [10, 10]


def test_other_options_begin_anew(in_steps, monkeypatch):
    with pytest.raises(StoppedError):
        retrain(in_steps)
    monkeypatch.setattr(InSteps, "stop", 0)
    retrain(in_steps, options={"epochs": 3})
    assert InSteps.epochs_run == [1, 2, 1, 2, 3]


def test_a_damaged_checkpoint_costs_an_epoch_and_says_so(in_steps, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("nascore"), "propagate", True)
    with pytest.raises(StoppedError):
        retrain(in_steps)
    path = in_steps.folder / "retrain" / f"{in_steps.best.number:06d}" / "seed-0" / "checkpoint" / "00000002.checkpoint"
    path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setattr(InSteps, "stop", 0)
    retrain(in_steps)
    assert InSteps.epochs_run == [1, 2, 2, 3, 4]
    assert "00000002.checkpoint is damaged" in caplog.text


def test_checkpoints_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 101.0, 103.0, 105.0, 106.0])  # begun, ended; too early; begun, ended; too early
    monkeypatch.setattr("nascore.checkpoint.time", SimpleNamespace(monotonic=lambda: next(clock)))
    checkpoint = TrainingCheckpoint(tmp_path / "kept", {"key": "a"})
    for epoch in (1, 2, 3, 4):
        checkpoint.save(epoch, {"epoch": epoch})
    assert sorted(path.stem for path in (tmp_path / "kept").iterdir()) == ["00000001", "00000003"]
    assert TrainingCheckpoint(tmp_path / "kept", {"key": "a"}).load() == {"epoch": 3}
    assert TrainingCheckpoint(tmp_path / "kept", {"key": "b"}).load() is None


# ------------------------------------------------------------------ MLflow


def test_the_test_accuracy_and_its_spread_go_to_mlflow_with_their_file(tmp_path, monkeypatch, capsys):
    parts = {"space": "cli_parts:Pixels", "evaluator": "cli_parts:Retraining", "data": "toy_parts:NoData"}
    result = nascore.search(**toy_parts.parts(**parts, trials=2, out=tmp_path / "run"))
    assert main(["retrain", str(result.folder)]) == 0  # not tracked: nothing to send, and nothing is said
    assert "MLflow" not in capsys.readouterr().err
    assert not outbox_path(result.folder).exists()
    Outbox(outbox_path(result.folder)).close()
    assert main(["retrain", str(result.folder), "--seeds", "3", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    [(event, _)] = read_events(outbox_path(result.folder), 0)
    accuracy = found["test_accuracy"]
    assert event["metrics"] == {
        "test_accuracy": accuracy["mean"], "test_accuracy_std": accuracy["std"], "test_accuracy_seeds": 3.0
    }  # fmt: skip
    assert (event["step"], event["files"]) == (found["trial"], [f"retrain/{found['trial']:06d}/result.json"])
    assert "to send the result to MLflow: nascore track" in captured.err
    retrain(result)
    assert "test_accuracy_std" not in list(read_events(outbox_path(result.folder), 0))[-1][0]["metrics"]
