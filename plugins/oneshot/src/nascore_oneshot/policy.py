"""Training all paths at once: Bender et al. 2018, section 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nascore.errors import SettingsError
from nascore_blocks.supernet.mix import Paths
from nascore_blocks.supernet.policy import Batch, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Shared
    from nascore_blocks.supernet.wiring import Wiring


def drop_probability(r: float, paths: int, progress: float) -> float:
    """How likely an op is dropped: rises linearly to r^(1/k).

    Args:
        r: probability that a node loses all its ops, at the end; in [0, 1).
        paths: k, the ops that lead into the node.
        progress: share of the training that is done, in [0, 1].
    """
    return progress * r ** (1 / paths) if r else 0.0


class PathDropout(Policy):
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
        """One mask for each kind of cell."""
        return {kind: self._drawn(shared.wiring, shared.progress, shared.generator) for kind in shared.kinds}

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
        wiring = shared.wiring
        each = [drop_probability(self.r, wiring.paths_into(edge), shared.progress) for edge in range(len(wiring.edges))]
        return {"drop_probability": sum(each) / len(each)}

    def ready(self, done: int, rounds: int) -> bool:
        """After all rounds: architectures are ranked by weights that stay as they are."""
        return done >= rounds

    def _drawn(self, wiring: Wiring, progress: float, generator: torch.Generator) -> Paths:
        draws: Tensor = torch.rand(len(wiring.edges), len(wiring.ops), generator=generator)
        active = []
        for edge, row in enumerate(draws.tolist()):
            limit = drop_probability(self.r, wiring.paths_into(edge), progress)
            active.append(tuple(op for op in wiring.live if row[op] >= limit))
        return Paths(tuple(active))


def cut(batch: Batch, ghosts: int) -> list[Batch]:
    """A batch in ``ghosts`` parts of nearly equal size; in fewer where a part had less than two examples."""
    parts = max(1, min(ghosts, len(batch.labels) // 2))  # batch norm cannot use the statistics of one
    return [Batch(*part) for part in zip(*(torch.tensor_split(whole, parts) for whole in batch), strict=True)]
