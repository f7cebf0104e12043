"""kill -9 on real processes that train shared weights: trials, answer, weights and alphas stay bit-equal.

As in ``test_kill.py`` the children are forked from a process that has imported everything.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

import nascore
from nascore.run import RunFolder

FORKING = textwrap.dedent("""
    import json, os, signal, sys, time
    import torch, torchvision, optuna, sklearn.datasets, nascore, nascore.api, nascore.loop
    import nascore_blocks.weight_sharing, nascore_blocks.spaces, nascore_blocks.data, nascore_blocks.costs
    import nascore_darts.sampler, nascore_snas.sampler, nascore_proxylessnas.sampler, nascore_enas.sampler
    import nascore_oneshot.evaluator
    torch.set_num_threads(1)
    nascore.loop.CHECKPOINT_SECONDS = 0.0  # after each trial too, so that a kill falls between any two
    print("ready", flush=True)
    for line in sys.stdin:
        folder, kill_after, arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if arguments is None:
                nascore.resume(folder)
            else:
                nascore.search(**arguments, out=folder, tracking="off", seed=3)
            os._exit(0)
        deadline = time.monotonic() + kill_after
        while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie still, and does not mind
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""")

CELLS = {
    "space.blocks": 2, "space.cells": 1, "space.channels": 4, "space.reductions": 1,
    "space.ops": ["sep_conv_3x3", "skip_connect", "max_pool_3x3"],
}  # fmt: skip
TRAINING = {"evaluator.rounds": 3, "evaluator.steps": 3, "evaluator.batch_size": 16, "evaluator.calibration": 1}
OPTIONS = {
    "darts": {**CELLS, "sampler.order": "second", "sampler.hessian_every": 2, "sampler.hessian_examples": 8},
    "snas": CELLS,
    "proxylessnas": {"space.widths": [4, 8], "space.cells": [1, 1], "sampler.warm_up": 1, "sampler.cost": "macs"},
    "enas": {**CELLS, "sampler.steps": 2, "sampler.samples": 2},
    "oneshot": CELLS,
}
"""No latency: it is measured anew in each search, so two searches need not be equal."""


class Forker:
    """Starts searches as children of one process that has imported everything."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def run(self, folder, arguments=None, kill_after=600.0):
        """Search, or resume, to the end or the kill after so many seconds; the exit status (-9 when killed)."""
        self.process.stdin.write(json.dumps([str(folder), kill_after, arguments]) + "\n")
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
    """All that must not change: the trials, the answer, and the last checkpoint."""
    result = nascore.open_run(folder)
    trials = [
        (t.number, t.architecture.key, t.status, dict(t.objectives), dict(t.costs), dict(t.metrics), t.seed)
        for t in result.history
    ]
    state = next(state for _, state, _ in RunFolder(folder).checkpoints.load() if state is not None)
    return trials, result.best.number, state


def differences(one, other, where="state"):
    """Where two states differ."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        return [found for key in one for found in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        return [found for i in range(len(one)) for found in differences(one[i], other[i], f"{where}.{i}")]
    return [] if one == other or (one != one and other != other) else [where]  # NaN is itself


def kill_and_resume(forker, folder, plugin, kills):
    arguments = {
        "plugin": plugin, "trials": 3, "costs": ["blocks:params"], "options": {**TRAINING, **OPTIONS[plugin]},
    }  # fmt: skip
    started = time.monotonic()
    assert forker.run(folder / "whole", arguments) == 0
    duration = time.monotonic() - started
    expected = outcome(folder / "whole")
    weights = expected[2]["evaluator"]["weights"]
    assert len(expected[0]) >= 2
    assert sum(tensor.numel() for tensor in weights.values()) > 500
    rng, done = random.Random(plugin), 0
    for attempt in range(10 * kills):
        killed = folder / f"killed-{attempt}"
        if forker.run(killed, arguments, rng.uniform(0.2, 0.9) * duration) != -signal.SIGKILL:
            continue
        if not (killed / "search.toml").exists():
            continue
        done += 1
        if done % 2 == 0:
            forker.run(killed, kill_after=duration / 3)
        assert forker.run(killed) == 0
        found = outcome(killed)
        assert found[:2] == expected[:2], f"kill {done} changed the search"
        assert differences(expected[2], found[2]) == [], f"kill {done} changed the state"
        if done == kills:
            return
    pytest.fail(f"only {done} kills hit a running search")


@pytest.mark.parametrize("plugin", OPTIONS)
def test_killed_once_and_resumed_it_is_the_same_search(forker, tmp_path, plugin):
    kill_and_resume(forker, tmp_path, plugin, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("plugin", OPTIONS)
def test_killed_at_random_instants_and_resumed_it_is_the_same_search(forker, tmp_path, plugin):
    kill_and_resume(forker, tmp_path, plugin, kills=8)
