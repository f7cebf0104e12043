"""Worker processes on this machine: asynchronous, replaced when they die, ended when a trial goes over its limits."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore import errors
from nascore.contracts import Executor
from nascore.errors import RunError, SettingsError, UsageError
from nascore.worker import NAME, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from nascore.contracts import Job
    from nascore.records import Trial

log = logging.getLogger("nascore")

RETRIES = 2
"""How often a job whose worker died is run again."""

MEMORY_SECONDS = 0.05
"""The memory of workers is looked at this often, where there is a limit."""

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass
class _Task:
    """A job on its way, with what was reported of it: a second attempt reports the same again."""

    job: Job
    begun: float = field(default_factory=time.time)
    tries: int = 0
    reports: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)
    reported: int = 0


@dataclass
class _Worker:
    """A process and its pipe. ``since`` is when it could begin with its task, on the monotonic clock."""

    slot: int
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: _Task | None = None
    since: float = 0.0


class Processes(Executor):
    """Judges trials in worker processes on this machine, each with its own data and parts, started afresh.

    Each worker uses ``threads`` torch threads, and its own GPU, in turn, where the device is ``cuda`` and
    there are several. A worker that dies is replaced and its job runs again, at most twice.

    Example:
        >>> nascore.search("amoebanet", executor={"use": "processes", "workers": 4})
    """

    apart = True
    """Jobs run in other processes: an evaluator's shared state would not reach them."""

    limits_trials = True
    """``trial_timeout`` and ``trial_memory`` of the settings hold."""

    def __init__(self, workers: int = 2) -> None:
        """
        Args:
            workers: how many processes, at least 1.
        """
        if workers < 1:
            raise SettingsError(f"executor.workers is {workers}; it must be at least 1.")
        self.capacity = workers
        self._staff: list[_Worker] = []
        self._done: deque[Trial] = deque()
        self._stillborn = 0

    def start(self, settings: Mapping[str, Any], run: Callable[[Job], Trial]) -> None:
        """Start the workers; they make their parts while the driver goes on.

        Raises:
            UsageError: a part was given as an object that cannot be sent to another process.
            SettingsError: the memory of a process cannot be seen on this system.
        """
        super().start(settings, run)
        judge: Any = run  # the driver's Judge
        self._settings, self._folder, self._on_report = dict(settings), Path(judge.folder), judge.on_report
        self._objects = _sendable(judge.objects, settings)
        self._timeout: float | None = settings.get("trial_timeout")
        self._memory: float | None = settings.get("trial_memory")
        if self._memory is not None and not Path("/proc/self/statm").exists():
            raise SettingsError("--trial-memory needs /proc, which Linux has; leave it out on this system.")
        for slot in range(self.capacity):
            self._staff.append(self._hire(slot))

    def submit(self, job: Job) -> None:
        """Give the job to a worker that has none."""
        free = next(worker for worker in self._staff if worker.task is None)
        self._give(free, _Task(job))

    def wait(self) -> Trial:
        """The next trial that is done, in whatever order.

        Raises:
            RunError: the disk is full, or workers cannot start.
        """
        while not self._done:
            self._listen()
            self._enforce()
        return self._done.popleft()

    def close(self) -> None:
        """End the workers; what they were doing is dropped."""
        for worker in self._staff:
            worker.process.kill()
        for worker in self._staff:
            worker.process.join()
            worker.pipe.close()
        self._staff.clear()

    # ------------------------------------------------------------------ workers

    def _hire(self, slot: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, name=f"{NAME}-{slot}", args=(theirs, self._settings, str(self._folder), self._objects, slot)
        )
        with _deaf_to_interrupts():
            process.start()
        theirs.close()  # so that the end of the worker ends the pipe
        return _Worker(slot, process, ours)

    def _give(self, worker: _Worker, task: _Task) -> None:
        worker.task, worker.since, task.reported = task, time.monotonic(), 0
        with contextlib.suppress(OSError):  # a dead worker is seen by the next look at it
            worker.pipe.send(task.job)

    def _listen(self) -> None:
        """Take in what workers say, or that one is dead; returns after a while in any case, where there are limits."""
        waiting: dict[Any, _Worker] = {}
        for worker in self._staff:
            waiting[worker.pipe] = waiting[worker.process.sentinel] = worker
        for thing in connection.wait(list(waiting), self._patience()):
            worker = waiting[thing]
            if worker not in self._staff:
                continue  # replaced a moment ago
            try:
                if thing is worker.pipe or worker.pipe.poll():
                    self._take(worker, worker.pipe.recv())
                else:
                    self._replace_dead(worker)
            except (EOFError, ConnectionError):
                self._replace_dead(worker)

    def _patience(self) -> float | None:
        """Seconds until limits must be looked at."""
        if self._memory is not None:
            return MEMORY_SECONDS
        if self._timeout is None:
            return None
        running = [worker.since for worker in self._staff if worker.task is not None and worker.ready]
        return max(0.0, min(running) + self._timeout - time.monotonic()) if running else None

    def _take(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        task = worker.task
        if kind == "ready":
            worker.ready, worker.since, self._stillborn = True, time.monotonic(), 0
        elif kind == "error":
            name, text = rest
            known = getattr(errors, name, None)
            raise known(text) if known else RunError(f"A worker process cannot work: {name}: {text}")
        elif kind == "report" and task is not None:
            answer = self._answer(task, *rest)
            with contextlib.suppress(OSError):
                worker.pipe.send(answer)
        elif kind == "trial":
            worker.task = None
            self._done.append(rest[0])

    def _answer(self, task: _Task, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """Pass a report on, unless an attempt that died has made it before."""
        if task.reported == len(task.answers):
            task.reports.append((step, metrics))
            task.answers.append(self._on_report(number, step, metrics))
        task.reported += 1
        return task.answers[task.reported - 1]

    def _replace_dead(self, worker: _Worker) -> None:
        worker.process.join()
        how, task = _how_it_ended(worker.process.exitcode), worker.task
        worker.pipe.close()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn > RETRIES:
                raise RunError(f"Worker processes end before they are ready to work: {how}.")
        self._staff[worker.slot] = fresh = self._hire(worker.slot)
        if task is None:
            log.warning("A worker process without work was %s; another one took its place.", how)
            return
        task.tries += worker.ready
        if task.tries > RETRIES:
            self._fail(task, f"Its worker process was {how}, {task.tries} times.")
            return
        log.warning("The worker process of trial %d was %s; the trial runs again.", task.job.number, how)
        self._clear(task)
        self._give(fresh, task)

    # ------------------------------------------------------------------ limits

    def _enforce(self) -> None:
        for worker in list(self._staff):
            if worker.task is None or not worker.ready:
                continue
            if self._timeout is not None and time.monotonic() - worker.since > self._timeout:
                self._end(worker, f"It took longer than the {self._timeout:g} s of --trial-timeout.")
            elif self._memory is not None and (used := _memory_mib(worker.process.pid)) > self._memory:
                self._end(worker, f"Its process held {used:.0f} MiB, more than the {self._memory:g} of --trial-memory.")

    def _end(self, worker: _Worker, reason: str) -> None:
        """End a worker with its trial, which FAILs."""
        task = worker.task
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._staff[worker.slot] = self._hire(worker.slot)
        if task is not None:
            self._fail(task, reason)

    def _fail(self, task: _Task, reason: str) -> None:
        self._clear(task)
        took = time.time() - task.begun
        self._done.append(task.job.failed(reason, started=task.begun, wall_seconds=took, reports=task.reports))

    def _clear(self, task: _Task) -> None:
        """Remove the files of an attempt that came to nothing."""
        shutil.rmtree(self._folder / "artifacts" / f"{task.job.number:06d}", ignore_errors=True)


def _sendable(objects: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The objects that workers need: those parts that no address names.

    Raises:
        UsageError: one of them cannot be sent.
    """
    wanted = {
        table: part
        for table, part in objects.items()
        if table not in ("sampler", "executor") and str(settings[table].get("use", "")).startswith("<")
    }
    for table, part in wanted.items():
        try:
            ForkingPickler.dumps(part)
        except Exception as error:  # noqa: PERF203 - pickling runs the object's own code
            raise UsageError(
                f"The {table} {part!r:.80} cannot be sent to worker processes ({type(error).__name__}: {error}). "
                "Put its class or function into a module and name that, or search without workers."
            ) from error
    return wanted


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with the exit status {status}"


def _memory_mib(pid: int | None) -> float:
    """Resident memory of a process; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
    except (OSError, IndexError, ValueError):
        return 0.0


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started inside never get Ctrl-C; ours comes through at the end."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would open our ears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
