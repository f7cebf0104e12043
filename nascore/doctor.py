"""Looks whether everything that a search needs is there and works."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore._version import __version__
from nascore.errors import NascoreError
from nascore.hooks import Benchmark, Component, Method
from nascore.plugins import KINDS, Plugins, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK, ABSENT, BROKEN = "ok", "absent", "broken"

_DISK_LEAST = 1.0
"""Free space in GiB below which a search may not be able to store its trials."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: ``ok``; ``absent`` (not there, and not needed); ``broken``.
        detail: what was found; where it is not ok, what to do.
    """

    name: str
    status: str
    detail: str

    def to_json(self) -> dict[str, str]:
        """As plain JSON."""
        return asdict(self)


def examine(storage: str = "journal", tracking: str = "", folder: Path | None = None) -> Iterator[Check]:
    """Look at everything, the quick things first.

    Args:
        storage: a storage URL, as in the settings.
        tracking: an MLflow URI; empty: MLFLOW_TRACKING_URI, or a file beside the runs.
        folder: where runs are written; default ``runs``.
    """
    folder = folder if folder is not None else Path("runs")
    yield Check("nascore", OK, __version__)
    yield Check("python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _disk(folder)
    yield _torch()
    plugins = Plugins()
    for name in plugins.names:
        yield _together(name, check_plugin(plugins, name))
    yield from _datasets(plugins)
    yield _storage(storage)
    yield _tracking(tracking)


# ---------------------------------------------------------------------------------------- plugins


def check_plugin(plugins: Plugins, name: str) -> list[Check]:
    """Import every part of a plugin, and hold it against its contract.

    Raises:
        PluginError: no plugin has this name.
    """
    from nascore.parts import Workshop

    plugin = plugins.load(name)
    if plugin.error:
        return [Check(f"plugin {name}", BROKEN, plugin.error)]
    checks = []
    for kind, parts in plugin.parts.items():
        for part in parts:
            title = f"{KINDS[kind]} {name}:{part.name}"
            try:
                if isinstance(part, Method):
                    detail = _check_method(Workshop(plugins), f"{name}:{part.name}", part)
                elif isinstance(part, Benchmark):
                    detail = _check_benchmark(Workshop(plugins), part)
                else:
                    detail = _check_component(kind, part)
                checks.append(Check(title, OK, detail))
            except Exception as error:  # noqa: BLE001 - a plugin can fail in any way, and it is told
                text = str(error) if isinstance(error, NascoreError) else f"{type(error).__name__}: {error}"
                checks.append(Check(title, BROKEN, text))
    return checks or [Check(f"plugin {name}", OK, "it offers no parts, only life-cycle hooks")]


def _check_component(kind: str, part: Component) -> str:
    from nascore.options import options_of

    factory = resolve(part.factory)
    contract = _contracts()[kind]
    if inspect.isclass(factory) and not issubclass(factory, contract):
        raise NascoreError(f"{part.factory} is no subclass of nascore.{contract.__name__}.")
    if not callable(factory):
        raise NascoreError(f"{part.factory} is not callable: it must make the part.")
    missing = sorted(getattr(factory, "__abstractmethods__", ()))
    if missing:
        raise NascoreError(f"{part.factory} does not define {', '.join(missing)}.")
    options = options_of(factory)
    untyped = [option.name for option in options if not option.type]
    if untyped:
        raise NascoreError(f"{part.factory}: these options have no type: {', '.join(untyped)}.")
    return f"{len(options)} options"


def _check_method(workshop: Any, address: str, method: Method) -> str:
    """Every part of every preset is found; no data is loaded."""
    for table in ("space", "sampler", "evaluator", "data"):
        workshop._locate(table, getattr(method, table))
    for cost in method.costs:
        workshop.plugins.find("cost_models", cost)
    for preset in method.presets:
        settings = workshop.settings(address, preset, [])
        for table in ("space", "sampler", "evaluator", "data"):
            workshop.part(table, getattr(settings, table))
    return f"presets {', '.join(method.presets) or 'none'}"


def _check_benchmark(workshop: Any, benchmark: Benchmark) -> str:
    """Every part is found and takes the settings; no data is loaded."""
    for table in ("space", "evaluator", "data"):
        workshop.part(table, {"use": getattr(benchmark, table), **benchmark.settings.get(table, {})})
    return benchmark.summary


def _contracts() -> dict[str, type]:
    from nascore import contracts

    return {
        "search_spaces": contracts.SearchSpace,
        "samplers": contracts.Sampler,
        "evaluators": contracts.Evaluator,
        "cost_models": contracts.CostModel,
        "datasets": contracts.Dataset,
        "executors": contracts.Executor,
        "pruners": contracts.Pruner,
    }


def _together(name: str, checks: list[Check]) -> Check:
    broken = [check for check in checks if check.status == BROKEN]
    if broken:
        return Check(f"plugin {name}", BROKEN, "; ".join(f"{check.name}: {check.detail}" for check in broken))
    return Check(f"plugin {name}", OK, f"{len(checks)} parts")


# ---------------------------------------------------------------------------------------- the rest


def _packages() -> Iterator[Check]:
    """The packages that the core needs."""
    needed = [re.split(r"[<>=!~;\[ ]", text)[0] for text in importlib.metadata.requires("nascore") or ()
              if "extra ==" not in text and "python_version" not in text]  # fmt: skip
    found = importlib.metadata.distributions()
    installed = {str(one.metadata["Name"]).lower().replace("_", "-"): one.version for one in found}
    for package in sorted(needed):
        version = installed.get(package)
        yield Check(package, OK, version) if version else Check(package, BROKEN, f"missing: pip install {package}")


def _disk(folder: Path) -> Iterator[Check]:
    """Free space, and whether run folders can be made."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    try:
        free = shutil.disk_usage(place).free / 2**30
        status = OK if free >= _DISK_LEAST else BROKEN
        yield Check("disk", status, f"{free:.1f} GiB free" + ("" if status == OK else "; make room"))
        with tempfile.TemporaryDirectory(dir=place):
            pass
        yield Check("run folder", OK, f"{folder} can be written")
    except OSError as error:
        yield Check("run folder", BROKEN, f"{folder} cannot be written: {error.strerror}; --out names another place")


