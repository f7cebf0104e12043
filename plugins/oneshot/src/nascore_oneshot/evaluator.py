"""The one-shot model: Bender et al. 2018, as an evaluator that any sampler can search on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nascore.errors import SettingsError
from nascore_blocks.weight_sharing import SharedWeights
from nascore_oneshot.policy import AllPaths

if TYPE_CHECKING:
    from nascore.contracts import Sampler
    from nascore_blocks.supernet.policy import Policy


class OneShotModel(SharedWeights):
    """Train all paths of a supernet with path dropout, before the first trial; then rank by its weights.

    A candidate is judged by the paths it has, all others taken out, with batch-norm statistics of its
    own. The weights no longer change by then, so an architecture is judged once.

    Args:
        r: a node loses all its ops with this probability at the end of the training, in [0, 1); the
            probability of one op to be dropped rises linearly to r^(1/k), k the ops into its node.
        ghosts: parts that each batch is cut into, each with its own mask and batch-norm statistics.
        rounds, steps, batch_size, optimizer, learning_rate, last_rate, momentum, weight_decay, clip,
            label_smoothing, flip, crop, cutout, calibration, fast, retrain: see the evaluator
            ``blocks:supernet``.
    """

    # Not "shared_weights": that promises to train as the sampler's policy says.
    provides: ClassVar[frozenset[str]] = frozenset({"retrain"})
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        r: float = 0.05,
        ghosts: int = 2,
        rounds: int = 20,
        steps: int = 0,
        batch_size: int = 64,
        optimizer: str = "sgd",
        learning_rate: float = 0.1,
        last_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        clip: float = 5.0,
        label_smoothing: float = 0.0,
        flip: bool = False,
        crop: int = 0,
        cutout: int = 0,
        calibration: int = 4,
        fast: bool = True,
        retrain: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            rounds, steps, batch_size, optimizer, learning_rate, last_rate, momentum, weight_decay, clip,
            label_smoothing, flip, crop, cutout, calibration, fast, retrain,
        )  # fmt: skip
        self._paths = AllPaths(r, ghosts)
        if batch_size < 2 * ghosts:
            raise SettingsError(
                f"batch_size is {batch_size} and ghosts {ghosts}; each ghost needs two examples: "
                f"batch_size >= {2 * ghosts}."
            )

    def policy(self, sampler: Sampler) -> Policy:
        """Path dropout, whatever the sampler is; see :class:`nascore_blocks.weight_sharing.SharedWeights`."""
        return self._paths
