"""The table: complete, of the networks it says, and what training them again gives."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from nascore.compare.race import Course
from nascore.errors import DataError, SettingsError, SpaceError
from nascore.plugins import Plugins
from nascore.records import Candidate, Status
from nascore.testing import MemoryContext, ToySpace, toy_data
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.data import Digits
from nascore_blocks.nasbench201 import NAMES, canonical_terms
from nascore_nasbench_digits import data as module
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.data import OPS, load_table
from nascore_nasbench_digits.lookup import Lookup
from nascore_nasbench_digits.produce import RECIPE, SEEDS, initial_network, load_data, train_cells
from nascore_nasbench_digits.space import DigitsCells


@pytest.fixture(scope="module")
def table():
    return load_table()


def ready(**options):
    data = Digits().load(0)
    space = DigitsCells()
    space.name = "nasbench-digits:cells"
    space.setup(data.task)
    evaluator = Lookup(**options)
    evaluator.setup(space, data.for_search())
    return space, evaluator, data


def names(row):
    return tuple(OPS[index] for index in row)


def test_the_cells_are_5260_networks(table):
    assert table.ops.shape == (15625, 6)
    assert len(np.unique(table.ops, axis=0)) == 15625
    assert len(table.test) == len(set(table.network.tolist())) == 5260
    assert tuple(table.network.tolist()) == all_cells().network


def test_every_network_was_trained_and_no_training_is_torn(table):
    assert table.curves.shape == (5260, SEEDS, RECIPE.epochs)
    done = np.isfinite(table.test)
    assert done[:, 0].all()
    assert (np.isfinite(table.curves).all(axis=2) == done).all()
    assert (np.isfinite(table.curves).any(axis=2) == done).all()
    for values in (table.curves[done], table.test[done]):
        assert (values >= 0).all()
        assert (values <= 1).all()
        assert np.allclose(values * 359, (values * 359).round(), atol=1e-3)  # counts of 359 images
    assert table.curves[:, 0, -1].mean() > table.curves[:, 0, 0].mean() + 0.1  # curves rise
    assert (table.seconds > 0).all()


def test_isomorphic_cells_are_one_row(table):
    """By the space's own key, which the table was not made with: equal keys, equal networks, both ways."""
    space = ready()[0]
    chosen = random.Random(0).sample(range(15625), 600)
    keys = {}
    for cell in chosen:
        key = space.architecture(dict(zip(NAMES, names(table.ops[cell]), strict=True))).key
        keys.setdefault(key, set()).add(int(table.network[cell]))
        assert table.network_of(names(table.ops[cell])) == table.network[cell]
    assert all(len(found) == 1 for found in keys.values())
    assert len({next(iter(found)) for found in keys.values()}) == len(keys)
    assert len(keys) < 600


def test_a_cell_that_leads_nowhere_guesses(table):
    nothing = table.network_of(("none",) * 6)
    assert json.dumps(canonical_terms(("none",) * 6)) == "[[]]"
    assert np.nanmax(table.curves[nothing]) < 0.15


def test_counts_are_those_of_the_network_that_is_built(table):
    space, _, data = ready()
    example = torch.empty(1, 1, 8, 8)
    for cell in random.Random(1).sample(range(15625), 10):
        network = space.build(
            space.architecture(dict(zip(NAMES, names(table.ops[cell]), strict=True))), data.task
        ).eval()
        number = table.network[cell]
        assert count_params(network, example) == table.params[number]
        assert count_macs(network, example) == table.macs[number]


@pytest.mark.slow
def test_training_again_gives_the_table(table):
    """In other company and another order of sums: float32 drifts apart over 170 steps, but not far."""
    data = load_data()
    numbers = random.Random(2).sample(range(5260), 8)
    cells = all_cells().representatives
    curves = train_cells([cells[number] for number in numbers], 0, data)
    again = curves.valid[:, -1].numpy() / 359
    assert np.abs(again - table.accuracy[numbers, 0]).max() < 0.08
    assert np.abs(again - table.accuracy[numbers, 0]).mean() < 0.015
    # The first epoch is 17 steps: what is wrong (another seed, another start) shows there at once.
    assert np.abs(curves.valid[:, 0].numpy() / 359 - table.curves[numbers, 0, 0]).mean() < 0.01
    assert np.nanmean(np.abs(table.curves[:, 0, 0] - table.curves[:, 1, 0])) > 0.03


