"""From settings to parts: the method's record and preset, the user's layers, then the objects."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore import capabilities
from nascore.capabilities import Chosen
from nascore.contracts import CostModel, Dataset, Evaluator, Executor, Pruner, Sampler, SearchSpace, Splits
from nascore.decisions import FunctionSpace
from nascore.errors import PluginError, RunError, SettingsError, SpaceError, UsageError, nearest
from nascore.executors import BUILT_IN
from nascore.hooks import Method
from nascore.options import make
from nascore.plugins import KINDS, Plugins, resolve
from nascore.pruning import make_pruner, optuna_pruners
from nascore.records import Direction, Objective
from nascore.settings import PART_TABLES, SearchSettings, merge, nest, parse_constraint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nascore.contracts import Task
    from nascore.records import Constraint, Metric

USER_DATA = "user"
"""Name of the data-set part that wraps what a user's own reference or object gives."""

_HOOK = {
    "space": ("search_spaces", SearchSpace),
    "sampler": ("samplers", Sampler),
    "evaluator": ("evaluators", Evaluator),
    "data": ("datasets", Dataset),
    "executor": ("executors", Executor),
    "pruner": ("pruners", Pruner),
    "cost": ("cost_models", CostModel),
}
"""Table of the settings -> hook of the plugins, and contract."""


@dataclass
class Parts:
    """The parts of one search, made and set up."""

    space: SearchSpace
    sampler: Sampler
    evaluator: Evaluator
    data: Splits
    costs: dict[str, CostModel]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    pruner: Pruner | None = None
    """Not set up: :class:`nascore.pruning.Pruning` does that."""


def _anything(address: str) -> None:
    """Allow it."""


