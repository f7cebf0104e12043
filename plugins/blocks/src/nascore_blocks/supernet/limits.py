"""Keeping a derived architecture within the constraints of a search, for the methods that learn alpha by gradient.

Two parts. While what alpha stands for breaks a limit, :meth:`Limits.penalty` stands in the loss of alpha,
as strong as the limit is broken. And :meth:`Limits.derive` gives the architecture of the strongest edges
once their weights are divided by as much of their price as it takes: with prices c and the least
lambda >= 0 at which no constraint is broken, of w exp(-lambda c).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore_blocks.supernet import prices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import View
    from nascore.records import Architecture, Constraint
    from nascore_blocks.supernet.base import SupernetSpace

PRICES = {"params": prices.params, "macs": prices.macs}
"""Costs that are exact sums over ops. Others (latency, memory) grow with the multiply-accumulates."""

TINY = sys.float_info.min
DOUBLINGS, HALVINGS = 24, 16
"""Of lambda: from 2^-8 to 2^15, then as many steps between what is too little and what is enough."""


class Limits:
    """The constraints of a search on one space."""

    def __init__(self, space: SupernetSpace, constraints: Sequence[Constraint]) -> None:
        """
        Args:
            space: set up.
            constraints: of the search; those with a lower limit (``accuracy>=0.9``) are not looked at.
        """
        self._space = space
        self._names = sorted({c.name if c.name in PRICES else "macs" for c in constraints if c.upper})
        self._tables: list[dict[str, Tensor]] | None = None
        self.pressure = 0.0
        """Excess of the architecture that was derived last, before anything was taken off its weights."""

    def derive(self, weights: Mapping[str, Tensor], view: View) -> Architecture:
        """The architecture of the strongest edges that breaks no constraint on a cost.

        Where even the cheapest breaks one, that is what comes, and its trial becomes INFEASIBLE.

        Args:
            weights: kind -> (edges, ops), > 0 and comparable within what competes.
            view: of the trial.
        """
        strongest = self._space.derive(weights)
        self.pressure = view.excess(strongest) if self._names else 0.0
        if not self.pressure > 0:
            return strongest
        enough, found = 2.0**-8, strongest
        for _ in range(DOUBLINGS):
            found = self._cheaper(weights, enough)
            if view.excess(found) <= 0:
                break
            enough *= 2
        else:
            return found
        little = enough / 2
        for _ in range(HALVINGS):
            middle = (little + enough) / 2
            other = self._cheaper(weights, middle)
            if view.excess(other) <= 0:
                enough, found = middle, other
            else:
                little = middle
        return found

    def penalty(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """Pressure * sum over the limited costs of ln(1 + E[C]), a scalar; differentiable in the probabilities."""
        like = next(iter(probabilities.values()))
        if not self.pressure > 0:
            return like.new_zeros(())
        costs = [prices.expected_cost(probabilities, table) for table in self.tables]
        return self.pressure * torch.log1p(torch.stack(costs)).sum()

    @property
    def tables(self) -> list[dict[str, Tensor]]:
        """A price table for each limited cost; made when first needed."""
        if self._tables is None:
            with torch.device("meta"):
                supernet = self._space.supernet(self._space.task)
            self._tables = [prices.price_table(supernet, PRICES[name]) for name in self._names]
        return self._tables

    def _cheaper(self, weights: Mapping[str, Tensor], factor: float) -> Architecture:
        """Of w exp(-factor * price), each price as a share of the dearest op's."""
        dearest = [float(max(prices.max() for prices in table.values())) for table in self.tables]
        reduced = {}
        for kind, weight in weights.items():
            price = torch.stack([table[kind] / top for table, top in zip(self.tables, dearest, strict=True)]).sum(0)
            # Logarithms, which do not run into 0: the order alone counts.
            reduced[kind] = weight.detach().cpu().double().clamp_min(TINY).log() - factor * price
        return self._space.derive(reduced)
