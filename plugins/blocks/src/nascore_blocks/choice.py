"""Cells of choice blocks: the space of One-Shot (Bender et al., ICML 2018, section 3.1).

A choice block adds up one or two of the states before it (the outputs of the two cells before, and of the
earlier blocks of its cell), applies one or two ops to the sum, and adds what they give. The cell concatenates
all its blocks, so no block is idle. All cells are alike; a reduction cell halves what it reads of the cells before.

A block is two nodes of a :class:`~nascore_blocks.genotypes.Cell`, one that reads by ``skip_connect`` and one that
applies, so the network is that of the other cell spaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, nearest
from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.cellspace import MOST_PARTS, PHOTOGRAPH, known_ops, reduction_layers, within
from nascore_blocks.genotypes import Cell, Edge, Genotype
from nascore_blocks.networks import STEMS, CellNetwork
from nascore_blocks.supernet.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_blocks.supernet.choice import ChoiceSupernet

CHOICE_OPS = (
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "conv_1x7_7x1",
    "max_pool_3x3",
    "avg_pool_3x3",
)
"""The seven ops of the paper."""

KINDS = ("input", "op")


def reading(block: int) -> int:
    """The state of the cell that is the sum of what choice block ``block`` reads."""
    return 2 + 2 * block


def output(block: int) -> int:
    """The state of the cell that is the output of choice block ``block``."""
    return 3 + 2 * block


@dataclass(frozen=True)
class Switches(Wiring):
    """Edges that are in or out: each has one op, which runs, and ``none``.

    Attributes:
        places: for each edge, its block, and which state (0, 1: the cells before; then the blocks) or op it is of.
        ops: of each edge.
    """

    places: tuple[tuple[int, int], ...]
    ops: tuple[str, ...]

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The places."""
        return self.places

    def target(self, edge: int) -> int:
        """The block."""
        return self.places[edge][0]


