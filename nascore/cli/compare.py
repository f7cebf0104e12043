"""``nascore compare``: samplers on one benchmark, many seeds, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nascore.cli.common import example, json_option, print_json, say

if TYPE_CHECKING:
    from nascore.compare.api import Comparison

CERTAIN = 0.05


@click.command(
    epilog=example(
        "nascore compare --plugins random,amoebanet --benchmark nasbench201:cifar10 --evaluations 200 --seeds 50",
        'nascore compare --benchmark nasbench201-cifar10 --sampler "amoebanet population_size=50 tournament_size=10"',
        "nascore compare --benchmark nasbench201-cifar10 --sampler surrogate --sampler optuna:nsgaii "
        "--objective accuracy --objective latency_ms",
    )
)
@click.option("--benchmark", required=True, metavar="NAME", help="The benchmark; `nascore plugins list` shows them.")
@click.option(
    "--sampler", "samplers", multiple=True, metavar="NAME [KEY=VALUE ...]",
    help="A sampler, with options behind it; may be given again.",
)  # fmt: skip
@click.option("--plugins", metavar="NAME,...", help="The samplers of these methods.")
@click.option(
    "--evaluations", type=click.IntRange(min=1), multiple=True, default=(100,), show_default=True,
    help="A budget; may be given again: all races run to the largest, each is told.",
)  # fmt: skip
@click.option(
    "--objective", "objectives", multiple=True, metavar="NAME",
    help="What samplers see, if not the benchmark's own; of several the score is the front's hypervolume.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Races of each sampler.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="A budget in the benchmark's simulated seconds too."
)
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes; 0, the default: one a core.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the benchmark's parts.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the scores: .png, .svg or .html.")
@json_option
def compare(
    benchmark: str,
    samplers: tuple[str, ...],
    plugins: str | None,
    evaluations: tuple[int, ...],
    objectives: tuple[str, ...],
    seeds: int,
    seconds: float | None,
    workers: int,
    assignments: tuple[str, ...],
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare samplers on a benchmark with a known truth: equal budgets, many seeds."""
    from nascore.compare.api import compare as run
    from nascore.compare.api import sampler_of
    from nascore.compare.picture import SUFFIXES, draw
    from nascore.errors import UsageError
    from nascore.settings import nest, parse_assignment

    if plot is not None and plot.suffix not in SUFFIXES:
        raise UsageError(f"--plot {plot}: its name ends with one of {', '.join(SUFFIXES)}.")
    samplers += tuple(sampler_of(name.strip()) for name in plugins.split(",")) if plugins else ()
    if not samplers:
        raise UsageError("Name what to compare: --plugins random,amoebanet, or --sampler NAME, once for each.")
    options = nest(dict(map(parse_assignment, assignments)))
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // total
        if tenth > told:
            told = tenth
            say(f"{done} of {total} races done")

    found = run(
        benchmark, samplers, evaluations=evaluations, seeds=seeds, objectives=objectives, seconds=seconds,
        workers=workers, options=options, told=progress,
    )  # fmt: skip
    if plot is not None:
        draw(found, plot)
    if as_json:
        print_json(found.to_json())
        return
    for budget in found.budgets:
        click.echo(_table(found, budget))
    click.echo(f"{seeds * len(samplers)} races in {found.wall_seconds:.1f} s")
    if plot is not None:
        click.echo(f"plot: {plot}")


def _table(found: Comparison, budget: int) -> str:
    from nascore.display import columns

    summaries = found.summaries(budget)
    order = sorted(summaries, key=lambda name: summaries[name].rank)
    rows = [["", "mean", "+- 95%", "std", "rank"]]
    for name in order:
        one = summaries[name]
        rows.append([name, f"{one.mean:.5g}", f"{one.half:.2g}", f"{one.std:.2g}", f"{one.rank:.2f}"])
    for name, values in found.reference.items():
        if str(budget) in values:
            rows.append([f"{name} (reference)", f"{values[str(budget)]:.5g}", "", "", ""])
    lines = [f"\n{found.benchmark.name}: {found.score.described} after {budget} evaluations", columns(rows, indent=2)]
    if found.score.reference:
        pairs = zip(found.score.objectives, found.score.reference, strict=True)
        lines.insert(1, f"  reference point: {', '.join(f'{o.name} {value:.5g}' for o, value in pairs)}")
    for duel in found.duels(budget):
        better, worse = duel.first, duel.second
        if (duel.difference < 0) == found.maximise:
            better, worse = worse, better
        sure = "better than" if duel.p < CERTAIN else "not shown to differ from"
        lines.append(f"  {better} {sure} {worse}: by {abs(duel.difference):.3g}, p = {duel.p:.2g} (Wilcoxon, Holm)")
    return "\n".join(lines)
