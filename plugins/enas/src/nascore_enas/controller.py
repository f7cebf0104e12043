"""The controller: an LSTM that writes cells token by token (Pham et al. 2018, section 2.3 and figure 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.genotypes import Edge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_blocks.genotypes import Node
    from nascore_blocks.supernet.wiring import CellWiring

    Cells = dict[str, tuple[Node, ...]]

RANGE = 0.1
"""Weights start uniform in [-RANGE, RANGE]."""


@dataclass(frozen=True)
class Shape:
    """How the logits of an action are bounded: c tanh(logits / temperature).

    Attributes:
        temperature: > 0; higher: nearer to uniform.
        tanh_constant: c of the indices, > 0: with n options no one is likelier than 1 / (1 + (n - 1) e^(-2c)).
        op_reduce: the ops have c / op_reduce, > 0.
        separable_bias: added to the logits of separable convolutions, taken from those of the other ops.
    """

    temperature: float = 1.0
    tanh_constant: float = 1.1
    op_reduce: float = 2.5
    separable_bias: float = 0.0


@dataclass(frozen=True)
class Draws:
    """Architectures that were drawn together.

    Attributes:
        tokens: (count, tokens), in the order of the controller: for each cell, for each node, the two
            inputs, then their two ops.
        log_prob: (count,), of all tokens of an architecture together (nats).
        entropy: (count,), of the distributions over all actions at each token, summed (nats).
    """

    tokens: Tensor
    log_prob: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """Draws the two inputs of a node by attention over the earlier nodes, its two ops by a softmax."""

    bias: Tensor

    def __init__(self, wiring: CellWiring, kinds: Sequence[str], hidden: int, shape: Shape) -> None:
        """Weights are drawn from torch's global generator.

        Args:
            wiring: with one slot, the two inputs of a node differ (DARTS cells); with two they need not.
            kinds: the cells to write, one after the other.
            hidden: size of the LSTM.
            shape: of the distributions.
        """
        super().__init__()
        self.wiring, self.kinds, self.shape = wiring, tuple(kinds), shape
        self.ops = tuple(wiring.ops[op] for op in wiring.live)
        self.lstm = nn.LSTMCell(hidden, hidden)
        self.start = nn.Parameter(torch.empty(hidden))
        self.embedding = nn.Embedding(len(self.ops), hidden)
        self.op_logits = nn.Linear(hidden, len(self.ops), bias=False)
        self.anchor_map = nn.Linear(hidden, hidden, bias=False)
        self.state_map = nn.Linear(hidden, hidden, bias=False)
        self.attention = nn.Linear(hidden, 1, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -RANGE, RANGE)
        sign = torch.tensor([1.0 if op.startswith("sep_conv") else -1.0 for op in self.ops])
        self.register_buffer("bias", shape.separable_bias * sign, persistent=False)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw architectures, independently of each other; differentiable in ``log_prob``."""

        def chosen(_: int, probabilities: Tensor) -> Tensor:
            return torch.multinomial(probabilities.detach().cpu(), 1, generator=generator).squeeze(1)

        return self._write(count, chosen)

    def score(self, tokens: Tensor) -> Draws:
        """The log-probability and entropy of given architectures: (count, tokens)."""
        return self._write(len(tokens), lambda position, _: tokens[:, position])

    def cells(self, tokens: Sequence[int]) -> Cells:
        """The nodes of each cell that one row of tokens stands for."""
        answers = iter(tokens)
        found: Cells = {}
        for kind in self.kinds:
            nodes = []
            for _ in range(self.wiring.nodes):
                inputs = next(answers), next(answers)
                nodes.append(tuple(Edge(self.ops[next(answers)], given) for given in inputs))
            found[kind] = tuple(nodes)
        return found

    def _write(self, count: int, choose: Callable[[int, Tensor], Tensor]) -> Draws:
        pen = _Pen(self, count, choose)
        for _ in self.kinds:
            pen.cell()
        return Draws(
            torch.stack(pen.tokens, dim=1), torch.stack(pen.log_probs).sum(0), torch.stack(pen.entropies).sum(0)
        )


class _Pen:
    """One pass of the controller, ``count`` architectures at a time. The LSTM's state runs on from cell to cell."""

    def __init__(self, controller: Controller, count: int, choose: Callable[[int, Tensor], Tensor]) -> None:
        self.c, self.count, self.choose = controller, count, choose
        self.tokens: list[Tensor] = []
        self.log_probs: list[Tensor] = []
        self.entropies: list[Tensor] = []
        zeros = controller.start.new_zeros(count, controller.lstm.hidden_size)
        self.state = (zeros, zeros)

    def cell(self) -> None:
        begin = self.c.start.expand(self.count, -1)
        anchors: list[Tensor] = []
        for _ in range(2):  # the two inputs of the cell: nothing to decide
            self._step(begin)
            anchors.append(self.state[0])
        for _ in range(self.c.wiring.nodes):
            x = begin
            stack = torch.stack(anchors, dim=1)  # (count, earlier nodes, hidden)
            keys = self.c.anchor_map(stack)
            first: Tensor | None = None
            for _ in range(2):
                first, x = self._index(x, stack, keys, first)
            for _ in range(2):
                x = self._op(x)
            self._step(x)
            anchors.append(self.state[0])

    def _step(self, x: Tensor) -> Tensor:
        self.state = self.c.lstm(x, self.state)
        return self.state[0]

    def _index(self, x: Tensor, stack: Tensor, keys: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """v^T tanh(W1 a_j + W2 h) for each earlier node j; the next input is the anchor of the chosen one."""
        h = self._step(x)
        raw = self.c.attention(torch.tanh(keys + self.c.state_map(h)[:, None])).squeeze(2)
        logits = self._bounded(raw, self.c.shape.tanh_constant)
        if before is not None and self.c.wiring.slots == 1:
            logits = logits.scatter(1, before[:, None], -torch.inf)
        chosen = self._token(logits)
        return chosen, stack[torch.arange(self.count), chosen]

    def _op(self, x: Tensor) -> Tensor:
        shape = self.c.shape
        raw = self.c.op_logits(self._step(x))
        logits = self._bounded(raw, shape.tanh_constant / shape.op_reduce) + self.c.bias
        embedded: Tensor = self.c.embedding(self._token(logits))
        return embedded

    def _bounded(self, logits: Tensor, constant: float) -> Tensor:
        return constant * torch.tanh(logits / self.c.shape.temperature)

    def _token(self, logits: Tensor) -> Tensor:
        log_p = torch.log_softmax(logits, dim=1)
        token = self.choose(len(self.tokens), log_p.exp()).to(logits.device)
        self.tokens.append(token)
        self.log_probs.append(log_p.gather(1, token[:, None]).squeeze(1))
        # Over all actions, not the drawn one alone; a masked action has probability 0 and adds 0.
        self.entropies.append(torch.special.entr(log_p.detach().exp()).sum(1))
        return token
