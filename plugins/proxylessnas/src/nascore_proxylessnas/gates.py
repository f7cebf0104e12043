"""Binarised paths and their price, whichever way alpha is learnt: Cai, Zhu and Han 2019, arXiv:1812.00332."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nascore_blocks.supernet import prices
from nascore_blocks.supernet.alphas import entropy, shares
from nascore_blocks.supernet.mix import SinglePath
from nascore_blocks.supernet.picture import AlphaHistory
from nascore_blocks.supernet.policy import Policy
from nascore_proxylessnas.latency import latency_ms
from nascore_proxylessnas.table import tabled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore_blocks.supernet.base import PricedOp
    from nascore_blocks.supernet.limits import Limits
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared
    from nascore_blocks.supernet.wiring import Wiring

COSTS = ("none", "params", "macs", "latency_ms")

LEAST_COST = 0.1
"""Of the reference: what a cheaper network counts as in a reward, or as a factor of the loss. Stem and classifier have
no price, so a network of free ops would cost nothing, and its reward be endless."""


class Gates(Policy):
    """One op an edge runs, drawn by p = softmax(alpha); the weights learn on it, alpha on ``valid``.

    Attributes:
        alphas: kind of place -> alpha, (edges, ops).
        table: kind of place -> F(o), (edges, ops); None before the first round. It is part of the state: a
            resumed search goes on with the latencies that were measured.
        reference: the cost that costs are compared to; 0 until then.
        history: alpha after each round.
    """

    def __init__(
        self,
        wirings: Mapping[str, Wiring],
        limits: Limits,
        alphas: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        every: int,
        warm_up: int,
        cost: str,
        weight: float,
        reference: float,
        file: str = "",
    ) -> None:
        """
        Args:
            wirings: kind of place -> its candidate edges and ops.
            limits: the constraints of the search.
            alphas: see above; leaves.
            optimizer: of alpha; Adam without momentum, so that what has no gradient does not move.
            every: steps of the weights for one of alpha.
            warm_up: rounds at the start in which alpha does not move.
            cost: one of :data:`COSTS`.
            weight: of the cost; see the subclasses.
            reference: see above; 0: the expected cost before the first step.
            file: of latencies, see :func:`~nascore_proxylessnas.table.tabled`; empty: none.
        """
        self.wirings, self.limits = wirings, limits
        self.alphas, self.optimizer = alphas, optimizer
        self.every, self.warm_up = every, warm_up
        self.cost, self.weight, self.reference, self.file = cost, weight, reference, file
        self.table: dict[str, Tensor] | None = None
        self.history = AlphaHistory()
        self.ended = False
        self._single = SinglePath()

    @abstractmethod
    def learn(self, shared: Shared) -> None:
        """Fill the gradient of each alpha and step; the weights stay."""

    # ------------------------------------------------------------------ an iteration

    def begin(self, shared: Shared) -> bool:
        """Price the ops before the first step, so that every step is taken with prices that a checkpoint has."""
        missing = self.table is None
        self.prepare_costs(shared)
        return missing and self.table is not None

    def mix(self, shared: Shared) -> Mixture:
        """Equation 2: one op an edge, by p."""
        return {kind: self._single(a, shared.wirings[kind], shared.generator) for kind, a in self.alphas.items()}

    def iterate(self, shared: Shared) -> None:
        """Section 3.2.1: a step of the weights on one path; after ``every`` of them, a step of alpha."""
        shared.step(self.mix(shared), shared.train_batch())
        if shared.round >= self.warm_up and len(shared.losses) % self.every == 0:
            self.prepare_costs(shared)
            self.learn(shared)

    def probabilities(self) -> dict[str, Tensor]:
        """Kind of place -> p, (edges, ops); differentiable."""
        return shares(self.alphas, self.wirings)

    # ------------------------------------------------------------------ costs

    def prepare_costs(self, shared: Shared) -> None:
        """Price every op at every place, once in a search.

        Raises:
            SettingsError: the file of latencies is of another space, or none.
        """
        if self.cost == "none" or self.table is not None:
            return
        device = shared.parameters[0].device
        price: dict[str, Callable[[PricedOp], float]] = {
            "params": prices.params,
            "macs": prices.macs,
            "latency_ms": lambda shape: latency_ms(shape, device),
        }
        chosen = price[self.cost]
        if self.file:
            chosen = tabled(self.file, {op for *_, op in shared.supernet.priced_ops()}, chosen)
        self.table = prices.price_table(shared.supernet, chosen)
        if not self.reference:
            self.reference = float(self.expected().detach())

    def expected(self) -> Tensor:
        """Equation 6: E = sum_j p_j F(o_j) over all edges, a scalar in the unit of the cost."""
        assert self.table is not None  # prepared
        return prices.expected_cost(self.probabilities(), self.table)

    def pressed(self) -> dict[str, Tensor]:
        """Kind -> gradient of the penalty for a broken constraint, (edges, ops)."""
        if not self.limits.pressure > 0:
            return {kind: torch.zeros_like(a) for kind, a in self.alphas.items()}
        found = torch.autograd.grad(self.limits.penalty(self.probabilities()), list(self.alphas.values()))
        return dict(zip(self.alphas, found, strict=True))

    # ------------------------------------------------------------------ rounds and state

    @torch.no_grad()
    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Mean entropy of an edge (nats), and the expected cost."""
        self.history.add(self.alphas)
        found = {"alphas_entropy": entropy(self.probabilities())}
        if self.table is not None:
            found[f"expected_{self.cost}"] = float(self.expected())
        return found

    def ready(self, done: int, rounds: int) -> bool:
        """After each round in which alpha moved: what it stands for before that is chance."""
        return done > self.warm_up or done >= rounds

    def end(self) -> None:
        """Alpha changes no more, so there is nothing new to propose."""
        self.ended = True

    def state_dict(self) -> dict[str, Any]:
        """Alpha, its Adam, and the price table."""
        return {
            "alphas": {kind: a.detach() for kind, a in self.alphas.items()},
            "optimizer": self.optimizer.state_dict(),
            "table": self.table,
            "reference": self.reference,
            "pressure": self.limits.pressure,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; prices that were found after it are kept, for they do not age."""
        with torch.no_grad():
            for kind, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][kind])
        self.optimizer.load_state_dict(state["optimizer"])
        self.limits.pressure = state["pressure"]
        self.history.load_state_dict(state["history"])
        if state["table"] is not None:
            self.table, self.reference = state["table"], state["reference"]
