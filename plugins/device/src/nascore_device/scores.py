"""How good predictions are, on networks that they were not learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from nascore_device.correction import LEAST, fit
from nascore_device.regressor import Regressor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_device.profile import Sample

    Predict = Callable[[Sample], float]

FOLDS = 5


def score(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """Spearman's rank correlation, and the mean of the relative error, both of at least two networks."""
    one, two = np.asarray(predicted), np.asarray(measured)
    constant = np.ptp(one) == 0 or np.ptp(two) == 0
    rank = 0.0 if constant else float(spearmanr(one, two).statistic)
    return {"spearman": rank, "error": float((np.abs(one - two) / two).mean())}


def plain(samples: Sequence[Sample]) -> Predict:
    """The sum of the table."""
    return lambda sample: sample.total


def corrected(samples: Sequence[Sample]) -> Predict:
    """The sum, corrected by what the samples say."""
    correction = fit(samples)
    return lambda sample: correction(sample.total, sample.layers)


def regressed(samples: Sequence[Sample]) -> Predict:
    """The regressor that learnt from the samples."""
    regressor = Regressor(samples)
    return lambda sample: regressor.predict(sample.features)[0]


METHODS: dict[str, Callable[[Sequence[Sample]], Predict]] = {
    "sum": plain, "corrected": corrected, "predictor": regressed,
}  # fmt: skip


def cross_validated(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Each method's scores on networks it did not learn from, in five folds; none where a fold leaves too few."""
    if len(samples) * (FOLDS - 1) // FOLDS < LEAST:
        return {}
    found = {}
    for name, method in METHODS.items():
        predicted = [0.0] * len(samples)
        for fold in range(FOLDS):
            predict = method([sample for index, sample in enumerate(samples) if index % FOLDS != fold])
            for index in range(fold, len(samples), FOLDS):
                predicted[index] = predict(samples[index])
        found[name] = score(predicted, [sample.ms for sample in samples])
    return found
