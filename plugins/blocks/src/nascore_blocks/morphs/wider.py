"""Net2Wider: more channels, the same function (Chen et al. 2016, arXiv:1511.05641, section 2.2, Algorithm 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore_blocks.morphs.graph import ELEMENTWISE, Graph, MorphError, Net, Node, jitter, key_of

if TYPE_CHECKING:
    import random


def net2wider(net: Net, node: str, channels: int, rng: random.Random, noise: float = 0.0) -> Net:
    """Widen a convolution or a fully connected layer.

    Channel j of the new layer copies channel g(j) of the old one, g(j) = j for the old channels and drawn for the new
    ones. What lies on the way (batch norm with its running statistics, ReLU, pooling, concatenation, flattening)
    follows; each weighted layer that reads it takes the old slice g(j), divided by the number of copies. The function
    is kept in training and in evaluation mode.

    Args:
        net: the network.
        node: name of a ``conv`` (with groups = 1) or ``fc``.
        channels: of the new layer, at least as many as now.
        rng: draws g, and the noise.
        noise: added to the copied channels, in standard deviations of the layer's weights; 0 keeps the function.

    Raises:
        MorphError: another kind of layer, fewer channels, or a reader that cannot follow.
    """
    graph = net.graph
    target = graph[node]
    if target.kind not in ("conv", "fc"):
        raise MorphError(f"{node!r} is of the kind {target.kind}; only conv and fc can be widened.")
    if target.groups > 1:
        raise MorphError(f"{node!r} has {target.groups} groups; a depthwise or grouped layer cannot be widened.")
    if channels < target.channels:
        raise MorphError(f"{node!r} has {target.channels} channels; {channels} would be narrower.")
    if channels == target.channels:
        return net
    old = target.channels
    copied = [*range(old), *(rng.randrange(old) for _ in range(channels - old))]
    maps = _maps(graph, node, torch.tensor(copied))
    weights = dict(net.weights)
    for one in graph.nodes:
        for what, value in net.of(one.name).items():
            weights[key_of(one.name, what)] = _followed(one, what, value, maps)
    name = key_of(node, "weight")
    weights[name] = torch.cat([weights[name][:old], jitter(weights[name][old:], noise, rng)])
    nodes = [replace(one, channels=len(maps[one.name])) if one.name in maps else one for one in graph.nodes]
    return Net(Graph(tuple(nodes)), weights)


def _followed(node: Node, what: str, value: Tensor, maps: dict[str, Tensor]) -> Tensor:
    """A weight of a node in the widened network."""
    out, given = maps.get(node.name), maps.get(node.inputs[0])
    if given is not None and node.kind != "bn" and what == "weight":
        return _shared(value, given)
    return value if out is None or not value.ndim else value[out]


def _shared(weight: Tensor, copied: Tensor) -> Tensor:
    """Input slices g(j), each divided by the number of copies of it."""
    counts = torch.bincount(copied, minlength=weight.shape[1])[copied].to(weight)
    return weight[:, copied] / counts.reshape(1, -1, *[1] * (weight.ndim - 2))


def _maps(graph: Graph, target: str, copied: Tensor) -> dict[str, Tensor]:
    """Which old channel each new one copies, of every node whose channels change.

    Raises:
        MorphError: a node that cannot follow.
    """
    maps = {target: copied}
    for node in graph.nodes:
        if not any(name in maps for name in node.inputs):
            continue
        if node.name == target:
            raise MorphError(f"{target!r} reads itself.")
        if node.kind in ELEMENTWISE or node.kind == "bn":
            maps[node.name] = maps[node.inputs[0]]
        elif node.kind == "concat":
            maps[node.name] = _side_by_side(graph, node, maps)
        elif node.kind == "flatten":
            before = graph.inputs_of(node)
            pixels = torch.arange(node.channels // before)
            maps[node.name] = (maps[node.inputs[0]][:, None] * len(pixels) + pixels).reshape(-1)
        elif node.kind not in ("conv", "fc") or node.groups > 1:
            what = "is depthwise or grouped" if node.kind == "conv" else f"is of the kind {node.kind}"
            raise MorphError(f"{target!r} cannot be widened: {node.name!r} reads its channels, and {what}.")
    if graph.output in maps:
        raise MorphError(f"{target!r} cannot be widened: its channels are the outputs of the network.")
    return maps


def _side_by_side(graph: Graph, node: Node, maps: dict[str, Tensor]) -> Tensor:
    found, offset = [], 0
    for name in node.inputs:
        before = graph[name].channels
        found.append(maps.get(name, torch.arange(before)) + offset)
        offset += before
    return torch.cat(found)
