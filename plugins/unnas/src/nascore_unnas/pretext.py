"""What the three pretext tasks share: training without labels, by the training loop of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from nascore.errors import DataError, SettingsError
from nascore_blocks.data.splits import Split, TensorSplit
from nascore_blocks.evaluators import Train

if TYPE_CHECKING:
    from nascore.contracts import SearchSpace, Splits


class Pretext(Train):
    """Train each candidate on a task that needs no label, and validate it on that task.

    Options are those of :class:`nascore_blocks.evaluators.Train`, and so is the training loop. ``accuracy`` and
    ``loss`` are of the pretext task, on the images of ``valid``. ``retrain`` uses labels, as it does in ``Train``.
    The weights that are kept are called ``pretext_weights``: their classifier answers the pretext task.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module", "images"})
    artifact: ClassVar[str] = "pretext_weights"
    turns_images: ClassVar[bool] = False
    """Does the answer stay right when images are mirrored, shifted or cut?"""

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`nascore.contracts.Evaluator.setup`.

        Raises:
            DataError: fewer images than a batch.
            SettingsError: a setting that the pretext task has no use for.
        """
        super().setup(space, data)
        kind = type(self).__name__.lower()
        images = int(len(without_labels(data.train)) * self.recipe.data_fraction)
        if images < self.recipe.batch_size:
            raise DataError(
                f"{kind} would train on {images} image(s) of {data.task.name!r}, fewer than a batch of "
                f"{self.recipe.batch_size}. Give more images, or --set evaluator.batch_size={max(2, images)}."
            )
        if self.recipe.augments and not self.turns_images:
            raise SettingsError(f"flip, crop and cutout would change the answer of {kind}; leave them off.")
        if self.recipe.auxiliary_weight:
            raise SettingsError(f"auxiliary_weight has no use in {kind}; leave it at 0.")

    def read(self, data: Any) -> Split:
        """The images alone."""
        return without_labels(data)


class Blind(Split):
    """The images of any split, or of any map-style data set of (input, label); what comes with them is dropped."""

    def __init__(self, data: Any) -> None:
        """Hold ``data``; it needs a length."""
        self.data = data
        self.labels = torch.zeros(len(data), dtype=torch.int64)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images, and zeros."""
        if isinstance(self.data, Split):
            inputs = self.data.batch(indices)[0]
        else:
            inputs = torch.stack([torch.as_tensor(self.data[int(index)][0]) for index in indices]).float()
        return inputs, self.labels[indices]


def without_labels(data: Any) -> Split:
    """The same images with zeros for labels."""
    if isinstance(data, Blind):
        return data
    if isinstance(data, TensorSplit):
        blank = torch.zeros(len(data.stored), dtype=torch.int64)
        return TensorSplit(data.stored, blank, data.scale, data.shift)
    blind = Blind(data)
    for name in ("scale", "shift"):  # of bytes, which colorization gets back by them
        setattr(blind, name, getattr(data, name, None))
    return blind


class Dressed(nn.Module):
    """A network whose outputs are put into the form of the pretext task; ``drop_path`` still reaches it."""

    def __init__(self, network: nn.Module) -> None:
        """Dress ``network``."""
        super().__init__()
        self.network = network
        for name in ("set_drop_path", "set_drop_path_by_depth"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))


def check_square(data: Splits, kind: str, least: int) -> None:
    """Refuse images that are not square, or too small.

    Raises:
        DataError: names their shape.
    """
    shape = data.task.shape
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < least:
        raise DataError(f"{kind} needs square images of {least} pixels or more; {data.task.name!r} has {shape}.")
