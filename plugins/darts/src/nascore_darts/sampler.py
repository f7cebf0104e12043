"""DARTS: Liu, Simonyan and Yang 2019, arXiv:1806.09055, algorithm 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor
from torch.func import functional_call

from nascore.contracts import Sampler
from nascore.errors import SettingsError, nearest
from nascore.history import eligible
from nascore.records import Candidate
from nascore_blocks.supernet.alphas import draw_alphas, entropy, shares
from nascore_blocks.supernet.limits import Limits
from nascore_blocks.supernet.mix import Softmax
from nascore_blocks.supernet.picture import AlphaHistory
from nascore_blocks.supernet.policy import Policy
from nascore_darts.gradients import exact, finite_difference, first_order, sgd_velocity
from nascore_darts.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Objective, Trial
    from nascore_blocks.supernet.base import SupernetSpace
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Batch, Shared
    from nascore_blocks.supernet.wiring import Wiring

ORDERS = ("first", "second", "exact")


class Alphas(Policy):
    """The relaxed architecture, and its steps: alpha (edges, ops) for each kind of cell."""

    def __init__(
        self,
        space: SupernetSpace,
        alphas: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        order: str,
        limits: Limits,
        watch: Watch,
    ) -> None:
        self.space, self.limits, self.watch = space, limits, watch
        self.alphas, self.optimizer, self.order = alphas, optimizer, order
        self.history = AlphaHistory()
        self.ended = False
        self._softmax = Softmax()

    @property
    def wirings(self) -> Mapping[str, Wiring]:
        """Kind of cell -> its edges and ops."""
        return self.space.wirings

    @property
    def over(self) -> bool:
        """Has the watch stopped the search?"""
        return bool(self.watch.answer)

    def mix(self, shared: Shared) -> Mixture:
        """Equation 2: each op weighs softmax(alpha)."""
        return {kind: self._softmax(a, shared.wirings[kind], shared.generator) for kind, a in self.alphas.items()}

    def iterate(self, shared: Shared) -> None:
        """Algorithm 1: a step of alpha on a validation batch, then a step of the weights on a training batch."""
        train, valid = shared.train_batch(), shared.valid_batch()
        gradients = self.gradient(shared, train, valid)
        for alpha, gradient in zip(self.alphas.values(), gradients, strict=True):
            alpha.grad = gradient
        if self.limits.pressure > 0:
            self.limits.penalty(shares(self.alphas, self.wirings)).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        shared.step({kind: paths.detached() for kind, paths in self.mix(shared).items()}, train)

    def gradient(self, shared: Shared, train: Batch, valid: Batch) -> list[Tensor]:
        """Of the validation loss with respect to each alpha, of the order that is set."""
        alphas, weights = list(self.alphas.values()), shared.parameters
        if self.order == "first":
            with shared.frozen():
                return first_order(lambda: shared.loss(self.mix(shared), valid), alphas)
        velocity = sgd_velocity(shared.optimizer, weights)
        if self.order == "second":
            return finite_difference(
                lambda: shared.loss(self.mix(shared), train),
                lambda: shared.loss(self.mix(shared), valid),
                weights, alphas, velocity, shared.rate,
            )  # fmt: skip
        names = [name for name, _ in shared.supernet.named_parameters()]

        def loss(values: Sequence[Tensor], batch: Batch) -> Tensor:
            given = dict(zip(names, values, strict=True))
            logits = functional_call(shared.supernet, given, (batch.inputs, self.mix(shared)))
            return torch.nn.functional.cross_entropy(logits, batch.labels)

        fast, shared.supernet.fast = shared.supernet.fast, False  # its arithmetic has first derivatives only
        found = exact(lambda w: loss(w, train), lambda w: loss(w, valid), weights, alphas, velocity, shared.rate)
        shared.supernet.fast = fast
        return found

    def weights(self) -> dict[str, Tensor]:
        """Kind of cell -> softmax(alpha), (edges, ops)."""
        return {kind: share.detach() for kind, share in shares(self.alphas, self.wirings).items()}

    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Mean entropy of an edge (nats): ln(ops) at first, falling as alpha decides; and what the watch sees."""
        self.history.add(self.alphas)
        weights = self.weights()
        seen = self.watch.look(shared, self.space, list(self.alphas.values()), lambda: self.mix(shared), weights)
        return {"alphas_entropy": entropy(weights), **seen}

    def end(self) -> None:
        """Alpha changes no more, so there is nothing new to propose."""
        self.ended = True

    def state_dict(self) -> dict[str, Any]:
        """Alphas, those of earlier rounds, their Adam, and what the watch has seen."""
        return {
            "alphas": {k: a.detach() for k, a in self.alphas.items()},
            "optimizer": self.optimizer.state_dict(),
            "pressure": self.limits.pressure,
            "history": self.history.state_dict(),
            "eigenvalues": list(self.watch.eigenvalues),
            "answer": self.watch.answer,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        with torch.no_grad():
            for kind, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][kind])
        self.optimizer.load_state_dict(state["optimizer"])
        self.limits.pressure = state["pressure"]
        self.history.load_state_dict(state["history"])
        self.watch.eigenvalues, self.watch.answer = list(state["eigenvalues"]), state["answer"]


