"""``nascore report``: a search as one page."""

from __future__ import annotations

from pathlib import Path

import click

from nascore.cli.common import example, json_option, print_json, run_argument, show_warnings, shown


@click.command(
    epilog=example(
        "nascore report runs/20260101-120000-amoebanet",
        "nascore report runs/amoebanet --against runs/random --output amoebanet.html",
    )
)
@run_argument
@click.option("--against", "others", multiple=True, metavar="RUN", type=click.Path(path_type=Path),
              help="Another run whose curve is drawn beside, such as one of random search; repeatable.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="The file; default: RUN/report.html.")
@json_option
def report(run: Path, others: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Write a search as one HTML page that needs no network, and its plots as PNG."""
    show_warnings()
    from nascore.api import open_run
    from nascore.cli.results import attach
    from nascore.report import write_report

    result = open_run(run)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    files = write_report(result, output, [open_run(other) for other in others])
    attach(run, files)
    if as_json:
        print_json({"run": str(run), "files": [str(file) for file in files]})
        return
    for file in files:
        click.echo(shown(file.absolute()))
