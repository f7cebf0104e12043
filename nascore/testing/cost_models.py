"""What the core relies on in a hardware cost model."""

from __future__ import annotations

import copy
import math
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from nascore.records import Cost
from nascore.testing import driver
from nascore.testing.toys import ToySpace, toy_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import CostModel, SearchSpace, Splits
    from nascore.records import Architecture


class CostModelConformance(ABC):
    """Checks of a cost model.

    Example::

        class TestParams(CostModelConformance):
            def make(self):
                return Params()
    """

    @abstractmethod
    def make(self) -> CostModel:
        """A fresh cost model, always with the same options."""

    def space(self) -> SearchSpace:
        """A fresh space whose architectures it can price; by default small convolutional networks."""
        return ToySpace()

    def data(self) -> Splits:
        """The data; by default small images of four classes."""
        return toy_data()

    def _priced(self, seed: int = 0) -> tuple[Architecture, Mapping[str, Cost]]:
        data = self.data()
        space = self.space()
        space.setup(data.task)
        rng = random.Random(seed)
        architecture = space.sample(lambda _, options: rng.choice(options))
        before = copy.deepcopy(architecture)
        costs = self.make().estimate(space, architecture, driver.MemoryContext(data))
        assert architecture == before, "estimate changed the architecture"
        return architecture, costs

    # ------------------------------------------------------------------ the checks

    def test_declared_metrics_are_delivered_in_their_units(self) -> None:
        """A cost for every declared metric and no other, in the declared unit."""
        metrics = self.make().metrics
        assert metrics, "metrics is empty: say what is priced, in which unit and direction"
        _, costs = self._priced()
        assert set(costs) == set(metrics), f"declared are {sorted(metrics)}, delivered are {sorted(costs)}"
        for name, cost in costs.items():
            assert isinstance(cost, Cost), f"{name} is {cost!r}; it must be a Cost"
            assert cost.unit == metrics[name].unit, f"{name} is in {cost.unit!r}; declared is {metrics[name].unit!r}"

    def test_costs_are_sound(self) -> None:
        """Finite, not negative, with a spread only where there are repeats; they survive JSON."""
        for seed in range(3):
            for name, cost in self._priced(seed)[1].items():
                assert 0 <= cost.value < math.inf, f"{name} is {cost.value}"
                assert cost.repeats >= 1, f"{name} was measured {cost.repeats} times"
                assert 0 <= cost.std < math.inf, f"{name} has the spread {cost.std}"
                assert cost.repeats > 1 or cost.std == 0, f"{name} has a spread, but one measurement"
                assert Cost.from_json(cost.to_json()) == cost, f"{name} does not survive JSON: {cost}"

    def test_exact_costs_are_the_same_twice(self) -> None:
        """A cost without a spread is a count: a fresh model gives the same one."""
        first, second = self._priced()[1], self._priced()[1]
        for name, cost in first.items():
            if cost.repeats == 1:
                again = second[name]
                assert cost == again, f"{name} is given as exact, but was {cost.value}, then {again.value}"

    def test_global_random_state_is_untouched(self) -> None:
        """Costs are asked for before training: one more cost model must not change what training gives."""
        self._priced()  # what is imported on first use may set up generators
        before = driver.global_states()
        self._priced()
        touched = driver.touched(before)
        assert not touched, f"it drew from (or seeded) the global generator of: {', '.join(touched)}"
