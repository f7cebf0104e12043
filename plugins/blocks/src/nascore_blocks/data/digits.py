"""The digits of scikit-learn: real scans, no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from nascore.contracts import Dataset, Splits
from nascore.errors import DataError
from nascore_blocks.data.splits import check_fractions, stratified_split, tensor_splits


class Digits(Dataset):
    """1,797 scans of handwritten digits, 8x8, 10 classes (E. Alpaydin, C. Kaynak, UCI, 1998).

    Args:
        valid: fraction that architectures are chosen on.
        test: fraction that ``retrain`` tests on.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(self, valid: float = 0.2, test: float = 0.2) -> None:
        check_fractions([valid, test])
        self.valid, self.test = valid, test

    def load(self, seed: int) -> Splits:
        """Stratified splits, (1, 8, 8) each; see :meth:`Dataset.load`."""
        table = _table()
        labels = torch.from_numpy(table[:, -1].astype(np.int64))
        inputs = torch.from_numpy(table[:, :-1].astype(np.float32)).reshape(-1, 1, 8, 8) / 16
        parts = stratified_split(labels, [self.valid, self.test], seed)
        train, valid, test = ((inputs[part], labels[part]) for part in parts)
        return tensor_splits("digits", train, valid, test, classes=10)


def _table() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The 1,797 rows: 64 grey values in 0..16, then the digit."""
    # The file is read, not `sklearn.datasets` imported: that takes two seconds, more than a trial.
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("The digits come with scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # another layout of the package: its own reader knows

    data, target = load_digits(return_X_y=True)
    return np.column_stack([data, target])
