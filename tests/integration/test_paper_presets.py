"""``--dry-run`` of the paper presets of the weight-sharing methods, on a machine without their data."""

import json

import pytest
from click.testing import CliRunner

from nascore.cli.main import cli
from nascore.contracts import Task
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.sizes import sizes_of


@pytest.mark.parametrize("plugin", ["darts", "snas", "proxylessnas", "enas", "oneshot"])
def test_networks_and_supernet_are_built_and_counted_without_the_data(plugin, tmp_path, monkeypatch):
    monkeypatch.setenv("NASCORE_DATA", str(tmp_path))
    monkeypatch.setattr("nascore.cli.preview.SAMPLES", 2)
    words = ["search", "--plugin", plugin, "--preset", "paper", "--dry-run", "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.stderr
    out = json.loads(done.stdout)
    assert "cifar-10-batches-py" in out["missing"]
    assert out["task"] == {"name": "cifar10", "shape": [3, 32, 32], "classes": 10}
    largest = {name: max(one["costs"][name]["value"] for one in out["sampled"]) for name in ("params", "macs")}
    for name, value in largest.items():
        assert out["shared"][f"supernet_{name}"]["value"] > value > 1e5


def test_the_supernet_of_darts_has_the_parameters_of_the_authors_log():
    # Their search prints "param size = 1.930618MB" (quark0/darts, train_search.py, C = 16, 8 layers).
    space, task = DARTSSpace(blocks=4, cells=2, channels=16), Task("cifar10", (3, 32, 32), 10)
    space.setup(task)
    assert sizes_of(space, task)["supernet_params"].value == 1_930_618


def test_macs_of_a_supernet_are_those_of_all_its_ops():
    space, task = (
        DARTSSpace(blocks=1, cells=1, channels=4, reductions=0, ops=("sep_conv_3x3",)),
        Task("t", (1, 8, 8), 3),
    )
    space.setup(task)
    stem = 9 * 1 * 12 * 64
    into = 2 * 12 * 4 * 64
    ops = 2 * 2 * (9 * 4 + 4 * 4) * 64  # two edges, each twice depthwise and pointwise
    assert sizes_of(space, task)["supernet_macs"].value == stem + into + ops + 4 * 3
