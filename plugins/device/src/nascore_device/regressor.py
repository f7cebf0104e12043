"""A Gaussian process from encodings to latency, by scikit-learn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nascore_device.profile import Sample

    Floats = NDArray[np.float64]

UNSEEN = "layers/(of no network that was measured)"
"""Column of all layers that no sample has: they make a prediction less certain."""


class Regressor:
    """Latency is nearly linear in how many layers of each kind there are; a smooth part takes the rest.

    Columns are standardised, and each group of them (before the slash of a name) weighs as much as another.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        """
        Args:
            samples: measured networks, at least two.
        """
        names = sorted({name for sample in samples for name in sample.features})
        self._columns = {name: index for index, name in enumerate([*names, UNSEEN])}
        groups = [name.partition("/")[0] for name in self._columns]
        table = np.array([self._row(sample.features) for sample in samples])
        self._mean = table.mean(0)
        deviation = table.std(0)
        self._scale = np.where(deviation > 0, deviation, 1.0) * np.sqrt([groups.count(group) for group in groups])
        kernel = (
            ConstantKernel(1.0, (1e-3, 1e3)) * DotProduct(1.0, (1e-2, 1e2))
            + ConstantKernel(0.1, (1e-4, 1e2)) * RBF(1.0, (0.1, 1e2))
            + WhiteKernel(1e-2, (1e-6, 1.0))
        )
        self._process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound is as good as any
            self._process.fit(self._scaled(table), np.array([sample.ms for sample in samples]))

    def predict(self, features: Mapping[str, float]) -> tuple[float, float]:
        """Mean, >= 0, and standard deviation of the latency of a network, in ms.

        Args:
            features: of :func:`nascore_device.encoding.features`.
        """
        mean, std = self._process.predict(self._scaled(np.array([self._row(features)])), return_std=True)
        return max(float(mean[0]), 0.0), float(std[0])

    def _row(self, features: Mapping[str, float]) -> Floats:
        row = np.zeros(len(self._columns))
        for name, value in features.items():
            if name in self._columns or name.startswith("layers/"):
                row[self._columns.get(name, self._columns[UNSEEN])] += value
        return row

    def _scaled(self, table: Floats) -> Floats:
        scaled: Floats = (table - self._mean) / self._scale
        return scaled
