"""Seeds from one seed; global generators left as they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nascore.seeding import derive_seed, isolated_random


def test_known_seeds_so_that_old_searches_can_be_resumed():
    assert derive_seed(0, "trial", 1) == 3869323437  # by b2sum -l 32 of "0/trial/1"
    assert derive_seed(7) == 973742608


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6) | st.text("abc", min_size=1), max_size=3))
def test_a_seed_is_32_bits_and_depends_on_every_part_of_its_path(seed, path):
    derived = derive_seed(seed, *path)
    assert 0 <= derived < 2**32
    assert derived == derive_seed(seed, *path)
    others = {derive_seed(seed + 1, *path), derive_seed(seed, *path, 0), derive_seed(seed, *path, "z")}
    assert derived not in others  # a chance of 1 in 10**9: the examples are fixed enough not to meet it
    assert len(others) == 3


def test_the_seeds_of_ten_thousand_trials_are_nearly_all_different():
    assert (
        len({derive_seed(0, "trial", n) for n in range(10_000)}) > 9_990
    )  # 2**32 places: 0.01 collisions are expected


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(())), float(torch.randn(()))  # noqa: NPY002 - the global one is what is tested


def test_the_same_seed_draws_the_same_and_another_another():
    drawn = []
    for seed in (3, 3, 4):
        with isolated_random(seed):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


@pytest.mark.parametrize("raises", [False, True])
def test_the_callers_own_stream_does_not_notice(raises):
    with isolated_random(11):
        undisturbed = [draw(), draw()]
    with isolated_random(11):
        first = draw()
        try:
            with isolated_random(99):
                draw()
                if raises:
                    raise KeyError
        except KeyError:
            assert raises
        second = draw()
    assert [first, second] == undisturbed
