"""Tree-structured cells as data (Cai et al. 2018b, section 3.2 and 3.3), and the layers of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nascore.errors import SpaceError, nearest
from nascore_blocks.morphs import Node
from nascore_blocks.morphs.paths import parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNELS = {"conv1": 1, "conv3": 3, "conv5": 5, "sep3": 3, "sep5": 5, "sep7": 7, "avg3": 3, "max3": 3, "identity": 1}
"""Op -> kernel. ``conv``: convolution, BN, ReLU. ``sep``: depthwise convolution, 1x1 convolution, BN, ReLU. All at
stride 1; pools do not count the padding."""

MIXING = frozenset({"conv1", "conv3", "conv5", "sep3", "sep5", "sep7"})
"""Ops that read all channels, so that they can have another number of them come out."""

MERGES = ("add", "concat", "split")
"""``add``: replicate the input, average the outputs. ``concat``: replicate, concatenate. ``split``: split the input,
concatenate."""


@dataclass(frozen=True)
class Edge:
    """A tree: an op; or branches that are merged; or two edges in a row.

    Attributes:
        kind: an op of :data:`KERNELS`, one of :data:`MERGES`, or ``seq``.
        below: the branches, or the two edges; none of an op.
    """

    kind: str
    below: tuple[Edge, ...] = ()

    @property
    def leaf(self) -> bool:
        """It is an op."""
        return not self.below

    @property
    def depth(self) -> int:
        """How many merges and rows lie above each other."""
        return 1 + max(edge.depth for edge in self.below) if self.below else 0

    def at(self, path: Sequence[int]) -> Edge:
        """The edge at the end of a path."""
        return self.below[path[0]].at(path[1:]) if path else self

    def put(self, path: Sequence[int], new: Edge) -> Edge:
        """With another edge at the end of a path."""
        if not path:
            return new
        below = list(self.below)
        below[path[0]] = below[path[0]].put(path[1:], new)
        return Edge(self.kind, tuple(below))

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.below))})" if self.below else self.kind


def channels_below(edge: Edge, inputs: int, outputs: int) -> list[tuple[int, int]]:
    """Channels in and out of each edge below one with these.

    Raises:
        SpaceError: they do not fit: too few to split, or a split that changes their number.
    """
    count = len(edge.below)
    if edge.kind == "add":
        return [(inputs, outputs)] * count
    if edge.kind == "seq":
        return [(inputs, outputs), (outputs, outputs)]
    if outputs < count or (edge.kind == "split" and inputs != outputs):
        raise SpaceError(f"{edge.kind} of {count} branches does not fit {inputs} channels in and {outputs} out.")
    parts = parts_of(outputs, count)
    return [(part if edge.kind == "split" else inputs, part) for part in parts]


class Builder:
    """Collects the nodes of a network, and where each edge of its trees begins and ends.

    Attributes:
        nodes: in order.
        spans: (cell, path) -> the first and the last node of an edge.
    """

    def __init__(self, channels: int) -> None:
        """
        Args:
            channels: of an image.
        """
        self.nodes = [Node("image", "input", channels=channels)]
        self.spans: dict[tuple[int, tuple[int, ...]], tuple[str, str]] = {}

    @property
    def last(self) -> Node:
        """The newest node."""
        return self.nodes[-1]

    def add(self, name: str, kind: str, given: Sequence[str], channels: int, **options: int | float | bool) -> str:
        """One node; gives its name."""
        self.nodes.append(Node(name, kind, tuple(given), channels, **options))  # type: ignore[arg-type]  # of Node
        return name

    def conv_bn_relu(self, name: str, given: str, channels: int, kernel: int) -> str:
        """Convolution, BN, ReLU; k^2 c f + 2 f parameters."""
        self.add(name, "conv", [given], channels, kernel=kernel)
        self.add(f"{name}_bn", "bn", [name], channels)
        return self.add(f"{name}_relu", "relu", [f"{name}_bn"], channels)

    def edge(self, edge: Edge, given: str, inputs: int, outputs: int, cell: int, path: tuple[int, ...] = ()) -> str:
        """The nodes of an edge; gives the last one's name."""
        name = "_".join([f"cell{cell}", *map(str, path)])
        start = len(self.nodes)
        if edge.leaf:
            last = self._op(edge.kind, name, given, inputs, outputs)
            self.spans[cell, path] = (self.nodes[start].name, last)
            return last
        sizes, offset = channels_below(edge, inputs, outputs), 0
        ends: list[str] = []
        for number, (below, (into, out)) in enumerate(zip(edge.below, sizes, strict=True)):
            source = given if edge.kind != "seq" or not ends else ends[-1]
            if edge.kind == "split":
                source = self.add(f"{name}_part{number}", "slice", [given], into, start=offset)
                offset += into
            ends.append(self.edge(below, source, into, out, cell, (*path, number)))
        if edge.kind == "seq":
            last = ends[-1]
        elif edge.kind == "add":
            total = self.add(f"{name}_sum", "add", ends, outputs)
            last = self.add(f"{name}_mean", "scale", [total], outputs, factor=1 / len(ends))
        else:
            last = self.add(f"{name}_concat", "concat", ends, outputs)
        self.spans[cell, path] = (self.nodes[start].name, last)
        return last

    def _op(self, op: str, name: str, given: str, inputs: int, outputs: int) -> str:
        if op not in KERNELS:
            raise SpaceError(f"There is no op {op!r}; {nearest(op, KERNELS)}.")
        if op in MIXING:
            if op.startswith("sep"):
                given = self.add(f"{name}_depth", "conv", [given], inputs, kernel=KERNELS[op], groups=inputs)
            return self.conv_bn_relu(name, given, outputs, 1 if op.startswith("sep") else KERNELS[op])
        if inputs != outputs:
            raise SpaceError(f"{op} gives as many channels as it gets; it gets {inputs}, and {outputs} are asked for.")
        kind = {"avg3": "avg_pool", "max3": "max_pool", "identity": "identity"}[op]
        return self.add(name, kind, [given], outputs, kernel=KERNELS[op])
