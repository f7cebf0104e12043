"""The search space of PNAS (Liu et al. 2018, arXiv:1712.00559, section 3): one cell of one to B blocks."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, ClassVar, cast

from nascore.errors import SpaceError
from nascore.records import Architecture
from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.cellspace import KINDS
from nascore_blocks.genotypes import Edge, Genotype, Node
from nascore_blocks.spaces import NASNetSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Choose
    from nascore.records import Json
    from nascore_blocks.cellspace import Pairs

Block = tuple[int, int, int, int]
"""(I1, I2, O1, O2): two earlier states, and the indices of the ops applied to them; (I1, O1) <= (I2, O2)."""

CELL = KINDS[0]
SIZE = f"{CELL}.blocks"
"""The decision that says how many blocks the cell has."""


class PNASSpace(NASNetSpace):
    """One cell of 1, 2, ... or B blocks; the same cell, with stride 2, reduces.

    First ``normal.blocks`` is decided, from 1 to B, then just the blocks that the cell has, each by the
    decisions of :class:`~nascore_blocks.spaces.NASNetSpace` for the normal cell. So any sampler can
    search it. The results of a block are added, the blocks that no other block reads are concatenated.

    The capability ``grow``: :meth:`options`, :meth:`of_blocks` and :meth:`blocks_of`, by which a
    sampler grows cells block by block.
    """

    provides: ClassVar[frozenset[str]] = (NASNetSpace.provides - {"supernet"}) | {"grow"}

    # ------------------------------------------------------------------ growing

    def options(self, block: int) -> list[Block]:
        """All different blocks that can follow ``block`` others: swapping the two halves gives no new one.

        With 8 ops they are 136, 300, 528, 820 and 1176 for 0, 1, 2, 3 and 4.
        """
        halves = list(product(range(block + 2), range(len(self.ops))))
        return [(i, j, o, p) for (i, o), (j, p) in combinations_with_replacement(halves, 2)]

    def of_blocks(self, blocks: Sequence[Block]) -> Architecture:
        """The architecture whose cell has these blocks, unchecked."""
        nodes = [(Edge(self.ops[o], i), Edge(self.ops[p], j)) for i, j, o, p in blocks]
        return self.architecture(self.write(CELL, nodes))

    def blocks_of(self, architecture: Architecture) -> tuple[Block, ...]:
        """The inverse of :meth:`of_blocks`, but for the order of the halves of a block."""
        number = {op: index for index, op in enumerate(self.ops)}
        found = []
        for node in self.read(cast("dict[str, Json]", architecture.genome), CELL):
            (i, o), (j, p) = sorted((state, number[op]) for state, op in node)
            found.append((i, j, o, p))
        return tuple(found)

    # ------------------------------------------------------------------ the program

    def ask(self, choose: Choose, kind: str) -> tuple[Node, ...]:
        """Make the decisions of the cell; see :class:`PNASSpace`."""
        blocks = choose(SIZE, range(1, self.blocks + 1))
        nodes = []
        for names, inputs in zip(self._names[kind][:blocks], self._inputs, strict=False):
            (i, o), (j, p) = names
            first, second = choose(i, inputs), choose(j, inputs)
            nodes.append((Edge(choose(o, self.ops), first), Edge(choose(p, self.ops), second)))
        return tuple(nodes)

    def group(self, name: str) -> str:
        """``input``, ``op`` or ``blocks``."""
        return "blocks" if name == SIZE else super().group(name)

    def read(self, genome: Mapping[str, Json], kind: str) -> list[Pairs]:
        """See :meth:`nascore_blocks.cellspace.CellSpace.read`."""
        names = self._names[kind][: cast("int", genome[SIZE])]
        return [[(genome[i], genome[o]) for i, o in block] for block in names]  # type: ignore[misc]  # a checked genome

    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """See :meth:`nascore_blocks.cellspace.CellSpace.write`."""
        genome: dict[str, Json] = {SIZE: len(nodes)}
        for ((i, o), (j, p)), (first, second) in zip(self._names[kind], nodes, strict=False):
            genome |= {i: first.input, j: second.input, o: first.op, p: second.op}
        return genome

    def canonical(self, genome: Json) -> Json:
        """The cell in the one form that all isomorphic ones share."""
        nodes = self.read(cast("dict[str, Json]", genome), CELL)
        return {CELL: [[[*pair] for pair in form] for form in canonical_nodes(nodes)]}

    def genome_of(self, genotype: Genotype) -> dict[str, Json]:
        """The genome of a genotype whose two cells are one.

        Raises:
            SpaceError: it is not in this space; says why.
        """
        cell = genotype.normal
        if genotype.reduce != cell:
            raise SpaceError("The reduction cell is another one than the normal cell; in this space they are the same.")
        if not 1 <= len(cell.nodes) <= self.blocks:
            raise SpaceError(f"The cell has {len(cell.nodes)} nodes; this space has 1 to {self.blocks} (blocks).")
        if any(len(node) != 2 for node in cell.nodes):
            raise SpaceError("A node of the cell has not two edges, as every one of this space has.")
        if sorted(cell.concat) != sorted(self.concat(cell.nodes)):
            raise SpaceError(f"The cell concatenates {list(cell.concat)}; this space {list(self.concat(cell.nodes))}.")
        genome = self.write(CELL, cell.nodes)
        self.check(Architecture(self.name, genome, ""))
        return genome

    def _set_macro(self, reductions: int) -> None:
        super()._set_macro(reductions)
        self._kinds = (CELL,)
