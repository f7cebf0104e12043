"""SNAS: Xie, Zheng, Liu and Lin 2019, arXiv:1812.09926."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from nascore.contracts import Sampler
from nascore.errors import SettingsError, nearest
from nascore.records import Candidate
from nascore_blocks.supernet import prices
from nascore_blocks.supernet.alphas import draw_alphas, entropy, shares
from nascore_blocks.supernet.limits import Limits
from nascore_blocks.supernet.mix import Concrete
from nascore_blocks.supernet.picture import AlphaHistory
from nascore_blocks.supernet.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Objective
    from nascore_blocks.supernet.base import SupernetSpace
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared
    from nascore_blocks.supernet.wiring import Wiring

PRICES = {"params": prices.params, "macs": prices.macs}
COSTS = ("none", *PRICES)


class Concretes(Policy):
    """A concrete variable Z an edge, and the steps of its log alpha.

    Attributes:
        log_alphas: kind of cell -> log alpha, (edges, ops).
        history: of them, round by round.
    """

    def __init__(
        self,
        wirings: Mapping[str, Wiring],
        limits: Limits,
        log_alphas: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        temperatures: tuple[float, float],
        cost: str,
        eta: float,
    ) -> None:
        self.wirings, self.limits = wirings, limits
        self.log_alphas, self.optimizer, self.temperatures = log_alphas, optimizer, temperatures
        self.cost, self.eta = cost, eta
        self.history = AlphaHistory()
        self.ended = False
        self._table: dict[str, Tensor] | None = None

    def temperature(self, number: int, rounds: int) -> float:
        """Lambda in round ``number`` (from 0 on) of ``rounds``: a line from the first round's to the last round's.

        A training of one round has the first one's.
        """
        first, last = self.temperatures
        share = min(1.0, number / (rounds - 1)) if rounds > 1 else 0.0
        return (1 - share) * first + share * last

    def mix(self, shared: Shared) -> Mixture:
        """Equation 5: Z = softmax((log alpha + G) / lambda); one draw serves the minibatch."""
        concrete = Concrete(self.temperature(shared.round, shared.rounds))
        return {kind: concrete(a, shared.wirings[kind], shared.generator) for kind, a in self.log_alphas.items()}

    def iterate(self, shared: Shared) -> None:
        """Equation 3: the weights and alpha go down one loss, on one training batch, in one backward pass."""
        self.optimizer.zero_grad()
        if self.cost != "none" or self.limits.pressure > 0:
            self.penalty(shared).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        shared.step(self.mix(shared), shared.train_batch())
        self.optimizer.step()

    def penalty(self, shared: Shared) -> Tensor:
        """Equation 10, the expectation taken exactly (C is linear in Z), on a log scale: eta ln(1 + E[C]).

        While the derived architecture breaks a constraint, that presses too.
        """
        probabilities = self.probabilities()
        pressing = self.limits.penalty(probabilities)
        if self.cost == "none":
            return pressing
        return self.eta * torch.log1p(self._expected(shared, probabilities)) + pressing

    def _expected(self, shared: Shared, probabilities: Mapping[str, Tensor]) -> Tensor:
        if self._table is None:
            self._table = prices.price_table(shared.supernet, PRICES[self.cost])
        return prices.expected_cost(probabilities, self._table)

    def probabilities(self) -> dict[str, Tensor]:
        """Kind of cell -> softmax(log alpha), (edges, ops); differentiable."""
        return shares(self.log_alphas, self.wirings)

    @torch.no_grad()
    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Mean entropy of an edge (nats), the temperature of the round, the expected cost."""
        self.history.add(self.log_alphas)
        probabilities = self.probabilities()
        found = {"alphas_entropy": entropy(probabilities), "temperature": self.temperature(shared.round, shared.rounds)}
        if self.cost != "none":
            found[f"expected_{self.cost}"] = float(self._expected(shared, probabilities))
        return found

    def end(self) -> None:
        """Alpha changes no more, so there is nothing new to propose."""
        self.ended = True

    def state_dict(self) -> dict[str, Any]:
        """Log alpha, that of earlier rounds, and its Adam."""
        alphas = {kind: a.detach() for kind, a in self.log_alphas.items()}
        return {
            "log_alphas": alphas,
            "optimizer": self.optimizer.state_dict(),
            "pressure": self.limits.pressure,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        with torch.no_grad():
            for kind, alpha in self.log_alphas.items():
                alpha.copy_(state["log_alphas"][kind])
        self.optimizer.load_state_dict(state["optimizer"])
        self.limits.pressure = state["pressure"]
        self.history.load_state_dict(state["history"])


class SNAS(Sampler):
    """Sample relaxed architectures, descend on their distribution together with the weights, keep the likeliest.

    Each round of the evaluator ``blocks:supernet`` is followed by a trial: the architecture of the
    two likeliest edges into each node, each with its likeliest op but ``none``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"supernet", "shared_weights"})
    provides: ClassVar[frozenset[str]] = frozenset({"policy"})

    def __init__(
        self,
        learning_rate: float = 3e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        weight_decay: float = 1e-3,
        mean: float = 1.0,
        spread: float = 0.01,
        temperature: float = 1.0,
        last_temperature: float = 0.03,
        cost: str = "params",
        eta: float = 1.5e-3,
    ) -> None:
        """Set the steps of log alpha.

        Args:
            learning_rate: of Adam on log alpha, > 0.
            beta1, beta2: of Adam, in [0, 1).
            weight_decay: on log alpha, >= 0; added to the gradient.
            mean, spread: of log alpha at the start, the spread a standard deviation >= 0.
            temperature: lambda in the first round, > 0.
            last_temperature: lambda in the last round, > 0; between, it follows a line.
            cost: what the resource term counts: ``params``, ``macs`` (of all candidate ops, each by its
                probability), or ``none``.
            eta: weight of the resource term eta ln(1 + E[cost]), >= 0.

        Raises:
            SettingsError: a value that is not allowed.
        """
        if cost not in COSTS:
            raise SettingsError(f"cost is {cost!r}; {nearest(cost, COSTS)}.")
        for name, value, holds, allowed in (
            ("learning_rate", learning_rate, learning_rate > 0, "> 0"),
            ("beta1", beta1, 0 <= beta1 < 1, "in [0, 1)"),
            ("beta2", beta2, 0 <= beta2 < 1, "in [0, 1)"),
            ("weight_decay", weight_decay, weight_decay >= 0, ">= 0"),
            ("spread", spread, spread >= 0, ">= 0"),
            ("temperature", temperature, temperature > 0, "> 0"),
            ("last_temperature", last_temperature, last_temperature > 0, "> 0"),
            ("eta", eta, eta >= 0, ">= 0"),
        ):
            if not holds:
                raise SettingsError(f"{name} is {value}; it must be {allowed}.")
        self.options = {"lr": learning_rate, "betas": (beta1, beta2), "weight_decay": weight_decay}
        self.mean, self.spread = mean, spread
        self.temperatures = (temperature, last_temperature)
        self.cost, self.eta = cost, eta

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw log alpha; see :meth:`nascore.contracts.Sampler.setup`."""
        super().setup(space, objectives, seed)
        cells = cast("SupernetSpace", space)
        alphas = draw_alphas(cells.wirings, seed, self.spread, self.mean)
        optimizer = torch.optim.Adam(list(alphas.values()), **self.options)  # type: ignore[arg-type]  # mixed values
        self.policy = Concretes(
            cells.wirings, Limits(cells, self.constraints), alphas, optimizer, self.temperatures, self.cost, self.eta
        )

    def ask(self, view: View) -> Candidate | None:
        """The likeliest architecture now; nothing once the training is over."""
        if self.policy.ended:
            return None
        weights = {kind: p.detach() for kind, p in self.policy.probabilities().items()}
        return Candidate(self.policy.limits.derive(weights, view), origin="likeliest edges")

    def state_dict(self) -> dict[str, Any]:
        """Log alpha and its Adam."""
        return self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.policy.load_state_dict(state)
