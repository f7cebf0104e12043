"""``nascore search --dry-run``: the resolved settings, what would be built, and what it would take."""

from __future__ import annotations

import random
import statistics
import time as clock
from typing import TYPE_CHECKING, Any

import click

from nascore.cli.common import print_json, say
from nascore.contracts import Dataset, Evaluator, Splits, Task
from nascore.devices import check_search_device
from nascore.display import columns, duration, number
from nascore.errors import DataError, SettingsError, SpaceError
from nascore.options import options_of
from nascore.parts import Workshop
from nascore.pricing import PricingContext, price, price_by_installed
from nascore.seeding import derive_seed, isolated_random
from nascore.settings import nest, parse_constraint, read_toml, to_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nascore.parts import Parts
    from nascore.records import Architecture, Cost
    from nascore.settings import SearchSettings

SAMPLES = 8
"""Architectures that are drawn and priced."""

_MACS_A_BATCH = 2e9
"""A batch for timing is as large as this allows: a second or so on one core."""


def preview(
    plugin: str,
    preset: str,
    config: Path | None,
    options: Mapping[str, Any],
    trials: int | None,
    time: float | None,
    as_json: bool,
) -> None:
    """Print what a search with these arguments would do; see :func:`nascore.api.search`."""
    budget: dict[str, Any] = {name: value for name, value in (("trials", trials), ("time", time)) if value is not None}
    if time is not None:
        budget.setdefault("trials", None)
    workshop = Workshop()
    settings = workshop.settings(plugin, preset, [read_toml(config) if config else {}, nest(options), budget])
    parts, missing = _assemble(workshop, settings, as_json)
    out = {"settings": settings.model_dump(mode="json", exclude_none=True), "missing": missing or None}
    out |= _sizes(workshop, _on_a_device_here(settings, parts), parts)
    print_json(out) if as_json else _print(settings, out)


def _on_a_device_here(settings: SearchSettings, parts: Parts) -> SearchSettings:
    """The settings with a device that is here: a preset for a GPU can be looked at without one."""
    try:
        check_search_device(settings, parts)
    except SettingsError as error:
        say(f"warning: {error} Measured on cpu instead.")
        return settings.model_copy(update={"device": "cpu"})
    return settings


class _Outline(Dataset):
    """Stands for data that is not here: its task, and splits that have a length only."""

    def __init__(self, dataset: Any, task: Task, examples: int) -> None:
        self.provides = dataset.provides  # type: ignore[misc] # what this instance stands for
        self._splits = Splits(task, range(examples), range(examples), [])  # a valid split must not seem too small

    def load(self, seed: int) -> Splits:
        return self._splits


def _assemble(workshop: Workshop, settings: SearchSettings, as_json: bool) -> tuple[Parts, str]:
    """The parts, and why the data is not here.

    Where the data cannot be loaded, its ``outline()`` may give its task and the size of its train split
    all the same: a preset for a large data set can be looked at without it.
    """
    try:
        return workshop.assemble(settings), ""
    except DataError as error:
        dataset = workshop.part("data", settings.data)
        try:
            outline = dataset.outline()
        except DataError:
            if not as_json:
                click.echo(to_toml(settings))
            raise DataError(f"The settings are valid, but sizes need the data: {error}") from error
        workshop.objects = {**workshop.objects, "data": _Outline(dataset, *outline)}
        bare = settings.model_copy(update={"data": {"use": settings.data.get("use", "")}})
        return workshop.assemble(bare), str(error)


def _sizes(workshop: Workshop, settings: SearchSettings, parts: Parts) -> dict[str, Any]:
    drawn, costs = _drawn_and_priced(workshop, settings, parts)
    return {
        "task": {
            "name": parts.data.task.name,
            "shape": list(parts.data.task.shape),
            "classes": parts.data.task.classes,
        },
        "sampled": [
            {"architecture": architecture.to_json(), "costs": {name: cost.to_json() for name, cost in found.items()}}
            for architecture, found in zip(drawn, costs, strict=True)
        ],
        "shared": _shared_sizes(parts),
        "constraints": {text: _share(text, costs) for text in settings.constraints},
        "estimate": _estimate(settings, parts, drawn[0], costs[0]),
    }


def _shared_sizes(parts: Parts) -> dict[str, Any] | None:
    """Costs of what the evaluator trains for all candidates together, such as a supernet; None: nothing.

    An evaluator says it by a method ``sizes()``, which gives costs by name, and computes nothing.
    """
    sizes = getattr(parts.evaluator, "sizes", None)
    return {name: cost.to_json() for name, cost in sizes().items()} if sizes is not None else None


def _drawn_and_priced(
    workshop: Workshop, settings: SearchSettings, parts: Parts
) -> tuple[list[Architecture], list[dict[str, Cost]]]:
    """Architectures drawn at random, and their costs; those that cannot be built are told and left out.

    Raises:
        SpaceError: none can be built.
    """
    seed = derive_seed(settings.seed, "preview")
    context = PricingContext(parts.data, settings.device, seed)
    drawn, costs, problem = [], [], ""
    for index in range(SAMPLES):
        architecture = _draw(settings, parts, index)
        try:
            with isolated_random(seed):
                found = price(parts.costs.values(), parts.space, architecture, context)
                missing = [name for name in ("params", "macs") if name not in found]
                found.update(price_by_installed(workshop.plugins, missing, parts.space, architecture, context))
        except Exception as error:  # noqa: BLE001 - the network can fail in any way; in a search its trial fails
            problem = f"{type(error).__name__}: {error}"
            continue
        drawn.append(architecture)
        costs.append(found)
    if not drawn:
        raise SpaceError(f"None of {SAMPLES} architectures drawn at random can be built. The last: {problem}")
    if problem:
        say(f"warning: {SAMPLES - len(drawn)} of {SAMPLES} drawn architectures fail. The last: {problem}")
    return drawn, costs


