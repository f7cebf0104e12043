"""How to train: the settings of the training loop, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from nascore.errors import SettingsError, nearest
from nascore.options import make

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
POLICIES = ("", "cifar10", "imagenet", "rand", "svhn", "trivial")
FIDELITIES = ("data_fraction", "epochs")
"""What a candidate's fidelity may override."""


@dataclass(frozen=True)
class Recipe:
    """How to train a network.

    Attributes:
        epochs: passes over the training split, >= 1.
        batch_size: examples a step, >= 2 (batch norm needs two).
        optimizer: ``adamw`` (Loshchilov and Hutter, arXiv:1711.05101) or ``sgd`` (Nesterov).
        learning_rate: at the start, > 0.
        weight_decay: >= 0, on all parameters; decoupled in ``adamw``.
        momentum: of ``sgd``, in [0, 1).
        schedule: ``cosine`` falls to 0 over the run, step by step (arXiv:1608.03983, one period);
            ``constant``.
        clip: largest norm of the gradient; 0 clips nothing.
        label_smoothing: in [0, 1) (arXiv:1512.00567, section 7).
        drop_path: probability in the last epoch, growing linearly from 0, in [0, 1).
        drop_path_by_depth: ScheduledDropPath (Zoph et al. 2018): the probability also grows with the depth of a
            cell, l / L of it in cell l of L, and from step to step, so that the very end has all of it.
        auxiliary_weight: of the auxiliary head's loss, >= 0.
        patience: epochs without a better validation accuracy after which training stops and goes
            back to the best epoch; 0 trains to the end.
        data_fraction: share of the training split that is used, in (0, 1]; the same examples every
            time, and those of a smaller share are among those of a larger.
        flip: mirror images at random, left to right.
        crop: shift images at random by up to this many pixels (zero padding), >= 0.
        cutout: side in pixels of a square set to 0 (arXiv:1708.04552); 0 for none.
        autoaugment: for colour images kept as bytes, a policy of photometric and geometric changes before the
            others: ``trivial`` (TrivialAugment, arXiv:2103.10158), ``rand`` (RandAugment, arXiv:1909.13719), or one of
            AutoAugment's (arXiv:1805.09501) ``cifar10``, ``imagenet``, ``svhn``; empty for none.
        ema: decay of an exponential moving average of the weights, in [0, 1); it is the average that is validated
            and kept. 0 keeps the last weights. See :class:`nascore_blocks.average.Average`.
        mixed_precision: half precision on CUDA devices; without effect on others.
    """

    epochs: int = 8
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 0.01
    weight_decay: float = 3e-4
    momentum: float = 0.9
    schedule: str = "cosine"
    clip: float = 5.0
    label_smoothing: float = 0.0
    drop_path: float = 0.0
    drop_path_by_depth: bool = False
    auxiliary_weight: float = 0.0
    patience: int = 0
    data_fraction: float = 1.0
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    autoaugment: str = ""
    ema: float = 0.0
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("autoaugment", POLICIES)):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; {nearest(str(getattr(self, name)), allowed)}.")
        for name, least in (("epochs", 1), ("batch_size", 2), ("patience", 0), ("crop", 0), ("cutout", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(f"{name} is {value!r}; it must be a whole number >= {least}.")
        for name, holds, allowed_values in (
            ("learning_rate", self.learning_rate > 0, "> 0"),
            ("weight_decay", self.weight_decay >= 0, ">= 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("clip", self.clip >= 0, ">= 0 (0 clips nothing)"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("drop_path", 0 <= self.drop_path < 1, "in [0, 1)"),
            ("auxiliary_weight", self.auxiliary_weight >= 0, ">= 0"),
            ("ema", 0 <= self.ema < 1, "in [0, 1)"),
            ("data_fraction", 0 < self.data_fraction <= 1, "in (0, 1]"),
        ):
            if not holds or math.isinf(getattr(self, name)):
                raise SettingsError(f"{name} is {getattr(self, name)!r}; it must be a number {allowed_values}.")

    @property
    def augments(self) -> bool:
        """Are images changed before they are learnt from?"""
        return self.flip or self.crop > 0 or self.cutout > 0 or bool(self.autoaugment)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of ``step`` (from 0) of ``steps``."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2

    def changed(self, changes: Mapping[str, Any], where: str = "retrain") -> Recipe:
        """This recipe with any of its settings changed, as a user typed them.

        Args:
            changes: name -> value.
            where: what the settings are of, for messages.

        Raises:
            SettingsError: an unknown setting, or a value of a wrong type or that is not allowed; names it.
        """
        recipe: Recipe = make(Recipe, {**asdict(self), **changes}, where)
        return recipe

    def at(self, fidelity: Mapping[str, float]) -> Recipe:
        """This recipe with some settings overridden; the schedule spans the run that results.

        Raises:
            SettingsError: an unknown setting, or a value that is not allowed.
        """
        changes: dict[str, int | float] = {}
        for name, value in fidelity.items():
            if name not in FIDELITIES:
                raise SettingsError(f"There is no fidelity {name!r} here; {nearest(name, FIDELITIES)}.")
            if name == "epochs" and value != int(value):
                raise SettingsError(f"The fidelity epochs is {value!r}; it must be a whole number.")
            changes[name] = int(value) if name == "epochs" else value
        return replace(self, **changes)  # type: ignore[arg-type]  # the names are those of FIDELITIES