class DARTS(Sampler):
    """Relax the choice of ops to a softmax, descend on alpha by the validation loss, keep the strongest.

    Each round of the evaluator ``blocks:supernet`` is followed by a trial: the architecture of the
    two strongest edges into each node, each with its strongest op but ``none``. Where that breaks a
    constraint, see :mod:`nascore_blocks.supernet.limits`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"supernet", "shared_weights"})
    provides: ClassVar[frozenset[str]] = frozenset({"policy"})

    def __init__(
        self,
        order: str = "first",
        learning_rate: float = 3e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        weight_decay: float = 1e-3,
        spread: float = 1e-3,
        hessian_every: int = 1,
        hessian_examples: int = 64,
        early_stop: bool = False,
    ) -> None:
        """Set the steps of alpha; the defaults are the paper's.

        Args:
            order: ``first`` (the paper's xi = 0), ``second`` (by finite differences, as the paper), or
                ``exact`` (second order by automatic differentiation; slower, for study).
            learning_rate: of Adam on alpha, > 0.
            beta1, beta2: of Adam, in [0, 1).
            weight_decay: on alpha, >= 0; added to the gradient.
            spread: standard deviation of alpha at the start, >= 0.
            hessian_every: the largest eigenvalue of the Hessian of the validation loss with respect to alpha is
                computed after every so many rounds; 0: never. On one core it takes as long as ten to fifteen steps
                of a first-order search.
            hessian_examples: of the validation split, the same each time, >= 2.
            early_stop: end the search when that eigenvalue, averaged over five rounds, is more than 4/3 of what
                it was five rounds before; the answer is the architecture of those five rounds before (R-DARTS).

        Raises:
            SettingsError: a value that is not allowed.
        """
        if order not in ORDERS:
            raise SettingsError(f"order is {order!r}; {nearest(order, ORDERS)}.")
        for name, value, holds in (
            ("learning_rate", learning_rate, learning_rate > 0),
            ("beta1", beta1, 0 <= beta1 < 1),
            ("beta2", beta2, 0 <= beta2 < 1),
            ("weight_decay", weight_decay, weight_decay >= 0),
            ("spread", spread, spread >= 0),
            ("hessian_every", hessian_every, hessian_every >= 0),
            ("hessian_examples", hessian_examples, hessian_examples >= 2),
        ):
            if not holds:
                raise SettingsError(f"{name} is {value}; see `nascore plugins show darts` for its range.")
        if early_stop and hessian_every != 1:
            raise SettingsError(f"hessian_every is {hessian_every}; early_stop needs 1, the eigenvalue of each round.")
        self.order, self.spread = order, spread
        self.watching = (hessian_every, hessian_examples, early_stop)
        self.options = {"lr": learning_rate, "betas": (beta1, beta2), "weight_decay": weight_decay}

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw alpha around 0; see :meth:`nascore.contracts.Sampler.setup`."""
        super().setup(space, objectives, seed)
        cells = cast("SupernetSpace", space)
        alphas = draw_alphas(cells.wirings, seed, self.spread)
        optimizer = torch.optim.Adam(list(alphas.values()), **self.options)  # type: ignore[arg-type]  # mixed values
        self.policy = Alphas(
            cells, alphas, optimizer, self.order, Limits(cells, self.constraints), Watch(*self.watching)
        )

    def ask(self, view: View) -> Candidate | None:
        """The architecture that alpha stands for now; nothing once the training is over."""
        if self.policy.ended or self.policy.over:
            return None
        return Candidate(self.policy.limits.derive(self.policy.weights(), view), origin="strongest edges")

    def recommend(self, history: History) -> Trial | None:
        """The last architecture that breaks no constraint: alpha decides, not the shared weights' accuracy.

        Weights that learnt in a sum of all ops rank single paths badly, and the early ones worst. After an early
        stop, the last one up to the round that it goes back to.
        """
        last = self.policy.watch.answer or math.inf
        kept = [trial for trial in history if eligible(trial)]
        early = [trial for trial in kept if trial.metrics.get("round", 0) <= last]
        return early[-1] if early else kept[0] if kept else None

    def state_dict(self) -> dict[str, Any]:
        """Alphas and their Adam."""
        return self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.policy.load_state_dict(state)