def _draw(settings: SearchSettings, parts: Parts, index: int) -> Architecture:
    rng = random.Random(derive_seed(settings.seed, "preview", index))
    architecture = parts.space.sample(lambda _, options: rng.choice(options))
    parts.space.check(architecture)
    return architecture


def _share(text: str, costs: list[dict[str, Cost]]) -> float | None:
    """The share of the drawn architectures that meet a constraint; None where it is no cost."""
    constraint = parse_constraint(text)
    held = [constraint.violation(found[constraint.name].value) <= 0 for found in costs if constraint.name in found]
    return sum(held) / len(held) if held else None


def _estimate(
    settings: SearchSettings, parts: Parts, architecture: Architecture, costs: Mapping[str, Cost]
) -> dict[str, Any] | None:
    """Seconds of the whole search if every trial trained this architecture from scratch; None: unknown.

    examples of the train split x epochs x trials x seconds an example, forward and backward, as
    measured here with random inputs.
    """
    evaluator = parts.evaluator
    epochs = _epochs(settings, evaluator)
    shared = type(evaluator).prepare is not Evaluator.prepare
    if shared or epochs is None or "module" not in parts.space.provides or "macs" not in costs:
        return None
    examples = len(parts.data.train)
    seconds = _seconds_an_example(settings, parts, architecture, costs["macs"].value)
    out: dict[str, Any] = {
        "seconds_an_example": seconds,
        "device": settings.device,
        "examples": examples,
        "epochs": epochs,
        "seconds_a_trial": seconds * examples * epochs,
        "training_macs_a_trial": 3 * costs["macs"].value * examples * epochs,
    }
    if settings.trials is not None:
        out["seconds"] = out["seconds_a_trial"] * settings.trials
    return out


def _epochs(settings: SearchSettings, evaluator: Evaluator) -> float | None:
    """How often a trial sees the train split, where the evaluator has an option of that name."""
    defaults = {option.name: option.default for option in options_of(type(evaluator))}
    value = settings.evaluator.get("epochs", defaults.get("epochs"))
    return float(value) if isinstance(value, (int, float)) else None


def _seconds_an_example(settings: SearchSettings, parts: Parts, architecture: Architecture, macs: float) -> float:
    import torch

    task = parts.data.task
    batch = int(min(64, max(2, _MACS_A_BATCH / max(macs, 1.0))))
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with isolated_random(derive_seed(settings.seed, "preview")):
            network = parts.space.build(architecture, task).to(settings.device).train()
            inputs = torch.zeros(batch, *task.shape, device=settings.device)
            times = []
            for _ in range(4):
                start = clock.perf_counter()
                network(inputs).sum().backward()
                if inputs.is_cuda:
                    torch.cuda.synchronize(inputs.device)
                times.append(clock.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return statistics.median(times[1:]) / batch


def _print(settings: SearchSettings, out: Mapping[str, Any]) -> None:
    click.echo(to_toml(settings))
    task = out["task"]
    if out["missing"]:
        click.echo(f"# The data is not here; sizes are from its description. {out['missing']}")
    click.echo(f"# task {task['name']}: inputs {tuple(task['shape'])}, {task['classes']} classes")
    click.echo(f"# {len(out['sampled'])} architectures drawn at random:")
    rows = [["#", "", "least", "median", "most"]]
    for name in out["sampled"][0]["costs"]:
        found = sorted(one["costs"][name]["value"] for one in out["sampled"] if name in one["costs"])
        rows.append(["#", name, number(found[0]), number(statistics.median(found)), number(found[-1])])
    click.echo(columns(rows))
    if out["shared"]:
        each = ", ".join(f"{number(cost['value'])} {name}" for name, cost in out["shared"].items())
        click.echo(f"# All of them share one network: {each}")
    for text, share in out["constraints"].items():
        if share is not None:
            click.echo(f"# {share:.0%} of them meet {text}")
    estimate = out["estimate"]
    if estimate is None:
        click.echo("# No estimate of the time: the evaluator does not train each network by itself.")
        return
    example = f"{estimate['seconds_an_example'] * 1e3:.3g} ms an example on {estimate['device']}, forward and backward"
    times = f"x {estimate['examples']} examples x {estimate['epochs']:g} epochs"
    trial = f"{duration(estimate['seconds_a_trial'])}, {number(estimate['training_macs_a_trial'])} multiply-accumulates"
    click.echo(f"# A trial of the first of them: {trial}\n#   ({example}, {times})")
    if "seconds" in estimate:
        total = duration(estimate["seconds"])
        click.echo(f"# Estimate for {settings.trials} trials: {total}, validation and costs not counted")
