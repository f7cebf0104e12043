"""What is known of a candidate before it trains, as named numbers: its size, its decisions, its hyper-parameters."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nascore_blocks.costs import Macs, Params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nascore.contracts import CostModel, SearchSpace, Task
    from nascore.records import Architecture, Candidate

    Floats = NDArray[np.float64]

COSTS: tuple[CostModel, ...] = (Params(), Macs())


class _OnlyTask:
    """All of a context that a cost that counts reads."""

    def __init__(self, task: Task) -> None:
        self.task = task


class Describer:
    """Describes candidates; what a space or a task does not give is left out."""

    def __init__(self, space: SearchSpace | None, task: Task | None) -> None:
        """
        Args:
            space: of the search, set up; None: nothing but hyper-parameters is known.
            task: of the search; None: no network can be built, so no size is known.
        """
        self._space, self._task = space, task
        self._known: dict[str, dict[str, float]] = {}

    def __call__(self, candidate: Candidate | None) -> dict[str, float]:
        """Name -> number; a name means the same in every candidate, and one that is not there means 0."""
        if candidate is None:
            return {}
        key = candidate.architecture.key
        if key not in self._known:
            self._known[key] = {**self._size(candidate.architecture), **self._decisions(candidate.architecture)}
        return {**self._known[key], **{f"fidelity {name}": float(x) for name, x in candidate.fidelity.items()}}

    def _size(self, architecture: Architecture) -> dict[str, float]:
        """Logarithms of parameters and multiply-accumulates."""
        if self._space is None or self._task is None or "module" not in self._space.provides:
            return {}
        context: Any = _OnlyTask(self._task)
        sizes: dict[str, float] = {}
        for model in COSTS:
            try:
                found = model.estimate(self._space, architecture, context)
            except Exception:  # noqa: BLE001 - a network can fail in any way; its own trial tells, not the pruner
                continue
            sizes.update({name: math.log1p(max(cost.value, 0.0)) for name, cost in found.items()})
        return sizes

    def _decisions(self, architecture: Architecture) -> dict[str, float]:
        """Each decision as it was made, and the share of each option among those of its group."""
        if self._space is None or "decisions" not in self._space.provides:
            return {}
        space: Any = self._space  # a DecisionSpace, by what it provides
        features: dict[str, float] = {}
        shares: Counter[str] = Counter()
        decisions = space.decisions(architecture)
        for decision in decisions:
            if all(isinstance(option, (int, float)) for option in decision.options):
                features[decision.name] = float(decision.value)
            else:
                features[f"{decision.name} = {decision.value}"] = 1.0
            shares[f"share of {space.group(decision.name)} = {decision.value}"] += 1
        return {**features, **{name: count / len(decisions) for name, count in shares.items()}}


def as_matrix(described: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    """Described candidates as (candidates, names)."""
    return np.array([[one.get(name, 0.0) for name in names] for one in described]).reshape(len(described), len(names))
