"""``nascore.search`` and ``nascore.resume``: what the command line calls too."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import write_atomically
from nascore.errors import NascoreError, RunError, SearchFailedError
from nascore.history import TrialHistory
from nascore.judge import Judge
from nascore.lifecycle import Lifecycle
from nascore.loop import TrialLoop
from nascore.parts import Parts, Workshop
from nascore.plugins import Plugins
from nascore.pruning import Pruning, make_pruner
from nascore.records import Status
from nascore.result import SearchResult
from nascore.run import RunFolder, new_run_path
from nascore.settings import SearchSettings, nest, parse_assignment, read_toml
from nascore.store import TrialStore, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nascore.contracts import SearchSpace, Splits
    from nascore.records import Objective, Trial

log = logging.getLogger("nascore")

_OBJECTS = ("space", "sampler", "evaluator", "data", "executor")


class Search:
    """One search: its settings, parts, run folder and history. Life-cycle hooks get it to read."""

    def __init__(self, settings: SearchSettings, parts: Parts, run: RunFolder) -> None:
        self.settings = settings
        self.parts = parts
        self.run = run
        self.history = TrialHistory(parts.objectives)
        self.stored: frozenset[int] = frozenset()
        self._kept: set[int] = set()

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
        """The search space."""
        return self.parts.space

    @property
    def data(self) -> Splits:
        """The data, test sealed."""
        return self.parts.data.for_search()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised."""
        return self.parts.objectives

    def build(self, trial: Trial) -> Any:
        """The untrained network of a trial."""
        self.space.check(trial.architecture)
        return self.space.build(trial.architecture, self.parts.data.task)

    def front_numbers(self) -> set[int]:
        """Numbers of the best trial and of the Pareto front."""
        best = self.history.best
        return {t.number for t in self.history.pareto_front} | ({best.number} if best else set())

    def adopt_artifacts(self) -> None:
        """Take over the artifacts of the stored trials; what a killed trial left behind goes."""
        self._kept = self.run.keep_artifacts(set(self.stored))

    def drop_artifacts(self, trial: Trial) -> None:
        """Delete the artifacts that need not be kept now that ``trial`` is told."""
        if self.settings.keep == "all":
            return
        # While a resumed search replays its stored trials, the artifacts of those to come stay.
        gone = {n for n in self._kept | {trial.number} if n in self.history} - self.front_numbers()
        for number in gone:
            shutil.rmtree(self.run.artifacts(number), ignore_errors=True)
        self._kept = (self._kept | {trial.number}) - gone


def search(
    plugin: str = "",
    *,
    preset: str = "",
    config: str | Path | None = None,
    data: Any = None,
    space: Any = None,
    sampler: Any = None,
    evaluator: Any = None,
    executor: Any = None,
    costs: Sequence[str] | None = None,
    objectives: Sequence[str] | None = None,
    constraints: Sequence[str] | None = None,
    trials: int | None = None,
    time: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | Iterable[str] = (),
    out: str | Path | None = None,
    tracking: str | None = None,
    storage: str | None = None,
    observers: Sequence[Any] = (),
) -> SearchResult:
    """Run a search to the end of its budget.

    Args:
        plugin: the method, such as ``amoebanet``; empty: the default one, where parts are given.
        preset: ``quick`` (the default) or ``paper``.
        config: a TOML file of settings; arguments win over it.
        data, space, sampler, evaluator, executor: an address (``digits``, ``blocks:nasnet``,
            ``my_space.py:my_space``) or the part itself. ``data`` may also be ``(inputs, labels)``.
        costs: addresses of cost models that price every trial.
        objectives: names; the first leads. Default: the evaluator's first.
        constraints: such as ``params<=50k``.
        trials: budget in trials, at least 1.
        time: budget in seconds, more than 0.
        seed: names all random numbers of the search; at least 0.
        device: a torch device.
        options: more settings: ``{"sampler.population_size": 20}``, or ``["sampler.population_size=20"]``.
        out: the run folder; default ``runs/<time>-<plugin>``.
        tracking: an MLflow URI, ``auto`` or ``off``.
        storage: where trials are stored; see :func:`nascore.store.open_storage`.
        observers: objects with life-cycle hooks.

    Returns:
        The result; an interrupted search (Ctrl-C) gives what it has.

    Raises:
        UsageError: something is wrong with the arguments; nothing was computed.
        SearchFailedError: no trial is complete.
    """
    given = {"space": space, "sampler": sampler, "evaluator": evaluator, "data": data, "executor": executor}
    objects = {name: part for name, part in given.items() if part is not None and not isinstance(part, (str, dict))}
    arguments: dict[str, Any] = {
        **{name: part for name, part in given.items() if isinstance(part, (str, dict))},
        **{name: {"use": _reference(part)} for name, part in objects.items()},
        "costs": _list(costs), "objectives": _list(objectives), "constraints": _list(constraints),
        "trials": trials, "time": time, "seed": seed, "device": device, "tracking": tracking, "storage": storage,
    }  # fmt: skip
    pairs = options.items() if hasattr(options, "items") else map(parse_assignment, options)
    layers = [
        read_toml(Path(config)) if config is not None else {},
        nest(dict(pairs)),
        {name: value for name, value in arguments.items() if value is not None},
    ]
    if time is not None and trials is None:
        layers.append({"trials": None})  # the preset's trials are no limit where time is the budget
    workshop = Workshop(Plugins(), objects)
    settings = workshop.settings(plugin, preset, layers)
    parts = workshop.assemble(settings)
    path = Path(out) if out is not None else new_run_path(Path("runs"), settings.plugin)
    run = RunFolder.create(path, settings)
    with run.locked():
        return _drive(Search(settings, parts, run), workshop, observers)


