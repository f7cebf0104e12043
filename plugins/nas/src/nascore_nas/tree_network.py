"""The recurrent cell of Zoph and Le 2017, section 3.4: a tree of combinations over x_t and h_{t-1}, and a memory c.

With 2b - 1 places, the leaves 0..b-1 first and the root last, and with f an activation and * a combination:

    leaf k:        a_k = f_k(z_k)      z_k = W_k x *_k U_k h
    inner place k: a_k = f_k(z_k)      z_k = a_left *_k a_right       its children: 2 (k - b) and 2 (k - b) + 1
    at place c_old:  a_k <- g(a_k * c)     * and g: the combination and activation of the cell inject
    h' = a of the root,    c' = z of the place c_new
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError, nearest
from nascore_blocks.recurrent_network import ACTIVATIONS, decoder, initialise, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"add": torch.add, "mul": torch.mul}


class Place(NamedTuple):
    """What is done at one place of the tree: a combination, then an activation."""

    combine: str
    activation: str


@dataclass(frozen=True)
class TreeCell:
    """A cell as data.

    Attributes:
        places: b leaves, then the inner places, the root last: 2b - 1.
        inject: how the memory comes in.
        new: the place whose value before its activation is the next memory.
        old: the place where the memory comes in.
    """

    places: tuple[Place, ...]
    inject: Place
    new: int
    old: int

    def __post_init__(self) -> None:
        """Refuse what is no cell.

        Raises:
            SpaceError: no full tree, an unknown combination or activation, a place that is not there.
        """
        if self.leaves < 2 or self.leaves & (self.leaves - 1) or len(self.places) != 2 * self.leaves - 1:
            raise SpaceError(f"A tree has 3, 7, 15, ... places; got {len(self.places)}.")
        for place in (*self.places, self.inject):
            if place.combine not in COMBINATIONS:
                raise SpaceError(f"There is no combination {place.combine!r}; {nearest(place.combine, COMBINATIONS)}.")
            if place.activation not in ACTIVATIONS:
                raise SpaceError(
                    f"There is no activation {place.activation!r}; {nearest(place.activation, ACTIVATIONS)}."
                )
        for name, place_number in (("new", self.new), ("old", self.old)):
            if not 0 <= place_number < len(self.places):
                raise SpaceError(f"{name} is place {place_number}; allowed: 0..{len(self.places) - 1}.")

    @property
    def leaves(self) -> int:
        """Their number, b."""
        return (len(self.places) + 1) // 2

    def children(self, place: int) -> tuple[int, ...]:
        """Of an inner place its two children; of a leaf none."""
        first = 2 * (place - self.leaves)
        return () if first < 0 else (first, first + 1)


class TreeStep(nn.Module):
    """The cell: (the W_k x of all leaves, h, c) -> the next h and c. It has b hidden^2 weights, the U_k."""

    def __init__(self, cell: TreeCell, hidden: int) -> None:
        """
        Args:
            cell: what it computes.
            hidden: units of a state.
        """
        super().__init__()
        self.cell = cell
        self.from_hidden = nn.Linear(hidden, cell.leaves * hidden, bias=False)
        initialise(self.from_hidden, 2 * hidden)

    def forward(self, given: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step in time.

        Args:
            given: W_k x of leaf 0, 1, ... side by side, (batch, leaves * hidden).
            hidden: h, (batch, hidden).
            memory: c, (batch, hidden).

        Returns:
            The next h and c.
        """
        cell, inject = self.cell, self.cell.inject
        from_x = given.chunk(cell.leaves, dim=-1)
        from_h = self.from_hidden(hidden).chunk(cell.leaves, dim=-1)
        before: list[Tensor] = []
        after: list[Tensor] = []
        for number, place in enumerate(cell.places):
            children = cell.children(number)
            left, right = (after[child] for child in children) if children else (from_x[number], from_h[number])
            before.append(COMBINATIONS[place.combine](left, right))
            value = ACTIVATIONS[place.activation](before[-1])
            if number == cell.old:
                value = ACTIVATIONS[inject.activation](COMBINATIONS[inject.combine](value, memory))
            after.append(value)
        return after[-1], before[cell.new]


class TreeNetwork(nn.Module):
    """Embedding, the cell unrolled over a window, decoder; h and c are zero at the start of each window."""

    def __init__(
        self,
        cell: TreeCell,
        classes: int,
        *,
        hidden: int = 64,
        embedding: int = 0,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        """
        Args:
            cell: what runs at each time.
            classes: size of the vocabulary.
            hidden: units of a state.
            embedding: units of a token; 0: as many as ``hidden``.
            tied: the decoder's weights are those of the embedding (arXiv:1608.05859).
            dropout: of the embedded tokens and of the cell's outputs, in [0, 1).
        """
        super().__init__()
        self.hidden = hidden
        self.embedding = nn.Embedding(classes, embedding or hidden)
        self.dropout = nn.Dropout(dropout)
        self.from_input = nn.Linear(embedding or hidden, cell.leaves * hidden, bias=False)
        self.step = TreeStep(cell, hidden)
        self.decoder = decoder(self.embedding, hidden, classes, tied)
        prepare(self.embedding, self.from_input, self.decoder)
        initialise(self.from_input, self.from_input.in_features + hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time), whole numbers of any type -> logits (batch, classes, time): of the token after each."""
        given = self.from_input(self.dropout(self.embedding(tokens.long())))
        hidden = memory = torch.zeros_like(given[:, 0, : self.hidden])
        outputs = []
        for time in range(tokens.shape[1]):
            hidden, memory = self.step(given[:, time], hidden, memory)
            outputs.append(hidden)
        logits: Tensor = self.decoder(self.dropout(torch.stack(outputs, dim=1)))
        return logits.transpose(1, 2)
