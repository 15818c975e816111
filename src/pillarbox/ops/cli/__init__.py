"""The `pillarbox` command: one module per subcommand, each imported only when it is used.

Purpose: give operators and container tools words, one clear line for every error, and exit codes that mean
something. Not here: anything that a broker does.

Main types: `COMMANDS`, the table of subcommands; `main`, the boundary at which every error becomes one line
on standard error. One flow: `main` → click finds the row → the row's module is imported → its `command`
runs and returns the exit code. To add a subcommand: one module with a click command named `command`, one
row in `COMMANDS`, one paragraph in `docs/operations.md` (a test demands it).

Invariants: exit 0 means done, 1 that it could not be done, 2 that the command line or the configuration
was wrong, 130 interrupted. Standard output carries answers, standard error everything else. No traceback
is shown unless PILLARBOX_LOG_LEVEL is `debug`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import cast

import click

from pillarbox import __version__
from pillarbox.errors import PillarboxError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""

COMMANDS = {
    "serve": "Run a broker.",
    "ping": "Ask a running broker whether it answers: a health check.",
    "check": "Verify a data folder that no broker is using.",
    "backup": "Copy a data folder, also one that a broker is using.",
    "monitor": "Watch queues in a live table, of Pillarbox or of any RabbitMQ.",
}

HELP_WIDTH = 100
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}


class Commands(click.Group):
    """A group that knows its subcommands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        return cast(click.Command, module.command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, prog_name="pillarbox", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Pillarbox: one message broker that unmodified RabbitMQ clients talk to.

    "pillarbox COMMAND --help" explains a command and all its options.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        status = root.main(arguments, prog_name="pillarbox", standalone_mode=False)
    except click.UsageError as error:
        return _failed(error.format_message(), EXIT_USAGE)
    except click.ClickException as error:
        return _failed(error.format_message(), EXIT_FAILED)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; a usual exit would try to flush to them once more, and complain.
        os._exit(EXIT_FAILED)
    except PillarboxError as error:
        return _failed(str(error), getattr(error, "exit_code", EXIT_FAILED))
    except Exception as error:
        if os.environ.get("PILLARBOX_LOG_LEVEL") == "debug":
            raise
        return _failed(
            f"internal error, {type(error).__name__}: {error} (PILLARBOX_LOG_LEVEL=debug shows where)",
            EXIT_FAILED,
        )
    return status if isinstance(status, int) else 0


def _failed(sentence: str, status: int) -> int:
    click.echo(f"pillarbox: {' '.join(sentence.split())}", err=True)
    return status
