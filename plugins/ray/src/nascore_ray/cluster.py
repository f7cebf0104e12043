"""Getting at a Ray cluster: an existing one, or one that is begun on this machine and ends with the search."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from nascore.errors import PluginError, RunError, SettingsError
from nascore_ray.actors import read_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

log = logging.getLogger("nascore")

CONNECT_SECONDS = 5.0
"""A head that does not take a connection within this time is not there."""

LOOK_SECONDS = 60.0
"""A machine gets this long to say whether it sees the run folder."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray tells of its plans at each start
}


def load_ray() -> Any:
    """The module ``ray``, imported when it is needed.

    Raises:
        PluginError: it is not installed; says what to type.
    """
    try:
        with _own_signals():
            return importlib.import_module("ray")
    except ImportError as error:
        raise PluginError(
            f"The executor 'ray' needs the package ray, which cannot be imported ({error}): pip install 'ray>=2.40'"
        ) from error


def check_address(address: str) -> None:
    """Accept an empty address, ``auto`` and ``host:port``.

    Raises:
        SettingsError: something else.
    """
    if address in ("", "auto"):
        return
    if address.startswith("ray://"):
        raise SettingsError(
            f"executor.address is {address!r}, of a Ray client. Run nascore on a machine of the cluster, which sees "
            "the run folder, with --set executor.address=auto."
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise SettingsError(
            f"executor.address is {address!r}; write auto, HOST:PORT, or nothing for a cluster on this machine."
        )


@contextlib.contextmanager
def connected(address: str, workers: int, cpus: float, pip: Sequence[str]) -> Iterator[None]:
    """Be connected to Ray inside; a connection that is there already is used, and stays.

    Args:
        address: empty: begin a cluster on this machine (or take the one in ``RAY_ADDRESS``).
        workers: a cluster that is begun here has room for so many.
        cpus: of each.
        pip: packages of the runtime environment.

    Raises:
        RunError: no cluster answers there.
        SettingsError: an address or packages are given, and the process is connected already.
    """
    ray = load_ray()
    if ray.is_initialized():
        if address or pip:
            raise SettingsError(
                "Ray is connected already in this process, and that connection is used: leave executor.address and "
                "executor.pip out (give runtime_env to your own ray.init), or call ray.shutdown() before."
            )
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"address": where, "log_to_driver": False, "logging_level": logging.ERROR}
    if where == "local":
        options |= {"num_cpus": max(os.cpu_count() or 1, math.ceil(workers * cpus)), "include_dashboard": False}
    else:
        _knock(where)
    if pip:
        options["runtime_env"] = {"pip": list(pip)}
    with _muted():
        try:
            with _own_signals(), _environment(_QUIET):
                ray.init(**options)
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"Ray does not start at {where!r}: {error}") from error
        try:
            yield
        finally:
            with _own_signals():
                ray.shutdown()


def check_visible(folder: Path, cpus: float) -> None:
    """Ask every machine with room for a worker whether it sees the run folder.

    Args:
        folder: the run folder.
        cpus: of a worker.

    Raises:
        RunError: one does not; names it.
    """
    ray = load_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0, max_retries=0)(read_here)
    file = folder / "search.toml"
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= cpus]
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            str(file)
        ): node["NodeManagerAddress"]
        for node in nodes
    }
    if not asked:
        return
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
    if late:
        raise RunError(f"The Ray machine {asked[late[0]]} did not answer within {LOOK_SECONDS:g} s: see `ray status`.")
    wanted = file.read_bytes()
    blind = set()
    for ref in ready:
        try:
            if ray.get(ref) != wanted:
                blind.add(asked[ref])
        except ray.exceptions.RayError as error:  # noqa: PERF203 - the message names the machine
            raise RunError(
                f"The Ray machine {asked[ref]} cannot run nascore-ray: {last_line(error)} "
                "Install nascore and its plugins there in the same versions, or name them: "
                "--set 'executor.pip=[\"nascore-ray\", ...]'."
            ) from error
    if blind:
        raise RunError(
            f"The run folder {folder} is not visible on the Ray machines {', '.join(sorted(blind))}: artifacts of "
            "trials go there. Put it on a disk that all machines share: --out DIR."
        )


def last_line(error: BaseException) -> str:
    """What matters of one of Ray's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _knock(address: str) -> None:
    """Ray itself tries for minutes before it says that nobody is there.

    Raises:
        RunError: nobody is.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():  # auto: Ray looks into its own files, at once
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(
            f"No Ray cluster answers at {address} ({error.strerror or error}). Begin one with `ray start --head`, "
            "or leave executor.address out: then it runs on this machine."
        ) from error


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Ray's words on dead workers go to our log inside.

    Whatever ``log_to_driver`` is, Ray prints them on standard output, which is for the result (``--json``),
    and it has no public switch.
    """
    module, name = importlib.import_module("ray._private.worker"), "print_to_stdstream"
    printer = getattr(module, name, None)
    if printer is None:  # another version of Ray
        yield
        return
    setattr(module, name, lambda data, *_, **__: log.debug("Ray: %s", " ".join(data["lines"])))
    try:
        yield
    finally:
        setattr(module, name, printer)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables that are set inside, where they are not set anyway."""
    new = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in new})
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in place; ours, which ends a search in order, comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
