"""Networks as graphs of plain layers, so that they can be rewritten; and the module that runs one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.errors import NascoreError, nearest

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

KINDS = (
    "input", "conv", "bn", "fc", "relu", "sigmoid", "identity", "max_pool", "avg_pool", "global_pool", "flatten",
    "concat", "add", "scale", "slice",
)  # fmt: skip
ELEMENTWISE = frozenset({"relu", "sigmoid", "identity", "max_pool", "avg_pool", "global_pool", "scale"})
"""What has no weights and leaves each channel to itself."""


class MorphError(NascoreError):
    """A transformation that does not fit the network; nothing was changed."""


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes:
        name: unique in its graph, without dots.
        kind: one of :data:`KINDS`. ``flatten`` is of (channels, height, width), channels first.
        inputs: names of the nodes that it reads.
        channels: that go out (features, after ``flatten``).
        kernel: of ``conv`` (odd, padding keeps the size) and of the pools (with stride 1, odd, padding keeps the size
            and counts nothing in).
        stride: of ``conv`` and of the pools.
        groups: of ``conv``; as many as channels: depthwise.
        bias: of ``conv``.
        start: first channel of ``slice``.
        factor: of ``scale``.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False
    start: int = 0
    factor: float = 1.0

    @property
    def depthwise(self) -> bool:
        """A convolution that leaves each channel to itself."""
        return self.kind == "conv" and self.groups == self.channels and self.groups > 1


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be computed; the first is the input, the last the output."""

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Refuse what is no graph.

        Raises:
            MorphError: an unknown kind, a name twice, an input that does not come before.
        """
        seen: set[str] = set()
        for node in self.nodes:
            if node.kind not in KINDS:
                raise MorphError(f"The node {node.name!r} is of the kind {node.kind!r}; {nearest(node.kind, KINDS)}.")
            if node.name in seen or "." in node.name:
                raise MorphError(f"A node is called {node.name!r}; a name comes once and has no dot.")
            missing = [name for name in node.inputs if name not in seen]
            if missing or bool(node.inputs) == (node.kind == "input"):
                raise MorphError(f"The node {node.name!r} reads {list(node.inputs)}; it can read {sorted(seen)}.")
            seen.add(node.name)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        """The node of this name.

        Raises:
            MorphError: there is none.
        """
        if name not in self._by_name:
            raise MorphError(f"There is no node {name!r}; {nearest(name, self._by_name)}.")
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def output(self) -> str:
        """Name of the last node."""
        return self.nodes[-1].name

    def users(self, name: str) -> tuple[Node, ...]:
        """The nodes that read this one."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def inputs_of(self, node: Node) -> int:
        """Channels that come into a node with one input."""
        return self[node.inputs[0]].channels

    def put(self, after: str, added: Sequence[Node]) -> Graph:
        """With a row of nodes behind ``after``; whatever read that reads the last of them.

        Args:
            after: name of a node.
            added: the first reads ``after``.
        """
        place = self.nodes.index(self[after]) + 1
        later = tuple(redirected(node, after, added[-1].name) for node in self.nodes[place:])
        return Graph((*self.nodes[:place], *added, *later))

    def swap(self, old: Sequence[str], new: Sequence[Node]) -> Graph:
        """With a row of nodes in the place of others; what read the last of ``old`` reads the last of ``new``."""
        gone = set(old)
        nodes: list[Node] = []
        for node in self.nodes:
            if node.name == old[-1]:
                nodes.extend(new)
            elif node.name not in gone:
                nodes.append(redirected(node, old[-1], new[-1].name))
        return Graph(tuple(nodes))

    def fresh(self, stem: str) -> str:
        """A name that no node has."""
        number = 0
        while f"{stem}_{number}" in self:
            number += 1
        return f"{stem}_{number}"

    @cached_property
    def walk(self) -> tuple[Node, ...]:
        """The nodes in the order of a walk from the output, inputs first: the same whatever the names are."""
        found: dict[str, Node] = {}
        todo = [(self.output, False)]
        while todo:
            name, done = todo.pop()
            if done:
                found.setdefault(name, self[name])
            elif name not in found:
                todo.append((name, True))
                todo.extend((before, False) for before in reversed(self[name].inputs))
        return tuple(found.values())


def redirected(node: Node, old: str, new: str) -> Node:
    """The node, reading ``new`` where it read ``old``."""
    if old not in node.inputs:
        return node
    return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))


