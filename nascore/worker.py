"""Judging jobs in another process: the parts are made anew from the settings, then a job goes in and a trial out.

:func:`work` is for any executor; :func:`serve` is what a process of :mod:`nascore.processes` runs.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.contracts import Dataset, Sampler, Splits
from nascore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

    from nascore.contracts import Job, View
    from nascore.judge import OnReport
    from nascore.records import Candidate, Trial

NAME = "nascore-worker"
"""Worker processes are called so, with a number behind it."""


class AbsentSampler(Sampler):
    """Stands in a worker for the sampler, which the driver alone asks and tells."""

    def ask(self, view: View) -> Candidate | None:
        """Never called."""
        raise RuntimeError("a worker was asked for a candidate")


class SentData(Dataset):
    """Stands in a worker for the data set, which the driver has read."""

    def __init__(self, splits: Splits) -> None:
        self.splits = splits

    def load(self, seed: int) -> Splits:
        """The splits as they came; of the test split nothing did."""
        return self.splits


def work(
    settings: Mapping[str, Any],
    folder: str | Path,
    on_report: OnReport,
    *,
    objects: Mapping[str, Any] | None = None,
    device: str = "",
    data: Splits | None = None,
) -> Callable[[Job], Trial]:
    """Make the parts of a search, data included, once; what comes back judges jobs.

    A trial's value depends on its job alone, so it does not matter who judges it, and when.

    Args:
        settings: of the search, resolved, as :meth:`nascore.contracts.Executor.start` gets them.
        folder: the run folder, on a disk that the driver sees too: artifacts go there.
        on_report: called as ``on_report(number, step, metrics)`` in the middle of a job; its answer False
            stops the trial. The driver's own is ``run.on_report``, of the ``run`` that ``start`` gets.
        objects: parts that have no address, by table; ``run.objects`` of the driver. The sampler is not needed.
        device: instead of the one in the settings, such as ``cuda:1``.
        data: the driver's, ``run.data``, without ``test``; None: it is read here.

    Raises:
        UsageError: a plugin is not installed here, say.
        RunError: the folder is not visible here, or the data is another one.
    """
    from nascore.driver import Search
    from nascore.judge import Judge
    from nascore.parts import Workshop
    from nascore.run import RunFolder
    from nascore.settings import merge

    resolved = merge([settings])
    given: dict[str, Any] = {**(objects or {}), "sampler": AbsentSampler()}
    workshop = Workshop(objects=given)
    evaluator = workshop.part("evaluator", resolved.evaluator)
    given["sampler"].provides = evaluator.requires  # that the parts fit, the driver has seen
    resolved.sampler = {"use": "absent"}
    if data is not None:
        sent: Any = SentData(data)
        sent.provides = workshop.part("data", resolved.data).provides
        given["data"], resolved.data = sent, {"use": "sent"}
    run = RunFolder.open(Path(folder))
    parts = Search(resolved, run, workshop).parts
    if "module" in parts.evaluator.requires:
        import torch  # noqa: F401 - before the first job, whose seed goes to all generators that are imported
    torch_module = sys.modules.get("torch")
    if torch_module is not None:
        torch_module.set_num_threads(resolved.threads)
    return Judge(parts, device or resolved.device, run, on_report)


def is_worker() -> bool:
    """Does this code run in a worker process?"""
    return multiprocessing.current_process().name.startswith(NAME)


def refuse_in_worker() -> None:
    """Stop a script that begins its search at import: each worker imports the script too.

    Raises:
        UsageError: this is a worker.
    """
    if is_worker():
        raise UsageError(
            'A script that searches with workers calls nascore under `if __name__ == "__main__":`, '
            "because each worker process imports the script."
        )


def serve(pipe: Connection, settings: Mapping[str, Any], folder: str, objects: Mapping[str, Any], slot: int) -> None:
    """Judge what comes through the pipe until it is closed; the main function of a worker process.

    To the driver go ``("ready",)``, ``("report", number, step, metrics)`` (answered by a bool),
    ``("trial", trial)``, pickled, and, before the end, ``("error", kind, message)``.

    Args:
        pipe: to the driver.
        settings, folder, objects: see :func:`work`.
        slot: which of the workers this is, from 0: where there are several GPUs each takes its own, in turn.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the driver ends us
    os.dup2(2, 1)  # standard output is for the driver's result
    threading.Thread(target=_end_with_driver, daemon=True).start()

    def on_report(number: int, step: int, metrics: Mapping[str, float]) -> bool:
        pipe.send(("report", number, step, dict(metrics)))
        return bool(pipe.recv())

    try:
        judge = work(settings, folder, on_report, objects=objects, device=_device(str(settings["device"]), slot))
        pipe.send(("ready",))
        while True:
            job = pipe.recv()
            pipe.send(("trial", packed(judge(job), job)))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver tells it
        pipe.send(("error", type(error).__name__, str(error)))


def packed(trial: Trial, job: Job) -> bytes:
    """The trial, pickled; one that cannot leave its process FAILs."""
    try:
        return pickle.dumps(trial)
    except Exception as error:  # noqa: BLE001 - pickling runs the code of whatever the evaluator put in
        reason = f"What the evaluator returned cannot leave its process: {type(error).__name__}: {error}"
        failed = job.failed(reason, started=trial.started, wall_seconds=trial.wall_seconds, reports=trial.reports)
        return pickle.dumps(failed)


def _device(name: str, slot: int) -> str:
    """The device of a worker: ``cuda`` becomes one of the GPUs, in turn."""
    if name != "cuda":
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{slot % count}" if count > 1 else name


def _end_with_driver() -> None:
    """End this process when the driver is gone, in the middle of a job too: another driver may run it again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
