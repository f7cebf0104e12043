"""What is refused before any cluster is there."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest
from toy_parts import parts

import nascore
from nascore.errors import CapabilityError, PluginError, RunError, SettingsError
from nascore.plugins import Plugins
from nascore_ray import cluster
from nascore_ray.executor import RayExecutor

TOYS = {"space": "toy_parts:Letters", "data": "toy_parts:NoData", "evaluator": "worker_parts:Waiting"}


def search(folder, **changes):
    return nascore.search(**(parts(**TOYS, trials=4, out=folder, executor="ray", workers=2) | changes))


def test_the_executor_is_found_by_its_short_name():
    assert Plugins().find("executors", "ray")[0] == "ray:ray"


@pytest.mark.parametrize(("options", "message"), [
    ({"workers": 0}, "executor.workers is 0; it must be at least 1"),
    ({"retries": -1}, "executor.retries is -1; it must be at least 0"),
    ({"cpus": -1.0}, "executor.cpus is -1.0"),
    ({"gpus": float("nan")}, "executor.gpus is nan"),
    ({"memory_mib": float("inf")}, "executor.memory_mib is inf"),
    ({"address": "head"}, "write auto, HOST:PORT, or nothing"),
    ({"address": "head:70000"}, "write auto, HOST:PORT, or nothing"),
    ({"address": "ray://head:10001"}, "of a Ray client"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        RayExecutor(**options)


def test_an_unknown_option_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(SettingsError, match=r"executor.cpu is no option .*did you mean 'cpus'"):
        search(tmp_path / "run", executor={"use": "ray", "cpu": 1})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "why"), [("Shared", "`prepare`"), ("Stateful", "`state_dict`")])
def test_evaluators_that_share_state_are_refused_before_there_is_a_run(tmp_path, name, why):
    with pytest.raises(CapabilityError, match=rf"'worker_parts:{name}' .*{why}"):
        search(tmp_path / "run", evaluator=f"worker_parts:{name}")
    assert not (tmp_path / "run").exists()


def test_an_address_where_nobody_answers_is_told_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=rf"No Ray cluster answers at {address}.*`ray start --head`"):
            search(tmp_path / "run", executor={"use": "ray", "address": address})


def test_a_device_with_gpus_needs_a_share_of_one(tmp_path):
    class Judge:
        folder, objects, on_report = tmp_path, {}, None

    with pytest.raises(SettingsError, match=r"device is cuda and executor\.gpus is 0"):
        RayExecutor(gpus=0).start({"device": "cuda", "threads": 1}, Judge)


def test_ray_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PluginError, match=r"pip install 'ray>=2\.40'"):
        cluster.load_ray()


def test_variables_and_signals_are_as_before():
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with cluster._own_signals(), cluster._environment({"NASCORE_RAY_TEST": "1"}):
            assert os.environ["NASCORE_RAY_TEST"] == "1"
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert "NASCORE_RAY_TEST" not in os.environ
    finally:
        signal.signal(signal.SIGTERM, mine)
