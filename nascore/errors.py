"""Every error that nascore raises on purpose, under one root.

A message says what was given, what is allowed, and what to type.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 4_000
"""Characters of a message; of a longer one, which quotes a value from some file, the middle is left out."""
_LONGEST_NAME = 100


class NascoreError(Exception):
    """The root: catch this to catch everything that nascore raises on purpose."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"


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
    # What is far longer than a name is no misspelling of one, and would take long to compare.
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5) if len(given) <= _LONGEST_NAME else []
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Allowed: {', '.join(names)}"
