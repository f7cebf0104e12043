"""``nascore plugins``: what is installed, what fits, and how to get more."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nascore.cli.common import Commands, example, json_option, print_json, say


@click.group(cls=Commands, epilog=example("nascore plugins show amoebanet"))
def plugins() -> None:
    """List, show, check, make and install plugins."""


@plugins.command("list", epilog=example("nascore plugins list --json"))
@json_option
def list_(as_json: bool) -> None:
    """List the installed plugins and what they offer."""
    from nascore.display import columns
    from nascore.plugins import KINDS, Plugins

    found = Plugins().load_all()
    if as_json:
        print_json([plugin.summary() for plugin in found])
        return
    if not found:
        click.echo("No plugin is installed. Get one: nascore plugins install amoebanet")
        return
    click.echo(columns([[p.name, p.distribution, p.version, "broken" if p.error else "ok"] for p in found]))
    for plugin in found:
        click.echo(f"\n{plugin.name}")
        if plugin.error:
            click.echo(f"  error: {plugin.error}")
        rows = [[KINDS[kind], ", ".join(part.name for part in parts)] for kind, parts in plugin.parts.items() if parts]
        if rows:
            click.echo(columns(rows, indent=2))


@plugins.command(epilog=example("nascore plugins show amoebanet", "nascore plugins show blocks:train"))
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a plugin, or one of its parts (PLUGIN:PART): options, defaults, paper, presets."""
    from nascore.cli.describe import describe, details
    from nascore.errors import PluginError, nearest
    from nascore.plugins import Plugins

    plugin_name, _, part_name = name.partition(":")
    plugin = Plugins().load(plugin_name)
    if plugin.error:
        raise PluginError(f"The plugin {plugin_name!r} ({plugin.distribution}) is broken: {plugin.error}")
    parts = {kind: [p for p in found if part_name in ("", p.name)] for kind, found in plugin.parts.items()}
    if part_name and not any(parts.values()):
        offered = {part.name for found in plugin.parts.values() for part in found}
        raise PluginError(f"The plugin {plugin_name!r} has no part {part_name!r}; {nearest(part_name, offered)}.")
    if as_json:
        offers = {kind: [details(part) for part in found] for kind, found in parts.items()}
        print_json({**plugin.summary(), "parts": offers})
        return
    click.echo(f"{plugin.name}, distribution {plugin.distribution} {plugin.version}")
    click.echo(describe(parts))


@plugins.command(epilog=example("nascore plugins check amoebanet"))
@click.argument("name")
@click.pass_context
def check(ctx: click.Context, name: str) -> None:
    """Check a plugin: every reference is imported, every part is of its contract, every preset is valid."""
    from nascore.doctor import check_plugin
    from nascore.plugins import Plugins

    checks = check_plugin(Plugins(), name)
    for one in checks:
        click.echo(f"{one.status:7}{one.name}: {one.detail}")
    if any(one.status == "broken" for one in checks):
        ctx.exit(1)
    click.echo("Its behaviour is checked by its own tests, with the kit in nascore.testing.")


@plugins.command(epilog=example("nascore plugins new my-method"))
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where; default: here.")
def new(name: str, folder: Path) -> None:
    """Write a new plugin that works: a sampler of your own, with its tests."""
    from nascore.cli.common import shown
    from nascore.testing import render_plugin

    path = render_plugin(name, folder)
    where = shown(path.absolute())
    click.echo(f"{where} is a working plugin. Next:")
    click.echo(f"  {Path(sys.executable).name} -m pip install -e {where}")
    click.echo(f"  {Path(sys.executable).name} -m pytest {where}")
    click.echo(f"  nascore plugins check {name}")


@plugins.command(epilog=example("nascore plugins matrix --fitting"))
@click.option("--fitting", is_flag=True, help="Only what fits.")
@json_option
def matrix(fitting: bool, as_json: bool) -> None:
    """Show which search spaces, samplers and evaluators fit together, and why others do not."""
    from nascore.cli.matrix import fits
    from nascore.display import columns
    from nascore.plugins import Plugins

    rows = [row for row in fits(Plugins()) if row["fits"] or not fitting]
    if as_json:
        print_json(rows)
        return
    head = ["space", "sampler", "evaluator", "fits"]
    table = [[row["space"], row["sampler"], row["evaluator"], "yes" if row["fits"] else row["reason"]] for row in rows]
    click.echo(columns([head, *table]))


@plugins.command(epilog=example("nascore plugins install amoebanet"))
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def install(ctx: click.Context, name: str, yes: bool) -> None:
    """Install a plugin with pip: NAME is a plugin, a distribution, a folder or a URL.

    Says first what would be installed, and from where.
    """
    import shlex
    import subprocess

    asked = requirement(name)
    for line in would_install(asked):
        say(line)
    command = [sys.executable, "-m", "pip", "install", asked]
    say(f"This runs: {shlex.join(command)}")
    if not yes and not click.confirm("Go on?", err=True):
        ctx.exit(1)
    ctx.exit(1 if subprocess.run(command, check=False).returncode else 0)


def would_install(asked: str) -> list[str]:
    """What pip would install, a line each, with the address of each file; nothing is installed or run.

    Args:
        asked: what pip is asked for. A folder or a URL is not looked into: to find out what it needs runs code in it.
    """
    import json
    import subprocess

    from nascore.tracking.events import without_password

    if any(sign in asked for sign in "/\\:"):
        return [f"It comes from {without_password(asked)}, with what it asks for; code in it runs while it is built."]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--only-binary",
        ":all:",
        "--report",
        "-",
    ]
    done = subprocess.run([*command, asked], check=False, capture_output=True, text=True)
    if done.returncode:
        why = done.stderr.strip().splitlines() or ["no reason given"]
        return [f"What would be installed is not known: {without_password(why[-1])}"]
    found = [
        (item["metadata"]["name"], item["metadata"]["version"], without_password(item["download_info"]["url"]))
        for item in json.loads(done.stdout)["install"]
    ]
    lines = [f"  {part} {version} from {address}" for part, version, address in found]
    return ["This would be installed:", *lines] if lines else [f"{asked} is installed, with all that it asks for."]


def requirement(name: str) -> str:
    """What pip is asked for: ``amoebanet`` -> ``nascore-amoebanet``; folders and URLs stay.

    Raises:
        PluginError: it looks like an option of pip.
    """
    from nascore.errors import PluginError

    if name.startswith("-"):
        raise PluginError(f"{name!r} is no plugin; write a name such as amoebanet.")
    if name.startswith("nascore") or any(sign in name for sign in "/\\:") or name.startswith("."):
        return name
    return f"nascore-{name}"
