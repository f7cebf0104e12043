"""Training all paths at once: Bender et al. 2018, section 3.2."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch

from nascore.errors import SettingsError
from nascore_blocks.supernet.mix import PathDropout
from nascore_blocks.supernet.policy import Batch, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared


NO_LOGITS = torch.zeros(0)
"""Path dropout looks at none."""


class AllPaths(Policy):
    """m = sum of the ops that are not dropped; each ghost batch has its own mask and statistics.

    Survivors are not rescaled: to drop an op is to take it out. Without anything to choose there is no
    state: masks come from the generator of the round.
    """

    def __init__(self, r: float, ghosts: int) -> None:
        """
        Args:
            r: a node loses all its ops with this probability at the end of the training; in [0, 1).
            ghosts: parts that each batch is cut into, >= 1.

        Raises:
            SettingsError: out of range.
        """
        if not 0 <= r < 1:
            raise SettingsError(f"r is {r}; it must be in [0, 1).")
        if ghosts < 1:
            raise SettingsError(f"ghosts is {ghosts}; it must be a whole number >= 1.")
        self.r, self.ghosts = r, ghosts

    def mix(self, shared: Shared) -> Mixture:
        """One mask for each kind of cell; the dropout rises linearly with the training."""
        drop = PathDropout(self.r, shared.progress)
        return {kind: drop(NO_LOGITS, wiring, shared.generator) for kind, wiring in shared.wirings.items()}

    def iterate(self, shared: Shared) -> None:
        """One step of the weights down the mean loss of the ghosts.

        The decay (L2) moves only the weights of ops that ran in a ghost: others have no gradient at
        all, and the optimiser passes them over.
        """
        whole = shared.train_batch()
        losses = [shared.loss(self.mix(shared), part) * len(part.labels) for part in cut(whole, self.ghosts)]
        shared.update(torch.stack(losses).sum() / len(whole.labels))

    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """The mean probability of an op to be dropped, now."""
        drop = PathDropout(self.r, shared.progress)
        each = [drop.probability(w, edge) for w in shared.wirings.values() for edge in range(len(w.edges))]
        return {"drop_probability": statistics.fmean(each)}

    def ready(self, done: int, rounds: int) -> bool:
        """After all rounds: architectures are ranked by weights that stay as they are."""
        return done >= rounds


def cut(batch: Batch, ghosts: int) -> list[Batch]:
    """A batch in ``ghosts`` parts of nearly equal size; in fewer where a part had less than two examples."""
    parts = max(1, min(ghosts, len(batch.labels) // 2))  # batch norm cannot use the statistics of one
    return [Batch(*part) for part in zip(*(torch.tensor_split(whole, parts) for whole in batch), strict=True)]