def resume(run: str | Path, *, trials: int | None = None, time: float | None = None,
           observers: Sequence[Any] = (), **objects: Any) -> SearchResult:  # fmt: skip
    """Go on with a search that was interrupted or killed, or that shall get a larger budget.

    Args:
        run: the run folder.
        trials, time: a new budget; default: the one it was begun with.
        observers: objects with life-cycle hooks.
        objects: parts that were given to :func:`search` as objects, under the same names.

    Returns:
        The same result as that of a search that was never interrupted.

    Raises:
        RunError: no run folder, or one that cannot be resumed; says why.
    """
    found, workshop = _open(Path(run), objects)
    with found.run.locked():
        changed = {name: value for name, value in (("trials", trials), ("time", time)) if value is not None}
        if changed:
            merged = SearchSettings(**{**found.settings.model_dump(), **changed})
            found.settings = merged
            write_settings(found.run, merged)
        return _drive(found, workshop, observers)


def open_run(run: str | Path, **objects: Any) -> SearchResult:
    """Read a run, finished or not, without changing it.

    Args:
        run: the run folder.
        objects: parts that were given to :func:`search` as objects.

    Raises:
        RunError: it is no run folder, or is damaged.
    """
    found, _ = _open(Path(run), objects)
    for trial in _store(found).load():
        found.history.add(trial)
    status = found.run.status()
    return SearchResult(found, status["state"], status["reason"], status["wall_seconds"])


def write_settings(run: RunFolder, settings: SearchSettings) -> None:
    """Replace ``search.toml``."""
    from nascore.settings import to_toml

    write_atomically(run.path / "search.toml", to_toml(settings).encode())


# ---------------------------------------------------------------------------------------- inside


def _open(path: Path, objects: Mapping[str, Any]) -> tuple[Search, Workshop]:
    run = RunFolder.open(path)
    settings = run.settings()
    for table in _OBJECTS:
        use = getattr(settings, table).get("use", "")
        if use.startswith("<") and table not in objects:
            raise RunError(
                f"The {table} of {path} was an object of a Python program: {use}. "
                f"Call nascore.resume({str(path)!r}, {table}=...) or open_run with it."
            )
    workshop = Workshop(Plugins(), objects)
    return Search(settings, workshop.assemble(settings), run), workshop


def _store(search: Search) -> TrialStore:
    storage = open_storage(search.settings.storage, search.run.path)
    return TrialStore(storage, search.run.path.name, search.space, search.objectives, search.parts.constraints)


def _drive(search: Search, workshop: Workshop, observers: Sequence[Any]) -> SearchResult:
    settings, run = search.settings, search.run
    store = _store(search)
    stored = store.load()
    search.stored = frozenset(trial.number for trial in stored)
    pruning = Pruning(make_pruner(settings.pruner), search.objectives[0]) if settings.pruner else None
    listeners = [plugin.module for plugin in workshop.plugins.load_all() if plugin.module is not None]
    lifecycle = Lifecycle([*listeners, *observers])
    executor = workshop.executor(settings)
    loop = TrialLoop(search, store, executor, lifecycle, pruning, run.status()["wall_seconds"])
    executor.start(settings.model_dump(mode="json"), Judge(search.parts, settings.device, run, loop.reported))
    state, reason = "failed", "it stopped with an error"
    with _threads(settings.threads):
        try:
            replay = loop.restore(stored, log.warning)
            search.adopt_artifacts()
            run.write_status(state="running", reason="")
            lifecycle.emit("search_started", search=search)
            try:
                reason = loop.run(replay)
                state = "finished"
                loop.save()
            except KeyboardInterrupt:
                state, reason = "interrupted", f"interrupted; `nascore resume {run.path}` goes on"
            result = SearchResult(search, state, reason, loop.wall_seconds)
            if state == "finished" and result.best is None:
                result.state, result.reason = "failed", _why_nothing(search)
            elif result.best is not None:
                _write_best(result)
            run.write_status(state=result.state, reason=result.reason, wall_seconds=loop.wall_seconds)
            lifecycle.emit("search_finished", search=search, result=result)
        except NascoreError as error:
            with contextlib.suppress(NascoreError):
                run.write_status(state="failed", reason=str(error), wall_seconds=loop.wall_seconds)
            raise
        finally:
            executor.close()
    if result.state == "failed":
        raise SearchFailedError(result.reason)
    return result


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
        text += f" The last failure, of trial {failed[-1].number}: {failed[-1].reason.strip().splitlines()[-1]}"
    return text


def _write_best(result: SearchResult) -> None:
    """``best/``: the architecture as JSON and, where they were kept, its weights."""
    best = result.trial()
    folder = result.folder / "best"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "architecture.json", json.dumps(best.summary(), indent=2).encode())
    weights = result.search.run.artifacts(best.number) / best.artifacts.get("weights", "weights")
    if weights.is_file():
        write_atomically(folder / "weights.safetensors", weights.read_bytes())


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
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


def _reference(part: Any) -> str:
    """How ``search.toml`` names an object from Python: importable where it can be, else in brackets."""
    name = getattr(part, "__qualname__", "")
    module = sys.modules.get(getattr(part, "__module__", "") or "")
    function = getattr(part, "function", None)  # a FunctionSpace stands for its function
    if not name and function is not None:
        return _reference(function)
    if name and "<" not in name and module is not None:
        file = getattr(module, "__file__", None)
        if module.__name__ == "__main__" or module.__name__.startswith("nascore_user_"):
            return f"{file}:{name}" if file else f"<{name}>"
        return f"{module.__name__}:{name}"
    return f"<{name or type(part).__name__}>"


def _list(value: Sequence[str] | None) -> list[str] | None:
    return None if value is None else [value] if isinstance(value, str) else list(value)
