"""``nascore device``: measuring this device once, so that costs can be looked up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from nascore.cli.common import Commands, example, json_option, print_json, say, show_warnings
from nascore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.parts import Workshop

_COST = "device:table"
_TABLES = ("space", "data", "cost")


def _cost_options(command: Any) -> Any:
    """Add the options that say which cost model keeps the profile, and the options of parts."""
    for option in (
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE",
            help="An option of a part: space.X, data.X, or cost.X (cost.threads=2, cost.folder=DIR). Repeatable.",
        ),
        click.option("--cost", default=_COST, show_default=True, help="The cost model that learns the device."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(cls=Commands, epilog=example("nascore device profile --space blocks:nasnet --data digits"))
def device() -> None:
    """Measure this device, and show what is known of it."""


@device.command(epilog=example("nascore device profile --space blocks:nasnet --data digits"))
@click.option("--space", required=True, help="The search space whose networks are measured.")
@click.option("--data", required=True, help="The data set; it says how large an input is.")
@click.option("--networks", type=click.IntRange(min=1), default=40, show_default=True, help="How many.")
@click.option("--predictor", is_flag=True, help="Tell how well the learned predictor does too.")
@click.option("--device", "name", default="cpu", show_default=True, help="A torch device.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the networks.")
@click.option("--quiet", is_flag=True, help="No progress.")
@_cost_options
@json_option
def profile(
    space: str, data: str, networks: int, predictor: bool, name: str, seed: int, quiet: bool,
    settings: tuple[str, ...], cost: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure random networks of a space and each of their layers on this device, once, and keep that.

    `--cost device:table` and `--cost device:predictor` of a search then price without measuring.
    """
    from nascore.devices import check_device
    from nascore.parts import Workshop
    from nascore.pricing import PricingContext

    show_warnings()
    check_device(name)
    workshop, options = Workshop(), _options(settings)
    model = _model(workshop, cost, options["cost"])
    splits = workshop.part("data", {"use": data, **options["data"]}).load(seed)
    made = workshop.part("space", {"use": space, **options["space"]})
    made.name = made.name or space
    made.setup(splits.task)
    progress = _progress(quiet or as_json)
    told = model.profile(made, PricingContext(splits, name, seed), networks, progress)
    progress("")
    if not predictor:
        told.get("errors", {}).pop("predictor", None)
    if as_json:
        print_json(told)
        return
    click.echo(f"profile: {told['file']}")
    _print_place(told["place"], told)


@device.command(epilog=example("nascore device show"))
@_cost_options
@json_option
def show(settings: tuple[str, ...], cost: str, as_json: bool) -> None:
    """Print the profiles that are kept: of which device each is, and what it knows."""
    from nascore.parts import Workshop

    model = _model(Workshop(), cost, _options(settings)["cost"])
    profiles = model.describe()
    if as_json:
        print_json(profiles)
        return
    if not profiles:
        say(f"no profile in {model.folder} yet; type: nascore device profile --space SPACE --data DATA")
    for found in profiles:
        click.echo(f"{found['file']}{'  (this device)' if found.get('this_device') else ''}")
        if "error" in found:
            click.echo(f"  cannot be used: {found['error']}")
            continue
        click.echo("  " + ", ".join(f"{key} {value}" for key, value in found["fingerprint"].items()))
        click.echo(f"  {found['layers']} layers")
        for place, told in found["places"].items():
            _print_place(place, told)


def _options(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Options by part.

    Raises:
        UsageError: an option of something that is not here.
    """
    from nascore.settings import parse_assignment

    found: dict[str, dict[str, Any]] = {table: {} for table in _TABLES}
    for text in settings:
        key, value = parse_assignment(text)
        table, _, option = key.partition(".")
        if table not in found or not option:
            raise UsageError(f"--set {text}: write space.OPTION=VALUE, data.OPTION=VALUE or cost.OPTION=VALUE.")
        found[table][option] = value
    return found


def _model(workshop: Workshop, cost: str, options: Mapping[str, Any]) -> Any:
    """The cost model.

    Raises:
        UsageError: it is not installed, or keeps no profile.
    """
    if cost == _COST and "device" not in workshop.plugins.names:
        raise UsageError("Profiles of devices are kept by nascore-device; type: nascore plugins install nascore-device")
    model = workshop.part("cost", {"use": cost, **options})
    if not (hasattr(model, "profile") and hasattr(model, "describe")):
        raise UsageError(f"The cost model {cost!r} keeps no profile of a device; {_COST!r} does.")
    return model


def _progress(quiet: bool) -> Any:
    """What is told while measuring: on a terminal one line, written over and over."""
    if quiet or not sys.stderr.isatty():
        return lambda text: None
    return lambda text: click.echo(f"\r\033[K{text}", nl=False, err=True)


def _print_place(place: str, told: Mapping[str, Any]) -> None:
    took = told["latency_ms"]
    click.echo(
        f"  {place}: {told['networks']} networks, "
        f"{took['least']:.3g} to {took['most']:.3g} ms, median {took['median']:.3g}"
    )
    if "correction" in told:
        law = told["correction"]
        click.echo(
            f"    latency = {law['constant']:.3g} ms + {law['factor']:.3g} x sum + {law['per_layer']:.3g} ms x layers"
        )
    for name, scores in told.get("errors", {}).items():
        click.echo(
            f"    {name}: rank correlation {scores['spearman']:.3f}, mean error {scores['error']:.1%} (cross-validated)"
        )
