"""How far an architecture breaks the constraints, asked by a sampler before it proposes it.

What a cost model measured is written down: a resumed search must find what the one before it found.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nascore.judge import WorkContext
from nascore.seeding import derive_seed, isolated_random

if TYPE_CHECKING:
    from nascore.parts import Parts
    from nascore.records import Architecture
    from nascore.run import RunFolder

FILE = "limits.jsonl"
"""In ``state/``: one line ``[key, {cost: value}]`` for each architecture that was measured."""


class Limits:
    """``limits(architecture)`` is the sum of what its costs break the constraints by, as shares of the limits."""

    def __init__(self, parts: Parts, device: str, run: RunFolder, seed: int) -> None:
        """
        Args:
            parts: of the search.
            device: where costs are measured.
            run: keeps what was measured.
            seed: of the search.
        """
        self._parts, self._device, self._run, self._seed = parts, device, run, seed
        self._constraints = [c for c in parts.constraints if any(c.name in m.metrics for m in parts.costs.values())]
        needed = {constraint.name for constraint in self._constraints}
        self._models = [model for model in parts.costs.values() if needed & set(model.metrics)]
        self._known: dict[str, dict[str, float]] = {}
        self._file = run.path / "state" / FILE
        if self._measures and self._file.is_file():
            self._known = dict(filter(None, map(_line, self._file.read_text().splitlines())))

    def __call__(self, architecture: Architecture) -> float:
        """0 where every constraint on a cost holds; those on what an evaluation gives are not looked at.

        Of a broken constraint counts (value - limit) / |limit|, or the bare difference for a limit of 0.
        """
        if not self._constraints:
            return 0.0
        if architecture.key not in self._known:
            self._known[architecture.key] = self._priced(architecture)
            if self._measures:
                with self._file.open("a") as file:  # the newline comes first: a kill may have cut the last line off
                    file.write("\n" + json.dumps([architecture.key, self._known[architecture.key]]))
        values = self._known[architecture.key]
        return sum(max(0.0, c.violation(values[c.name])) / (abs(c.limit) or 1.0) for c in self._constraints)

    @property
    def _measures(self) -> bool:
        return not all(model.cheap for model in self._models)

    def _priced(self, architecture: Architecture) -> dict[str, float]:
        seed = derive_seed(self._seed, "limits", architecture.key)
        context = WorkContext(0, seed, self._device, self._parts.data.for_search(), self._run)
        with isolated_random(seed):
            found = [model.estimate(self._parts.space, architecture, context) for model in self._models]
        return {name: float(cost.value) for costs in found for name, cost in costs.items()}


def _line(text: str) -> tuple[str, dict[str, float]] | None:
    """One record; None for the line that a kill cut off."""
    try:
        key, values = json.loads(text)
    except ValueError:
        return None
    return key, values
