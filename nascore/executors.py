"""The executor that needs nothing, one job at a time in this process; and which one a search gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore.contracts import Evaluator, Executor
from nascore.errors import CapabilityError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Job
    from nascore.parts import Parts, Workshop
    from nascore.records import Trial
    from nascore.settings import SearchSettings

BUILT_IN = {"serial": "nascore.executors:Serial", "processes": "nascore.processes:Processes"}
"""Executors that are there without a plugin."""


class Serial(Executor):
    """Runs a job when its result is waited for."""

    capacity = 1

    def submit(self, job: Job) -> None:
        """Remember the job."""
        self._job = job

    def wait(self) -> Trial:
        """Run it."""
        return self.run(self._job)


def choose_executor(workshop: Workshop, settings: SearchSettings, parts: Parts) -> Executor:
    """The executor of a search; where trials have limits, ``serial`` becomes one worker process.

    An executor says by two attributes what the core cannot see: ``apart`` (jobs run in other processes) and
    ``limits_trials`` (``trial_timeout`` and ``trial_memory`` of the settings hold there).

    Raises:
        UsageError: an unknown executor or option, or one that does not fit the settings or the evaluator.
    """
    limits = [name for name in ("trial_timeout", "trial_memory") if getattr(settings, name) is not None]
    executor: Any
    if limits and settings.executor.get("use") == "serial":
        from nascore.processes import Processes

        executor = Processes(workers=1)
    else:
        executor = workshop.executor(settings)
    if limits and not getattr(executor, "limits_trials", False):
        raise SettingsError(f"{limits[0]}: the executor {settings.executor.get('use')!r} cannot limit a trial.")
    if getattr(executor, "apart", False):
        _check_apart(parts.evaluator, settings.evaluator.get("use", ""), limits)
    return executor  # type: ignore[no-any-return]  # Any only to look for the two attributes


def with_workers(table: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """The executor's table with so many workers; 1 on this machine is the driver's own process.

    Args:
        table: ``use`` and the options as they are now.
        workers: how many, at least 1.

    Raises:
        SettingsError: fewer.
    """
    if workers < 1:
        raise SettingsError(f"workers is {workers}; it must be at least 1.")
    if table.get("use", "serial") not in BUILT_IN:
        return {**table, "workers": workers}
    return {"use": "processes", "workers": workers} if workers > 1 else {"use": "serial"}


def _check_apart(evaluator: Evaluator, name: str, limits: list[str]) -> None:
    """Refuse an evaluator whose trials depend on more than the job.

    Raises:
        CapabilityError: it shares training or state between trials, and does not say that it is ``stateless``.
    """
    if getattr(evaluator, "stateless", False):
        return
    kind = type(evaluator)
    if kind.prepare is not Evaluator.prepare:
        why = "trains weights that all trials share (its `prepare`)"
    elif kind.state_dict is not Evaluator.state_dict:
        why = "keeps state from trial to trial (its `state_dict`)"
    else:
        return
    given = f"--{limits[0].replace('_', '-')}" if limits else "--workers"
    raise CapabilityError(
        f"The evaluator {name!r} {why}, which worker processes do not see: leave {given} out. "
        "An evaluator whose `evaluate` needs none of that says so by `stateless = True`."
    )
