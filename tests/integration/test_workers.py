"""Worker processes: the same trials whoever judged them, and days on which they die, hang or eat memory."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import worker_parts
from toy_parts import parts

import nascore
from nascore.cli.main import main
from nascore.errors import CapabilityError, RunError, SettingsError, UsageError
from nascore.order import events
from nascore.records import Status

SUPPORT = Path(worker_parts.__file__).parent
TOYS = {"space": "toy_parts:Letters", "data": "toy_parts:NoData", "evaluator": "worker_parts:Waiting"}


def search(folder, **changes):
    options = changes.pop("options", {})
    given = parts(**TOYS, trials=6, out=folder, workers=2) | changes
    return nascore.search(**given, options=options)


def by_number(result):
    return {
        t.number: (t.architecture.key, t.status, dict(t.objectives), dict(t.costs), t.reports, t.seed)
        for t in result.history
    }


def test_two_workers_give_the_values_of_one_process(tmp_path):
    serial = search(tmp_path / "one", workers=1, trials=12, costs=["toy_parts:Vowels"])
    both = search(tmp_path / "two", workers=2, trials=12, costs=["toy_parts:Vowels"])
    assert by_number(both) == by_number(serial)
    assert [t.number for t in both.history] != sorted(by_number(both))  # they did overtake
    assert nascore.open_run(tmp_path / "two").best.number == serial.best.number


def test_reports_reach_the_pruner_and_its_answer_the_worker(tmp_path):
    result = search(tmp_path / "run", trials=20, options={"pruner.use": "median", "pruner.n_startup_trials": 3})
    pruned = [t for t in result.history if t.status is Status.PRUNED]
    assert pruned
    assert min(len(t.reports) for t in pruned) < 3


def test_workers_are_processes_of_their_own_with_their_threads(tmp_path):
    result = search(
        tmp_path / "run", evaluator="worker_parts:Devices", trials=8, options={"threads": 1, "evaluator": {}}
    )
    pids = {t.metrics["pid"] for t in result.history}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {t.metrics["threads"] for t in result.history} == {1.0}


def test_a_part_given_as_an_object_goes_to_the_workers_and_one_that_cannot_is_told(tmp_path):
    result = search(tmp_path / "run", evaluator=worker_parts.Waiting(0.0))
    assert len(result.history) == 6
    unsendable = worker_parts.Waiting(0.0)
    unsendable.hook = lambda: None
    with pytest.raises(UsageError, match=r"The evaluator .* cannot be sent to worker processes"):
        search(tmp_path / "other", evaluator=unsendable)


@pytest.mark.parametrize(("name", "why"), [("Shared", "`prepare`"), ("Stateful", "`state_dict`")])
def test_shared_state_and_workers_exclude_each_other(tmp_path, name, why):
    with pytest.raises(CapabilityError, match=rf"'worker_parts:{name}' .*{why}.*leave --workers out"):
        search(tmp_path / "run", evaluator=f"worker_parts:{name}")
    assert not (tmp_path / "run").exists()
    with pytest.raises(CapabilityError, match="leave --trial-timeout out"):
        search(tmp_path / "run", evaluator=f"worker_parts:{name}", workers=1, trial_timeout=5.0)


def test_an_evaluator_that_says_it_is_stateless_is_let_through(tmp_path):
    assert len(search(tmp_path / "run", evaluator="worker_parts:Harmless").history) == 6


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, workers):
    with pytest.raises(SettingsError, match="at least 1"):
        search(tmp_path / "run", workers=workers)


def test_a_limit_that_the_executor_does_not_know_is_refused(tmp_path):
    from nascore.executors import Serial

    with pytest.raises(SettingsError, match=r"trial_timeout: the executor .* cannot limit a trial"):
        search(tmp_path / "run", workers=None, executor=Serial(), trial_timeout=3.0)


def test_workers_that_cannot_make_their_parts_say_why(tmp_path):
    run = tmp_path / "run"
    search(run, workers=1, trials=2)
    facts = json.loads((run / "run.json").read_text())
    executor = nascore.parts.Workshop().executor(
        nascore.settings.merge([{"executor": {"use": "processes"}, "trials": 1}])
    )
    (run / "run.json").write_text(json.dumps({**facts, "task": {**facts["task"], "fingerprint": "another"}}))

    class Judge:
        folder, objects, on_report = run, {}, None

    settings = nascore.open_run(run).search.settings.model_dump()
    try:
        executor.start(settings, Judge)
        executor.submit(nascore.contracts.Job(0, None, 0))
        with pytest.raises(RunError, match="The data changed"):
            executor.wait()
    finally:
        executor.close()


# ------------------------------------------------------------------------------------ faults of a worker


def trouble(folder, kind, once="", **changes):
    options = {"evaluator.kind": kind, "evaluator.once": str(once)}
    return search(folder, evaluator="worker_parts:Trouble", options=options, **changes)


@pytest.mark.parametrize("kind", ["die", "leave"])
def test_a_worker_that_dies_is_replaced_and_its_trial_runs_again(tmp_path, kind, caplog):
    result = trouble(tmp_path / "run", kind, once=tmp_path / "once")
    sound = search(tmp_path / "sound", workers=1, evaluator="toy_parts:Table")
    assert by_number(result) == by_number(sound)
    how = {"die": "killed by SIGKILL", "leave": "ended with the exit status 7"}[kind]
    assert f"The worker process of trial 2 was {how}; the trial runs again." in caplog.text
    assert not (tmp_path / "run" / "artifacts" / "000002").exists()


def test_a_trial_whose_worker_always_dies_fails_and_the_search_goes_on(tmp_path):
    result = trouble(tmp_path / "run", "die")
    assert result.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert result.trial(2).reason == "Its worker process was killed by SIGKILL, 3 times."
    assert result.trial(2).reports == ((1, {"accuracy": 0.1}),)


@pytest.mark.parametrize("kind", ["hang", "spin"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_over_its_time_fails_and_the_search_goes_on(tmp_path, kind, workers):
    begun = time.monotonic()
    result = trouble(tmp_path / "run", kind, workers=workers, trial_timeout=1.5)
    assert result.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert result.trial(2).reason == "It took longer than the 1.5 s of --trial-timeout."
    assert result.trial(2).wall_seconds >= 1.5
    assert time.monotonic() - begun < 60


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read from /proc")
def test_a_trial_over_its_memory_fails_and_the_search_goes_on(tmp_path):
    result = trouble(tmp_path / "run", "grow", trial_memory=900.0)
    assert result.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 1}
    assert "more than the 900 of --trial-memory" in result.trial(2).reason


@pytest.mark.parametrize(("kind", "reason"), [
    ("refuse", "MemoryError: no room"), ("nan", "accuracy is nan"), ("lose", "cannot leave its process"),
])  # fmt: skip
def test_what_goes_wrong_inside_a_worker_is_one_failed_trial(tmp_path, kind, reason):
    result = trouble(tmp_path / "run", kind)
    assert result.counts["fail"] == 1
    assert reason in result.trial(2).reason


def test_a_full_disk_in_a_worker_ends_the_search_and_no_trial(tmp_path):
    with pytest.raises(RunError, match=r"Trial 2 cannot write its files: No space left.*resume"):
        trouble(tmp_path / "run", "fill", once=tmp_path / "once")
    result = nascore.resume(tmp_path / "run")
    assert result.counts == {"complete": 6, "pruned": 0, "infeasible": 0, "fail": 0}


# ------------------------------------------------------------------------------------ faults of the driver


def command(folder, *more, trials=16, seconds=0.05):
    return [sys.executable, "-m", "nascore", "search", "--space", "toy_parts:Letters", "--data", "toy_parts:NoData",
            "--sampler", "worker_parts:Learner", "--evaluator", "worker_parts:Waiting", "--trials", str(trials),
            "--set", f"evaluator.seconds={seconds}", "--set", "costs=[]", "--workers", "2", "--no-tracking", "--quiet",
            "--out", str(folder), *more]  # fmt: skip


def begin(arguments):
    """A driver, in a process group of its own as a shell makes it, with Ctrl-C heard."""
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "RELUCTANT": "1"}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a background job ignores it
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    return process


def told(folder):
    path = folder / "trials"
    return path.read_bytes().count(b'"op_code":4') if path.exists() else 0


def until(folder, count, process):
    deadline = time.monotonic() + 60
    while told(folder) < count and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)


def workers_of(process):
    """Processes of the driver's session that are still there, the driver and zombies left out."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(process.pid)], capture_output=True, text=True, check=False
    )
    rows = [line.split() for line in found.stdout.splitlines()]
    return [int(pid) for pid, state in rows if int(pid) != process.pid and not state.startswith("Z")]


