"""kill -9 at random instants, on real processes that search on real data: nothing may change.

The children are forked from a process that has imported everything, so that most of a child's life
is search; one case goes through the command line from the start.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import nascore

FORKING = textwrap.dedent("""
    import os, signal, sys, time
    import torch, torchvision, optuna, sklearn.datasets, nascore, nascore.api, nascore_blocks.evaluators
    import nascore_blocks.spaces, nascore_blocks.data, nascore_blocks.costs
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        action, folder, plugin, trials, kill_after = line.split()
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if action == "search":
                cells = {"space.blocks": 1, "space.cells": 1, "space.channels": 8}
                of_plugin = {
                    "amoebanet": {**cells, "sampler.population_size": 4, "sampler.tournament_size": 2},
                    "random": cells,
                    "optuna": {**cells, "sampler.n_startup_trials": 3},
                    "eas": {"sampler.batch": 2, "sampler.stage_trials": 2},
                    "pathlevel": {"sampler.batch": 2, "sampler.stage_trials": 2},
                }
                nascore.search(plugin, trials=int(trials), out=folder, tracking="off", seed=3, options={
                    "evaluator.epochs": 1, "evaluator.data_fraction": 0.1, **of_plugin[plugin]})
            else:
                nascore.resume(folder)
            os._exit(0)
        deadline = time.monotonic() + float(kill_after)
        while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie still, and does not mind
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""")


class Forker:
    """Starts searches as children of one process that has imported everything."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def run(self, action, folder, plugin, trials, kill_after=600):
        """Run to the end, or kill -9 after so many seconds; the exit status (-9 when killed)."""
        self.process.stdin.write(f"{action} {folder} {plugin} {trials} {kill_after}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forker():
    forker = Forker()
    yield forker
    forker.close()


def outcome(folder):
    result = nascore.open_run(folder)
    trials = [
        (t.number, t.architecture.key, t.status, dict(t.objectives), dict(t.costs), t.reports, t.seed)
        for t in result.history
    ]
    weights = (folder / "best" / "weights.safetensors").read_bytes()
    return trials, result.best.number, weights


@pytest.mark.slow
@pytest.mark.parametrize("plugin", ["amoebanet", "random", "optuna", "eas", "pathlevel"])
def test_killed_at_random_instants_and_resumed_it_is_the_same_search(forker, tmp_path, plugin):
    trials, kills, total = 6, 0, 8
    started = time.monotonic()
    assert forker.run("search", tmp_path / "whole", plugin, trials) == 0
    duration = time.monotonic() - started
    expected = outcome(tmp_path / "whole")
    assert len(expected[0]) == trials
    rng = random.Random(plugin)
    for attempt in range(40):
        folder = tmp_path / f"killed-{attempt}"
        if forker.run("search", folder, plugin, trials, kill_after=rng.uniform(0.05, duration)) != -signal.SIGKILL:
            continue
        kills += 1
        if not (folder / "search.toml").exists():
            assert forker.run("search", folder, plugin, trials) == 0
        elif attempt % 2 and forker.run("resume", folder, plugin, trials, kill_after=duration / 3) == -signal.SIGKILL:
            kills += 1
        assert forker.run("resume", folder, plugin, trials) == 0
        assert outcome(folder) == expected, f"kill {kills} changed the search"
        if kills >= total:
            return
    pytest.fail(f"only {kills} kills hit a running search")


@pytest.mark.slow
def test_the_command_line_killed_and_resumed(tmp_path):
    run = tmp_path / "run"
    settings = ["--set", "evaluator.epochs=1", "--set", "space.blocks=2", "--set", "sampler.population_size=4",
                "--set", "sampler.tournament_size=2"]  # fmt: skip
    command = [sys.executable, "-m", "nascore", "search", "--plugin", "amoebanet", "--trials", "6", "--no-tracking"]
    process = subprocess.Popen([*command, *settings, "--out", str(run)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if (run / "trials").exists() and (run / "trials").read_bytes().count(b'"op_code":4') >= 2:
            break
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 2 <= len(nascore.open_run(run).history) < 6
    subprocess.run([sys.executable, "-m", "nascore", "resume", str(run)], check=True, capture_output=True)
    subprocess.run([*command, *settings, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    assert outcome(run) == outcome(tmp_path / "whole")
