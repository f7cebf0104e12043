"""From a job to a trial: cheap costs, constraints, evaluation, the remaining costs."""

from __future__ import annotations

import errno
import math
import os
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nascore.contracts import Context
from nascore.errors import RunError
from nascore.records import Cost, Measurement, Status, Trial
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from nascore.contracts import CostModel, Job, Splits
    from nascore.parts import Parts
    from nascore.run import RunFolder

    OnReport = Callable[[int, int, Mapping[str, float]], bool]


class WorkContext(Context):
    """The context of one piece of work."""

    def __init__(
        self, number: int, seed: int, device: str, data: Splits, run: RunFolder, on_report: OnReport | None = None
    ) -> None:
        self.number = number
        self.seed = seed
        self.device = device
        self.data = data
        self.reports: list[tuple[int, Mapping[str, float]]] = []
        self._run = run
        self._on_report = on_report

    def report(self, step: int, **metrics: float) -> bool:
        """See :meth:`nascore.contracts.Context.report`."""
        numbers = _floats(metrics)
        self.reports.append((int(step), numbers))
        return self._on_report(self.number, int(step), numbers) if self._on_report else True

    def folder(self, number: int | None = None) -> Path:
        """See :meth:`nascore.contracts.Context.folder`."""
        path = self._run.artifacts(self.number if number is None else number)
        path.mkdir(parents=True, exist_ok=True)
        return path


class Judge:
    """Judges jobs; knows nothing of the loop, so it can run in a worker as well.

    Attributes:
        folder: the run folder.
        on_report: takes the reports of running trials; an executor calls it with those of its workers.
        objects: parts that were given as Python objects, by table.
        data: the splits, test sealed.
    """

    def __init__(
        self,
        parts: Parts,
        device: str,
        run: RunFolder,
        on_report: OnReport,
        objects: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = run.path.absolute()
        self.on_report = on_report
        self.objects = dict(objects or {})
        self._parts = parts
        self.data = parts.data.for_search()
        self._device = device
        self._run = run
        needed = {constraint.name for constraint in parts.constraints}
        models = sorted(parts.costs.values(), key=lambda model: not model.cheap)
        self._before = [m for m in models if m.cheap or needed & set(m.metrics)]
        self._after = [m for m in models if m not in self._before]

    def __call__(self, job: Job) -> Trial:
        """Judge a job. Whatever goes wrong with the candidate becomes a FAIL trial with its traceback.

        Raises:
            RunError: the disk is full or read-only, which is no candidate's fault.
        """
        started = time.time()
        clock = time.perf_counter()
        context = WorkContext(job.number, job.seed, self._device, self.data, self._run, self.on_report)
        costs: dict[str, Cost] = {}
        try:
            with isolated_random(job.seed):
                measurement = self._measure(job, context, costs)
        except (Exception, SystemExit) as error:  # an evaluation can fail in any way, and the search goes on
            trouble = _disk_trouble(error)
            if trouble:
                raise RunError(
                    f"Trial {job.number} cannot write its files: {trouble}. All earlier trials are safe; "
                    "mend that, then `nascore resume` goes on."
                ) from error
            measurement = Measurement.fail(_reason(error))
        known = {**measurement.objectives, **{name: cost.value for name, cost in costs.items()}}
        return Trial(
            number=job.number,
            candidate=job.candidate,
            status=measurement.status,
            objectives=_floats(measurement.objectives),
            costs=costs,
            metrics=_floats({**job.candidate.metrics, **measurement.metrics}),
            artifacts=dict(measurement.artifacts),
            reports=tuple(context.reports),
            violations={c.name: c.violation(known[c.name]) for c in self._parts.constraints if c.name in known},
            reason=measurement.reason,
            seed=job.seed,
            started=started,
            wall_seconds=time.perf_counter() - clock,
        )

    def _measure(self, job: Job, context: WorkContext, costs: dict[str, Cost]) -> Measurement:
        for model in self._before:
            self._price([model], job, context, costs)
            for constraint in self._parts.constraints:
                if constraint.name in costs and constraint.violation(costs[constraint.name].value) > 0:
                    value = costs[constraint.name].value
                    return Measurement(Status.INFEASIBLE, reason=f"{constraint.name} = {value:g} breaks {constraint}")
        measurement = self._parts.evaluator.evaluate(job.candidate, context)
        if not isinstance(measurement, Measurement):
            raise TypeError(f"The evaluator returned {type(measurement).__name__}, no nascore.Measurement.")
        costs.update(measurement.costs)
        if measurement.status is Status.COMPLETE:
            missing = _missing(self._parts, measurement)
            if missing:
                return Measurement.fail(missing)
            self._price(self._after, job, context, costs)
            unusable = [o.name for o in self._parts.objectives if o.name in costs and math.isnan(costs[o.name].value)]
            if unusable:
                return Measurement.fail(f"The cost {unusable[0]} is NaN.")
        return measurement

    def _price(self, models: Iterable[CostModel], job: Job, context: WorkContext, costs: dict[str, Cost]) -> None:
        for model in models:
            for name, cost in model.estimate(self._parts.space, job.candidate.architecture, context).items():
                costs[name] = replace(cost, value=float(cost.value), std=float(cost.std))


def _missing(parts: Parts, measurement: Measurement) -> str:
    """Why a complete measurement cannot be ranked, or an empty string."""
    priced: set[str] = {name for model in parts.costs.values() for name in model.metrics}
    for objective in parts.objectives:
        if objective.name in priced:
            continue
        value: Any = measurement.objectives.get(objective.name)
        if value is None:
            return f"The evaluator gave no {objective.name!r}."
        if not math.isfinite(value):
            return f"{objective.name} is {value}."
    return ""


def _floats(numbers: Mapping[str, float]) -> dict[str, float]:
    """Plain floats: an evaluator may give numpy's or torch's, which do not store."""
    return {name: float(number) for name, number in numbers.items()}


def _disk_trouble(error: BaseException | None) -> str:
    """What the disk says, where it is behind an error; a library may keep the words and lose the number."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        for code in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
            if number == code or os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return ""


def _reason(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
