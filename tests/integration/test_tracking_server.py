"""Tracking against real MLflow stores: a server that comes, goes and comes back, and killed processes.

Run as a script, this file is the driver: it goes through a search of known trials and tracks it.
"""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Cost, Direction, Objective, Status, Trial
from nascore.settings import SearchSettings
from nascore.tracking import Tracker, add_artifacts, default_uri, flush, pending
from nascore.tracking.outbox import outbox_path, read_events
from nascore.tracking.table import BEST_CHILDREN, CHILD_RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATUSES = (Status.COMPLETE, Status.COMPLETE, Status.FAIL, Status.PRUNED, Status.INFEASIBLE)
MLFLOW_STATUSES = ("FINISHED", "FINISHED", "FAILED", "KILLED", "KILLED")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


# --------------------------------------------------------------------------------- the driver


def make_trial(number: int) -> Trial:
    """A trial that depends on its number alone."""
    accuracy = 0.5 + (number * 37 % 50) / 100
    status = STATUSES[number % len(STATUSES)]
    return Trial(
        number,
        Candidate(Architecture("fake:space", {"width": number, "cell[0]": "conv"}, f"key{number}"), origin="random"),
        status,
        objectives={"accuracy": accuracy} if status is Status.COMPLETE else {},
        costs={"params": Cost(1000.0 + number, ""), "latency_ms": Cost(1.5, "ms", 0.25, 10)},
        reports=((1, {"accuracy": accuracy / 4}), (2, {"accuracy": accuracy / 2}), (3, {"accuracy": accuracy})),
        reason="ValueError: x" if status is Status.FAIL else "",
        started=1.7e9 + number,
        wall_seconds=0.5,
    )


def drive(folder: Path, uri: str, start: int, stop: int, pause: float, timeout: float) -> int:
    """Go through trials ``start`` .. ``stop``; those before are stored already, as in a resumed search.

    The file ``enough`` in the folder ends the search early.
    """
    objectives = (Objective("accuracy", Direction.MAXIMIZE),)
    search: Any = SimpleNamespace(
        settings=SearchSettings(plugin="fake", trials=stop, sampler={"use": "fake:s", "size": 5}),
        plugin="fake",
        seed=3,
        device="cpu",
        data=SimpleNamespace(task=SimpleNamespace(fingerprint="f00d")),
        space=SimpleNamespace(name="fake:space"),
        objectives=objectives,
        history=TrialHistory(objectives),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.toml").write_text("plugin = 'fake'\n")
    for number in range(start):
        search.history.add(make_trial(number))
    tracker = Tracker(folder, uri)
    tracker.nascore_search_started(search)
    for number in range(start, stop):
        if (folder / "enough").exists():
            break
        search.history.add(make_trial(number))
        tracker.nascore_trial_finished(make_trial(number))
        time.sleep(pause)
    history = search.history
    result: Any = SimpleNamespace(
        best=history.best,
        pareto_front=history.pareto_front,
        state="finished",
        counts=history.counts(),
        hypervolume=None,
    )
    tracker.nascore_search_finished(search, result)
    return tracker.close(timeout)


def start_driver(folder: Path, uri: str, start: int, stop: int, pause: float, timeout: float) -> subprocess.Popen[str]:
    arguments = [str(folder), uri, *map(str, (start, stop, pause, timeout))]
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to kill the sender with it
    )


# --------------------------------------------------------------------------------- the server


