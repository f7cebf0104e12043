"""``nascore trust``: accept what a run folder from elsewhere names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nascore.cli.common import example, run_argument, say, tell

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=example("nascore trust runs/from-a-friend"))
@run_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def trust(run: Path, yes: bool) -> None:
    """Accept the code and the storage that a run from elsewhere names.

    A run may name a Python file or module of its author's, which resuming, exporting or reporting it would
    run. Those of your own searches on this machine are known.
    """
    from nascore import ownership
    from nascore.parts import Workshop
    from nascore.run import RunFolder

    folder = RunFolder.open(run)
    names = ownership.named(folder.settings(), Workshop())
    if not names:
        say("it names nothing but plugins and its own files: there is nothing to trust")
        return
    for name in names:
        tell(name)
    if not yes:
        click.confirm("Look at these files first: they will be run. Trust them?", abort=True, err=True)
    ownership.seal(folder, names)
    say("trusted")
