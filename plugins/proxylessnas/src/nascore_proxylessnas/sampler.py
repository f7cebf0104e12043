"""ProxylessNAS: Cai, Zhu and Han 2019, arXiv:1812.00332."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError, nearest
from nascore.records import Candidate
from nascore_blocks.supernet.alphas import draw_alphas
from nascore_blocks.supernet.limits import Limits
from nascore_proxylessnas.gates import COSTS, Gates
from nascore_proxylessnas.reinforce import Reinforce
from nascore_proxylessnas.two_paths import COST_FORMS, TwoPaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Objective
    from nascore_blocks.supernet.base import SupernetSpace

VARIANTS = ("gradient", "reinforce")
BETA2 = 0.999


class ProxylessNAS(Sampler):
    """Train one sampled path a step, learn each edge's probabilities from two, and pay for latency.

    Each round of the evaluator ``blocks:supernet`` after the warm-up is followed by a trial: the likeliest
    architecture, as the space derives it (the likeliest op of each block of a chain; in a cell of DARTS, the two
    likeliest edges into each node).
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
        cost_form: str = "add",
        scale: float = 0.2,
        latency_table: str = "",
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
            weight: of the cost, >= 0; see ``cost_form``; a reward is multiplied by (reference / cost)^weight.
            reference: the cost to compare with, of all ops on all edges, in the unit of ``cost``; 0: the
                expected cost before the first step.
            samples: networks for one step of alpha, >= 1 (reinforce alone).
            decay: beta of the moving baseline b <- beta b + (1 - beta) R, in [0, 1) (reinforce alone).
            cost_form: how the expected cost E stands in the loss (gradient alone): ``add``
                weight * (E - reference) / reference, or ``multiply`` the cross entropy by
                scale * (ln(1 + E) / ln(1 + reference))^weight.
            scale: see ``cost_form``, > 0.
            latency_table: a file of the latencies of all ops; where it does not exist, it is written. Empty: measure
                anew. For ``cost`` ``latency_ms`` alone.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, text, names in (
            ("variant", variant, VARIANTS),
            ("cost", cost, COSTS),
            ("cost_form", cost_form, COST_FORMS),
        ):
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
            ("scale", scale, scale > 0, "> 0"),
            (
                "latency_table",
                latency_table,
                not latency_table or cost == "latency_ms",
                "left out unless cost is latency_ms",
            ),
        ):
            if not holds:
                raise SettingsError(f"{name} is {value}; it must be {allowed}.")
        self.variant, self.learning_rate, self.spread = variant, learning_rate, spread
        self.common: dict[str, Any] = {
            "every": every, "warm_up": warm_up, "cost": cost, "weight": weight, "reference": reference,
            "file": latency_table,
        }  # fmt: skip
        self.form: dict[str, Any] = {"form": cost_form, "scale": scale}
        self.rewarding: dict[str, Any] = {"samples": samples, "decay": decay}

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw alpha around 0; see :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: an edge with a single candidate, of which no two can be drawn.
        """
        super().setup(space, objectives, seed)
        cells = cast("SupernetSpace", space)
        alphas = draw_alphas(cells.wirings, seed, self.spread)
        optimizer = torch.optim.Adam(list(alphas.values()), lr=self.learning_rate, betas=(0.0, BETA2))
        limits = Limits(cells, self.constraints)
        self.policy: Gates
        if self.variant == "gradient":
            _check_pairs(cells)
            self.policy = TwoPaths(cells.wirings, limits, alphas, optimizer, **self.common, **self.form)
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


def _check_pairs(space: SupernetSpace) -> None:
    for kind, wiring in space.wirings.items():
        for edge, ops in enumerate(wiring.allowed):
            if len(ops) < 2:
                raise CapabilityError(
                    f"{kind} {wiring.edges[edge]} has one candidate alone ({wiring.ops[ops[0]]}), and two are drawn "
                    "for a step of alpha. Give the space more candidates, or set sampler.variant=reinforce."
                )
