"""Worker processes on this machine: asynchronous, replaced when they die, ended when a trial goes over its limits."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from nascore import errors
from nascore.apart import MEMORY_SECONDS, Apart, Task, check_memory_seen, memory_mib, over_memory, sendable
from nascore.errors import RunError
from nascore.worker import NAME, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from nascore.contracts import Job
    from nascore.records import Trial

log = logging.getLogger("nascore")


@dataclass
class _Worker:
    """A process and its pipe; ``since`` is when it could begin with its task, and how many reports of it came."""

    slot: int
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None
    since: float = 0.0
    reported: int = 0


class Processes(Apart):
    """Judges trials in worker processes on this machine, each with its own data and parts, started afresh.

    Each worker uses ``threads`` torch threads, and its own GPU, in turn, where the device is ``cuda`` and
    there are several. A worker that dies is replaced and its job runs again, at most twice.

    Example:
        >>> nascore.search("amoebanet", executor={"use": "processes", "workers": 4})
    """

    def __init__(self, workers: int = 2) -> None:
        """
        Args:
            workers: how many processes, at least 1.
        """
        super().__init__(workers)
        self._staff: list[_Worker] = []

    def start(self, settings: Mapping[str, Any], run: Callable[[Job], Trial]) -> None:
        """Start the workers; they make their parts while the driver goes on.

        Raises:
            UsageError: a part was given as an object that cannot be sent to another process.
            SettingsError: the memory of a process cannot be seen on this system.
        """
        super().start(settings, run)
        judge: Any = run  # the driver's Judge
        self._objects = sendable(judge.objects, settings, ForkingPickler.dumps, "worker processes")
        if self._memory is not None:
            check_memory_seen()
        for slot in range(self.capacity):
            self._staff.append(self._hire(slot))

    def submit(self, job: Job) -> None:
        """Give the job to a worker that has none."""
        free = next(worker for worker in self._staff if worker.task is None)
        self._give(free, Task(job))

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

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.since, worker.reported = task, time.monotonic(), 0
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
            _, step, metrics = rest
            answer = self._answer(task, worker.reported, step, metrics)
            worker.reported += 1
            with contextlib.suppress(OSError):
                worker.pipe.send(answer)
        elif kind == "trial":
            worker.task = None
            self._done.append(pickle.loads(rest[0]))

    def _replace_dead(self, worker: _Worker) -> None:
        worker.process.join()
        how, task = _how_it_ended(worker.process.exitcode), worker.task
        worker.pipe.close()
        if not worker.ready:
            self._died_unready(f"Worker processes end before they are ready to work: {how}.")
        self._staff[worker.slot] = fresh = self._hire(worker.slot)
        if task is None:
            log.warning("A worker process without work was %s; another one took its place.", how)
            return
        task.tries += worker.ready
        if self._runs_again(task, "worker process", f"was {how}"):
            self._give(fresh, task)

    # ------------------------------------------------------------------ limits

    def _enforce(self) -> None:
        for worker in list(self._staff):
            if worker.task is None or not worker.ready:
                continue
            if self._is_late(worker.since):
                self._end(worker)
                self._fail_late(worker.task)
            elif self._memory is not None and (used := memory_mib(worker.process.pid)) > self._memory:
                self._end(worker)
                self._fail(worker.task, over_memory(used, self._memory))

    def _end(self, worker: _Worker) -> None:
        """End a worker with its trial; another one takes its place."""
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._staff[worker.slot] = self._hire(worker.slot)


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with the exit status {status}"


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
