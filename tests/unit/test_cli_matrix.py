"""Which parts fit: the reasons of the matrix, with plugins made for it."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from nascore import Component, hookimpl
from nascore.cli.matrix import fits
from nascore.plugins import Plugins

HERE = "matrix_parts"


@pytest.fixture
def plugins(monkeypatch):
    def words(**kinds):
        return type("Part", (), {name: frozenset(value) for name, value in kinds.items()})

    module = ModuleType(HERE)
    parts = {
        "space": words(requires={"images"}, provides={"module", "decisions"}),
        "plain": words(requires=(), provides={"decisions"}),
        "sampler": words(requires={"decisions"}, provides=()),
        "picky": words(requires={"gradient"}, provides=()),
        "train": words(requires={"module", "labels"}, provides=()),
        "pictures": words(requires=(), provides={"images", "labels"}),
        "texts": words(requires=(), provides=()),
    }
    for name, part in parts.items():
        setattr(module, name, part)

    def hook(*names):
        return hookimpl(lambda: [Component(name, "", f"{HERE}:{name}") for name in names])

    module.nascore_search_spaces = hook("space", "plain")
    module.nascore_samplers = hook("sampler", "picky", "gone")
    module.nascore_evaluators = hook("train")
    module.nascore_datasets = hook("texts", "pictures")
    monkeypatch.setitem(sys.modules, HERE, module)
    return Plugins([EntryPoint("m", HERE, "nascore")])


def test_reasons(plugins):
    rows = {(row["space"], row["sampler"]): row for row in fits(plugins)}
    assert rows["m:space", "m:sampler"] == {
        "space": "m:space", "sampler": "m:sampler", "evaluator": "m:train", "fits": True, "reason": ""
    }  # fmt: skip
    assert "the sampler 'm:picky' requires 'gradient'" in rows["m:space", "m:picky"]["reason"]
    assert "the evaluator 'm:train' requires 'module'" in rows["m:plain", "m:sampler"]["reason"]
    assert "'labels'" not in rows["m:plain", "m:sampler"]["reason"]  # the nearest data set has them
    assert "cannot be imported" in rows["m:space", "m:gone"]["reason"]
    assert [row["fits"] for row in rows.values()].count(True) == 1
