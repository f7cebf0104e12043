"""Jigsaw: in which order do the tiles of the image lie (Noroozi and Favaro 2016, arXiv:1603.09246)?"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nascore.seeding import derive_seed
from nascore_blocks.data.splits import Split
from nascore_blocks.evaluators import Lesson
from nascore_unnas.pretext import Pretext, check_square

if TYPE_CHECKING:
    from nascore.contracts import SearchSpace, Splits, Task

SIDE = 2
TILES = SIDE**2
ORDERS = torch.tensor(list(itertools.permutations(range(TILES))))
"""(24, 4): label -> at each place the number of the tile that lies there."""

KEEP = 0.76
"""Share of a tile's side that is left after the crop: the gap hides that edges continue (Liu et al. 2020)."""

VIEWS = 4
"""Puzzles made of each validation image."""


class Jigsaw(Pretext):
    """Judge an architecture by how well it names the order, one of 24, of the four tiles of an image.

    Options are those of ``blocks:train``. Each tile loses a margin at random and is normalised by itself. Puzzles are
    drawn anew in each epoch of training; those of the validation images, four of each, are always the same.
    """

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Pretext.setup`.

        Raises:
            DataError: the images are not square, or too small for tiles.
        """
        check_square(data, "jigsaw", 2 * SIDE)
        super().setup(space, data)

    def lesson(self, task: Task, train: Split, valid: Split, seed: int) -> Lesson:
        """24 classes, of images as large as what is left of the tiles."""
        side = SIDE * kept(task.shape[1] // SIDE)
        puzzle = replace(task, shape=(task.shape[0], side, side), classes=len(ORDERS))
        return Lesson(puzzle, Puzzles(train, seed), FixedPuzzles(valid))


class Puzzles(Split):
    """Each time an image is read, its tiles lie in another order: the labels are those of the last batch only."""

    def __init__(self, base: Split, seed: int) -> None:
        """Draw puzzles of the images of ``base``.

        Args:
            base: images (channels, side, side).
            seed: of the orders and the crops.
        """
        self.base = base
        self.labels = torch.arange(len(base), device=base.labels.device) % len(ORDERS)
        self.generator = torch.Generator().manual_seed(derive_seed(seed, "puzzles"))

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        images = self.base.batch(indices)[0]
        labels = torch.randint(len(ORDERS), (len(indices),), generator=self.generator)
        cuts = drawn_cuts(len(indices), images.shape[-1], self.generator)
        return puzzles(images, ORDERS[labels], cuts), labels.to(self.labels.device)


class FixedPuzzles(Split):
    """:data:`VIEWS` puzzles of each image, always the same ones."""

    def __init__(self, base: Split) -> None:
        """Draw them, with a seed of their own."""
        self.base = base
        generator = torch.Generator().manual_seed(0)
        count = VIEWS * len(base)
        labels = (torch.arange(count) % len(ORDERS))[torch.randperm(count, generator=generator)]
        side = base.batch(torch.arange(1, device=base.labels.device))[0].shape[-1]
        self.cuts = drawn_cuts(count, side, generator)
        self.labels = labels.to(base.labels.device)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        images = self.base.batch(indices % len(self.base))[0]
        labels = self.labels[indices]
        return puzzles(images, ORDERS[labels.cpu()], self.cuts[indices.cpu()]), labels


def kept(tile: int) -> int:
    """Side in pixels of what is left of a tile with this side."""
    return max(1, round(KEEP * tile))


def drawn_cuts(count: int, side: int, generator: torch.Generator) -> Tensor:
    """(count, 4, 2): where, in rows and columns of its tile, the rest of each tile begins."""
    tile = side // SIDE
    return torch.randint(tile - kept(tile) + 1, (count, TILES, 2), generator=generator)


def puzzles(images: Tensor, orders: Tensor, cuts: Tensor) -> Tensor:
    """Cut, crop, normalise, shuffle and put together.

    Args:
        images: (batch, channels, side, side).
        orders: (batch, 4): number of the tile at each place.
        cuts: (batch, 4, 2), as :func:`drawn_cuts`.

    Returns:
        (batch, channels, 2 kept, 2 kept).
    """
    return joined(shuffled(normalised(cropped(tiles(images), cuts)), orders))


def tiles(images: Tensor) -> Tensor:
    """(batch, channels, side, side) -> (batch, 4, channels, tile, tile), row by row; an odd last line is left out."""
    batch, channels, side, _ = images.shape
    tile = side // SIDE
    cut = images[..., : SIDE * tile, : SIDE * tile].reshape(batch, channels, SIDE, tile, SIDE, tile)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, TILES, channels, tile, tile)


def cropped(given: Tensor, cuts: Tensor) -> Tensor:
    """What is left of each tile."""
    cuts = cuts.to(given.device)
    size = torch.arange(kept(given.shape[-1]), device=given.device)
    batch, tile = (torch.arange(n, device=given.device) for n in given.shape[:2])
    rows, columns = cuts[..., 0, None] + size, cuts[..., 1, None] + size
    picked = given[batch[:, None, None, None], tile[None, :, None, None], :, rows[..., :, None], columns[..., None, :]]
    return picked.movedim(-1, 2)


def normalised(given: Tensor) -> Tensor:
    """Each channel of each tile with mean 0 and deviation 1; a constant one is 0."""
    centred = given - given.mean((-2, -1), keepdim=True)
    return centred / centred.square().mean((-2, -1), keepdim=True).sqrt().clamp_min(1e-5)


def shuffled(given: Tensor, orders: Tensor) -> Tensor:
    """Place p of each image gets its tile ``orders[:, p]``; inverse: the same with ``orders.argsort(1)``."""
    orders = orders.to(given.device)
    return given[torch.arange(len(given), device=given.device)[:, None], orders]


def joined(given: Tensor) -> Tensor:
    """The inverse of :func:`tiles`."""
    batch, _, channels, tile, _ = given.shape
    rows = given.reshape(batch, SIDE, SIDE, channels, tile, tile).permute(0, 3, 1, 4, 2, 5)
    return rows.reshape(batch, channels, SIDE * tile, SIDE * tile)
