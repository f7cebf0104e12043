"""Pareto fronts and their hypervolume (Zitzler and Thiele 1999, "Multiobjective evolutionary algorithms")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nascore.records import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Point = tuple[float, ...]


def hypervolume(
    points: Iterable[Sequence[float]], reference: Sequence[float], directions: Sequence[Direction]
) -> float:
    """The volume of what some point is at least as good as, as far as the reference point.

    Args:
        points: one value an objective, in any order; what is not better than the reference in every
            objective, or is NaN, adds nothing.
        reference: one value an objective, such as the worst that counts.
        directions: of the objectives, at least one.

    Returns:
        In the product of the objectives' units; 0 without points, infinite with an infinite value.

    Example:
        >>> down = [Direction.MINIMIZE] * 2
        >>> round(hypervolume([(0.2, 0.8), (0.5, 0.4), (0.9, 0.1)], (1, 1), down), 2)
        0.39
    """
    gains = {_gain(point, reference, directions) for point in points}
    return _volume(_best([gain for gain in gains if min(gain) > 0]))


def _gain(point: Sequence[float], reference: Sequence[float], directions: Sequence[Direction]) -> Point:
    """How much better than the reference in each objective; all zero where a value is NaN."""
    pairs = zip(point, reference, directions, strict=True)
    gain = tuple(a - b if direction is Direction.MAXIMIZE else b - a for a, b, direction in pairs)
    return (0.0,) * len(gain) if any(map(math.isnan, gain)) else gain


def _volume(front: list[Point]) -> float:
    """Of points above the origin, none dominated: slices along the last objective (Fonseca et al. 2006).

    With two objectives it is a sorted sweep. With m it costs n^(m-1) steps at worst: fine for the fronts of a search.
    """
    if not front:
        return 0.0
    if len(front[0]) == 1:
        return max(front)[0]
    ordered = sorted(front, key=lambda point: point[-1], reverse=True)
    total, best = 0.0, 0.0
    seen: list[Point] = []
    for index, point in enumerate(ordered):
        below = ordered[index + 1][-1] if index + 1 < len(ordered) else 0.0
        if len(point) == 2:
            best = max(best, point[0])
        else:
            seen = _best([*seen, point[:-1]])
            best = _volume(seen) if point[-1] > below else best
        if point[-1] > below:  # else infinite less infinite, or nothing to add
            total += best * (point[-1] - below)
    return total


def _best(points: list[Point]) -> list[Point]:
    """Those that no other one is at least as good as; more is better."""
    found: list[Point] = []
    for point in sorted(set(points), reverse=True):  # what dominates a point is sorted before it
        if not any(all(a >= b for a, b in zip(other, point, strict=True)) for other in found):
            found.append(point)
    return found


def worst(points: Iterable[Sequence[float]], directions: Sequence[Direction]) -> Point:
    """The worst finite value of each objective: a reference point where none is given.

    Returns:
        One value an objective; NaN where no value is finite.
    """
    columns = list(zip(*points, strict=True)) or [()] * len(directions)
    found = []
    for column, direction in zip(columns, directions, strict=True):
        finite = [value for value in column if math.isfinite(value)]
        pick = min if direction is Direction.MAXIMIZE else max
        found.append(pick(finite, default=math.nan))
    return tuple(found)
