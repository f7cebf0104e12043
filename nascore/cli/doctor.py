"""``nascore doctor``."""

from __future__ import annotations

import click

from nascore.cli.common import example, json_option, print_json


@click.command(epilog=example("nascore doctor --tracking-uri http://localhost:5000"))
@click.option("--storage", default="journal", metavar="URL", help="The storage to try.")
@click.option("--tracking-uri", default="", metavar="URI", help="The MLflow server to try.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, storage: str, tracking_uri: str, as_json: bool) -> None:
    """Look whether all that a search needs is there and works. Exit status 1 if something is broken."""
    from nascore.doctor import BROKEN, examine

    checks = []
    for check in examine(storage, tracking_uri):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.status:7} {check.name}: {check.detail}")
    if as_json:
        print_json([check.to_json() for check in checks])
    if any(check.status == BROKEN for check in checks):
        ctx.exit(1)
