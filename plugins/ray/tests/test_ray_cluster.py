"""Real clusters on this machine: a head and two nodes of one core each, and one that a search begins itself."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import pytest
import worker_parts
from toy_parts import parts

import nascore
from nascore.errors import RunError, SettingsError, UsageError
from nascore.records import Status
from nascore_ray import cluster as cluster_module

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*")]

TOYS = {"space": "toy_parts:Letters", "data": "toy_parts:NoData", "evaluator": "worker_parts:Waiting"}


@pytest.fixture(scope="module")
def address():
    ray = cluster_module.load_ray()
    from ray.cluster_utils import Cluster

    with cluster_module._environment(cluster_module._QUIET), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
    yield made.address
    ray.shutdown()
    made.shutdown()


def search(folder, address=None, executor=None, **changes):
    if address:
        changes["executor"] = {"use": "ray", "workers": 2, "address": address, **(executor or {})}
    return nascore.search(**(parts(**TOYS, trials=6, out=folder) | changes))


def trouble(folder, kind, address=None, once="", **changes):
    options = {"evaluator.kind": kind, "evaluator.once": str(once), "keep": "all"}
    return search(folder, address, evaluator="worker_parts:Trouble", options=options, **changes)


def by_number(result):
    return {
        t.number: (t.architecture.key, t.status, dict(t.objectives), dict(t.costs), t.reports, t.seed)
        for t in result.history
    }


def actors():
    """The processes of Ray workers that this test process began and that judge jobs."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::Worker"):
                found.append(process)
        except psutil.Error:  # noqa: PERF203 - any of them may be gone by now
            continue
    return found


class Killer:
    """Kills a random worker with SIGKILL after every fourth trial."""

    def __init__(self):
        self.rng, self.kills, self.told = random.Random(2), 0, 0

    @nascore.hookimpl
    def nascore_trial_finished(self):
        self.told += 1
        victims = actors()
        if self.told % 4 == 0 and victims and self.kills < 2:
            self.rng.choice(victims).send_signal(signal.SIGKILL)
            self.kills += 1


def test_two_nodes_give_the_values_of_one_process(tmp_path, address):
    options = {
        "data.log": str(tmp_path / "log"),
        "pruner.use": "threshold",
        "pruner.lower": 0.04,
    }  # decides by each report alone, in whatever order
    serial = search(
        tmp_path / "one", trials=10, data="worker_parts:Counted", costs=["toy_parts:Vowels"], options=options
    )
    both = search(
        tmp_path / "two", address, trials=10, data="worker_parts:Counted", costs=["toy_parts:Vowels"], options=options
    )
    assert by_number(both) == by_number(serial)
    assert {t.status for t in both.history} == {Status.COMPLETE, Status.PRUNED}
    assert (tmp_path / "log").read_text() == "read\n" * 2  # in each search by the driver alone
    assert not cluster_module.load_ray().is_initialized()


def test_a_part_given_as_an_object_goes_to_the_workers_in_processes_of_their_own(tmp_path, address):
    result = search(tmp_path / "run", address, evaluator=worker_parts.Devices(), trials=8)
    pids = {t.metrics["pid"] for t in result.history}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {t.metrics["threads"] for t in result.history} == {1.0}
    unsendable = worker_parts.Waiting(0.0)
    unsendable.stream = sys.stderr
    with pytest.raises(UsageError, match=r"The evaluator .* cannot be sent to Ray workers"):
        search(tmp_path / "other", address, evaluator=unsendable)


def test_a_worker_that_is_killed_is_replaced_and_its_trial_runs_again(tmp_path, address, caplog):
    result = trouble(tmp_path / "run", "die", address, once=tmp_path / "once")
    sound = search(tmp_path / "sound", evaluator="toy_parts:Table")
    assert by_number(result) == by_number(sound)
    assert re.search(r"The Ray worker of trial 2 died \(.*\); the trial runs again\.", caplog.text)
    assert not (tmp_path / "run" / "artifacts" / "000002").exists()


def test_workers_killed_from_outside_lose_nothing(tmp_path, address):
    killer = Killer()
    options = {"evaluator.seconds": 0.2}
    result = search(tmp_path / "run", address, trials=14, options=options, observers=[killer])
    assert killer.kills == 2
    assert by_number(result) == by_number(search(tmp_path / "sound", trials=14, options={"evaluator.seconds": 0.0}))
    assert sorted(t.number for t in result.history) == list(range(14))


def test_a_trial_whose_worker_always_dies_fails_after_the_retries(tmp_path, address):
    result = trouble(tmp_path / "run", "die", address, executor={"retries": 1})
    assert result.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert result.trial(2).reason.startswith("Its Ray worker died (")
    assert result.trial(2).reason.endswith("), 2 times.")
    assert result.trial(2).reports == ((1, {"accuracy": 0.1}),)


def test_a_trial_over_its_time_or_its_memory_fails(tmp_path, address):
    late = trouble(tmp_path / "late", "hang", address, trial_timeout=2.0)
    assert late.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert late.trial(2).reason == "It took longer than the 2 s of --trial-timeout."
    large = trouble(tmp_path / "large", "grow", address, trial_memory=900.0)
    assert large.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert "more than the 900 of --trial-memory" in large.trial(2).reason


def test_a_full_disk_ends_the_search_with_the_workers_own_message(tmp_path, address):
    with pytest.raises(RunError, match=r"^Trial 2 cannot write its files: No space left.*resume"):
        trouble(tmp_path / "run", "fill", address, once=tmp_path / "once")
    assert nascore.resume(tmp_path / "run").counts["complete"] == 6


def test_a_folder_that_the_machines_do_not_see_is_told(tmp_path, address):
    (tmp_path / "run").mkdir()
    handle = os.open(tmp_path, os.O_RDONLY)
    hidden = Path(f"/proc/self/fd/{handle}/run")  # means this directory in this process alone
    try:
        with pytest.raises(RunError, match=r"is not visible on the Ray machines .*a disk that all machines share"):
            search(hidden, address)
    finally:
        os.close(handle)


def test_a_connection_that_is_there_is_used_and_stays(tmp_path, address):
    ray = cluster_module.load_ray()
    with cluster_module.connected(address, 2, 1.0, ()):
        assert len(search(tmp_path / "run", executor="ray", workers=2).history) == 6
        assert ray.is_initialized()
        with pytest.raises(SettingsError, match="Ray is connected already"):
            search(tmp_path / "other", address)
    assert not ray.is_initialized()


def test_a_cluster_of_its_own_is_quiet_and_leaves_no_process(tmp_path):
    command = [sys.executable, "-m", "nascore", "search", "--space", "toy_parts:Letters", "--data", "toy_parts:NoData",
               "--sampler", "random:random", "--evaluator", "worker_parts:Trouble", "--set", "costs=[]",
               "--set", "evaluator.kind=die", "--set", f"evaluator.once={tmp_path / 'once'}",
               "--trials", "4", "--executor", "ray", "--workers", "2", "--no-tracking", "--quiet",
               "--out", str(tmp_path / "run")]  # fmt: skip
    paths = [str(Path(worker_parts.__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    begun = {}
    while process.poll() is None:
        try:
            begun.update({p.pid: p for p in psutil.Process(process.pid).children(recursive=True)})
        except psutil.Error:
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(err.splitlines()) == 1
    assert re.search(r"The Ray worker of trial 2 died \(.*\); the trial runs again\.", err)
    assert out.startswith("finished: all 4 trials are done")  # and not with what Ray has to say of that
    assert len(begun) > 3  # a head, a raylet, workers
    _, alive = psutil.wait_procs(begun.values(), timeout=10)
    assert alive == []
