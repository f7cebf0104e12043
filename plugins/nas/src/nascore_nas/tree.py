"""The space of recurrent cells of Zoph and Le 2017; :mod:`nascore_nas.tree_network` says what a cell computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, nearest
from nascore_blocks.recurrent_network import ACTIVATIONS
from nascore_nas.tree_network import COMBINATIONS, Place, TreeCell, TreeNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json


class TreeCellSpace(DecisionSpace):
    """Full binary trees of combinations and activations, with a memory.

    In the order of the paper's controller: ``tree.k.combine`` and ``tree.k.activation`` for each place k, the leaves
    first and the root last; then ``inject.combine`` and ``inject.activation``; then ``cell.new`` and ``cell.old``, the
    places where the next memory comes from and where the last one comes in. With 8 leaves that is
    8^16 15^2 = 6.3e16 cells.

    Args:
        leaves: b, 2, 4, 8, ...; 8 in the paper.
        combinations: to choose from: ``add``, ``mul``.
        activations: to choose from: ``identity``, ``tanh``, ``sigmoid``, ``relu``.
        hidden: units of a state, >= 1.
        embedding: units of a token; 0: as many as ``hidden``.
        tied: the decoder's weights are those of the embedding; needs as many units.
        dropout: of the embedded tokens and of the outputs, in [0, 1).
    """

    requires: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def __init__(
        self,
        leaves: int = 8,
        combinations: Sequence[str] = ("add", "mul"),
        activations: Sequence[str] = ("identity", "tanh", "sigmoid", "relu"),
        hidden: int = 64,
        embedding: int = 0,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        if leaves < 2 or leaves & (leaves - 1):
            raise SettingsError(f"leaves is {leaves}; a full tree has 2, 4, 8, ...")
        for name, value, least in (("hidden", hidden, 1), ("embedding", embedding, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        offered: tuple[tuple[str, Sequence[str], Mapping[str, object]], ...] = (
            ("combinations", combinations, COMBINATIONS),
            ("activations", activations, ACTIVATIONS),
        )
        for name, given, allowed in offered:
            if isinstance(given, str) or not given or len(set(given)) < len(given):
                raise SettingsError(f"{name} is {given!r}; it needs a list of some of {', '.join(allowed)}, each once.")
            for one in given:
                if one not in allowed:
                    raise SettingsError(f"{name}: there is no {one!r}; {nearest(one, allowed)}.")
        if tied and embedding not in (0, hidden):
            raise SettingsError(
                f"embedding is {embedding} and hidden {hidden}; tied weights need them equal, or tied=false."
            )
        if not 0 <= dropout < 1:
            raise SettingsError(f"dropout is {dropout}; it must be in [0, 1).")
        self.leaves, self.combinations, self.activations = leaves, tuple(combinations), tuple(activations)
        self.hidden, self.embedding, self.tied, self.dropout = hidden, embedding, tied, dropout

    def decide(self, choose: Choose) -> TreeCell:
        """Place by place, then the inject, then the two places of the memory."""

        def place(name: str) -> Place:
            combine = choose(f"{name}.combine", self.combinations)
            return Place(combine, choose(f"{name}.activation", self.activations))

        places = tuple([place(f"tree.{number}") for number in range(2 * self.leaves - 1)])
        inject = place("inject")
        numbers = tuple(range(len(places)))
        new = choose("cell.new", numbers)
        return TreeCell(places, inject, new, choose("cell.old", numbers))

    def group(self, name: str) -> str:
        """``combine``, ``activation``, ``new`` or ``old``."""
        return name.rpartition(".")[2]

    def canonical(self, genome: Json) -> Json:
        """The tree from its root: both combinations commute, so the order of two children does not count."""
        answers: dict[str, Json] = genome  # type: ignore[assignment]  # a checked genome
        cell = self.decide(lambda name, _: answers[name])

        def form(number: int) -> list[Json]:
            place = cell.places[number]
            below: list[Json] = [*sorted((form(child) for child in cell.children(number)), key=repr)]
            return [place.combine, place.activation, number == cell.new, number == cell.old, below]

        return [form(len(cell.places) - 1), list(cell.inject)]

    def build(self, architecture: Architecture, task: Task) -> TreeNetwork:
        """The network for the vocabulary of the task."""
        return TreeNetwork(
            self.structure(architecture),
            task.classes,
            hidden=self.hidden,
            embedding=self.embedding,
            tied=self.tied,
            dropout=self.dropout,
        )
