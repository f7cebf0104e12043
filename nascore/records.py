"""The frozen values that travel through a search: architecture, candidate, measurement, trial.

Nothing here computes; every other room of the house may import this one.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]
"""Plain JSON. A genome is nothing else."""

Option = Union[None, bool, int, float, str]
"""What one decision can be set to: a JSON scalar, because Optuna stores it as a parameter."""


class Status(str, Enum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"
    FAIL = "fail"


class Direction(str, Enum):
    """Which way an objective or a cost gets better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def better(self, value: float, than: float) -> bool:
        """Is ``value`` strictly better than ``than``?"""
        return value > than if self is Direction.MAXIMIZE else value < than


@dataclass(frozen=True)
class Metric:
    """What a number means: its unit (``""`` for a fraction or a count) and its good direction."""

    unit: str
    direction: Direction


@dataclass(frozen=True)
class Objective:
    """One thing to optimise, and which way."""

    name: str
    direction: Direction


@dataclass(frozen=True)
class Constraint:
    """A limit on a cost or an objective: ``params <= 50000``."""

    name: str
    limit: float
    upper: bool = True

    def violation(self, value: float) -> float:
        """How far ``value`` breaks the limit; <= 0 when it holds, infinite for NaN."""
        if math.isnan(value):
            return math.inf
        return value - self.limit if self.upper else self.limit - value

    def __str__(self) -> str:
        short = f"{self.limit:g}"
        return f"{self.name}{'<=' if self.upper else '>='}{short if float(short) == self.limit else repr(self.limit)}"


@dataclass(frozen=True, slots=True)
class Cost:
    """A price of an architecture on a device; never a bare float.

    Attributes:
        value: the number, in ``unit``.
        unit: for example ``ms``, ``MiB``; ``""`` for a count.
        std: spread of the repeats, in ``unit``; 0 for an exact count.
        repeats: how many measurements stand behind ``value``; 1 for an exact count.
    """

    value: float
    unit: str
    std: float = 0.0
    repeats: int = 1

    def to_json(self) -> dict[str, Any]:
        """The cost as plain JSON; a spread is left out where there is none."""
        out: dict[str, Any] = {"value": self.value, "unit": self.unit}
        if self.repeats != 1 or self.std:
            out |= {"std": self.std, "repeats": self.repeats}
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cost:
        """The inverse of :meth:`to_json`."""
        return cls(data["value"], data["unit"], data.get("std", 0.0), data.get("repeats", 1))


def digest(value: Json) -> str:
    """A stable 128-bit digest of plain JSON, as 32 hexadecimal digits.

    Raises:
        ValueError: ``value`` holds NaN or an infinity, which JSON has not.
        TypeError: ``value`` is not plain JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Architecture:
    """One point of a search space.

    Attributes:
        space: name of the search space.
        genome: plain JSON; only the space reads it. Never changed in place.
        key: digest of the canonical genome: equal for isomorphic architectures.
    """

    space: str
    genome: Json
    key: str

    def to_json(self) -> dict[str, Json]:
        """The architecture as plain JSON."""
        return {"space": self.space, "genome": self.genome, "key": self.key}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a sampler proposes.

    Attributes:
        architecture: what to evaluate.
        fidelity: how cheaply, as settings of the evaluator that are overridden (``{"epochs": 3}``);
            empty is full fidelity. Values of different fidelities are never ranked together.
        parent: number of the trial whose weights it inherits, for evaluators that do that.
        origin: a few words for people: ``random``, ``mutation of 12``.
        metrics: numbers that the sampler wants kept with the trial, such as what it predicted. They are
            stored among the trial's metrics, not here: a stored trial's candidate has none.
    """

    architecture: Architecture
    fidelity: Mapping[str, float] = field(default_factory=dict)
    parent: int | None = None
    origin: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluation gives.

    Attributes:
        status: how it ended.
        objectives: value of every objective that the evaluator provides; empty on FAIL.
        costs: costs that the evaluator measured itself (most come from cost models).
        metrics: further numbers worth keeping, such as ``train_loss``.
        artifacts: name -> file name in the trial's folder.
        reason: why it was pruned, is infeasible, or failed (with the traceback).
    """

    status: Status
    objectives: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def complete(cls, **objectives: float) -> Measurement:
        """A finished evaluation with these objective values."""
        return cls(Status.COMPLETE, objectives)

    @classmethod
    def fail(cls, reason: str) -> Measurement:
        """A failed evaluation."""
        return cls(Status.FAIL, reason=reason)


@dataclass(frozen=True, slots=True)
class Trial:
    """One judged candidate, as it is stored.

    Attributes:
        number: 0, 1, 2, ... in the order of asking.
        candidate: what was judged.
        status, objectives, costs, metrics, artifacts, reason: see :class:`Measurement`.
        reports: ``(step, metrics)`` in the order they came in: the learning curve.
        violations: how far each constraint is broken (> 0) or met (<= 0), where it was priced.
        seed: seed of the evaluation.
        reused: number of the trial whose measurement was taken over, if one was.
        started: Unix time in seconds.
        wall_seconds: duration of the evaluation, costs included.
    """

    number: int
    candidate: Candidate
    status: Status
    objectives: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    reports: tuple[tuple[int, Mapping[str, float]], ...] = ()
    violations: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seed: int = 0
    reused: int | None = None
    started: float = 0.0
    wall_seconds: float = 0.0

    @property
    def architecture(self) -> Architecture:
        """The architecture that was judged."""
        return self.candidate.architecture

    def value(self, name: str) -> float:
        """The objective or cost called ``name``; NaN where the trial has none."""
        if name in self.objectives:
            return self.objectives[name]
        return self.costs[name].value if name in self.costs else math.nan

    def summary(self) -> dict[str, Any]:
        """What ``--json`` prints of a trial."""
        return {
            "trial": self.number,
            "status": self.status.value,
            "objectives": dict(self.objectives),
            "costs": {name: cost.to_json() for name, cost in self.costs.items()},
            "architecture": self.architecture.to_json(),
        }
