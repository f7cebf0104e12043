"""The plots of a search, as matplotlib figures."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from nascore.history import eligible
from nascore.quiet import quiet_optuna
from nascore.records import Direction, Status
from nascore.report.graphs import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nascore.records import Objective, Trial
    from nascore.result import SearchResult

STATUS_COLOURS = {
    Status.COMPLETE: "#3b6ea5", Status.PRUNED: "#c9a227", Status.INFEASIBLE: "#9aa5b1", Status.FAIL: "#b23b3b",
}  # fmt: skip
MOST_POINTS = 3_000
"""Trials that a plot shows one by one; of more, as many at equal distances, and all that are on the front."""
MOST_FOR_IMPORTANCE = 1_000
LEAST_FOR_IMPORTANCE = 10
MOST_DECISIONS = 15


def new_axes(width: float = 7.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """An empty plot; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def best_so_far(result: SearchResult, against: Sequence[SearchResult] = ()) -> Figure:
    """The best first objective after each trial, beside that of other searches; each trial as a point."""
    figure, axes = new_axes()
    objective = result.history.objectives[0]
    trials = [t for t in result.history if t.status is Status.COMPLETE]
    shown = _thinned(trials)
    axes.scatter(
        [t.number + 1 for t in shown], [t.value(objective.name) for t in shown], s=9, color="#9db8d6", label="trials"
    )
    for other in (result, *against):
        curve = _incumbents(other, objective)
        if curve:
            name = other.search.settings.plugin or other.folder.name
            name = name if other is result or name != result.search.settings.plugin else other.folder.name
            axes.step(*zip(*curve, strict=True), where="post", label=words(f"best of {name}"), lw=2)
    axes.set_xlabel("trials")
    axes.set_ylabel(words(objective.name))
    values = sorted(t.value(objective.name) for t in trials)
    if len(values) > 20:  # the worst tenth would flatten the rest
        tenth = len(values) // 10
        if objective.direction is Direction.MAXIMIZE:
            axes.set_ylim(bottom=values[tenth])
        else:
            axes.set_ylim(top=values[-tenth - 1])
    axes.legend(fontsize="small")
    return figure


def _incumbents(result: SearchResult, objective: Objective) -> list[tuple[int, float]]:
    best: float | None = None
    curve = []
    for count, trial in enumerate(result.history, start=1):
        value = trial.value(objective.name)
        if eligible(trial) and not math.isnan(value) and (best is None or objective.direction.better(value, best)):
            best = value
            curve.append((count, value))
    if best is not None:
        curve.append((len(result.history), best))
    return curve


def axes_of_front(result: SearchResult) -> tuple[str, str] | None:
    """What the picture of the front shows: two objectives; or the one objective against its first cost."""
    objectives = [o.name for o in result.history.objectives]
    if len(objectives) > 1:
        return objectives[1], objectives[0]
    best = result.best
    costs = [name for name in (best.costs if best else {}) if name not in objectives]
    return (costs[0], objectives[0]) if costs else None


def front(result: SearchResult) -> Figure | None:
    """Trials by objective and cost; those that no other one dominates carry their number as ``gid`` ``trial-N``."""
    names = axes_of_front(result)
    if names is None:
        return None
    x, y = names
    figure, axes = new_axes()
    trials = [t for t in result.history if eligible(t)]
    if len(result.history.objectives) > 1:
        best = sorted(result.pareto_front, key=lambda t: t.value(x))
    else:
        best = _cheapest_first(trials, x, result.history.objectives[0])
    shown = _thinned(trials)
    axes.scatter([t.value(x) for t in shown], [t.value(y) for t in shown], s=9, color="#9db8d6", label="trials")
    axes.step([t.value(x) for t in best], [t.value(y) for t in best], where="post", color="#b23b3b", lw=1, alpha=0.6)
    for trial in best:
        axes.plot(
            [trial.value(x)], [trial.value(y)], "o", color="#b23b3b", ms=6, gid=f"trial-{trial.number}",
            label="_" if trial is not best[0] else "not dominated",
        )  # fmt: skip
    axes.set_xlabel(words(x))
    axes.set_ylabel(words(y))
    axes.legend(fontsize="small")
    return figure


