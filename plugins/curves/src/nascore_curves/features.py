"""A learning curve as numbers: what a regressor sees of its first part (Baker et al. 2018, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nascore.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SLOWNESS = (0.25, 0.5, 1.0, 2.0)
"""Exponents c of the power laws a + b t^-c that are tried on a curve."""


def as_curves(curves: ArrayLike | Sequence[ArrayLike]) -> Floats:
    """Curves as one array: (curves, epochs), NaN after the end of a shorter one.

    Args:
        curves: an array (curves, epochs), where NaN may stand after the last epoch of a run that stopped
            early; or one sequence for each curve, of any lengths.

    Raises:
        DataError: no curve, one point only, NaN in the middle, or an infinite value; says which curve and epoch.
    """
    rows = [_row(curve, number) for number, curve in enumerate(_sequence(curves))]
    longest = max((len(row) for row in rows), default=0)
    if longest < 2:
        raise DataError(
            f"{len(rows)} curves with at most {longest} points: a curve needs at least 2. "
            "Give an array of shape (curves, epochs), or a list with one sequence for each curve."
        )
    table = np.full((len(rows), longest), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    for number, values in enumerate(table):
        bad = np.flatnonzero(np.isinf(values))
        if len(bad):
            raise DataError(f"Curve {number} is {values[bad[0]]} at epoch {bad[0] + 1}; a curve has finite values.")
        end = length(values)
        if end < longest and not np.isnan(values[end:]).all():
            raise DataError(
                f"Curve {number} is NaN at epoch {end + 1} and goes on after it; NaN may only stand after the end "
                "of a run that stopped early. Leave this curve out, or cut it there."
            )
    return table


def _sequence(curves: Any) -> list[Any]:
    if isinstance(curves, np.ndarray) and curves.ndim != 2:
        raise DataError(f"The curves have the shape {curves.shape}; an array of curves has (curves, epochs).")
    try:
        return list(curves)
    except TypeError as error:
        raise DataError(f"{type(curves).__name__} is no set of curves: give (curves, epochs).") from error


def _row(curve: Any, number: int) -> Floats:
    try:
        row = np.asarray(curve, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Curve {number} is no sequence of numbers: {error}.") from error
    if row.ndim != 1:
        raise DataError(f"Curve {number} has the shape {row.shape}; a curve is a sequence of numbers.")
    return row


def length(curve: Floats) -> int:
    """How many values stand before the first NaN of one curve, (epochs,)."""
    missing = np.flatnonzero(np.isnan(curve))
    return int(missing[0]) if len(missing) else len(curve)


def curve_features(partial: Floats) -> Floats:
    """The values, their first and their second differences.

    Args:
        partial: (curves, tau), finite, tau >= 1.

    Returns:
        (curves, tau + (tau - 1) + (tau - 2)) for tau >= 2.
    """
    first = np.diff(partial, axis=1)
    return np.hstack([partial, first, np.diff(first, axis=1)])


def summary_features(partial: Floats, epochs: int) -> Floats:
    """Mean, standard deviation, first and last value, mean and slope of the last quarter, and a power law's end.

    Args:
        partial: (curves, tau), finite, tau >= 2.
        epochs: length of a whole curve.

    Returns:
        (curves, 7).
    """
    tau = partial.shape[1]
    recent = partial[:, -max(2, tau // 4) :]
    slope = (recent[:, -1] - recent[:, 0]) / (recent.shape[1] - 1)
    columns = (partial.mean(1), partial.std(1), partial[:, 0], partial[:, -1], recent.mean(1), slope)
    return np.stack([*columns, extrapolated(partial, epochs)], axis=1)


def extrapolated(partial: Floats, epochs: int) -> Floats:
    """The end of each curve by the power law a + b t^-c that fits it best, c among :data:`SLOWNESS`.

    Args:
        partial: (curves, tau), finite, tau >= 2.
        epochs: length of a whole curve.

    Returns:
        (curves,).
    """
    time = np.arange(1, partial.shape[1] + 1)
    ends, errors = [], []
    for c in SLOWNESS:
        design = np.stack([np.ones(len(time)), time**-c], axis=1)
        fitted, *_ = np.linalg.lstsq(design, partial.T, rcond=None)
        errors.append(((design @ fitted - partial.T) ** 2).sum(0))
        ends.append(fitted[0] + fitted[1] * epochs**-c)
    best = np.argmin(errors, axis=0)
    chosen: Floats = np.stack(ends)[best, np.arange(len(partial))]
    return chosen
