"""The recurrent controller of Zoph and Le 2017, sections 3.1 and 3.3: an LSTM with a softmax a token, and anchors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.seeding import derive_seed, isolated_random
from nascore_nas.controller import Controller, Pass

if TYPE_CHECKING:
    from nascore_nas.controller import Question

RANGE = 0.08
"""Weights start uniform in [-RANGE, RANGE]."""

_SKIP = re.compile(r"skip\.(\d+)\.(\d+)")
_NUMBER = re.compile(r"\d+")


def skip_of(question: Question) -> tuple[int, int] | None:
    """(i, j) where the question is whether layer i reads layer j: ``skip.i.j``, false or true."""
    found = _SKIP.fullmatch(question.name)
    bits = len(question.options) == 2 and question.options[0] is False and question.options[1] is True
    return (int(found[1]), int(found[2])) if found and bits else None


class Recurrent(Controller):
    """Each answer is embedded and read by the LSTM, whose output h gives the next softmax.

    Decisions of one kind share softmax and embeddings, as the tokens of one type do in the paper: those with the
    same options whose names differ in their numbers alone (``layer.0.height`` and ``layer.3.height``). Then
    only what the LSTM has read tells them apart, which takes many architectures to learn.

    Bits ``skip.i.j`` are an anchor point (section 3.3): P(j -> i) = sigmoid(v^T tanh(W_prev h_j + W_curr h_i)), each
    independent of the others, with h_i the output of the LSTM when it has read the tokens of layer i. After the
    bits it reads the mean of h_j over the layers that were chosen (the paper does not say what it reads).
    """

    def __init__(self, seed: int, hidden: int = 35, layers: int = 2, shared: bool = True) -> None:
        """
        Args:
            seed: of all weights.
            hidden: units of a layer of the LSTM, and length of an embedding.
            layers: of the LSTM.
            shared: decisions of one kind share a softmax; else each name has its own.
        """
        super().__init__(seed)
        self.hidden, self.shared = hidden, shared
        with isolated_random(derive_seed(seed, "lstm")):
            self.start = nn.Parameter(torch.empty(hidden))
            self.cells = nn.ModuleList([nn.LSTMCell(hidden, hidden) for _ in range(layers)])
            self.previous = nn.Linear(hidden, hidden, bias=False)
            self.current = nn.Linear(hidden, hidden, bias=False)
            self.v = nn.Parameter(torch.empty(hidden))
            _draw_weights(self)

    def kind(self, question: Question) -> str:
        """Its name (without the numbers, where it is shared) and options; none for a skip, which is an attention's."""
        if skip_of(question) is not None:
            return ""
        name = _NUMBER.sub("*", question.name) if self.shared else question.name
        return f"{name} {json.dumps(question.options)}"

    def make(self, options: int) -> nn.Module:
        """Softmax and embeddings."""
        part = nn.ModuleList([nn.Linear(self.hidden, options), nn.Embedding(options, self.hidden)])
        _draw_weights(part)
        return part

    def begin(self, count: int) -> Pass:
        """See :class:`Pass`."""
        return _RecurrentPass(self, count)


class _RecurrentPass(Pass):
    """The LSTM on its way.

    Attributes:
        x: what it reads next, (count, hidden).
        anchors: number of a layer -> its output h when it had read that layer's tokens, (count, hidden).
        chosen: during the bits of a layer: the sum of the h_j that were chosen, and how many there are.
    """

    def __init__(self, controller: Recurrent, count: int) -> None:
        self.controller, self.count = controller, count
        zeros = controller.start.new_zeros(count, controller.hidden)
        self.states = [(zeros, zeros) for _ in controller.cells]
        self.x = controller.start.expand(count, -1)
        self.anchors: dict[int, Tensor] = {}
        self.chosen: tuple[Tensor, Tensor] | None = None
        self.question: Question | None = None
        self.layer: int | None = None  # of the last token that was no bit

    def ask(self, question: Question) -> Tensor:
        self.question = question
        skip = skip_of(question)
        if skip is not None:
            return self._bit(*skip)
        self._end_bits()
        hidden = self._step()
        number = _NUMBER.search(question.name)
        layer = int(number[0]) if number else None
        if self.layer is not None and layer != self.layer:
            # The first layer has no bits, so no step of its own; this one has read all of its tokens.
            self.anchors.setdefault(self.layer, hidden)
        self.layer = layer
        softmax = cast("nn.ModuleList", self.controller.part(question))[0]
        return torch.log_softmax(softmax(hidden), dim=1)

    def answer(self, index: Tensor) -> None:
        if self.question is None:
            raise RuntimeError("answer() comes after ask().")
        skip = skip_of(self.question)
        if skip is None:
            self.x = cast("nn.ModuleList", self.controller.part(self.question))[1](index)
        elif self.chosen is not None:
            total, number = self.chosen
            bit = index[:, None].to(total)
            self.chosen = total + bit * self._anchor(skip[1]), number + bit

    def _bit(self, layer: int, before: int) -> Tensor:
        if self.chosen is None or layer not in self.anchors:
            self._end_bits()
            self.anchors[layer] = self._step()
            self.chosen = torch.zeros_like(self.anchors[layer]), self.anchors[layer].new_zeros(self.count, 1)
        mixed = self.controller.previous(self._anchor(before)) + self.controller.current(self.anchors[layer])
        z = torch.tanh(mixed) @ self.controller.v
        return torch.stack([F.logsigmoid(-z), F.logsigmoid(z)], dim=1)

    def _anchor(self, layer: int) -> Tensor:
        found = self.anchors.get(layer)
        return self.controller.start.new_zeros(self.count, self.controller.hidden) if found is None else found

    def _end_bits(self) -> None:
        if self.chosen is not None:
            total, number = self.chosen
            self.x = total / number.clamp(min=1)
            self.chosen = None

    def _step(self) -> Tensor:
        x = self.x
        for level, cell in enumerate(self.controller.cells):
            self.states[level] = cell(x, self.states[level])
            x = self.states[level][0]
        return x


def _draw_weights(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -RANGE, RANGE)
