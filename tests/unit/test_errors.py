"""The root of the errors, and the sentence part that names the nearest."""

from __future__ import annotations

import inspect

import pytest

from nascore import errors
from nascore.errors import NascoreError, UsageError, nearest


def test_every_error_has_the_one_root_and_wrong_use_is_told_apart():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert all(issubclass(kind, NascoreError) for kind in kinds)
    wrong_use = {kind.__name__ for kind in kinds if issubclass(kind, UsageError)}
    assert wrong_use == {"UsageError", "SettingsError", "PluginError", "CapabilityError"}  # these exit with status 2


@pytest.mark.parametrize(
    ("given", "allowed", "said"),
    [
        ("amobanet", ["random", "amoebanet"], "did you mean 'amoebanet'? Allowed: amoebanet, random"),
        ("zzz", ["random", "amoebanet"], "Allowed: amoebanet, random"),
        ("x", [], "none is available"),
        ("a", ["b", "b", "a1"], "did you mean 'a1'? Allowed: a1, b"),
    ],
)
def test_nearest(given, allowed, said):
    assert nearest(given, allowed) == said
