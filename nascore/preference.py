"""Choosing a trial by a rule instead of its number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nascore.errors import RunError, UsageError, nearest
from nascore.history import eligible
from nascore.settings import parse_constraint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Constraint, Trial
    from nascore.result import SearchResult


def chosen(result: SearchResult, number: int | None, rules: Sequence[str]) -> Trial:
    """The trial of a number, or the best that keeps the rules, or the best of all.

    Raises:
        UsageError: a number and rules, or see :func:`preferred`.
        RunError: there is no such trial.
    """
    if number is not None and rules:
        raise UsageError(f"Give a trial or a rule, not both; got trial {number} and {', '.join(rules)}.")
    return preferred(result, rules) if rules else result.trial(number)


def preferred(result: SearchResult, rules: Sequence[str]) -> Trial:
    """Of the trials that keep all rules the one that is best in the first objective; the earliest where several are.

    Args:
        result: of the search.
        rules: limits on objectives and costs of the trials, in the form of a constraint: ``latency_ms<=2``.

    Raises:
        UsageError: a rule of another form, or on a name that no trial has.
        RunError: no trial keeps them; names the one that comes nearest.
    """
    try:
        limits = [parse_constraint(rule) for rule in rules]
    except ValueError as error:
        raise UsageError(f"--prefer {error}") from error
    objective = result.history.objectives[0]
    trials = [t for t in result.history if eligible(t) and not math.isnan(t.value(objective.name))]
    if not trials:
        raise RunError(f"{result.folder} has no complete trial to choose from yet.")
    known = {name for trial in trials for name in (*trial.objectives, *trial.costs)}
    for limit in limits:
        if limit.name not in known:
            raise UsageError(f"--prefer {limit}: the trials have no {limit.name!r}; {nearest(limit.name, known)}.")
    fitting = [trial for trial in trials if _excess(trial, limits) == 0]
    if not fitting:
        near = min(trials, key=lambda trial: _excess(trial, limits))
        has = ", ".join(f"{limit.name} {near.value(limit.name):.6g}" for limit in limits)
        raise RunError(
            f"None of the {len(trials)} complete trials keeps {' and '.join(map(str, limits))}. "
            f"The nearest is trial {near.number}: {has}."
        )
    best = fitting[0]
    for trial in fitting[1:]:
        if objective.direction.better(trial.value(objective.name), best.value(objective.name)):
            best = trial
    return best


def _excess(trial: Trial, limits: Sequence[Constraint]) -> float:
    """By how much the limits are broken in all, each as a part of itself (of 1 where it is 0)."""
    return sum(max(0.0, limit.violation(trial.value(limit.name))) / (abs(limit.limit) or 1.0) for limit in limits)