def front_trials(result: SearchResult) -> list[Trial]:
    """The trials that :func:`front` marks, cheapest first."""
    names = axes_of_front(result)
    if names is None:
        return []
    if len(result.history.objectives) > 1:
        return sorted(result.pareto_front, key=lambda t: t.value(names[0]))
    return _cheapest_first([t for t in result.history if eligible(t)], names[0], result.history.objectives[0])


def _cheapest_first(trials: Sequence[Trial], cost: str, objective: Objective) -> list[Trial]:
    """Those that are better than every cheaper one."""
    out: list[Trial] = []
    usable = [t for t in trials if not math.isnan(t.value(cost)) and not math.isnan(t.value(objective.name))]
    sign = -1 if objective.direction is Direction.MAXIMIZE else 1
    for trial in sorted(usable, key=lambda t: (t.value(cost), sign * t.value(objective.name))):
        if not out or objective.direction.better(trial.value(objective.name), out[-1].value(objective.name)):
            out.append(trial)
    return out


def timeline(result: SearchResult) -> Figure:
    """When each trial ran, and how it ended."""
    figure, axes = new_axes(height=3.0)
    trials = _thinned(list(result.history))
    start = min((t.started for t in trials), default=0.0)
    thickness = min(8.0, max(1.0, 150.0 / max(1, len(trials))))  # points; the plot is some 150 high
    for status, colour in STATUS_COLOURS.items():
        chosen = [t for t in trials if t.status is status]
        if chosen:
            begun = [t.started - start for t in chosen]
            axes.hlines(  # one artist for all of them; bars would be thousands
                [t.number for t in chosen], begun,
                [at + max(t.wall_seconds, 0.01) for at, t in zip(begun, chosen, strict=True)],
                lw=thickness, color=colour, label=status.value, capstyle="butt",
            )  # fmt: skip
    axes.set_xlabel("seconds since the first trial")
    axes.set_ylabel("trial")
    axes.legend(fontsize="small")
    return figure


def importances(result: SearchResult) -> Figure | None:
    """How much each decision matters for the first objective, by PED-ANOVA; None where that cannot be said."""
    found = decision_importances(result)
    if not found:
        return None
    figure, axes = new_axes(height=0.4 + 0.26 * len(found))
    names, shares = zip(*reversed(list(found.items())), strict=True)
    axes.barh(list(map(words, names)), shares, color="#3b6ea5")
    goal = words(result.history.objectives[0].name)
    axes.set_xlabel(f"share in what makes a trial one of the best tenth by {goal}", fontsize="small")
    return figure


def decision_importances(result: SearchResult) -> dict[str, float]:
    """Decision -> its share, the largest first; empty where genomes are no sets of decisions, or trials are few.

    Watanabe et al. 2023 (arXiv:2304.10255), as Optuna has it, on the decisions that all trials share.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution

    objective = result.history.objectives[0]
    trials = [t for t in result.history if t.status is Status.COMPLETE and isinstance(t.architecture.genome, dict)]
    trials = _thinned(trials, MOST_FOR_IMPORTANCE)
    if len(trials) < LEAST_FOR_IMPORTANCE:
        return {}
    genomes: list[dict[str, Any]] = [t.architecture.genome for t in trials]  # type: ignore[misc]  # looked at above
    common = [n for n in genomes[0] if all(n in g and isinstance(g[n], (str, int, float, bool)) for g in genomes)]
    options = {name: sorted({g[name] for g in genomes}, key=repr) for name in common}
    spread = {name: CategoricalDistribution(values) for name, values in options.items() if len(values) > 1}
    if not spread:
        return {}
    measured = [
        optuna.trial.create_trial(
            params={name: genome[name] for name in spread},
            distributions=dict(spread),
            value=trial.value(objective.name),
        )
        for trial, genome in zip(trials, genomes, strict=True)
    ]
    with quiet_optuna(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=objective.direction.value)
        study.add_trials(measured)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(list(found.items())[:MOST_DECISIONS])


def _thinned(trials: Sequence[Trial], most: int = MOST_POINTS) -> list[Trial]:
    step = max(1, math.ceil(len(trials) / most))
    return list(trials[::step])
