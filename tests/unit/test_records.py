"""The frozen values: digests, costs, constraints, directions."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.records import Architecture, Candidate, Constraint, Cost, Direction, Measurement, Status, Trial, digest
from nascore.settings import parse_constraint

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
plain = st.recursive(
    scalars, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(), x, max_size=4), max_leaves=9
)


def shuffled(value):
    """The same JSON with every object's keys in the other order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(plain)
def test_a_digest_is_stable_over_key_order_and_a_trip_through_json(value):
    assert digest(shuffled(value)) == digest(value) == digest(json.loads(json.dumps(value)))
    assert len(digest(value)) == 32
    assert int(digest(value), 16) >= 0


@given(plain, plain)
def test_digests_differ_where_the_json_text_differs(first, second):
    text = [json.dumps(value, sort_keys=True) for value in (first, second)]
    assert (digest(first) == digest(second)) == (text[0] == text[1])


def test_a_known_digest_so_that_keys_of_old_runs_stay_valid():
    assert digest({"b": [1, True, None], "a": "é"}) == "eaf04598b890e5f8c927ce701b88d9bd"  # by b2sum -l 128


@pytest.mark.parametrize("bad", [math.nan, [math.inf], {"a": -math.inf}])
def test_a_digest_refuses_what_json_has_not(bad):
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(bad)


def test_a_digest_refuses_objects():
    with pytest.raises(TypeError):
        digest({"a": {1, 2}})


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, st.sampled_from(["ms", ""]), st.floats(0, 1e9), st.integers(1, 1000))
def test_a_cost_comes_back_from_json(value, unit, std, repeats):
    cost = Cost(value, unit, std, repeats)
    assert Cost.from_json(json.loads(json.dumps(cost.to_json()))) == cost


def test_an_exact_count_is_value_and_unit_alone():
    assert Cost(7, "").to_json() == {"value": 7, "unit": ""}


@given(st.floats(allow_nan=False), numbers)
def test_a_constraint_holds_exactly_when_its_violation_is_not_positive(value, limit):
    assert (Constraint("params", limit).violation(value) <= 0) == (value <= limit)
    assert (Constraint("params", limit, upper=False).violation(value) <= 0) == (value >= limit)


def test_nan_breaks_every_constraint():
    assert (
        Constraint("a", 1e300).violation(math.nan)
        == Constraint("a", -1e300, upper=False).violation(math.nan)
        == math.inf
    )


@given(numbers, st.booleans())
def test_a_constraint_is_written_as_it_is_read(limit, upper):
    constraint = Constraint("latency_ms", limit, upper)
    assert parse_constraint(str(constraint)) == constraint


def test_a_constraint_reads_short():
    assert str(Constraint("params", 50_000.0)) == "params<=50000"
    assert str(Constraint("params", 1_234_567.0)) == "params<=1234567.0"  # '1.23457e+06' would be another limit


@given(numbers, numbers)
def test_better_is_strict_and_the_directions_are_mirrored(a, b):
    assert Direction.MAXIMIZE.better(a, b) == (a > b)
    assert Direction.MINIMIZE.better(a, b) == Direction.MAXIMIZE.better(b, a)
    assert not Direction.MAXIMIZE.better(a, a)


def test_nan_is_better_than_nothing_and_nothing_is_better_than_nan():
    for direction in Direction:
        assert not direction.better(math.nan, 0.0)
        assert not direction.better(0.0, math.nan)


def test_the_value_of_a_trial_is_an_objective_then_a_cost_then_nan():
    candidate = Candidate(Architecture("s", {}, "k"))
    trial = Trial(
        3, candidate, Status.COMPLETE, {"accuracy": 0.5, "both": 1.0}, {"params": Cost(9, ""), "both": Cost(2, "")}
    )
    assert (trial.value("accuracy"), trial.value("params"), trial.value("both")) == (0.5, 9, 1.0)
    assert math.isnan(trial.value("latency_ms"))
    assert trial.architecture is candidate.architecture


def test_the_summary_of_a_trial_is_what_json_prints():
    trial = Trial(
        3, Candidate(Architecture("s", {"a": 1}, "k")), Status.PRUNED, {"accuracy": 0.5}, {"ms": Cost(2, "ms", 0.1, 5)}
    )
    assert json.loads(json.dumps(trial.summary())) == {
        "trial": 3,
        "status": "pruned",
        "objectives": {"accuracy": 0.5},
        "costs": {"ms": {"value": 2, "unit": "ms", "std": 0.1, "repeats": 5}},
        "architecture": {"space": "s", "genome": {"a": 1}, "key": "k"},
    }


def test_measurements_made_short():
    assert Measurement.complete(accuracy=0.5) == Measurement(Status.COMPLETE, {"accuracy": 0.5})
    assert Measurement.fail("why") == Measurement(Status.FAIL, reason="why")
