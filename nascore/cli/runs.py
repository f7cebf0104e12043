"""``nascore runs`` and ``nascore show``: reading what searches left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nascore.cli.common import (
    example,
    json_option,
    print_json,
    run_argument,
    say,
    show_warnings,
    shown,
    tell,
    type_this,
)

if TYPE_CHECKING:
    from nascore.records import Trial
    from nascore.result import SearchResult


@click.command(epilog=example("nascore runs --dir experiments"))
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="The folder that holds the runs.")  # fmt: skip
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs in a folder, oldest first."""
    from nascore.display import columns, duration, values
    from nascore.run import list_runs

    found = [_run_row(path, status) for path, status in list_runs(folder)]
    if as_json:
        print_json(found)
    elif not found:
        tell(f"There are no runs in {folder}. Start one: nascore search --plugin amoebanet")
    else:
        rows = [
            [
                shown(Path(row["run"]).absolute()),
                row["state"],
                row["plugin"],
                duration(row["wall_seconds"]),
                values(row["best"]["objectives"]) if row["best"] else "",
            ]
            for row in found
        ]
        tell(columns([["run", "state", "plugin", "time", "best"], *rows]))


@click.command(
    epilog=example(
        "nascore show runs/20260101-120000-amoebanet", "nascore show runs/20260101-120000-amoebanet --history --json"
    )
)
@run_argument
@click.option("--trial", "number", type=click.IntRange(min=0), metavar="N", help="Show this trial in full.")
@click.option("--front", is_flag=True, help="Show the Pareto front.")
@click.option("--history", is_flag=True, help="Show every trial.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw the network into FILE (.png, .svg, .pdf), its cells into FILE-1, FILE-2, ...")  # fmt: skip
@json_option
def show(run: Path, number: int | None, front: bool, history: bool, plot: Path | None, as_json: bool) -> None:
    """Show a run: its best trial, its counts, its trials."""
    show_warnings()
    from nascore.api import open_run

    result = open_run(run)
    if plot is not None:
        for file in _plot(result, number, plot):
            say(shown(file.absolute()))
    if as_json:
        print_json(trial_details(result.trial(number)) if number is not None else result.summary(history=history))
    elif number is not None:
        _show_trial(result.trial(number))
    else:
        _show_run(result)
        if front or len(result.history.objectives) > 1:
            tell("\nPareto front:")
            tell(front_table(result))
            if result.hypervolume is not None:
                point = ", ".join(f"{name} {value:.5g}" for name, value in result.reference_point.items())
                tell(f"  hypervolume {result.hypervolume:.5g}, from the worst seen: {point}")
        if history:
            tell("\ntrials:")
            tell(_table(list(result.history)))


