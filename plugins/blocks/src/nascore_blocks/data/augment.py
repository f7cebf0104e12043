"""Random changes of image batches: shifts and the like for the whole batch at once, policies image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nascore.errors import SettingsError
from nascore_blocks.data.splits import Joined, Subset

if TYPE_CHECKING:
    from nascore_blocks.data.splits import Split
    from nascore_blocks.recipe import Recipe


class Augmentation:
    """What a recipe does to a batch before it is learnt from: its policy, then :func:`augment`.

    A policy (torchvision's v2 transforms) works on bytes, so a batch goes back to the bytes that it was read from,
    which is exact, and is normalised again. What a policy moves in from outside is the mean colour.
    """

    def __init__(self, data: Split, recipe: Recipe, generator: torch.Generator) -> None:
        """Look at the data.

        Args:
            data: that is learnt from.
            recipe: see :class:`~nascore_blocks.recipe.Recipe`.
            generator: on the CPU; all draws come from it.

        Raises:
            SettingsError: a policy, and no colour images that are kept as bytes.
        """
        self.recipe, self.generator = recipe, generator
        self.policy: Any = None
        if recipe.autoaugment:
            self.scale, self.shift = _byte_scale(data, recipe.autoaugment)
            self.policy = _policy(recipe.autoaugment, (-self.shift / self.scale).flatten().tolist())

    def __call__(self, inputs: Tensor) -> Tensor:
        """A changed copy of ``inputs``: (batch, channels, height, width), normalised."""
        recipe = self.recipe
        if self.policy is not None:
            inputs = self._by_policy(inputs)
        return augment(inputs, self.generator, crop=recipe.crop, flip=recipe.flip, cutout=recipe.cutout)

    def _by_policy(self, inputs: Tensor) -> Tensor:
        scale, shift = self.scale.to(inputs.device), self.shift.to(inputs.device)
        images = ((inputs - shift) / scale).round().clamp(0, 255).to(torch.uint8)
        # torchvision draws from torch's global generator on the CPU; whoever else uses it must not notice.
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=self.generator)))
        try:
            images = torch.stack([self.policy(image) for image in images])
        finally:
            torch.set_rng_state(before)
        return torch.addcmul(shift, images.float(), scale)


def _policy(name: str, fill: list[float]) -> Any:
    """The transform, uint8 (3, height, width) -> the same."""
    from torchvision.transforms import v2

    if name == "trivial":
        return v2.TrivialAugmentWide(fill=fill)
    if name == "rand":
        return v2.RandAugment(fill=fill)
    return v2.AutoAugment(v2.AutoAugmentPolicy(name), fill=fill)


def _byte_scale(data: Split, policy: str) -> tuple[Tensor, Tensor]:
    """What makes a byte of a split an input: ``byte * scale + shift``, each (3, 1, 1)."""
    while isinstance(data, (Subset, Joined)):
        data = data.base if isinstance(data, Subset) else data.first
    scale, shift = getattr(data, "scale", None), getattr(data, "shift", None)
    if scale is None or shift is None or len(scale) != 3:
        shape = tuple(data.batch(torch.zeros(1, dtype=torch.int64, device=data.labels.device))[0].shape[1:])
        kept = "floats" if scale is None or shift is None else "bytes"
        raise SettingsError(
            f"autoaugment = {policy!r} changes colour images that are kept as bytes, uint8 (3, height, width); these "
            f"inputs are {kept} {shape}. Leave it out, or give such images; flip, crop and cutout take any image."
        )
    return scale, shift


def augment(
    inputs: Tensor, generator: torch.Generator, *, crop: int = 0, flip: bool = False, cutout: int = 0
) -> Tensor:
    """Shift, mirror and cut out, each image by its own draw.

    Args:
        inputs: (batch, channels, height, width), normalised, so that 0 is the mean.
        generator: on the CPU, so that a seed means the same on every device.
        crop: shift by -crop..crop pixels in both directions; what comes in from outside is 0.
        flip: mirror left to right with probability one half.
        cutout: side of a square, centred anywhere in the image and cut at its border, that becomes 0
            (DeVries and Taylor, arXiv:1708.04552).

    Returns:
        A new tensor of the same shape.
    """
    batch, _, height, width = inputs.shape
    device = inputs.device

    def draw(high: int) -> Tensor:
        return torch.randint(high, (batch, 1), generator=generator).to(device)

    rows = torch.arange(height, device=device).expand(batch, -1)
    columns = torch.arange(width, device=device).expand(batch, -1)
    if flip:
        columns = torch.where(draw(2) == 1, width - 1 - columns, columns)
    if crop:
        inputs = F.pad(inputs, (crop, crop, crop, crop))
        rows, columns = rows + draw(2 * crop + 1), columns + draw(2 * crop + 1)
    if flip or crop:
        images = torch.arange(batch, device=device)[:, None, None]
        inputs = inputs.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if cutout:
        hidden = _covered(draw(height), height, cutout)[:, :, None] & _covered(draw(width), width, cutout)[:, None, :]
        inputs = inputs.masked_fill(hidden[:, None], 0.0)
    return inputs


def _covered(centre: Tensor, length: int, side: int) -> Tensor:
    """Which of ``length`` pixels lie within ``side`` pixels around each centre: (batch, length) bool."""
    start = centre - side // 2
    pixels = torch.arange(length, device=centre.device)
    return (pixels >= start) & (pixels < start + side)