class Net(NamedTuple):
    """A graph and the weights of its network: those of :class:`GraphNetwork`, by name."""

    graph: Graph
    weights: Mapping[str, Tensor]

    def of(self, node: str) -> dict[str, Tensor]:
        """The weights of one node, by what they are: ``weight``, ``bias``, ``running_mean``, ..."""
        prefix = f"layers.{node}."
        return {name[len(prefix) :]: value for name, value in self.weights.items() if name.startswith(prefix)}

    def renamed(self, graph: Graph) -> dict[str, Tensor]:
        """The weights under the names of an equal graph.

        Raises:
            MorphError: the graphs differ in more than names.
        """
        ours, theirs = self.graph.walk, graph.walk
        names = {one.name: other.name for one, other in zip(ours, theirs, strict=False)}
        same = len(ours) == len(theirs) and all(
            replace(one, name=other.name, inputs=tuple(names[name] for name in one.inputs)) == other
            for one, other in zip(ours, theirs, strict=False)
        )
        if not same:
            raise MorphError("The transformed network is not the one that was asked for.")
        return {key_of(names[node.name], what): value for node in ours for what, value in self.of(node.name).items()}


def key_of(node: str, what: str) -> str:
    """Name of a weight in the state of a :class:`GraphNetwork`."""
    return f"layers.{node}.{what}"


def without(weights: Mapping[str, Tensor], nodes: Sequence[str]) -> dict[str, Tensor]:
    """The weights of all other nodes."""
    gone = tuple(f"layers.{node}." for node in nodes)
    return {name: value for name, value in weights.items() if not name.startswith(gone)}


def jitter(value: Tensor, noise: float, rng: random.Random) -> Tensor:
    """``value`` with normal noise of ``noise`` times its standard deviation; as it is where ``noise`` is 0."""
    if not noise or value.numel() < 2:
        return value
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    drawn = torch.randn(value.shape, generator=generator, dtype=torch.float32).to(value)
    return value + noise * value.std() * drawn


class GraphNetwork(nn.Module):
    """The network of a graph; symbolically traceable.

    Weights are called ``layers.NODE.weight`` and so on.
    """

    def __init__(self, graph: Graph) -> None:
        """
        Args:
            graph: what is computed; its sizes are right.
        """
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict({node.name: _MODULES[node.kind](graph, node) for node in graph.nodes
                                     if node.kind in _MODULES})  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the output of the last node."""
        values = {self.graph.nodes[0].name: x}
        for node in self.graph.nodes[1:]:
            given = [values[name] for name in node.inputs]
            values[node.name] = self.layers[node.name](given[0]) if node.kind in _MODULES else _merged(node, given)
        return values[self.graph.output]


def _merged(node: Node, given: Sequence[Tensor]) -> Tensor:
    if node.kind == "concat":
        return torch.cat(list(given), dim=1)
    if node.kind == "slice":
        return given[0].narrow(1, node.start, node.channels)
    if node.kind == "scale":
        return given[0] * node.factor
    total = given[0]
    for value in given[1:]:
        total = total + value
    return total


def _conv(graph: Graph, node: Node) -> nn.Module:
    inputs, padding = graph.inputs_of(node), node.kernel // 2
    return nn.Conv2d(
        inputs, node.channels, node.kernel, node.stride, padding, groups=node.groups, bias=node.bias
    )  # fmt: skip


def _padding(node: Node) -> int:
    return node.kernel // 2 if node.stride == 1 else 0


_MODULES: dict[str, Callable[[Graph, Node], nn.Module]] = {
    "conv": _conv,
    "bn": lambda graph, node: nn.BatchNorm2d(node.channels),
    "fc": lambda graph, node: nn.Linear(graph.inputs_of(node), node.channels),
    "relu": lambda graph, node: nn.ReLU(),
    "sigmoid": lambda graph, node: nn.Sigmoid(),
    "identity": lambda graph, node: nn.Identity(),
    "max_pool": lambda graph, node: nn.MaxPool2d(node.kernel, node.stride, _padding(node)),
    "avg_pool": lambda graph, node: nn.AvgPool2d(node.kernel, node.stride, _padding(node), count_include_pad=False),
    "global_pool": lambda graph, node: nn.AdaptiveAvgPool2d(1),
    "flatten": lambda graph, node: nn.Flatten(),
}