def test_a_trial_sees_one_training_and_reports_its_curve(table):
    space, evaluator, data = ready()
    cell = names(table.ops[12345])
    architecture = space.architecture(dict(zip(NAMES, cell, strict=True)))
    network = table.network[12345]
    trainings = table.curves[network][np.isfinite(table.test[network])]
    for seed in range(6):
        context = MemoryContext(data, seed=seed)
        found = evaluator.evaluate(Candidate(architecture), context)
        curve = trainings[seed % len(trainings)]
        assert [metrics["accuracy"] for _, metrics in context.reports] == pytest.approx(curve.tolist())
        assert [step for step, _ in context.reports] == list(range(1, 11))
        assert found.objectives["accuracy"] == curve[-1]
        assert found.objectives["params_k"] == table.params[network] / 1000
        assert found.metrics["mean_accuracy"] == pytest.approx(trainings[:, -1].mean())
        assert found.metrics["train_seconds"] == pytest.approx(table.seconds[network])
    quiet = ready(noise=False)[1].evaluate(Candidate(architecture), MemoryContext(data, seed=0))
    assert quiet.objectives["accuracy"] == pytest.approx(trainings[:, -1].mean())
    short = evaluator.evaluate(Candidate(architecture, {"epochs": 4}), MemoryContext(data, seed=1))
    assert short.objectives["accuracy"] == trainings[1 % len(trainings), 3]


def test_a_stopped_trial_ends_where_it_was_stopped(table):
    space, evaluator, data = ready()
    architecture = space.architecture(dict(zip(NAMES, names(table.ops[12345]), strict=True)))
    found = evaluator.evaluate(Candidate(architecture), MemoryContext(data, seed=0, steps=2))
    assert found.status is Status.PRUNED
    assert found.objectives["accuracy"] == table.curves[table.network[12345], 0, 2]
    assert found.metrics["train_seconds"] == pytest.approx(0.3 * table.seconds[table.network[12345]])


def test_wrong_use_is_told(tmp_path):
    space, evaluator, data = ready()
    architecture = space.architecture(dict.fromkeys(NAMES, "skip_connect"))
    for fidelity in ({"epochs": 11}, {"epochs": 1.5}, {"width": 1}):
        with pytest.raises(SettingsError, match="the table knows epochs, 1 to 10"):
            evaluator.evaluate(Candidate(architecture, fidelity), MemoryContext(data))
    toy = ToySpace()
    toy.setup(toy_data().task)
    with pytest.raises(SpaceError, match="--space nasbench201"):
        Lookup().setup(toy, toy_data())
    with pytest.raises(DataError, match="install nascore-nasbench-digits again"):
        load_table(tmp_path / "absent.npz")
    with np.load(module.FILE) as stored:
        raw = dict(stored)
    for name, changed, match in (
        ("test", None, "has no test"),
        ("network", raw["network"][1:], r"network has the shape \(15624,\)"),
        ("valid", raw["valid"][:-1], "test has the shape|do not fit|seconds has"),
        ("network", np.zeros_like(raw["network"]), "do not fit each other"),
        ("test", np.full_like(raw["test"], 360), "test counts more than 359 examples"),
    ):
        damaged = {key: value for key, value in raw.items() if key != name}
        if changed is not None:
            damaged[name] = changed
        path = tmp_path / f"{match[:8].strip().replace(' ', '')}{name}{changed is None}.npz"
        np.savez(path, **damaged)
        with pytest.raises(DataError, match=match):
            load_table(path)


def test_the_network_is_that_of_blocks_but_for_the_stride(table):
    space, _, data = ready()
    architecture = space.architecture(dict.fromkeys(NAMES, "nor_conv_3x3"))
    network = space.build(architecture, data.task)
    assert network.stem(torch.zeros(2, 1, 8, 8)).shape == (2, 16, 4, 4)
    same = initial_network(("nor_conv_3x3",) * 6, 0, data), initial_network(("nor_conv_3x3",) * 6, 0, data)
    assert all(torch.equal(a, b) for a, b in zip(same[0].parameters(), same[1].parameters(), strict=True))
    supernet = space.supernet(data.task)
    assert supernet.network.stem[0].stride == (2, 2)
    assert supernet.extract(("nor_conv_3x3",) * 6).stem[0].stride == (2, 2)
    assert {(shape.height, shape.width) for *_, shape in supernet.priced_ops()} == {(4, 4)}


def test_the_benchmark_races(table):
    record = Plugins().find("benchmarks", "nasbench-digits:nasbench-digits")[1]
    curve = Course(record).race({"use": "random:random"}, 0, 100)
    assert 0.9 < curve.at(100) <= np.nanmean(table.accuracy, axis=1).max()
    assert curve.seconds[-1] == pytest.approx(100 * table.seconds.mean(), rel=0.3)
    both = Course(record, objectives=("accuracy", "params_k"))
    assert both.score.exact > 0
