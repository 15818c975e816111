"""The `pillarbox` command: one module per subcommand, each imported only when it is used.

Purpose: give operators and container tools words, one clear line for every error, and exit codes that mean
something. Not here: anything that a broker does.

Main types: `COMMANDS`, the table of subcommands; `main`, the boundary at which every error becomes one line
on standard error. One flow: `main` → click finds the row → the row's module is imported → its `command`
runs and returns the exit code. To add a subcommand: one module with a click command named `command`, one
row in `SECTIONS`, one section in `docs/operations.md` or `docs/command-line.md` (a test demands it). What
only calls the management API is a row in `operations` instead.

Invariants: exit 0 means done, 1 that it could not be done, 2 that the command line or the configuration
was wrong, 69 that no broker answers, 130 interrupted. Standard output carries answers, standard error
everything else. No traceback is shown unless PILLARBOX_LOG_LEVEL is `debug`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple, cast

import click

from pillarbox import __version__
from pillarbox.errors import PillarboxError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


class Section(NamedTuple):
    """Subcommands that the help shows together, each with its line. `module` makes all of them, by its
    function `command_named`; without one, each has a module of its own name, and there is its `command`.
    """

    title: str
    commands: Mapping[str, str]
    module: str = ""


TOOLS = {
    "rabbitmqctl": "Like RabbitMQ's rabbitmqctl.",
    "rabbitmq-diagnostics": "Like rabbitmq-diagnostics: health checks.",
    "rabbitmq-queues": "Like rabbitmq-queues.",
    "rabbitmq-streams": "Like rabbitmq-streams: super streams.",
    "rabbitmq-plugins": "Like rabbitmq-plugins.",
}

SECTIONS = (
    Section(
        "Commands for a broker on this machine",
        {
            "serve": "Run a broker.",
            "ping": "Ask a running broker whether it answers: a health check.",
            "check": "Verify a data folder that no broker is using.",
            "backup": "Copy a data folder, also one that a broker is using.",
        },
    ),
    Section(
        "Commands for a running broker, over its management API",
        {
            "overview": "What runs here, and how much of everything there is.",
            "queues": "Queues: list, declare, delete, purge, and why one is as it is.",
            "super-streams": "Super streams, each several streams under one name: list, declare, delete.",
            "exchanges": "Exchanges: list, declare, delete.",
            "bindings": "Bindings of queues and exchanges to exchanges.",
            "messages": "Messages: publish one, look at some, move them to another queue.",
            "connections": "Connections of clients: list and close.",
            "channels": "Channels of clients.",
            "consumers": "Consumers of queues.",
            "vhosts": "Virtual hosts: list, add, delete, protect.",
            "users": "Users: list, add, delete, passwords and tags.",
            "permissions": "Who may configure, write and read what.",
            "topic-permissions": "Who may use which routing keys.",
            "policies": "Policies: settings for all queues or exchanges of some names.",
            "operator-policies": "Policies of the operator, which limit the others.",
            "vhost-limits": "Limits of virtual hosts.",
            "user-limits": "Limits of users.",
            "parameters": "Runtime parameters of virtual hosts.",
            "shovels": "Shovels, which move messages between brokers: what they do.",
            "global-parameters": "Runtime parameters of the whole broker.",
            "topics": "Kafka's topics: list, create, alter, delete, and a look at their records.",
            "groups": "Groups of Kafka's consumers: their lag and why, resets, deletion.",
            "destinations": "Queues and topics in the words of ActiveMQ: list, show, send to one.",
            "subscribers": "Who is subscribed to topics, or was and will be again.",
            "scheduled": "Messages that wait for their time.",
            "definitions": "Everything that is defined, as a file: export and import.",
            "health": "Health checks, one question each.",
            "nodes": "Nodes, and what takes their memory.",
            "cluster-name": "The name that clients are told.",
            "whoami": "As whom you are logged in.",
            "api": "Any request of the management API.",
        },
        "operate",
    ),
    Section("RabbitMQ's own commands, for scripts that call them", TOOLS, "lookalike.tool"),
    Section(
        "Commands that go on",
        {"monitor": "Watch queues, topics or groups in a live table; queues of any RabbitMQ, too."},
    ),
    Section(
        "Commands for shells and scripts",
        {
            "completion": "What a shell needs to complete commands and names.",
            "install-shims": "RabbitMQ's commands under their own names.",
        },
    ),
)
COMMANDS = {name: help for section in SECTIONS for name, help in section.commands.items()}

HELP_WIDTH = 100
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}


class Commands(click.Group):
    """A group that knows its subcommands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        shared = next((section.module for section in SECTIONS if cmd_name in section.commands), "")
        module = importlib.import_module(f"{__name__}.{shared or cmd_name.replace('-', '_')}")
        return cast(click.Command, module.command_named(cmd_name) if shared else module.command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else '"pillarbox --help" lists all.'
            raise click.UsageError(f"No such command '{args[0]}'. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            with formatter.section(section.title):
                formatter.write_dl(list(section.commands.items()))


@click.pass_context
def explain(ctx: click.Context) -> None:
    """What a group does by itself: it tells what is in it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.group(cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, prog_name="pillarbox", message="%(prog)s %(version)s")
def root() -> None:
    """Pillarbox: one message broker that unmodified RabbitMQ, Kafka, MQTT and STOMP clients talk to.

    "pillarbox COMMAND --help" explains a command and all its options.
    """
    explain()


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
