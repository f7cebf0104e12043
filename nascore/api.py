"""``nascore.search`` and ``nascore.resume``: what the command line calls too."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore import ownership
from nascore.devices import check_search_device
from nascore.driver import Search, drive, facts_of
from nascore.errors import RunError
from nascore.executors import choose_executor, with_workers
from nascore.parts import Workshop
from nascore.plugins import Plugins
from nascore.result import SearchResult
from nascore.run import RunFolder, new_run_path
from nascore.settings import merge, nest, parse_assignment, read_toml
from nascore.storage import JOURNAL, MEMORY, anchored
from nascore.versions import check_versions, note_versions, versions_of
from nascore.worker import refuse_in_worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

log = logging.getLogger("nascore")


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
    workers: int | None = None,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
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
        workers: trials at a time, each in a process of its own on this machine; 1 is this process. With
            another executor, its option ``workers``.
        trial_timeout: seconds, more than 0, after which a trial FAILs.
        trial_memory: MiB, more than 0, that the process of a trial may hold before the trial FAILs.
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
    refuse_in_worker()
    given = {"space": space, "sampler": sampler, "evaluator": evaluator, "data": data, "executor": executor}
    objects = {name: part for name, part in given.items() if part is not None and not isinstance(part, (str, dict))}
    arguments: dict[str, Any] = {
        **{name: {"use": part} if isinstance(part, str) else part
           for name, part in given.items() if isinstance(part, (str, dict))},
        **{name: {"use": _reference(part)} for name, part in objects.items()},
        "costs": _list(costs), "objectives": _list(objectives), "constraints": _list(constraints),
        "trials": trials, "time": time, "trial_timeout": trial_timeout, "trial_memory": trial_memory,
        "seed": seed, "device": device, "tracking": tracking, "storage": storage,
    }  # fmt: skip
    pairs = options.items() if hasattr(options, "items") else map(parse_assignment, options)
    chosen = nest(dict(pairs))
    for name, value in arguments.items():
        if value is None:
            continue
        if isinstance(value, dict) and isinstance(chosen.get(name), dict):  # sampler="x", options={"sampler.size": 1}
            value = {**chosen[name], **value}
        chosen[name] = value
    if time is not None and trials is None:
        chosen.setdefault("trials", None)  # the preset's trials are no limit where time is the budget
    layers = [read_toml(Path(config)) if config is not None else {}, chosen]
    workshop = Workshop(Plugins(), objects)
    settings = workshop.settings(plugin, preset, layers)
    if workers is not None:
        settings = workshop.settings(plugin, preset, [*layers, {"executor": with_workers(settings.executor, workers)}])
    settings.storage = anchored(settings.storage)
    parts = workshop.assemble(settings)
    check_search_device(settings, parts)
    choose_executor(workshop, settings, parts)  # one that does not fit is told before there is a run folder
    path = Path(out) if out is not None else new_run_path(Path("runs"), settings.plugin)
    versions = versions_of(settings, workshop.plugins)
    run = RunFolder.create(path, settings, {**facts_of(path.name, parts), "versions": versions})
    try:
        ownership.seal(run, ownership.named(settings, workshop))
    except RunError as error:  # a home that cannot be written: the search itself needs no seal
        log.warning("%s Until then this run can be shown, but not gone on with.", error)
    begun = Search(settings, run, workshop)
    begun.parts = parts
    with run.locked():
        return drive(begun, observers)


def resume(run: str | Path, *, trials: int | None = None, time: float | None = None,
           workers: int | None = None, trial_timeout: float | None = None, trial_memory: float | None = None,
           force: bool = False, observers: Sequence[Any] = (), **objects: Any) -> SearchResult:  # fmt: skip
    """Go on with a search that was interrupted or killed, or that shall get a larger budget.

    Args:
        run: the run folder.
        trials, time: a new budget; default: the one it was begun with.
        workers, trial_timeout, trial_memory: see :func:`search`; default: as it was begun.
        force: go on although the version of a plugin is another one now.
        observers: objects with life-cycle hooks.
        objects: parts that were given to :func:`search` as objects, under the same names.

    Returns:
        The same result as that of a search that was never interrupted.

    Raises:
        RunError: no run folder, or one that cannot be resumed; says why.
    """
    refuse_in_worker()
    found = _open(Path(run), objects)
    limits = {"trials": trials, "time": time, "trial_timeout": trial_timeout, "trial_memory": trial_memory}
    changed: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    if workers is not None:
        changed["executor"] = with_workers(found.settings.executor, workers)
    if changed:
        found.settings = merge([found.settings.model_dump(), changed])
    check_versions(found.run, found.settings, found.workshop.plugins, force)
    check_search_device(found.settings, found.parts)
    choose_executor(found.workshop, found.settings, found.parts)  # before anything is changed
    with found.run.locked():
        if changed:
            found.run.write_settings(found.settings)
        if force:
            note_versions(found.run, found.settings, found.workshop.plugins)
        return drive(found, observers)


def open_run(run: str | Path, **objects: Any) -> SearchResult:
    """Read a run, finished or not, without changing it.

    Args:
        run: the run folder.
        objects: parts that were given to :func:`search` as objects.

    Raises:
        RunError: it is no run folder, or is damaged.
    """
    found = _open(Path(run), objects)
    store = found.store(write=False)
    for trial in store.load():
        found.history.add(trial)
    store.close()
    status = found.run.status()
    if status["best"] is not None and status["best"] not in found.history:
        log.warning(
            "The storage %r of %s does not hold trial %d, which was the best: the storage was cut, or is another one.",
            found.settings.storage, run, status["best"],
        )  # fmt: skip
    return SearchResult(found, status)


# ---------------------------------------------------------------------------------------- inside


def _open(path: Path, objects: Mapping[str, Any]) -> Search:
    run = RunFolder.open(path)
    settings = run.settings()
    if settings.storage not in (JOURNAL, MEMORY):
        ownership.check(run, settings.storage)
    return Search(settings, run, Workshop(Plugins(), objects, partial(ownership.check, run)))


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
