"""The torch module of a genome: one parameter for each enabled gene that leads, on some way, to an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_neat.network import STEEPNESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nascore_neat.genome import Gene, Shape


class Neurons(nn.Module):
    """Nodes that compute at once, from values that are known: activation(sum of weight x value)."""

    def __init__(self, genes: Sequence[Gene], place: dict[int, int], nodes: Sequence[int], activation: str) -> None:
        """
        Args:
            genes: into these nodes.
            place: where the value of a node stands in the input.
            nodes: their numbers, in the order of the output.
            activation: one of :data:`~nascore_neat.network.ACTIVATIONS`.
        """
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.tensor([weight for _, _, weight in genes]))
        self.register_buffer("sources", torch.tensor([place[source] for source, _, _ in genes], dtype=torch.long))
        to = torch.zeros(len(genes), len(nodes))
        for row, (_, target, _) in enumerate(genes):
            to[row, nodes.index(target)] = 1.0
        self.register_buffer("targets", to)

    def forward(self, values: Tensor) -> Tensor:
        """(batch, known values) -> (batch, nodes)."""
        total = (values[:, self.sources] * self.weight) @ self.targets  # type: ignore[index,operator]  # buffers are tensors
        if self.activation == "sigmoid":
            return torch.sigmoid(STEEPNESS * total)
        if self.activation == "tanh":
            return torch.tanh(total)
        return torch.relu(total) if self.activation == "relu" else total


class FeedForward(nn.Module):
    """An acyclic genome, layer by layer: a layer holds the nodes of one depth."""

    def __init__(self, genes: Sequence[Gene], shape: Shape, activation: str) -> None:
        """
        Args:
            genes: of :func:`~nascore_neat.genome.live_genes`.
            shape, activation: of the space.
        """
        super().__init__()
        outputs = list(range(shape.inputs + 1, shape.inputs + 1 + shape.outputs))
        depth = _depths(genes, outputs)
        place = {node: node for node in range(shape.inputs + 1)}
        layers = []
        for level in range(1, max(depth.values()) + 1):
            nodes = [node for node in sorted(depth) if depth[node] == level]
            layers.append(Neurons([gene for gene in genes if gene[1] in nodes], place, nodes, activation))
            for node in nodes:
                place[node] = len(place)
        self.layers = nn.ModuleList(layers)
        self.register_buffer("answers", torch.tensor([place[node] for node in outputs]))

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, ...) -> (batch, outputs)."""
        known = inputs.flatten(1)
        values = torch.cat([known, torch.ones_like(known[:, :1])], dim=1)
        for layer in self.layers:
            values = torch.cat([values, layer(values)], dim=1)
        return values[:, self.answers]  # type: ignore[index]  # a buffer is a tensor


class Recurrent(nn.Module):
    """A genome that may have cycles: from rest, ``steps`` steps of all nodes at once."""

    def __init__(self, genes: Sequence[Gene], shape: Shape, activation: str, steps: int) -> None:
        """
        Args:
            genes: of :func:`~nascore_neat.genome.live_genes`.
            shape, activation: of the space.
            steps: how often the nodes compute for one input.
        """
        super().__init__()
        self.steps = steps
        self.outputs = shape.outputs
        fixed = shape.inputs + 1 + shape.outputs
        hidden = sorted({target for _, target, _ in genes if target >= fixed} | _dangling(genes, fixed))
        nodes = [*range(shape.inputs + 1, fixed), *hidden]
        place = {node: position for position, node in enumerate([*range(shape.inputs + 1), *nodes])}
        self.nodes = len(nodes)
        self.neurons = Neurons(genes, place, nodes, activation)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """One step: (batch, inputs) and the nodes' values (batch, nodes), outputs first -> the same anew."""
        return self.neurons(torch.cat([inputs, torch.ones_like(inputs[:, :1]), state], dim=1))  # type: ignore[no-any-return]

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, ...) -> (batch, outputs)."""
        known = inputs.flatten(1)
        state = torch.zeros_like(known[:, :1]).repeat(1, self.nodes)
        for _ in range(self.steps):
            state = self.step(known, state)
        return state[:, : self.outputs]


def _dangling(genes: Iterable[Gene], fixed: int) -> set[int]:
    """Hidden nodes that send and receive nothing: they are constants, and compute like the others."""
    return {source for source, _, _ in genes if source >= fixed}


def _depths(genes: Sequence[Gene], outputs: Sequence[int]) -> dict[int, int]:
    """The longest path to each node that computes; 1 for one that only inputs lead to, or nothing."""
    into: dict[int, list[int]] = {node: [] for node in outputs}
    for source, target, _ in genes:
        into.setdefault(target, []).append(source)
        if source > outputs[-1]:
            into.setdefault(source, [])
    depth: dict[int, int] = {}
    stack = list(into)
    while stack:  # not recursive: a genome may be deep
        node = stack[-1]
        waiting = [source for source in into[node] if source in into and source not in depth]
        if waiting:
            stack += waiting
        else:
            depth[node] = 1 + max((depth.get(source, 0) for source in into[node]), default=0)
            stack.pop()
    return depth
