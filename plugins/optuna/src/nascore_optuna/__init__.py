"""Optuna in nascore, and nascore in Optuna: :class:`NascoreSampler` puts any sampler into a plain study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nascore_optuna.into_optuna import NascoreSampler

__all__ = ["NascoreSampler"]


def __getattr__(name: str) -> Any:
    # Late, so that listing plugins does not import Optuna.
    if name == "NascoreSampler":
        from nascore_optuna.into_optuna import NascoreSampler

        return NascoreSampler
    raise AttributeError(f"module 'nascore_optuna' has no attribute {name!r}")
