"""Run folders on a bad day: full disk, read-only, damaged or hostile files, two drivers, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hostile_parts
import pytest

import nascore
from nascore.cli.main import main

TOYS = ["--space", "toy_parts:Letters", "--sampler", "random:random", "--evaluator", "toy_parts:Table", "--data",
        "toy_parts:NoData", "--cost", "toy_parts:Vowels", "--no-tracking", "--quiet"]  # fmt: skip


@pytest.fixture
def call(capsys):
    """Run a command line; its status, standard output and standard error, which never hold a traceback."""

    def run_it(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run_it


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days") / "finished"
    assert main(["search", *TOYS, "--trials", "6", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def keys(folder, **objects):
    return [(trial.number, trial.architecture.key) for trial in nascore.open_run(folder, **objects).history]


# ------------------------------------------------------------------------------------ disks


@pytest.fixture
def disk(tmp_path):
    """A disk of one MiB, of our own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk, leave):
    found = os.statvfs(disk)
    (disk / "filler").write_bytes(b"x" * max(0, found.f_bavail * found.f_frsize - leave))


@pytest.mark.parametrize("leave", [0, 40_000, 100_000])
def test_a_full_disk_ends_the_search_and_loses_nothing(call, disk, tmp_path, leave):
    words = ["search", *TOYS, "--trials", "120"]
    assert call(*words, "--out", tmp_path / "whole")[0] == 0
    fill(disk, leave)
    status, _, err = call(*words, "--out", disk / "run")
    assert status == 1
    assert "No space left on device" in err
    if leave:
        stored = keys(disk / "run")
        assert f"Cannot store trial {len(stored)}" in err
        assert 5 < len(stored) < 120
        assert stored == keys(tmp_path / "whole")[: len(stored)]
        assert call("resume", disk / "run", "--quiet")[0] == 1  # it is full still
    (disk / "filler").unlink()
    command = ["resume", disk / "run", "--quiet"] if leave else [*words, "--out", disk / "run"]
    assert call(*command)[0] == 0
    assert keys(disk / "run") == keys(tmp_path / "whole")


def test_a_disk_that_is_full_for_the_weights_is_no_fault_of_the_candidate(call, tmp_path, monkeypatch):
    monkeypatch.setattr(hostile_parts.DiskFull, "left", 1)
    words = list(TOYS)
    words[words.index("--evaluator") + 1] = "hostile_parts:DiskFull"
    status, _, err = call("search", *words, "--trials", "4", "--out", tmp_path / "run")
    assert status == 1
    assert "Trial 2 cannot write its files: No space left on device" in err
    status, out, _ = call("resume", tmp_path / "run", "--quiet", "--json")
    assert status == 0
    assert json.loads(out)["counts"] == {"complete": 4, "pruned": 0, "infeasible": 0, "fail": 0}


def test_a_read_only_disk(call, disk):
    assert call("search", *TOYS, "--trials", "3", "--out", disk / "run")[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for words in (["search", *TOYS, "--out", disk / "other"], ["resume", disk / "run", "--trials", "9", "--quiet"]):
        status, _, err = call(*words)
        assert status == 1
        assert "Read-only file system" in err
    status, out, _ = call("show", disk / "run", "--json")
    assert (status, json.loads(out)["counts"]["complete"]) == (0, 3)
    assert call("runs", "--dir", disk)[0] == 0


# ------------------------------------------------------------------------------------ damaged files


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", None, "run.json is missing or damaged: No such file"),
        ("run.json", b"\xff\x00{", "run.json is missing or damaged"),
        ("run.json", b"[" * 100_000, "run.json is missing or damaged"),
        ("run.json", b"[]", "run.json is damaged"),
        ("run.json", b'{"study": "s", "space": "s", "objectives": {"a": "sideways"}, "task": {}}', "is damaged"),
        (
            "run.json",
            b'{"study": "s", "space": "s", "objectives": {}, "task": {"name": "x", "shape": [1e9]}}',
            "damaged",
        ),
        ("search.toml", b"\xff\xfe= [", "search.toml is damaged"),
        ("search.toml", b"", "search.toml is damaged: a search needs a budget"),
        ("search.toml", b"trials = -6", "search.toml is damaged: trials = -6"),
        ("search.toml", b"trials = 6\nsead = 0", "did you mean 'seed'?"),
        ("search.toml", b"trials = 6\nsampler = [[1]]", "search.toml is damaged: sampler"),
        ("search.toml", None, "no search.toml. Runs there:"),
        ("trials", b"garbage\n\x00\xff\n", "trials is damaged"),
        ("trials", b'{"op_code":0,"study_name":' + b"[" * 100_000 + b"\n", "trials is damaged"),
    ],
    ids=lambda value: value[:30].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_damaged_files_are_named(call, finished, run, file, content, message):
    shutil.copytree(finished, run.parent / "another")
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_bytes(content)
    for command in (["show"], ["resume", "--quiet", "--trials", "8"], ["export", "--format", "py"], ["retrain"]):
        status, out, err = call(command[0], run, *command[1:])
        assert (status, out) == (1, "")
        assert message in err


@pytest.mark.parametrize("content", [b"{{{", b"[1]", b'{"best": 99999, "wall_seconds": 1e400, "state": "\\u001b[31m"}'])
def test_a_damaged_status_is_mended(call, run, content):
    (run / "state" / "status.json").write_bytes(content)
    status, out, _ = call("show", run)
    assert status == 0
    assert "killed" in out
    status, out, _ = call("resume", run, "--quiet", "--trials", "8", "--json")
    found = json.loads(out)
    assert (status, found["state"], found["counts"]["complete"]) == (0, "finished", 8)
    assert found["wall_seconds"] < 60


@pytest.mark.parametrize("damage", ["one", "both", "half a line", "no trials"])
def test_what_is_damaged_beside_the_trials_is_made_anew(call, run, tmp_path, damage):
    assert call("search", *TOYS, "--trials", "9", "--out", tmp_path / "whole")[0] == 0
    checkpoints = sorted((run / "state").glob("*.checkpoint"))
    assert checkpoints
    if damage == "half a line":
        (run / "trials").write_bytes((run / "trials").read_bytes()[:-20])
    elif damage == "no trials":
        (run / "trials").unlink()
    else:
        for path in checkpoints if damage == "both" else checkpoints[-1:]:
            path.write_bytes(path.read_bytes()[:-7] + b"garbage")
    if damage == "no trials":
        _, out, err = call("show", run)
        assert "does not hold trial" in err
        assert "none yet" in out
    status, _, err = call("resume", run, "--quiet", "--trials", "9")
    assert status == 0
    assert "checkpoint" in err
    assert keys(run) == keys(tmp_path / "whole")


def test_a_file_that_is_no_journal_is_not_cut(call, run):
    precious = run.parent / "notes.txt"
    precious.write_bytes(b"line one\nline two without an end")
    settings = (run / "search.toml").read_text()
    (run / "search.toml").write_text(settings.replace('"journal"', f'"journal:{precious}"'))
    assert call("trust", run, "--yes")[0] == 0
    for command in (["show", run], ["resume", run, "--quiet", "--trials", "8"]):
        status, _, err = call(*command)
        assert status == 1
        assert "notes.txt is damaged" in err
        assert precious.read_bytes() == b"line one\nline two without an end"


# ------------------------------------------------------------------------------------ strangers


def test_a_run_of_a_plugin_that_is_gone_is_shown_and_resume_names_what_to_install(call, run):
    before = call("show", run)[1]
    settings = (run / "search.toml").read_text()
    (run / "search.toml").write_text(settings.replace("random:random", "vanished:random"))
    assert call("show", run) == (0, before.replace("random:random", "vanished:random"), "")
    status, _, err = call("resume", run, "--quiet", "--trials", "8")
    assert status == 2
    assert "nascore plugins install nascore-vanished" in err


