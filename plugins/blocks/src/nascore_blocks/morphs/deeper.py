"""Net2Deeper: one more layer that computes the identity (Chen et al. 2016, arXiv:1511.05641, section 2.3).

A layer that begins as the identity still has a batch norm, which must undo itself: with running mean m and variance v,
its weight is sqrt(v + eps) and its bias m. Any m and v keep the function in evaluation mode. In training mode the
batch's own statistics count, so m and v should be those of the layer's input. They are estimated from the weights:
where y = BN(.) has mean b and standard deviation |w|, ReLU(y) is a rectified normal variable, of known moments.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore_blocks.morphs.graph import MorphError, Net, Node, jitter, key_of

if TYPE_CHECKING:
    import random

EPS = 1e-5
"""Of ``torch.nn.BatchNorm2d``."""

_NOT_NEGATIVE = frozenset({"relu", "sigmoid"})


def net2deeper(net: Net, after: str, rng: random.Random, kernel: int = 3, noise: float = 0.0) -> Net:
    """Put a layer behind a ReLU: convolution (with batch norm, where the one before has it) or fc, and a ReLU.

    The function is kept in evaluation mode, for ReLU(I ReLU(x)) = ReLU(x).

    Args:
        net: the network.
        after: name of a ``relu`` behind a ``conv`` or an ``fc``, with or without ``bn``.
        rng: draws the noise.
        kernel: of the convolution, odd.
        noise: of the new weights, in their standard deviations; 0 keeps the function.

    Raises:
        MorphError: ``after`` is no ReLU (of a sigmoid the identity is no fixed point), or an even kernel.
    """
    graph = net.graph
    node = graph[after]
    if node.kind != "relu":
        raise MorphError(f"{after!r} is of the kind {node.kind}; a layer can be put behind a relu only.")
    before = graph[node.inputs[0]]
    normalised = before.kind == "bn"
    layer = graph[before.inputs[0]] if normalised else before
    if layer.kind not in ("conv", "fc"):
        raise MorphError(f"{after!r} follows {layer.name!r} of the kind {layer.kind}; a conv or an fc is needed.")
    _odd(kernel)
    name, channels = graph.fresh(f"{layer.name}_deeper"), node.channels
    made = Node(name, layer.kind, (after,), channels, kernel if layer.kind == "conv" else 1, bias=layer.bias)
    added, weights = [made], dict(net.weights)
    value = next(iter(net.of(layer.name).values()))
    if layer.kind == "fc":
        weights[key_of(name, "weight")] = jitter(torch.eye(channels).to(value), noise, rng)
        weights[key_of(name, "bias")] = torch.zeros(channels).to(value)
    else:
        weights[key_of(name, "weight")] = jitter(_taps(channels, kernel, 1).to(value), noise, rng)
        if layer.bias:
            weights[key_of(name, "bias")] = torch.zeros(channels).to(value)
    if normalised:
        added.append(Node(f"{name}_bn", "bn", (name,), channels))
        weights |= _undone(f"{name}_bn", *moments(net, after, value))
    added.append(Node(f"{name}_relu", "relu", (added[-1].name,), channels))
    return Net(graph.put(after, added), weights)


def replace_identity(
    net: Net, node: str, rng: random.Random, kernel: int = 1, separable: bool = False, noise: float = 0.0
) -> Net:
    """Replace an identity by convolution, batch norm and ReLU that begin as the identity.

    Args:
        net: the network.
        node: name of an ``identity`` whose input is never negative.
        rng: draws the noise.
        kernel: odd.
        separable: a depthwise and a 1x1 convolution instead of one.
        noise: of the new weights, in their standard deviations; 0 keeps the function in evaluation mode.

    Raises:
        MorphError: no identity, or one of features; an input that may be negative (ReLU would cut it); an even kernel.
    """
    graph = net.graph
    old = graph[node]
    if old.kind != "identity":
        raise MorphError(f"{node!r} is of the kind {old.kind}; only an identity can be replaced.")
    if flat(net, node):
        raise MorphError(f"{node!r} has features, not images: no convolution can take its place.")
    if not not_negative(net, old.inputs[0]):
        raise MorphError(f"{node!r} reads {old.inputs[0]!r}, which may be negative: no ReLU can begin as the identity.")
    _odd(kernel)
    value = next(value for value in net.weights.values() if value.is_floating_point())
    channels, weights = old.channels, dict(net.weights)
    convolutions = [(kernel, channels), (1, 1)] if separable else [(kernel, 1)]
    added, last = [], old.inputs[0]
    for number, (size, groups) in enumerate(convolutions):
        name = graph.fresh(f"{node}_conv{number}")
        added.append(Node(name, "conv", (last,), channels, size, groups=groups))
        weights[key_of(name, "weight")] = jitter(_taps(channels, size, groups).to(value), noise, rng)
        last = name
    norm, relu = graph.fresh(f"{node}_bn"), graph.fresh(f"{node}_relu")
    weights |= _undone(norm, *moments(net, old.inputs[0], value))
    added += [Node(norm, "bn", (last,), channels), Node(relu, "relu", (norm,), channels)]
    return Net(graph.swap([node], added), weights)


def not_negative(net: Net, name: str) -> bool:
    """Is what this node gives never negative, whatever the input?"""
    node = net.graph[name]
    if node.kind in _NOT_NEGATIVE:
        return True
    if node.kind in ("input", "conv", "bn", "fc") or node.factor < 0:
        return False
    return all(not_negative(net, before) for before in node.inputs)


def flat(net: Net, name: str) -> bool:
    """Does a node give features, with no height and width?"""
    node = net.graph[name]
    return node.kind in ("flatten", "fc") or (bool(node.inputs) and flat(net, node.inputs[0]))


def moments(net: Net, name: str, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of a node's output, estimated from the weights; 0 and 1 where nothing is known.

    Args:
        net: the network.
        name: of the node.
        like: gives device and type.
    """
    node = net.graph[name]
    if node.kind == "bn":
        of = net.of(name)
        return of["bias"], of["weight"] ** 2
    if node.kind in ("input", "conv", "fc"):
        return torch.zeros(node.channels).to(like), torch.ones(node.channels).to(like)
    given = [moments(net, before, like) for before in node.inputs]
    means, variances = [mean for mean, _ in given], [variance for _, variance in given]
    if node.kind == "relu":
        return rectified(means[0], variances[0])
    if node.kind == "concat":
        return torch.cat(means), torch.cat(variances)
    if node.kind == "slice":
        rows = slice(node.start, node.start + node.channels)
        return means[0][rows], variances[0][rows]
    if node.kind == "add":  # branches begin as copies of each other, so their spreads add up
        return torch.stack(means).sum(0), torch.stack(variances).sqrt().sum(0) ** 2
    return means[0] * node.factor, variances[0] * node.factor**2


def rectified(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of ReLU(y), y normal.

    E = m P + s p and E2 = (m^2 + s^2) P + m s p, with P and p the normal distribution and density at m / s.
    """
    spread = variance.clamp_min(1e-12).sqrt()
    ratio = mean / spread
    below = torch.special.ndtr(ratio)
    density = torch.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    first = mean * below + spread * density
    second = (mean**2 + spread**2) * below + mean * spread * density
    return first, (second - first**2).clamp_min(0)


def _undone(name: str, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
    return {
        key_of(name, "weight"): (variance + EPS).sqrt(),
        key_of(name, "bias"): mean.clone(),
        key_of(name, "running_mean"): mean.clone(),
        key_of(name, "running_var"): variance.clone(),
        key_of(name, "num_batches_tracked"): torch.tensor(0),
    }


def _taps(channels: int, kernel: int, groups: int) -> Tensor:
    """A convolution that is the identity: 1 at the middle tap of its own channel."""
    weight = torch.zeros(channels, channels // groups, kernel, kernel)
    for channel in range(channels):
        weight[channel, channel % (channels // groups), kernel // 2, kernel // 2] = 1
    return weight


def _odd(kernel: int) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise MorphError(f"The kernel is {kernel}; it must be odd, so that it has a middle.")
