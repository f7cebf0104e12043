"""Every error that nascore raises on purpose, under one root.

A message says what was given, what is allowed, and what to type.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NascoreError(Exception):
    """The root: catch this to catch everything that nascore raises on purpose."""


class UsageError(NascoreError):
    """Wrong use: an unknown name, a bad setting, parts that do not fit. Exit status 2."""


class SettingsError(UsageError):
    """A setting that does not exist or has a value that is not allowed."""


class PluginError(UsageError):
    """A plugin that is missing, broken, or claims a name that another one has."""


class CapabilityError(UsageError):
    """Parts that cannot work together; the message names what would fit."""


class SpaceError(NascoreError):
    """An architecture that is not in its search space; says which decision and why."""


class DataError(NascoreError):
    """A data set that cannot be used as it is."""


class RunError(NascoreError):
    """A run folder that cannot be read, written or resumed."""


class SearchFailedError(NascoreError):
    """A search that ended without one complete trial. Exit status 1."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Say which of ``allowed`` comes nearest to ``given``, and list them all.

    Returns:
        A sentence part such as ``did you mean 'amoebanet'? Allowed: amoebanet, random``.
    """
    names = sorted(set(allowed))
    if not names:
        return "none is available"
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Allowed: {', '.join(names)}"
