"""What runs on the cluster: a worker that judges jobs; :mod:`nascore_ray.executor` makes Ray's actors of it."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nascore.apart import MEMORY_SECONDS, check_memory_seen, memory_mib, over_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore.contracts import Job
    from nascore.records import Trial

    Message = tuple[str, Any]
    """``ready``; ``report`` with step and values; ``trial``, pickled; ``over`` with the reason, before the end."""

LAST_SECONDS = 2.0
"""A worker over its memory ends itself after this time, if the driver has not done it."""


@dataclass(frozen=True)
class Kit:
    """All that a worker is made from; it lies in Ray's object store once.

    Attributes:
        settings: of the search, resolved.
        folder: the run folder, on a disk that every machine sees.
        objects: parts without an address, pickled: what they import may lie on ``paths``.
        data: reference to the splits in the object store; None: each worker reads them.
        device: torch's name of it on the worker.
        directory: where the driver works; relative paths of the settings are meant from there.
        paths: the driver's ``sys.path``.
    """

    settings: Mapping[str, Any]
    folder: str
    objects: bytes
    data: Any
    device: str
    directory: str
    paths: tuple[str, ...]


class Worker:
    """Judges jobs, one at a time, in a thread that made the parts; each call returns what that thread says next."""

    def begin(self, kit: Kit) -> Message:
        """Make the parts of the search; returns ``ready``.

        Raises:
            NascoreError: what :func:`nascore.worker.work` raises.
        """
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._busy, self._lock = False, threading.Lock()
        threading.Thread(target=self._serve, args=(kit,), daemon=True).start()
        return self._said()

    def go_on(self, word: Job | bool) -> Message:
        """Judge a job until its first report, or, with the driver's answer to that, until the next one or the trial.

        Raises:
            RunError: the disk is full.
        """
        self._inbox.put(word)
        return self._said()

    def _said(self) -> Message:
        message = self._outbox.get()
        if isinstance(message, BaseException):
            raise message
        return message  # type: ignore[no-any-return]  # the queue holds both

    def _serve(self, kit: Kit) -> None:
        from nascore.worker import packed

        try:
            judge = self._made(kit)
            self._outbox.put(("ready", None))
            while True:
                job = self._inbox.get()
                self._busy = True
                trial = packed(judge(job), job)
                with self._lock:
                    self._busy = False
                    self._outbox.put(("trial", trial))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the driver tells it
            self._outbox.put(error)

    def _made(self, kit: Kit) -> Callable[[Job], Trial]:
        """The judge, and the watch over memory where there is a limit."""
        import ray

        from nascore.worker import work

        if Path(kit.directory).is_dir():
            os.chdir(kit.directory)
        sys.path.extend(path for path in kit.paths if path not in sys.path)  # at the end: what is installed here wins
        data = None if kit.data is None else ray.get(kit.data)
        objects = pickle.loads(kit.objects)
        judge = work(kit.settings, kit.folder, self._report, objects=objects, device=kit.device, data=data)
        limit = kit.settings.get("trial_memory")
        if limit is not None:
            check_memory_seen()
            threading.Thread(target=self._watch_memory, args=(float(limit),), daemon=True).start()
        return judge

    def _report(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        self._outbox.put(("report", (step, dict(metrics))))
        return bool(self._inbox.get())

    def _watch_memory(self, limit: float) -> None:
        """Say so when this process holds more than ``limit`` MiB within a trial, then end it."""
        over = False
        while not over:
            time.sleep(MEMORY_SECONDS)
            used = memory_mib(os.getpid())
            with self._lock:
                over = self._busy and used > limit
                if over:
                    self._outbox.put(("over", over_memory(used, limit)))
        time.sleep(LAST_SECONDS)
        os._exit(1)


def read_here(path: str) -> bytes | None:
    """The content of a file as this machine sees it; None where it does not."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
