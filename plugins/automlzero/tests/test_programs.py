"""What a program is, what of it computes, and how it mutates."""

import copy
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.contracts import Task
from nascore.errors import DataError, SettingsError, SpaceError
from nascore.records import Architecture
from nascore_automlzero.mutation import alter, random_instruction, redraw, resize
from nascore_automlzero.ops import OPS
from nascore_automlzero.program import PARTS, Limits, check_program, live
from nascore_automlzero.running import Program
from nascore_automlzero.space import ProgramSpace

LIMITS = Limits(6, 4, 6, 4, 3, 2, tuple(OPS))
REGRESSOR = {
    "setup": [["s_constant", 2, 0.1]],
    "predict": [["s_dot", 1, 0, 1]],
    "learn": [["s_subtract", 3, 0, 1], ["s_multiply", 3, 3, 2], ["v_scale", 2, 3, 0], ["v_add", 1, 1, 2]],
}


def space():
    made = ProgramSpace(6, 4, 6, scalars=4, vectors=3, matrices=2)
    made.name = "automlzero:programs"
    made.setup(Task("t", (4,), 1))
    return made


def key(genome):
    return space().architecture(genome).key


def drawn(seed, size=4):
    rng = random.Random(seed)
    return {part: [random_instruction(LIMITS, rng) for _ in range(size)] for part in PARTS}


def test_there_are_65_ops_and_no_name_twice():
    assert len(OPS) == 65
    assert Counter(op.output for op in OPS.values()) == {"s": 27, "v": 19, "m": 18, "": 1}


def test_p3_renamed_addresses_and_dead_code_share_a_key():
    other = {
        "setup": [["no_op"], ["s_constant", 3, 0.1], ["m_constant", 1, 0.0, 0.0, 5.0]],
        "predict": [["s_sin", 2, 0], ["s_dot", 1, 0, 2]],
        "learn": [
            ["s_subtract", 2, 0, 1],
            ["s_multiply", 2, 2, 3],
            ["v_scale", 1, 2, 0],
            ["v_add", 2, 2, 1],
            ["no_op"],
        ],
    }
    assert key(other) == key(REGRESSOR)
    assert live(REGRESSOR) == REGRESSOR


def test_p3_different_programs_have_different_keys():
    rate = copy.deepcopy(REGRESSOR)
    rate["setup"][0][2] = 0.2
    swapped = copy.deepcopy(REGRESSOR)
    swapped["learn"][0][2:] = [1, 0]
    moved = copy.deepcopy(REGRESSOR)
    moved["setup"], moved["learn"] = [], [*moved["learn"], *moved["setup"]]
    assert len({key(genome) for genome in (REGRESSOR, rate, swapped, moved)}) == 4


def test_addresses_that_nothing_writes_are_all_zero():
    first = {"setup": [], "predict": [["s_add", 1, 2, 0]], "learn": []}
    second = {"setup": [], "predict": [["s_add", 1, 3, 0]], "learn": []}
    assert key(first) == key(second)
    first["predict"], second["predict"] = [["s_add", 1, 2, 3]], [["s_add", 1, 3, 3]]
    assert key(first) == key(second)
    first["learn"] = [["s_constant", 2, 0.5]]
    assert key(first) != key(second)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_dropped_changes_no_prediction(seed):
    """Also what lives through memory from one example to the next; programs without random ops."""
    calm = tuple(name for name in OPS if "uniform" not in name and "normal" not in name)
    rng = random.Random(seed)
    limits = LIMITS._replace(ops=calm)
    genome = {part: [random_instruction(limits, rng) for _ in range(4)] for part in PARTS}
    x = np.random.default_rng(seed).standard_normal((6, 3))
    predictions = []
    for prune in (True, False):
        program = Program(genome, LIMITS, 3, prune=prune)
        program.fit(x[:4], x[:4, 0])
        predictions.append(program(x))
    np.testing.assert_array_equal(*predictions)


def test_what_keeps_a_part_of_its_output_leaves_the_old_value_alive():
    genome = {"setup": [["v_fill", 1, 2], ["v_constant", 1, 0.5, 2.0]], "predict": [["s_mean_v", 1, 1]], "learn": []}
    assert live(genome)["setup"] == genome["setup"]


def test_p4_each_mutation_changes_what_it_should():
    rng = random.Random(0)
    genome = drawn(0)
    sizes = Counter()
    for _ in range(10_000):
        before = copy.deepcopy(genome)
        mutation = rng.choice([resize, redraw, alter])
        mutation(genome, LIMITS, rng)
        check_program(genome, LIMITS)  # sizes, types and write protection
        changed = [part for part in PARTS if genome[part] != before[part]]
        assert len(changed) <= 1
        if mutation is resize:
            (part,) = changed
            longer, shorter = sorted((genome[part], before[part]), key=len, reverse=True)
            assert any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))
            sizes[len(genome[part]) - len(before[part])] += 1
        for part in changed:
            if mutation is not resize:
                assert len(genome[part]) == len(before[part])
            if mutation is alter:
                pairs = zip(genome[part], before[part], strict=True)
                differences = [(a, b) for one, other in pairs for a, b in zip(one, other, strict=True) if a != b]
                assert len(differences) == 1
                assert not isinstance(differences[0][0], str)  # the op stays
    assert sizes[1] > 1000
    assert sizes[-1] > 1000


def test_examples_that_do_not_fit_are_refused():
    program = Program(REGRESSOR, LIMITS, 4)
    with pytest.raises(DataError, match=r"\(3,\); this program takes \(4,\)"):
        program(np.zeros((2, 3)))
    with pytest.raises(DataError, match="2 examples and 1 labels"):
        program.fit(np.zeros((2, 4)), np.zeros(1))


def test_constants_stay_finite():
    genome = {"setup": [["s_constant", 1, 1e6]], "predict": [], "learn": []}
    rng = random.Random(0)
    for _ in range(500):
        alter(genome, LIMITS._replace(s=2), rng)
        check_program(genome, LIMITS)


@pytest.mark.parametrize(
    ("instruction", "named"),
    [
        ("s_add", "list"),
        ([], "list"),
        ([7, 1], "list"),
        (["s_ad", 1, 2, 3], "did you mean 's_add'"),
        (["s_add", 1, 2], "3 entries; 4"),
        (["s_add", 0, 2, 3], "write to s0"),
        (["v_abs", 0, 1], "write to v0"),
        (["s_add", 1, 2, 4], "read s4"),
        (["s_add", 1, -1, 2], "read s-1"),
        (["s_add", True, 2, 3], "write to sTrue"),
        (["s_constant", 1, float("nan")], "constant nan"),
        (["s_constant", 1, 10**400], "constant 1000"),
        (["s_constant", 1, "1"], "constant '1'"),
        (["v_constant", 1, 1.0, 2.0], "index 1.0"),
    ],
)
def test_a_strangers_program_is_refused_by_name(instruction, named):
    with pytest.raises(SpaceError, match=named):
        space().check(Architecture("automlzero:programs", {"setup": [], "predict": [instruction], "learn": []}, ""))


def test_too_long_a_program_is_refused():
    with pytest.raises(SpaceError, match="'predict' has 5 instructions; at most 4"):
        check_program({"setup": [], "predict": [["no_op"]] * 5, "learn": []}, LIMITS)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"setup": 0, "predict": 0, "learn": 0}, "all 0"),
        ({"scalars": 1}, "scalars"),
        ({"ops": "s_add,v_ad"}, "v_ad"),
        ({"ops": "m_add", "matrices": 0}, "nothing to do"),
        ({"start": "empty"}, "start"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        ProgramSpace(**options)
