"""Settings from strangers: search.toml, ``--set``, and the options of every installed part."""

from __future__ import annotations

import copy
import math

import pytest
import tomli_w
from fuzzing import HOSTILE_TEXTS, JSON, SCALARS, VALUES, corrupted, damaged, fuzz, refused_or
from hypothesis import given
from hypothesis import strategies as st

from nascore.contracts import SearchSpace
from nascore.options import options_of
from nascore.parts import Workshop
from nascore.plugins import Plugins, resolve
from nascore.run import RunFolder
from nascore.settings import SearchSettings, nest, parse_assignment, read_toml, to_toml

WORKSHOP = Workshop()
RESOLVED = WORKSHOP.settings("amoebanet", "", [{"constraints": ["params<=50k"], "objectives": ["accuracy", "params"]}])
PLAIN = {key: value for key, value in RESOLVED.model_dump().items() if value is not None}
TABLES = {"space": "search_spaces", "sampler": "samplers", "evaluator": "evaluators", "data": "datasets",
          "executor": "executors", "pruner": "pruners", "cost": "cost_models"}  # fmt: skip
PARTS = sorted((table, address) for table, kind in TABLES.items() for address in WORKSHOP.plugins.parts(kind))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def toml(settings):
    """As TOML; None where TOML cannot hold it."""
    try:
        return tomli_w.dumps(settings).encode()
    except (TypeError, ValueError, AttributeError, RecursionError):
        return None


def same(first, second):
    """Equal, where NaN is NaN: what search.toml says is what was resolved."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


def comes_back(settings, folder):
    (folder / "search.toml").write_bytes(to_toml(settings).encode())
    assert same(RunFolder(folder).settings().model_dump(), settings.model_dump())


@fuzz(0.04, 60)
@given(data=st.data())
def test_a_damaged_settings_file_is_refused_or_comes_back(folder, data):
    content = toml(data.draw(damaged(PLAIN))) or data.draw(corrupted(toml(PLAIN)))
    content = data.draw(corrupted(content)) if data.draw(st.booleans()) else content
    (folder / "search.toml").write_bytes(content)
    settings = refused_or("settings: search.toml", RunFolder(folder).settings)
    if settings is not None:
        comes_back(settings, folder)


@fuzz(0.03, 40)
@given(data=st.data())
def test_a_stranger_s_config_is_refused_or_resolved(folder, data):
    """As `nascore search --config FILE --set KEY=VALUE` reads it, without making parts."""
    config = data.draw(
        damaged(
            {"plugin": "random", "trials": 3, "sampler": {"use": "random"}},
            VALUES | st.builds(copy.deepcopy, st.just(PLAIN)),
        )
    )
    file = folder / "config.toml"
    file.write_bytes(toml(config) or b"")
    assignments = data.draw(st.lists(assignment(), max_size=2))

    def resolve_it():
        return WORKSHOP.settings("", "", [read_toml(file), nest(dict(map(parse_assignment, assignments)))])

    settings = refused_or("settings: --config and --set", resolve_it)
    if settings is not None and refused_or("settings: written", to_toml, settings) is not None:
        comes_back(settings, folder)


@st.composite
def assignment(draw):
    keys = st.sampled_from(
        [*SearchSettings.model_fields, "sampler.use", "space.blocks", "cost.params.x", "evaluator.epochs"]
    )
    key = draw(keys | st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=8))
    value = draw(SCALARS | JSON)
    text = (toml({"value": value}) or b"value = 1").decode()[len("value = ") :] if draw(st.booleans()) else str(value)
    return draw(st.sampled_from([f"{key}={text}", f"{key} = {text}", text, key]))


@pytest.mark.parametrize(("table", "address"), PARTS, ids=[f"{table}-{address}" for table, address in PARTS])
@fuzz(0.1 / len(PARTS), 4)
@given(data=st.data())
def test_hostile_options_are_refused_or_make_the_part(table, address, data):
    record = Plugins().parts(TABLES[table])[address]
    options = options_of(resolve(record.factory))
    given_ = {"use": address}
    for option in data.draw(st.lists(st.sampled_from(options), max_size=3)) if options else []:
        given_[option.name] = data.draw(damaged([option.default], OPTION_VALUES))
        if data.draw(st.booleans()) and isinstance(given_[option.name], list) and given_[option.name]:
            given_[option.name] = given_[option.name][0]
    part = refused_or(f"settings: options of a {table}", WORKSHOP.part, table, given_)
    assert part is None or table != "space" or isinstance(part, SearchSpace)


OPTION_VALUES = VALUES | st.integers(-3, 40) | st.sampled_from([10**6, 10**9, 10**12, 10**18])
