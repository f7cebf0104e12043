"""``nascore retrain``, ``export`` and ``track``: what is done with a run after its search."""

from __future__ import annotations

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
    terminate_like_interrupt,
    type_this,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.result import SearchResult
    from nascore.retrain import Report
    from nascore.tracking.registry import Registered


RETRAINED = "the retraining, first seed"
prefer_option = click.option(
    "--prefer", multiple=True, metavar="RULE",
    help="The best of the trials that keep a rule, such as 'latency_ms<=2'. Repeatable.",
)  # fmt: skip


@click.command(
    epilog=example(
        "nascore retrain runs/20260101-120000-amoebanet --seeds 3 --epochs 100",
        "nascore retrain runs/20260101-120000-amoebanet --prefer 'latency_ms<=2' --set flip=true --set ema=0.99",
    )
)
@run_argument
@click.option("--trial", "number", type=click.IntRange(min=0), metavar="N", help="Another trial than the best one.")
@prefer_option
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Independent trainings.")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of those of the search.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
              help="An option of the training instead of the search's, such as flip=true. Repeatable.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def retrain(
    run: Path, number: int | None, prefer: tuple[str, ...], seeds: int, epochs: int | None,
    assignments: tuple[str, ...], quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train the best network on train and valid together, and test it, once a seed.

    This opens the test split, which no search sees. What was trained before, with the same options,
    is not trained again; a training that was stopped goes on from its last checkpoint.
    """
    show_warnings()
    from nascore.api import open_run
    from nascore.retrain import retrain as run_retrain
    from nascore.settings import parse_assignment
    from nascore.tracking.outbox import outbox_path

    options = dict(map(parse_assignment, assignments)) | ({} if epochs is None else {"epochs": epochs})
    result = open_run(run)
    with terminate_like_interrupt():
        done = run_retrain(
            result, number, prefer=prefer, seeds=seeds, options=options, report=None if quiet else _reporter(seeds)
        )
    if outbox_path(run).is_file():
        say(f"to send the result to MLflow: {type_this('track', shown(run))}")
    summary = done.summary()
    if as_json:
        print_json(summary)
        return
    from nascore.display import number as text

    accuracy = summary["test_accuracy"]
    spread = f", std {accuracy['std']:.4f}" if seeds > 1 else ""
    again = f" ({done.reused} of them trained before)" if done.reused else ""
    click.echo(f"trial {done.trial}: test accuracy {accuracy['mean']:.4f}{spread}, {seeds} seed(s){again}")
    for name, value in (("params", done.params), ("macs", done.macs)):
        if value is not None:
            click.echo(f"{name}: {text(value)}")
    click.echo(f"weights: {shown(done.folder)}/seed-*/weights.safetensors")
    click.echo(f"next: {type_this('export', shown(run), '--trial', done.trial, '--format', 'py')}")


@click.command(
    epilog=example(
        "nascore export runs/20260101-120000-amoebanet --format py",
        "nascore export runs/20260101-120000-amoebanet --format torch --trial 12 --output net.pt2",
        "nascore export runs/20260101-120000-amoebanet --format onnx --register photos",
    )
)
@run_argument
@click.option(
    "--format", "form", required=True, metavar="FORMAT", help="py (one file, needs torch alone), onnx or torch."
)
@click.option("--trial", "number", type=click.IntRange(min=0), metavar="N", help="Another trial than the best one.")
@prefer_option
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="The file; default: in the run folder.")
@click.option("--weights", type=click.Choice(["auto", "search", "retrain"]), default="auto", show_default=True,
              help="Which weights; auto: the retrained ones where there are any.")  # fmt: skip
@click.option("--register", "name", metavar="NAME",
              help="With onnx: also put it in MLflow's model registry under this name.")  # fmt: skip
@json_option
def export(
    run: Path, form: str, number: int | None, prefer: tuple[str, ...], output: Path | None, weights: str,
    name: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write a found network as a file to use elsewhere."""
    from nascore.errors import UsageError, nearest
    from nascore.export import FORMATS, export_network, export_source

    if form not in FORMATS:
        raise UsageError(f"There is no export format {form!r}; {nearest(form, FORMATS)}.")
    if name and form != "onnx":
        raise UsageError(f"--register takes --format onnx, which MLflow loads without nascore; got --format {form}.")
    show_warnings()
    from nascore.api import open_run
    from nascore.preference import chosen

    result = open_run(run)
    trial = chosen(result, number, prefer)
    path = output if output is not None else _default_path(result, trial.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    space, task, origin, registered = result.search.space, result.search.task, None, None
    if "source" in space.provides:
        files = export_source(space, trial.architecture, path, form, task=task)
    else:
        network, origin = _network(result, trial.number, weights)
        examples = result.examples()
        files = export_network(network, path, form, task=task, architecture=trial.architecture, example=examples)
        files += _input_file(result, files[0])
        registered = _register(result, trial.number, files[0], name, network, origin) if name else None
    attach(run, files)
    if as_json:
        print_json({
            "trial": trial.number, "weights": origin, "files": [str(file) for file in files],
            **({"registered": vars(registered)} if registered else {}),
        })  # fmt: skip
        return
    click.echo(f"trial {trial.number}" + (f", with the weights of {origin}" if origin else ""))
    for file in files:
        click.echo(shown(file.absolute()))
    if registered:
        click.echo(f"registered: {registered.uri} at {registered.tracking_uri}")


@click.command(epilog=example("nascore track runs/20260101-120000-amoebanet --tracking-uri http://localhost:5000"))
@run_argument
@click.option(
    "--tracking-uri", default="", metavar="URI", help="Another MLflow server or store than that of the search."
)
@click.option("--experiment", default="", metavar="NAME", help="Another MLflow experiment.")
@json_option
@click.pass_context
def track(ctx: click.Context, run: Path, tracking_uri: str, experiment: str, as_json: bool) -> None:
    """Send to MLflow what could not be sent while the search ran."""
    show_warnings()
    from nascore.tracking import flush
    from nascore.tracking.process import last_error

    pending = flush(run, uri=tracking_uri, experiment=experiment)
    problem = last_error(run) if pending else ""
    if as_json:
        print_json({"run": str(run), "pending": pending, "error": problem or None})
    elif not pending:
        click.echo("all is sent")
    if pending:
        say(f"{pending} events are not sent and are kept: {problem or 'the sender gave no reason'}")
        ctx.exit(1)


def _input_file(result: SearchResult, network: Path) -> list[Path]:
    """Write beside an exported network how its inputs are made, where the data set tells."""
    import json

    from nascore.checkpoint import write_atomically
    from nascore.errors import NascoreError

    try:
        preprocessing = result.search.data.preprocessing
    except NascoreError:  # the data stayed on another machine
        return []
    if not preprocessing:
        return []
    told = {"shape": ["batch", *result.search.task.shape], "type": "float32", **preprocessing}
    path = network.with_suffix(".input.json")
    write_atomically(path, json.dumps(told, indent=2).encode())
    return [path]


def _register(result: SearchResult, number: int, file: Path, name: str, network: Any, origin: str) -> Registered:
    """Put an ONNX file into the model registry, with what its trial reached on the test split."""
    from nascore.export.checking import example_batch
    from nascore.retrain import measured
    from nascore.tracking.registry import register

    batch = example_batch(network, result.search.task, result.examples(), 2).cpu().numpy()
    metrics = measured(result, number) if origin == RETRAINED else {}
    return register(result.folder, file, name, batch, metrics, step=number)


def attach(run: Path, files: list[Path]) -> None:
    """Note files of the run folder for MLflow, where the search was tracked."""
    from nascore.tracking import add_artifacts
    from nascore.tracking.outbox import outbox_path

    inside = [file for file in files if run in file.absolute().parents]
    if inside and outbox_path(run).is_file():
        add_artifacts(run, inside)
        say(f"to send {inside[0].name} to MLflow: {type_this('track', shown(run))}")


def _network(result: SearchResult, number: int, weights: str) -> tuple[Any, str]:
    """The network of a trial, and which weights it has."""
    from nascore.errors import RunError
    from nascore.retrain import retrained_weights

    path = retrained_weights(result, number)
    if weights == "retrain" and path is None:
        raise RunError(
            f"Trial {number} was not retrained; do that first: {type_this('retrain', result.folder, '--trial', number)}"
        )
    if path is None or weights == "search":
        return result.model(number), "the search"
    from nascore.result import load_weights

    return load_weights(result.search.build(result.trial(number)), path), RETRAINED


def _default_path(result: SearchResult, number: int) -> Path:
    best = result.best
    if best is not None and best.number == number:
        return result.folder / "best" / "network"
    return result.folder / "export" / f"trial-{number:06d}"


def _reporter(seeds: int) -> Report:
    """Tell the epochs on standard error, at most one line in two seconds."""
    import time

    from nascore.display import values
    from nascore.progress import LINE_SECONDS

    written = [float("-inf")]

    def report(index: int, epoch: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() - written[0] >= LINE_SECONDS:
            written[0] = time.monotonic()
            say(f"seed {index + 1} of {seeds}, epoch {epoch}: {values(metrics)}")

    return report
