"""What the cell spaces share: the macro network around two cells, the key, published genotypes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError, nearest
from nascore.records import Architecture
from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.genotypes import Cell, Genotype, Node
from nascore_blocks.networks import STEMS, CellNetwork, live_layers, root_layers
from nascore_blocks.ops import OPS
from nascore_blocks.supernet.discrete import strongest_nodes
from nascore_blocks.supernet.wiring import CellWiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Json
    from nascore_blocks.supernet.network import CellSupernet

    Pairs = list[tuple[int, str]]

KINDS = ("normal", "reduce")
MOST_PARTS = 100
"""Blocks, layers, nodes, cells of a space at most: some times more than any published space has.

The decisions of a space grow with the square of some of them, and settings may come from a stranger.
"""
PHOTOGRAPH = 96
"""From this height or width in pixels on, images get the ImageNet stem by default."""


class CellSpace(DecisionSpace):
    """What the cell spaces share: the macro network around the two cells, and the key.

    The macro is ``cells`` normal cells, a reduction cell, ``cells`` normal cells, a reduction cell,
    ``cells`` normal cells, for two reductions. So ``cells=6`` gives the 20 layers, ``cells=4`` the
    14 layers, of the papers.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}
    slots: ClassVar[int]
    """Of a supernet's :class:`~nascore_blocks.supernet.wiring.CellWiring`."""

    def __init__(
        self,
        blocks: int,
        ops: Sequence[str],
        channels: int,
        cells: int,
        reductions: int | None,
        stem: str,
        auxiliary: bool,
    ) -> None:
        within("blocks", blocks, 1, MOST_PARTS)
        within("channels", channels, 2)
        within("cells", cells, 1, MOST_PARTS)
        within("reductions", 0 if reductions is None else reductions, 0, MOST_PARTS)
        if stem not in ("auto", *STEMS):
            raise SettingsError(f"stem is {stem!r}; {nearest(stem, ('auto', *STEMS))}.")
        self.blocks, self.ops, self.channels, self.cells = blocks, known_ops(ops), channels, cells
        self.reductions, self.stem, self.auxiliary = reductions, stem, auxiliary
        self._set_macro(reductions=2 if reductions is None else reductions)

    @abstractmethod
    def read(self, genome: Mapping[str, Json], kind: str) -> list[Pairs]:
        """The nodes of the ``normal`` or the ``reduce`` cell in a genome, as (input, op) pairs."""

    @abstractmethod
    def concat(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """Which nodes the cell concatenates."""

    @abstractmethod
    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """The decisions that make these nodes; the inverse of :meth:`read`, unchecked."""

    @abstractmethod
    def ask(self, choose: Choose, kind: str) -> tuple[Node, ...]:
        """Make the decisions of one cell."""

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Fix the number of reductions by the size of the images."""
        self.task = task
        self._set_macro(self._macro(task)[1])

    def decide(self, choose: Choose) -> Genotype:
        """Decide both cells; the normal one alone where the network has no reduction."""
        asked = [self.ask(choose, kind) for kind in self._kinds]
        normal, *reduce = [Cell(nodes, self.concat(nodes)) for nodes in asked]
        return Genotype(normal, *reduce or [normal])

    def group(self, name: str) -> str:
        """``input`` or ``op``: AmoebaNet's hidden-state and op mutations, as likely."""
        return name.split(".")[2]

    def canonical(self, genome: Json) -> Json:
        """The cells in the one form that all isomorphic ones share, without what the network leaves out."""
        nodes = {kind: self.read(genome, kind) for kind in self._kinds}  # type: ignore[arg-type]  # a checked genome
        reads = {kind: frozenset([given for node in nodes[kind] for given, _ in node if given < 2]) for kind in nodes}
        if any(1 not in given for given in reads.values()) and not self._reduction_lives(reads):
            del nodes["reduce"]
        return {kind: [[[*pair] for pair in form] for form in canonical_nodes(nodes[kind])] for kind in nodes}

    def genome_of(self, genotype: Genotype) -> dict[str, Json]:
        """The genome of a published genotype, or of any.

        Raises:
            SpaceError: it is not in this space; says why.
        """
        genome: dict[str, Json] = {}
        for kind in self._kinds:
            cell: Cell = getattr(genotype, kind)
            if len(cell.nodes) != self.blocks:
                raise SpaceError(f"The {kind} cell has {len(cell.nodes)} nodes; this space has blocks={self.blocks}.")
            if any(len(node) != 2 for node in cell.nodes):
                raise SpaceError(f"A node of the {kind} cell has not two edges, as every one of this space has.")
            if sorted(cell.concat) != sorted(self.concat(cell.nodes)):
                raise SpaceError(
                    f"The {kind} cell concatenates {list(cell.concat)}; this space {list(self.concat(cell.nodes))}."
                )
            genome |= self.write(kind, cell.nodes)
        self.check(Architecture(self.name, genome, ""))
        return genome

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> CellNetwork:
        """The network for this task; its macro follows the size of the images."""
        stem, reductions = self._macro(task)
        positions = reduction_layers(self.cells, reductions)
        return CellNetwork(
            self.structure(architecture),
            task.shape,
            task.classes,
            channels=self.channels,
            layers=self.cells * (reductions + 1) + reductions,
            reductions=positions,
            stem=stem,
            auxiliary=self.auxiliary,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cells that are decided: ``normal`` and, where the network has a reduction, ``reduce``."""
        return self._kinds

    @property
    def wiring(self) -> CellWiring:
        """Candidate edges and ops of a supernet's cells; the last op is ``none``."""
        ops = [op for op in self.ops if op != "none"]
        return CellWiring(self.blocks, self.slots, (*ops, "none"))

    @property
    def wirings(self) -> dict[str, CellWiring]:
        """Kind of cell -> candidate edges and ops."""
        return dict.fromkeys(self.kinds, self.wiring)

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The architecture of the strongest edges; see :func:`nascore_blocks.supernet.discrete.strongest_nodes`.

        Args:
            weights: kind of cell -> (edges, ops) in the order of :attr:`wiring`, such as mixing weights; the
                order alone counts.
        """
        genome: dict[str, Json] = {}
        for kind in self.kinds:
            genome |= self.write(kind, strongest_nodes(self.wiring, weights[kind]))
        architecture = self.architecture(genome)
        self.check(architecture)
        return architecture

    def supernet(self, task: Task, *, fast: bool = True) -> CellSupernet:
        """All networks of this space in one: the capability ``supernet``.

        Args:
            task: as for :meth:`build`.
            fast: see :class:`~nascore_blocks.supernet.base.Supernet`.
        """
        from nascore_blocks.supernet.network import CellSupernet

        stem, reductions = self._macro(task)
        return CellSupernet(
            self.wiring,
            task.shape,
            task.classes,
            channels=self.channels,
            layers=self.cells * (reductions + 1) + reductions,
            reductions=reduction_layers(self.cells, reductions),
            stem=stem,
            fast=fast,
        )

    def _macro(self, task: Task) -> tuple[str, int]:
        """Stem, and number of reductions: up to two, while the last map keeps two pixels or more."""
        size = min(task.shape[1:])
        stem = self.stem if self.stem != "auto" else "image" if size >= PHOTOGRAPH else "small"
        if self.reductions is not None:
            return stem, self.reductions
        size = -(-size // 8) if stem == "image" else size
        return stem, sum(size > 2**times for times in (1, 2))

    def _set_macro(self, reductions: int) -> None:
        self._kinds = KINDS if reductions else KINDS[:1]
        self._positions = reduction_layers(self.cells, reductions)

    def _reduction_lives(self, reads: Mapping[str, frozenset[int]]) -> bool:
        layers = self.cells * (len(self._positions) + 1) + len(self._positions)
        inputs = [reads["reduce" if layer in self._positions else "normal"] for layer in range(layers)]
        live = live_layers(inputs, root_layers(layers, self._positions, self.auxiliary))
        return "reduce" not in reads or any(layer in live for layer in self._positions)


def reduction_layers(cells: int, reductions: int) -> tuple[int, ...]:
    """Layers of the reduction cells: after each row of ``cells`` normal cells but the last."""
    return tuple(cells + (cells + 1) * number for number in range(reductions))


def within(name: str, value: int, least: int, most: int | None = None) -> None:
    """Refuse an option that is smaller than ``least``, or larger than ``most``.

    Raises:
        SettingsError: names it.
    """
    if value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        raise SettingsError(f"{name} is {value}; allowed: {allowed}.")


def known_ops(ops: Sequence[str]) -> tuple[str, ...]:
    """The ops, each once.

    Raises:
        SettingsError: none, an unknown one, or one twice.
    """
    if isinstance(ops, str) or not ops:
        raise SettingsError(f"ops is {ops!r}; it needs a list with at least one of {', '.join(sorted(OPS))}.")
    for op in ops:
        if op not in OPS:
            raise SettingsError(f"There is no op {op!r}; {nearest(op, OPS)}.")
    if len({OPS[op] for op in ops}) < len(ops):
        raise SettingsError(f"ops names one op twice (by two names, maybe): {', '.join(ops)}.")
    return tuple(ops)
