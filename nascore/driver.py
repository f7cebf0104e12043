"""One search, and how it is driven from its stored trials to its result."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import write_atomically
from nascore.contracts import Task
from nascore.display import headline
from nascore.errors import NascoreError, RunError, SearchFailedError, SpaceError
from nascore.executors import choose_executor
from nascore.history import TrialHistory
from nascore.judge import Judge
from nascore.lifecycle import Lifecycle
from nascore.loop import TrialLoop
from nascore.pruning import Pruning
from nascore.records import Direction, Objective, Status
from nascore.result import SearchResult
from nascore.store import SpaceName, TrialStore, open_storage
from nascore.tracking import Tracker, resolve_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nascore.contracts import SearchSpace, Splits
    from nascore.parts import Parts, Workshop
    from nascore.records import Trial
    from nascore.run import RunFolder
    from nascore.settings import SearchSettings

log = logging.getLogger("nascore")


class Search:
    """One search: its settings, parts, run folder and history. Life-cycle hooks get it to read.

    A run that is only looked at needs neither its data nor its plugins: the parts are made when
    they are asked for; task and objectives stand in the run folder.
    """

    def __init__(self, settings: SearchSettings, run: RunFolder, workshop: Workshop) -> None:
        """
        Args:
            settings: the resolved settings.
            run: the run folder.
            workshop: makes the parts.

        Raises:
            RunError: the run folder is damaged.
        """
        self.settings = settings
        self.run = run
        self.workshop = workshop
        facts = run.facts()
        try:
            self.study = str(facts["study"])
            self.space_name = str(facts["space"])
            self.objectives = tuple(Objective(name, Direction(way)) for name, way in facts["objectives"].items())
            self.task = _task(facts["task"])
            if not self.objectives:
                raise ValueError("no objectives")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{run.path / 'run.json'} is damaged: {error!r}.") from error
        self.history = TrialHistory(self.objectives)
        self.stored: frozenset[int] = frozenset()
        self._kept: set[int] = set()

    @cached_property
    def parts(self) -> Parts:
        """The parts, made anew from the settings.

        Raises:
            UsageError: a plugin is not installed any more, say.
            RunError: the data or the space is not what the search was begun with.
        """
        parts = self.workshop.assemble(self.settings)
        found = parts.data.task.fingerprint
        if found != self.task.fingerprint:
            raise RunError(
                f"The data changed since {self.run.path} was begun: its fingerprint was "
                f"{self.task.fingerprint[:12]!r} and is {found[:12]!r}. Bring the old data back, or start a new search."
            )
        return parts

    @property
    def plugin(self) -> str:
        """Name of the method."""
        return self.settings.plugin

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self.settings.seed

    @property
    def device(self) -> str:
        """The torch device."""
        return self.settings.device

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.path

    @property
    def space(self) -> SearchSpace:
        """The search space. It needs no other part, so a network is built without the data of its search."""
        return self.parts.space if "parts" in self.__dict__ else self._space

    @cached_property
    def _space(self) -> SearchSpace:
        return self.workshop.space(self.settings, self.task)

    @property
    def data(self) -> Splits:
        """The data, test sealed."""
        return self.parts.data.for_search()

    def build(self, trial: Trial) -> Any:
        """The untrained network of a trial.

        Raises:
            SpaceError: it is not in the space, or cannot be built.
        """
        self.space.check(trial.architecture)
        try:
            return self.space.build(trial.architecture, self.task)
        except NascoreError:
            raise
        except Exception as error:
            raise SpaceError(
                f"The network of trial {trial.number} cannot be built: {type(error).__name__}: {error}"
            ) from error

    def front_numbers(self) -> set[int]:
        """Numbers of the best trial and of the Pareto front."""
        best = self.history.best
        return {t.number for t in self.history.pareto_front} | ({best.number} if best else set())

    def adopt_artifacts(self) -> None:
        """Take over the artifacts of the stored trials; what a killed trial left behind goes."""
        self._kept = self.run.keep_artifacts(set(self.stored))

    def drop_artifacts(self, trial: Trial, needed: Callable[[int], bool]) -> None:
        """Delete the artifacts that need not be kept now that ``trial`` is told.

        Args:
            trial: just told.
            needed: says of a number whether its artifacts stay, because a trial in flight inherits from them.
        """
        if self.settings.keep == "all":
            return
        # While a resumed search replays its stored trials, the artifacts of those to come stay.
        self._kept.add(trial.number)
        front = self.front_numbers()
        gone = {n for n in self._kept if n in self.history and n not in front and not needed(n)}
        for number in gone:
            shutil.rmtree(self.run.artifacts(number), ignore_errors=True)
        self._kept -= gone

    def store(self, write: bool) -> TrialStore:
        """The stored trials.

        Args:
            write: to go on with the search; else nothing is changed, not even mended.
        """
        storage = open_storage(self.settings.storage, self.run.path, mend=write)
        space = self.space if write else SpaceName(self.space_name)
        constraints = self.parts.constraints if write else ()
        return TrialStore(storage, self.study, space, self.objectives, constraints, create=write)


def _task(data: dict[str, Any]) -> Task:
    """The task as :func:`facts_of` wrote it."""
    task = Task(**{**data, "shape": tuple(data["shape"])})
    numbers, texts = (*task.shape, task.classes), (task.name, task.kind, task.fingerprint)
    if not all(type(n) is int and 0 <= n < 2**31 for n in numbers) or not all(isinstance(t, str) for t in texts):
        raise ValueError(f"task = {data!r}")
    return task


def facts_of(study: str, parts: Parts) -> dict[str, Any]:
    """What a run folder must know to be looked at without its parts.

    Args:
        study: name of the Optuna study: unique where several searches share a storage.
        parts: of the new search.
    """
    task = parts.data.task
    return {
        "study": study,
        "space": parts.space.name,
        "objectives": {objective.name: objective.direction.value for objective in parts.objectives},
        "task": {
            "name": task.name, "shape": list(task.shape), "classes": task.classes,
            "kind": task.kind, "fingerprint": task.fingerprint,
        },
    }  # fmt: skip


def drive(search: Search, observers: Sequence[Any]) -> SearchResult:
    """Run a search, begun or not, to its end; the run folder must be locked.

    Raises:
        SearchFailedError: no trial is complete.
        RunError: the storage or the run folder cannot be written, or the stored trials do not fit.
    """
    executor = choose_executor(search.workshop, search.settings, search.parts)
    tracker = _tracker(search)
    loop = TrialLoop(
        search, search.store(write=True), executor, _lifecycle(search, observers, tracker), _pruning(search)
    )
    judge = Judge(search.parts, search.settings.device, search.run, loop.reported, search.workshop.objects)
    try:
        executor.start(search.settings.model_dump(), judge)
        with _torch_ready(search):
            result = _run(search, loop)
    except NascoreError as error:
        with contextlib.suppress(NascoreError):
            search.run.write_status(state="failed", reason=str(error), wall_seconds=loop.wall_seconds)
        raise
    finally:
        executor.close()
        loop.store.close()
        if tracker is not None:
            tracker.close()
    if result.state == "failed":
        raise SearchFailedError(result.reason)
    return result


def _run(search: Search, loop: TrialLoop) -> SearchResult:
    stored = loop.store.load()
    search.stored = frozenset(trial.number for trial in stored)
    replay = loop.restore(stored, log.warning)
    search.adopt_artifacts()
    search.run.write_status(state="running", reason="")
    loop.lifecycle.emit("search_started", search=search)
    try:
        state, reason = "finished", loop.run(replay)
        loop.save()
    except KeyboardInterrupt:
        state, reason = "interrupted", ""
    answer = search.parts.sampler.recommend(search.history)
    if answer is not None:
        _write_best(search, answer)
    elif state == "finished":
        state, reason = "failed", _why_nothing(search)
    search.run.write_status(
        state=state, reason=reason, wall_seconds=loop.wall_seconds, best=answer.number if answer else None
    )
    result = SearchResult(search, search.run.status())
    loop.lifecycle.emit("search_finished", search=search, result=result)
    return result


def _tracker(search: Search) -> Tracker | None:
    uri = resolve_uri(search.run.path, search.settings.tracking)
    return Tracker(search.run.path, uri, search.settings.experiment) if uri else None


def _lifecycle(search: Search, observers: Sequence[Any], tracker: Tracker | None) -> Lifecycle:
    modules = [plugin.module for plugin in search.workshop.plugins.load_all() if plugin.module is not None]
    return Lifecycle([*modules, *observers, *([tracker] if tracker else [])])


def _pruning(search: Search) -> Pruning | None:
    pruner = search.parts.pruner
    return Pruning(pruner, *search.objectives, space=search.parts.space, seed=search.seed) if pruner else None


def _why_nothing(search: Search) -> str:
    counts = search.history.counts()
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    text = f"No trial is complete ({', '.join(parts) or 'none was proposed'})."
    infeasible = [t for t in search.history if t.status is Status.INFEASIBLE]
    if infeasible:
        nearest = min(infeasible, key=lambda t: max(t.violations.values()))
        text += f" The nearest to the constraints is trial {nearest.number}: {nearest.reason}."
    failed = [t for t in search.history if t.status is Status.FAIL]
    if failed:
        text += f" The last failure, of trial {failed[-1].number}: {headline(failed[-1].reason)}"
        text += f" (`nascore show RUN --trial {failed[-1].number}` shows it in full)"
    return text


def _write_best(search: Search, best: Trial) -> None:
    """``best/``: the architecture as JSON and, where they were kept, its weights."""
    folder = search.run.path / "best"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "architecture.json", json.dumps(best.summary(), indent=2).encode())
    weights = search.run.artifact(best.number, best.artifacts.get("weights", "weights"))
    if weights.is_file():
        write_atomically(folder / "weights.safetensors", weights.read_bytes())


@contextlib.contextmanager
def _torch_ready(search: Search) -> Iterator[None]:
    """Import torch before the first trial where networks are built, and set its threads.

    A trial that imports torch itself would train under an unseeded generator.
    """
    if "module" in search.parts.evaluator.requires:
        import torch  # noqa: F401 - for isolated_random, which seeds what is imported
    with torch_threads(search.settings.threads):
        yield


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside, where it is imported."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)
