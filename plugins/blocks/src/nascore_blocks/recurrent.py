"""The search space of recurrent cells; :mod:`nascore_blocks.recurrent_network` says what a cell computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError, nearest
from nascore.records import Architecture
from nascore_blocks.genotypes import Edge
from nascore_blocks.recurrent_network import ACTIVATIONS, FIRST, RecurrentCell, RecurrentNetwork, averaged
from nascore_blocks.supernet.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Json
    from nascore_blocks.supernet.recurrent import RecurrentSupernet

CHOSEN = "chosen"
AVERAGES = ("all", "unread")
SHARING = ("node", "pair")


class Link(NamedTuple):
    """One candidate edge: ``node`` reads the state ``input``; -1 stands for what comes from outside, x and h."""

    node: int
    input: int


@dataclass(frozen=True)
class RecurrentWiring(Wiring):
    """An edge from every state to every later node, and one to state 0 where its activation is chosen.

    Attributes:
        nodes: after state 0.
        ops: the activations, and ``none``.
        first: state 0 chooses; it cannot have ``none``.
    """

    nodes: int
    ops: tuple[str, ...]
    first: bool = False

    @cached_property
    def edges(self) -> tuple[Link, ...]:
        """All candidate edges, node by node, then by input."""
        outside = (Link(0, -1),) if self.first else ()
        return (*outside, *(Link(node, before) for node in range(1, self.nodes + 1) for before in range(node)))

    def target(self, edge: int) -> int:
        """The node."""
        return self.edges[edge].node

    @cached_property
    def allowed(self) -> tuple[tuple[int, ...], ...]:
        """See :class:`~nascore_blocks.supernet.wiring.Wiring`."""
        every = tuple(range(len(self.ops)))
        return tuple(self.live if link.node == 0 else every for link in self.edges)

    @cached_property
    def into(self) -> dict[int, tuple[int, ...]]:
        """Node -> indices of the edges that lead to it, by input."""
        found: dict[int, tuple[int, ...]] = {}
        for edge, link in enumerate(self.edges):
            found[link.node] = (*found.get(link.node, ()), edge)
        return found

    @cached_property
    def number(self) -> dict[Link, int]:
        """Edge -> its index."""
        return {link: edge for edge, link in enumerate(self.edges)}


class RecurrentSpace(DecisionSpace):
    """Recurrent cells for language modelling; the module says what a cell computes.

    The defaults are DARTS's cell; ENAS's has ``nodes=11, first="chosen", average="unread", share="pair"``,
    twelve states in all.

    Args:
        nodes: after state 0, >= 1.
        ops: activations to choose from: ``tanh``, ``relu``, ``sigmoid``, ``identity``.
        first: activation of state 0; ``chosen`` decides it too.
        average: ``all``: the output is the mean of all nodes; ``unread``: of those that no node reads.
        share: what a supernet's weights belong to: a ``node``, whatever it reads (DARTS), or a ``pair`` of
            node and predecessor (ENAS). A network of its own is the same either way.
        hidden: units of a state, >= 1.
        embedding: units of a token; 0: as many as ``hidden``.
        tied: the decoder's weights are those of the embedding; needs as many units.
        dropout: of the embedded tokens and of the outputs, in [0, 1); a supernet has none.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"tokens"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}

    def __init__(
        self,
        nodes: int = 8,
        ops: Sequence[str] = ("tanh", "relu", "sigmoid", "identity"),
        first: str = FIRST,
        average: str = "all",
        share: str = "node",
        hidden: int = 64,
        embedding: int = 0,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        for name, value, least in (("nodes", nodes, 1), ("hidden", hidden, 1), ("embedding", embedding, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if isinstance(ops, str) or not ops or len(set(ops)) < len(ops):
            raise SettingsError(f"ops is {ops!r}; it needs a list of some of {', '.join(ACTIVATIONS)}, each once.")
        for name, given, allowed in (
            *(("ops", op, ACTIVATIONS) for op in ops),
            ("first", first, (*ACTIVATIONS, CHOSEN)),
            ("average", average, AVERAGES),
            ("share", share, SHARING),
        ):
            if given not in allowed:
                raise SettingsError(f"{name}: there is no {given!r}; {nearest(given, allowed)}.")
        if tied and embedding not in (0, hidden):
            raise SettingsError(
                f"embedding is {embedding} and hidden {hidden}; tied weights need them equal, or tied=false."
            )
        if not 0 <= dropout < 1:
            raise SettingsError(f"dropout is {dropout}; it must be in [0, 1).")
        self.nodes, self.ops, self.first, self.average, self.share = nodes, tuple(ops), first, average, share
        self.hidden, self.embedding, self.tied, self.dropout = hidden, embedding, tied, dropout

    def setup(self, task: Task) -> None:
        """Remember the task."""
        self.task = task

    # ---------------------------------------------------------------------- the program

    def decide(self, choose: Choose) -> RecurrentCell:
        """Decide the activation of each node, and what it reads."""
        first = choose("node.0.op", self.ops) if self.first == CHOSEN else self.first
        nodes = []
        for node in range(1, self.nodes + 1):
            before = choose(f"node.{node}.input", range(node))
            nodes.append(Edge(choose(f"node.{node}.op", self.ops), before))
        return RecurrentCell(first, tuple(nodes), averaged(nodes, self.average))

    def group(self, name: str) -> str:
        """``input`` or ``op``: mutation changes either, as likely."""
        return name.rpartition(".")[2]

    def canonical(self, genome: Json) -> Json:
        """The tree of activations that all numberings of one cell share: [activation, its readers, sorted]."""
        nodes = self.read(genome)  # type: ignore[arg-type]  # a checked genome
        readers: list[list[Json]] = [[] for _ in range(len(nodes) + 1)]
        for state in range(len(nodes), 0, -1):
            node = nodes[state - 1]
            readers[node.input].append([node.op, sorted(readers[state], key=repr)])
        first = genome["node.0.op"] if self.first == CHOSEN else self.first  # type: ignore[index,call-overload]  # as above
        return [first, sorted(readers[0], key=repr)]

    def read(self, genome: Mapping[str, Json]) -> list[Edge]:
        """The nodes in a genome."""
        return [
            Edge(genome[f"node.{node}.op"], genome[f"node.{node}.input"])  # type: ignore[arg-type]  # a checked genome
            for node in range(1, self.nodes + 1)
        ]

    def write(self, first: str, nodes: Sequence[Edge]) -> dict[str, Json]:
        """The decisions that make these nodes; the inverse of :meth:`read`, unchecked."""
        genome: dict[str, Json] = {"node.0.op": first} if self.first == CHOSEN else {}
        for state, node in enumerate(nodes, start=1):
            genome |= {f"node.{state}.input": node.input, f"node.{state}.op": node.op}
        return genome

    def genome_of(self, cell: RecurrentCell) -> dict[str, Json]:
        """The genome of a published cell, or of any.

        Raises:
            SpaceError: it is not in this space; says why.
        """
        if self.first not in (CHOSEN, cell.first):
            raise SpaceError(f"State 0 of the cell has {cell.first!r}; this space has first={self.first!r}.")
        if sorted(cell.average) != sorted(averaged(cell.nodes, self.average)):
            raise SpaceError(
                f"The output of the cell is the mean of {list(cell.average)}; in this space, of "
                f"{list(averaged(cell.nodes, self.average))}."
            )
        genome = self.write(cell.first, cell.nodes)
        self.check(Architecture(self.name, genome, ""))
        return genome

    # ---------------------------------------------------------------------- the networks

    def build(self, architecture: Architecture, task: Task) -> RecurrentNetwork:
        """The network for the vocabulary of the task."""
        return RecurrentNetwork(
            self.structure(architecture),
            task.classes,
            hidden=self.hidden,
            embedding=self.embedding,
            tied=self.tied,
            dropout=self.dropout,
        )

    @property
    def wirings(self) -> dict[str, RecurrentWiring]:
        """The one kind, ``cell``."""
        return {"cell": RecurrentWiring(self.nodes, (*self.ops, "none"), self.first == CHOSEN)}

    def supernet(self, task: Task, *, fast: bool = True) -> RecurrentSupernet:
        """All networks of this space in one: the capability ``supernet``.

        Args:
            task: as for :meth:`build`.
            fast: see :class:`~nascore_blocks.supernet.base.Supernet`; without effect here.
        """
        from nascore_blocks.supernet.recurrent import RecurrentSupernet

        return RecurrentSupernet(
            self.wirings["cell"],
            task.shape[0],
            task.classes,
            first=self.first,
            share=self.share,
            hidden=self.hidden,
            embedding=self.embedding,
            tied=self.tied,
            fast=fast,
        )

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The architecture of the strongest edge into each node, with its strongest op but ``none`` [DARTS, 2.4].

        Of equals, the first of the wiring wins.

        Args:
            weights: ``cell`` -> (edges, ops) in the order of the wiring; the order alone counts.
        """
        wiring = self.wirings["cell"]
        table = weights["cell"].tolist()
        best: dict[int, Edge] = {}
        for node, into in wiring.into.items():
            edge, op = max(((e, op) for e in into for op in wiring.live), key=lambda pair: table[pair[0]][pair[1]])
            best[node] = Edge(wiring.ops[op], wiring.edges[edge].input)
        first = best.pop(0).op if wiring.first else self.first
        architecture = self.architecture(self.write(first, list(best.values())))
        self.check(architecture)
        return architecture
