"""A Gaussian process over encoded architectures (Rasmussen and Williams 2006, chapters 2 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Points = tuple[Floats, Floats]
    """Choices (points, columns) and counts (points, columns) of :class:`~nascore_surrogate.encoding.Encoding`."""
    Apart = tuple[Floats, Floats]
    """Two distances between points, see :func:`distances`."""

START = (1.0, 2.0, 0.0, 0.0, -4.0)
"""Logarithms: rate of the choices, rate of the counts, weight of the counts' part, scale, noise."""

PRIOR = 0.05
"""Holds the logarithms near the start while there is little to learn them from."""

JITTER = 1e-8


def distances(a: Points, b: Points) -> Apart:
    """The share of decisions that differ, and the square of the distance between the counts; (a, b) each."""
    made = np.maximum(a[0].sum(1)[:, None], b[0].sum(1)[None])
    differing = 1.0 - a[0] @ b[0].T / np.maximum(made, 1.0)
    squares = (a[1] ** 2).sum(1)[:, None] + (b[1] ** 2).sum(1)[None] - 2.0 * a[1] @ b[1].T
    return differing, np.maximum(squares, 0.0)


def kernel(apart: Apart, parameters: Floats) -> Floats:
    """exp(-w d) + v exp(-u |n - n'|^2), d the share of decisions that differ, n the counts; (a, b).

    Args:
        apart: see :func:`distances`.
        parameters: (w, u, v, ...), logarithms.
    """
    w, u, v = np.exp(parameters[:3])
    found: Floats = np.exp(-w * apart[0]) + v * np.exp(-u * apart[1])
    return found


@dataclass
class Process:
    """The posterior given some points.

    Attributes:
        apart: the points' distances from one another, see :func:`distances`.
        values: (points,), standardised, more is better.
        parameters: logarithms, see :data:`START`.
    """

    apart: Apart
    values: Floats
    parameters: Floats

    def __post_init__(self) -> None:
        scale, noise = np.exp(self.parameters[3:])
        covariance = scale * kernel(self.apart, self.parameters)
        covariance[np.diag_indices_from(covariance)] += noise + JITTER
        self._factor = cho_factor(covariance, lower=True)
        self._solved = cho_solve(self._factor, self.values)

    def predict(self, apart: Apart) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without noise, (new,) each.

        Args:
            apart: distances of new points from the known ones, (new, points) each.
        """
        scale = np.exp(self.parameters[3])
        between = scale * kernel(apart, self.parameters)
        half = solve_triangular(self._factor[0], between.T, lower=True)
        variance = scale * (1.0 + np.exp(self.parameters[2])) - (half**2).sum(0)
        return between @ self._solved, np.sqrt(np.maximum(variance, 1e-12))

    def expected_improvement(self, apart: Apart) -> Floats:
        """Over the best value there is (Mockus 1978), (new,); for the argument see :meth:`predict`."""
        mean, deviation = self.predict(apart)
        z = (mean - self.values.max()) / deviation
        found: Floats = deviation * (z * norm.cdf(z) + norm.pdf(z))
        return found

    def surprise(self) -> float:
        """Negative log marginal likelihood of the values, without its constant, and the prior."""
        log_determinant = np.log(np.diag(self._factor[0])).sum()
        drift = float(((self.parameters - START) ** 2).sum())
        return float(0.5 * self.values @ self._solved + log_determinant) + PRIOR * drift


def fit(apart: Apart, values: Floats, start: Floats, iterations: int = 10) -> Floats:
    """Parameters of less surprise, a few steps of L-BFGS from ``start``; the start itself where it fails.

    Args:
        apart, values: see :class:`Process`.
        start: logarithms, see :data:`START`.
        iterations: at most.
    """

    def surprise(parameters: Floats) -> float:
        try:
            return Process(apart, values, parameters).surprise()
        except np.linalg.LinAlgError:
            return 1e10

    bounds = [(first - 6.0, first + 6.0) for first in START]
    found = minimize(surprise, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    return np.asarray(found.x if found.fun < 1e10 else start)


def normal_scores(values: Floats) -> Floats:
    """Values, column by column, replaced by what a standard normal sample has at their ranks; ties share a rank.

    Accuracies have a long tail of failures; by ranks the tail does not hide what is good.
    """
    from scipy.stats import rankdata

    found: Floats = norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))
    return found
