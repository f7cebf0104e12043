"""From an image file of any size and mode to a square tensor of bytes."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps

from nascore.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B")


@dataclass(frozen=True)
class Picture:
    """How every file becomes a tensor.

    Attributes:
        size: height and width in pixels.
        grey: one channel instead of three.
    """

    size: int
    grey: bool

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.grey else 3

    def told(self) -> dict[str, Any]:
        """How :meth:`decode` makes an image bytes, for those who use a network without this."""
        return {
            "size": self.size,
            "mode": "L" if self.grey else "RGB",
            "steps": "open (a JPEG with draft(mode, (2 size, 2 size))); turn upright by EXIF; convert to the mode; "
            "PIL.ImageOps.fit to (size, size), bilinear; bytes (channels, height, width); byte * scale + shift",
        }

    def decode(self, file: Path, content: bytes) -> torch.Tensor:
        """(channels, size, size) uint8: upright, scaled to cover the square, its centre kept.

        Args:
            file: named where the content cannot be decoded.
            content: of the file.

        Raises:
            DataError: it is no image, or a damaged one.
        """
        with opened(file, content) as image:
            # A photograph from a camera is decoded several times faster at an eighth of its size.
            image.draft("L" if self.grey else "RGB", (2 * self.size, 2 * self.size))
            plain = _plain(ImageOps.exif_transpose(image), "L" if self.grey else "RGB")
            square = ImageOps.fit(plain, (self.size, self.size), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(square, dtype=np.uint8))
        return pixels[None] if self.grey else pixels.permute(2, 0, 1)


@contextmanager
def opened(file: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image; what goes wrong with it inside becomes a :class:`DataError` that names the file."""
    try:
        with Image.open(file if content is None else io.BytesIO(content)) as image:
            yield image
    # PIL raises SyntaxError and ValueError too on damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{file} is no image that can be read ({error}). Mend it, or take it out of the folder."
        ) from error


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """The image as ``L`` or ``RGB``: what is transparent shows white, 16 bits become 8."""
    if image.mode in _DEEP_MODES:
        image = Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        image = Image.alpha_composite(white, coloured)
    return image.convert(mode)
