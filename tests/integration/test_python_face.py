"""``nascore.search`` as a notebook uses it: own space, own data, the result, the network, resuming with objects."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
import torch
from toy_parts import Letters, NoData, Table

import nascore
from nascore.errors import RunError, SettingsError

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(name, function):
    source = (EXAMPLES / f"{name}.py").read_text()
    (node,) = (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == function)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return sum(bool(line.strip()) for line in source.splitlines()[first - 1 : node.end_lineno])


def test_the_examples_are_as_short_as_is_claimed():
    assert lines_of("own_space", "my_space") <= 15
    assert lines_of("own_data", "my_data") <= 5


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return nascore.search(
        "random", space=example("own_space").my_space, data="digits", trials=3, constraints=["params<=20k"], seed=4,
        objectives=["accuracy", "params"], options={"evaluator.epochs": 1}, tracking="off",
        out=tmp_path_factory.mktemp("face") / "run",
    )  # fmt: skip


def accuracy(network, split):
    inputs, labels = zip(*(split[i] for i in range(len(split))), strict=True)
    with torch.no_grad():
        guesses = network(torch.stack([torch.as_tensor(x) for x in inputs])).argmax(1)
    return (guesses == torch.as_tensor([int(y) for y in labels])).float().mean().item()


def test_an_own_space_gives_a_trained_network_as_accurate_as_recorded(result):
    best = result.best
    assert best.status is nascore.Status.COMPLETE
    network = result.model()
    assert isinstance(network, torch.nn.Sequential)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == best.costs["params"].value <= 20_000
    found = accuracy(network, result.search.data.valid)
    assert found == pytest.approx(best.objectives["accuracy"], abs=1e-6)
    assert 0.12 < found <= 1  # it learnt: ten classes
    again = nascore.open_run(result.folder, space=example("own_space").my_space).model()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_result_tells_its_trials(result):
    table = result.trials
    assert list(table["trial"]) == [0, 1, 2]
    assert table.loc[result.best.number, "accuracy"] == result.best.objectives["accuracy"] == table["accuracy"].max()
    assert set(table["genome.width"]) <= {8, 16, 32}
    assert result.best in result.pareto_front
    for trial in result.pareto_front:
        dominated = (table["accuracy"] >= trial.value("accuracy")) & (table["params"] < trial.value("params"))
        assert not dominated.any()
    html = result._repr_html_()
    assert html.count("<tr") == 4
    assert "<svg" in html, "the best network is drawn"
    assert f"{result.best.objectives['accuracy']:.6f}"[:8] in html
    assert f"best trial {result.best.number}" in repr(result)


def test_weights_that_were_not_kept_are_told(result):
    kept = {trial.number for trial in result.pareto_front}
    dropped = [number for number in range(3) if number not in kept]
    for number in kept:
        result.model(number)
    for number in dropped:
        with pytest.raises(RunError, match=f"weights of trial {number} were not kept; the best ones are: "):
            result.model(number)
    with pytest.raises(RunError, match="has no trial 7; it has 3"):
        result.model(7)


def test_damaged_weights_are_told(result, tmp_path):
    (path,) = result.search.run.artifacts(result.best.number).glob("*.safetensors")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-100])
        with pytest.raises(RunError, match="is damaged, or holds the weights of another network"):
            result.model()
    finally:
        path.write_bytes(whole)


def test_own_data(tmp_path):
    found = nascore.search(
        "random", data=example("own_data").my_data, trials=1, tracking="off", out=tmp_path / "run",
        options={"evaluator.epochs": 1, "space.blocks": 1, "space.cells": 1, "space.channels": 8},
    )  # fmt: skip
    assert (found.search.task.classes, found.search.task.shape) == (2, (1, 8, 8))
    assert found.best.objectives["accuracy"] > 0.5
    assert accuracy(found.model(), found.search.data.valid) == pytest.approx(found.best.objectives["accuracy"])


def test_objects_are_given_again_to_resume(tmp_path):
    def space(choose):
        choose("width", [1, 2, 3, 4])
        return torch.nn.Flatten()

    given = {"space": space, "evaluator": Table(), "data": NoData()}
    common = {"sampler": "random:random", "costs": [], "tracking": "off"}
    whole = nascore.search(**given, **common, trials=6, out=tmp_path / "whole")
    nascore.search(**given, **common, trials=2, out=tmp_path / "run")
    with pytest.raises(RunError, match=r"The space of this run was an object .*nascore\.resume\(RUN, space=\.\.\.\)"):
        nascore.resume(tmp_path / "run", trials=6)
    assert len(nascore.open_run(tmp_path / "run").history) == 2  # to look at it needs none of them
    resumed = nascore.resume(tmp_path / "run", trials=6, **given)
    keys = [[trial.architecture.key for trial in one.history] for one in (whole, resumed)]
    assert keys[0] == keys[1]


def test_objects_that_are_none_of_the_kind_are_refused(tmp_path):
    common = {"costs": [], "tracking": "off", "trials": 1, "out": tmp_path / "run", "data": NoData()}
    with pytest.raises(SettingsError, match=r"sampler .* is Letters, not a Sampler"):
        nascore.search(space=Letters(), sampler=Letters(), evaluator=Table(), **common)
    with pytest.raises(SettingsError, match=r"evaluator .* is int, not a Evaluator"):
        nascore.search(space=Letters(), sampler="random:random", evaluator=5, **common)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_training_uses_the_threads_of_the_search(tmp_path, threads):
    seen = set()

    class Counting(torch.nn.Module):
        def __init__(self, task):
            super().__init__()
            self.layer = torch.nn.Linear(task.channels * 64, task.classes)

        def forward(self, x):
            seen.add(torch.get_num_threads())
            return self.layer(x.flatten(1))

    def space(choose, task):
        choose("nothing", [0, 1])
        return Counting(task)

    before = torch.get_num_threads()
    nascore.search(
        "random", space=space, data="digits", trials=1, costs=[], tracking="off", out=tmp_path / "run",
        options={"evaluator.epochs": 1, "threads": threads},
    )  # fmt: skip
    assert seen == {threads}
    assert torch.get_num_threads() == before
