"""ProxylessNAS: Cai, Zhu and Han 2019, arXiv:1812.00332."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.contracts import Sampler
from nascore.errors import SettingsError, nearest
from nascore.records import Candidate
from nascore_blocks.supernet.alphas import draw_alphas
from nascore_blocks.supernet.limits import Limits
from nascore_proxylessnas.gates import COSTS, Gates, Reinforce, TwoPaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Objective
    from nascore_blocks.supernet.base import SupernetSpace

VARIANTS = ("gradient", "reinforce")
BETA2 = 0.999


class ProxylessNAS(Sampler):
    """Train one sampled path a step, learn each edge's probabilities from two, and pay for latency.

    Each round of the evaluator ``blocks:supernet`` after the warm-up is followed by a trial: the
    architecture of the two likeliest edges into each node, each with its likeliest op but ``none``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"supernet", "shared_weights"})
    provides: ClassVar[frozenset[str]] = frozenset({"policy"})

    def __init__(
        self,
        variant: str = "gradient",
        learning_rate: float = 1e-3,
        spread: float = 1e-3,
        every: int = 5,
        warm_up: int = 0,
        cost: str = "latency_ms",
        weight: float = 0.1,
        reference: float = 0.0,
        samples: int = 10,
        decay: float = 0.9,
    ) -> None:
        """Set the steps of alpha.

        Args:
            variant: ``gradient`` (through the gates of two paths) or ``reinforce``.
            learning_rate: of Adam on alpha, > 0. Adam runs without momentum, as the authors' does: it
                would move ops that were not drawn.
            spread: standard deviation of alpha at the start, >= 0.
            every: steps of the weights for one of alpha, >= 1; at most as many as a round has.
            warm_up: rounds at the start that train the weights alone, on paths drawn by the first alpha,
                and propose nothing; >= 0.
            cost: ``latency_ms`` (of each op, measured on the device of the search when it starts),
                ``macs``, ``params``, or ``none``.
            weight: of the cost, >= 0: the loss has weight * (E - reference) / reference added; a reward is
                multiplied by (reference / cost)^weight.
            reference: the cost to compare with, of all ops on all edges, in the unit of ``cost``; 0: the
                expected cost at the first step of alpha.
            samples: networks for one step of alpha, >= 1 (reinforce alone).
            decay: beta of the moving baseline b <- beta b + (1 - beta) R, in [0, 1) (reinforce alone).

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, text, names in (("variant", variant, VARIANTS), ("cost", cost, COSTS)):
            if text not in names:
                raise SettingsError(f"{name} is {text!r}; {nearest(text, names)}.")
        for name, value, holds, allowed in (
            ("learning_rate", learning_rate, learning_rate > 0, "> 0"),
            ("spread", spread, spread >= 0, ">= 0"),
            ("every", every, every >= 1, ">= 1"),
            ("warm_up", warm_up, warm_up >= 0, ">= 0"),
            ("weight", weight, weight >= 0, ">= 0"),
            ("reference", reference, reference >= 0, ">= 0"),
            ("samples", samples, samples >= 1, ">= 1"),
            ("decay", decay, 0 <= decay < 1, "in [0, 1)"),
        ):
            if not holds:
                raise SettingsError(f"{name} is {value}; it must be {allowed}.")
        self.variant, self.learning_rate, self.spread = variant, learning_rate, spread
        self.common: dict[str, Any] = {
            "every": every, "warm_up": warm_up, "cost": cost, "weight": weight, "reference": reference,
        }  # fmt: skip
        self.rewarding: dict[str, Any] = {"samples": samples, "decay": decay}

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw alpha around 0; see :meth:`nascore.contracts.Sampler.setup`."""
        super().setup(space, objectives, seed)
        cells = cast("SupernetSpace", space)
        alphas = draw_alphas(cells.wirings, seed, self.spread)
        optimizer = torch.optim.Adam(list(alphas.values()), lr=self.learning_rate, betas=(0.0, BETA2))
        limits = Limits(cells, self.constraints)
        self.policy: Gates
        if self.variant == "gradient":
            self.policy = TwoPaths(cells.wirings, limits, alphas, optimizer, **self.common)
        else:
            self.policy = Reinforce(cells.wirings, limits, alphas, optimizer, **self.common, **self.rewarding)

    def ask(self, view: View) -> Candidate | None:
        """The likeliest architecture now; nothing once the training is over."""
        if self.policy.ended:
            return None
        weights = {kind: p.detach() for kind, p in self.policy.probabilities().items()}
        return Candidate(self.policy.limits.derive(weights, view), origin="likeliest edges")

    def state_dict(self) -> dict[str, Any]:
        """All of the policy."""
        return self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.policy.load_state_dict(state)
