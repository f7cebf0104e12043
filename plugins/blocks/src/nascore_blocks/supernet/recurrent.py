"""The supernet of the recurrent space: every activation on every edge of the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_blocks.recurrent import CHOSEN, Link
from nascore_blocks.recurrent_network import (
    ACTIVATIONS,
    RecurrentCell,
    RecurrentNetwork,
    decoder,
    highway,
    initialise,
    mean,
    prepare,
    square,
)
from nascore_blocks.supernet.base import Supernet
from nascore_blocks.supernet.mix import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nascore_blocks.recurrent import RecurrentWiring
    from nascore_blocks.supernet.mix import Mixture


class SquareShape(NamedTuple):
    """What an edge into a node costs: one matrix [U W], at each time of a window; activations are free."""

    hidden: int
    length: int

    @property
    def input_shape(self) -> tuple[int, int]:
        """(time, hidden)."""
        return self.length, self.hidden

    def build(self) -> nn.Module:
        """The matrix."""
        return square(self.hidden)


class Plan(NamedTuple):
    """What runs at one node, worked out once for all times.

    Attributes:
        states: predecessors that are read; empty: the node is zero.
        weights: (hidden, 2 * hidden), or as many as states of them; None at state 0.
        ops: the activations that run anywhere.
        shares: for each of them (states, 1, 1), what it is multiplied by; 0 where it does not run.
        total: (states, 1, 1), their sum.
        alone: the name of the activation, where one runs on one edge with weight 1.
    """

    states: tuple[int, ...]
    weights: Tensor | None
    ops: tuple[str, ...]
    shares: tuple[Tensor, ...]
    total: Tensor
    alone: str | None


class RecurrentSupernet(Supernet):
    """Embedding, the relaxed cell unrolled over a window, decoder; the one kind is ``cell``.

    A node is the sum over its edges j and activations o of p_jo (c_j o(b_j) + (1 - c_j) s_j) (Liu et al. 2019,
    section 2.4), divided by the sum of the p_jo where that is above 1. The authors put a batch norm behind
    each node, without which the sums grow from node to node and from time to time; it takes out any
    common factor, and so does the division, which needs no statistics. A node where one path runs is
    just that path, so an architecture inside equals itself alone.

    The output is the mean of the nodes that :class:`~nascore_blocks.supernet.mix.Paths` names as ``concat``,
    or of all. The hidden state starts at zero in each window, and there is no dropout.
    """

    def __init__(
        self,
        wiring: RecurrentWiring,
        length: int,
        classes: int,
        *,
        first: str = "tanh",
        share: str = "node",
        hidden: int = 64,
        embedding: int = 0,
        tied: bool = True,
        fast: bool = True,
    ) -> None:
        """
        Args:
            wiring: candidate edges and activations.
            length: of a window, for the costs.
            classes: size of the vocabulary.
            first: activation of state 0; ``chosen`` where the wiring has an edge for it.
            share: weights for each ``node``, or for each ``pair`` of node and predecessor.
            hidden: units of a state.
            embedding: units of a token; 0: as many as ``hidden``.
            tied: the decoder's weights are those of the embedding.
            fast: kept for the contract; there is one way to compute.
        """
        super().__init__()
        self.wiring, self.wirings, self.fast = wiring, {"cell": wiring}, fast
        self.length, self.classes, self.first, self.share = length, classes, first, share
        self.hidden, self.width, self.tied = hidden, embedding, tied
        self.embedding = nn.Embedding(classes, embedding or hidden)
        self.from_input = nn.Linear(embedding or hidden, 2 * hidden, bias=False)
        self.from_hidden = square(hidden)
        owners = (
            range(1, wiring.nodes + 1) if share == "node" else [e for e, link in enumerate(wiring.edges) if link.node]
        )
        self.squares = nn.ModuleDict({str(owner): square(hidden) for owner in owners})
        self.decoder = decoder(self.embedding, hidden, classes, tied)
        initialise(self.from_hidden, 2 * hidden)
        initialise(self.squares, hidden)
        prepare(self.embedding, self.from_input, self.decoder)

    def forward(self, tokens: Tensor, mixture: Mixture) -> Tensor:
        """Tokens (batch, time), whole numbers of any type -> logits (batch, classes, time).

        Args:
            tokens: the inputs.
            mixture: the paths of ``cell``.
        """
        paths = mixture["cell"]
        plans = {node: self._plan(node, paths) for node in range(self.wiring.nodes + 1)}
        average = paths.concat or tuple(range(1, self.wiring.nodes + 1))
        given = self.from_input(self.embedding(tokens.long()))
        hidden = torch.zeros_like(given[:, 0, : self.hidden])
        outputs = []
        for x in given.unbind(1):
            states = [_mixed(plans[0], hidden[None], (x + self.from_hidden(hidden))[None])]
            for node in range(1, self.wiring.nodes + 1):
                states.append(self._state(plans[node], states))
            hidden = mean([states[state] for state in average])
            outputs.append(hidden)
        logits: Tensor = self.decoder(torch.stack(outputs, dim=1))
        return logits.transpose(1, 2)

    def priced_ops(self) -> Iterator[tuple[str, int, int, SquareShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`. State 0 costs the same whatever it chooses."""
        for edge, link in enumerate(self.wiring.edges):
            if link.node:
                for op in self.wiring.live:
                    yield "cell", edge, op, SquareShape(self.hidden, self.length)

    # ------------------------------------------------------------------ one architecture

    def paths(self, cell: RecurrentCell) -> dict[str, Paths]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.paths`."""
        active: list[tuple[int, ...]] = [()] * len(self.wiring.edges)
        for edge, op in self._edges(cell):
            active[edge] = (op,)
        return {"cell": Paths(tuple(active), concat=cell.average)}

    def extract(self, cell: RecurrentCell) -> RecurrentNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`."""
        edges = [edge for edge, _ in self._edges(cell) if self.wiring.edges[edge].node]
        network = RecurrentNetwork(cell, self.classes, hidden=self.hidden, embedding=self.width, tied=self.tied).to(
            next(self.parameters())
        )
        pairs = [(getattr(network, name), getattr(self, name)) for name in ("embedding", "from_input", "decoder")]
        pairs.append((network.step.from_hidden, self.from_hidden))
        pairs += zip(network.step.nodes, (self._square(edge) for edge in edges), strict=True)
        for target, source in pairs:
            target.load_state_dict(source.state_dict())
        return network

    def _edges(self, cell: RecurrentCell) -> list[tuple[int, int]]:
        """Index of the edge and of the activation of each choice, state by state."""
        chosen = [(Link(node, edge.input), edge.op) for node, edge in enumerate(cell.nodes, start=1)]
        if self.first == CHOSEN:
            chosen.insert(0, (Link(0, -1), cell.first))
        elif cell.first != self.first:
            raise SpaceError(f"State 0 of the supernet has {self.first!r}, that of the cell {cell.first!r}.")
        if len(cell.nodes) != self.wiring.nodes:
            raise SpaceError(f"The supernet has {self.wiring.nodes} nodes, the cell {len(cell.nodes)}.")
        for link, op in chosen:
            if op not in self.wiring.ops:
                raise SpaceError(f"The supernet has no {op!r} on the edge of node {link.node} from state {link.input}.")
        return [(self.wiring.number[link], self.wiring.ops.index(op)) for link, op in chosen]

    # ------------------------------------------------------------------ the mixed cell

    def _square(self, edge: int) -> nn.Linear:
        owner = self.wiring.edges[edge].node if self.share == "node" else edge
        return self.squares[str(owner)]  # type: ignore[return-value]  # ModuleDict forgets the class

    def _plan(self, node: int, paths: Paths) -> Plan:
        like = self.from_hidden.weight
        if node == 0 and self.first != CHOSEN:
            return Plan((0,), None, (self.first,), (), like, self.first)
        edges = [edge for edge in self.wiring.into[node] if paths.active[edge]]
        running = like.new_zeros(len(edges), len(self.wiring.ops))
        for row, edge in enumerate(edges):
            running[row, list(paths.active[edge])] = 1
        ops = tuple(sorted({op for edge in edges for op in paths.active[edge]}))
        one = len(edges) == 1 and len(ops) == 1 and paths.weights is None
        table = running if paths.weights is None else running * paths.weights[edges]
        table = table / table.sum().clamp_min(1)
        return Plan(
            tuple(self.wiring.edges[edge].input for edge in edges),
            self._weights(edges) if node and edges else None,
            tuple(self.wiring.ops[op] for op in ops),
            tuple(table[:, op, None, None] for op in ops),
            table.sum(1)[:, None, None],
            self.wiring.ops[ops[0]] if one else None,
        )

    def _weights(self, edges: list[int]) -> Tensor:
        if self.share == "node":
            return self._square(edges[0]).weight.t()
        return torch.stack([self._square(edge).weight.t() for edge in edges])

    def _state(self, plan: Plan, states: list[Tensor]) -> Tensor:
        if plan.weights is None:
            return torch.zeros_like(states[0])
        before = torch.stack([states[state] for state in plan.states])
        return _mixed(plan, before, torch.matmul(before, plan.weights))


def _mixed(plan: Plan, before: Tensor, both: Tensor) -> Tensor:
    """The sum over edges j and activations o of p_jo (c_j o(b_j) + (1 - c_j) s_j): the gate is shared by all o.

    Args:
        plan: of the node.
        before: s, (edges, batch, hidden).
        both: a and b, (edges, batch, 2 * hidden).
    """
    if plan.alone is not None:
        return highway(before[0], both[0], plan.alone)
    if not plan.ops:
        return torch.zeros_like(before[0])
    gate, value = both.chunk(2, dim=-1)
    found = plan.shares[0] * ACTIVATIONS[plan.ops[0]](value)
    for share, op in zip(plan.shares[1:], plan.ops[1:], strict=True):
        found = torch.addcmul(found, share, ACTIVATIONS[op](value))
    return torch.lerp(plan.total * before, found, torch.sigmoid(gate)).sum(0)
