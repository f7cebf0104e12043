"""Finding plugins and their parts: from installed metadata, one plugin at a time, by name.

A broken plugin is told with its distribution and its error, and harms nothing else.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import pluggy

from nascore.errors import PluginError, nearest
from nascore.hooks import Benchmark, Component, LifecycleHooks, Method, PartHooks

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP = "nascore"
Record = Union[Component, Method, Benchmark]
"""What a plugin's hooks return."""

KINDS = {
    "search_spaces": "search space",
    "samplers": "sampler",
    "evaluators": "evaluator",
    "cost_models": "cost model",
    "datasets": "data set",
    "executors": "executor",
    "pruners": "pruner",
    "methods": "method",
    "benchmarks": "benchmark",
}
"""Hook name without its prefix -> what people call it."""


@dataclass(frozen=True)
class Plugin:
    """One loaded plugin, or the reason why it could not be loaded."""

    name: str
    distribution: str
    version: str
    module: Any = None
    error: str = ""
    parts: dict[str, tuple[Record, ...]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What ``nascore plugins list --json`` prints."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "status": "broken" if self.error else "ok",
            "error": self.error or None,
            "parts": {kind: [part.name for part in self.parts.get(kind, ())] for kind in KINDS},
        }


class Plugins:
    """The installed plugins. Listing names reads metadata only; :meth:`load` imports one."""

    def __init__(self, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> None:
        """
        Args:
            entry_points: instead of the installed ones; for tests.
        """
        self._given = entry_points
        self._loaded: dict[str, Plugin] = {}

    @cached_property
    def _entry_points(self) -> dict[str, list[importlib.metadata.EntryPoint]]:
        found: dict[str, list[importlib.metadata.EntryPoint]] = {}
        points = importlib.metadata.entry_points(group=GROUP) if self._given is None else self._given
        for point in points:
            # The same distribution can be on the path twice (an editable install in its own folder).
            if all(_distribution(point) != _distribution(other) for other in found.get(point.name, [])):
                found.setdefault(point.name, []).append(point)
        return found

    @property
    def names(self) -> list[str]:
        """Names of the installed plugins, sorted."""
        return sorted(self._entry_points)

    def load(self, name: str) -> Plugin:
        """Import one plugin; what goes wrong stands in ``error``.

        Raises:
            PluginError: no plugin has this name.
        """
        if name not in self._entry_points:
            raise PluginError(
                f"There is no plugin {name!r}; {nearest(name, self.names)}. "
                f"If it is a package, `nascore plugins install nascore-{name}` may get it."
            )
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self._entry_points[name])
        return self._loaded[name]

    def _load(self, name: str, points: list[importlib.metadata.EntryPoint]) -> Plugin:
        distribution, version = _distribution(points[0])
        if len(points) > 1:
            owners = " and ".join(sorted(_distribution(point)[0] for point in points))
            return Plugin(
                name, owners, "", error=f"{owners} both claim the name {name!r}; uninstall one: pip uninstall PACKAGE"
            )
        try:
            module = points[0].load()
            parts = _read_parts(name, module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin can fail in any way and harms no other
            text = f"{type(error).__name__}: {error}"
            fix = f"pip install --force-reinstall {distribution}, or pip uninstall {distribution}"
            return Plugin(name, distribution, version, error=f"{text} (to mend it: {fix})")
        return Plugin(name, distribution, version, module, parts=parts)

    def load_all(self) -> list[Plugin]:
        """Every installed plugin, broken ones included."""
        return [self.load(name) for name in self.names]

    def parts(self, kind: str) -> dict[str, Record]:
        """Address (``plugin:part``) -> record, of every working plugin."""
        return {f"{plugin.name}:{part.name}": part for plugin in self.load_all() for part in plugin.parts.get(kind, ())}

    def find(self, kind: str, address: str) -> tuple[str, Record]:
        """Look a part up.

        Args:
            kind: a key of :data:`KINDS`.
            address: ``plugin:part``, or ``part`` alone where only one plugin has it (a plugin of
                the same name goes first).

        Returns:
            The full address and the record.

        Raises:
            PluginError: unknown, broken or ambiguous; names the nearest, or what claims it.
        """
        word = KINDS[kind]
        plugin_name, _, part_name = address.rpartition(":")
        if plugin_name:
            plugin = self._working(plugin_name)
            for part in plugin.parts.get(kind, ()):
                if part.name == part_name:
                    return f"{plugin_name}:{part_name}", part
            offered = [part.name for part in plugin.parts.get(kind, ())]
            raise PluginError(f"The plugin {plugin_name!r} has no {word} {part_name!r}; {nearest(part_name, offered)}.")
        if part_name in self.names:
            for part in self._working(part_name).parts.get(kind, ()):
                if part.name == part_name:
                    return f"{part_name}:{part_name}", part
        every = self.parts(kind)
        matches = [full for full in every if full.endswith(f":{part_name}")]
        if len(matches) > 1:
            raise PluginError(f"More than one plugin has a {word} {part_name!r}: say which: {', '.join(matches)}.")
        if not matches:
            broken = [p.name for p in self.load_all() if p.error]
            also = f" (broken, see `nascore plugins list`: {', '.join(broken)})" if broken else ""
            raise PluginError(f"There is no {word} {part_name!r}; {nearest(part_name, self._short(every))}.{also}")
        return matches[0], every[matches[0]]

    @staticmethod
    def _short(addresses: Iterable[str]) -> list[str]:
        """Part names alone where they are unique, full addresses where they are not."""
        addresses = list(addresses)
        tails = [address.rpartition(":")[2] for address in addresses]
        return [tail if tails.count(tail) == 1 else full for tail, full in zip(tails, addresses, strict=True)]

    def _working(self, name: str) -> Plugin:
        plugin = self.load(name)
        if plugin.error:
            raise PluginError(f"The plugin {name!r} ({plugin.distribution}) is broken: {plugin.error}")
        return plugin


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    dist = getattr(point, "dist", None)
    return (dist.name, dist.version) if dist is not None else ("(no distribution)", "")


def _read_parts(name: str, module: Any) -> dict[str, tuple[Record, ...]]:
    """Call the part hooks of one plugin, in a manager of its own so that its faults are its own."""
    manager = pluggy.PluginManager("nascore")
    manager.add_hookspecs(PartHooks)
    manager.add_hookspecs(LifecycleHooks)
    manager.register(module, name=name)
    _check_hooks(module)
    manager.check_pending()
    parts: dict[str, tuple[Record, ...]] = {}
    for kind in KINDS:
        answers = getattr(manager.hook, f"nascore_{kind}")()
        if not all(isinstance(answer, (list, tuple)) for answer in answers):
            raise PluginError(f"nascore_{kind} must return a list of records; got {answers[0]!r}")
        records: list[Any] = [record for answer in answers for record in answer]
        expected: type = {"methods": Method, "benchmarks": Benchmark}.get(kind, Component)
        for record in records:
            if not issubclass(type(record), expected):
                raise PluginError(f"nascore_{kind} must return {expected.__name__} records; got {record!r}")
            if not record.name or ":" in record.name:
                raise PluginError(f"nascore_{kind} gives the name {record.name!r}; a name is not empty and has no ':'")
        names = [record.name for record in records]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise PluginError(f"nascore_{kind} gives the name {twice[0]!r} twice")
        parts[kind] = tuple(records)
    return parts


def _check_hooks(module: Any) -> None:
    """Refuse what pluggy would pass over: a misspelt hook, and one without ``@hookimpl``.

    Raises:
        PluginError: names the hook and the nearest that exists.
    """
    known = [name for specs in (PartHooks, LifecycleHooks) for name in vars(specs) if name.startswith("nascore_")]
    for name, value in vars(module).items():
        marked = hasattr(value, "nascore_impl")
        if not (marked or (inspect.isfunction(value) and name.startswith("nascore_"))):
            continue
        if name not in known and not (marked and value.nascore_impl["optionalhook"]):
            raise PluginError(f"There is no hook {name!r}; {nearest(name, known)}.")
        if not marked:
            raise PluginError(f"The hook {name!r} is not marked: write @nascore.hookimpl above it.")


def resolve(reference: str) -> Any:
    """Import what ``reference`` names.

    Args:
        reference: ``package.module:attribute``, or ``path/to/file.py:attribute``.

    Raises:
        PluginError: no such module, file or attribute; an error of the module itself is chained.
    """
    where, _, attribute = reference.rpartition(":")
    if not where:
        raise PluginError(f"{reference!r} is no reference; write package.module:name or file.py:name.")
    try:
        module = _module_from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # a script may call sys.exit
        raise PluginError(f"Cannot import {where!r} for {reference!r}: {type(error).__name__}: {error}") from error
    found = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise PluginError(f"{where} has no {name!r}; {nearest(name, public)}.")
        found = getattr(found, name)
    return found


def _module_from_file(path: Path) -> Any:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise PluginError(f"There is no file {path}.")
    name = f"nascore_user_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that dataclasses and pickling inside the file find their module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
