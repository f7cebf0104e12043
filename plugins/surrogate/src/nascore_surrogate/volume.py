"""Expected gain of hypervolume, for any number of objectives, by random directions.

The hypervolume of a set is, but for a factor, the mean over directions u on the positive part of the unit
sphere of max_y min_i (y_i / u_i)^m (Zhang and Golovin 2020, arXiv:2006.04655, lemma 5); so the gain of one
more point is the mean of what it adds to each of these maxima.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DIRECTIONS = 64
DRAWS = 16
"""From the posterior of each candidate; the second half mirrors the first."""


def directions(objectives: int, count: int, rng: np.random.Generator) -> Floats:
    """Uniform on the positive part of the unit sphere, (count, objectives)."""
    drawn = np.abs(rng.standard_normal((count, objectives)))
    found: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


def reach(gains: Floats, along: Floats) -> Floats:
    """How far along each direction a point's box goes, to the power of m: min_i (max(0, y_i) / u_i)^m.

    Args:
        gains: over the reference point, (..., m).
        along: directions, (directions, m).

    Returns:
        (..., directions).
    """
    m = along.shape[1]
    farthest = np.maximum(gains[..., 0, None], 0.0) / along[:, 0]
    for i in range(1, m):  # one objective at a time: an array of all of them would be m times as large
        np.minimum(farthest, np.maximum(gains[..., i, None], 0.0) / along[:, i], out=farthest)
    found: Floats = farthest**m
    return found


def expected_gain(
    means: Floats, deviations: Floats, known: Floats, reference: Floats, rng: np.random.Generator
) -> Floats:
    """What each candidate is expected to add to the hypervolume, in units that are the same for all, (candidates,).

    Args:
        means, deviations: of independent normal predictions, more is better, (candidates, m).
        known: of the points that are there, (points, m).
        reference: (m,).
        rng: draws directions and values, the same for all candidates.
    """
    m = means.shape[1]
    along = directions(m, DIRECTIONS, rng)
    half = rng.standard_normal((DRAWS // 2, m))
    z = np.concatenate([half, -half])  # (draws, m)
    best = reach(known - reference, along).max(0)  # (directions,)
    total = np.zeros(len(means))
    for draw in z:
        total += np.maximum(reach(means + deviations * draw - reference, along) - best, 0.0).mean(1)
    return total / len(z)


def front_of(values: Floats) -> list[int]:
    """Indices of the points that no other one dominates, more is better; equal points are all in.

    Args:
        values: (points, m).
    """
    at_least = np.all(values[None] >= values[:, None], axis=2)  # (point, other)
    better = np.any(values[None] > values[:, None], axis=2)
    return [int(index) for index in np.flatnonzero(~np.any(at_least & better, axis=1))]
