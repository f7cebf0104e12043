"""The three tasks themselves: METHODS.md, section 17, P1 to P3."""

import pytest
import torch
from torch import nn

from nascore_blocks.data.splits import TensorSplit
from nascore_unnas import colour, jigsaw
from nascore_unnas.patches import Patches
from nascore_unnas.rotation import Rotating, Turned, rotations

IMAGES = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------ rotation


def test_the_rotations_are_distinct_and_four_of_them_are_none():
    turned = rotations(IMAGES)
    assert torch.equal(turned[0], IMAGES)
    for first in range(4):
        for second in range(first):
            assert not torch.equal(turned[first], turned[second])
    assert torch.equal(rotations(turned[3])[1], IMAGES)
    assert turned[1][0, 0, 0, 0] == IMAGES[0, 0, 0, 7]  # against the clock: the upper right goes to the upper left


class Angle(nn.Module):
    """Names the angle of an image whose corners are marked; ``seen`` is the batch that it was given."""

    def forward(self, inputs):
        self.seen = inputs
        # The mark, at the upper left at first, goes down, right, up.
        return torch.stack([inputs[:, 0, 0, 0], inputs[:, 0, -1, 0], inputs[:, 0, -1, -1], inputs[:, 0, 0, -1]], 1)


def test_all_rotations_are_in_one_batch_and_logits_stand_by_their_angle():
    images = torch.zeros(3, 1, 4, 4)
    images[:, :, 0, 0] = torch.tensor([5.0, 6.0, 7.0]).reshape(3, 1)
    split = Turned(TensorSplit(images, torch.full((3,), 9)))
    inputs, labels = split.batch(torch.tensor([2, 0]))
    network = Angle()
    logits = Rotating(network)(inputs)
    assert network.seen.shape == (8, 1, 4, 4)
    assert logits.shape == (2, 4, 4)
    assert torch.equal(logits.argmax(1), labels)
    assert logits.amax(1).tolist() == [[7.0] * 4, [5.0] * 4]
    assert len(split) == 3


# -------------------------------------------------------------------------------------------- jigsaw


def test_labels_of_orders_are_a_bijection():
    assert jigsaw.ORDERS.shape == (24, 4)
    assert len({tuple(order) for order in jigsaw.ORDERS.tolist()}) == 24
    assert all(sorted(order) == [0, 1, 2, 3] for order in jigsaw.ORDERS.tolist())


def test_the_inverse_puts_the_tiles_back():
    tiles = jigsaw.tiles(IMAGES)
    assert torch.equal(tiles[:, 1], IMAGES[:, :, :4, 4:])
    assert torch.equal(jigsaw.joined(tiles), IMAGES)
    for order in jigsaw.ORDERS:
        orders = order.expand(5, 4)
        there = jigsaw.shuffled(tiles, orders)
        assert torch.equal(there[:, 0], tiles[:, order[0]])
        assert torch.equal(jigsaw.shuffled(there, orders.argsort(1)), tiles)


@pytest.mark.parametrize(("tile", "left"), [(4, 3), (8, 6), (16, 12), (2, 2)])
def test_a_tile_keeps_three_quarters_of_its_side(tile, left):
    assert jigsaw.kept(tile) == left


def test_a_tile_is_cut_at_its_own_place_and_normalised_by_itself():
    tiles = jigsaw.tiles(IMAGES)
    cuts = torch.zeros(5, 4, 2, dtype=torch.int64)
    cuts[2, 3] = torch.tensor([1, 0])
    cut = jigsaw.cropped(tiles, cuts)
    assert torch.equal(cut[2, 3], tiles[2, 3, :, 1:4, 0:3])
    assert torch.equal(cut[1, 3], tiles[1, 3, :, 0:3, 0:3])
    normal = jigsaw.normalised(cut)
    assert torch.allclose(normal.mean((-2, -1)), torch.zeros(5, 4, 2), atol=1e-6)
    assert torch.allclose(normal.square().mean((-2, -1)), torch.ones(5, 4, 2), atol=1e-5)
    assert not jigsaw.normalised(torch.full((1, 4, 1, 3, 3), 7.0)).any()


def test_cuts_are_random_and_within_the_tile():
    cuts = jigsaw.drawn_cuts(200, 8, torch.Generator().manual_seed(0))
    assert cuts.unique().tolist() == [0, 1]


def test_puzzles_of_training_change_and_those_of_validation_do_not():
    base = TensorSplit(IMAGES, torch.zeros(5, dtype=torch.int64))
    every = torch.arange(5)
    train, valid = jigsaw.Puzzles(base, 0), jigsaw.FixedPuzzles(base)
    first, again = train.batch(every), train.batch(every)
    assert not torch.equal(first[1], again[1])
    assert torch.equal(jigsaw.Puzzles(base, 0).batch(every)[0], first[0])
    assert len(valid) == 4 * len(base)
    chosen = torch.tensor([19, 3, 11])
    pictures, labels = valid.batch(chosen)
    assert torch.equal(labels, valid.labels[chosen])
    assert torch.equal(pictures[1], valid.batch(torch.tensor([3]))[0][0])
    assert pictures.shape == (3, 2, 6, 6)


# -------------------------------------------------------------------------------------- colorization


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_the_primaries_is_that_of_the_books(rgb, lab):
    found = colour.to_lab(torch.tensor(rgb, dtype=torch.float32).reshape(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(lab, abs=0.05)


@pytest.fixture(scope="module")
def train():
    return Patches().load(0).train


def test_the_colour_of_a_centre_is_that_centre(train):
    centres = colour.palette(train)
    assert centres.shape == (16, 2)
    assert colour.nearest_colour(centres, centres).tolist() == list(range(16))
    assert torch.equal(colour.palette(train), centres)


def test_the_images_are_grey_and_their_targets_are_those_of_the_colours(train):
    centres = colour.palette(train)
    split = colour.Coloured(train, centres)
    inputs, labels = split.batch(torch.tensor([7, 8]))
    assert inputs.shape == (2, 1, 16, 16)
    assert 0 <= inputs.min() < inputs.max() <= 1.001
    rgb = train.stored[7].float() / 255
    corner = colour.to_lab(rgb[None])[0, 1:, :4, 12:].mean((1, 2))  # of the upper right part, number 3
    assert labels[0, 3] == (centres - corner).square().sum(1).argmin()
    assert labels.shape == (2, 16)


# ------------------------------------------------------------------------------------------- patches


def test_patches_do_not_overlap_and_make_up_the_photographs():
    splits = Patches(size=16).load(0)
    sizes = [len(split) for split in (splits.train, splits.valid, splits.test)]
    assert sum(sizes) == 2 * (427 // 16) * (640 // 16)
    assert splits.task.shape == (3, 16, 16)
    assert splits.task.classes == 6
    every = torch.cat([split.stored for split in (splits.train, splits.valid, splits.test)])
    assert len(every.flatten(1).unique(dim=0)) > 0.95 * len(every)  # some of the sky are alike


def test_a_patch_is_where_its_label_says():
    from sklearn.datasets import load_sample_image

    splits = Patches(size=64).load(0)
    upper = torch.from_numpy(load_sample_image("flower.jpg")[:64, 64:128].copy()).permute(2, 0, 1)
    for split in (splits.train, splits.valid, splits.test):
        same = (split.stored == upper).flatten(1).all(1)
        if same.any():
            assert split.labels[same].tolist() == [3]
            return
    raise AssertionError("the patch is nowhere")
