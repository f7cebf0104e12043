"""``nascore search`` and ``nascore resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nascore.cli.common import (
    INTERRUPTED,
    example,
    json_option,
    print_json,
    run_argument,
    say,
    show_warnings,
    shown,
    type_this,
)
from nascore.signals import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore.progress import Progress
    from nascore.result import SearchResult

_PARTS = ("space", "sampler", "evaluator", "data", "executor", "pruner")


def _limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the limits of a trial."""
    above = click.FloatRange(min=0, min_open=True)
    memory = click.option("--trial-memory", type=above, metavar="MIB", help="A trial's process that holds more fails.")
    timeout = click.option("--trial-timeout", type=above, metavar="SECONDS", help="A trial that takes longer fails.")
    return timeout(memory(command))


@click.command(
    epilog=example(
        "nascore search --plugin amoebanet",
        "nascore search --plugin random --data folder:./photos --objective accuracy --objective latency_ms",
        "nascore search --plugin amoebanet --constraint 'params<=50k' --trials 100 --seed 1",
        "nascore search --space my_space.py:my_space --sampler optuna:tpe --time 600",
    )
)
@click.option("--plugin", default="", metavar="NAME", help="The method: amoebanet, random, ...")
@click.option("--preset", default="", metavar="NAME", help="Its settings: quick (default) or paper.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="A TOML file of settings.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One more setting. Repeatable.")
@click.option("--space", metavar="PART", help="Another search space: blocks:nasnet, my_space.py:my_space.")
@click.option("--sampler", metavar="PART", help="Another sampler: optuna:tpe.")
@click.option("--evaluator", metavar="PART", help="Another evaluator.")
@click.option("--cost", "costs", multiple=True, metavar="PART", help="Cost models instead of the method's. Repeatable.")
@click.option("--data", metavar="PART", help="The data: digits, cifar10, folder:PATH, my_data.py:load.")
@click.option("--data-root", metavar="DIR", help="Where the files of the data set lie.")
@click.option("--objective", "objectives", multiple=True, metavar="NAME", help="What to optimise. Repeatable.")
@click.option("--constraint", "constraints", multiple=True, metavar="TEXT", help="Such as 'params<=50k'. Repeatable.")
@click.option("--trials", type=click.IntRange(min=1), help="Budget in trials.")
@click.option("--time", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Budget in seconds.")
@click.option("--seed", type=click.IntRange(min=0), help="Names all random numbers.")
@click.option("--device", metavar="NAME", help="A torch device: cpu, cuda, mps.")
@click.option("--threads", type=click.IntRange(min=1), help="Torch threads.")
@click.option("--pruner", metavar="NAME", help="Stop bad trials early: median, hyperband, ...")
@click.option("--executor", metavar="PART", help="Where trials run.")
@click.option("--workers", type=click.IntRange(min=1), help="How many trials run at a time, each in a process.")
@_limits
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The run folder; default runs/<time>-<plugin>."
)
@click.option("--storage", metavar="URL", help="Where trials are stored: journal, memory, or an Optuna URL.")
@click.option("--tracking-uri", metavar="URI", help="The MLflow server or store.")
@click.option("--no-tracking", is_flag=True, help="Do not log to MLflow.")
@click.option("--experiment", metavar="NAME", help="The MLflow experiment.")
@click.option("--dry-run", is_flag=True, help="Print the settings, sizes and an estimate; search nothing.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_context
def search(
    ctx: click.Context,
    /,
    plugin: str,
    preset: str,
    config: Path | None,
    trials: int | None,
    time: float | None,
    workers: int | None,
    out: Path | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Search for a network."""
    show_warnings()
    options = _options(given)
    if dry_run:
        from nascore.cli.preview import preview

        if workers is not None and workers > 1 and "executor.use" not in options:
            options |= {"executor.use": "processes", "executor.workers": workers}
        preview(plugin, preset, config, options, trials, time, as_json)
        return
    from nascore.api import search as run_search

    def work(progress: Progress) -> SearchResult:
        return run_search(
            plugin, preset=preset, config=config, trials=trials, time=time, workers=workers, options=options, out=out,
            observers=[progress],
        )  # fmt: skip

    _run(ctx, work, quiet, as_json, shown(out) if out else "RUN")


@click.command(epilog=example("nascore resume runs/20260101-120000-amoebanet --trials 200"))
@run_argument
@click.option("--trials", type=click.IntRange(min=1), help="A new budget in trials, those done included.")
@click.option("--time", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="A new budget in seconds.")
@click.option("--workers", type=click.IntRange(min=1), help="How many trials run at a time from now on.")
@_limits
@click.option("--force", is_flag=True, help="Go on although the version of a plugin changed.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_context
def resume(ctx: click.Context, /, run: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Go on with a search that was interrupted or killed, or give it a larger budget."""
    show_warnings()
    from nascore.api import resume as run_resume

    _run(ctx, lambda progress: run_resume(run, observers=[progress], **given), quiet, as_json, shown(run))


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line as settings with dotted keys; ``--set`` loses against the named options.

    All go in one layer: a layer that names another part drops the options of the part below.
    """
    from nascore.errors import UsageError
    from nascore.settings import parse_assignment

    if given["no_tracking"] and given["tracking_uri"]:
        raise UsageError("--tracking-uri and --no-tracking exclude each other; give one.")
    out = dict(map(parse_assignment, given["assignments"]))
    for part in _PARTS:
        if part in out:  # --set sampler=random:random
            out[f"{part}.use"] = out.pop(part)
    named = {
        **{f"{part}.use": given[part] for part in _PARTS},
        "data.root": given["data_root"],
        "costs": list(given["costs"]) or None,
        "objectives": list(given["objectives"]) or None,
        "constraints": list(given["constraints"]) or None,
        "trial_timeout": given["trial_timeout"],
        "trial_memory": given["trial_memory"],
        "seed": given["seed"],
        "device": given["device"],
        "threads": given["threads"],
        "storage": given["storage"],
        "tracking": "off" if given["no_tracking"] else given["tracking_uri"],
        "experiment": given["experiment"],
    }
    out.update({key: value for key, value in named.items() if value is not None})
    return out


def _run(ctx: click.Context, work: Callable[[Progress], SearchResult], quiet: bool, as_json: bool, run: str) -> None:
    """Run a search with its progress shown, then print its result; ``run`` is its folder, as far as it is known."""
    from nascore.errors import SearchFailedError
    from nascore.progress import choose_progress

    progress = choose_progress(quiet)

    def ended() -> str:
        folder = shown(progress.search.run.path) if progress.search is not None else run
        return f"ended at once; to go on: {type_this('resume', folder)}"

    try:
        with interruptible(ended), progress:
            result = work(progress)
    except SearchFailedError:
        if as_json and progress.result is not None:
            print_json(progress.result.summary())
        raise
    if as_json:
        print_json(result.summary())
    else:
        _summarise(result)
    if result.state == "interrupted":
        say(f"interrupted; to go on: {type_this('resume', shown(result.folder))}")
        ctx.exit(INTERRUPTED)


def _summarise(result: SearchResult) -> None:
    from nascore.cli.runs import front_table
    from nascore.display import counted, duration, trial_values

    run = shown(result.folder)
    reason = f": {result.reason}" if result.state == "finished" else ""  # how to go on is told at the end
    click.echo(f"{result.state}{reason} ({duration(result.wall_seconds)})")
    click.echo(f"trials: {counted(result.counts)}")
    best = result.best
    if best is None:
        click.echo("best: none yet")
        return
    click.echo(f"best: trial {best.number}  {trial_values(best)}")
    if len(result.history.objectives) > 1:
        click.echo("Pareto front:")
        click.echo(front_table(result))
    click.echo(f"run: {run}")
    if result.state == "finished":
        click.echo("next:")
        parts = result.search.parts
        click.echo(f"  {type_this('show', run)}")
        if "retrain" in parts.evaluator.provides:
            click.echo(f"  {type_this('retrain', run)}")
        if "module" in parts.space.provides:
            click.echo(f"  {type_this('export', run, '--format', 'py')}")
