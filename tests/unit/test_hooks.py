"""The hook specifications, and the records."""

from __future__ import annotations

import dataclasses
import inspect

import pluggy
import pytest

from nascore.hooks import Component, LifecycleHooks, Method, PartHooks, hookimpl
from nascore.plugins import KINDS

SPECS = [
    (specs, name, function)
    for specs in (PartHooks, LifecycleHooks)
    for name, function in vars(specs).items()
    if inspect.isfunction(function)
]


@pytest.mark.parametrize(("specs", "name", "function"), SPECS, ids=[name for _, name, _ in SPECS])
def test_a_hook_is_specified_by_its_docstring(specs, name, function):
    assert name.startswith("nascore_")
    assert hasattr(function, "nascore_spec"), "without the marker pluggy does not know it"
    text = inspect.getdoc(function) or ""
    arguments = [argument for argument in inspect.signature(function).parameters if argument != "self"]
    for argument in arguments:
        assert f"\n    {argument}: " in text, f"{name} does not say what {argument!r} is"
    assert ("Args:" in text) == bool(arguments)
    if specs is PartHooks:
        assert "Returns:" in text


def test_there_is_a_hook_for_every_kind_of_part():
    assert [name.removeprefix("nascore_") for specs, name, _ in SPECS if specs is PartHooks] == list(KINDS)


def test_a_hook_may_take_only_the_arguments_that_it_wants():
    class Listener:
        @hookimpl
        def nascore_trial_finished(self, trial):
            return trial

    manager = pluggy.PluginManager("nascore")
    manager.add_hookspecs(LifecycleHooks)
    manager.register(Listener())
    manager.check_pending()
    assert manager.hook.nascore_trial_finished(search=None, trial=3) == [3]


@pytest.mark.parametrize("record", [Component("a", "b", "c:d"), Method("a", "b", "s", "m", "e", "d")])
def test_records_are_frozen(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "other"