def wait_for(what: str, condition: Callable[[], bool], timeout: float = 180.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s in vain: {what}"
        time.sleep(0.5)


class Server:
    """A real ``mlflow server`` on loopback, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **QUIET}, start_new_session=True
            )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            kill_group(self._process)
            self._process = None


def kill_group(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.kill()


@pytest.fixture(scope="module", autouse=True)
def _quiet_mlflow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for key, value in QUIET.items():
            patch.setenv(key, value)
        yield


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def children_of(uri: str) -> list[Any]:
    """The child runs that are there by now; none while the experiment is not there yet."""
    client = client_of(uri)
    experiment = client.get_experiment_by_name("nascore")
    if experiment is None:
        return []
    found = client.search_runs([experiment.experiment_id], "tags.`nascore.trial` != ''", max_results=1000)
    return list(found)


def check_all(uri: str, folder: Path, count: int) -> None:
    """Every trial exactly once, with all that is known of it, under one parent that has all of them too."""
    client = client_of(uri)
    experiment = client.get_experiment_by_name("nascore").experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(int(run.data.tags["nascore.trial"]) for run in children) == list(range(count))
    for run in children:
        check_child(client, run)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == folder.name
    assert parent.data.params["sampler.size"] == "5"
    assert parent.data.tags["nascore.data_fingerprint"] == "f00d"
    accuracy = {number: make_trial(number).value("accuracy") for number in range(count)}
    complete = {number: value for number, value in accuracy.items() if STATUSES[number % 5] is Status.COMPLETE}
    assert steps(client, parent, "accuracy") == complete
    assert steps(client, parent, "params") == {number: 1000 + number for number in range(count)}
    assert parent.data.metrics["best_accuracy"] == max(complete.values())
    paths = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"search.toml", "trials.csv", "pareto_front.json", "best_trial.json"} <= paths
    with (folder / "tracking" / "trials.csv").open() as file:
        assert sorted(int(row["number"]) for row in csv.DictReader(file)) == list(range(count))


def steps(client: Any, run: Any, metric: str) -> dict[int, float]:
    history = client.get_metric_history(run.info.run_id, metric)
    found = {point.step: point.value for point in history}
    assert len(found) == len(history), f"{metric} has a step twice"
    return found


def check_child(client: Any, run: Any) -> None:
    number = int(run.data.tags["nascore.trial"])
    trial = make_trial(number)
    assert run.info.status == MLFLOW_STATUSES[number % 5]
    assert run.data.tags["nascore.status"] == trial.status.value
    assert run.data.params == {"width": str(number), "cell_0_": "conv"}
    assert run.data.metrics["latency_ms"] == 1.5
    assert '"unit": "ms"' in run.data.tags["nascore.costs"]
    assert steps(client, run, "accuracy") == {step: metrics["accuracy"] for step, metrics in trial.reports}
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["architecture.json"]


# ---------------------------------------------------------------------------------- the tests


@pytest.mark.slow
def test_server_down_at_start_killed_in_the_middle_and_back(tmp_path: Path, server: Server) -> None:
    run = tmp_path / "run"
    driver = start_driver(run, server.uri, 0, 900, 1.0, 120.0)
    try:
        wait_for("trials while the server is away", lambda: pending(run) >= 5)
        server.start()
        wait_for("the MLflow server", server.answers)
        wait_for("child runs", lambda: len(children_of(server.uri)) >= 4)
        server.kill()
        kill_sender(driver.pid)
        waiting = pending(run)
        server.start()
        wait_for("the MLflow server again", server.answers)
        wait_for("what had to wait", lambda: len(written_trials(run)) - pending(run) > waiting)
        (run / "enough").touch()
        out, _ = driver.communicate(timeout=180)
    finally:
        kill_group(driver)
    assert out.strip() == "0", "events are left"
    check_all(server.uri, run, len(written_trials(run)))


def written_trials(run: Path) -> list[int]:
    found = [event for event, _ in read_events(outbox_path(run)) if event is not None]
    return [event["number"] for event in found if event["event"] == "trial"]


def kill_sender(driver: int) -> None:
    """SIGKILL the sender, the one child of the driver."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(driver)], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in listed.stdout.splitlines() if "nascore.tracking.sender" in line]
    os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_search_is_resumed_in_the_same_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    uri = default_uri(run)
    driver = start_driver(run, uri, 0, 1000, 0.3, 0.0)
    sent = run / "tracking" / "sent.json"
    try:
        wait_for("the first child run", lambda: sent.exists() and sent.read_text().find('"best": null') < 0)
    finally:
        kill_group(driver)  # and the sender with it, somewhere in its work
    assert flush(run) == 0
    stored = len(children_of(uri))
    client = client_of(uri)
    (parent,) = client.search_runs(["1"], "tags.`nascore.run` != ''")
    assert parent.info.status == "KILLED"
    # The last trial is judged again: the kill fell between its event and its storing.
    assert drive_to_the_end(run, uri, stored - 1, stored + 6, 60.0) == 0
    add_artifacts(run, [run / "search.toml"])
    assert flush(run) == 0
    check_all(uri, run, stored + 6)


def drive_to_the_end(run: Path, uri: str, start: int, stop: int, timeout: float) -> int:
    """Drive in a process of its own; returns how many events were left."""
    driver = start_driver(run, uri, start, stop, 0.0, timeout)
    try:
        out, _ = driver.communicate(timeout=180)
    finally:
        kill_group(driver)
    return int(out)


@pytest.mark.slow
def test_a_server_that_stays_away_delays_the_end_by_the_given_seconds_only(tmp_path: Path, server: Server) -> None:
    began = time.monotonic()
    assert drive_to_the_end(tmp_path / "run", server.uri, 0, 3, 2.0) == 5
    assert time.monotonic() - began < 8.0
    assert pending(tmp_path / "run") == 5


@pytest.mark.slow
def test_a_search_of_more_than_a_thousand_trials_has_a_table_and_few_runs(tmp_path: Path) -> None:
    count = CHILD_RUNS + 100
    run = tmp_path / "runs" / "run"
    uri = default_uri(run)
    assert drive_to_the_end(run, uri, 0, count, 120.0) == 0
    client = client_of(uri)
    runs = client.search_runs(["1"], max_results=5000)
    (parent,) = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    history = TrialHistory((Objective("accuracy", Direction.MAXIMIZE),))
    for number in range(count):
        history.add(make_trial(number))
    complete = {trial.number: trial.value("accuracy") for trial in history if trial.status is Status.COMPLETE}
    best = sorted(complete, key=lambda number: (-complete[number], number))[:BEST_CHILDREN]
    expected = sorted({*best, *(trial.number for trial in history.pareto_front)})
    children = {int(found.data.tags["nascore.trial"]) for found in runs if found is not parent}
    # How many trials were sent before there were too many depends on how fast they came.
    assert children >= set(expected)
    assert len(children) == len(runs) - 1 <= CHILD_RUNS
    assert steps(client, parent, "accuracy") == complete  # every trial's numbers are in the parent run
    paths = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "trials.jsonl.gz"} <= paths
    table = client.download_artifacts(parent.info.run_id, "trials.csv", str(tmp_path))
    with Path(table).open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == list(range(count))
    assert {int(row["number"]): float(row["accuracy"]) for row in rows if row["status"] == "complete"} == complete


if __name__ == "__main__":
    folder, uri, start, stop, pause, timeout = sys.argv[1:]
    sys.stdout.write(str(drive(Path(folder), uri, int(start), int(stop), float(pause), float(timeout))))
