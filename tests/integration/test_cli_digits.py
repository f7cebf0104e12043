"""The command line as a user has it: real processes, real data, real networks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

NASCORE = [sys.executable, "-m", "nascore.cli.main"]
SMALL = ["--plugin", "random", "--no-tracking", "--set", "evaluator.epochs=1", "--set", "evaluator.data_fraction=0.3",
         "--set", "space.blocks=1", "--set", "space.cells=1", "--set", "space.channels=8"]  # fmt: skip


def nascore(*arguments, cwd=None):
    return subprocess.run(
        [*NASCORE, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "run"
    done = nascore("search", *SMALL, "--trials", "2", "--json", "--out", folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["counts"]["complete"] == 2
    assert found["best"]["costs"]["params"]["value"] > 100
    return folder


def test_retrain_then_export_a_file_that_computes_without_nascore(run, tmp_path):
    done = nascore("export", run, "--format", "py", "--output", tmp_path / "searched.py")
    assert done.returncode == 0, done.stderr
    assert "with the weights of the search" in done.stdout
    done = nascore("retrain", run, "--epochs", "2", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0.05 < found["test_accuracy"]["mean"] <= 1
    assert found["macs"] > found["params"] > 100
    done = nascore("export", run, "--format", "py", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["weights"] == "the retraining, first seed"
    assert [os.path.dirname(file) for file in told["files"]] == [str(run / "best")] * 3  # noqa: PTH120 - strings
    code = f"import sys; sys.path.insert(0, {str(run / 'best')!r}); import network, torch; " \
           "print(any(m.startswith('nascore') for m in sys.modules))"  # fmt: skip
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert alone.stdout.split()[-1] == "False"


def test_sigterm_stops_in_order_and_resume_goes_on(tmp_path):
    folder = tmp_path / "run"
    words = ["search", "--space", "cli_parts:Pixels", "--sampler", "random:random", "--evaluator", "cli_parts:Slow",
             "--data", "toy_parts:NoData", "--no-tracking", "--trials", "40", "--out", str(folder)]  # fmt: skip
    support = os.path.join(os.path.dirname(__file__), "..", "support")  # noqa: PTH118, PTH120 - a search path
    environment = {**os.environ, "PYTHONPATH": support}
    process = subprocess.Popen([*NASCORE, *words], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("trial 0"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    assert "nascore resume" in rest
    assert json.loads((folder / "state" / "status.json").read_text())["state"] == "interrupted"
    before = _trials(folder, environment)
    assert 1 <= len(before) < 40
    done = subprocess.run([*NASCORE, "resume", str(folder), "--trials", str(len(before) + 2), "--json"],
                          capture_output=True, text=True, env=environment, check=False, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert _trials(folder, environment)[: len(before)] == before


def _trials(folder, environment):
    done = subprocess.run([*NASCORE, "show", str(folder), "--json", "--history"],
                          capture_output=True, text=True, env=environment, check=True, timeout=100)  # fmt: skip
    return [(trial["number"], trial["key"]) for trial in json.loads(done.stdout)["trials"]]


def test_a_reader_that_leaves_early_is_no_error(run):
    show = subprocess.Popen([*NASCORE, "show", str(run), "--history", "--json"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert show.stdout is not None
    assert show.stderr is not None
    show.stdout.close()
    assert show.stderr.read() == ""
    show.stderr.close()
    assert show.wait(60) == 1
