"""nascore: neural architecture search with a small core, where every method is a plugin.

Importing this package imports nothing else: each public name is fetched from its module when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nascore._version import __version__

if TYPE_CHECKING:
    from nascore.api import open_run, resume, search
    from nascore.contracts import (
        Context,
        CostModel,
        Dataset,
        Evaluator,
        Executor,
        History,
        Pruner,
        Round,
        Sampler,
        SearchSpace,
        Splits,
        Task,
        View,
    )
    from nascore.decisions import Decision, DecisionSpace, search_space
    from nascore.errors import NascoreError
    from nascore.hooks import Benchmark, Component, Method, hookimpl
    from nascore.records import (
        Architecture,
        Candidate,
        Constraint,
        Cost,
        Direction,
        Measurement,
        Metric,
        Objective,
        Status,
        Trial,
    )
    from nascore.result import SearchResult

_HOMES = {
    "nascore.contracts": (
        "Context CostModel Dataset Evaluator Executor History Pruner Round Sampler SearchSpace Splits Task View"
    ),
    "nascore.decisions": "Decision DecisionSpace search_space",
    "nascore.errors": "NascoreError",
    "nascore.hooks": "Benchmark Component Method hookimpl",
    "nascore.records": ("Architecture Candidate Constraint Cost Direction Measurement Metric Objective Status Trial"),
    "nascore.result": "SearchResult",
    "nascore.api": "open_run resume search",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [  # noqa: RUF022 - kept in the order of their modules
    "__version__",
    "Context", "CostModel", "Dataset", "Evaluator", "Executor", "History", "Pruner", "Round", "Sampler",
    "SearchSpace", "Splits", "Task", "View",
    "Decision", "DecisionSpace", "search_space",
    "NascoreError",
    "Benchmark", "Component", "Method", "hookimpl",
    "Architecture", "Candidate", "Constraint", "Cost", "Direction", "Measurement", "Metric", "Objective", "Status",
    "Trial",
    "SearchResult",
    "open_run", "resume", "search",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'nascore' has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
