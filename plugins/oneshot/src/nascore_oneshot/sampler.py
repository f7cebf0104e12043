"""The search on top of a one-shot model: Bender et al. 2018, section 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.contracts import Sampler
from nascore.records import Candidate

if TYPE_CHECKING:
    from nascore.contracts import View


class FixedDistribution(Sampler):
    """Draws from one distribution that nothing learned changes: each option of a decision as likely.

    The answer is the architecture with the best value on the shared weights, to be trained alone by
    ``nascore retrain``. Any other sampler searches a one-shot model as well: ``--sampler amoebanet``.
    """

    def ask(self, view: View) -> Candidate:
        """An independent draw that breaks no constraint, from the generator of the trial, so there is no state."""
        drawn = view.within(lambda: self.space.sample(lambda _, options: view.rng.choice(options)))
        return Candidate(drawn, origin="fixed distribution")
