"""From the sum of a network's layers to its latency: what runs between the layers takes time as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_device.profile import Sample

LEAST = 8
"""Networks that three numbers can be learnt from."""


class Correction(NamedTuple):
    """``constant + factor * sum + per_layer * layers``.

    Attributes:
        constant: ms.
        factor: of the sum.
        per_layer: ms a layer call.
        spread: standard deviation of the relative error on the networks it was fitted on.
        networks: how many those were.
    """

    constant: float
    factor: float
    per_layer: float
    spread: float = 0.0
    networks: int = 1

    def __call__(self, total: float, layers: int) -> float:
        """The latency in ms, >= 0.

        Args:
            total: sum of the layers, ms.
            layers: how many.
        """
        return max(self.constant + self.factor * total + self.per_layer * layers, 0.0)


def fit(samples: Sequence[Sample]) -> Correction:
    """Least squares of the relative error.

    Args:
        samples: measured networks.

    Raises:
        SettingsError: fewer than 8 networks.
    """
    if len(samples) < LEAST:
        raise SettingsError(f"A correction needs at least {LEAST} measured networks; there are {len(samples)}.")
    measured = np.array([sample.ms for sample in samples])
    terms = np.array([[1.0, sample.total, sample.layers] for sample in samples])
    scale = np.maximum(np.abs(terms).mean(0), 1e-12)  # ms and counts differ by magnitudes
    rows = terms / measured[:, None]
    found = np.linalg.lstsq(rows / scale, np.ones(len(samples)), rcond=1e-8)[0] / scale
    errors = rows @ found - 1.0
    spread = float(np.sqrt((errors**2).sum() / (len(samples) - 3)))
    constant, factor, per_layer = map(float, found)
    return Correction(constant, factor, per_layer, spread, len(samples))
