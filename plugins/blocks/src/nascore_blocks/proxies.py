"""Cheaper judgements of the same network: smaller images, fewer channels, fewer cells.

Fewer epochs and a share of the data, the other rungs of the ladder, are settings of the
:class:`~nascore_blocks.recipe.Recipe`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F

from nascore.errors import SettingsError, nearest
from nascore_blocks.data.splits import Split
from nascore_blocks.recipe import FIDELITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from nascore.contracts import SearchSpace, Task
    from nascore.records import Architecture

REDUCTIONS = ("cells", "channels", "resolution")
"""What a candidate's fidelity may override beside the :data:`~nascore_blocks.recipe.FIDELITIES` of a recipe."""


@dataclass(frozen=True)
class Reduction:
    """How a network and its images are made smaller; 0 leaves a thing as it is.

    Attributes:
        resolution: height and width of the images, pixels, >= 2; they are averaged, never enlarged.
        channels: instead of the option ``channels`` of the space, >= 1.
        cells: instead of its option ``cells``, >= 1.
    """

    resolution: int = 0
    channels: int = 0
    cells: int = 0

    def __post_init__(self) -> None:
        for name, least in (("resolution", 2), ("channels", 1), ("cells", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or (value != 0 and value < least):
                raise SettingsError(
                    f"{name} is {value!r}; it must be a whole number >= {least}, or 0 to change nothing."
                )

    def __bool__(self) -> bool:
        return any((self.resolution, self.channels, self.cells))

    def at(self, fidelity: Mapping[str, float]) -> Reduction:
        """This reduction with what a candidate's fidelity says instead.

        Args:
            fidelity: names of :data:`REDUCTIONS` only; see :func:`divided`.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value in fidelity.items():
            if value != int(value):
                raise SettingsError(f"The fidelity {name} is {value!r}; it must be a whole number.")
        return replace(self, **{name: int(value) for name, value in fidelity.items()})

    def space(self, space: SearchSpace, architecture: Architecture) -> SearchSpace:
        """The space with fewer channels or cells, in which ``architecture`` is the same cell; ``space`` stays.

        Raises:
            SettingsError: the space has no such option, or has less already.
            SpaceError: the smaller space has no such architecture.
        """
        wanted = {name: getattr(self, name) for name in ("channels", "cells") if getattr(self, name)}
        if not wanted:
            return space
        smaller: Any = copy.copy(space)
        for name, value in wanted.items():
            full = getattr(space, name, None)
            if type(full) is not int:
                raise SettingsError(f"The space {space.name!r} has no option {name}; a proxy cannot make it smaller.")
            if value > full:
                raise SettingsError(f"{name} is {value}, but the space {space.name!r} has only {full}.")
            setattr(smaller, name, value)
        smaller.check(architecture)
        return smaller  # type: ignore[no-any-return]  # a copy of a space

    def data(self, task: Task, *splits: Split) -> tuple[Task, tuple[Split, ...]]:
        """The task and its splits with smaller images.

        Raises:
            SettingsError: the data has no images, or smaller ones.
        """
        if not self.resolution:
            return task, splits
        if len(task.shape) != 3:
            raise SettingsError(f"resolution makes images smaller; {task.name!r} has inputs of shape {task.shape}.")
        if self.resolution > min(task.shape[1:]):
            raise SettingsError(f"resolution is {self.resolution}, but the images of {task.name!r} are {task.shape}.")
        shape = (task.shape[0], self.resolution, self.resolution)
        return replace(task, shape=shape), tuple(Resized(split, self.resolution) for split in splits)


class Resized(Split):
    """A split whose images are averaged down when they are read.

    Attributes:
        scale, shift: of the split below, where it has them: averaging keeps ``byte * scale + shift``.
    """

    def __init__(self, base: Split, size: int) -> None:
        """Make the images of ``base`` (channels, size, size)."""
        self.base, self.size, self.labels = base, size, base.labels
        self.scale: Tensor | None = getattr(base, "scale", None)
        self.shift: Tensor | None = getattr(base, "shift", None)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        inputs, labels = self.base.batch(indices)
        return F.adaptive_avg_pool2d(inputs, self.size), labels

    def to(self, device: torch.device | str) -> Resized:
        """See :meth:`Split.to`."""
        return Resized(self.base.to(device), self.size)


def divided(fidelity: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """What a fidelity says of the recipe, and of the :class:`Reduction`.

    Raises:
        SettingsError: it names something else.
    """
    for name in fidelity:
        if name not in FIDELITIES + REDUCTIONS:
            raise SettingsError(f"There is no fidelity {name!r} here; {nearest(name, FIDELITIES + REDUCTIONS)}.")
    recipe = {name: value for name, value in fidelity.items() if name in FIDELITIES}
    return recipe, {name: value for name, value in fidelity.items() if name in REDUCTIONS}
