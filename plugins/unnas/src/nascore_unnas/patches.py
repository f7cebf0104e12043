"""Patches of scikit-learn's two sample photographs: real images in colour, no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nascore.contracts import Dataset, Splits
from nascore.errors import DataError, SettingsError
from nascore_blocks.data.splits import check_fractions, stratified_split, tensor_splits

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
THIRDS = 3
"""A class is a photograph and the upper, middle or lower third of it."""


class Patches(Dataset):
    """Square patches of the photographs of a temple and of a flower, 427 x 640 pixels each, that do not overlap.

    The label, which a search without labels does not see, is where a patch comes from: the photograph, and its
    upper, middle or lower third by the patch's first row: 6 classes. Patches of one photograph resemble each other;
    this is a small set to try things on, not a benchmark.

    Args:
        size: side of a patch in pixels, in [4, 100]; 16 gives 2,080 patches.
        valid: fraction that architectures are chosen on.
        test: fraction that ``retrain`` tests on.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(self, size: int = 16, valid: float = 0.2, test: float = 0.2) -> None:
        check_fractions([valid, test])
        if not 4 <= size <= 100:
            raise SettingsError(f"size is {size}; it must be from 4 to 100 pixels.")
        self.size, self.valid, self.test = size, valid, test

    def load(self, seed: int) -> Splits:
        """Stratified splits, (3, size, size) each; see :meth:`Dataset.load`."""
        cut = [self._cut(number, name) for number, name in enumerate(PHOTOGRAPHS)]
        inputs, labels = (torch.cat(part) for part in zip(*cut, strict=True))
        parts = stratified_split(labels, [self.valid, self.test], seed)
        train, valid, test = ((inputs[part], labels[part]) for part in parts)
        return tensor_splits("patches", train, valid, test, classes=THIRDS * len(PHOTOGRAPHS))

    def _cut(self, number: int, name: str) -> tuple[Tensor, Tensor]:
        """Patches (n, 3, size, size) uint8, row by row, and their labels."""
        photograph, size = _read(name), self.size
        rows, columns = (length // size for length in photograph.shape[:2])
        used = photograph[: rows * size, : columns * size]
        patches = used.reshape(rows, size, columns, size, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, size, size)
        third = np.arange(rows) * size * THIRDS // photograph.shape[0]
        labels = number * THIRDS + np.repeat(third, columns)
        return torch.from_numpy(np.ascontiguousarray(patches)), torch.from_numpy(labels.astype(np.int64))


def _read(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A photograph: (height, width, 3)."""
    # The file is read, not `sklearn.datasets` imported: that takes seconds.
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("The photographs come with scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(found.origin).parent / "datasets" / "images" / name
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise DataError(f"{path}, a sample photograph of scikit-learn, cannot be read: {error}") from error
