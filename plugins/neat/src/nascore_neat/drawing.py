"""Pictures: a network, and the species of a search over time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from nascore.errors import RunError
from nascore_neat.genome import live_genes
from nascore_neat.lineage import read, read_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nascore.contracts import SearchSpace
    from nascore.records import Architecture, Trial
    from nascore.result import SearchResult
    from nascore_neat.genome import Gene, Shape
    from nascore_neat.space import NEATSpace

NETWORK, SPECIES = "pictures/network.svg", "pictures/species.svg"
"""In the run folder."""


def write_pictures(result: SearchResult) -> list[Path]:
    """Write :data:`NETWORK`, the best one, and :data:`SPECIES`, from all stored trials, earlier sessions included.

    Returns:
        The files that were written: no network before the first complete trial, no species before two generations
        have some, nor of another sampler's trials.
    """
    written = []
    (result.folder / "pictures").mkdir(exist_ok=True)
    if result.best is not None:
        written.append(result.folder / NETWORK)
        draw_network(result.best.architecture, result.search.space, written[-1])
    if len(species_sizes(result.history)[0]) > 1:
        written.append(result.folder / SPECIES)
        draw_species(result.history, written[-1])
    return written


def draw_network(architecture: Architecture, space: SearchSpace, path: Path) -> None:
    """Draw what computes: inputs and bias below, outputs above, hidden nodes between by their depth.

    A connection is as thick as its weight is large; blue where that is positive, red where it is negative. One
    that does not lead upwards, as only a recurrent network has, is a dashed arrow.

    Args:
        architecture: of the space.
        space: provides ``neurons``.
        path: of the picture; its ending says the format (``.png``, ``.svg``).
    """
    from matplotlib.figure import Figure

    shape = cast("NEATSpace", space).shape
    genes = live_genes(architecture.genome, shape)
    places = layout(genes, shape)
    width = max(4.0, min(16.0, 0.6 * Counter(y for _, y in places.values()).most_common(1)[0][1]))
    figure = Figure(figsize=(width, 5), layout="constrained")
    axes = figure.subplots()
    heaviest = max((abs(weight) for *_, weight in genes), default=0.0) or 1.0
    for source, target, weight in genes:
        (x, y), (to_x, to_y) = places[source], places[target]
        color, linewidth = "tab:blue" if weight >= 0 else "tab:red", 0.5 + 2.5 * abs(weight) / heaviest
        if to_y > y:
            axes.plot([x, to_x], [y, to_y], color=color, linewidth=linewidth, alpha=0.7, zorder=1)
            continue
        arrow = {
            "arrowstyle": "->", "linestyle": "--", "color": color, "linewidth": linewidth, "alpha": 0.7,
            "connectionstyle": "arc3,rad=-2.5" if source == target else "arc3,rad=0.25",
            "shrinkA": 0 if source == target else 6, "shrinkB": 0 if source == target else 6,
        }  # fmt: skip
        apart = 0.02 if source == target else 0.0
        axes.annotate("", (to_x + apart, to_y), (x - apart, y), arrowprops=arrow, zorder=1)
    for node, (x, y) in places.items():
        axes.scatter([x], [y], s=160, color="white", edgecolors="black", zorder=2)
        if len(places) <= 60:
            axes.text(x, y, _label(node, shape), ha="center", va="center", fontsize=7, zorder=3)
    axes.set_axis_off()
    figure.savefig(path)


def layout(genes: Iterable[Gene], shape: Shape) -> dict[int, tuple[float, float]]:
    """Where each node is drawn, in [0, 1] x [0, 1].

    The height of a hidden node is the number of connections on the longest way to it, so that every connection of a
    feed-forward network leads upwards; one that closes a cycle with earlier ones does not count. Rows of hidden nodes
    are shifted, so that fewer connections pass behind a node that they do not touch.
    """
    genes = list(genes)
    bottom = range(shape.inputs + 1)
    top = range(shape.inputs + 1, shape.inputs + 1 + shape.outputs)
    below = {node: {node} for gene in genes for node in gene[:2] if node not in top}
    into: dict[int, list[int]] = {node: [] for node in below}
    for source, target, _ in genes:
        if source in below and target in below and target not in below[source]:
            into[target].append(source)
            for nodes in below.values():
                if target in nodes:
                    nodes.update(below[source])
    levels = dict.fromkeys(bottom, 0)
    for node in sorted(below.keys() - levels.keys(), key=lambda node: len(below[node])):
        levels[node] = 1 + max((levels[source] for source in into[node]), default=0)
    highest = max(levels.values()) + 1
    levels |= dict.fromkeys(top, highest)
    rows: dict[int, list[int]] = {}
    for node in sorted(levels):
        rows.setdefault(levels[node], []).append(node)
    shifts = {height: 0.0 if height in (0, highest) else (0.2, -0.25)[height % 2] for height in rows}
    return {
        node: ((position + 0.5 + shifts[height]) / len(row), height / highest)
        for height, row in rows.items()
        for position, node in enumerate(row)
    }


def _label(node: int, shape: Shape) -> str:
    if node < shape.inputs:
        return f"x{node}"
    if node == shape.inputs:
        return "1"
    return f"y{node - shape.inputs - 1}" if node <= shape.inputs + shape.outputs else ""


def species_sizes(trials: Iterable[Trial]) -> tuple[list[int], dict[int, list[int]]]:
    """How many members each species had, generation by generation.

    Where each genome is a trial, the founders, generation 0, have no species yet when they are proposed, and are
    left out, and the last generation counts as far as it was proposed. Where a trial stands for generations, it tells
    of the last of them.

    Returns:
        The generations, rising; and number of the species -> its members in each of them.
    """
    counts: dict[int, Counter[int]] = {}
    for trial in trials:
        sizes, birth = read_sizes(trial.candidate.origin), read(trial.candidate.origin)
        if sizes is not None:
            counts[sizes[0]] = Counter(sizes[1])
        elif birth is not None:
            counts.setdefault(birth.generation, Counter())[birth.species] += 1
    generations = sorted(counts)
    names = sorted({name for members in counts.values() for name in members})
    return generations, {name: [counts[generation][name] for generation in generations] for name in names}


def draw_species(trials: Iterable[Trial], path: Path) -> None:
    """Draw the sizes of the species, stacked, over the generations of a search.

    Args:
        trials: of a search with the sampler ``neat``, in any order (``result.history``).
        path: of the picture; its ending says the format.

    Raises:
        RunError: none of the trials was bred.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    generations, sizes = species_sizes(trials)
    if not sizes:
        raise RunError("No trial was bred by NEAT: its first generation has no species to draw. Search longer.")
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    edge = 0.4 if len(generations) * len(sizes) <= 10_000 else 0.0  # where all is narrow, only edges would be seen
    # Thousands of species as paths would be megabytes of SVG, so it holds an image of them.
    axes.stackplot(generations, *sizes.values(), linewidth=edge, edgecolor="white", rasterized=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("generation")
    axes.set_ylabel("members of each species")
    axes.margins(0)
    figure.savefig(path, dpi=200)
