"""Numbers, durations and tables as people read them."""

from __future__ import annotations

import pytest

from nascore.display import columns, counted, duration, headline, number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98331, "0.9833"), (12, "12"), (999, "999"), (12345, "12.35k"), (3349342, "3.349M"), (-2e9, "-2G"),
     (float("nan"), "nan"), (float("-inf"), "-inf"), (0, "0")],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "0:10"), (59.6, "1:00"), (3599.7, "1:00:00"), (7384, "2:03:04"),
     (200000, "2 d 7:33:20"), (float("inf"), "?")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_columns_are_aligned_and_leave_no_blanks_at_the_end():
    assert columns([["a", "bb", ""], ["ccc", "d", "e"]], indent=1) == " a    bb\n ccc  d   e"
    assert columns([]) == ""


def test_counts_leave_out_what_there_is_none_of():
    assert counted({"complete": 2, "fail": 0, "pruned": 1}) == "2 complete, 1 pruned"
    assert counted({"complete": 0}) == "none"


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("Traceback (most recent call last):\n  File x\n    y\nCudaError: lost\n  at once\nhint\n", "CudaError: lost"),
        ("Traceback (most recent call last):\n  x\nKeyError: 1\n\nDuring ...\n\nTraceback (most recent call last):\n"
         "  y\nValueError: 2\n", "ValueError: 2"),
        ("accuracy is nan.\nsince step 3", "accuracy is nan."),
        ("Traceback (most recent call last):\n  cut", "Traceback (most recent call last):"),
        ("\n\n", ""),
    ],
)  # fmt: skip
def test_a_headline_is_the_error_itself(reason, line):
    assert headline(reason) == line
