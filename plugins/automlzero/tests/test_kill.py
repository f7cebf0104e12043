"""kill -9 on a real process, in the middle of a round as like as not: nothing may change."""

import signal
import subprocess
import sys
import time

import pytest

import nascore

SETTINGS = [
    "--set",
    "data.tasks=2",
    "--set",
    "sampler.candidates_per_trial=4000",
    "--set",
    "sampler.population_size=20",
]


def outcome(folder):
    return [
        (t.number, t.architecture.key, dict(t.objectives), dict(t.metrics)) for t in nascore.open_run(folder).history
    ]


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_search(tmp_path):
    command = [sys.executable, "-m", "nascore", "search", "--plugin", "automl-zero", "--trials", "60", "--no-tracking"]
    run = tmp_path / "run"
    process = subprocess.Popen([*command, *SETTINGS, "--out", str(run)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        if (run / "trials").exists() and (run / "trials").read_bytes().count(b'"op_code":4') >= 5:
            break
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 4 <= len(nascore.open_run(run).history) < 60
    subprocess.run([sys.executable, "-m", "nascore", "resume", str(run)], check=True, capture_output=True)
    subprocess.run([*command, *SETTINGS, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    assert len(outcome(run)) == 60
    assert outcome(run) == outcome(tmp_path / "whole")
