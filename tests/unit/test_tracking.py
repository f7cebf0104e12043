"""Tracking without MLflow: the outbox, the words, the observer, and the sender's loop against a target in memory."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import resource
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nascore.contracts import Round
from nascore.errors import RunError
from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Cost, Direction, Objective, Status, Trial
from nascore.settings import SearchSettings
from nascore.tracking import (
    Tracker,
    add_artifacts,
    add_metrics,
    default_uri,
    events,
    flush,
    guard,
    pending,
    resolve_uri,
    table,
    words,
)
from nascore.tracking import sender as sender_module
from nascore.tracking import tracker as tracker_module
from nascore.tracking.outbox import Outbox, Sent, outbox_path, read_events
from nascore.tracking.place import Place, artifact_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OBJECTIVES = (Objective("accuracy", Direction.MAXIMIZE),)


def make_trial(number: int, accuracy: float = 0.5, **changes: Any) -> Trial:
    architecture = Architecture("fake:space", {"width": 8 + number, "normal[0].op": "conv"}, f"key{number}")
    trial = Trial(
        number,
        Candidate(architecture, origin="random"),
        Status.COMPLETE,
        objectives={"accuracy": accuracy},
        costs={"params": Cost(1000.0 + number, ""), "latency_ms": Cost(1.5, "ms", 0.25, 10)},
        reports=((1, {"accuracy": accuracy / 2}), (2, {"accuracy": accuracy})),
        seed=7,
        started=1000.0 + number,
        wall_seconds=0.5,
    )
    return replace(trial, **changes)


def make_search(folder: Path, trials: tuple[Trial, ...] = (), **settings: Any) -> Any:
    history = TrialHistory(OBJECTIVES)
    for trial in trials:
        history.add(trial)
    return SimpleNamespace(
        settings=SearchSettings(
            **{"plugin": "fake", "trials": 10, "sampler": {"use": "fake:s", "size": 5}, **settings}
        ),
        plugin="fake",
        seed=3,
        device="cpu",
        data=SimpleNamespace(task=SimpleNamespace(fingerprint="f00d")),
        space=SimpleNamespace(name="fake:space"),
        objectives=OBJECTIVES,
        folder=folder,
        history=history,
    )


def make_result(search: Any, state: str = "finished") -> Any:
    history = search.history
    return SimpleNamespace(best=history.best, pareto_front=history.pareto_front, state=state, counts=history.counts(),
                           hypervolume=None)  # fmt: skip


def written(folder: Path) -> list[dict[str, Any]]:
    return [event for event, _ in read_events(outbox_path(folder)) if event is not None]


# ---------------------------------------------------------------------------------------- outbox


def test_reader_leaves_a_torn_line_and_the_next_writer_cuts_it_off(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    outbox = Outbox(path)
    outbox.append({"event": "a"})
    outbox.close()
    with path.open("ab") as file:
        file.write(b'{"event": "torn"')
    assert [event for event, _ in read_events(path)] == [{"event": "a"}]
    outbox = Outbox(path)
    outbox.append({"event": "b"})
    outbox.close()
    assert [event for event, _ in read_events(path)] == [{"event": "a"}, {"event": "b"}]


def test_a_first_line_that_is_torn_leaves_an_empty_outbox(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    path.write_bytes(b"x" * 200_000)
    Outbox(path).close()
    assert path.read_bytes() == b""


def test_reading_goes_on_at_an_offset_and_shows_damage(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    path.write_bytes(b'{"event":"a"}\nnot json\n[1]\n{"event":"b"}\n')
    found = list(read_events(path))
    assert [event for event, _ in found] == [{"event": "a"}, None, None, {"event": "b"}]
    assert list(read_events(path, found[2][1])) == [found[3]]


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_does_not_fit_on_the_disk_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    outbox = Outbox(path)
    outbox.append({"event": "a"})
    with disk_of(20):
        for name in "bc":
            with pytest.raises(OSError, match=r"fit|large"):
                outbox.append({"event": name})
        assert path.read_bytes() == b'{"event":"a"}\n'
    outbox.append({"event": "d"})
    outbox.close()
    assert [event and event["event"] for event, _ in read_events(path)] == ["a", "b", "c", "d"]


def test_numbers_of_numpy_are_plain_numbers(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    outbox = Outbox(tmp_path / "outbox.jsonl")
    outbox.append({"event": "a", "value": numpy.float32(0.5), "count": numpy.int64(3)})
    outbox.close()
    assert next(read_events(tmp_path / "outbox.jsonl"))[0] == {"event": "a", "value": 0.5, "count": 3}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"unknown": 1}'])
def test_a_damaged_sent_file_means_that_nothing_was_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "sent.json").write_bytes(content)
    assert Sent.load(tmp_path, "uri", "e") == Sent("uri", "e")


def test_another_place_has_got_nothing_yet(tmp_path: Path) -> None:
    outbox = Outbox(outbox_path(tmp_path))
    outbox.append({"event": "a"})
    outbox.append({"event": "b"})
    Sent("here", "e", offset=14).save(tmp_path)
    assert pending(tmp_path) == pending(tmp_path, "here", "e") == 1
    assert pending(tmp_path, "there", "e") == pending(tmp_path, "here", "other") == 2
    outbox.close()


# ---------------------------------------------------------------------------------------- places


def test_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tmp_path / "runs" / "one"
    assert resolve_uri(run, "off") == ""
    assert resolve_uri(run) == default_uri(run) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(run, "sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert resolve_uri(run, "auto") == "http://server:5000"
    assert resolve_uri(run, "http://other") == "http://other"
    assert artifact_root("http://server") is None
    assert artifact_root(default_uri(run)) == f"file://{tmp_path}/runs/mlartifacts"


def test_the_default_place_moves_with_the_runs(tmp_path: Path) -> None:
    run = tmp_path / "a" / "run"
    (run / "tracking").mkdir(parents=True)
    Place.save(run, default_uri(run), "e")
    moved = (tmp_path / "a").rename(tmp_path / "b") / "run"
    assert Place.load(moved) == Place("auto", "e")


def test_no_password_reaches_a_file(tmp_path: Path) -> None:
    search = make_search(tmp_path, tracking="https://me:secret@host/x")
    assert events.started(search, "id", tmp_path)["params"]["tracking"] == "https://host/x"
    (tmp_path / "tracking").mkdir()
    Place.save(tmp_path, "https://me:secret@host/x", "e")
    assert "secret" not in (tmp_path / "tracking" / "place.json").read_text()
    assert Place.load(tmp_path).uri == "https://host/x"


# ----------------------------------------------------------------------------------------- words


def test_names_are_allowed_short_and_different() -> None:
    new = words.names(["a[0]", "a(0)", "plain.name-1", "..", "é", "x" * 400, "x" * 300])
    assert new["a[0]"] == "a_0_"
    assert new["plain.name-1"] == "plain.name-1"
    assert len(set(new.values())) == len(new)
    assert all(0 < len(name) <= words.NAME_LENGTH for name in new.values())


def test_the_final_value_is_the_one_that_mlflow_shows() -> None:
    """MLflow shows the value of the highest (step, timestamp)."""
    event = events.trial_finished(make_trial(0, 0.9, reports=((1, {"accuracy": 0.5}), (3, {"accuracy": 0.95}))))
    points = [point for point in words.trial_points(event) if point.key == "accuracy"]
    assert [(point.step, point.value) for point in points] == [(1, 0.5), (3, 0.95), (3, 0.9)]
    assert max(points, key=lambda point: (point.step, point.timestamp)).value == 0.9


def test_a_final_value_that_was_reported_is_not_a_second_point() -> None:
    points = [p for p in words.trial_points(events.trial_finished(make_trial(0))) if p.key == "accuracy"]
    assert [(point.step, point.value) for point in points] == [(1, 0.25), (2, 0.5)]


def test_points_of_a_trial_are_the_same_every_time() -> None:
    event = events.trial_finished(make_trial(4))
    again = json.loads(json.dumps(event))
    assert list(words.trial_points(event)) == list(words.trial_points(again))
    assert list(words.search_points(event)) == list(words.search_points(again))


def test_costs_keep_unit_and_spread() -> None:
    event = events.trial_finished(make_trial(2))
    assert words.final_values(event)["latency_ms"] == 1.5
    assert words.final_values(event)["latency_ms_std"] == 0.25
    assert "params_std" not in words.final_values(event)
    assert json.loads(words.trial_tags(event)["nascore.costs"])["latency_ms"]["unit"] == "ms"


def test_decisions_are_parameters_and_other_genomes_are_not() -> None:
    event = events.trial_finished(make_trial(1))
    assert words.decisions(event) == {"width": "9", "normal_0_.op": "conv"}
    for genome in ([1, 2], {"nodes": [1]}, {str(i): i for i in range(words.MAX_DECISIONS + 1)}):
        event["architecture"]["genome"] = genome
        assert words.decisions(event) == {}


def test_a_long_traceback_is_cut() -> None:
    tags = words.trial_tags(events.trial_finished(make_trial(0, status=Status.FAIL, reason="x" * 9000)))
    assert len(tags["nascore.reason"]) == words.TAG_LENGTH


def test_settings_are_flat_parameters() -> None:
    assert events.flatten({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": "", "g": 0}) == {
        "a.b": "1", "a.c.d": "[1, 2]", "g": "0",
    }  # fmt: skip


# ----------------------------------------------------------------------------------------- table


def test_the_table_shows_a_trial_as_it_was_judged_last(tmp_path: Path) -> None:
    outbox = Outbox(outbox_path(tmp_path))
    trials = [make_trial(0, 0.1), make_trial(1, 0.9), make_trial(0, 0.3, started=5000.0), make_trial(2, 0.2)]
    for trial in trials:
        outbox.append(events.trial_finished(trial))
    outbox.append(events.trial_finished(make_trial(3, math.nan, status=Status.FAIL, objectives={})))
    outbox.close()
    assert [(e["number"], e["started"]) for e in table.trials(tmp_path)] == [(1, 1001), (0, 5000), (2, 1002), (3, 1003)]
    table.write_csv(tmp_path, tmp_path / "trials.csv")
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert len(lines) == 5
    assert "accuracy" in lines[0]
    best = table.best_trials(tmp_path, "accuracy", maximize=True, count=1, also={3})
    assert [event["number"] for event in best] == [1, 3]
    best = table.best_trials(tmp_path, "accuracy", maximize=False, count=2, also=set())
    assert [event["number"] for event in best] == [0, 2]


# ------------------------------------------------------------------------------------- the driver


class FakeSender:
    """Stands for the process."""

    made: list[FakeSender]

    def __init__(self, run_folder: Path, uri: str, experiment: str, beside_search: bool) -> None:
        self.alive = True
        self.made.append(self)

    def close(self, timeout: float | None) -> bool:
        return True


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[FakeSender]:
    FakeSender.made = []
    monkeypatch.setattr(tracker_module, "Sender", FakeSender)
    monkeypatch.setattr(tracker_module, "_CHECK_SECONDS", 0.0)
    return FakeSender.made


@pytest.fixture
def new_tracker(tmp_path: Path, senders: list[FakeSender]) -> Iterator[Callable[[], Tracker]]:
    """Makes trackers with fake senders, and closes them at the end."""
    made: list[Tracker] = []

    def make() -> Tracker:
        made.append(Tracker(tmp_path, "uri"))
        return made[-1]

    yield make
    for tracker in made:
        tracker.close(0.0)


def test_a_resumed_search_keeps_its_name_and_notes_what_it_missed(
    tmp_path: Path, new_tracker: Callable[[], Tracker]
) -> None:
    trials = tuple(make_trial(number) for number in range(4))
    search = make_search(tmp_path, trials[:1])
    first = new_tracker()
    first.nascore_search_started(search)
    first.nascore_trial_finished(trials[1])  # then it is killed: trial 2 is stored, its event is not written
    resumed = make_search(tmp_path, trials[:2])
    second = new_tracker()
    second.nascore_search_started(resumed)
    for trial in trials[2:]:
        resumed.history.add(trial)
    second.nascore_trial_finished(trials[3])
    second.nascore_search_finished(resumed, make_result(resumed))
    found = written(tmp_path)
    assert sorted(event["number"] for event in found if event["event"] == "trial") == [0, 1, 2, 3]
    assert len({event["run"] for event in found if event["event"] == "started"}) == 1
    assert found[-1]["event"] == "finished"
    assert found[-1]["counts"]["complete"] == 4
    assert Place.load(tmp_path).uri == "uri"


def test_rounds_without_metrics_cost_nothing(tmp_path: Path, new_tracker: Callable[[], Tracker]) -> None:
    tracker = new_tracker()
    tracker.nascore_search_started(make_search(tmp_path))
    tracker.nascore_round_finished(0, Round(changed=True))
    tracker.nascore_round_finished(1, Round(changed=True, metrics={"train_loss": 0.5}))
    assert [event["number"] for event in written(tmp_path) if event["event"] == "round"] == [1]


def test_a_sender_that_dies_is_started_again_but_not_for_ever(
    tmp_path: Path, senders: list[FakeSender], new_tracker: Callable[[], Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = new_tracker()
    tracker.nascore_search_started(make_search(tmp_path))
    tracker.nascore_trial_finished(make_trial(0))
    assert len(senders) == 1
    for number in range(1, 20):
        senders[-1].alive = False
        tracker.nascore_trial_finished(make_trial(number))
    assert len(senders) == 1 + tracker_module._RESTARTS
    assert sum("again and again" in message for message in caplog.messages) == 1
    assert len(written(tmp_path)) == 21


def test_a_full_disk_is_told_once_and_nothing_is_lost(
    tmp_path: Path, new_tracker: Callable[[], Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = new_tracker()
    tracker.nascore_search_started(make_search(tmp_path))
    with disk_of(outbox_path(tmp_path).stat().st_size + 10):
        tracker.nascore_trial_finished(make_trial(0))
        tracker.nascore_trial_finished(make_trial(1))
    assert sum("cannot write" in message for message in caplog.messages) == 1
    tracker.nascore_trial_finished(make_trial(2))
    assert [event.get("number") for event in written(tmp_path)] == [None, 0, 1, 2]


def test_closing_says_in_one_line_what_is_left(
    tmp_path: Path, new_tracker: Callable[[], Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = new_tracker()
    tracker.nascore_search_started(make_search(tmp_path))
    tracker.nascore_trial_finished(make_trial(0))
    with caplog.at_level(logging.WARNING, "nascore"):
        assert tracker.close(timeout=0.0) == 2
    assert f"2 events are kept in {outbox_path(tmp_path)}; `nascore track {tmp_path}` sends them." in caplog.text
    assert tracker.close() == 0


def test_a_run_that_was_not_tracked_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="tracking off"):
        flush(tmp_path)
    add_artifacts(tmp_path, [tmp_path / "report.html"])
    assert not (tmp_path / "tracking").exists()


def test_only_files_of_the_run_are_attached(tmp_path: Path) -> None:
    run = tmp_path / "run"
    Outbox(outbox_path(run)).close()
    (run / "report.html").write_text("x")
    (tmp_path / "other").write_text("x")
    add_artifacts(run, [run / "report.html"])
    assert written(run)[-1]["files"] == ["report.html"]
    for wrong in (tmp_path / "other", run / "missing"):
        with pytest.raises(RunError, match="no file in"):
            add_artifacts(run, [wrong])


def test_the_driver_never_imports_mlflow() -> None:
    code = "import nascore.tracking, sys; print({'mlflow', 'torch', 'optuna', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ------------------------------------------------------------------------------------- the sender


class RefusedError(Exception):
    error_code = "INVALID_PARAMETER_VALUE"


class MemoryTarget:
    """Keeps what it is sent, and fails when it is told to."""

    objectives = (["accuracy", "maximize"],)

    def __init__(self) -> None:
        self.children: dict[int, int] = {}
        self.metrics: set[words.Point] = set()
        self.statuses: list[str] = []
        self.doubles_looked_for = 0
        self.errors: list[Exception] = []
        self.refuses: set[int] = set()
        self.tables = 0

    def start(self, event: dict[str, Any]) -> None:
        self._fail()

    def trial(self, event: dict[str, Any]) -> None:
        if event["number"] in self.refuses:
            raise RefusedError("no")
        self.children[event["number"]] = self.children.get(event["number"], 0) + 1
        self._fail()

    def finish(self, event: dict[str, Any], in_table: bool) -> None:
        self.statuses.append(words.SEARCH_STATUS[event["status"]])

    def attach(self, files: list[str]) -> None:
        self._fail()

    def points(self, points: list[words.Point]) -> None:
        self._fail()
        self.metrics |= set(points)

    def set_status(self, status: str) -> None:
        self.statuses.append(status)

    def attach_table(self) -> None:
        self.tables += 1
        self._fail()

    def delete_doubles(self) -> None:
        self.doubles_looked_for += 1

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


class FakeDriver:
    """A driver that is gone after ``naps`` pauses."""

    def __init__(self, naps: int = 0) -> None:
        self.naps = naps

    @property
    def over(self) -> bool:
        return self.naps <= 0

    def sleep(self, seconds: float) -> None:
        self.naps -= 1


class LoopOnly(sender_module.Sender):
    """The real loop with a target in memory."""

    memory: MemoryTarget

    def _connected(self) -> Any:
        self._target = self.memory  # type: ignore[assignment]  # stands for an MLflow target
        return self.memory


def send(folder: Path, target: MemoryTarget, naps: int = 0) -> tuple[int, Sent]:
    sender = LoopOnly(folder, "uri", "e", FakeDriver(naps))  # type: ignore[arg-type]  # stands for the driver
    sender.memory = target
    return sender.run(), Sent.load(folder)


def write_search(folder: Path, count: int, end: str = "") -> None:
    search = make_search(folder)
    outbox = Outbox(outbox_path(folder))
    outbox.append(events.started(search, "id", folder))
    for number in range(count):
        trial = make_trial(number, 0.1 * ((number * 3) % 7))
        search.history.add(trial)
        outbox.append(events.trial_finished(trial))
    if end:
        outbox.append(events.finished(make_result(search, end)))
    outbox.close()


def test_what_comes_after_the_search_is_sent_too(tmp_path: Path) -> None:
    write_search(tmp_path, 2, "finished")
    (tmp_path / "result.json").write_text("{}")
    add_metrics(tmp_path, {"test_accuracy": 0.75, "test_accuracy_std": 0.02}, [tmp_path / "result.json"], step=1)
    target = MemoryTarget()
    assert send(tmp_path, target)[0] == 0
    sent = {(point.key, point.value, point.step) for point in target.metrics}
    assert {("test_accuracy", 0.75, 1), ("test_accuracy_std", 0.02, 1)} <= sent


def test_everything_is_sent_and_the_best_so_far_with_it(tmp_path: Path) -> None:
    write_search(tmp_path, 25, "finished")
    target = MemoryTarget()
    code, state = send(tmp_path, target)
    assert (code, state.status, state.ended, pending(tmp_path)) == (0, "FINISHED", True, 0)
    assert target.children == dict.fromkeys(range(25), 1)
    best = sorted((p.step, p.value) for p in target.metrics if p.key == "best_accuracy")
    values = [0.1 * ((number * 3) % 7) for number in range(25)]
    assert best == [(number, max(values[: number + 1])) for number in range(25)]


def test_after_failures_all_metrics_are_there_and_doubles_are_looked_for(tmp_path: Path) -> None:
    write_search(tmp_path, 12, "interrupted")
    whole, broken = MemoryTarget(), MemoryTarget()
    send(tmp_path, whole)
    (tmp_path / "tracking" / "sent.json").unlink()
    broken.errors = [ConnectionError(), ConnectionError(), OSError("locked")]
    code, state = send(tmp_path, broken)
    assert (code, state.status, pending(tmp_path), state.error) == (0, "KILLED", 0, "")
    assert broken.metrics == whole.metrics
    assert (whole.doubles_looked_for, broken.doubles_looked_for) == (0, 1)


def test_a_sender_gives_up_when_its_driver_is_gone_and_the_server_too(tmp_path: Path) -> None:
    write_search(tmp_path, 3)
    target = MemoryTarget()
    target.errors = [ConnectionError(f"try {number}") for number in range(99)]
    code, state = send(tmp_path, target, naps=7)
    assert code == 1
    assert 99 - len(target.errors) == 8  # seven while the driver lives, which count, and the first alone
    assert "ConnectionError: try" in state.error
    assert pending(tmp_path) == 4


def test_alone_a_sender_tries_a_few_times(tmp_path: Path) -> None:
    write_search(tmp_path, 3)
    target = MemoryTarget()
    target.errors = [ConnectionError()] * 9
    assert send(tmp_path, target)[0] == 1
    assert len(target.errors) == 9 - sender_module.TRIES_ALONE


def test_one_event_that_is_refused_holds_nothing_up(tmp_path: Path) -> None:
    write_search(tmp_path, 30, "finished")
    target = MemoryTarget()
    target.refuses = {17}
    code, state = send(tmp_path, target)
    assert (code, state.refused, pending(tmp_path)) == (0, 1, 0)
    assert set(target.children) == set(range(30)) - {17}


def test_an_error_of_the_network_is_never_taken_for_a_refusal(tmp_path: Path) -> None:
    write_search(tmp_path, 2, "finished")
    target = MemoryTarget()
    target.errors = [ConnectionError() for _ in range(20)]
    code, state = send(tmp_path, target, naps=50)
    assert (code, state.refused, set(target.children)) == (0, 0, {0, 1})


def test_a_killed_search_is_marked_and_runs_again_when_it_is_resumed(tmp_path: Path) -> None:
    write_search(tmp_path, 2)
    target = MemoryTarget()
    _, state = send(tmp_path, target, naps=2)
    assert (target.statuses, state.status) == (["KILLED"], "KILLED")
    _, state = send(tmp_path, target, naps=2)  # an idle driver that resumed: its first event was sent already
    assert target.statuses == ["KILLED", "RUNNING", "KILLED"]
    write_search(tmp_path, 0, "finished")
    _, state = send(tmp_path, target, naps=2)
    assert target.statuses[3:] == ["RUNNING", "FINISHED"]
    assert state.ended


def test_a_fast_search_gets_no_child_runs_but_all_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHILD_RUNS", 20)
    write_search(tmp_path, 21, "finished")
    target = MemoryTarget()
    _, state = send(tmp_path, target)
    assert state.table
    assert target.children == {}
    assert {p.step for p in target.metrics if p.key == "accuracy"} == set(range(21))


def test_a_slow_search_of_many_trials_stops_making_child_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHILD_RUNS", 20)
    target = MemoryTarget()
    outbox = Outbox(outbox_path(tmp_path))
    outbox.append(events.started(make_search(tmp_path), "id", tmp_path))
    for number in range(25):
        outbox.append(events.trial_finished(make_trial(number)))
        send(tmp_path, target)
    outbox.close()
    assert set(target.children) == set(range(20))
    assert {p.step for p in target.metrics if p.key == "accuracy"} == set(range(25))


def test_the_table_is_sent_now_and_then_where_there_are_no_child_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "CHILD_RUNS", 20)
    monkeypatch.setattr(table, "TABLE_SECONDS", 0.0)
    monkeypatch.setattr(sender_module, "TABLE_BATCH", 10)
    few, many, seldom = MemoryTarget(), MemoryTarget(), MemoryTarget()
    write_search(tmp_path / "few", 20)
    send(tmp_path / "few", few)
    write_search(tmp_path / "many", 41)
    send(tmp_path / "many", many)
    assert (few.tables, many.tables) == (0, 5)  # 42 events, ten at once
    monkeypatch.setattr(table, "TABLE_SECONDS", 600.0)
    write_search(tmp_path / "seldom", 41)
    send(tmp_path / "seldom", seldom)
    assert seldom.tables == 0


def test_a_table_that_cannot_be_sent_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHILD_RUNS", 5)
    write_search(tmp_path, 21)
    target = MemoryTarget()
    sender = LoopOnly(tmp_path, "uri", "e", FakeDriver(5))  # type: ignore[arg-type]  # stands for the driver
    sender.memory = target
    sender._next_table = 0.0

    def refuse() -> None:
        target.tables += 1
        raise OSError("the disk is full")

    monkeypatch.setattr(target, "attach_table", refuse)
    assert sender.run() == 0
    assert target.tables == 1
    assert {p.step for p in target.metrics if p.key == "accuracy"} == set(range(21))


def test_damaged_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    write_search(tmp_path, 2)
    with outbox_path(tmp_path).open("ab") as file:
        file.write(b"\x00\x00\n")
    write_search(tmp_path, 0, "finished")
    _, state = send(tmp_path, MemoryTarget())
    assert (state.refused, state.status) == (1, "FINISHED")


def test_a_folder_in_place_of_the_outbox_has_nothing_to_send(tmp_path: Path) -> None:
    outbox_path(tmp_path).mkdir(parents=True)
    assert pending(tmp_path) == 0


HOLDS_THE_LOCK = """
import fcntl, sys, time
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(0.6)
"""


def test_the_lock_of_a_killed_sender_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process holds its lock for an instant more; what it left unsettled is still ours to settle."""
    (tmp_path / "tracking").mkdir()
    Sent(status="RUNNING", ended=False).save(tmp_path)
    lock = tmp_path / "tracking" / "sender.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDS_THE_LOCK, lock], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with guard.only_one(tmp_path, FakeDriver()) as ours:  # type: ignore[arg-type]  # what of Driver it asks for
            assert ours
            monkeypatch.setattr(guard, "DYING_SECONDS", 0.1)
            with guard.only_one(tmp_path, FakeDriver()) as second:  # type: ignore[arg-type]  # as above
                assert not second
