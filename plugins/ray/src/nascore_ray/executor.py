"""The executor: jobs go to Ray's actors, trials come back in whatever order; what dies is replaced."""

from __future__ import annotations

import contextlib
import importlib
import logging
import pickle
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.apart import Apart, Task, sendable
from nascore.errors import NascoreError, RunError, SettingsError
from nascore_ray.actors import Kit, Worker
from nascore_ray.cluster import check_address, check_visible, connected, last_line, load_ray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nascore.contracts import Job, Splits
    from nascore.records import Trial

log = logging.getLogger("nascore")

ROOM_SECONDS = 30.0
"""After this time it is told which workers the cluster has no room for."""


@dataclass
class _Slot:
    """An actor and the call that it is busy with; ``since`` when it has its task, and how many reports of it came."""

    actor: Any
    call: Any
    ready: bool = False
    task: Task | None = None
    since: float = 0.0
    reported: int = 0


class RayExecutor(Apart):
    """Judges trials in Ray actors, each of which makes its data and its parts once.

    A worker that dies is replaced, and its job runs again. Jobs go only to workers that are ready, so that
    a cluster that has room for fewer than ``workers`` works with those it has.

    Example:
        >>> nascore.search("amoebanet", executor={"use": "ray", "workers": 8, "address": "auto"})
    """

    def __init__(
        self,
        workers: int = 2,
        address: str = "",
        cpus: float | None = None,
        gpus: float | None = None,
        memory_mib: float | None = None,
        retries: int = 2,
        pip: Sequence[str] = (),
    ) -> None:
        """
        Args:
            workers: how many trials run at a time, at least 1.
            address: of the cluster: ``auto`` (the one of this machine) or ``host:port``; empty begins one here.
            cpus: of a trial; default: the ``threads`` of the search.
            gpus: of a trial, a fraction shares one; default: 1 where the device is ``cuda``, else 0.
            memory_mib: that Ray sets aside for a trial; ``trial_memory`` is what limits it.
            retries: how often a job whose worker died is run again, at least 0.
            pip: packages that each machine installs for this search (Ray's runtime environment).
        """
        super().__init__(workers, retries)
        for name, amount in (("cpus", cpus), ("gpus", gpus), ("memory_mib", memory_mib)):
            if amount is not None and not 0 <= amount < float("inf"):
                raise SettingsError(f"executor.{name} is {amount}; it must be a number, at least 0.")
        check_address(address)
        self._address, self._pip = address, tuple(pip)
        self._cpus, self._gpus, self._memory_mib = cpus, gpus, memory_mib
        self._staff: list[_Slot] = []
        self._queue: deque[Task] = deque()
        self._told = False
        self._held = contextlib.ExitStack()
        self._ray: Any = None

    def start(self, settings: Mapping[str, Any], run: Callable[[Job], Trial]) -> None:
        """Connect and start the workers; they make their parts while the driver goes on.

        Raises:
            UsageError: ``ray`` is missing, or a part was given as an object that cannot be sent.
            RunError: no cluster answers, or one of its machines does not see the run folder.
        """
        super().start(settings, run)
        judge: Any = run  # the driver's Judge
        device = str(settings["device"])
        cuda = device.startswith("cuda")
        cpus = float(settings["threads"]) if self._cpus is None else self._cpus
        gpus = float(cuda) if self._gpus is None else self._gpus
        if cuda and not gpus:
            raise SettingsError(f"The device is {device} and executor.gpus is 0: give --set executor.gpus=1, or less.")
        self._ray = load_ray()
        cloudpickle: Any = importlib.import_module("ray.cloudpickle")  # what a script itself defines goes along
        objects = cloudpickle.dumps(sendable(judge.objects, settings, cloudpickle.dumps, "Ray workers"))
        self._held.enter_context(connected(self._address, self.capacity, cpus, self._pip))
        check_visible(self._folder, cpus)
        # Ray shows a worker its own GPUs only, so that each calls the first one its own.
        seen = "cuda" if cuda else device
        kit = Kit(
            self._settings, str(self._folder), objects, self._put(judge.data), seen, str(Path.cwd()), tuple(sys.path)
        )
        self._kit = self._ray.put(kit)
        memory = {} if self._memory_mib is None else {"memory": int(self._memory_mib * 2**20)}
        self._needs: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, **memory}
        self._staff.extend(self._hire() for _ in range(self.capacity))
        self._hired = time.monotonic()

    def submit(self, job: Job) -> None:
        """Queue the job for the next worker that is ready."""
        self._queue.append(Task(job))

    def close(self) -> None:
        """End the workers; what they were doing is dropped. A cluster that was begun here ends."""
        with self._held:
            if self._ray is not None and self._ray.is_initialized():
                for slot in self._staff:
                    self._kill(slot.actor)
            self._staff.clear()

    # ------------------------------------------------------------------ actors

    def _put(self, data: Splits) -> Any:
        """Reference to the splits in the object store; None where they cannot be sent: each worker reads them."""
        try:
            return self._ray.put(replace(data, test=None))
        except Exception as error:  # noqa: BLE001 - pickling runs the data set's own code
            log.warning("The data cannot be sent to Ray workers, so each reads it itself: %s", last_line(error))
            return None

    def _hire(self) -> _Slot:
        actor = self._ray.remote(max_restarts=0, max_task_retries=0, **self._needs)(Worker).remote()
        return _Slot(actor, actor.begin.remote(self._kit))

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):  # it is dead
            self._ray.kill(actor)

    def _replace(self, slot: _Slot) -> None:
        self._kill(slot.actor)  # one that is only out of reach must not go on
        self._staff[self._staff.index(slot)] = self._hire()

    # ------------------------------------------------------------------ jobs

    def _give_out(self) -> None:
        for slot in self._staff:
            if not self._queue:
                return
            if slot.ready and slot.task is None:
                slot.task, slot.since, slot.reported = self._queue.popleft(), time.monotonic(), 0
                slot.call = slot.actor.go_on.remote(slot.task.job)

    def _listen(self) -> None:
        """Give out jobs and take in what is said next; returns after a while in any case, where there are limits."""
        self._give_out()
        calls = {slot.call: slot for slot in self._staff if slot.call is not None}
        ready, _ = self._ray.wait(list(calls), num_returns=1, timeout=self._patience())
        for call in ready:
            self._take(calls[call])

    def _patience(self) -> float | None:
        """Seconds until something must be looked at."""
        ends = [slot.since + self._timeout for slot in self._staff if slot.task is not None and self._timeout]
        if not self._told and not all(slot.ready for slot in self._staff):
            ends.append(self._hired + ROOM_SECONDS)
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _take(self, slot: _Slot) -> None:
        """A call is over: the worker is ready, a trial reports or is done, or the worker died."""
        exceptions = self._ray.exceptions
        try:
            kind, what = self._ray.get(slot.call)
        except exceptions.RuntimeEnvSetupError as error:
            raise RunError(f"Ray cannot install executor.pip = {list(self._pip)}: {last_line(error)}") from error
        except exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, NascoreError):
                raise type(cause)(str(cause)) from error
            raise RunError(f"A Ray worker cannot work: {type(cause).__name__}: {last_line(cause)}") from error
        except exceptions.RayError as error:
            self._bury(slot, last_line(error))
            return
        slot.call, task = None, slot.task
        if task is None:
            slot.ready, self._stillborn = True, 0
        elif kind == "report":
            answer = self._answer(task, slot.reported, *what)
            slot.reported += 1
            slot.call = slot.actor.go_on.remote(answer)
        elif kind == "over":
            self._replace(slot)
            self._fail(task, what)
        else:
            slot.task = None
            self._done.append(pickle.loads(what))

    def _bury(self, slot: _Slot, how: str) -> None:
        """Replace a worker that died; its job runs again, ``retries`` times at most."""
        if not slot.ready:
            self._died_unready(f"Ray workers end before they are ready to work: {how}")
            log.warning("A Ray worker died before it was ready; another one takes its place. %s", how)
        self._replace(slot)
        if slot.task is not None:
            slot.task.tries += 1
            if self._runs_again(slot.task, "Ray worker", f"died ({how})"):
                self._queue.appendleft(slot.task)

    def _enforce(self) -> None:
        """End trials that are over their time; tell once of workers that wait for room."""
        for slot in list(self._staff):
            if slot.task is not None and self._is_late(slot.since):
                self._replace(slot)
                self._fail_late(slot.task)
        late = sum(not slot.ready for slot in self._staff)
        if late and not self._told and time.monotonic() - self._hired >= ROOM_SECONDS:
            self._told = True
            log.warning(
                "%d of %d Ray workers are not ready after %g s. Each asks for %s; free in the cluster: %s.",
                late, self.capacity, ROOM_SECONDS, self._needs, self._ray.available_resources(),
            )  # fmt: skip
