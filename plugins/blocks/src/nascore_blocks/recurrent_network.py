"""The recurrent cell of ENAS (arXiv:1802.03268, section 2.1) and DARTS (arXiv:1806.09055, section 2.1).

With input x and hidden state h, the cell computes states, each a highway step from another:

    s_0 = c_0 * f_0(x Wx + h Wh) + (1 - c_0) * h          c_0 = sigmoid(x Ux + h Uh)
    s_l = c_l * f_l(s_j W_l)     + (1 - c_l) * s_j        c_l = sigmoid(s_j U_l)         l = 1, 2, ...

A node l chooses its predecessor j < l and its activation f_l. The new hidden state, which is the output
too, is the mean of some states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError, nearest
from nascore_blocks.genotypes import Edge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST = "tanh"


def identity(x: Tensor) -> Tensor:
    """The value itself."""
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}


@dataclass(frozen=True)
class RecurrentCell:
    """A cell as data.

    Attributes:
        first: activation of state 0.
        nodes: of states 1, 2, ...: activation and predecessor.
        average: the states whose mean is the output.
    """

    first: str
    nodes: tuple[Edge, ...]
    average: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what is no cell.

        Raises:
            SpaceError: an unknown activation, a predecessor that does not come before, a mean of nothing.
        """
        for name in (self.first, *(node.op for node in self.nodes)):
            if name not in ACTIVATIONS:
                raise SpaceError(f"There is no activation {name!r}; {nearest(name, ACTIVATIONS)}.")
        for state, node in enumerate(self.nodes, start=1):
            if not 0 <= node.input < state:
                raise SpaceError(f"Node {state} reads state {node.input}; allowed: 0..{state - 1}.")
        if not self.average or not set(self.average) <= set(range(len(self.nodes) + 1)):
            raise SpaceError(f"The output is the mean of {list(self.average)}; allowed: 0..{len(self.nodes)}, some.")


def averaged(nodes: Sequence[Edge], average: str) -> tuple[int, ...]:
    """The states that make the output: ``all`` nodes (but state 0, as DARTS has it), or the ``unread`` (ENAS)."""
    read = {node.input for node in nodes} if average == "unread" else set()
    return tuple(state for state in range(1, len(nodes) + 1) if state not in read)


PUBLISHED = {
    "darts-v1": (("relu", 0), ("relu", 1), ("tanh", 2), ("relu", 3), ("relu", 4), ("identity", 1), ("relu", 5),
                 ("relu", 1)),
    "darts-v2": (("sigmoid", 0), ("relu", 1), ("relu", 1), ("identity", 1), ("tanh", 2), ("sigmoid", 5), ("tanh", 3),
                 ("relu", 5)),
}  # fmt: skip
"""Nodes of the cells in the authors' code, found by first and second order."""


def published(name: str) -> RecurrentCell:
    """A published cell.

    Raises:
        SpaceError: there is none of this name.
    """
    if name not in PUBLISHED:
        raise SpaceError(f"There is no published recurrent cell {name!r}; {nearest(name, PUBLISHED)}.")
    nodes = tuple(Edge(*node) for node in PUBLISHED[name])
    return RecurrentCell(FIRST, nodes, averaged(nodes, "all"))


def highway(before: Tensor, both: Tensor, activation: str) -> Tensor:
    """One highway step: c * f(b) + (1 - c) * s, with c = sigmoid(a).

    Args:
        before: s, (batch, hidden).
        both: a and b side by side, (batch, 2 * hidden).
        activation: f.
    """
    gate, value = both.chunk(2, dim=-1)
    return torch.lerp(before, ACTIVATIONS[activation](value), torch.sigmoid(gate))


def square(hidden: int) -> nn.Linear:
    """[U W] of one state: hidden -> 2 * hidden, without bias."""
    return nn.Linear(hidden, 2 * hidden, bias=False)


def initialise(module: nn.Module, fan_in: int) -> None:
    """Draw all weights inside uniformly in +-sqrt(3 / fan_in): the output varies as much as the input.

    At the authors' size (850 units of x and of h) that is their +-0.04, to two digits.
    """
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -((3 / fan_in) ** 0.5), (3 / fan_in) ** 0.5)


class RecurrentStep(nn.Module):
    """The cell: (x Wx, h) -> the next h."""

    def __init__(self, cell: RecurrentCell, hidden: int) -> None:
        """
        Args:
            cell: what it computes.
            hidden: units of a state.
        """
        super().__init__()
        self.cell = cell
        self.from_hidden = square(hidden)
        self.nodes = nn.ModuleList([square(hidden) for _ in cell.nodes])
        initialise(self.from_hidden, 2 * hidden)
        initialise(self.nodes, hidden)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """One step in time.

        Args:
            x: the input, multiplied by [Ux Wx] already: (batch, 2 * hidden).
            hidden: h, (batch, hidden).

        Returns:
            The next hidden state, (batch, hidden).
        """
        states = [highway(hidden, x + self.from_hidden(hidden), self.cell.first)]
        for node, weights in zip(self.cell.nodes, self.nodes, strict=True):
            before = states[node.input]
            states.append(highway(before, weights(before), node.op))
        return mean([states[state] for state in self.cell.average])


def mean(states: list[Tensor]) -> Tensor:
    """Of some states of the same shape."""
    total = states[0]
    for state in states[1:]:
        total = total + state
    return total if len(states) == 1 else total * (1 / len(states))


class RecurrentNetwork(nn.Module):
    """Embedding, the cell unrolled over a window, decoder.

    The hidden state is zero at the start of each window. (The papers carry it over from the window before,
    so their perplexities are lower than what short windows give.) There is no batch norm; the authors of
    DARTS have it in the searched cell only.
    """

    def __init__(
        self,
        cell: RecurrentCell,
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
        self.from_input = nn.Linear(embedding or hidden, 2 * hidden, bias=False)
        self.step = RecurrentStep(cell, hidden)
        self.decoder = decoder(self.embedding, hidden, classes, tied)
        prepare(self.embedding, self.from_input, self.decoder)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time), whole numbers of any type -> logits (batch, classes, time): of the token after each."""
        given = self.from_input(self.dropout(self.embedding(tokens.long())))
        hidden = torch.zeros_like(given[:, 0, : self.hidden])
        outputs = []
        for time in range(tokens.shape[1]):
            hidden = self.step(given[:, time], hidden)
            outputs.append(hidden)
        logits: Tensor = self.decoder(self.dropout(torch.stack(outputs, dim=1)))
        return logits.transpose(1, 2)


def decoder(embedding: nn.Embedding, hidden: int, classes: int, tied: bool) -> nn.Linear:
    """From the hidden state to logits; with the very weights of the embedding where it is tied."""
    made = nn.Linear(hidden, classes)
    if tied:
        made.weight = embedding.weight
    return made


def prepare(embedding: nn.Embedding, from_input: nn.Linear, last: nn.Linear) -> None:
    """Draw the weights around the cell: embedding and decoder uniformly in +-4 / sqrt(units), the decoder's bias 0.

    At the authors' 850 units that is near their +-0.1, which is too small for few units: learning starts late.
    """
    for weights in {id(w): w for w in (embedding.weight, last.weight)}.values():
        bound = 4 / weights.shape[1] ** 0.5
        nn.init.uniform_(weights, -bound, bound)
    nn.init.zeros_(last.bias)
    initialise(from_input, from_input.in_features + from_input.out_features // 2)
