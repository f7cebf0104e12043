"""A run folder: made, opened, locked, and read when damaged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.errors import NascoreError, RunError
from nascore.run import RunFolder, list_runs, new_run_path
from nascore.settings import merge

SETTINGS = merge([{"trials": 3, "space": {"use": "a:b", "size": 2}}])


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "deep" / "run", SETTINGS, {})


def test_a_run_that_was_made_is_opened_with_its_settings(run):
    assert RunFolder.open(run.path).settings() == SETTINGS
    assert {path.name for path in run.path.iterdir()} == {"run.json", "search.toml", "state", "artifacts"}


def test_a_run_is_not_made_twice(run):
    with pytest.raises(
        RunError, match=r"holds a run already: `nascore resume .*run` goes on with it, --out names another"
    ):
        RunFolder.create(run.path, SETTINGS, {})


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match=r"Cannot make the run folder .*: (Not a directory|File exists).* --out names another"
    ):
        RunFolder.create(tmp_path / "file" / "run", SETTINGS, {})


def test_what_is_no_run_folder_names_the_runs_beside_it(run):
    with pytest.raises(RunError, match=r"none is no run folder: it has no search\.toml\. Runs there: .*deep/run\."):
        RunFolder.open(run.path.parent / "none")
    with pytest.raises(RunError, match="is no run folder"):
        RunFolder.open(run.path / "not" / "there")


@pytest.mark.parametrize(
    "content", [b"trials = ", b"\xff", b"trials = 0", b"trails = 5", b"", b"trials = 1\nspace = 5"]
)
def test_damaged_settings(run, content):
    (run.path / "search.toml").write_bytes(content)
    with pytest.raises(RunError, match=r"search\.toml is damaged: "):
        run.settings()


@given(
    st.text(max_size=30) | st.sampled_from(["[space]\n", "[[costs]]\n", "[cost]\nx = 1"]).map("trials = 1\n".__add__)
)
def test_any_settings_file_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("run")
    (path / "search.toml").write_text(text, encoding="utf-8")
    try:
        RunFolder(path).settings()
    except NascoreError as error:
        assert isinstance(error, RunError)  # noqa: PT017 - both ends are allowed


def test_missing_settings(run):
    (run.path / "search.toml").unlink()
    with pytest.raises(RunError, match="Cannot read"):
        run.settings()


# ------------------------------------------------------------------------------------ the lock


def test_two_drivers_do_not_work_in_one_folder_and_the_lock_is_given_back(run):
    for _ in range(2):
        with run.locked(), pytest.raises(RunError, match=r"Another process is working in .*run"), run.locked():
            raise AssertionError("both hold it")


def test_the_lock_of_a_killed_process_is_free(run):
    code = (
        "import os, sys, pathlib, signal; from nascore.run import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="Another process"), run.locked():
            pass
        other.kill()
    with run.locked():
        pass


def test_a_folder_without_state_cannot_be_locked(tmp_path):
    with pytest.raises(RunError, match="Cannot write in"), RunFolder(tmp_path / "none").locked():
        pass


# ------------------------------------------------------------------------------------ status and artifacts


def test_the_status_is_kept_value_by_value(run):
    assert run.status() == {"state": "running", "wall_seconds": 0.0, "reason": "", "best": None}
    run.write_status(state="finished", wall_seconds=2.5)
    run.write_status(reason="é")
    assert RunFolder(run.path).status() == {"state": "finished", "wall_seconds": 2.5, "reason": "é", "best": None}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff", b'{"state": 5}', b'{"wall_seconds": "long"}',
                                     b'{"wall_seconds": true}', b'{"reason": null, "state": []}'])  # fmt: skip
def test_a_damaged_status_is_as_none(run, content):
    (run.path / "state" / "status.json").write_bytes(content)
    assert run.status() == {"state": "running", "wall_seconds": 0.0, "reason": "", "best": None}


def test_whole_seconds_are_kept_and_strange_keys_are_not(run):
    (run.path / "state" / "status.json").write_text('{"wall_seconds": 3, "best": 7, "more": [1]}')
    assert run.status() == {"state": "running", "wall_seconds": 3, "reason": "", "best": 7}


def test_artifacts_of_the_others_are_deleted_and_nothing_else(run):
    for number in (0, 7, 12, 1_234_567):
        run.artifacts(number).mkdir()
        (run.artifacts(number) / "weights").write_text("w")
    (run.path / "artifacts" / "notes").mkdir()
    run.keep_artifacts({7, 1_234_567})
    assert {path.name for path in (run.path / "artifacts").iterdir()} == {"000007", "1234567", "notes"}
    assert (run.artifacts(7) / "weights").read_text() == "w"


def test_artifacts_that_are_gone_are_no_trouble(run):
    (run.path / "artifacts").rmdir()
    run.keep_artifacts({1})


# ------------------------------------------------------------------------------------ names


def test_a_new_path_is_free_and_names_the_method(tmp_path):
    made = []
    for _ in range(3):
        made.append(new_run_path(tmp_path, "amoebanet"))
        made[-1].mkdir()
    assert len(set(made)) == 3
    assert all("-amoebanet" in path.name and path.parent == tmp_path for path in made)


@pytest.mark.parametrize("plugin", ["../../etc", "a/b", "a:b c", "", "é"])
def test_a_strange_name_stays_in_the_folder(tmp_path, plugin):
    assert new_run_path(tmp_path, plugin).resolve().parent == tmp_path.resolve()


def test_runs_are_listed_oldest_first_with_their_status(tmp_path):
    assert list_runs(tmp_path / "none") == []
    for name in ("20260102-x", "20260101-y"):
        RunFolder.create(tmp_path / name, SETTINGS, {}).write_status(state=name)
    (tmp_path / "other").mkdir()
    assert [(path.name, status["state"]) for path, status in list_runs(tmp_path)] == [
        ("20260101-y", "20260101-y"), ("20260102-x", "20260102-x"),
    ]  # fmt: skip


def test_the_settings_in_the_folder_are_plain_toml(run):
    text = (run.path / "search.toml").read_text()
    assert 'use = "a:b"' in text
    assert json.dumps(SETTINGS.space["size"]) in text
