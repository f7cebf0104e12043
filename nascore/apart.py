"""What executors share whose jobs run in other processes: attempts at a job, its reports, and how it fails."""

from __future__ import annotations

import logging
import os
import shutil
import time
from abc import abstractmethod
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.contracts import Executor
from nascore.errors import RunError, SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore.contracts import Job
    from nascore.records import Trial

log = logging.getLogger("nascore")

STILLBORN = 2
"""So many workers in a row may die before they are ready."""

MEMORY_SECONDS = 0.05
"""The memory of workers is looked at this often, where there is a limit."""

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass
class Task:
    """A job on its way, with what was reported of it: a second attempt reports the same again.

    Attributes:
        job: to judge.
        begun: when it was submitted, in seconds since the epoch.
        tries: how many workers died with it.
        reports: step and values of each report, once.
        answers: what each of them was answered.
    """

    job: Job
    begun: float = field(default_factory=time.time)
    tries: int = 0
    reports: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)


class Apart(Executor):
    """Base of executors with workers in other processes; a subclass starts them and listens to them.

    ``apart`` says that an evaluator's shared state would not reach the workers, ``limits_trials`` that
    ``trial_timeout`` and ``trial_memory`` of the settings hold.
    """

    apart = True
    limits_trials = True

    def __init__(self, workers: int, retries: int = 2) -> None:
        """
        Args:
            workers: how many trials at a time, at least 1.
            retries: how often a job whose worker died is run again, at least 0.

        Raises:
            SettingsError: fewer.
        """
        for name, value, least in (("workers", workers, 1), ("retries", retries, 0)):
            if value < least:
                raise SettingsError(f"executor.{name} is {value}; it must be at least {least}.")
        self.capacity = workers
        self._retries = retries
        self._done: deque[Trial] = deque()
        self._stillborn = 0

    def start(self, settings: Mapping[str, Any], run: Callable[[Job], Trial]) -> None:
        """Remember the settings; a subclass goes on and starts its workers."""
        super().start(settings, run)
        judge: Any = run  # the driver's Judge
        self._settings, self._folder, self._on_report = dict(settings), Path(judge.folder), judge.on_report
        self._timeout: float | None = settings.get("trial_timeout")
        self._memory: float | None = settings.get("trial_memory")

    def wait(self) -> Trial:
        """The next trial that is done, in whatever order.

        Raises:
            RunError: the disk is full, or workers cannot start.
        """
        while not self._done:
            self._listen()
            self._enforce()
        return self._done.popleft()

    @abstractmethod
    def _listen(self) -> None:
        """Take in what workers say next; return after a while in any case, where there are limits."""

    @abstractmethod
    def _enforce(self) -> None:
        """End trials that are over their limits."""

    def _answer(self, task: Task, index: int, step: int, metrics: Mapping[str, float]) -> bool:
        """Pass a report on, unless an attempt that died has made it before.

        Args:
            task: it is of.
            index: of the report within its attempt, from 0.
            step: of the report.
            metrics: of the report.
        """
        if index == len(task.answers):
            task.reports.append((step, metrics))
            task.answers.append(self._on_report(task.job.number, step, metrics))
        return task.answers[index]

    def _died_unready(self, text: str) -> None:
        """Count a worker that died before it was ready.

        Raises:
            RunError: it is one too many in a row; says ``text``.
        """
        self._stillborn += 1
        if self._stillborn > STILLBORN:
            raise RunError(text)

    def _runs_again(self, task: Task, dead: str, how: str) -> bool:
        """Shall a job whose worker died run again? Else it FAILs here.

        Args:
            task: with its ``tries`` counted.
            dead: such as ``worker process``.
            how: it died, such as ``was killed by SIGKILL``.
        """
        if task.tries > self._retries:
            self._fail(task, f"Its {dead} {how}, {task.tries} times.")
            return False
        log.warning("The %s of trial %d %s; the trial runs again.", dead, task.job.number, how)
        self._clear(task)
        return True

    def _is_late(self, since: float) -> bool:
        """Is a trial that began at ``since``, on the monotonic clock, over its time?"""
        return self._timeout is not None and time.monotonic() - since > self._timeout

    def _fail_late(self, task: Task) -> None:
        self._fail(task, f"It took longer than the {self._timeout:g} s of --trial-timeout.")

    def _fail(self, task: Task, reason: str) -> None:
        self._clear(task)
        took = time.time() - task.begun
        self._done.append(task.job.failed(reason, started=task.begun, wall_seconds=took, reports=task.reports))

    def _clear(self, task: Task) -> None:
        """Remove the files of an attempt that came to nothing."""
        shutil.rmtree(self._folder / "artifacts" / f"{task.job.number:06d}", ignore_errors=True)


def sendable(
    objects: Mapping[str, Any], settings: Mapping[str, Any], pickled: Callable[[Any], Any], workers: str
) -> dict[str, Any]:
    """The objects that workers need: those parts that no address names.

    Args:
        objects: parts that were given as objects, by table.
        settings: of the search.
        pickled: how an object is sent.
        workers: what they are called, such as ``worker processes``.

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
            pickled(part)
        except Exception as error:  # noqa: PERF203 - pickling runs the object's own code
            raise UsageError(
                f"The {table} {part!r:.80} cannot be sent to {workers} ({type(error).__name__}: {error}). "
                "Put its class or function into a module and name that, or search without workers."
            ) from error
    return wanted


def check_memory_seen() -> None:
    """Can the memory of a process be seen here?

    Raises:
        SettingsError: no.
    """
    if not Path("/proc/self/statm").exists():
        raise SettingsError("--trial-memory needs /proc, which Linux has; leave it out on this system.")


def memory_mib(pid: int | None) -> float:
    """Resident memory of a process; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
    except (OSError, IndexError, ValueError):
        return 0.0


def over_memory(used: float, limit: float) -> str:
    """Why a trial FAILs whose process held ``used`` MiB."""
    return f"Its process held {used:.0f} MiB, more than the {limit:g} of --trial-memory."
