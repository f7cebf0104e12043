"""The controller that writes cells: the micro search (Pham et al. 2018, section 2.4 and figure 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from nascore_blocks.genotypes import Edge
from nascore_enas.controller import Shape, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Json
    from nascore_blocks.genotypes import Node
    from nascore_blocks.supernet.wiring import CellWiring
    from nascore_enas.controller import Pen


class Cells(Protocol):
    """What the controller needs of a cell space."""

    @property
    def wiring(self) -> CellWiring:
        """With one slot, the two inputs of a node differ (DARTS cells); with two they need not."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The cells to write, one after the other."""

    def write(self, kind: str, nodes: Sequence[Node]) -> dict[str, Json]:
        """The decisions that make these nodes."""


class CellController(Writer):
    """Draws the two inputs of a node by attention over the earlier nodes, its two ops by a softmax.

    Tokens: for each cell, for each node, the two inputs, then their two ops. The LSTM's state runs on
    from cell to cell.
    """

    bias: Tensor

    def __init__(self, space: Cells, hidden: int, shape: Shape) -> None:
        """Weights are drawn from torch's global generator.

        Args:
            space: of the cells.
            hidden: size of the LSTM.
            shape: of the distributions.
        """
        super().__init__(hidden, shape)
        self.space, self.wiring = space, space.wiring
        self.ops = tuple(self.wiring.ops[op] for op in self.wiring.live)
        self.embedding = nn.Embedding(len(self.ops), hidden)
        self.op_logits = nn.Linear(hidden, len(self.ops), bias=False)
        self.anchor_map = nn.Linear(hidden, hidden, bias=False)
        self.state_map = nn.Linear(hidden, hidden, bias=False)
        self.attention = nn.Linear(hidden, 1, bias=False)
        self.draw_weights()
        self.register_buffer("bias", self.op_bias(self.ops), persistent=False)

    def nodes(self, tokens: Sequence[int]) -> dict[str, tuple[Node, ...]]:
        """The nodes of each kind of cell that one row of tokens stands for."""
        answers = iter(tokens)
        found: dict[str, tuple[Node, ...]] = {}
        for kind in self.space.kinds:
            nodes = []
            for _ in range(self.wiring.nodes):
                inputs = next(answers), next(answers)
                nodes.append(tuple(Edge(self.ops[next(answers)], given) for given in inputs))
            found[kind] = tuple(nodes)
        return found

    def genome(self, tokens: Sequence[int]) -> dict[str, Json]:
        """See :meth:`Writer.genome`."""
        genome: dict[str, Json] = {}
        for kind, nodes in self.nodes(tokens).items():
            genome |= self.space.write(kind, nodes)
        return genome

    def write(self, pen: Pen) -> None:
        """See :meth:`Writer.write`."""
        for _ in self.space.kinds:
            self._cell(pen)

    def _cell(self, pen: Pen) -> None:
        begin = self.begin(pen.count)
        anchors = [pen.step(begin) for _ in range(2)]  # the two inputs of the cell: nothing to decide
        for _ in range(self.wiring.nodes):
            x = begin
            stack = torch.stack(anchors, dim=1)  # (count, earlier nodes, hidden)
            keys = self.anchor_map(stack)
            first: Tensor | None = None
            for _ in range(2):
                first, x = self._index(pen, x, stack, keys, first)
            for _ in range(2):
                x = self._op(pen, x)
            anchors.append(pen.step(x))

    def _index(self, pen: Pen, x: Tensor, stack: Tensor, keys: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """v^T tanh(W1 a_j + W2 h) for each earlier node j; the next input is the anchor of the chosen one."""
        h = pen.step(x)
        raw = self.attention(torch.tanh(keys + self.state_map(h)[:, None])).squeeze(2)
        logits = self.bounded(raw, self.shape.tanh_constant)
        if before is not None and self.wiring.slots == 1:
            logits = logits.scatter(1, before[:, None], -torch.inf)
        chosen = pen.token(logits)
        return chosen, stack[torch.arange(pen.count), chosen]

    def _op(self, pen: Pen, x: Tensor) -> Tensor:
        logits = self.bounded_ops(self.op_logits(pen.step(x))) + self.bias
        embedded: Tensor = self.embedding(pen.token(logits))
        return embedded
