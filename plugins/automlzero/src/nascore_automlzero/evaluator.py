"""Judging programs: train and test each on several tasks (section 3.1)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from nascore.contracts import CostModel, Evaluator
from nascore.errors import CapabilityError, SettingsError
from nascore.records import Cost, Direction, Measurement, Metric, Status
from nascore_automlzero.bytecode import lower
from nascore_automlzero.program import live
from nascore_automlzero.running import noise_table
from nascore_automlzero.tasks import BINARY, check_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context, SearchSpace, Splits
    from nascore.records import Architecture, Candidate
    from nascore_automlzero.bytecode import Code, Floats
    from nascore_automlzero.space import ProgramSpace
    from nascore_automlzero.tasks import Tasks


class ProgramTasks(Evaluator):
    """The mean fitness of a program over tasks.

    On each task the memory is zeroed, Setup runs once, then Predict and Learn run on each example in turn, and
    Predict alone on the examples that it is tested on. The fitness of a regression is 1 - 2/pi * atan(RMSE), of
    a classification the accuracy: in [0, 1]. A prediction that is NaN, or off by more than ``max_error``,
    makes it 0 for this task. ``valid_fitness`` is the same on tasks that the search does not see.

    A program has no loops, so the space's limits bound what it can cost.

    Args:
        epochs: passes over the examples, each followed by a test; the best one counts. >= 1.
        max_error: see above, > 0.
        cache_size: of how many behaviours the fitness is kept, the latest used ones; 0: none. Programs behave
            equally when all errors on 10 + 10 examples of every task are equal, bit by bit. Two that do and
            yet differ later (rare) share the fitness of the one that came first; a resumed search starts with
            an empty cache, so only without one is it sure to repeat bit for bit.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"programs", "program_tasks"})
    provides: ClassVar[frozenset[str]] = frozenset({"retrain"})
    objectives: ClassVar[Mapping[str, Metric]] = {"fitness": Metric("", Direction.MAXIMIZE)}
    deterministic: ClassVar[bool] = True

    def __init__(self, epochs: int = 1, max_error: float = 100.0, cache_size: int = 0) -> None:
        for name, value, good in (
            ("epochs", epochs, epochs >= 1), ("max_error", max_error, 0 < max_error < np.inf),
            ("cache_size", cache_size, cache_size >= 0),
        ):  # fmt: skip
            if not good:
                raise SettingsError(
                    f"{name} is {value}; epochs is at least 1, max_error above 0, cache_size at least 0."
                )
        self.epochs, self.max_error, self.cache_size = epochs, max_error, cache_size
        self.hits = 0
        self._cache: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Evaluator.setup`.

        Raises:
            DataError: the tasks have NaN, or sizes that do not match.
        """
        super().setup(space, data)
        self._classify = data.task.kind == BINARY
        self._features = int(np.prod(data.task.shape))
        self._train = check_tasks(data.train, data.task)
        self._valid = check_tasks(data.valid, data.task)
        self._noise = noise_table(0)
        self._cache.clear()
        self.hits = 0

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Run it on all tasks; see :meth:`Evaluator.evaluate`."""
        code = self._lower(candidate.architecture)
        key = self._behaviour(code) if self.cache_size else b""
        known = self._cache.get(key)
        if known is None:
            known = float(self.fitness(code, self._train).mean()), float(self.fitness(code, self._valid).mean())
        else:
            self.hits += 1
        if self.cache_size:
            self._cache[key] = known
            self._cache.move_to_end(key)
            if len(self._cache) > self.cache_size:
                self._cache.popitem(last=False)
        return Measurement(Status.COMPLETE, {"fitness": known[0]}, metrics={"valid_fitness": known[1]})

    def fitness(self, code: Code, tasks: Tasks) -> Floats:
        """The fitness on each task, (tasks,)."""
        from nascore_automlzero.interpreter import judge_all

        return judge_all(*code, *tasks, self._classify, self.epochs, self.max_error, self._noise)

    def retrain(
        self, architecture: Architecture, splits: Splits, *, seed: int, device: str = "cpu", report: Any = None
    ) -> tuple[Measurement, dict[str, Any]]:
        """Test the program on held-out tasks, which it learns from nothing; there are no weights to keep.

        Returns:
            A measurement with ``test_accuracy``, the mean over the tasks of the test split, in [0, 1].

        Raises:
            CapabilityError: the tasks are regressions, which have no accuracy.
        """
        if not self._classify:
            raise CapabilityError(
                "Regression tasks have no accuracy to test; the metric valid_fitness is of tasks that the search "
                "did not see. To retrain, search on --data automlzero:pairs."
            )
        fitness = self.fitness(self._lower(architecture), check_tasks(splits.test, splits.task))
        return Measurement(Status.COMPLETE, {"test_accuracy": float(fitness.mean())}), {}

    def _lower(self, architecture: Architecture) -> Code:
        return lower(cast("Any", architecture.genome), cast("ProgramSpace", self.space).limits, self._features)

    def _behaviour(self, code: Code) -> bytes:
        """The errors on the first 10 + 10 examples of every task."""
        from nascore_automlzero.interpreter import judge

        x, y, x_valid, y_valid = (np.ascontiguousarray(array[:, :10]) for array in self._train)
        errors = np.zeros((len(x), x.shape[1] + x_valid.shape[1]))
        memory = np.empty(code.memory)
        for t in range(len(x)):
            judge(
                *code[:3], memory, code.start, x[t], y[t], x_valid[t], y_valid[t],
                self._classify, 1, self.max_error, self._noise, errors[t],
            )  # fmt: skip
        return errors.tobytes()


class ProgramSize(CostModel):
    """How long a program is: ``instructions``, those that a prediction depends on."""

    requires: ClassVar[frozenset[str]] = frozenset({"programs"})
    metrics: ClassVar[Mapping[str, Metric]] = {"instructions": Metric("", Direction.MINIMIZE)}

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        return {"instructions": Cost(sum(map(len, live(cast("Any", architecture.genome)).values())), "")}
