"""Training a found network to the end, on train and valid together, and testing it.

This is the one place where the test split is opened, once a seed. The evaluator does the work:
``retrain(architecture, splits, *, seed, device, report, ...)`` returns a :class:`~nascore.records.Measurement` with
the objective ``test_accuracy``, and the weights by name. Its further arguments are options of the training.
One that is named ``checkpoint`` gets a :class:`~nascore.checkpoint.TrainingCheckpoint`, from which a training that
was killed goes on.
"""

from __future__ import annotations

import inspect
import json
import shutil
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nascore._version import __version__
from nascore.checkpoint import TrainingCheckpoint, write_atomically
from nascore.devices import check_device
from nascore.driver import torch_threads
from nascore.errors import CapabilityError, RunError, SettingsError, nearest
from nascore.plugins import Plugins
from nascore.preference import chosen
from nascore.pricing import PricingContext, price_by_installed
from nascore.seeding import derive_seed
from nascore.tracking import add_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nascore.records import Trial
    from nascore.result import SearchResult

    Report = Callable[[int, int, Mapping[str, float]], None]

WEIGHTS = "weights.safetensors"
_RECORD = "measurement.json"
_SUMMARY = "result.json"
_CHECKPOINT = "checkpoint"
_OURS = frozenset({"architecture", "splits", "seed", "device", "report", "checkpoint"})
"""What the core passes to an evaluator's ``retrain``; every other argument is an option."""


@dataclass
class Retrained:
    """The outcome for one trial.

    Attributes:
        trial: number of the trial.
        folder: holds a folder ``seed-K`` for each seed, with weights and measurement.
        options: of the evaluator's ``retrain`` that were set for this training; the rest are its own.
        accuracies: on the test split, in [0, 1], one a seed.
        params, macs: of the network; None where nothing installed prices them.
        reused: how many of the seeds had been trained before.
    """

    trial: int
    folder: Path
    options: Mapping[str, Any]
    accuracies: list[float] = field(default_factory=list)
    params: float | None = None
    macs: float | None = None
    reused: int = 0

    def summary(self) -> dict[str, Any]:
        """What ``nascore retrain --json`` prints; ``std`` is the sample deviation, 0 for one seed."""
        several = len(self.accuracies) > 1
        return {
            "trial": self.trial,
            "test_accuracy": {
                "mean": statistics.fmean(self.accuracies),
                "std": statistics.stdev(self.accuracies) if several else 0.0,
                "seeds": len(self.accuracies),
                "values": self.accuracies,
            },
            "params": self.params,
            "macs": self.macs,
            "options": dict(self.options),
            "folder": str(self.folder),
        }


