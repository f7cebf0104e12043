"""The hierarchical space (Liu et al. 2018, arXiv:1711.00436): motifs of motifs of ops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError, nearest
from nascore.records import digest
from nascore_blocks.cellspace import MOST_PARTS
from nascore_blocks.graphcells import GraphNetwork
from nascore_blocks.hierarchical_network import MERGES, PRIMITIVES, assemble
from nascore_blocks.motifs import IDENTITY, NONE, Motif, links, live_links, motif_form
from nascore_blocks.nasbench201 import Link, fitting_reductions, subset

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_blocks.motifs import Form

_TRIES = 1000
"""How often a mutation is drawn; of every space that has one, at least a share of 1 in some tens is allowed."""


@dataclass(frozen=True)
class Place:
    """One motif of the space, before it is decided.

    Attributes:
        title: for people.
        nodes: of its graph.
        names: edge -> name of its decision.
        options: the ops of the level below, the identity first (a motif 0 starts as one), ``none`` last.
    """

    title: str
    nodes: int
    names: Mapping[Link, str]
    options: tuple[str, ...]

    def connected(self, genome: Mapping[str, Any]) -> bool:
        """Is there a path from the source to the sink?"""
        return bool(live_links([link for link, name in self.names.items() if genome[name] != NONE], self.nodes))


class HierarchicalSpace(DecisionSpace):
    """Hierarchical motifs, and a network of stacked cells around the top one.

    A motif of level 2 is a small graph whose edges are ops (level 1), a motif of level 3 one whose edges are
    motifs of level 2, and so on; the one motif of the top level is the cell. ``level.l.motif.m.edge.i.j`` is
    what leads from node j to node i of the motif m of level l: an op (of level 2), ``motif.k`` (of a higher
    one), or ``none``. Node 0 is the source, the last one the sink. The flat baseline of the paper is
    ``motifs=[1], nodes=[11]``.

    In every motif, used or not, a path leads from source to sink: :meth:`check` refuses others.
    :meth:`sample` and :meth:`crossover` repair them: the edge from source to sink becomes the identity, above
    level 2 ``motif.0``. :meth:`mutate` draws again.

    A key counts what the network has: no motif that is not used, no edge off every path, not the numbers of
    motifs and nodes, and no detour by an identity alone. Motifs with one live op are that op. It does not see
    through further levels: two motifs in a chain, and one motif that is the chain, have different keys.

    What is ours, where the paper is silent or our memory of it is: a node with a single input has no
    projection, and reductions are the residual blocks of :class:`~nascore_blocks.graphcells.GraphNetwork`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"diversify"}

    def __init__(
        self,
        motifs: Sequence[int] = (2, 1),
        nodes: Sequence[int] = (3, 4),
        ops: Sequence[str] = tuple(PRIMITIVES),
        merge: str = "concat",
        distinct: bool = True,
        channels: int = 8,
        cells: int = 1,
        reductions: int | None = None,
    ) -> None:
        """
        Args:
            motifs: how many on level 2, on level 3, ...; the last is 1. The paper has (6, 1).
            nodes: of a motif of level 2, of level 3, ...; each 2 or more. The paper has (4, 5).
            ops: of level 1: ``skip_connect`` (the identity, always needed), ``conv_1x1``, ``dw_conv_3x3``,
                ``sep_conv_3x3``, ``max_pool_3x3``, ``avg_pool_3x3``, or some of them; ``none`` is always there.
            merge: of a node's inputs: ``concat`` (then a 1x1 convolution and BN) or ``sum``.
            distinct: a mutation takes another op than the one there is; False, as in the paper: any, so that
                one in some changes nothing.
            channels: C, before the first reduction; each reduction doubles them.
            cells: in a row, before, between and after the reductions.
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.

        Raises:
            SettingsError: a value that is not allowed.
        """
        _check_levels(motifs, nodes)
        for name, value, least in (("channels", channels, 1), ("cells", cells, 1), ("reductions", reductions or 0, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if merge not in MERGES:
            raise SettingsError(f"merge is {merge!r}; {nearest(merge, MERGES)}.")
        self.ops = subset(ops, PRIMITIVES)
        if IDENTITY not in self.ops:
            raise SettingsError(f"ops is {list(ops)}; it needs {IDENTITY!r}, of which trivial motifs are made.")
        self.motifs, self.nodes, self.merge, self.distinct = tuple(motifs), tuple(nodes), merge, distinct
        self.channels, self.cells, self.reductions = channels, cells, reductions
        self.levels = self._places()

    def _places(self) -> tuple[tuple[Place, ...], ...]:
        levels = []
        below = (IDENTITY, *(op for op in self.ops if op != IDENTITY))
        for level, (count, nodes) in enumerate(zip(self.motifs, self.nodes, strict=True), start=2):
            names = [
                {link: f"level.{level}.motif.{number}.edge.{link.node}.{link.input}" for link in links(nodes)}
                for number in range(count)
            ]
            levels.append(
                tuple(Place(f"level.{level}.motif.{m}", nodes, n, (*below, NONE)) for m, n in enumerate(names))
            )
            below = tuple(f"motif.{number}" for number in range(count))
        return tuple(levels)

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Remember the task."""
        self.task = task

    def sample(self, choose: Choose) -> Architecture:
        """Decide every edge, then connect each motif whose source and sink are not."""
        genome: dict[str, Any] = {}
        for place in self._all_places:
            genome |= {name: choose(name, place.options) for name in place.names.values()}
            if not place.connected(genome):
                genome[place.names[Link(place.nodes - 1, 0)]] = place.options[0]
        return super().sample(lambda name, _: genome[name])

    def decide(self, choose: Choose) -> tuple[tuple[Motif, ...], ...]:
        """The motifs of each level, from level 2 on.

        Raises:
            SpaceError: source and sink of a motif are not connected.
        """
        return tuple(tuple(self._decide_motif(choose, place) for place in level) for level in self.levels)

    def _decide_motif(self, choose: Choose, place: Place) -> Motif:
        motif = Motif(place.nodes, tuple(choose(name, place.options) for name in place.names.values()))
        if not motif.live():
            raise SpaceError(
                f"No path leads from node 0 to node {place.nodes - 1} of {place.title}: too many of its edges are "
                f"{NONE!r}. One way out: {place.names[Link(place.nodes - 1, 0)]} = {place.options[0]!r}."
            )
        return motif

    def canonical(self, genome: Json) -> Json:
        """The form of the top motif; a motif inside stands as the digest of its own form."""
        labels = {op: op for op in self.ops}
        form: Form = IDENTITY
        for level in self._motifs_of(genome):
            forms = [motif_form(motif, labels) for motif in level]
            labels = {f"motif.{m}": form if isinstance(form, str) else _digest(form) for m, form in enumerate(forms)}
            form = forms[0]
        return [self.merge, form if isinstance(form, str) else _lists(form)]

    def _motifs_of(self, genome: Any) -> list[list[Motif]]:
        return [[Motif(p.nodes, tuple(genome[name] for name in p.names.values())) for p in ps] for ps in self.levels]

    @property
    def _all_places(self) -> list[Place]:
        return [place for level in self.levels for place in level]

    # ---------------------------------------------------------------------- the paper's evolution

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Set one edge to an op: level, motif, target node, predecessor and op are each as likely (section 3.1).

        Raises:
            SpaceError: the architecture is not in this space, or nothing in this space can be mutated.
        """
        return self.diversify(architecture, 1, rng)

    def diversify(self, architecture: Architecture, count: int, rng: random.Random) -> Architecture:
        """Apply ``count`` mutations in a row (section 3.2: 1,000 of them make the first population).

        Raises:
            SpaceError: as :meth:`mutate`.
        """
        self.check(architecture)
        genome = dict(architecture.genome)  # type: ignore[arg-type]  # a checked genome is a dict
        for _ in range(count):
            self._mutate(genome, rng)
        return self.architecture(genome)

    def _mutate(self, genome: dict[str, Any], rng: random.Random) -> None:
        for _ in range(_TRIES):
            place = rng.choice(rng.choice(self.levels))
            node = rng.randrange(1, place.nodes)
            name = place.names[Link(node, rng.randrange(node))]
            old = genome[name]
            genome[name] = rng.choice([op for op in place.options if not (self.distinct and op == old)])
            if genome[name] != NONE or place.connected(genome):
                return
            genome[name] = old
        raise SpaceError(f"Nothing can be mutated: every change in {self.name!r} cuts a source off its sink.")

    def trivial(self) -> Architecture:
        """Every motif a chain of identities; above level 2, of motifs 0: the cell is the identity."""
        genome: dict[str, Json] = {}
        for place in self._all_places:
            for link, name in place.names.items():
                genome[name] = place.options[0] if link.input == link.node - 1 else NONE
        return self.architecture(genome)

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> GraphNetwork:
        """The network for this task."""
        levels = self.structure(architecture)
        return GraphNetwork(
            lambda channels: assemble(levels, channels, self.merge),
            task.shape,
            task.classes,
            channels=self.channels,
            cells=self.cells,
            reductions=fitting_reductions(task.shape) if self.reductions is None else self.reductions,
        )


def _lists(form: Sequence[Sequence[tuple[int, str]]]) -> list[Json]:
    return [[[given, op] for given, op in node] for node in form]


def _digest(form: Sequence[Sequence[tuple[int, str]]]) -> str:
    return f"motif:{digest(_lists(form))}"


def _check_levels(motifs: Sequence[int], nodes: Sequence[int]) -> None:
    if not motifs or len(motifs) != len(nodes):
        raise SettingsError(
            f"motifs is {list(motifs)} and nodes {list(nodes)}; each needs a number for every level from 2 on."
        )
    if motifs[-1] != 1:
        raise SettingsError(f"motifs is {list(motifs)}; the last number is 1, as the top level is one cell.")
    if min(motifs) < 1 or sum(motifs) > MOST_PARTS:
        raise SettingsError(
            f"motifs is {list(motifs)}; every level needs 1 or more, all together {MOST_PARTS} at most."
        )
    if min(nodes) < 2 or max(nodes) > MOST_PARTS:
        raise SettingsError(f"nodes is {list(nodes)}; a motif needs 2 (a source and a sink) to {MOST_PARTS}.")
