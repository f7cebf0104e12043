"""A search with several objectives: its hypervolume, where it is shown, and that pruning works."""

from __future__ import annotations

import json
import math

import pytest
import toy_parts
from click.testing import CliRunner

import nascore
from nascore.cli.main import cli
from nascore.pareto import hypervolume
from nascore.records import Direction, Status
from nascore.tracking.events import finished

MEDIAN = {"pruner.use": "median", "pruner.n_startup_trials": 4}


def search(folder, objectives=("accuracy", "vowels"), **more):
    return nascore.search(
        sampler="random:random", space=toy_parts.Letters(), evaluator=toy_parts.Table(), data=toy_parts.NoData(),
        costs=["toy_parts:Vowels"], objectives=list(objectives), seed=1, tracking="off", out=folder,
        **{"trials": 20, **more},
    )  # fmt: skip


def test_the_hypervolume_of_a_result(tmp_path):
    result = search(tmp_path / "run")
    values = [(t.objectives["accuracy"], t.costs["vowels"].value) for t in result.history]
    worst = min(a for a, _ in values), max(v for _, v in values)
    assert result.reference_point == {"accuracy": worst[0], "vowels": worst[1]}
    expected = hypervolume(values, worst, [Direction.MAXIMIZE, Direction.MINIMIZE])
    assert result.hypervolume == pytest.approx(expected)
    assert expected > 0
    assert result.summary()["hypervolume"] == {"value": result.hypervolume, "reference_point": result.reference_point}
    assert finished(result)["metrics"] == {"hypervolume": result.hypervolume}


def test_one_objective_has_none(tmp_path):
    result = search(tmp_path / "run", ["accuracy"])
    assert (result.hypervolume, result.reference_point) == (None, {})
    assert "hypervolume" not in result.summary()
    assert finished(result)["metrics"] == {}


def test_show_tells_it(tmp_path):
    result = nascore.search(
        sampler="random:random", space="toy_parts:Letters", evaluator="toy_parts:Table", data="toy_parts:NoData",
        costs=["toy_parts:Vowels"], objectives=["accuracy", "vowels"], seed=1, tracking="off", out=tmp_path / "run",
        trials=20,
    )  # fmt: skip
    text = CliRunner().invoke(cli, ["show", str(tmp_path / "run")]).stdout
    most = max(trial.costs["vowels"].value for trial in result.history)
    assert f"hypervolume {result.hypervolume:.5g}, from the worst seen: accuracy 0, vowels {most:g}" in text
    shown = json.loads(CliRunner().invoke(cli, ["show", str(tmp_path / "run"), "--json"]).stdout)
    assert shown["hypervolume"]["value"] == result.hypervolume


def test_pruning_looks_at_the_first_objective(tmp_path):
    result = search(tmp_path / "run", trials=40, options=MEDIAN)
    alone = search(tmp_path / "alone", ["accuracy"], trials=40, options=MEDIAN)
    pruned = [t.number for t in result.history if t.status is Status.PRUNED]
    assert pruned
    assert pruned == [t.number for t in alone.history if t.status is Status.PRUNED]
    assert not set(pruned) & {t.number for t in result.pareto_front}
    assert result.hypervolume is not None
    assert not math.isnan(result.hypervolume)
