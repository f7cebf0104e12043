"""The command line: what it prints, where, and its exit status. Parts that train nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from cli_parts import Interrupted

from nascore.cli.main import cli, main
from nascore.plugins import KINDS

PARTS = ["--space", "toy_parts:Letters", "--sampler", "random:random", "--evaluator", "toy_parts:Table", "--data",
         "toy_parts:NoData", "--cost", "toy_parts:Vowels", "--no-tracking", "--quiet"]  # fmt: skip


def parts(**changes):
    """The options of PARTS with some of them changed."""
    out = list(PARTS)
    for name, value in changes.items():
        out[out.index(f"--{name}") + 1] = value
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["search", *PARTS, "--objective", "accuracy", "--objective", "vowels", "--trials", "8",
                 "--out", str(folder)]) == 0  # fmt: skip
    return folder


@pytest.fixture
def call(capsys):
    """Run a command line; its status, standard output and standard error."""

    def run_it(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_it


# ------------------------------------------------------------------------------------- start-up


def imported_by(*arguments):
    code = f"import sys; from nascore.cli.main import main; status = main({list(arguments)!r}); " \
           "print(); print(status, *sorted(m for m in sys.modules if '.' not in m))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *modules = done.stdout.splitlines()[-1].split()
    assert status == "0"
    return set(modules)


def test_help_imports_nothing_heavy():
    heavy = {"torch", "mlflow", "optuna", "numpy", "pydantic", "rich", "sklearn", "pandas"}
    assert not heavy & imported_by("--help")
    assert not heavy & imported_by("search", "--help")


def test_plugins_list_imports_nothing_heavy():
    assert not {"torch", "mlflow", "optuna", "numpy"} & imported_by("plugins", "list")
    assert not {"torch", "mlflow", "optuna", "numpy"} & imported_by("plugins", "list", "--json")


def commands(group, words=()):
    for name, command in group.commands.items():
        yield [*words, name]
        if hasattr(command, "commands"):
            yield from commands(command, [*words, name])


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_every_command_has_help_with_an_example(call, words):
    status, out, _ = call(*words, "--help")
    assert status == 0
    assert "Example:\n  nascore" in out.replace("\n    nascore", "\n  nascore").replace("  Example", "Example")


# --------------------------------------------------------------------------------------- search


def test_search_summary_says_what_was_found_and_what_to_type_next(call, tmp_path):
    status, out, err = call("search", *PARTS, "--trials", "4", "--out", tmp_path / "run")
    assert status == 0
    assert err == ""
    assert "trials: 4 complete" in out
    best = json.loads((tmp_path / "run" / "best" / "architecture.json").read_text())
    assert f"best: trial {best['trial']}  accuracy" in out
    assert f"nascore show {tmp_path / 'run'}" in out


def test_search_json_is_one_object_with_the_binding_keys(call, tmp_path):
    loud = [word for word in PARTS if word != "--quiet"]
    status, out, err = call("search", *loud, "--trials", "3", "--seed", "7", "--json", "--out", tmp_path / "run")
    found = json.loads(out)
    assert status == 0
    assert {"run", "plugin", "seed", "wall_seconds", "counts", "best", "pareto_front"} <= set(found)
    assert found["seed"] == 7
    assert found["counts"] == {"complete": 3, "pruned": 0, "infeasible": 0, "fail": 0}
    assert {"trial", "objectives", "costs", "architecture"} <= set(found["best"])
    assert set(found["best"]["architecture"]) == {"space", "genome", "key"}
    assert found["best"]["costs"]["vowels"]["unit"] == ""
    assert "trial 2, 3/3 done" in err  # progress goes elsewhere


def test_options_reach_the_settings(call, tmp_path):
    config = tmp_path / "search.toml"
    config.write_text('seed = 3\ntrials = 50\n[space]\nuse = "toy_parts:Letters"\nlength = 3\n')
    words = [word for word in PARTS if word not in ("--space", "toy_parts:Letters", "--quiet")]
    status, out, _ = call(
        "search", "--config", config, *words, "--trials", "2", "--set", "sampler.deduplicate=true", "--constraint",
        "vowels<=2", "--pruner", "median", "--threads", "1", "--experiment", "e", "--storage", "memory", "--dry-run",
        "--json",
    )  # fmt: skip
    found = json.loads(out)["settings"]
    assert status == 0
    assert found["space"] == {"use": "toy_parts:Letters", "length": 3}
    assert found["sampler"] == {"use": "random:random", "deduplicate": True}
    assert (found["seed"], found["trials"], found["pruner"]) == (3, 2, {"use": "median"})
    assert (found["constraints"], found["experiment"]) == (["vowels<=2"], "e")
    assert (found["storage"], found["tracking"]) == ("memory", "off")


def test_data_root_is_an_option_of_the_chosen_data(call):
    status, out, _ = call("search", *parts(data="cli_parts:NotHere"), "--data-root", "/far", "--trials", "1",
                          "--dry-run", "--json")  # fmt: skip
    assert status == 0
    assert json.loads(out)["settings"]["data"] == {"use": "cli_parts:NotHere", "root": "/far"}


def test_time_alone_is_the_budget(call, tmp_path):
    status, out, _ = call("search", *PARTS, "--time", "0.3", "--json", "--out", tmp_path / "run")
    assert status == 0
    assert "seconds are used up" in json.loads(out)["reason"]


def test_dry_run_draws_and_prices_and_makes_no_folder(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = call("search", *PARTS, "--trials", "9", "--constraint", "vowels<=2", "--dry-run", "--json")
    found = json.loads(out)
    assert status == 0
    drawn = [one["costs"]["vowels"]["value"] for one in found["sampled"]]
    assert len(set(drawn)) > 1
    assert found["constraints"]["vowels<=2"] == sum(value <= 2 for value in drawn) / len(drawn)
    assert list(tmp_path.iterdir()) == []
    status, out, _ = call("search", *PARTS, "--trials", "9", "--dry-run")
    assert status == 0
    assert 'use = "toy_parts:Letters"' in out
    assert "vowels" in out


def test_dry_run_estimates_the_time_where_each_network_is_trained(call, tmp_path):
    options = ["--plugin", "random", "--trials", "7", "--set", "evaluator.epochs=3", "--no-tracking", "--dry-run"]
    status, out, _ = call("search", *options, "--json")
    found = json.loads(out)
    estimate, macs = found["estimate"], found["sampled"][0]["costs"]["macs"]["value"]
    assert status == 0
    assert estimate["training_macs_a_trial"] == 3 * macs * estimate["examples"] * 3
    assert estimate["seconds"] == pytest.approx(7 * 3 * estimate["examples"] * estimate["seconds_an_example"])
    status, out, _ = call("search", *options)
    assert "# Estimate for 7 trials:" in out


def test_dry_run_works_from_the_description_of_data_that_is_not_here(call):
    status, out, _ = call("search", *parts(data="cli_parts:NotHere"), "--trials", "1", "--dry-run", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["task"] == {"name": "far-away", "shape": [3, 32, 32], "classes": 7}
    assert found["missing"] == "No data in the usual place."
    status, out, err = call("search", *parts(data="cli_parts:NowhereAtAll"), "--trials", "1", "--dry-run")
    assert status == 1
    assert "The settings are valid, but sizes need the data: No data." in err


def test_workers_are_processes(call, tmp_path):
    status, _, _ = call("search", *PARTS, "--trials", "3", "--workers", "2", "--out", tmp_path / "run")
    assert status == 0
    assert 'use = "processes"\nworkers = 2' in (tmp_path / "run" / "search.toml").read_text()
    assert call("resume", tmp_path / "run", "--trials", "4", "--workers", "1")[0] == 0
    assert '[executor]\nuse = "serial"' in (tmp_path / "run" / "search.toml").read_text()


# ------------------------------------------------------------------------------ errors, interrupts


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["search", "--plugin", "radnom"], 2, "did you mean 'random'?"),
        (["search", "--trials", "0"], 2, "--trials"),
        (["search", "--time", "0"], 2, "--time"),
        (["search", "--trails", "3"], 2, "--trials"),
        (["serach"], 2, "did you mean 'search'?"),
        (["plugins", "lst"], 2, "did you mean 'list'?"),
        (["search", *PARTS, "--set", "smapler.size=1"], 2, "did you mean 'sampler'?"),
        (["search", *PARTS, "--set", "sampler.deduplicat=true"], 2, "did you mean 'deduplicate'?"),
        (["search", *PARTS, "--set", "sampler"], 2, "write KEY=VALUE"),
        (["search", *PARTS, "--objective", "acuracy"], 2, "did you mean 'accuracy'?"),
        (["search", *PARTS, "--constraint", "vowels<2k"], 2, "is no constraint"),
        (["search", *PARTS, "--tracking-uri", "http://x"], 2, "exclude each other"),
        (["show", "nowhere"], 1, "is no run folder"),
        (["resume", "nowhere"], 1, "is no run folder"),
        (["export", "nowhere", "--format", "onx"], 2, "did you mean 'onnx'?"),
        (["track", "nowhere"], 1, "was not tracked"),
        (["plugins", "show", "radnom"], 2, "did you mean 'random'?"),
        (["plugins", "show", "random:radnom"], 2, "did you mean 'random'?"),
        (["plugins", "install", "--yes", "--", "-e"], 2, "is no plugin"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_told_in_one_message_without_a_traceback(call, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = call(*arguments)
    assert found == status
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(call):
    status, _, err = call("--debug", "show", "nowhere")
    assert status == 1
    assert "Traceback" in err


def test_a_search_in_which_all_fails_ends_with_status_1_and_says_why(call, tmp_path):
    words = [*parts(evaluator="cli_parts:Failing"), "--trials", "2", "--out", tmp_path / "run", "--json"]
    status, out, err = call("search", *words)
    assert status == 1
    assert "out of cheese" in err
    found = json.loads(out)
    assert (found["state"], found["best"], found["counts"]["fail"]) == ("failed", None, 2)


def test_an_interrupted_search_says_how_to_go_on_and_can(call, tmp_path, monkeypatch):
    monkeypatch.setattr(Interrupted, "pressed", False)
    run = tmp_path / "run"
    status, out, err = call(
        "search", *parts(evaluator="cli_parts:Interrupted"), "--trials", "4", "--out", run, "--json"
    )
    assert status == 130
    assert json.loads(out)["state"] == "interrupted"
    assert f"nascore resume {run}" in err
    status, out, _ = call("resume", run, "--quiet", "--json")
    assert status == 0
    assert json.loads(out)["counts"]["complete"] == 4


# ------------------------------------------------------------------------------------ runs, show


def test_runs_lists_state_and_best(call, run):
    status, out, _ = call("runs", "--dir", run.parent, "--json")
    (found,) = json.loads(out)
    assert status == 0
    assert (found["run"], found["state"], found["plugin"]) == (str(run), "finished", "random")
    assert found["best"]["objectives"]["accuracy"] > 0
    status, out, _ = call("runs", "--dir", run.parent)
    assert "finished" in out.splitlines()[1]


def test_runs_tells_a_killed_run_a_damaged_one_and_none(call, tmp_path):
    for name in ("killed", "damaged"):
        (tmp_path / name / "state").mkdir(parents=True)
        (tmp_path / name / "state" / "status.json").write_text('{"state": "running"}')
        (tmp_path / name / "state" / "lock").touch()
        (tmp_path / name / "search.toml").write_text('plugin = "random"' if name == "killed" else "= [")
    _, out, _ = call("runs", "--dir", tmp_path, "--json")
    assert [row["state"] for row in json.loads(out)] == ["damaged", "killed"]
    status, out, _ = call("runs", "--dir", tmp_path / "none")
    assert status == 0
    assert "There are no runs" in out


def test_show(call, run):
    status, out, _ = call("show", run, "--history")
    assert status == 0
    assert "finished: all 8 trials are done" in out
    assert out.count("complete") >= 8
    assert "Pareto front" in out


def test_show_json_with_history_has_every_trial(call, run):
    _, out, _ = call("show", run, "--json", "--history")
    trials = json.loads(out)["trials"]
    assert [trial["number"] for trial in trials] == list(range(8))
    assert {"status", "objectives", "costs", "key"} <= set(trials[0])
    _, out, _ = call("show", run, "--json")
    assert "trials" not in json.loads(out)


def test_show_one_trial(call, run):
    status, out, _ = call("show", run, "--trial", "3", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["trial"], [row["step"] for row in found["reports"]]) == (3, [1, 2, 3])
    status, out, _ = call("show", run, "--trial", "3")
    assert "step 3: accuracy" in out
    status, _, err = call("show", run, "--trial", "99")
    assert status == 1
    assert "has no trial 99" in err


def test_a_run_can_be_named_by_a_dot(call, run, monkeypatch):
    monkeypatch.chdir(run)
    status, out, _ = call("show", ".", "--json")
    assert status == 0
    assert json.loads(out)["counts"]["complete"] == 8


# -------------------------------------------------------------------------------------- plugins


def test_plugins_list_json_has_the_binding_keys(call):
    _, out, _ = call("plugins", "list", "--json")
    found = {plugin["name"]: plugin for plugin in json.loads(out)}
    assert found["random"]["parts"]["samplers"] == ["random"]
    for plugin in found.values():
        assert {"name", "distribution", "version", "status", "error", "parts"} <= set(plugin)
        assert plugin["status"] == "ok"
        assert set(plugin["parts"]) == set(KINDS)


def test_plugins_show_prints_options_with_their_defaults_and_meaning(call):
    _, out, _ = call("plugins", "show", "random:random", "--json")
    sampler = json.loads(out)["parts"]["samplers"][0]
    option = next(option for option in sampler["options"] if option["name"] == "deduplicate")
    assert (option["type"], option["default"], option["required"]) == ("bool", False, False)
    assert "key" in option["text"]
    status, out, _ = call("plugins", "show", "random")
    assert status == 0
    assert "deduplicate" in out
    assert "preset quick:" in out


def test_plugins_check_accepts_the_installed_ones(call):
    status, out, _ = call("plugins", "check", "random")
    assert status == 0
    assert "ok     sampler random:random" in out
    assert "presets quick, paper" in out


def test_plugins_matrix_covers_every_combination(call):
    _, out, _ = call("plugins", "matrix", "--json")
    rows = json.loads(out)
    parts = {"space": "blocks:nasnet", "sampler": "random:random", "evaluator": "blocks:train"}
    assert {**parts, "fits": True, "reason": ""} in rows
    keys = [{r[name] for r in rows} for name in ("space", "sampler", "evaluator")]
    assert len(rows) == len(keys[0]) * len(keys[1]) * len(keys[2])


def test_plugins_new_renders_a_plugin(call, tmp_path):
    status, out, _ = call("plugins", "new", "my-method", "--dir", tmp_path)
    assert status == 0
    assert (tmp_path / "nascore-my-method" / "pyproject.toml").is_file()
    assert "nascore plugins check my-method" in out


def test_plugins_install_says_what_would_come_and_from_where(monkeypatch, tmp_path):
    """By the real pip, from a folder of wheels instead of an index."""
    from click.testing import CliRunner

    for name, needs in (("nascore_tiny", "Requires-Dist: its-need"), ("its_need", "")):
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n"
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", about)
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path)), ("PIP_CONSTRAINT", "")):
        monkeypatch.setenv(name, value)
    told = CliRunner().invoke(cli, ["plugins", "install", "tiny"], input="n\n")
    for name in ("nascore_tiny", "its_need"):
        assert f"  {name} 1.0 from {tmp_path.as_uri()}/{name}-1.0-py3-none-any.whl" in told.stderr
    missing = CliRunner().invoke(cli, ["plugins", "install", "tinny"], input="n\n")
    assert "nascore-tinny" in missing.stderr
    assert "not known" in missing.stderr


@pytest.mark.parametrize(
    ("name", "asked"),
    [("amoebanet", "nascore-amoebanet"), ("nascore-x", "nascore-x"), ("./here", "./here"), ("a==1", "nascore-a==1"),
     ("git+https://x/y", "git+https://x/y")],
)  # fmt: skip
def test_plugins_install_shows_what_it_runs_and_asks(monkeypatch, name, asked):
    from click.testing import CliRunner

    ran = []
    monkeypatch.setattr("nascore.cli.plugins.would_install", lambda asked: [])
    monkeypatch.setattr(
        "subprocess.run", lambda command, check: ran.append(command) or subprocess.CompletedProcess([], 0)
    )
    refused = CliRunner().invoke(cli, ["plugins", "install", name], input="n\n")
    assert (refused.exit_code, ran) == (1, [])
    assert f"pip install {asked}" in refused.stderr
    done = CliRunner().invoke(cli, ["plugins", "install", name, "--yes"])
    assert done.exit_code == 0
    assert ran == [[sys.executable, "-m", "pip", "install", asked]]
