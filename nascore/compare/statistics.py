"""From curves to a verdict: mean, spread, interval, rank, and paired tests over seeds."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Scores = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Summary:
    """One sampler at one budget.

    Attributes:
        mean, std: over seeds.
        half: half the width of the 95% interval of the mean (Student's t).
        rank: mean over seeds of its rank among the samplers, 1 the best, ties shared.
        seeds: how many.
    """

    mean: float
    std: float
    half: float
    rank: float
    seeds: int


@dataclass(frozen=True)
class Duel:
    """Two samplers, seed by seed: Wilcoxon's signed-rank test, p corrected for the number of duels (Holm)."""

    first: str
    second: str
    difference: float
    p: float


def summaries(scores: Scores, maximise: bool) -> dict[str, Summary]:
    """Each sampler's summary.

    Args:
        scores: sampler -> one score a seed, the same seeds in the same order.
        maximise: is more better?
    """
    from scipy import stats

    table = np.array(list(scores.values()), dtype=float)  # (samplers, seeds)
    ranks = stats.rankdata(-table if maximise else table, axis=0).mean(axis=1)
    found = {}
    for name, row, rank in zip(scores, table, ranks, strict=True):
        count = len(row)
        std = float(row.std(ddof=1)) if count > 1 else math.nan
        half = float(stats.t.ppf(0.975, count - 1)) * std / math.sqrt(count) if count > 1 else math.nan
        found[name] = Summary(float(row.mean()), std, half, float(rank), count)
    return found


def duels(scores: Scores) -> list[Duel]:
    """Every pair of samplers; empty with fewer than six seeds, where no difference could show (p >= 0.06)."""
    from scipy import stats

    raw = []
    for (first, a), (second, b) in itertools.combinations(scores.items(), 2):
        differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
        if len(differences) < 6:
            return []
        p = float(stats.wilcoxon(differences).pvalue) if np.any(differences != 0) else 1.0
        raw.append(Duel(first, second, float(differences.mean()), p))
    return _holm(raw)


def _holm(raw: Sequence[Duel]) -> list[Duel]:
    order = sorted(range(len(raw)), key=lambda index: raw[index].p)
    corrected, least = list(raw), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, raw[index].p * (len(raw) - place)))
        duel = raw[index]
        corrected[index] = Duel(duel.first, duel.second, duel.difference, least)
    return corrected
