"""Watching for the collapse of DARTS: skip connections, and the curvature of the validation loss.

Zela et al. 2020, *Understanding and Robustifying Differentiable Architecture Search*, arXiv:1909.09656:
architectures degenerate where the largest eigenvalue of the Hessian of L_val with respect to alpha has
grown steeply. Taken from there: that eigenvalue, and the early stop of section 4.3 (DARTS-ES). Not
taken: the adaptive regularisation that the paper restarts the search with (section 5).
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from nascore_blocks.supernet.curvature import validation_curvature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from nascore_blocks.supernet.base import SupernetSpace
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared

WINDOW, RATIO = 5, 0.75
"""k and the threshold of the paper."""

SKIP = "skip_connect"


def stopping_round(eigenvalues: Sequence[float]) -> int:
    """The round, from 1 on, whose architecture is the answer if the search stops now; 0: it goes on.

    Args:
        eigenvalues: of all rounds so far. With lambda(i) the mean of the last k = 5 at round i, the search stops
            where lambda(i - k) / lambda(i) < 0.75, and the architecture of round i - k is kept. So it stops
            after round 10 at the earliest.
    """
    if len(eigenvalues) < 2 * WINDOW:
        return 0
    now = statistics.fmean(eigenvalues[-WINDOW:])
    before = statistics.fmean(eigenvalues[-2 * WINDOW : -WINDOW])
    return len(eigenvalues) - WINDOW if before < RATIO * now else 0


class Watch:
    """Looks at the end of each round, and decides on the early stop.

    Attributes:
        eigenvalues: of the rounds in which they were computed.
        answer: the round whose architecture is the answer, once the search has stopped early; else 0.
    """

    def __init__(self, every: int, examples: int, early_stop: bool) -> None:
        self.every, self.examples, self.early_stop = every, examples, early_stop
        self.eigenvalues: list[float] = []
        self.answer = 0

    def look(
        self, shared: Shared, space: SupernetSpace, alphas: Sequence[Tensor], mix: Callable[[], Mixture],
        weights: Mapping[str, Tensor],
    ) -> dict[str, float]:  # fmt: skip
        """Metrics of the round.

        Args:
            shared: of the round.
            space: of the search.
            alphas: leaves.
            mix: makes the mixture from them.
            weights: softmax(alpha) by kind.

        Returns:
            ``skips_<kind>``: how many ops of the architecture that alpha stands for are skip connections;
            ``hessian_eigenvalue`` (nats), where it is the turn for it; ``answer_round`` on the early stop.
        """
        found = count_skips(shared, space, weights)
        if self.every and (shared.round + 1) % self.every == 0:
            found["hessian_eigenvalue"] = validation_curvature(shared, alphas, mix, self.examples)
            self.eigenvalues.append(found["hessian_eigenvalue"])
            if self.early_stop:
                self.answer = stopping_round(self.eigenvalues)
        return found | ({"answer_round": float(self.answer)} if self.answer else {})


def count_skips(shared: Shared, space: SupernetSpace, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """``skips_<kind>`` of the strongest architecture, for the kinds of places that have a skip connection."""
    paths = shared.supernet.paths(space.structure(space.derive(weights)))
    counts = {}
    for kind, wiring in shared.wirings.items():
        if SKIP in wiring.ops:
            number = wiring.ops.index(SKIP)
            counts[f"skips_{kind}"] = float(sum(ops.count(number) for ops in paths[kind].active))
    return counts
