import json

import pytest

from nascore.cli.main import main
from nascore.plugins import Plugins

SPACE = [
    "--set",
    "space.cells=1",
    "--set",
    "space.blocks=1",
    "--set",
    "space.channels=4",
    "--set",
    "space.reductions=1",
]


def run(capsys, *arguments):
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def cost(tmp_path):
    return ["--set", f"cost.folder={tmp_path}", "--set", "cost.clock=cpu"]


def test_profile_then_show_then_search(capsys, cost, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(
        capsys, "device", "profile", "--space", "blocks:nasnet", "--data", "digits", "--networks", "10", "--json",
        "--predictor", *SPACE, *cost,
    )  # fmt: skip
    assert status == 0, err
    told = json.loads(out)
    assert told["place"] == "blocks:nasnet on 1x1x8x8"
    assert told["networks"] == 10
    assert set(told["errors"]) == {"sum", "corrected", "predictor"}
    (tmp_path / "cpu-broken.json").write_text("{")
    status, out, _ = run(capsys, "device", "show", "--json", *cost)
    shown = {"error" in one: one for one in json.loads(out)}
    assert status == 0
    assert shown[False]["this_device"]
    assert shown[False]["file"] == told["file"]
    assert shown[False]["places"]["blocks:nasnet on 1x1x8x8"]["networks"] == 10
    status, out, _ = run(capsys, "device", "show", *cost)
    assert "(this device)" in out
    assert "cannot be used" in out
    assert "10 networks" in out
    status, out, err = run(
        capsys, "search", "--plugin", "random", "--trials", "1", "--no-tracking", "--json",
        "--out", str(tmp_path / "run"),
        "--set", "evaluator.epochs=1", *SPACE, "--cost", "device:table", "--constraint", "latency_ms<=1000",
        "--set", f"cost.table.folder={tmp_path}",
        "--set", "cost.table.clock=cpu",
    )  # fmt: skip
    assert status == 0, err
    latency = json.loads(out)["best"]["costs"]["latency_ms"]
    assert latency["repeats"] == 10
    assert latency["value"] > 0


def test_without_predictor_its_errors_are_not_told(capsys, cost):
    status, out, err = run(
        capsys, "device", "profile", "--space", "blocks:nasnet", "--data", "digits", "--networks", "10", *SPACE, *cost
    )
    assert status == 0, err
    assert "corrected: rank correlation" in out
    assert "predictor:" not in out


def test_nothing_known_yet(capsys, cost):
    status, out, err = run(capsys, "device", "show", *cost)
    assert (status, out) == (0, "")
    assert "type: nascore device profile" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--set", "sampler.size=3"], "write space.OPTION=VALUE"), (["--set", "cost.clok=cpu"], "did you mean 'clock'"),
     (["--cost", "blocks:params"], "keeps no profile of a device"), (["--device", "abacus"], "device = 'abacus'"),
     (["--networks", "3"], "needs at least 8"), (["--space", "nosuch"], "nosuch")],
)  # fmt: skip
def test_wrong_use(capsys, arguments, message):
    status, _, err = run(capsys, "device", "profile", "--space", "blocks:nasnet", "--data", "digits", *arguments)
    assert status == 2
    assert message in err


def test_without_the_plugin_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(Plugins, "names", property(lambda self: ["blocks"]))
    status, _, err = run(capsys, "device", "show")
    assert status == 2
    assert "nascore plugins install nascore-device" in err
