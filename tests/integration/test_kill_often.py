"""kill -9 a hundred times, also while a checkpoint is written, and bits that flip in checkpoints."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import worker_parts

import nascore

KILLS = int(os.environ.get("NASCORE_KILLS", "100"))
TRIALS = 12
SUPPORT = Path(worker_parts.__file__).parent

FORKING = textwrap.dedent("""
    import glob, json, os, signal, sys, time
    import numpy, optuna, safetensors.numpy, nascore, nascore.api, nascore.loop, worker_parts
    nascore.loop.CHECKPOINT_SECONDS = 0.0  # after each trial
    print("ready", flush=True)
    for line in sys.stdin:
        folder, trials, kill_after, aim = json.loads(line)
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if os.path.exists(folder + "/search.toml"):
                nascore.resume(folder)
            else:
                nascore.search(space="toy_parts:Letters", sampler="worker_parts:Heavy", evaluator="toy_parts:Table",
                               data="toy_parts:NoData", costs=[], trials=trials, out=folder, tracking="off", seed=3)
            os._exit(0)
        while time.monotonic() < begun + kill_after or (aim and not glob.glob(folder + "/state/*.checkpoint.partial")):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            time.sleep(0 if aim else 0.001)
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie still, and does not mind
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([status, time.monotonic() - begun]), flush=True)
""")


@pytest.fixture(scope="module")
def run():
    """``run(folder, kill_after)`` begins or resumes; gives the exit status (-9 when killed) and the seconds.

    With ``aim`` the kill waits, after that, for the next checkpoint that is being written.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(SUPPORT), "PATH": ""},
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"

    def run_it(folder, kill_after=600.0, aim=False):
        process.stdin.write(json.dumps([str(folder), TRIALS, kill_after, aim]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run_it
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def outcome(folder):
    return [
        (t.number, t.architecture.key, t.status, dict(t.objectives), t.reports, t.seed, t.candidate.origin)
        for t in nascore.open_run(folder).history
    ]


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(folder)[0] == 0
    seconds = sorted(run(tmp_path_factory.mktemp("timed") / "run")[1] for _ in range(3))[1]
    return outcome(folder), seconds


@pytest.mark.slow
def test_a_hundred_kills_change_nothing(run, whole, tmp_path):
    expected, seconds = whole
    rng, kills, in_checkpoint, attempt = random.Random(0), 0, 0, 0
    while kills < KILLS:
        folder = tmp_path / str(attempt)
        attempt += 1
        assert attempt < 3 * KILLS, f"only {kills} kills hit a running search"
        while kills < KILLS and run(folder, rng.uniform(0.0, seconds), kills % 4 == 0)[0] == -signal.SIGKILL:
            kills += 1
            in_checkpoint += bool(list((folder / "state").glob("*.checkpoint.partial")))
        assert run(folder)[0] == 0
        assert outcome(folder) == expected, f"kill {kills} changed the search"
    assert in_checkpoint >= KILLS // 10, "hardly a kill fell into the writing of a checkpoint"
    logging.getLogger("nascore").info("%d kills, %d of them while a checkpoint was written", kills, in_checkpoint)


@pytest.mark.slow
def test_flipped_bits_cost_nothing_and_are_told(run, whole, tmp_path, caplog):
    expected, seconds = whole
    rng = random.Random(1)
    told = 0
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        run(folder, seconds * 0.7)
        checkpoints = sorted((folder / "state").glob("*.checkpoint"))
        if not checkpoints:
            continue
        newest = bytearray(checkpoints[-1].read_bytes())
        newest[rng.randrange(len(newest))] ^= 1 << rng.randrange(8)
        checkpoints[-1].write_bytes(newest)
        caplog.clear()
        nascore.resume(folder)
        assert f"{checkpoints[-1].name} is damaged" in caplog.text
        told += 1
        assert outcome(folder) == expected
    assert told >= 5
