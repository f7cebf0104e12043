"""Rotation: by which of four angles was the image turned (Gidaris et al. 2018, arXiv:1803.07728)?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from nascore_blocks.data.splits import Split
from nascore_blocks.evaluators import Lesson
from nascore_unnas.pretext import Dressed, Pretext, check_square

if TYPE_CHECKING:
    from nascore.contracts import SearchSpace, Splits, Task

ANGLES = 4


class Rotation(Pretext):
    """Judge an architecture by how well it tells 0, 90, 180 and 270 degrees apart.

    Options are those of ``blocks:train``. All four rotations of an image are in one batch, so ``batch_size`` counts
    images and a step learns from four times as many inputs.
    """

    turns_images: ClassVar[bool] = True

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Pretext.setup`.

        Raises:
            DataError: the images are not square.
        """
        check_square(data, "rotation", 2)
        super().setup(space, data)

    def lesson(self, task: Task, train: Split, valid: Split, seed: int) -> Lesson:
        """Four classes; the network turns each image itself."""
        return Lesson(replace(task, classes=ANGLES), Turned(train), Turned(valid), Rotating)


class Turned(Split):
    """Images whose labels are the four angles: (examples, 4), in the order of :func:`rotations`."""

    def __init__(self, base: Split) -> None:
        """Take the images of ``base``."""
        self.base = base
        self.labels = torch.arange(ANGLES, device=base.labels.device).repeat(len(base), 1)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`; the images are not turned yet."""
        return self.base.batch(indices)[0], self.labels[indices]

    def to(self, device: torch.device | str) -> Turned:
        """See :meth:`Split.to`."""
        return Turned(self.base.to(device))


class Rotating(Dressed):
    """The network, on the four rotations of each image: (batch, ...) -> logits (batch, 4 classes, 4 angles)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """All rotations go through the network as one batch, as batch norm must see them."""
        logits = self.network(torch.cat(rotations(inputs)))
        return logits.unflatten(0, (ANGLES, len(inputs))).permute(1, 2, 0)  # type: ignore[no-any-return]  # a module's


def rotations(inputs: Tensor) -> list[Tensor]:
    """Images (batch, channels, side, side), turned by 0, 90, 180 and 270 degrees."""
    return [torch.rot90(inputs, quarter, (2, 3)) for quarter in range(ANGLES)]
