"""What the core relies on in an evaluator."""

from __future__ import annotations

import copy
import math
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from nascore.records import Candidate, Measurement, Status
from nascore.seeding import isolated_random
from nascore.testing import driver
from nascore.testing.toys import ToySpace, toy_data

if TYPE_CHECKING:
    from nascore.contracts import Evaluator, SearchSpace, Splits


class EvaluatorConformance(ABC):
    """Checks of an evaluator that judges candidates one by one. Choose options that take a second.

    Example::

        class TestTrain(EvaluatorConformance):
            def make(self):
                return Train(epochs=2, batch_size=16)

    Attributes:
        prunable: it must stop when a report is answered by False; by default where it provides
            ``curve``.
    """

    prunable: ClassVar[bool | None] = None

    @abstractmethod
    def make(self) -> Evaluator:
        """A fresh evaluator, always with the same options."""

    def space(self) -> SearchSpace:
        """A fresh space whose architectures it can judge; by default small convolutional networks."""
        return ToySpace()

    def data(self) -> Splits:
        """The data; by default small images of four classes, as torch data sets."""
        return toy_data()

    def _evaluator(self) -> Evaluator:
        data = self.data().for_search()
        space = self.space()
        space.setup(data.task)
        evaluator = self.make()
        evaluator.setup(space, data)
        return evaluator

    def _candidate(self, seed: int = 0) -> Candidate:
        space = self.space()
        space.setup(self.data().task)
        rng = random.Random(seed)
        return Candidate(space.sample(lambda _, options: rng.choice(options)))

    def _judge(
        self, evaluator: Evaluator, candidate: Candidate, seed: int = 0, steps: int | None = None
    ) -> tuple[Measurement, driver.MemoryContext]:
        context = driver.MemoryContext(self.data(), seed=seed, steps=steps)
        with isolated_random(seed):
            return evaluator.evaluate(candidate, context), context

    # ------------------------------------------------------------------ the checks

    def test_it_declares_objectives(self) -> None:
        """At least one objective, each with a unit and a direction."""
        assert self.make().objectives, "objectives is empty: say what is measured, in which unit and direction"

    def test_declared_objectives_are_delivered(self) -> None:
        """A complete measurement has a finite value for just the declared objectives."""
        evaluator = self._evaluator()
        measurement, context = self._judge(evaluator, self._candidate())
        assert measurement.status is Status.COMPLETE, f"{measurement.status.value}: {measurement.reason}"
        assert set(measurement.objectives) == set(evaluator.objectives), (
            f"declared are {sorted(evaluator.objectives)}, delivered are {sorted(measurement.objectives)}"
        )
        for name, value in measurement.objectives.items():
            assert isinstance(value, float), f"{name} is {value!r}, not a float"
            assert math.isfinite(value), f"{name} is {value}"
        for name, file in measurement.artifacts.items():
            assert (context.folder() / file).is_file(), (
                f"the artifact {name!r} names the file {file!r}, which is missing"
            )

    def test_same_seed_same_measurement(self) -> None:
        """The measurement depends on the candidate and the seed; not on what was judged before."""
        candidate = self._candidate()
        first, _ = self._judge(self._evaluator(), candidate, seed=3)
        used = self._evaluator()
        self._judge(used, self._candidate(1), seed=4)
        second, _ = self._judge(used, candidate, seed=3)
        assert dict(first.objectives) == dict(second.objectives), (
            f"the same candidate and seed gave {dict(first.objectives)} and {dict(second.objectives)}"
        )

    def test_a_deterministic_one_ignores_the_seed(self) -> None:
        """The core reuses measurements of an evaluator that calls itself deterministic."""
        evaluator = self._evaluator()
        if evaluator.deterministic:
            values = [dict(self._judge(evaluator, self._candidate(), seed)[0].objectives) for seed in (0, 1)]
            assert values[0] == values[1], f"deterministic, but two seeds gave {values[0]} and {values[1]}"

    def test_it_stops_when_told(self) -> None:
        """A report that is answered by False is the last one, and the measurement is PRUNED."""
        evaluator = self._evaluator()
        if not ("curve" in evaluator.provides if self.prunable is None else self.prunable):
            return
        measurement, context = self._judge(evaluator, self._candidate(), steps=0)
        assert context.reports, "it provides 'curve', but reported nothing"
        assert len(context.reports) == 1, f"the first report was answered by False; {len(context.reports)} came"
        assert measurement.status is Status.PRUNED, f"it was told to stop, and gave {measurement.status.value}"
        first = next(iter(evaluator.objectives))
        assert first in context.reports[0][1], f"reports must have {first!r}, the first objective, for pruners to act"

    def test_inputs_are_not_changed(self) -> None:
        """The candidate belongs to the sampler and the history."""
        candidate = self._candidate()
        before = copy.deepcopy(candidate)
        self._judge(self._evaluator(), candidate)
        assert candidate == before, "evaluate changed the candidate"

    def test_a_restored_evaluator_goes_on_exactly(self) -> None:
        """Its state goes through a checkpoint, and the next measurement is the same."""
        first, second = self._evaluator(), self._evaluator()
        self._judge(first, self._candidate(0), seed=0)
        second.load_state_dict(driver.through_checkpoint(first.state_dict()))
        values = [dict(self._judge(one, self._candidate(1), seed=1)[0].objectives) for one in (first, second)]
        assert values[0] == values[1], f"going on gave {values[0]}, and after a checkpoint {values[1]}"
