"""Hypervolume: METHODS 22, by hand, by counting grid cells, and what must not change it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.history import TrialHistory
from nascore.pareto import hypervolume, worst
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
POINTS = [(0.2, 0.8), (0.5, 0.4), (0.9, 0.1)]


def test_the_textbook_front():
    known = hypervolume(POINTS, (1, 1), [DOWN, DOWN])
    assert known == pytest.approx(0.39)
    assert hypervolume([*POINTS, (0.5, 0.8), (0.5, 0.4), (1.0, 0.0), (math.nan, 0.0)], (1, 1), [DOWN, DOWN]) == known
    assert hypervolume([*POINTS, (0.3, 0.5)], (1, 1), [DOWN, DOWN]) == pytest.approx(0.39 + 0.2 * 0.3)
    assert hypervolume([(a, 1 - b) for a, b in POINTS], (1, 0), [DOWN, UP]) == pytest.approx(0.39)
    assert hypervolume([], (1, 1), [DOWN, DOWN]) == 0.0
    assert hypervolume([(2.0,), (5.0,), (1.0,)], (1.0,), [UP]) == 4.0
    assert hypervolume([(math.inf, 2.0), (1.0, 3.0)], (0.0, 0.0), [UP, UP]) == math.inf


@given(st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[st.integers(-1, 4)] * m), min_size=1, max_size=7)))
def test_it_is_the_number_of_grid_cells_below_some_point(points):
    """With whole numbers the volume can be counted."""
    m = len(points[0])
    cells = itertools.product(range(4), repeat=m)
    counted = sum(any(all(c < p for c, p in zip(cell, point, strict=True)) for point in points) for cell in cells)
    assert hypervolume(points, (0,) * m, [UP] * m) == counted
    assert hypervolume([tuple(-v for v in p) for p in points], (0,) * m, [DOWN] * m) == counted


def test_the_worst_values():
    assert worst([(1.0, 5.0), (math.nan, 7.0), (0.5, math.inf)], [UP, DOWN]) == (0.5, 7.0)
    assert math.isnan(worst([], [UP])[0])


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=12))
def test_the_front_does_not_mind_a_monotone_rescaling(points):
    """METHODS 22, P4; a cube grows strictly, and exactly so on a grid of eighths."""
    points = [(round(8 * a) / 8, round(8 * b) / 8) for a, b in points]
    assert front(points) == front([(a**3, 5 * b - 2) for a, b in points])


def front(points):
    history = TrialHistory([Objective("a", UP), Objective("b", DOWN)])
    for number, (a, b) in enumerate(points):
        history.add(Trial(number, Candidate(Architecture("s", {}, "k")), Status.COMPLETE, {"a": a, "b": b}))
    return [trial.number for trial in history.pareto_front]
