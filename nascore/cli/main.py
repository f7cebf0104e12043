"""``nascore``: the commands, and how an error becomes a message and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from nascore import __version__
from nascore.cli.common import INTERRUPTED, Commands, color, say
from nascore.cli.compare import compare
from nascore.cli.device import device
from nascore.cli.doctor import doctor
from nascore.cli.plugins import plugins
from nascore.cli.report import report
from nascore.cli.results import export, retrain, track
from nascore.cli.runs import runs, show
from nascore.cli.search import resume, search
from nascore.cli.trust import trust
from nascore.display import printable
from nascore.errors import NascoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


_START = """\b
Start here:
  nascore search --plugin amoebanet     search on 1,797 real digits
  nascore plugins list                  what is installed
  nascore COMMAND --help                options and an example"""


@click.group(
    cls=Commands,
    epilog=_START,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Neural architecture search."""
    ctx.ensure_object(dict)["debug"] = debug
    ctx.color = color()


for command in (search, resume, runs, show, retrain, export, report, track, trust, compare, device, plugins, doctor):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        args: without the program's name; default: those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted.
    """
    state: dict[str, Any] = {}
    try:
        status = cli.main(
            args=None if args is None else list(args), prog_name="nascore", standalone_mode=False, obj=state
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `nascore show RUN | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NascoreError, OSError) as error:
        if state.get("debug"):
            traceback.print_exc()
        say(f"{click.style('error:', fg='red')} {printable(str(error))}")
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
