"""Random changes of image batches, for the whole batch at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
