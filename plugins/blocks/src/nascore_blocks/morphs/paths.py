"""Path-level transformations: one layer becomes several branches (Cai et al. 2018, arXiv:1806.02639, section 3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nascore_blocks.morphs.graph import ELEMENTWISE, Graph, MorphError, Net, Node, jitter, key_of, without

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from torch import Tensor


def parts_of(channels: int, count: int) -> list[int]:
    """Channels of ``count`` parts; the first ones have one more where it does not divide.

    Raises:
        MorphError: fewer channels than parts, or fewer than two parts.

    Example:
        >>> parts_of(8, 3)
        [3, 3, 2]
    """
    if count < 2:
        raise MorphError(f"{count} branches were asked for; there must be two at least.")
    if channels < count:
        raise MorphError(f"{channels} channel(s) cannot be split into {count} parts.")
    return [channels // count + (number < channels % count) for number in range(count)]


def replicate_add(net: Net, first: str, last: str, count: int, rng: random.Random, noise: float = 0.0) -> Net:
    """Replace a row of nodes by ``count`` copies on the same input, whose outputs are averaged.

    Args:
        net: the network.
        first, last: names of the ends of a row without branches; one node: twice the same.
        count: of branches, >= 2.
        rng: draws the noise.
        noise: of the copies' weights, in standard deviations of each; 0 keeps the function. Without it equal
            branches get equal gradients for ever.

    Returns:
        The network; the copies of a node are called ``NODE_copy0``, ... (:func:`copy_name`).

    Raises:
        MorphError: no such row, or too few branches.
    """
    row = row_of(net.graph, first, last)
    if count < 2:
        raise MorphError(f"{count} branches were asked for; there must be two at least.")
    channels = row[-1].channels
    nodes, weights = [], without(net.weights, [node.name for node in row])
    for number in range(count):
        nodes += _copied(row, number, row[0].inputs[0])
        weights |= _jittered(net, row, number, lambda node, what, value: value, rng, noise)
    total, mean = net.graph.fresh(f"{last}_add"), net.graph.fresh(f"{last}_mean")
    nodes.append(Node(total, "add", tuple(copy_name(last, number) for number in range(count)), channels))
    nodes.append(Node(mean, "scale", (total,), channels, factor=1 / count))
    return Net(net.graph.swap([node.name for node in row], nodes), weights)


def replicate_concat(net: Net, first: str, last: str, count: int, rng: random.Random, noise: float = 0.0) -> Net:
    """Cut the filters of a row's convolution into ``count`` parts on the same input, and concatenate the outputs.

    What comes before the last convolution with groups = 1 is copied whole, what comes after it (batch norm, ReLU) is
    cut along with it.

    Args:
        net, first, last, count, rng, noise: see :func:`replicate_add`.

    Raises:
        MorphError: no such row, no convolution with groups = 1 in it, fewer channels than parts.
    """
    row = row_of(net.graph, first, last)
    cut = [place for place, node in enumerate(row) if node.kind == "conv" and node.groups == 1]
    if not cut:
        raise MorphError(f"{first!r}..{last!r} has no convolution of all channels; split its input instead.")
    return _concatenated(net, row, cut[-1], count, rng, noise)


def split_concat(net: Net, first: str, last: str, count: int, rng: random.Random, noise: float = 0.0) -> Net:
    """Split the channels that come into a row, which leaves each to itself, into ``count`` parts; concatenate them.

    Args:
        net, first, last, count, rng, noise: see :func:`replicate_add`. The row may have the identity, pooling, batch
            norm, ReLU and depthwise convolutions.

    Raises:
        MorphError: no such row, a layer in it that mixes channels, fewer channels than parts.
    """
    row = row_of(net.graph, first, last)
    for node in row:
        if not (node.kind in ELEMENTWISE or node.kind == "bn" or node.depthwise):
            raise MorphError(f"{node.name!r} of the kind {node.kind} mixes channels; its input cannot be split.")
    return _concatenated(net, row, -1, count, rng, noise)


def insert_identity(net: Net, after: str, name: str = "") -> Net:
    """Put an identity behind a node.

    Args:
        net: the network.
        after: name of the node.
        name: of the identity; by default one that is free.

    Raises:
        MorphError: no such node, or the name is taken.
    """
    node = net.graph[after]
    made = Node(name or net.graph.fresh(f"{after}_identity"), "identity", (after,), node.channels)
    return Net(net.graph.put(after, [made]), net.weights)


def copy_name(node: str, number: int) -> str:
    """Name of a copy of a node."""
    return f"{node}_copy{number}"


def row_of(graph: Graph, first: str, last: str) -> list[Node]:
    """The nodes from ``first`` to ``last``, each of which is read by the next one alone.

    Raises:
        MorphError: they are no such row.
    """
    row = [graph[last]]
    while row[0].name != first:
        node = row[0]
        if len(node.inputs) != 1 or graph.users(node.inputs[0]) != (node,):
            raise MorphError(f"{first!r}..{last!r} is no row of layers: {node.name!r} breaks it.")
        row.insert(0, graph[node.inputs[0]])
    if len(row[0].inputs) != 1:
        raise MorphError(f"{first!r} of the kind {row[0].kind} has {len(row[0].inputs)} inputs; a row reads one node.")
    return row


def _concatenated(net: Net, row: list[Node], cut: int, count: int, rng: random.Random, noise: float) -> Net:
    """Branches of some channels each; ``cut`` is the place of the convolution whose filters are cut, or -1."""
    parts = parts_of(row[-1].channels, count)
    nodes, weights = [], without(net.weights, [node.name for node in row])
    start = 0
    for number, channels in enumerate(parts):
        given = row[0].inputs[0]
        if cut < 0:
            given = net.graph.fresh(f"{row[0].name}_part{number}")
            nodes.append(Node(given, "slice", row[0].inputs, channels, start=start))
        for place, node in enumerate(_copied(row, number, given)):
            narrow = replace(node, channels=channels, groups=channels if node.depthwise else node.groups)
            nodes.append(narrow if place >= cut else node)
        rows, whole = slice(start, start + channels), {node.name for node in row[: max(cut, 0)]}

        def cut_out(node: str, what: str, value: Tensor, rows: slice = rows, whole: set[str] = whole) -> Tensor:
            return value if node in whole or not value.ndim else value[rows]

        weights |= _jittered(net, row, number, cut_out, rng, noise)
        start += channels
    joined = Node(
        net.graph.fresh(f"{row[-1].name}_concat"), "concat",
        tuple(copy_name(row[-1].name, number) for number in range(count)), start,
    )  # fmt: skip
    return Net(net.graph.swap([node.name for node in row], [*nodes, joined]), weights)


def _copied(row: list[Node], number: int, given: str) -> list[Node]:
    names = [given, *(copy_name(node.name, number) for node in row)]
    return [replace(node, name=names[i + 1], inputs=(names[i],)) for i, node in enumerate(row)]


def _jittered(
    net: Net,
    row: list[Node],
    number: int,
    chosen: Callable[[str, str, Tensor], Tensor],
    rng: random.Random,
    noise: float,
) -> dict[str, Tensor]:
    found = {}
    for node in row:
        for what, value in net.of(node.name).items():
            value = chosen(node.name, what, value).clone()
            if node.kind in ("conv", "fc") and what == "weight":
                value = jitter(value, noise, rng)
            found[key_of(copy_name(node.name, number), what)] = value
    return found
