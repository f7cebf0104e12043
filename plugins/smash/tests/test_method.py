"""The method's record, its paper preset without the data, and settings that are refused."""

import json

import pytest
from click.testing import CliRunner

from nascore.cli.main import cli
from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import MethodConformance
from nascore_smash.evaluator import HyperWeights
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace


class TestSmash(MethodConformance):
    name = "smash"


@pytest.mark.slow
def test_the_paper_preset_is_built_and_counted_without_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCORE_DATA", str(tmp_path))
    monkeypatch.setattr("nascore.cli.preview.SAMPLES", 2)
    done = CliRunner().invoke(cli, ["search", "--plugin", "smash", "--preset", "paper", "--dry-run", "--json"])
    assert done.exit_code == 0, done.stderr
    out = json.loads(done.stdout)
    assert "cifar-10-batches-py" in out["missing"]
    shared = {name: cost["value"] for name, cost in out["shared"].items()}
    assert shared["supernet_params"] > shared["hypernet_params"] > 1e5
    for one in out["sampled"]:
        assert shared["supernet_params"] > one["costs"]["params"]["value"] > 1e5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, "blocks is 0"),
        ({"banks": 1}, "banks is 1"),
        ({"inputs": 9}, r"from 1 to banks \(8\)"),
        ({"kernels": [3, 4]}, "odd whole numbers"),
        ({"groups": [1, 3]}, r"divisors of channels \(8\)"),
        ({"widths": []}, "at least one"),
        ({"dilations": [2, 2]}, "each once"),
    ],
)
def test_a_space_says_what_is_wrong(options, message):
    with pytest.raises(SettingsError, match=message):
        BankSpace(**options)


@pytest.mark.parametrize(("shape", "message"), [((1, 3, 8), "at least 4 x 4"), ((16,), "reads images")])
def test_data_that_does_not_fit_is_refused_at_setup(shape, message):
    with pytest.raises(SpaceError, match=message):
        BankSpace().setup(Task("t", shape, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 0}, "growth is 0"),
        ({"layers": []}, "each dense block"),
        ({"layers": [2, 0]}, "each dense block"),
        ({"rank": -1}, "rank is -1"),
        ({"beta1": 1.0}, "beta1 is 1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"last_rate": 1.0}, "last_rate is 1.0"),
    ],
)
def test_an_evaluator_says_what_is_wrong(options, message):
    with pytest.raises(SettingsError, match=message):
        HyperWeights(**options)


@pytest.mark.parametrize("options", [{"random": 0}, {"perturbations": -1}, {"probability": 0.0}, {"probability": 1.1}])
def test_a_sampler_says_what_is_wrong(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        Perturb(**options)
