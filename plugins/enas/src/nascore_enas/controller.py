"""What all controllers of ENAS share: an LSTM that writes an architecture token by token (Pham et al. 2018, section 2).

A controller of a new kind of space is a subclass of :class:`Writer` with two methods::

    class MyController(Writer):
        def __init__(self, space, hidden, shape):
            super().__init__(hidden, shape)
            self.op_logits = nn.Linear(hidden, 4, bias=False)   # its own parts
            self.embedding = nn.Embedding(4, hidden)
            self.draw_weights()                                 # last: all weights uniform in [-0.1, 0.1]

        def write(self, pen):                                   # makes the decisions, `pen.count` at a time
            x = self.begin(pen.count)
            for _ in range(3):
                h = pen.step(x)
                x = self.embedding(pen.token(self.bounded(self.op_logits(h), self.shape.tanh_constant)))

        def genome(self, tokens):                               # one row of tokens -> a genome of the space
            return {f"op.{number}": OPS[token] for number, token in enumerate(tokens)}

and a line in :func:`controller_for`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from nascore.plugins import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore.records import Json

RANGE = 0.1
"""Weights start uniform in [-RANGE, RANGE]."""


@dataclass(frozen=True)
class Shape:
    """How the distributions of a controller are bounded: c tanh(logits / temperature).

    Attributes:
        temperature: > 0; higher: nearer to uniform.
        tanh_constant: c of the indices, > 0: with n options no one is likelier than 1 / (1 + (n - 1) e^(-2c)).
        op_reduce: the ops have c / op_reduce, > 0.
        separable_bias: added to the logits of separable convolutions, taken from those of the other ops.
        skip_target: rate of skips that the penalty of the macro space pulls to, in (0, 1).
    """

    temperature: float = 1.0
    tanh_constant: float = 1.1
    op_reduce: float = 2.5
    separable_bias: float = 0.0
    skip_target: float = 0.4


@dataclass(frozen=True)
class Draws:
    """Architectures that were drawn together.

    Attributes:
        tokens: (count, tokens), in the order of the controller.
        log_prob: (count,), of all tokens of an architecture together (nats).
        entropy: (count,), of the distributions over all actions at each token, summed (nats).
        penalty: (count,), what the distributions are to be kept from (nats); None where nothing is.
    """

    tokens: Tensor
    log_prob: Tensor
    entropy: Tensor
    penalty: Tensor | None = None


class Writer(nn.Module, ABC):
    """A controller. Subclasses make the decisions in :meth:`write` and say in :meth:`genome` what they mean."""

    def __init__(self, hidden: int, shape: Shape) -> None:
        """
        Args:
            hidden: size of the LSTM.
            shape: of the distributions.
        """
        super().__init__()
        self.shape = shape
        self.lstm = nn.LSTMCell(hidden, hidden)
        self.start = nn.Parameter(torch.empty(hidden))

    @abstractmethod
    def write(self, pen: Pen) -> None:
        """Make all decisions of ``pen.count`` architectures with :meth:`Pen.step` and :meth:`Pen.token`."""

    @abstractmethod
    def genome(self, tokens: Sequence[int]) -> dict[str, Json]:
        """The genome that one row of tokens stands for."""

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw architectures, independently of each other; differentiable in ``log_prob`` and ``penalty``."""

        def chosen(_: int, probabilities: Tensor) -> Tensor:
            return torch.multinomial(probabilities.detach().cpu(), 1, generator=generator).squeeze(1)

        return self._written(count, chosen)

    def score(self, tokens: Tensor) -> Draws:
        """The log-probability, entropy and penalty of given architectures: (count, tokens)."""
        return self._written(len(tokens), lambda position, _: tokens[:, position])

    def _written(self, count: int, choose: Callable[[int, Tensor], Tensor]) -> Draws:
        pen = Pen(self, count, choose)
        self.write(pen)
        penalty = torch.stack(pen.penalties).mean(0) if pen.penalties else None
        return Draws(
            torch.stack(pen.tokens, dim=1),
            torch.stack(pen.log_probs).sum(0),
            torch.stack(pen.entropies).sum(0),
            penalty,
        )

    # ------------------------------------------------------------------ for subclasses

    def draw_weights(self) -> None:
        """All weights uniform in [-RANGE, RANGE], from torch's global generator; call it last in ``__init__``."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -RANGE, RANGE)

    def begin(self, count: int) -> Tensor:
        """The first input of the LSTM, (count, hidden)."""
        return self.start.expand(count, -1)

    def bounded(self, logits: Tensor, constant: float) -> Tensor:
        """``c tanh(logits / temperature)``, c = ``constant``."""
        return constant * torch.tanh(logits / self.shape.temperature)

    def bounded_ops(self, logits: Tensor) -> Tensor:
        """Logits of ops, whose c is ``op_reduce`` times smaller."""
        return self.bounded(logits, self.shape.tanh_constant / self.shape.op_reduce)

    def op_bias(self, ops: Sequence[str]) -> Tensor:
        """``separable_bias`` for each separable convolution, minus it for each other op; (ops,)."""
        return self.shape.separable_bias * torch.tensor([1.0 if op.startswith("sep_conv") else -1.0 for op in ops])


class Pen:
    """One pass of a controller over its decisions, ``count`` architectures at a time.

    Attributes:
        state: of the LSTM: h and c, each (count, hidden).
        penalties: added by a writer, each (count,); the mean of them is that of the draws.
    """

    def __init__(self, writer: Writer, count: int, choose: Callable[[int, Tensor], Tensor]) -> None:
        """
        Args:
            writer: whose pass it is.
            count: architectures.
            choose: (position of the token, probabilities (count, options)) -> tokens (count,).
        """
        self.count, self._writer, self._choose = count, writer, choose
        self.tokens: list[Tensor] = []
        self.log_probs: list[Tensor] = []
        self.entropies: list[Tensor] = []
        self.penalties: list[Tensor] = []
        zeros = writer.start.new_zeros(count, writer.lstm.hidden_size)
        self.state = (zeros, zeros)

    def step(self, x: Tensor) -> Tensor:
        """Give the LSTM its next input (count, hidden); its output h, of the same shape."""
        self.state = self._writer.lstm(x, self.state)
        return self.state[0]

    def token(self, logits: Tensor) -> Tensor:
        """Decide by softmax(logits), (count, options), minus infinity for what is not allowed; tokens (count,)."""
        log_p = torch.log_softmax(logits, dim=1)
        token = self._choose(len(self.tokens), log_p.exp()).to(logits.device)
        self.tokens.append(token)
        self.log_probs.append(log_p.gather(1, token[:, None]).squeeze(1))
        # Over all actions, not the drawn one alone; a masked action has probability 0 and adds 0.
        self.entropies.append(torch.special.entr(log_p.detach().exp()).sum(1))
        return token


def controller_for(space: Any, hidden: int, shape: Shape) -> Writer:
    """The controller for a space with a supernet; its weights are drawn from torch's global generator.

    * spaces that read tokens (recurrent cells): :class:`nascore_enas.recurrent.RecurrentController`;
    * spaces whose wirings are all of cells with two inputs: :class:`nascore_enas.cells.CellController`;
    * all others (the macro space, NAS-Bench-201 cells, chains): :class:`nascore_enas.macro.MacroController`.

    Args:
        space: set up; a :class:`~nascore_blocks.supernet.base.SupernetSpace`.
        hidden: size of the LSTM.
        shape: of the distributions.
    """
    from nascore_blocks.supernet.wiring import CellWiring

    if "tokens" in space.requires:
        name = "recurrent:RecurrentController"
    elif all(isinstance(wiring, CellWiring) for wiring in space.wirings.values()):
        name = "cells:CellController"
    else:
        name = "macro:MacroController"
    return cast("Writer", resolve(f"nascore_enas.{name}")(space, hidden, shape))
