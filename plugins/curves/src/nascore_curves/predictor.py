"""The end of a learning curve from its beginning, for any curves: losses that fall, accuracies that rise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nascore.errors import DataError, SettingsError
from nascore_curves.features import as_curves, length
from nascore_curves.regressor import Examples, Regressor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LEAST = 6
"""Whole curves that a regressor needs at least: two for each of three folds."""


class CurvePredictor:
    """One regressor for each tau, the number of epochs that have been seen (Baker et al. 2018).

    Each is a nu-SVR (the mean of the best five of a random search) or, where cross-validation finds that
    better, the last value moved by the mean gain.

    Example:
        >>> predictor = CurvePredictor().fit(curves, features)          # (100, 50), (100, 3)
        >>> mean, std = predictor.predict(new[:, :12], new_features)    # after 12 of the 50 epochs

    Args:
        settings: of the SVR that are tried for each tau; the paper's number is 1,000.
        folds: of the cross-validation.
        seed: of the random search.
    """

    def __init__(self, settings: int = 30, folds: int = 3, seed: int = 0) -> None:
        if settings < 0:
            raise SettingsError(f"settings is {settings}; it must be >= 0 (0: the last value alone).")
        if folds < 2:
            raise SettingsError(f"folds is {folds}; it must be >= 2.")
        self._settings, self._folds, self._seed = settings, folds, seed
        self._curves: Floats = np.empty((0, 0))
        self._extra: Floats = np.empty((0, 0))
        self._ends: Floats = np.empty(0)
        self._regressors: dict[int, Regressor] = {}

    @property
    def epochs(self) -> int:
        """Length of a whole curve; 0 before :meth:`fit`."""
        return int(self._curves.shape[1])

    def fit(
        self,
        curves: ArrayLike | Sequence[ArrayLike],
        features: ArrayLike | None = None,
        ends: ArrayLike | None = None,
    ) -> CurvePredictor:
        """Learn from whole curves; what was learnt before is forgotten, unless this fails.

        Args:
            curves: (curves, epochs), by epoch. A curve with NaN at its end stopped early: nothing is learnt
                from it, as its end is not known (unless ``ends`` says it).
            features: (curves, features) of architecture and hyper-parameters; None for none.
            ends: (curves,), what is to be predicted; None: the last value of each curve.

        Returns:
            Itself.

        Raises:
            DataError: curves or features that cannot be used, or fewer than six whole curves.
        """
        table = as_curves(curves)
        extra = _matrix(features, len(table))
        goals = table[:, -1] if ends is None else np.asarray(ends, dtype=np.float64)
        if goals.shape != (len(table),):
            raise DataError(f"ends has the shape {goals.shape}; there are {len(table)} curves.")
        if ends is not None and not np.isfinite(goals).all():
            raise DataError(f"The end of curve {int(np.flatnonzero(~np.isfinite(goals))[0])} is not finite.")
        known = np.isfinite(goals)
        if known.sum() < max(LEAST, self._folds):
            raise DataError(
                f"{int(known.sum())} of {len(table)} curves ran to the end of their {table.shape[1]} epochs; "
                f"a predictor needs at least {max(LEAST, self._folds)}."
            )
        self._curves, self._extra, self._ends = table[known], extra[known], goals[known]
        self._regressors = {}
        return self

    def predict(
        self, partial: ArrayLike | Sequence[ArrayLike], features: ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Predict the ends of curves that have begun.

        Args:
            partial: (curves, tau), tau of at least 2; NaN at the end of those that are shorter than others.
            features: (curves, features), as in :meth:`fit`.

        Returns:
            Mean and standard deviation, (curves,) each. A curve that is there as a whole is its own end.

        Raises:
            DataError: not fitted, curves or features that cannot be used, or longer than those learnt from.
        """
        if not self.epochs:
            raise DataError("The predictor has learnt from no curve: call fit(curves, features) first.")
        table = as_curves(partial)
        extra = _matrix(features, len(table))
        if extra.shape[1] != self._extra.shape[1]:
            raise DataError(f"{extra.shape[1]} features for each curve; fit() was given {self._extra.shape[1]}.")
        lengths = np.array([length(curve) for curve in table])
        if lengths.min() < 2:
            raise DataError(f"Curve {int(lengths.argmin())} has {lengths.min()} points; a prediction needs at least 2.")
        if lengths.max() > self.epochs:
            raise DataError(f"{lengths.max()} epochs are given; the curves of fit() have {self.epochs}.")
        mean, std = np.empty(len(table)), np.empty(len(table))
        for tau in np.unique(lengths):
            rows = np.flatnonzero(lengths == tau)
            if tau == self.epochs:
                mean[rows], std[rows] = table[rows, tau - 1], 0.0
                continue
            regressor = self.regressor(int(tau))
            mean[rows] = regressor.predict(Examples.of(table[rows, :tau], extra[rows], self.epochs))
            std[rows] = regressor.sigma(mean[rows])
        return mean, std

    def guesses(self, tau: int) -> Floats:
        """What is predicted after ``tau`` epochs of the curves learnt from, by regressors that have not seen them.

        Returns:
            (whole curves,), in the order of :meth:`fit`; NaN for those that are shorter than ``tau``.

        Raises:
            DataError: as :meth:`regressor`.
        """
        guesses = np.full(len(self._curves), np.nan)
        guesses[np.isfinite(self._curves[:, tau - 1])] = self.regressor(tau).guesses
        return guesses

    def regressor(self, tau: int) -> Regressor:
        """The regressor for ``tau`` epochs, fitted when it is first asked for.

        Raises:
            DataError: fewer than six of the whole curves are that long.
        """
        if tau not in self._regressors:
            rows = np.flatnonzero(np.isfinite(self._curves[:, tau - 1]))
            if len(rows) < max(LEAST, self._folds):
                raise DataError(f"Only {len(rows)} curves have {tau} epochs; at least {LEAST} are needed.")
            self._regressors[tau] = Regressor(
                Examples.of(self._curves[rows, :tau], self._extra[rows], self.epochs),
                self._ends[rows],
                settings=self._settings,
                folds=self._folds,
                seed=self._seed,
            )
        return self._regressors[tau]


def _matrix(features: ArrayLike | None, count: int) -> Floats:
    if features is None:
        return np.empty((count, 0))
    try:
        matrix = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The features are no array of numbers: {error}.") from error
    if matrix.ndim != 2 or len(matrix) != count:
        raise DataError(f"The features have the shape {matrix.shape}; it must be ({count}, features).")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(f"Feature {column} of curve {row} is {matrix[row, column]}; features are finite numbers.")
    return matrix
