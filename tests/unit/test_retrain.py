"""Retraining: seeds, what is kept, and what is not trained twice."""

from __future__ import annotations

import json
import logging

import pytest
import toy_parts
from cli_parts import Retraining
from safetensors.torch import load_file

import nascore
from nascore.cli.main import main
from nascore.errors import CapabilityError
from nascore.retrain import retrain, retrained_weights


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
