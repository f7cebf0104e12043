"""The controller that writes recurrent cells (Pham et al. 2018, section 2.1 and figure 1), and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from nascore_blocks.genotypes import Edge
from nascore_enas.controller import Shape, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Json
    from nascore_enas.controller import Pen


class Cells(Protocol):
    """What the controller needs of the recurrent space."""

    @property
    def nodes(self) -> int:
        """After state 0."""

    @property
    def ops(self) -> tuple[str, ...]:
        """The activations to choose from."""

    @property
    def first(self) -> str:
        """``chosen`` where state 0 chooses its activation, else that activation."""

    def write(self, first: str, nodes: Sequence[Edge]) -> dict[str, Json]:
        """The decisions that make these nodes."""


class RecurrentController(Writer):
    """Draws the predecessor of a node by attention over the earlier states, then its activation by a softmax.

    Tokens: the activation of state 0 where it is chosen; then for each node its predecessor and its
    activation.
    """

    def __init__(self, space: Cells, hidden: int, shape: Shape) -> None:
        """Weights are drawn from torch's global generator.

        Args:
            space: of the cells.
            hidden: size of the LSTM.
            shape: of the distributions.
        """
        super().__init__(hidden, shape)
        self.space = space
        self.embedding = nn.Embedding(len(space.ops), hidden)
        self.op_logits = nn.Linear(hidden, len(space.ops), bias=False)
        self.anchor_map = nn.Linear(hidden, hidden, bias=False)
        self.state_map = nn.Linear(hidden, hidden, bias=False)
        self.attention = nn.Linear(hidden, 1, bias=False)
        self.draw_weights()

    def genome(self, tokens: Sequence[int]) -> dict[str, Json]:
        """See :meth:`Writer.genome`."""
        answers = iter(tokens)
        first = self.space.ops[next(answers)] if self._chooses_first else self.space.first
        nodes = []
        for _ in range(self.space.nodes):
            before = next(answers)
            nodes.append(Edge(self.space.ops[next(answers)], before))
        return self.space.write(first, nodes)

    def write(self, pen: Pen) -> None:
        """See :meth:`Writer.write`. The anchor of a state is the LSTM's output that decided its activation."""
        x = self.begin(pen.count)
        if self._chooses_first:
            x, anchor = self._op(pen, x)
        else:
            anchor = pen.step(x)
        anchors = [anchor]
        for _ in range(self.space.nodes):
            x, anchor = self._op(pen, self._index(pen, x, torch.stack(anchors, dim=1)))
            anchors.append(anchor)

    @property
    def _chooses_first(self) -> bool:
        return self.space.first == "chosen"

    def _index(self, pen: Pen, x: Tensor, stack: Tensor) -> Tensor:
        """v^T tanh(W1 a_j + W2 h) for each earlier state j; the next input is the anchor of the chosen one."""
        h = pen.step(x)
        raw = self.attention(torch.tanh(self.anchor_map(stack) + self.state_map(h)[:, None])).squeeze(2)
        return stack[torch.arange(pen.count), pen.token(self.bounded(raw, self.shape.tanh_constant))]

    def _op(self, pen: Pen, x: Tensor) -> tuple[Tensor, Tensor]:
        """The next input, which is the embedded activation; and the anchor."""
        h = pen.step(x)
        embedded: Tensor = self.embedding(pen.token(self.bounded_ops(self.op_logits(h))))
        return embedded, h
