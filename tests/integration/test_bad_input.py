"""Bad input, typed as a user would: one clear message, the right exit status, nothing computed, nothing lost."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from nascore.cli.main import main

QUIET = ["--no-tracking", "--quiet"]


@pytest.fixture
def call(capsys):
    """Run a command line; its status, standard output and standard error, which never hold a traceback."""

    def run_it(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run_it


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def toys(evaluator="toy_parts:Table", space="toy_parts:Letters", data="toy_parts:NoData"):
    return ["--space", space, "--sampler", "random:random", "--evaluator", evaluator, "--data", data, "--cost",
            "toy_parts:Vowels", *QUIET]  # fmt: skip


# ------------------------------------------------------------------------------------ what is typed


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--plugin", "amoebanett"], ["no method 'amoebanett'", "did you mean 'amoebanet'?"]),
        (["--space", "nasnat"], ["no search space 'nasnat'", "did you mean 'nasnet'?"]),
        (["--data", "digitz"], ["no data set 'digitz'", "did you mean 'digits'?"]),
        (["--sampler", "optuna:tpee"], ["no sampler 'tpee'", "did you mean 'tpe'?"]),
        (["--sampler", "vanished:tpe"], ["'vanished'", "nascore plugins install nascore-vanished"]),
        (["--evaluator", "tran"], ["no evaluator 'tran'", "did you mean 'train'?"]),
        (["--cost", "parms"], ["no cost model 'parms'", "did you mean 'params'?"]),
        (["--executor", "sreial"], ["no executor 'sreial'", "serial"]),
        (["--pruner", "mediann"], ["no pruner 'mediann'", "did you mean 'median'?"]),
        (["--preset", "papre"], ["no preset 'papre'", "did you mean 'paper'?"]),
        (["--objective", "acuracy"], ["no objective 'acuracy'", "did you mean 'accuracy'?"]),
        (["--set", "trails=3"], ["no setting 'trails'", "did you mean 'trials'?"]),
        (["--set", "evaluator.epoch=3"], ["evaluator.epoch is no option", "did you mean 'epochs'?"]),
        (["--set", "evaluator.epochs=many"], ["evaluator.epochs = 'many'", "valid integer"]),
        (["--set", "trials=0"], ["trials = 0", "greater than or equal to 1"]),
        (["--trials", "0"], ["--trials", "x>=1"]),
        (["--trials", "-1"], ["--trials", "x>=1"]),
        (["--trials", "x"], ["--trials", "not a valid integer"]),
        (["--time", "0"], ["--time", "x>0"]),
        (["--time", "-1"], ["--time", "x>0"]),
        (["--time", "nan"], ["time = nan", "greater than 0"]),
        (["--seed", "-1"], ["--seed", "x>=0"]),
        (["--set", "threads=99999999999999999999"], ["threads", "less than or equal to 1024"]),
        (["--device", "gpu"], ["device = 'gpu' cannot be used here", "allowed: cpu"]),
        (["--device", "cuda:77"], ["device = 'cuda:77' cannot be used here", "allowed: cpu"]),
        (["--device", "meta"], ["device = 'meta' cannot be used here", "allowed: cpu"]),
        (["--constraint", "parms<=5"], ["called 'parms'", "did you mean 'params'?"]),
        (["--constraint", "params<5"], ["'params<5' is no constraint", "params<=50k"]),
        (["--constraint", "params<=-5"], ["can never hold"]),
        (["--config", "nowhere.toml"], ["Cannot read nowhere.toml", "No such file"]),
        (["--space", "nowhere.py:x"], ["There is no file", "nowhere.py"]),
        (["--space", "script.py:x"], ["Cannot import 'script.py'", "SystemExit"]),
        (["--space", "hostile_parts:missing"], ["hostile_parts has no 'missing'"]),
        (["--space", "hostile_parts:not_a_space"], ["is int, not a SearchSpace"]),
        (["--space", "hostile_parts:wants_three"], ["a function of (choose) or (choose, task)"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_wrong_use_is_told_before_anything_runs(call, tmp_path, arguments, messages):
    (tmp_path / "script.py").write_text("import sys\nsys.exit(4)\n")
    status, out, err = call("search", "--plugin", "random", *QUIET, *arguments)
    assert (status, out) == (2, "")
    for message in messages:
        assert message in err
    assert {path.name for path in tmp_path.iterdir()} <= {"script.py", "__pycache__"}


def test_a_dry_run_for_a_device_that_is_not_here_measures_on_the_cpu(call):
    status, out, err = call("search", "--plugin", "random", "--device", "cuda:77", "--dry-run")
    assert status == 0
    assert 'device = "cuda:77"' in out
    assert "on cpu, forward and backward" in out
    assert "Measured on cpu instead" in err


def test_impossible_constraints_name_the_nearest_trial(call, tmp_path):
    words = [*toys(), "--cost", "toy_parts:Stopwatch", "--constraint", "vowels<=0"]  # a stopwatch never shows 0
    status, _, err = call("search", *words, "--trials", 4, "--seed", 0, "--out", "run")
    assert status == 1
    _, out, _ = call("show", "run", "--history", "--json")
    vowels = {trial["number"]: trial["costs"]["vowels"]["value"] for trial in json.loads(out)["trials"]}
    nearest = min(vowels, key=lambda number: vowels[number])
    assert min(vowels.values()) > 0
    assert f"No trial is complete (4 infeasible). The nearest to the constraints is trial {nearest}" in err


# ------------------------------------------------------------------------------------ spaces


def test_a_combination_that_cannot_be_built_fails_alone(call):
    words = toys("hostile_parts:Builds", "hostile_parts:raises_at_two")
    words[words.index("--cost") + 1] = "blocks:params"
    status, out, _ = call("search", *words, "--trials", 8, "--out", "run", "--json")
    assert status == 0
    counts = json.loads(out)["counts"]
    assert counts["complete"] > 0
    assert counts["fail"] > 0
    _, out, _ = call("show", "run", "--history", "--json")
    for trial in json.loads(out)["trials"]:
        assert trial["status"] == ("fail" if trial["genome"]["width"] == 2 else "complete")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("raises_always", "KeyError: 'no such layer'"),
        ("returns_nothing", "The space 'returns_nothing' must return a torch.nn.Module; it returned NoneType"),
        ("changes_options", "'width' came with other options before: [8, 16], now [8, 16, 32]"),
        ("offers_classes", "an option is None, a bool, an int, a float or a text"),
    ],
)
def test_a_space_that_is_wrong_altogether(call, space, message):
    words = toys("hostile_parts:Builds", f"hostile_parts:{space}")
    words[words.index("--cost") + 1] = "blocks:params"
    status, _, err = call("search", *words, "--trials", 2, "--out", "run")
    assert status == 1
    assert message in err


def test_a_dry_run_tells_a_space_that_cannot_be_built(call):
    status, _, err = call("search", "--space", "hostile_parts:raises_always", "--data", "digits", "--dry-run")
    assert status == 1
    assert "None of 8 architectures drawn at random can be built. The last: KeyError: 'no such layer'" in err


# ------------------------------------------------------------------------------------ evaluations


def test_every_failure_is_a_trial_with_its_reason_kept_and_shown(call):
    status, out, _ = call("search", *toys("hostile_parts:Sick"), "--trials", 9, "--out", "run", "--json")
    assert status == 0
    counts = json.loads(out)["counts"]
    assert (counts["complete"], counts["fail"]) == (2, 7)
    reasons = ["accuracy is nan", "MemoryError: cannot allocate 9 TiB", "ValueError: shapes differ",
               "returned NoneType", "gave no 'accuracy'", "SystemExit: 3", "RecursionError"]  # fmt: skip
    for number, reason in enumerate(reasons):
        status, out, _ = call("show", "run", "--trial", number)
        assert status == 0
        assert reason in out
        assert ("Traceback" in out and "hostile_parts.py" in out) == (number in (1, 2, 5, 6))


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [("hostile_parts:AllNaN", "accuracy is nan"), ("cli_parts:Failing", "RuntimeError: out of cheese")],
)
def test_where_all_trials_fail_the_search_says_why(call, evaluator, message):
    status, out, err = call("search", *toys(evaluator), "--trials", 3, "--out", "run")
    assert (status, out) == (1, "")
    assert f"No trial is complete (3 fail). The last failure, of trial 2: {message}" in err
    for command in (["export", "run", "--format", "py"], ["resume", "run", "--quiet"]):
        status, _, err = call(*command)
        assert status == 1
        assert "complete" in err
    status, out, _ = call("show", "run")
    assert status == 0
    assert "none yet" in out


# ------------------------------------------------------------------------------------ images


def images(folder, counts, size=(9, 9)):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("L", size, color=index * 20).save(folder / name / f"{index}.png")
    return folder


def test_image_folders_that_cannot_be_used(call, tmp_path):
    def told(folder):
        status, out, err = call("search", "--plugin", "random", *QUIET, "--data", f"folder:{folder}", "--out", "run")
        assert status in (1, 2)
        assert out == ""
        assert not (tmp_path / "run").exists()
        return err

    assert "There is no folder" in told(tmp_path / "nowhere")
    assert "has one class only" in told(images(tmp_path / "one", {"cat": 5}))
    assert "The class 'dog'" in told(images(tmp_path / "single", {"cat": 5, "dog": 1}))
    broken = images(tmp_path / "broken", {"cat": 5, "dog": 5})
    (broken / "dog" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert "3.png" in told(broken)
    assert "path is required" in call("search", "--plugin", "random", *QUIET, "--data", "folder")[2]


def test_images_of_mixed_sizes_are_searched(call, tmp_path):
    images(tmp_path / "photos", {"cat": 10}, (12, 30))
    images(tmp_path / "photos", {"dog": 10}, (9, 9))
    small = ["--set", "evaluator.epochs=1", "--set", "space.blocks=1", "--set", "space.cells=1", "--set",
             "space.channels=4"]  # fmt: skip
    words = ["search", "--plugin", "random", *QUIET, *small, "--data", "folder:photos", "--trials", 1]
    status, out, err = call(*words, "--json", "--out", "run")
    assert status == 0, err
    assert json.loads(out)["counts"]["complete"] == 1