def _plot(result: SearchResult, number: int | None, path: Path) -> list[Path]:
    """Draw a trial's network and the kinds of its cells.

    Raises:
        UsageError: another ending.
        RunError: it cannot be drawn, or the file cannot be written.
    """
    from nascore.errors import RunError, UsageError
    from nascore.report.page import network_figures

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {path.name}: its name ends with one of .png, .svg, .pdf.")
    drawn, problem = network_figures(result, number)
    if problem:
        raise RunError(f"Trial {result.trial(number).number} is not drawn: {problem}")
    files = []
    for index, figure in enumerate(drawn.values()):
        files.append(path.with_stem(f"{path.stem}-{index}") if index else path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(files[-1], dpi=110)
        except OSError as error:
            raise RunError(f"Cannot write {files[-1]}: {error.strerror or error}.") from error
    return files


def front_table(result: SearchResult) -> str:
    """The Pareto front as an indented table."""
    return _table(list(result.pareto_front))


def trial_details(trial: Trial) -> dict[str, Any]:
    """A trial with everything that is kept of it."""
    return {
        **trial.summary(),
        "origin": trial.candidate.origin,
        "parent": trial.candidate.parent,
        "fidelity": dict(trial.candidate.fidelity),
        "metrics": dict(trial.metrics),
        "reports": [{"step": step, **metrics} for step, metrics in trial.reports],
        "violations": dict(trial.violations),
        "artifacts": dict(trial.artifacts),
        "reason": trial.reason,
        "reused": trial.reused,
        "seed": trial.seed,
        "wall_seconds": trial.wall_seconds,
    }


def _run_row(path: Path, status: dict[str, Any]) -> dict[str, Any]:
    """What can be said of a run without opening its storage."""
    from nascore.errors import SettingsError
    from nascore.settings import read_toml

    settings: dict[str, Any] = {}
    best = None
    if status["state"] != "damaged":  # nothing in such a folder is touched
        best = _best(path)
        try:
            settings = read_toml(path / "search.toml")
        except SettingsError:
            status = {**status, "state": "damaged"}
    return {
        "run": str(path),
        "plugin": str(settings.get("plugin", "")),
        "state": _really(path, status["state"]),
        "reason": status["reason"],
        "seed": settings.get("seed"),
        "trials": settings.get("trials"),
        "wall_seconds": status["wall_seconds"],
        "best": best,
    }


def _best(path: Path) -> dict[str, Any] | None:
    """The best trial as ``best/`` tells it; None where there is none, or it is damaged."""
    try:
        best: dict[str, Any] = json.loads((path / "best" / "architecture.json").read_text())
        return best if all(isinstance(value, (int, float)) for value in best["objectives"].values()) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _really(path: Path, state: str) -> str:
    """A run that calls itself running, and that nobody works on, was killed."""
    from nascore.errors import RunError
    from nascore.run import RunFolder

    if state != "running" or not (path / "state" / "lock").exists():
        return state
    try:
        with RunFolder(path).locked():
            return "killed"
    except RunError:
        return state


def _show_run(result: SearchResult) -> None:
    from nascore.display import columns, counted, duration, trial_values

    settings, best = result.search.settings, result.best
    state = _really(result.folder, result.state)
    reason = f": {result.reason}" if result.reason and state != "interrupted" else ""
    budget = [f"{settings.trials} trials"] if settings.trials is not None else []
    budget += [duration(settings.time)] if settings.time is not None else []
    rows = [
        ["run", shown(result.folder)],
        ["state", f"{state}{reason}"],
        ["method", f"{settings.plugin} {settings.preset}".strip()],
        ["parts", ", ".join(part.get("use", "?") for part in (settings.space, settings.sampler, settings.evaluator))],
        ["data", f"{settings.data.get('use', '?')}, fingerprint {result.search.task.fingerprint[:12]}"],
        ["budget", " or ".join(budget)],
        ["seed", str(settings.seed)],
        ["time", duration(result.wall_seconds)],
        ["trials", counted(result.counts)],
        ["best", f"trial {best.number}  {trial_values(best)}" if best is not None else "none yet"],
    ]
    if state in ("interrupted", "killed"):
        rows.append(["next", type_this("resume", shown(result.folder))])
    tell(columns(rows))


def _show_trial(trial: Trial) -> None:
    from nascore.display import columns, duration, values

    rows = [["trial", str(trial.number)], ["status", trial.status.value], ["origin", trial.candidate.origin]]
    rows += [[name, f"{value:.6g}"] for name, value in trial.objectives.items()]
    rows += [
        [
            name,
            f"{cost.value:.6g} {cost.unit}".rstrip()
            + (f" (std {cost.std:.3g}, {cost.repeats} repeats)" if cost.std else ""),
        ]
        for name, cost in trial.costs.items()
    ]
    rows += [[name, f"{value:.6g}"] for name, value in trial.metrics.items()]
    rows += [["time", duration(trial.wall_seconds)], ["seed", str(trial.seed)]]
    if trial.reused is not None:
        rows.append(["reused", f"the measurement of trial {trial.reused}"])
    tell(columns(rows))
    for step, metrics in trial.reports:
        tell(f"step {step}: {values(metrics)}")
    if trial.reason:
        tell(f"reason: {trial.reason}")
    tell("architecture: " + json.dumps(trial.architecture.to_json(), indent=2))


def _table(trials: list[Trial]) -> str:
    from nascore.display import columns, number

    names = list(dict.fromkeys(name for trial in trials for name in (*trial.objectives, *trial.costs)))
    rows = [["trial", "status", *names, "origin"]]
    for trial in trials:
        cells = ["" if (value := trial.value(name)) != value else number(value) for name in names]
        rows.append([str(trial.number), trial.status.value, *cells, trial.candidate.origin])
    return columns(rows, indent=2)
