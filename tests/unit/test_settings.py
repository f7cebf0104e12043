"""Settings: constraints, assignments, layers, and the TOML that a run folder keeps."""

from __future__ import annotations

import json
import math
import sys
from pathlib import PurePosixPath

import pytest
import tomli_w
from hypothesis import assume, given
from hypothesis import strategies as st

from nascore.errors import SettingsError
from nascore.records import Constraint
from nascore.settings import merge, nest, parse_assignment, parse_constraint, read_toml, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
scalars = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(names, x, max_size=3), max_leaves=6)


# ------------------------------------------------------------------------------------ constraints


@given(
    names,
    st.sampled_from(["<=", ">="]),
    st.integers(-9999, 9999) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
    st.sampled_from([("", 1), ("k", 1000), ("M", 10**6), ("G", 10**9)]),
    st.sampled_from(["", " "]),
)
def test_a_constraint_is_read(name, relation, number, suffix, space):
    letter, factor = suffix
    text = f"{space}{name}{space}{relation}{space}{number}{space}{letter}{space}"
    assert parse_constraint(text) == Constraint(name, float(number) * factor, upper=relation == "<=")


@pytest.mark.parametrize(
    "text",
    ["", "params", "params<50k", "params==5", "<=5", "params<=", "params<=k", "params<=5kk", "params<=1.2.3",
     "params<=.", "params<=nan", "params<=inf", "params<=1e400", "5<=params", "params<=5 apples", "a b<=5",
     "params<=5\nlatency_ms<=2", "params<=5T", "params=<5", "params<=-", "params<=1_000"],
)  # fmt: skip
def test_what_is_no_constraint_is_refused_and_an_example_is_given(text):
    with pytest.raises(ValueError, match="is no constraint; write NAME<=NUMBER") as caught:
        parse_constraint(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_constraint_or_refused(text):
    try:
        assert math.isfinite(parse_constraint(text).limit)
    except ValueError as error:
        assert "is no constraint" in str(error)  # noqa: PT017 - both ends are allowed


# ------------------------------------------------------------------------------------ assignments


@given(st.lists(names, min_size=1, max_size=3), values)
def test_an_assignment_gives_back_any_toml_value(path, value):
    literal = inline(value)
    assert parse_assignment(f"{'.'.join(path)}={literal}") == (".".join(path), value)


def inline(value):
    """The value as one line of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=optuna:tpe", "optuna:tpe"), ("a=", ""), ("a = 5", 5), ("a=5 # five", 5), ("a=./my photos", "./my photos"),
     ("a=1,2", "1,2"), ("a=b=c", "b=c"), ("a=1e-3", 1e-3), ("a=true", True), ("a=True", "True"), ("a='5'", "5"),
     ("a=[1, 2]", [1, 2]), ("a=1\nb=2", "1\nb=2"), ("a=" + "[" * 5000, "[" * 5000)],
)  # fmt: skip
def test_what_is_no_toml_value_is_text(text, value):
    key, found = parse_assignment(text)
    assert (key, found, type(found)) == ("a", value, type(value))


@pytest.mark.parametrize("text", ["a", "", "=5", "a.=5", ".a=5", "a..b=5", "a b=5", "--a", "a:b=5"])
def test_an_assignment_without_a_key_is_refused(text):
    with pytest.raises(SettingsError, match=r"write KEY=VALUE, such as sampler\.population_size=100"):
        parse_assignment(text)


# ------------------------------------------------------------------------------------ nesting


@given(st.dictionaries(names, st.dictionaries(names, scalars, min_size=1), max_size=4))
def test_nesting_undoes_dotting(tables):
    flat = {f"{table}.{key}": value for table, inner in tables.items() for key, value in inner.items()}
    assert nest(flat) == tables


def test_a_named_part_and_its_options_stand_in_any_order():
    expected = {"sampler": {"use": "x:y", "size": 3}}
    assert nest({"sampler": "x:y", "sampler.size": 3}) == nest({"sampler.size": 3, "sampler": "x:y"}) == expected


@pytest.mark.parametrize(
    "flat", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}, {"a.b": 1, "a.b.c": 2}, {"seed": 1, "seed.x": 2}]
)
def test_a_value_is_no_table(flat):
    with pytest.raises(SettingsError, match="table"):
        nest(flat)


def test_nesting_changes_nothing_that_was_given():
    preset = {"space": {"inner": {"x": 1}}, "space.inner.y": 2}
    assert nest(preset) == {"space": {"inner": {"x": 1, "y": 2}}}
    assert preset == {"space": {"inner": {"x": 1}}, "space.inner.y": 2}


# ------------------------------------------------------------------------------------ layers


def test_later_layers_win_key_by_key():
    settings = merge([
        {"trials": 5, "seed": 1, "space": {"use": "a", "size": 1, "depth": 2}},
        {"seed": 2, "space": {"size": 9}},
        {"costs": ["x"]},
    ])  # fmt: skip
    assert (settings.trials, settings.seed, settings.costs) == (5, 2, ["x"])
    assert settings.space == {"use": "a", "size": 9, "depth": 2}


def test_options_of_a_part_go_with_the_part():
    below = {"trials": 1, "sampler": {"use": "a", "size": 1}}
    assert merge([below, {"sampler": {"use": "b"}}]).sampler == {"use": "b"}
    assert merge([below, {"sampler": {"use": "b", "depth": 2}}]).sampler == {"use": "b", "depth": 2}
    assert merge([below, {"sampler": {"use": "a", "depth": 2}}]).sampler == {"use": "a", "size": 1, "depth": 2}
    assert merge([below, {"sampler": "b"}]).sampler == {"use": "b"}
    assert merge([below, {"sampler": "a"}]).sampler == {"use": "a", "size": 1}


def test_tables_that_choose_no_part_are_merged():
    below = {"trials": 1, "cost": {"latency_ms": {"repeats": 3}}}
    assert merge([below, {"cost": {"energy_mj": {"n": 1}}}]).cost == {
        "latency_ms": {"repeats": 3},
        "energy_mj": {"n": 1},
    }


def test_none_gives_an_option_its_default_back_at_once_and_after_a_trip_through_toml():
    settings = merge([{"trials": 1, "sampler": {"use": "a", "size": 5}}, {"sampler": {"size": None}}])
    assert settings.sampler == {"use": "a"}
    assert merge([tomllib.loads(to_toml(settings))]) == settings


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"trails": 5}, r"no setting 'trails'; did you mean 'trials'\?"),
        ({"trials": 0}, r"trials = 0: input should be greater than or equal to 1"),
        ({"trials": -3}, r"trials = -3"),
        ({"trials": "many"}, r"trials = 'many'"),
        ({"trials": 2.5}, r"trials = 2.5"),
        ({"time": 0}, r"time = 0: input should be greater than 0"),
        ({"time": math.nan}, r"time = nan"),
        ({"trials": 1, "seed": -1}, r"seed = -1"),
        ({"trials": 1, "threads": 0}, r"threads = 0"),
        ({"trials": 1, "keep": "some"}, r"keep: 'some' is not allowed; write 'best' or 'all'"),
        ({"trials": 1, "constraints": ["params<5"]}, r"constraints: 'params<5' is no constraint"),
        ({"trials": 1, "constraints": "params<=5"}, r"constraints = 'params<=5': input should be a valid list"),
        ({"trials": 1, "objectives": ["a", "b", "a"]}, r"objectives: the objective 'a' is given twice"),
        ({"trials": 1, "space": 5}, r"space = 5: input should be a valid dictionary"),
        ({"trials": 1, "cost": {"params": 5}}, r"cost\.params = 5"),
        ({}, r"^a search needs a budget: give --trials N or --time SECONDS"),
    ],
)  # fmt: skip
def test_a_bad_setting_names_its_key_and_what_is_allowed(layer, said):
    with pytest.raises(SettingsError, match=said):
        merge([layer])


def test_every_problem_is_told_at_once():
    with pytest.raises(SettingsError, match=r"trials = 0.*; seed = -1"):
        merge([{"trials": 0, "seed": -1}])


@given(
    st.dictionaries(
        st.sampled_from(["trials", "seed", "space", "costs", "cost", "keep", "pruner", "objectives"]), values
    )
)
def test_any_content_is_settings_or_refused(content):
    try:
        merge([{"time": 5.0, "space": {"use": "a"}}, content])
    except SettingsError as error:
        assert str(error)  # noqa: PT017 - both ends are allowed


# ------------------------------------------------------------------------------------ TOML


@given(
    st.dictionaries(names, values, max_size=4),
    st.lists(st.integers(0, 9**9).map(lambda n: f"params<={n}"), max_size=2),
    st.none() | st.integers(1, 10**9),
    st.floats(0.001, allow_nan=False, exclude_max=False),
)
def test_settings_come_back_from_their_toml(options, constraints, trials, time):
    assume("use" not in options)
    tables = {"space": {"use": "a:b", **options}, "cost": {"x": options}}
    settings = merge([tables, {"constraints": constraints, "trials": trials, "time": time}])
    assert merge([tomllib.loads(to_toml(settings))]) == settings


def test_toml_holds_tuples_paths_and_infinities():
    settings = merge(
        [{"trials": 1, "data": {"use": "a", "root": PurePosixPath("x/y"), "shape": (1, 2), "limit": math.inf}}]
    )
    assert tomllib.loads(to_toml(settings))["data"] == {"use": "a", "root": "x/y", "shape": [1, 2], "limit": math.inf}


def test_an_object_cannot_be_kept_in_toml():
    with pytest.raises(SettingsError, match=r"data\.source = <object"):
        to_toml(merge([{"trials": 1, "data": {"source": object()}}]))


def test_reading_a_file(tmp_path):
    path = tmp_path / "search.toml"
    path.write_text(tomli_w.dumps({"trials": 5, "data": {"use": "é"}}), encoding="utf-8")
    assert read_toml(path) == {"trials": 5, "data": {"use": "é"}}


@pytest.mark.parametrize("content", [b"trials = ", b"\xff\xfe", b"a = 1\na = 2", b"a = " + b"[" * 5000, b"\0"])
def test_a_file_that_is_no_toml(tmp_path, content):
    path = tmp_path / "search.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"search\.toml is no TOML"):
        read_toml(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match=r"Cannot read .*nowhere: No such file"):
        read_toml(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="Cannot read"):
        read_toml(tmp_path)
