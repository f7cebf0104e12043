"""The events: plain JSON that holds all that MLflow is to know, so that it can be sent at any later time."""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import json
import platform
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

from nascore._version import __version__
from nascore.history import eligible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nascore.contracts import Round
    from nascore.driver import Search
    from nascore.records import Trial
    from nascore.result import SearchResult

    Event = dict[str, Any]

_GIT_SECONDS = 5.0
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


def without_password(text: str) -> str:
    """The same text, with what stands before the @ of an address taken out."""
    return _PASSWORD.sub("", text)


def started(search: Search, run_id: str, run_folder: Path) -> Event:
    """A search began, or was resumed.

    Args:
        search: the search.
        run_id: names this search for ever, in every MLflow store.
        run_folder: its name becomes the name of the run; ``search.toml`` in it is an artifact.
    """
    return {
        "event": "started",
        "time": time.time(),
        "run": run_id,
        "name": run_folder.name,
        "objectives": [[o.name, o.direction.value] for o in search.objectives],
        "params": flatten(search.settings.model_dump(mode="json")),
        "tags": {
            "nascore.plugin": search.plugin,
            "nascore.space": search.space.name,
            "nascore.seed": str(search.seed),
            "nascore.device": str(search.device),
            "nascore.data_fingerprint": search.data.task.fingerprint,
            "nascore.objectives": ", ".join(f"{o.name} ({o.direction.value})" for o in search.objectives),
            **_environment(),
        },
        "files": ["search.toml"],
    }


def trial_finished(trial: Trial) -> Event:
    """A trial ended, whatever its status."""
    return {
        "event": "trial",
        "number": trial.number,
        "status": trial.status.value,
        "eligible": eligible(trial),
        "architecture": trial.architecture.to_json(),
        "objectives": dict(trial.objectives),
        "costs": {name: cost.to_json() for name, cost in trial.costs.items()},
        "metrics": dict(trial.metrics),
        "reports": [[step, dict(metrics)] for step, metrics in trial.reports],
        "violations": dict(trial.violations),
        "fidelity": dict(trial.candidate.fidelity),
        "origin": trial.candidate.origin,
        "parent": trial.candidate.parent,
        "reused": trial.reused,
        "reason": trial.reason,
        "seed": trial.seed,
        "started": trial.started,
        "wall_seconds": trial.wall_seconds,
    }


def round_finished(number: int, done: Round) -> Event:
    """A round of shared training ended, before trial ``number`` is asked."""
    return {"event": "round", "time": time.time(), "number": number, "metrics": dict(done.metrics)}


def finished(result: SearchResult) -> Event:
    """The search ended."""
    best = result.best
    return {
        "event": "finished",
        "time": time.time(),
        "status": result.state,
        "counts": result.counts,
        "best": best.summary() if best is not None else None,
        "front": [trial.summary() for trial in result.pareto_front],
        "metrics": {} if result.hypervolume is None else {"hypervolume": result.hypervolume},
        "files": ["search.toml", "best/architecture.json", "pictures"],
    }


def artifacts(files: list[str], metrics: Mapping[str, float] | None = None, step: int = 0) -> Event:
    """What belongs to the parent run and came after the search: files of the run folder, and metrics at a step."""
    more = {"metrics": dict(metrics), "step": step} if metrics else {}
    return {"event": "artifacts", "time": time.time(), "files": files, **more}


def flatten(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """``{"sampler": {"size": 5}}`` -> ``{"sampler.size": "5"}``; what is unset or empty is left out."""
    out: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            out |= flatten(value, f"{above}{key}.")
        elif value not in (None, "", []):
            out[above + key] = without_password(value if isinstance(value, str) else json.dumps(value))
    return out


def _environment() -> dict[str, str]:
    """Who ran what, with which versions; what cannot be found out is left out."""
    tags = {"nascore.version": __version__, "nascore.version.python": platform.python_version()}
    tags |= {"mlflow.source.name": "nascore", "mlflow.source.type": "LOCAL"}
    for package in ("torch", "optuna", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            tags[f"nascore.version.{package}"] = importlib.metadata.version(package)
    with contextlib.suppress(KeyError, OSError, ImportError):  # an account without a name, as in some containers
        tags["mlflow.user"] = getpass.getuser()
    commit = _git_commit()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return tags


def _git_commit() -> str:
    """The commit of the repository we work in; "" outside of one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
