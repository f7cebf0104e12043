"""The controller that writes chains: the macro search (Pham et al. 2018, section 2.3), or ops alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.supernet.mix import masked
from nascore_enas.controller import Shape, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore.records import Json
    from nascore_blocks.supernet.base import SupernetSpace
    from nascore_enas.controller import Pen


class MacroController(Writer):
    """Draws the op of each place by a softmax, and the skips of a layer by attention over the states before it.

    Tokens: kind by kind, place by place, an op. Where the space has the kind ``skip``, the tokens of layer k
    are its op and then k bits, one for each state before the previous one; their penalty is the divergence
    from a target rate. All other kinds are places in a row (the layers of a chain, the edges of a cell),
    each told by the LSTM what was chosen before.
    """

    def __init__(self, space: SupernetSpace, hidden: int, shape: Shape) -> None:
        """Weights are drawn from torch's global generator.

        Args:
            space: of the chains; its wiring ``skip``, where it has one, goes with its wiring ``op``.
            hidden: size of the LSTM.
            shape: of the distributions.
        """
        super().__init__(hidden, shape)
        self.space, self.wirings = space, dict(space.wirings)
        self.skips = "skip" in self.wirings
        places = {kind: wiring for kind, wiring in self.wirings.items() if kind != "skip"}
        self.embeddings = nn.ModuleDict({kind: nn.Embedding(len(w.ops), hidden) for kind, w in places.items()})
        self.op_logits = nn.ModuleDict({kind: nn.Linear(hidden, len(w.ops), bias=False) for kind, w in places.items()})
        if self.skips:
            self.anchor_map = nn.Linear(hidden, hidden, bias=False)
            self.state_map = nn.Linear(hidden, hidden, bias=False)
            self.attention = nn.Linear(hidden, 1, bias=False)
        self.draw_weights()
        for kind, wiring in places.items():
            offset = masked(self.op_bias(wiring.ops).repeat(wiring.size[0], 1), wiring)
            self.register_buffer(f"offset_{kind}", offset, persistent=False)

    def write(self, pen: Pen) -> None:
        """See :meth:`Writer.write`."""
        x = self.begin(pen.count)
        anchors = [pen.step(x)] if self.skips else []  # of the stem
        for kind in self.op_logits:
            for place in range(self.wirings[kind].size[0]):
                x = self._op(pen, x, kind, place)
                if self.skips:
                    x = self._skips(pen, pen.step(x), anchors)

    def genome(self, tokens: Sequence[int]) -> dict[str, Json]:
        """What the space derives from the tokens' certainty."""
        certain = {kind: torch.zeros(wiring.size) for kind, wiring in self.wirings.items()}
        for (kind, edge), token in zip(self._order(), tokens, strict=True):
            certain[kind][edge, token] = 1.0
        return self.space.derive(certain).genome  # type: ignore[return-value]  # of decisions

    def _order(self) -> Iterator[tuple[str, int]]:
        """Kind and index of the edge of each token."""
        skip = 0
        for kind in self.op_logits:
            for place in range(self.wirings[kind].size[0]):
                yield kind, place
                for _ in range(place if self.skips else 0):
                    yield "skip", skip
                    skip += 1

    def _op(self, pen: Pen, x: Tensor, kind: str, place: int) -> Tensor:
        """The embedding of the drawn op, (count, hidden)."""
        logits = self.bounded_ops(self.op_logits[kind](pen.step(x))) + self.get_buffer(f"offset_{kind}")[place]
        embedded: Tensor = self.embeddings[kind](pen.token(logits))
        return embedded

    def _skips(self, pen: Pen, h: Tensor, anchors: list[Tensor]) -> Tensor:
        """The bits of a layer, whose anchor ``h`` joins the others; gives the LSTM's next input.

        A skip is there with probability sigmoid(q), in the draw and in the penalty alike.
        """
        before = anchors[:-1]  # the last one is the previous layer, which is always read
        anchors.append(h)
        if not before:
            return self.begin(pen.count)
        stack = torch.stack(before, dim=1)  # (count, states, hidden)
        raw = self.attention(torch.tanh(self.anchor_map(stack) + self.state_map(h)[:, None])).squeeze(2)
        q = self.bounded(raw, self.shape.tanh_constant)
        bits = torch.stack([pen.token(torch.stack([torch.zeros_like(each), each], dim=1)) for each in q.unbind(1)], 1)
        pen.penalties.append(divergence(q, self.shape.skip_target).sum(1))
        read: Tensor = (bits[:, :, None] * stack).sum(1) / (1 + bits.sum(1, keepdim=True))
        return read


def divergence(q: Tensor, target: float) -> Tensor:
    """KL(sigmoid(q) || target) of two coins, nats; the same shape as the logits ``q``."""
    present, absent = torch.sigmoid(q), torch.sigmoid(-q)
    log = torch.nn.functional.logsigmoid
    rate = torch.tensor(target, dtype=q.dtype, device=q.device)
    return present * (log(q) - rate.log()) + absent * (log(-q) - (-rate).log1p())
