"""What the core relies on in a method, and in parts whose search is stopped and resumed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import nascore.loop
from nascore.api import resume, search
from nascore.options import make as make_part
from nascore.plugins import Plugins, resolve
from nascore.pruning import make_pruner
from nascore.settings import merge, nest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nascore.contracts import Evaluator
    from nascore.hooks import Method
    from nascore.result import SearchResult

TABLES = {"space": "search_spaces", "sampler": "samplers", "evaluator": "evaluators", "data": "datasets"}


class MethodConformance(ABC):
    """Checks of a method's record.

    Example::

        class TestMyMethod(MethodConformance):
            name = "my-method"

    Attributes:
        name: of the method.
    """

    name: ClassVar[str]

    @property
    def method(self) -> Method:
        """The record."""
        return Plugins().find("methods", self.name)[1]  # type: ignore[return-value]  # the record of a method

    def test_it_has_both_presets(self) -> None:
        """``quick`` is the default, ``paper`` has the paper's sizes."""
        assert {"quick", "paper"} <= set(self.method.presets)

    def test_its_presets_fit_its_parts(self) -> None:
        """Every preset names settings that the parts take, with values that they allow."""
        parts = {table: {"use": getattr(self.method, table)} for table in TABLES}
        for preset in self.method.presets.values():
            settings = merge([parts, nest(preset)])
            if settings.pruner:
                assert make_pruner(settings.pruner) is not None
            for table, kind in TABLES.items():
                options = getattr(settings, table)
                record: Any = Plugins().find(kind, options.pop("use"))[1]
                assert make_part(resolve(record.factory), options, table) is not None

    def test_its_cost_models_exist(self) -> None:
        """Each address of a cost is that of a part."""
        for address in self.method.costs:
            assert Plugins().find("cost_models", address)


class Stop(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


def stopping(evaluator: Evaluator, at: int) -> Evaluator:
    """The evaluator, which ends the search by :class:`Stop` right after its ``at``-th piece of work, from 0.

    A piece of work is a call of ``prepare`` or ``evaluate``: it is done, and its result is lost.
    """
    calls = count()

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            number = next(calls)
            try:
                return method(*arguments)
            finally:
                if number == at:
                    raise Stop

        return wrapped

    changed: Any = evaluator
    changed.evaluate, changed.prepare = dying(evaluator.evaluate), dying(evaluator.prepare)
    return evaluator


class ResumeConformance(ABC):
    """A search of these parts that is stopped anywhere and resumed is the same search, bit for bit.

    Example::

        class TestResume(ResumeConformance):
            def make(self):
                return {"space": ToySpace(), "sampler": MySampler(), "evaluator": ToyEvaluator(), "data": ToyData()}

    Attributes:
        trials: of the search.
        stops: after which pieces of work of the evaluator (calls of ``prepare`` and ``evaluate``, from 0) it stops.
        settings: further ones of :func:`nascore.search`.
    """

    trials: ClassVar[int] = 12
    stops: ClassVar[Sequence[int]] = (0, 5, 9)
    settings: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def make(self) -> dict[str, Any]:
        """Fresh ``space``, ``sampler``, ``evaluator`` and ``data``: objects, or addresses of parts."""

    def check(self, result: SearchResult, parts: Mapping[str, Any]) -> None:
        """Look at the search that was not stopped: is there something to see?"""
        assert len({trial.architecture.key for trial in result.history}) > 1

    def test_with_a_checkpoint_after_every_trial(self, tmp_path: Path, monkeypatch: Any) -> None:
        """What a checkpoint holds is enough to go on."""
        monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 0.0)
        self._stop_and_resume(tmp_path)

    def test_without_a_checkpoint_of_trials(self, tmp_path: Path, monkeypatch: Any) -> None:
        """What is newer than the last checkpoint is replayed from the stored trials."""
        monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 1e9)
        self._stop_and_resume(tmp_path)

    def _stop_and_resume(self, folder: Path) -> None:
        parts = self.make()
        whole = self._search(parts, folder / "whole")
        self.check(whole, parts)
        for at in self.stops:
            run = folder / f"stopped-{at}"
            stopped = self.make()
            stopping(stopped["evaluator"], at)
            try:
                self._search(stopped, run)
            except Stop:
                again = self.make()
                resumed = resume(run, **{name: part for name, part in again.items() if not isinstance(part, str)})
            else:
                raise AssertionError(f"the evaluator has no piece of work {at}: choose smaller `stops`")
            assert outcome(resumed, again) == outcome(whole, parts), f"stopped after piece of work {at}"

    def _search(self, parts: Mapping[str, Any], folder: Path) -> SearchResult:
        chosen = {"costs": [], "seed": 1, **self.settings}
        return search(**parts, trials=self.trials, tracking="off", out=folder, **chosen)


def outcome(result: SearchResult, parts: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """All of a search that does not depend on the clock: its trials, and the tensors of its parts' states."""
    trials = [
        (
            t.number, t.architecture.key, t.candidate.parent, t.candidate.origin, t.status, dict(t.objectives), t.seed,
            {name: cost.value for name, cost in t.costs.items()}, t.reports,
            {name: repr(value) for name, value in t.metrics.items() if not name.endswith("seconds")},  # NaN is NaN
        )
        for t in result.history
    ]  # fmt: skip
    states = parts["sampler"].state_dict(), parts["evaluator"].state_dict()
    return trials, [tensor.tolist() for state in states for tensor in _tensors(state)]


def _tensors(state: Any) -> list[Any]:
    if hasattr(state, "tolist"):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in _tensors(value)]
