"""A run folder that is moved or renamed is the same run: finished or not, journal or SQLite."""

from __future__ import annotations

import json
import shutil

import pytest

import nascore
from nascore.cli.main import main

PARTS = ["--space", "cli_parts:Pixels", "--sampler", "random:random", "--data", "toy_parts:NoData", "--no-tracking",
         "--quiet"]  # fmt: skip
STORAGES = ["journal", "sqlite:///trials.db"]


@pytest.fixture
def call(capsys):
    def run_it(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_it


def search(call, out, storage, *words):
    """A search that keeps weights; trial 3 is interrupted where ``words`` say so."""
    return call("search", *PARTS, "--evaluator", "hostile_parts:Keeps", "--storage", storage, "--out", out, *words)


def trials(call, run):
    status, out, err = call("show", run, "--json", "--history")
    assert status == 0, err
    return [(t["number"], t["key"], t["objectives"]) for t in json.loads(out)["trials"]]


@pytest.fixture
def moved(call, tmp_path, monkeypatch, request):
    """A finished run, the same one stopped after three trials, both moved; and what the whole one had."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert search(call, "runs/whole", request.param, "--trials", 6)[0] == 0
    assert search(call, "runs/part", request.param, "--trials", 3)[0] == 0
    expected = trials(call, "runs/whole")
    assert trials(call, "runs/part") == expected[:3]
    target = tmp_path / "elsewhere" / "deeper"
    target.mkdir(parents=True)
    for name in ("whole", "part"):
        shutil.move(tmp_path / "runs" / name, target / f"renamed {name}")
    return target, expected


@pytest.mark.parametrize("moved", STORAGES, indirect=True)
def test_moved_runs_are_listed_shown_resumed_and_exported(call, moved, monkeypatch):
    target, expected = moved
    monkeypatch.chdir(target)  # the storage is found from everywhere
    whole, part = target / "renamed whole", target / "renamed part"
    status, out, _ = call("runs", "--dir", target, "--json")
    assert status == 0
    assert {row["run"]: row["state"] for row in json.loads(out)} == {str(whole): "finished", str(part): "finished"}
    assert trials(call, whole) == expected
    assert trials(call, part) == expected[:3]
    for run in (whole, part):
        status, _, err = call("export", run, "--format", "py")
        assert status == 0, err
        assert (run / "best" / "network.py").is_file()
        status, _, err = call("report", run)
        assert status == 0, err
        assert (run / "report.html").is_file()
    status, out, err = call("resume", part, "--trials", 6, "--quiet", "--json")
    assert status == 0, err
    assert json.loads(out)["run"] == str(part)
    assert trials(call, part) == expected
    assert nascore.open_run(part).model().state_dict().keys() == nascore.open_run(whole).model().state_dict().keys()
    assert not list((target.parent.parent / "runs").iterdir())  # nothing was written where it was


@pytest.mark.parametrize("name", ["run", "another name"])
def test_a_run_that_was_interrupted_says_how_to_go_on_where_it_is_now(call, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    from cli_parts import Interrupted

    monkeypatch.setattr(Interrupted, "pressed", False)
    status, _, err = call("search", *PARTS, "--evaluator", "cli_parts:Interrupted", "--trials", 4, "--out", "run")
    assert status == 130
    assert "nascore resume run" in err
    (tmp_path / "run").rename(tmp_path / name)
    status, out, _ = call("show", name)
    assert status == 0
    assert f"nascore resume {name!r}" in out if " " in name else f"nascore resume {name}" in out
    status, out, _ = call("resume", name, "--quiet", "--json")
    assert (status, json.loads(out)["counts"]["complete"]) == (0, 4)


def test_two_searches_in_one_database_do_not_mix(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    assert search(call, "first", url, "--trials", 2)[0] == 0
    assert search(call, "second", url, "--trials", 3, "--seed", 1)[0] == 0
    assert len(trials(call, "first")) == 2
    (tmp_path / "second").rename(tmp_path / "third")
    assert len(trials(call, "third")) == 3
    assert call("resume", "third", "--trials", 4, "--quiet")[0] == 0
    assert (len(trials(call, "first")), len(trials(call, "third"))) == (2, 4)