@dataclass
class Workshop:
    """Makes parts.

    Attributes:
        objects: parts given from Python, by table, which need no address.
        allow: asked before an address that is no plugin's is imported; raises where it must not be.
    """

    plugins: Plugins = field(default_factory=Plugins)
    objects: Mapping[str, Any] = field(default_factory=dict)
    allow: Callable[[str], None] = _anything

    # ------------------------------------------------------------------ settings

    def settings(self, plugin: str, preset: str, layers: Iterable[Mapping[str, Any]]) -> SearchSettings:
        """Resolve the settings of a search.

        Args:
            plugin: name of the method; empty: the method of the sampler's plugin, or the default one.
            preset: one of its presets; empty: ``quick`` where it has that.
            layers: the user's settings, the strongest last.

        Raises:
            UsageError: an unknown plugin, preset or setting; names the nearest.
        """
        given = [_checked(layer) for layer in layers]
        for layer in reversed(given):
            plugin = plugin or layer.get("plugin", "")
            preset = preset or layer.get("preset", "")
        given = [{key: value for key, value in layer.items() if key not in ("plugin", "preset")} for layer in given]
        address, method = self._method(plugin, given)
        chosen = preset or ("quick" if "quick" in method.presets else "")
        if chosen and chosen not in method.presets:
            raise UsageError(f"The method {method.name!r} has no preset {chosen!r}; {nearest(chosen, method.presets)}.")
        base: dict[str, Any] = {
            "plugin": plugin or address.partition(":")[0],
            "preset": chosen,
            "space": {"use": method.space},
            "sampler": {"use": method.sampler},
            "evaluator": {"use": method.evaluator},
            "data": {"use": method.data},
            "costs": list(method.costs),
        }
        return merge([base, nest(method.presets.get(chosen, {})), *map(self._named, given)])

    def _method(self, plugin: str, layers: list[dict[str, Any]]) -> tuple[str, Method]:
        if plugin:
            address, found = self.plugins.find("methods", plugin)
        else:
            uses = [layer.get("sampler", {}).get("use", "") for layer in layers]
            use = next(filter(None, reversed(uses)), "")
            methods = self.plugins.parts("methods")
            of_sampler = [a for a in methods if use and ":" in use and a.split(":")[0] == use.split(":")[0]]
            default = [a for a, method in methods.items() if isinstance(method, Method) and method.default]
            candidates = of_sampler or default or list(methods)
            if not candidates:
                raise PluginError("No method is installed; try: pip install nascore-amoebanet")
            address, found = candidates[0], methods[candidates[0]]
        assert isinstance(found, Method)  # find("methods") reads method records only
        return address, found

    def _named(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """The layer with every part's full address, so that layers and records compare."""
        out = dict(layer)
        for table in _HOOK:
            value = out.get(table)
            if table == "cost" or value is None:
                continue
            if "use" in value and table not in self.objects:
                out[table] = {**value, "use": self._locate(table, value["use"])[0]}
        return out

    def _locate(self, table: str, use: str) -> tuple[str, Any, tuple[Any, ...]]:
        """Find what ``use`` means: full address, factory or object, positional arguments."""
        hook = _HOOK[table][0]
        if (ours := self._no_plugins(table, use)) is not None:
            return ours
        head, _, tail = use.partition(":")
        if ".py:" in use or use.endswith(".py"):
            path, _, name = use.rpartition(":")
            if not path:
                raise SettingsError(f"{table} = {use!r}: say which object of the file: {use}:NAME.")
            return f"{Path(path)}:{name}", None, ()
        if tail and head not in self.plugins.names:
            known = [address.rpartition(":")[2] for address in self.plugins.parts(hook)]
            if head in known:  # a part with an argument: folder:./photos
                address, record = self.plugins.find(hook, head)
                return f"{address}:{tail}", resolve(record.factory), (tail,)  # type: ignore[union-attr] # no method here
            if self._importable(head):
                return use, None, ()
            near = nearest(head, [*self.plugins.names, *known])
            raise PluginError(
                f"There is no plugin, {KINDS[hook]} or module {head!r}; {near}. "
                f"If it is a plugin, `nascore plugins install nascore-{head}` may get it."
            )
        if tail.count(":") and head in self.plugins.names:  # blocks:folder:./photos
            part, _, argument = tail.partition(":")
            address, record = self.plugins.find(hook, f"{head}:{part}")
            return use, resolve(record.factory), (argument,)  # type: ignore[union-attr] # no method here
        address, record = self.plugins.find(hook, use)
        return address, resolve(record.factory), ()  # type: ignore[union-attr] # no method here

    def _no_plugins(self, table: str, name: str) -> tuple[str, Any, tuple[Any, ...]] | None:
        """What needs no plugin: a built-in executor, one of Optuna's pruners. None for what only a plugin can have.

        Raises:
            SettingsError: it is no address, and no plugin has it either; names them all.
        """
        own: Collection[str] = BUILT_IN if table == "executor" else optuna_pruners() if table == "pruner" else ()
        if name in own:
            return name, resolve(BUILT_IN[name]) if table == "executor" else None, ()
        known = [*own, *(address.rpartition(":")[2] for address in self.plugins.parts(_HOOK[table][0]))]
        if own and ":" not in name and not name.endswith(".py") and name not in known:
            raise SettingsError(f"There is no {table} {name!r}; {nearest(name, known)}.")
        return None

    @staticmethod
    def _importable(module: str) -> bool:
        import importlib.util

        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False

    # ------------------------------------------------------------------ parts

    def assemble(self, settings: SearchSettings) -> Parts:
        """Make all parts, check that they fit, load the data, set everything up.

        Raises:
            UsageError: an unknown part, option or objective, or parts that do not fit.
            DataError: the data cannot be used.
        """
        space = self._space(settings)
        sampler = self.part("sampler", settings.sampler)
        evaluator = self.part("evaluator", settings.evaluator)
        dataset = self.part("data", settings.data)
        pruner = make_pruner(settings.pruner, self) if settings.pruner else None
        constraints = tuple(parse_constraint(text) for text in settings.constraints)
        costs = self._costs(settings, [c.name for c in constraints], evaluator)
        capabilities.check(
            [
                Chosen("search space", space.name, space),
                Chosen("sampler", settings.sampler.get("use", type(sampler).__name__), sampler),
                Chosen("evaluator", settings.evaluator.get("use", type(evaluator).__name__), evaluator),
                Chosen("data set", settings.data.get("use", type(dataset).__name__), dataset),
                *(Chosen("cost model", address, cost) for address, cost in costs.items()),
                *([Chosen("pruner", settings.pruner.get("use", type(pruner).__name__), pruner)] if pruner else []),
            ],
            self.providers,
        )
        objectives = _objectives(settings.objectives, evaluator, costs)
        _check_constraints(constraints, evaluator, costs)
        data = dataset.load(settings.seed)
        space.setup(data.task)
        evaluator.setup(space, data.for_search())
        if pruner is not None:
            pruner.task = data.task
        sampler.constraints = constraints
        sampler.setup(space, objectives, settings.seed)
        return Parts(space, sampler, evaluator, data, costs, objectives, constraints, pruner)

    def space(self, settings: SearchSettings, task: Task) -> SearchSpace:
        """Make the search space alone, set up for the task."""
        space = self._space(settings)
        space.setup(task)
        return space

    def _space(self, settings: SearchSettings) -> SearchSpace:
        space: SearchSpace = self.part("space", settings.space)
        space.name = space.name or settings.space.get("use", type(space).__name__)
        return space

    def executor(self, settings: SearchSettings) -> Executor:
        """Make the executor."""
        executor: Executor = self.part("executor", settings.executor)
        return executor

    def own_code(self, settings: SearchSettings) -> list[str]:
        """The addresses in the settings that are no plugin's: files and modules of a user's own."""
        uses = [(table, getattr(settings, table).get("use", "")) for table in PART_TABLES]
        uses += [("cost", use) for use in settings.costs]
        own = []
        for table, use in uses:
            if not use or use.startswith("<") or (table == "pruner" and use in optuna_pruners()):
                continue
            address, found = (use, None) if table in self.objects else self._locate(table, use)[:2]
            if found is None:
                own.append(address)
        return own

    def part(self, table: str, settings: Mapping[str, Any]) -> Any:
        """Make one part.

        Args:
            table: ``space``, ``sampler``, ``evaluator``, ``data``, ``executor``, ``pruner`` (a plugin's) or ``cost``.
            settings: its address under ``use``, and its options.

        Raises:
            UsageError: an unknown part or option.
        """
        options = dict(settings)
        use = options.pop("use", "")
        if table in self.objects:
            return self._adopt(table, self.objects[table], options, use)
        if use.startswith("<"):
            raise RunError(
                f"The {table} of this run was an object of a Python program, {use}: "
                f"give it again, nascore.resume(RUN, {table}=...)."
            )
        if not use:
            raise SettingsError(f"No {table} is chosen: give --{table} NAME.")
        address, found, given = self._locate(table, use)
        if found is None:
            self.allow(address)
            return self._adopt(table, resolve(address), options, use)
        part = make(found, options, table, *given)
        if isinstance(part, SearchSpace):
            part.name = address
        return part

    def _adopt(self, table: str, found: Any, options: dict[str, Any], use: str) -> Any:
        """A part that a user wrote: an instance, a class, or what can be wrapped into one."""
        contract = _HOOK[table][1]
        if isinstance(found, contract):
            if options:
                raise SettingsError(f"{table}.{min(options)}: the object {use or found!r} takes no options any more.")
            return found
        if inspect.isclass(found) and issubclass(found, contract):
            return make(found, options, table)
        if table == "space" and callable(found):
            try:
                return FunctionSpace(found)
            except SpaceError as error:
                raise SettingsError(f"space = {use!r}: {error}") from error
        if table == "data":
            record = self.plugins.find("datasets", USER_DATA)[1]
            return make(resolve(record.factory), options, table, found)  # type: ignore[union-attr] # no method here
        raise SettingsError(f"{table} = {use!r} is {type(found).__name__}, not a {contract.__name__}.")

    def _costs(self, settings: SearchSettings, wanted: list[str], evaluator: Evaluator) -> dict[str, CostModel]:
        """The cost models that are named, and those that an objective or a constraint needs."""
        installed = self.plugins.parts("cost_models")
        known = {*settings.costs, *installed, *(address.rpartition(":")[2] for address in installed)}
        for name in settings.cost:
            if name not in known:
                raise SettingsError(f"cost.{name}: no cost model has this name; {nearest(name, known)}.")
        costs: dict[str, CostModel] = {}
        for use in settings.costs:
            address = self._locate("cost", use)[0]
            costs[address] = self.part("cost", {"use": address, **self._cost_options(settings, address)})
        for name in [*settings.objectives, *wanted]:
            if name in evaluator.objectives or any(name in cost.metrics for cost in costs.values()):
                continue
            for address, record in installed.items():
                if name in self._declared(record, "metrics"):
                    costs[address] = self.part("cost", {"use": address, **self._cost_options(settings, address)})
                    break
        return costs

    @staticmethod
    def _cost_options(settings: SearchSettings, address: str) -> dict[str, Any]:
        return settings.cost.get(address, settings.cost.get(address.rpartition(":")[2], {}))

    # ------------------------------------------------------------------ what fits

    def providers(self, word: str) -> list[str]:
        """What provides ``word`` among the installed parts."""
        found = []
        for hook in ("search_spaces", "samplers", "evaluators", "datasets"):
            for address, record in self.plugins.parts(hook).items():
                if word in self._declared(record, "provides"):
                    found.append(f"{KINDS[hook]} {address}")
        return found

    @staticmethod
    def _declared(record: Any, attribute: str) -> Any:
        """What a part's class declares; nothing where it cannot be imported: it harms no search without it."""
        try:
            return getattr(resolve(record.factory), attribute, ())
        except PluginError:
            return ()


def _checked(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The layer with a table for every part.

    Raises:
        SettingsError: a part is neither a name nor a table, or a name is no text.
    """
    out = dict(layer)
    for key in ("plugin", "preset"):
        if not isinstance(out.get(key, ""), str):
            raise SettingsError(f"{key} = {out[key]!r}: write the name of one.")
    for table in set(PART_TABLES).intersection(out):
        value = {"use": out[table]} if isinstance(out[table], str) else out[table]
        if value is None:
            del out[table]
            continue
        if not isinstance(value, dict) or not isinstance(value.get("use", ""), str):
            raise SettingsError(f"{table} = {out[table]!r}: write a name, or a table of options with use = NAME.")
        out[table] = value
    return out


def _objectives(names: list[str], evaluator: Evaluator, costs: Mapping[str, CostModel]) -> tuple[Objective, ...]:
    metrics = _metrics(evaluator, costs)
    names = names or list(evaluator.objectives)[:1]
    if not names:
        raise SettingsError("The evaluator declares no objective.")
    for name in names:
        if name not in metrics:
            raise SettingsError(f"There is no objective {name!r}; {nearest(name, metrics)}.")
    return tuple(Objective(name, Direction(metrics[name].direction)) for name in names)


def _check_constraints(constraints: Iterable[Constraint], evaluator: Evaluator, costs: Mapping[str, CostModel]) -> None:
    metrics = _metrics(evaluator, costs)
    for constraint in constraints:
        if constraint.name not in metrics:
            near = nearest(constraint.name, metrics)
            raise SettingsError(f"There is nothing to constrain called {constraint.name!r}; {near}.")
        if constraint.upper and constraint.limit < 0 and constraint.name not in evaluator.objectives:
            raise SettingsError(f"The constraint {str(constraint)!r} can never hold: a cost is not negative.")


def _metrics(evaluator: Evaluator, costs: Mapping[str, CostModel]) -> dict[str, Metric]:
    out = dict(evaluator.objectives)
    for cost in costs.values():
        out.update(cost.metrics)
    return out
