"""Colorization: which colour has each part of a grey image (Zhang et al. 2016, arXiv:1603.08511)?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nascore.errors import DataError
from nascore_blocks.data.splits import Split
from nascore_blocks.evaluators import Lesson
from nascore_unnas.pretext import Dressed, Pretext, check_square, without_labels

if TYPE_CHECKING:
    from nascore.contracts import SearchSpace, Splits, Task

BINS = 16
"""Colours to choose from; the paper has 313."""

GRID = 4
"""The image is coloured in 4 x 4 parts; the paper colours pixels."""

_SAMPLE = 2048
"""Images that the colours are found by."""


class Colorization(Pretext):
    """Judge an architecture by how well it colours grey images: the nearest of 16 colours for each of 4 x 4 parts.

    Options are those of ``blocks:train``. The input is L/100 of CIE Lab, one channel; the target of a part is the
    nearest of 16 centres in the ab plane to the mean of its pixels. The centres are those of k-means on the training
    images. The space's own network answers for all parts at once, by a classifier of 16 x 16 outputs, so that any
    space will do; the paper has a dense head with a class for each pixel.
    """

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """Find the colours; see :meth:`Pretext.setup`.

        Raises:
            DataError: the images have no colour, are too small, or are not held as bytes.
        """
        if len(data.task.shape) != 3 or data.task.channels != 3:
            raise DataError(
                f"colorization needs images of 3 channels (red, green, blue); {data.task.name!r} has "
                f"{data.task.shape}. Take unnas:rotation or unnas:jigsaw, or images in colour such as unnas:patches."
            )
        check_square(data, "colorization", GRID)
        super().setup(space, data)
        self._palette = palette(without_labels(data.train))

    def lesson(self, task: Task, train: Split, valid: Split, seed: int) -> Lesson:
        """One channel in, a colour for each part out."""
        grey = replace(task, shape=(1, *task.shape[1:]), classes=BINS * GRID**2)
        return Lesson(grey, Coloured(train, self._palette), Coloured(valid, self._palette), Colouring)


class Coloured(Split):
    """Grey images whose labels are the colours of their parts: (examples, 16)."""

    def __init__(self, base: Split, colours: Tensor) -> None:
        """Make grey images of ``base``.

        Args:
            base: bytes in 3 channels, normalised.
            colours: (bins, 2), in the ab plane.

        Raises:
            DataError: ``base`` does not hold bytes.
        """
        self.base, self.colours, self.bytes = base, colours, of_bytes(base)
        # What the loop reads of it is the shape, and the largest label; the labels come with the images.
        self.labels = (torch.arange(len(base) * GRID**2) % len(colours)).reshape(len(base), GRID**2)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """L/100, and the nearest colour of each part."""
        lab = to_lab(self.bytes.fractions(self.base.batch(indices)[0]))
        return lab[:, :1] / 100, nearest_colour(parts(lab), self.colours)


class Colouring(Dressed):
    """The network's outputs, as one choice of colour for each part: (batch, bins, parts)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        return self.network(inputs).unflatten(1, (BINS, GRID**2))  # type: ignore[no-any-return]  # a module's


class Bytes(NamedTuple):
    """How bytes became inputs: ``byte * scale + shift``."""

    scale: Tensor
    shift: Tensor

    def fractions(self, inputs: Tensor) -> Tensor:
        """Red, green and blue in [0, 1] again."""
        return ((inputs - self.shift) / self.scale / 255).clamp(0, 1)


def of_bytes(split: Split) -> Bytes:
    """How the images of ``split`` were normalised.

    Raises:
        DataError: it holds floats: what colours they were cannot be known.
    """
    scale, shift = getattr(split, "scale", None), getattr(split, "shift", None)
    if not isinstance(scale, Tensor) or not isinstance(shift, Tensor):
        raise DataError("colorization needs images held as bytes (uint8), 0 to 255; these are other numbers.")
    return Bytes(scale, shift)


def to_lab(rgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* (white of D65) of sRGB.

    Args:
        rgb: (batch, 3, height, width), in [0, 1].

    Returns:
        The same shape: L in [0, 100], a and b about -110 to 110.
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    rows = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    matrix = torch.tensor(rows, device=rgb.device)
    xyz = torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(1, keepdim=True), linear)  # 1 is white
    root = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-8) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def parts(lab: Tensor) -> Tensor:
    """The mean a and b of each part: (batch, parts, 2)."""
    return F.adaptive_avg_pool2d(lab[:, 1:], GRID).flatten(2).transpose(1, 2)


def nearest_colour(points: Tensor, colours: Tensor) -> Tensor:
    """Number of the nearest colour of each point: (..., 2), (bins, 2) -> (...)."""
    return (points.unsqueeze(-2) - colours.to(points.device)).square().sum(-1).argmin(-1)


def palette(split: Split) -> Tensor:
    """The centres, (bins, 2), of k-means in the ab plane on parts of the images; always the same for the same images.

    The first centre is the mean, each further one the point that is farthest from those before; then twenty rounds.

    Raises:
        DataError: there are not so many different colours.
    """
    how, generator = of_bytes(split), torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[:_SAMPLE]
    points = torch.cat([parts(to_lab(how.fractions(split.batch(few)[0]))) for few in torch.split(chosen, 256)]).flatten(
        0, 1
    )
    if len(torch.unique(points.round(), dim=0)) < BINS:
        raise DataError(f"colorization tells {BINS} colours apart; these images have fewer. Are they grey?")
    centres = points.mean(0, keepdim=True)
    while len(centres) < BINS:
        far = (points.unsqueeze(1) - centres).square().sum(-1).amin(1).argmax()
        centres = torch.cat([centres, points[far : far + 1]])
    for _ in range(20):
        owner = nearest_colour(points, centres)
        centres = torch.stack([points[owner == n].mean(0) if (owner == n).any() else centres[n] for n in range(BINS)])
    return centres
