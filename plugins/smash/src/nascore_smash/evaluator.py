"""Training a hypernetwork in rounds, then judging architectures by the weights it predicts (Brock et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.errors import SettingsError
from nascore.records import Cost
from nascore_blocks.weight_sharing import RandomPaths, SharedWeights
from nascore_smash.hypernet import BankSupernet, check_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import Sampler
    from nascore_blocks.supernet.base import Supernet
    from nascore_blocks.supernet.policy import Policy
    from nascore_smash.space import BankSpace


class HyperWeights(SharedWeights):
    """Train a hypernetwork and the shared weights on a random architecture a step, before the first trial.

    A candidate is then judged on ``valid`` with generated weights, its BNs using the statistics of the batch. The
    hypernetwork no longer changes by then, so an architecture is judged once. Any sampler may search on it.

    Args:
        rounds: of the training; then the weights stay as they are.
        steps: a round; 0: as many as an epoch has batches.
        batch_size: examples a step, >= 2.
        learning_rate: of Adam at the start; half a cosine falls to ``last_rate``.
        last_rate: at the end of all rounds.
        beta1, beta2: of Adam, in [0, 1).
        epsilon: of Adam, > 0.
        weight_decay: on the shared weights, not on the hypernetwork.
        clip: largest norm of the gradient; 0 clips nothing.
        label_smoothing: in [0, 1).
        flip, crop, cutout: augmentation of the training images; see the evaluator ``blocks:train``.
        growth: channels that a layer of the hypernetwork adds, >= 1.
        layers: of each of its dense blocks.
        rank: channels before its output: the generated weights of all architectures lie in a space of so many
            dimensions; 0: no such bottleneck.
        retrain: settings of ``blocks:train`` for `nascore retrain`, such as ``{"epochs": 600}``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"banks", "labels"})
    # Not "shared_weights": that promises to train as the sampler's policy says.
    provides: ClassVar[frozenset[str]] = frozenset({"retrain"})
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        rounds: int = 100,
        steps: int = 0,
        batch_size: int = 50,
        learning_rate: float = 1e-3,
        last_rate: float = 0.0,
        beta1: float = 0.5,
        beta2: float = 0.999,
        epsilon: float = 1e-4,
        weight_decay: float = 1e-4,
        clip: float = 0.0,
        label_smoothing: float = 0.0,
        flip: bool = False,
        crop: int = 0,
        cutout: int = 0,
        growth: int = 10,
        layers: Sequence[int] = (8, 10, 4),
        rank: int = 0,
        retrain: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            rounds=rounds, steps=steps, batch_size=batch_size, learning_rate=learning_rate, last_rate=last_rate,
            weight_decay=weight_decay, clip=clip, label_smoothing=label_smoothing, flip=flip, crop=crop, cutout=cutout,
            calibration=1, retrain=retrain,
        )  # fmt: skip
        check_size(growth, layers, rank)
        for name, value in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= value < 1:
                raise SettingsError(f"{name} is {value}; it must be in [0, 1).")
        if not epsilon > 0:
            raise SettingsError(f"epsilon is {epsilon}; it must be > 0.")
        self.adam = {"betas": (beta1, beta2), "eps": epsilon}
        self.size = {"growth": growth, "layers": tuple(layers), "rank": rank}

    def policy(self, sampler: Sampler) -> Policy:
        """A random architecture a step, whatever the sampler is."""
        return RandomPaths(self.space)

    def sizes(self) -> dict[str, Cost]:
        """Parameters of the hypernetwork, and of both it and the shared weights; no memory is taken."""
        with torch.device("meta"):
            supernet = self._fresh()
        hyper, every = (sum(p.numel() for p in part.parameters()) for part in (supernet.hyper, supernet))
        return {"hypernet_params": Cost(hyper, ""), "supernet_params": Cost(every, "")}

    def _fresh(self) -> BankSupernet:
        return cast("BankSpace", self.space).supernet(self.data.task, **self.size)  # type: ignore[arg-type]  # its arguments

    def _made(self, device: str) -> Supernet:
        """See :class:`SharedWeights`; here with the hypernetwork, and Adam, which decays the shared weights alone."""
        if self.supernet is None:
            fresh = self._fresh()
            groups: list[dict[str, Any]] = [
                {"params": list(fresh.shared.parameters()), "weight_decay": self.recipe.weight_decay},
                {"params": list(fresh.hyper.parameters()), "weight_decay": 0.0},
            ]
            self.supernet = fresh
            self._optimizer = torch.optim.Adam(groups, lr=self.recipe.learning_rate, foreach=True, **self.adam)  # type: ignore[arg-type]  # a dict of keywords
        return super()._made(device)