@pytest.mark.parametrize(
    "genome",
    [None, 5, "op0", [], {}, {"op0": "z"}, {"op0": 1e300}, {"op0": ["c"] * 1000}, {"../../op0": "c"},
     {f"op{i}": "c" for i in range(1000)}, {"op0": {"op0": {"op0": {}}}}],
)  # fmt: skip
def test_a_stranger_s_architecture_is_refused_by_the_space(run, genome):
    result = nascore.open_run(run)
    with pytest.raises(nascore.NascoreError):
        result.search.space.load({"space": result.search.space_name, "genome": genome})
    lines = (run / "trials").read_text().splitlines()
    record = json.loads(lines[-1])
    record["user_attrs"]["nascore"]["genome"] = genome
    (run / "trials").write_text("\n".join([*lines[:-1], json.dumps(record)]) + "\n")
    stored = nascore.open_run(run).trial(record["user_attrs"]["nascore"]["number"])
    with pytest.raises(nascore.NascoreError):
        result.search.build(stored)


def test_an_artifact_that_leads_out_of_the_folder_is_not_read(call, run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    lines = [json.loads(line) for line in (run / "trials").read_text().splitlines()]
    for line in lines[1:]:
        line["user_attrs"]["nascore"]["artifacts"] = {"weights": "../../../secret"}
    (run / "trials").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for command in (["export", run, "--format", "py"], ["resume", run, "--quiet"]):
        status, _, err = call(*command)
        assert status == 1
        assert "'../../../secret', which is not in its folder" in err
    assert not list(run.rglob("weights*"))


@pytest.mark.parametrize("best", [b"[]", b"5", b'{"objectives": {"accuracy": "high"}}', b"[" * 100_000])
def test_a_strange_best_does_not_spoil_the_list_of_runs(call, run, best):
    (run / "best" / "architecture.json").write_bytes(best)
    status, out, _ = call("runs", "--dir", run.parent)
    assert status == 0
    assert str(run.name) in out


# ------------------------------------------------------------------------------------ the wrong moment


def test_a_finished_run_says_so(call, run):
    before = keys(run)
    status, out, _ = call("resume", run, "--quiet")
    assert status == 0
    assert out.startswith("finished: all 6 trials are done")
    assert keys(run) == before


def test_a_folder_that_is_none_names_the_runs_near_by(call, run):
    for folder in (run.parent, run.parent / "rnu"):
        status, _, err = call("resume", folder)
        assert status == 1
        assert f"is no run folder: it has no search.toml. Runs there: {run}" in err


def test_weights_that_are_not_there_are_told(call, run):
    status, _, err = call("export", run, "--format", "py")
    assert status == 1
    assert "There are no weights of trial" in err
    assert "`nascore retrain" in err


ENDLESS = [*TOYS[:4], "--evaluator", "hostile_parts:Endless", *TOYS[6:], "--trials", "5"]


@pytest.fixture
def running(tmp_path):
    """A real process in the middle of its third trial."""
    environment = {**os.environ, "PYTHONPATH": str(Path(hostile_parts.__file__).parent)}
    folder = tmp_path / "run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a background job ignores it
    process = subprocess.Popen([sys.executable, "-m", "nascore", "search", *ENDLESS, "--out", str(folder)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)  # fmt: skip
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "trials").exists() and (folder / "trials").read_bytes().count(b'"op_code":4') == 2:
            break
        time.sleep(0.05)
    time.sleep(0.2)
    yield process, folder
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_two_drivers_do_not_work_in_one_folder(call, running):
    _, folder = running
    before = (folder / "trials").read_bytes()
    status, _, err = call("resume", folder)
    assert status == 1
    assert "Another process is working in" in err
    status, out, _ = call("show", folder)
    assert status == 0
    assert "running" in out
    assert (folder / "trials").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order(call, running, which):
    process, folder = running
    process.send_signal(which)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; to go on: nascore resume {folder}" in err
    assert "Traceback" not in err
    assert out.startswith("interrupted (")
    status, out, _ = call("show", folder)
    assert status == 0
    assert f"nascore resume {folder}" in out
    settings = (folder / "search.toml").read_text()
    (folder / "search.toml").write_text(settings.replace("hostile_parts:Endless", "toy_parts:Table"))
    assert call("trust", folder, "--yes")[0] == 0
    assert call("resume", folder, "--quiet")[0] == 0
    assert len(keys(folder)) == 5
