"""A small directed graph without cycles: laid out in layers, and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = 12
"""How often the order within layers is improved."""
_STEP_X, _STEP_Y, _LINE = 2.1, 0.95, 0.3
_COLOURS = {"value": "#e8eef7", "op": "#ffffff", "join": "#f3ead7"}


_LONGEST_WORDS = 80


def words(text: str) -> str:
    """Text as a picture shows it, whoever wrote it: no formulas, no control characters, and cut where it is long."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    text = text if len(text) <= _LONGEST_WORDS else f"{text[: _LONGEST_WORDS - 3]}..."
    return text.replace("$", r"\$")


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        label: of the box.
        size: of what leaves it, such as ``8 x 4 x 4``; written at its edges. Empty: not known.
        kind: ``value`` (an input or output), ``op`` or ``join`` (a sum, a concatenation).
    """

    label: str
    size: str = ""
    kind: str = "op"


@dataclass(frozen=True)
class Graph:
    """A picture's contents.

    Attributes:
        title: of the picture.
        nodes: the boxes.
        edges: (from, to), indices of nodes; ``from`` is always the smaller one.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def is_chain(self) -> bool:
        """No node has two edges in or two edges out."""
        return all(len({end[side] for end in self.edges}) == len(self.edges) for side in (0, 1))


def layers_of(graph: Graph) -> tuple[list[list[int]], list[list[int]]]:
    """Layers by the longest way from the sources; an edge over several layers goes through points of its own.

    Returns:
        The layers, top down, each from left to right: numbers from ``len(graph.nodes)`` on are such points. And
        the way of each edge, from box to box.
    """
    depth = [0] * len(graph.nodes)
    for source, target in sorted(graph.edges):
        depth[target] = max(depth[target], depth[source] + 1)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=0) + 1)]
    for node, level in enumerate(depth):
        layers[level].append(node)
    ways, points = [], len(graph.nodes)
    for source, target in graph.edges:
        way = [source]
        for level in range(depth[source] + 1, depth[target]):
            layers[level].append(points)
            way.append(points)
            points += 1
        ways.append([*way, target])
    return _fewer_crossings(layers, ways), ways


def _fewer_crossings(layers: list[list[int]], ways: Sequence[Sequence[int]]) -> list[list[int]]:
    """Order each layer by the mean place of its neighbours, down and up in turn (barycentres; Sugiyama et al. 1981)."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for way in ways:
        for first, second in pairwise(way):
            above.setdefault(second, []).append(first)
            below.setdefault(first, []).append(second)
    for sweep in range(SWEEPS):
        neighbours, order = (
            (above, range(1, len(layers))) if sweep % 2 == 0 else (below, range(len(layers) - 2, -1, -1))
        )
        place = _places(layers)
        for level in order:
            layers[level].sort(
                key=lambda n: sum(place[m] for m in neighbours[n]) / len(neighbours[n]) if n in neighbours else place[n]
            )
            place |= _places([layers[level]])
    return layers


def _places(layers: Sequence[Sequence[int]]) -> dict[int, float]:
    """Horizontal place of each point, each layer centred on 0."""
    return {n: index - (len(layer) - 1) / 2 for layer in layers for index, n in enumerate(layer)}


def draw(graph: Graph) -> Figure:
    """The graph from top to bottom, as a matplotlib figure."""
    from matplotlib.figure import Figure

    layers, ways = layers_of(graph)
    place = _places(layers)
    lines = [max([graph.nodes[n].label.count("\n") for n in layer if n < len(graph.nodes)] or [0]) for layer in layers]
    heights = [
        _STEP_Y + _LINE * (lines[level] + (lines[level - 1] if level else 0)) / 2 for level in range(len(layers))
    ]
    at = {n: (_STEP_X * place[n], -sum(heights[: level + 1])) for level, layer in enumerate(layers) for n in layer}
    widest, height = max(map(len, layers)), sum(heights)
    figure = Figure(figsize=(max(3.2, 1.15 * widest + 1), max(1.6, 0.6 * (height + 1))), layout="constrained")
    axes = figure.add_subplot()
    for way in ways:
        _edge(axes, [at[n] for n in way], graph.nodes[way[0]].size)
    for number, node in enumerate(graph.nodes):
        axes.text(
            *at[number], words(node.label), ha="center", va="center", fontsize=8, zorder=3,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": _COLOURS[node.kind], "edgecolor": "#55606e", "lw": 0.8},
        )  # fmt: skip
    half = _STEP_X * (widest / 2 + 0.1)
    axes.set_xlim(-half, half)
    axes.set_ylim(-height - 0.6 - _LINE * lines[-1] / 2, -heights[0] + 0.6 + _LINE * lines[0] / 2)
    axes.set_axis_off()
    axes.set_title(words(graph.title), fontsize=10)
    return figure


def _edge(axes: Axes, points: Sequence[tuple[float, float]], size: str) -> None:
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, color="#9aa5b1", lw=1, zorder=1)
    if size:
        (x, y), (next_x, next_y) = points[:2]
        axes.text(
            (x + next_x) / 2, (y + next_y) / 2, size, fontsize=5.5, color="#55606e", ha="center", va="center", zorder=2,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip
