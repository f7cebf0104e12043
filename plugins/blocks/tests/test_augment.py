"""Policies of augmentation: what they work on, and whose random numbers they use."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nascore.errors import SettingsError
from nascore_blocks.data import Split, TensorSplit
from nascore_blocks.data.augment import Augmentation, augment
from nascore_blocks.data.splits import Joined, Subset
from nascore_blocks.recipe import POLICIES, Recipe

SCALE = torch.tensor([0.02, 0.017, 0.015]).reshape(3, 1, 1)
SHIFT = torch.tensor([-2.0, -1.9, -1.1]).reshape(3, 1, 1)


def _pictures(examples: int = 24) -> TensorSplit:
    stored = torch.randint(256, (examples, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return TensorSplit(stored, torch.arange(examples) % 2, SCALE, SHIFT)


def _changed(data: Split, policy: str, seed: int = 1, flip: bool = False) -> Tensor:
    change = Augmentation(data, Recipe(autoaugment=policy, flip=flip), torch.Generator().manual_seed(seed))
    return change(data.batch(torch.arange(len(data)))[0])


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy])
def test_a_policy_gives_normalised_bytes_by_the_seed_alone(policy: str) -> None:
    data = _pictures()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = _changed(data, policy)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(99)
    assert _changed(data, policy).equal(first)
    assert not _changed(data, policy, seed=2).equal(first)
    assert not first.equal(data.inputs)
    pixels = (first - SHIFT) / SCALE
    assert (pixels - pixels.round()).abs().max() < 1e-3
    assert -0.01 <= float(pixels.min()) <= float(pixels.max()) <= 255.01


def test_an_image_that_the_policy_leaves_alone_keeps_every_bit() -> None:
    data = _pictures()
    change = Augmentation(data, Recipe(autoaugment="trivial"), torch.Generator())
    change.policy = lambda image: image
    assert change(data.inputs).equal(data.inputs)


def test_what_a_policy_moves_in_is_the_mean_colour() -> None:
    mean = (-SHIFT / SCALE).round().to(torch.uint8)
    data = TensorSplit(mean.expand(60, 3, 8, 8).clone(), torch.arange(60) % 2, SCALE, SHIFT)
    pixels = (_changed(data, "trivial") - SHIFT) / SCALE
    spread = pixels.flatten(2).amax(2) - pixels.flatten(2).amin(2)
    assert float(spread.max()) < 1.5  # black, or any other colour, would stand out beside the mean


def test_crop_and_flip_come_after_the_policy() -> None:
    data = _pictures()
    change = Augmentation(data, Recipe(autoaugment="trivial", crop=1, flip=True), torch.Generator().manual_seed(1))
    change.policy = lambda image: 255 - image
    generator = torch.Generator().manual_seed(1)
    torch.randint(2**62, (), generator=generator)  # the policy's seed
    negative = TensorSplit(255 - data.stored, data.labels, SCALE, SHIFT)
    assert change(data.inputs).equal(augment(negative.inputs, generator, crop=1, flip=True))


def test_it_finds_the_bytes_below_parts_of_the_data() -> None:
    data = _pictures()
    both = Joined(Subset(data, torch.arange(12)), Subset(data, torch.arange(12, 24)))
    assert _changed(both, "rand").equal(_changed(data, "rand"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            TensorSplit(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)),
            r"these inputs are floats \(3, 8, 8\)",
        ),
        (
            TensorSplit(
                torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), SCALE[:1], SHIFT[:1]
            ),
            r"these inputs are bytes \(1, 8, 8\)",
        ),
    ],
)
def test_other_images_are_refused(data: Split, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _changed(data, "trivial")
    assert _changed(data, "", flip=True).shape == data.batch(torch.arange(4))[0].shape