class ChoiceSpace(DecisionSpace):
    """Cells of choice blocks; block ``b`` is made by ``cell.b.input`` and ``cell.b.op``.

    Inputs are states such as ``"0"`` or ``"0,3"``: 0 is the cell before the previous one, 1 the previous cell, 2 the
    first block. Ops are names such as ``"sep_conv_3x3"`` or ``"sep_conv_3x3+max_pool_3x3"``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}

    def __init__(
        self,
        blocks: int = 4,
        ops: Sequence[str] = CHOICE_OPS,
        channels: int = 16,
        cells: int = 1,
        reductions: int | None = None,
        stem: str = "auto",
    ) -> None:
        """
        Args:
            blocks: choice blocks in a cell.
            ops: names of :data:`nascore_blocks.ops.OPS`, without ``none``.
            channels: of a block before the first reduction; each reduction doubles them.
            cells: the normal cells in a row, before, between and after the reductions (2 are the 8 of the paper).
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.
            stem: ``small``, ``image`` (1/8 of height and width), or ``auto`` by the size of the images.

        Raises:
            SettingsError: a value that is not allowed.
        """
        within("blocks", blocks, 1, MOST_PARTS)
        within("channels", channels, 2)
        within("cells", cells, 1, MOST_PARTS)
        within("reductions", 0 if reductions is None else reductions, 0, MOST_PARTS)
        if stem not in ("auto", *STEMS):
            raise SettingsError(f"stem is {stem!r}; {nearest(stem, ('auto', *STEMS))}.")
        if "none" in ops:
            raise SettingsError("ops has 'none'; a block applies one op at least: leave it out.")
        self.blocks, self.ops, self.channels, self.cells = blocks, known_ops(ops), channels, cells
        self.reductions, self.stem = reductions, stem
        states = [[str(state) for state in range(block + 2)] for block in range(blocks)]
        self._inputs = [_one_or_two(names, ",") for names in states]
        self._ops = _one_or_two(self.ops, "+")

    def setup(self, task: Task) -> None:
        """Remember the task."""
        self.task = task

    # ---------------------------------------------------------------------- the program

    def decide(self, choose: Choose) -> Genotype:
        """Decide the cell; the reduction cells are the same."""
        nodes = []
        for block, inputs in enumerate(self._inputs):
            states = [int(state) for state in choose(f"cell.{block}.input", inputs).split(",")]
            ops = choose(f"cell.{block}.op", self._ops).split("+")
            nodes.append(tuple(Edge("skip_connect", s if s < 2 else output(s - 2)) for s in states))
            nodes.append(tuple(Edge(op, reading(block)) for op in ops))
        cell = Cell(tuple(nodes), tuple(output(block) for block in range(self.blocks)))
        return Genotype(cell, cell)

    def group(self, name: str) -> str:
        """``input`` or ``op``."""
        return name.split(".")[2]

    def canonical(self, genome: Json) -> Json:
        """The cell in the one form that all share that differ in the order of their blocks alone."""
        cell = self.decide(lambda name, _: genome[name]).normal  # type: ignore[index, call-overload]  # a checked genome
        nodes = [[(edge.input, edge.op) for edge in node] for node in cell.nodes]
        return [[[*pair] for pair in form] for form in canonical_nodes(nodes)]

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> CellNetwork:
        """The network for this task; its macro follows the size of the images."""
        layers, reductions, stem = self._macro(task)
        genotype = self.structure(architecture)
        return CellNetwork(
            genotype, task.shape, task.classes,
            channels=self.channels, layers=layers, reductions=reductions, stem=stem,
        )  # fmt: skip

    @property
    def wirings(self) -> dict[str, Switches]:
        """``input`` -> an edge for each state a block can read; ``op`` -> one for each op it can apply."""
        inputs = tuple((block, state) for block in range(self.blocks) for state in range(block + 2))
        ops = tuple((block, op) for block in range(self.blocks) for op in range(len(self.ops)))
        return {"input": Switches(inputs, ("read", "none")), "op": Switches(ops, ("apply", "none"))}

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """For each block its strongest input and op, and the second of each that is stronger than its own ``none``.

        Args:
            weights: ``input`` and ``op`` -> (edges, 2) in the order of :attr:`wirings`; the order alone counts.
        """
        genome: dict[str, Json] = {}
        for block in range(self.blocks):
            for kind, mark in zip(KINDS, ",+", strict=True):
                wiring, table = self.wirings[kind], weights[kind].tolist()
                edges = [edge for edge in range(len(wiring.places)) if wiring.target(edge) == block]
                kept = _kept({edge: table[edge] for edge in edges})
                chosen = [wiring.places[edge][1] for edge in kept]
                names = [str(item) if kind == "input" else self.ops[item] for item in chosen]
                genome[f"cell.{block}.{kind}"] = mark.join(names)
        architecture = self.architecture(genome)
        self.check(architecture)
        return architecture

    def supernet(self, task: Task, *, fast: bool = True) -> ChoiceSupernet:
        """All networks of this space in one: the capability ``supernet``.

        Args:
            task: as for :meth:`build`.
            fast: is not looked at: ops run one by one.
        """
        from nascore_blocks.supernet.choice import ChoiceSupernet

        layers, reductions, stem = self._macro(task)
        return ChoiceSupernet(
            self.wirings, self.ops, task.shape, task.classes,
            channels=self.channels, layers=layers, reductions=reductions, stem=stem,
        )  # fmt: skip

    def _macro(self, task: Task) -> tuple[int, tuple[int, ...], str]:
        """Number of cells, which of them reduce, and the stem; as in the other cell spaces."""
        size = min(task.shape[1:], default=0)
        stem = self.stem if self.stem != "auto" else "image" if size >= PHOTOGRAPH else "small"
        size = -(-size // 8) if stem == "image" else size
        fitting = sum(size > 2**times for times in (1, 2))
        reductions = fitting if self.reductions is None else self.reductions
        return self.cells * (reductions + 1) + reductions, reduction_layers(self.cells, reductions), stem


def _kept(weights: Mapping[int, Sequence[float]]) -> list[int]:
    """The edge that is strongest, and the next if it is stronger than its own ``none``; of equals, the first."""
    first, *others = sorted(weights, key=lambda edge: -weights[edge][0])
    return sorted([first, *(edge for edge in others[:1] if weights[edge][0] > weights[edge][1])])


def _one_or_two(names: Sequence[str], mark: str) -> tuple[str, ...]:
    return (*names, *(mark.join(pair) for pair in combinations(names, 2)))