def _torch() -> Check:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken build fails in many ways
        return Check("torch", BROKEN, f"{type(error).__name__}: {error}; pip install torch")
    devices = ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"{cores} cores, {torch.get_num_threads()} threads"
    return Check("torch", OK, f"{torch.__version__} ({build}); devices: {', '.join(devices)}; {threads}")


def _datasets(plugins: Plugins) -> Iterator[Check]:
    """Load every data set that can be made without an argument."""
    from nascore.options import make, options_of

    for address, record in plugins.parts("datasets").items():
        try:
            factory = resolve(record.factory)  # type: ignore[union-attr] # data sets are components
            if any(option.required for option in options_of(factory)):
                continue
            task = make(factory, {}, "data").load(0).task
            yield Check(f"data {address}", OK, f"inputs {tuple(task.shape)}, {task.classes} classes")
        except NascoreError as error:
            yield Check(f"data {address}", ABSENT, str(error))
        except Exception as error:  # noqa: BLE001 - a data set can fail in any way, and it is told
            yield Check(f"data {address}", BROKEN, f"{type(error).__name__}: {error}")


def _storage(url: str) -> Check:
    """Open the storage; the default one in a folder that is thrown away."""
    from nascore.store import open_storage

    try:
        with tempfile.TemporaryDirectory() as folder:
            open_storage(url, Path(folder)).get_all_studies()
    except NascoreError as error:
        return Check("storage", BROKEN, str(error))
    except Exception as error:  # noqa: BLE001 - a database driver can fail in any way
        return Check("storage", BROKEN, f"{url}: {type(error).__name__}: {error}")
    return Check("storage", OK, url)


def _tracking(uri: str) -> Check:
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return Check("tracking", OK, uri or "a file beside the runs")
    return _ask(uri)


def _ask(uri: str, opener: Callable[..., Any] = urllib.request.urlopen) -> Check:
    """Ask a tracking server whether it is well."""
    fix = "start it, or search on: what cannot be sent is kept and sent later"
    try:
        with opener(f"{uri.rstrip('/')}/health", timeout=5) as answer:
            return Check("tracking", OK, f"{uri} answers ({answer.status})")
    except (OSError, ValueError, urllib.error.URLError) as error:
        return Check("tracking", BROKEN, f"{uri} does not answer ({error}); {fix}")