def all_gone(process, seconds=10.0):
    """Do all processes that the driver began end soon?"""
    deadline = time.monotonic() + seconds
    while workers_of(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not workers_of(process)


def check_order(folder, sampler):
    """What is stored, asked and told again by a fresh sampler in the recorded order, is the same."""
    found = nascore.open_run(folder).search
    store = found.store(write=False)
    stored = store.load()
    space, history = worker_parts.Letters(), nascore.history.TrialHistory(found.objectives)
    space.name = "toy_parts:Letters"
    sampler.setup(space, found.objectives, found.seed)
    proposed = {}
    for event in events(stored, store.orders):
        if isinstance(event, int):
            rng = random.Random(nascore.seeding.derive_seed(found.seed, "ask", event))
            proposed[event] = sampler.ask(nascore.contracts.View(event, rng, history, found.settings.trials))
        else:
            history.add(event)
            sampler.tell(event)
            assert proposed[event.number].architecture.genome == event.architecture.genome
            assert proposed[event.number].origin == event.candidate.origin
    return [trial.number for trial in stored]


@pytest.mark.slow
def test_the_driver_killed_at_random_instants_and_resumed_has_every_trial_once(tmp_path):
    rng = random.Random(5)
    kills = 0
    for attempt in range(8):
        run = tmp_path / f"run-{attempt}"
        process = begin(command(run))
        until(run, rng.randrange(14), process)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        before = [t.number for t in nascore.open_run(run).history]
        result = nascore.resume(run)
        numbers = check_order(run, worker_parts.Learner())
        assert sorted(numbers) == list(range(16))
        assert numbers[: len(before)] == before
        assert result.counts["complete"] == 16
        assert all_gone(process)  # they ended with their driver
    assert kills >= 6


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_search_with_workers_in_order(tmp_path, which):
    process = begin(command(tmp_path / "run", trials=200))
    until(tmp_path / "run", 3, process)
    os.killpg(process.pid, which) if which is signal.SIGINT else process.send_signal(which)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; to go on: nascore resume" in err
    assert "Traceback" not in err
    assert out.startswith("interrupted (")
    assert all_gone(process)
    done = told(tmp_path / "run")
    nascore.resume(tmp_path / "run", trials=done + 4)
    assert sorted(check_order(tmp_path / "run", worker_parts.Learner())) == list(range(done + 4))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_the_search_can_be_resumed(tmp_path):
    observer = "worker_parts:Reluctant"
    process = begin([*command(tmp_path / "run", trials=200), "--sampler", observer])
    until(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None  # its sampler takes a minute to recommend
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert f"ended at once; to go on: nascore resume {tmp_path / 'run'}" in err
    assert all_gone(process)
    done = told(tmp_path / "run")
    assert main(["resume", str(tmp_path / "run"), "--trials", str(done), "--workers", "1", "--quiet"]) == 0


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing(tmp_path):
    process = begin(command(tmp_path / "run", trials=30, seconds=0.1))
    until(tmp_path / "run", 2, process)
    rng, kills = random.Random(1), 0
    while process.poll() is None and kills < 4:
        victims = subprocess.run(["pgrep", "-s", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True,
                                 check=False).stdout.split()  # fmt: skip
        if victims:
            os.kill(int(rng.choice(victims)), signal.SIGKILL)
            kills += 1
        time.sleep(rng.uniform(0.3, 2.5))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert kills == 4
    assert sorted(check_order(tmp_path / "run", worker_parts.Learner())) == list(range(30))
    assert {t.status for t in nascore.open_run(tmp_path / "run").history} == {Status.COMPLETE}


class Clock:
    """Notes when trials are submitted and told, in seconds since the search began."""

    def __init__(self):
        self.began, self.submitted, self.told = 0.0, [], []

    @nascore.hookimpl
    def nascore_search_started(self):
        self.began = time.monotonic()

    @nascore.hookimpl
    def nascore_trial_started(self):
        self.submitted.append(time.monotonic() - self.began)

    @nascore.hookimpl
    def nascore_trial_finished(self):
        self.told.append(time.monotonic() - self.began)


def test_time_holds_to_within_one_trial_of_each_worker(tmp_path):
    clock = Clock()
    result = search(tmp_path / "run", trials=None, time=3.0, options={"evaluator.seconds": 0.2}, observers=[clock])
    assert "3 seconds" in result.reason
    assert max(clock.submitted) < 3.0
    assert len([seconds for seconds in clock.told if seconds > 3.0]) <= 2
    assert Counter(t.number for t in result.history) == Counter(range(len(clock.submitted)))
