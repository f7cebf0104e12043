"""The history: best and Pareto front against brute force."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.history import TrialHistory, dominates, eligible
from nascore.records import Architecture, Candidate, Cost, Direction, Objective, Status, Trial

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
few = st.sampled_from([0.0, 1.0, 2.0, 3.0, -math.inf, math.nan])


@st.composite
def trials(draw, count):
    out = []
    for number in draw(st.permutations(range(draw(st.integers(0, 8))))):
        candidate = Candidate(Architecture("s", {}, "k"), draw(st.sampled_from([{}, {}, {}, {"steps": 1}])))
        status = draw(st.sampled_from([Status.COMPLETE] * 4 + list(Status)))
        violations = draw(
            st.sampled_from([{}, {"a": -1.0}, {"a": 0.0}, {"a": 0.1}, {"a": -1.0, "b": math.inf}, {"a": math.nan}])
        )
        values = {f"o{i}": draw(few) for i in range(count)}
        cost = {"o1": Cost(values.pop("o1"), "")} if "o1" in values and draw(st.booleans()) else {}
        out.append(Trial(number, candidate, status, values, cost, violations=violations))
    return out


def answers(told, objectives):
    """The trials that may be answers, spelt out once more."""
    return [
        t
        for t in told
        if t.status == "complete" and t.candidate.fidelity == {} and not any(not v <= 0 for v in t.violations.values())
        and not any(math.isnan(t.value(o.name)) for o in objectives)
    ]  # fmt: skip


def gains(trial, objectives):
    return [trial.value(o.name) if o.direction is UP else -trial.value(o.name) for o in objectives]


@given(st.data(), st.lists(st.sampled_from([UP, DOWN]), min_size=1, max_size=3))
def test_best_and_front_equal_brute_force_after_every_trial(data, directions):
    objectives = [Objective(f"o{i}", direction) for i, direction in enumerate(directions)]
    told = data.draw(trials(len(objectives)))
    history = TrialHistory(objectives)
    for count, trial in enumerate(told, 1):
        history.add(trial)
        candidates = answers(told[:count], objectives)
        first = max(candidates, key=lambda t: gains(t, objectives)[0], default=None)  # max gives the first of equals
        best = history.best
        front = [
            t
            for t in candidates
            if not any(
                all(a >= b for a, b in zip(gains(u, objectives), gains(t, objectives), strict=True))
                and gains(u, objectives) != gains(t, objectives)
                for u in candidates
            )
        ]
        if len(objectives) == 1:
            front = [first] if first else []
        # Of those that are equal in the first objective it is one that no other beats in the rest.
        assert best in front if first else best is None
        assert best is None or gains(best, objectives)[0] == gains(first, objectives)[0]
        assert list(history.pareto_front) == sorted(front, key=lambda t: t.number)


vectors = st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=2, max_size=2)


@given(vectors, vectors, vectors)
def test_dominance_is_a_strict_order_and_a_direction_is_a_sign(a, b, c):
    for directions in ([UP, UP], [UP, DOWN], [DOWN, DOWN]):
        assert not dominates(a, a, directions)
        assert not (dominates(a, b, directions) and dominates(b, a, directions))
        if dominates(a, b, directions) and dominates(b, c, directions):
            assert dominates(a, c, directions)
        flipped = [[x if d is UP else -x for x, d in zip(v, directions, strict=True)] for v in (a, b)]
        assert dominates(a, b, directions) == dominates(*flipped, [UP, UP])


@pytest.mark.parametrize("change", [
    {"status": Status.PRUNED}, {"status": Status.FAIL}, {"status": Status.INFEASIBLE}, {"violations": {"params": 1e-9}},
    {"candidate": Candidate(Architecture("s", {}, "k"), {"epochs": 3})},
])  # fmt: skip
def test_what_is_no_answer(change):
    good = {"number": 0, "candidate": Candidate(Architecture("s", {}, "k")), "status": Status.COMPLETE}
    assert eligible(Trial(**good))
    assert not eligible(Trial(**(good | change)))


def test_reading_it():
    history = TrialHistory([Objective("a", UP)])
    told = [
        Trial(n, Candidate(Architecture("s", {}, "k")), status)
        for n, status in [(2, Status.FAIL), (0, Status.COMPLETE)]
    ]
    for trial in told:
        history.add(trial)
    assert (list(history), len(history)) == (told, 2)
    assert history[2] is told[0]
    assert 0 in history
    assert 1 not in history
    assert history.counts() == {"complete": 1, "pruned": 0, "infeasible": 0, "fail": 1}
    with pytest.raises(KeyError):
        history[1]
    assert history.best is None  # complete, but without the objective
    assert history.pareto_front == ()
