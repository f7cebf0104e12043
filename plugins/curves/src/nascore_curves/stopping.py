"""When to stop: the probability that a run will not beat the best (Baker et al. 2018, section 4)."""

from __future__ import annotations

import math

from nascore.records import Direction


def cannot_win(best: float, mean: float, std: float, direction: Direction = Direction.MAXIMIZE) -> float:
    """Phi((best - mean) / std): how likely the end lies below the best, where more is better.

    Args:
        best: the best final value so far.
        mean, std: of the predicted end; std >= 0.
        direction: in which a value gets better.

    Example:
        >>> round(cannot_win(0.8, 0.7, 0.05), 3)
        0.977
    """
    gap = best - mean if direction is Direction.MAXIMIZE else mean - best
    if std <= 0:
        return 1.0 if gap > 0 else 0.0 if gap < 0 else 0.5
    return 0.5 * math.erfc(-gap / (std * math.sqrt(2)))
