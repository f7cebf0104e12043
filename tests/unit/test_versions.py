"""A run knows the versions of its plugins, and goes on under others only when it is told to."""

from __future__ import annotations

import json

import pytest

import nascore
from nascore.cli.main import main
from nascore.errors import RunError

TOYS = ["--space", "toy_parts:Letters", "--sampler", "random:random", "--evaluator", "toy_parts:Table", "--data",
        "toy_parts:NoData", "--set", "costs=[]", "--no-tracking", "--quiet"]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    assert main(["search", *TOYS, "--trials", "3", "--out", str(folder)]) == 0
    return folder


def versions(run):
    return json.loads((run / "run.json").read_text())["versions"]


def begun_with(run, **changes):
    facts = json.loads((run / "run.json").read_text())
    facts["versions"] |= changes
    (run / "run.json").write_text(json.dumps(facts))


def test_a_run_keeps_the_versions_of_the_parts_it_uses(run):
    found = versions(run)
    assert set(found) == {"nascore", "nascore-random"}
    assert found["nascore"] == nascore.__version__


def test_another_version_is_told_and_refused_and_force_goes_on(run, capsys):
    begun_with(run, **{"nascore-random": "0.0.1"})
    before = (run / "search.toml").read_text(), (run / "trials").read_text()
    capsys.readouterr()
    assert main(["resume", str(run), "--trials", "5", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert f"was begun with nascore-random 0.0.1 (now {nascore.__version__})" in err
    assert "`pip install nascore-random==0.0.1`" in err
    assert f"`nascore resume {run} --force`" in err
    assert ((run / "search.toml").read_text(), (run / "trials").read_text()) == before
    assert main(["resume", str(run), "--trials", "5", "--quiet", "--force"]) == 0
    assert versions(run)["nascore-random"] == nascore.__version__
    assert main(["resume", str(run), "--trials", "6", "--quiet"]) == 0  # not asked twice


def test_a_run_from_before_versions_were_kept_and_a_strange_one(run):
    for versions_then in (None, [], {"nascore-gone": "1"}):
        facts = json.loads((run / "run.json").read_text())
        facts["versions"] = versions_then
        if versions_then is None:
            del facts["versions"]
        (run / "run.json").write_text(json.dumps(facts))
        nascore.resume(run)
    begun_with_other_core = json.loads((run / "run.json").read_text())
    begun_with_other_core["versions"] = {"nascore": "0"}
    (run / "run.json").write_text(json.dumps(begun_with_other_core))
    with pytest.raises(RunError, match="nascore 0 "):
        nascore.resume(run)
