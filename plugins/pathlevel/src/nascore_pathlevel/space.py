"""The space of tree-structured cells in a chain (Cai et al. 2018b)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError, nearest
from nascore_blocks.morphs import Graph, GraphNetwork, MorphError, Net
from nascore_pathlevel.morph import Growth, grows
from nascore_pathlevel.tree import KERNELS, MIXING, Builder, Edge, channels_below

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json

BRANCHES = ("add2", "add3", "concat2", "split2")
"""Merge and number of branches; the authors' choice."""


class TreeSpace(DecisionSpace):
    """A chain of cells, each of which is a tree of branches that keeps the channels.

    Stem (3x3 convolution, BN, ReLU); ``cells`` cells, with a 2x2 max pool and a 1x1 convolution to twice the channels
    before some; global average pooling and the classifier. At the start each cell is the layer ``base``. The decision
    ``cell.I@J-K...`` says what the edge at that path of cell I is: an op, ``add2`` (two branches, averaged),
    ``concat2``, ``split2``, ... or ``seq`` (two edges in a row).

    Args:
        cells: >= 1.
        channels: of the first cell, >= 2.
        pools: places where the images are halved, evenly between the cells, < ``cells``.
        base: the op that all cells are at the start.
        ops: of the edges, to choose from.
        max_depth: how many merges and rows may lie above each other in a cell, >= 1.
        noise: of the weights that a transformation makes, in their standard deviations; 0 keeps the function exactly,
            but equal branches then get equal gradients for ever.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"morphs", "tree_cells"}

    def __init__(
        self,
        cells: int = 3,
        channels: int = 8,
        pools: int = 1,
        base: str = "conv3",
        ops: Sequence[str] = ("identity", "conv1", "sep3", "sep5", "sep7", "avg3", "max3"),
        max_depth: int = 2,
        noise: float = 6e-3,
    ) -> None:
        for name, value, least in (("cells", cells, 1), ("channels", channels, 2), ("pools", pools, 0),
                                   ("max_depth", max_depth, 1)):  # fmt: skip
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if pools >= cells:
            raise SettingsError(f"pools is {pools} and cells {cells}; a cell stands before and behind each pool.")
        if not 0 <= noise < 1:
            raise SettingsError(f"noise is {noise}; it must be in [0, 1).")
        if base not in MIXING:
            raise SettingsError(f"base: {base!r} is no convolution; {nearest(base, MIXING)}.")
        if isinstance(ops, str) or not ops or len(set(ops)) < len(ops):
            raise SettingsError(f"ops is {ops!r}; it needs a list of some of {', '.join(KERNELS)}, each once.")
        for op in ops:
            if op not in KERNELS:
                raise SettingsError(f"ops: there is no {op!r}; {nearest(op, KERNELS)}.")
        self.cells, self.channels, self.pools, self.base = cells, channels, pools, base
        self.ops, self.max_depth, self.noise = tuple(ops), max_depth, noise
        self.every = tuple(dict.fromkeys((base, *ops)))

    def setup(self, task: Task) -> None:
        """Refuse images that the pools would leave nothing of.

        Raises:
            SpaceError: says how large they must be.
        """
        if len(task.shape) != 3 or min(task.shape[1:]) < 2**self.pools:
            raise SpaceError(
                f"{self.pools} pools need images of (channels, height, width) with sides of {2**self.pools} pixels at "
                f"least; {task.name!r} has {tuple(task.shape)}. Set space.pools lower."
            )

    # ------------------------------------------------------------------ the program

    def decide(self, choose: Choose) -> tuple[Edge, ...]:
        """Cell by cell, each from its root."""
        widths = self.widths()
        return tuple([self._edge(choose, i, (), width, width, self.max_depth) for i, width in enumerate(widths)])

    def options(self, inputs: int, outputs: int, depth: int) -> tuple[str, ...]:
        """What an edge can be.

        Args:
            inputs, outputs: its channels.
            depth: how much deeper the tree may become here.
        """
        same = inputs == outputs
        ops = tuple(op for op in self.every if same or op in MIXING)
        if not depth:
            return ops
        fits = {"add2": True, "add3": True, "concat2": outputs >= 2, "split2": same and outputs >= 2}
        return (*ops, *(name for name in BRANCHES if fits[name]), "seq")

    def _edge(self, choose: Choose, cell: int, path: tuple[int, ...], inputs: int, outputs: int, depth: int) -> Edge:
        # What is offered depends on the channels, so they are part of the name.
        place = "-".join(map(str, path))
        name = f"cell.{cell}@{place}" if inputs == outputs == self.widths()[cell] else (
            f"cell.{cell}@{place}:{inputs}>{outputs}"
        )  # fmt: skip
        kind = choose(name, self.options(inputs, outputs, depth))
        if kind in KERNELS:
            return Edge(kind)
        bare, count = (kind[:-1], int(kind[-1])) if kind in BRANCHES else (kind, 2)
        sizes = channels_below(Edge(bare, (Edge("identity"),) * count), inputs, outputs)
        below = [self._edge(choose, cell, (*path, i), a, b, depth - 1) for i, (a, b) in enumerate(sizes)]
        return Edge(bare, tuple(below))

    def group(self, name: str) -> str:
        """All decisions are of one kind."""
        return ""

    def canonical(self, genome: Json) -> Json:
        """Trees without identities in a row, the branches of a sum sorted."""
        answers: dict[str, Any] = genome  # type: ignore[assignment]  # a checked genome
        return [_form(edge) for edge in self.decide(lambda name, _: answers[name])]

    def of_trees(self, trees: Sequence[Edge]) -> Architecture:
        """The architecture of these cells.

        Raises:
            SpaceError: it is not in this space.
        """

        def choose(name: str, options: Sequence[Any]) -> Any:
            cell, _, path = name.partition(":")[0].partition("@")
            edge = trees[int(cell[5:])].at([int(step) for step in path.split("-")] if path else [])
            kind = edge.kind if edge.leaf or edge.kind == "seq" else f"{edge.kind}{len(edge.below)}"
            if kind not in options:
                raise SpaceError(f"The decision {name!r} cannot be {kind!r}; allowed: {list(options)}.")
            return kind

        if len(trees) != self.cells:
            raise SpaceError(f"There are {self.cells} cells; got {len(trees)}.")
        return self.sample(choose)

    def start(self) -> Architecture:
        """The first network of a search by transformation: every cell is the base layer."""
        return self.of_trees([Edge(self.base)] * self.cells)

    # ------------------------------------------------------------------ networks

    def widths(self) -> list[int]:
        """Channels of each cell."""
        return [self.channels * 2 ** (i * (self.pools + 1) // self.cells) for i in range(self.cells)]

    def build(self, architecture: Architecture, task: Task) -> GraphNetwork:
        """The network for this task."""
        self.setup(task)
        return GraphNetwork(self._graph(self.structure(architecture), task.channels, task.classes)[0])

    def _graph(self, trees: Sequence[Edge], channels: int, classes: int) -> tuple[Graph, Builder]:
        builder, widths = Builder(channels), self.widths()
        last = builder.conv_bn_relu("stem", "image", widths[0], 3)
        for i, (tree, width) in enumerate(zip(trees, widths, strict=True)):
            if width != builder.last.channels:
                last = builder.add(f"pool{i}", "max_pool", [last], widths[i - 1], kernel=2, stride=2)
                last = builder.conv_bn_relu(f"widen{i}", last, width, 1)
            last = builder.edge(tree, last, width, width, i)
        builder.add("pooled", "global_pool", [last], widths[-1])
        builder.add("flatten", "flatten", ["pooled"], widths[-1])
        builder.add("classifier", "fc", ["flatten"], classes, bias=True)
        return Graph(tuple(builder.nodes)), builder

    def morph(
        self, parent: Architecture, child: Architecture, weights: Mapping[str, Tensor], rng: random.Random
    ) -> dict[str, Tensor]:
        """The child's weights: the same function as the parent's, but for the noise.

        Args:
            parent: whose weights they are.
            child: each of its cells is made of the parent's by branching an op, by an identity behind an edge, and by
                convolutions in the place of identities.
            weights: the state of the parent's network.
            rng: draws the noise.

        Raises:
            MorphError: the child cannot be made of the parent.
        """
        old, new = self.structure(parent), self.structure(child)
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            if not grows(one, other):
                raise MorphError(f"Cell {number}, {other}, cannot be made of {one} without a change of function.")
        channels, classes = weights["layers.stem.weight"].shape[1], weights["layers.classifier.weight"].shape[0]
        graph, builder = self._graph(old, channels, classes)
        net = Net(graph, weights)
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            spans = {path: span for (cell, path), span in builder.spans.items() if cell == number}
            net = Growth(spans, rng, self.noise).grow(net, one, other)
        renamed = net.renamed(self._graph(new, channels, classes)[0])
        return {name: value.clone() for name, value in renamed.items()}


def _form(edge: Edge) -> list[Any]:
    """One form of all trees that differ in identities in a row, in rows of rows, or in the order of a sum."""
    below = [_form(one) for one in edge.below]
    if edge.kind == "seq":
        row: list[Any] = []
        for form in below:
            row.extend(form[1:] if form[0] == "seq" else [form] if form != ["identity"] else [])
        if len(row) < 2:
            return list(row[0]) if row else ["identity"]
        return ["seq", *row]
    if below and all(form == ["identity"] for form in below):
        return ["identity"]
    return [edge.kind, *(sorted(below, key=repr) if edge.kind == "add" else below)]
