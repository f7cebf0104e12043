"""Compiling with numba: one typed decorator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba  # type: ignore[import-untyped,unused-ignore]  # numba ships no types

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Nobody calls from C, and a wrapper for that would cost a second compilation of the interpreter."""


def compiled(function: F) -> F:
    """Compile ``function`` when it is called first; the machine code is kept on disk where that can be written.

    Strict floating point (no ``fastmath``): the same genome gives the same bits in every process.
    A division by zero gives infinity, as in numpy, and no exception. Other threads run meanwhile (``nogil``).
    """
    try:
        return cast("F", numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast("F", numba.njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """Copy ``function`` into each compiled function that calls it; for one that is called often, from one place."""
    return cast("F", numba.njit(inline="always", error_model="numpy")(function))