def retrain(
    result: SearchResult,
    number: int | None = None,
    *,
    prefer: Sequence[str] = (),
    seeds: int = 1,
    options: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Retrained:
    """Train a trial's architecture from scratch on train and valid, and test it, once a seed.

    A seed that was trained to the end before, with the same options, is read and not trained
    again: an interrupted call goes on where it was, and asking for more seeds costs only these.

    Args:
        result: of the search.
        number: of the trial; None: the best one.
        prefer: rules instead of a number, such as ``latency_ms<=2``; see :func:`nascore.preference.preferred`.
        seeds: how many independent trainings, at least 1.
        options: passed on to the evaluator's ``retrain``, such as a longer training.
        report: called as ``report(seed index, step, metrics)``.

    Raises:
        CapabilityError: the evaluator cannot retrain.
        RunError: no such trial, or the run folder cannot be written.
        SettingsError: an option that the evaluator does not take.
        UsageError: a number and rules, or a rule that means nothing.
    """
    if seeds < 1:
        raise SettingsError(f"seeds is {seeds}; it must be at least 1.")
    search = result.search
    evaluator = search.parts.evaluator
    if "retrain" not in evaluator.provides:
        raise CapabilityError(
            f"The evaluator {search.settings.evaluator.get('use')!r} cannot retrain: it does not provide 'retrain'."
        )
    _check_options(evaluator, options or {})
    trial = chosen(result, number, prefer)
    search.space.check(trial.architecture)
    check_device(search.settings.device)  # imports torch, so that its threads are set before the first training

    out = Retrained(trial.number, retrain_folder(result, trial.number), dict(options or {}))
    with torch_threads(search.settings.threads):
        for index in range(seeds):
            out.accuracies.append(_one_seed(result, trial, index, out, report))
    costs = _costs(result, trial)
    out.params, out.macs = costs.get("params"), costs.get("macs")
    file = out.folder / _SUMMARY
    write_atomically(file, json.dumps(out.summary(), indent=2).encode())
    add_metrics(result.folder, measured(result, trial.number), [file], step=trial.number)
    return out


def _check_options(evaluator: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that the evaluator's ``retrain`` does not take; one with ``**options`` checks them itself."""
    parameters = inspect.signature(evaluator.retrain).parameters.values()
    any_name = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    known = {p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD} - _OURS
    for name in options:
        if name in _OURS:
            allowed = "Allowed: the settings of its training" if any_name else nearest("", known)
            raise SettingsError(f"retrain.{name} is set by nascore itself and is no option. {allowed}.")
        if name not in known and not any_name:
            raise SettingsError(f"retrain.{name} is no option of {type(evaluator).__name__}; {nearest(name, known)}.")


def retrain_folder(result: SearchResult, number: int) -> Path:
    """Where the retrained networks of a trial lie; it may not exist."""
    return result.folder / "retrain" / f"{number:06d}"


def measured(result: SearchResult, number: int) -> dict[str, float]:
    """What MLflow is told of a retrained trial: the mean test accuracy, its spread where there are several seeds.

    Empty where the trial was not retrained, or what was kept of it is damaged.
    """
    try:
        found = json.loads((retrain_folder(result, number) / _SUMMARY).read_text())["test_accuracy"]
        mean, std, seeds = (float(found[name]) for name in ("mean", "std", "seeds"))
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return {}
    spread = {"test_accuracy_std": std} if seeds > 1 else {}
    return {"test_accuracy": mean, **spread, "test_accuracy_seeds": seeds}


def retrained_weights(result: SearchResult, number: int) -> Path | None:
    """The retrained weights of a trial, or None.

    They are those of the first seed: taking the one that tests best would choose on the test split.
    """
    path = retrain_folder(result, number) / "seed-0" / WEIGHTS
    return path if path.is_file() else None


def _one_seed(result: SearchResult, trial: Trial, index: int, out: Retrained, report: Report | None) -> float:
    """Train and test under one seed, or read what that gave before. The test accuracy."""
    from safetensors.torch import save_file

    folder = out.folder / f"seed-{index}"
    known = _read(folder)
    if known is not None and known["options"] == out.options and known["key"] == trial.architecture.key:
        out.reused += 1
        return float(known["objectives"]["test_accuracy"])
    search = result.search
    seed = derive_seed(search.settings.seed, "retrain", trial.number, index)
    evaluator: Any = search.parts.evaluator  # `retrain` is there by capability, not by contract

    def on_report(step: int, metrics: Mapping[str, float]) -> bool:
        if report is not None:
            report(index, step, metrics)
        return True

    identity = {"key": trial.architecture.key, "seed": seed, "options": dict(out.options), "version": __version__}
    more: dict[str, Any] = dict(out.options)
    if "checkpoint" in inspect.signature(evaluator.retrain).parameters:
        more["checkpoint"] = TrainingCheckpoint(folder / _CHECKPOINT, identity)
    measurement, weights = evaluator.retrain(
        trial.architecture,
        search.parts.data,
        seed=seed,
        device=search.settings.device,
        report=on_report,
        **more,
    )
    record = {
        "key": trial.architecture.key,
        "seed": seed,
        "options": dict(out.options),
        "objectives": dict(measurement.objectives),
        "metrics": dict(measurement.metrics),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _RECORD).unlink(missing_ok=True)  # that of another call must not stand beside these weights
        save_file(weights, folder / WEIGHTS)
        write_atomically(folder / _RECORD, json.dumps(record, indent=2).encode())
        shutil.rmtree(folder / _CHECKPOINT, ignore_errors=True)  # last: until here a kill costs nothing
    except OSError as error:
        raise RunError(f"Cannot write {folder}: {error.strerror or error}.") from error
    return float(measurement.objectives["test_accuracy"])


def _read(folder: Path) -> dict[str, Any] | None:
    """The record of an earlier training, or None where it is missing or damaged."""
    try:
        found = json.loads((folder / _RECORD).read_text())
        known = {"options", "key", "objectives"} <= set(found) and "test_accuracy" in found["objectives"]
    except (OSError, ValueError, TypeError):
        return None
    return found if known and (folder / WEIGHTS).is_file() else None


def _costs(result: SearchResult, trial: Trial) -> dict[str, float]:
    """``params`` and ``macs`` as the search priced them, or priced now."""
    search = result.search
    costs = dict(trial.costs)
    missing = [name for name in ("params", "macs") if name not in costs]
    context = PricingContext(search.parts.data, search.settings.device, search.settings.seed)
    costs.update(price_by_installed(Plugins(), missing, search.space, trial.architecture, context))
    return {name: cost.value for name, cost in costs.items()}
