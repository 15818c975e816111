"""From the command line of one of RabbitMQ's tools to its output and exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import click

from pillarbox.errors import PillarboxError
from pillarbox.ops.api_client import TIMEOUT_S, ApiError, Unreachable
from pillarbox.ops.cli import COMMANDS, CONTEXT
from pillarbox.ops.cli.connecting import connect, vhost_of
from pillarbox.ops.cli.lookalike.arguments import (
    EXIT_SOFTWARE,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    ToolError,
    UsageError,
    Words,
    split,
)
from pillarbox.ops.cli.lookalike.commands import TOOLS
from pillarbox.ops.cli.lookalike.formatting import FORMATTERS, TABLE, Message, Table, message, table
from pillarbox.ops.cli.lookalike.run import Command, Run


def run_tool(tool: str, words: Sequence[str]) -> int:
    """Run one command line of a tool; return its exit code."""
    commands = TOOLS[tool]
    name = next((word for word in split(words, {}, {}).arguments if word in commands), "")
    command = commands.get(name)
    taken = split(words, dict(command.valued) if command else {}, dict(command.flags) if command else {})
    asked = taken.arguments[0] if taken.arguments else ""
    if "--version" in taken.unknown and "version" in commands:
        command, taken = commands["version"], taken._replace(arguments=["version"], unknown=[])
    elif asked == "help" or "help" in taken.options or not asked:
        return _help(tool, taken.arguments)
    elif command is None or asked != name:
        print(f"\nCommand '{asked}' not found.{_instead(tool, asked)}", file=sys.stderr)
        return EXIT_USAGE
    try:
        return _run(command, taken)
    except UsageError as error:
        given = " ".join(words)
        usage = f"{tool} [--node <node>] [--longnames] [--quiet] {command.name} {command.usage}".rstrip()
        sentence = f"Error (argument validation): {error}\nArguments given:\n\t{given}"
        print(f"{sentence}\n\n\x1b[1mUsage\x1b[0m\n\n{usage}", file=sys.stderr)
        return error.status
    except ToolError as error:
        print(error.text, file=sys.stderr)
        return error.status
    except click.UsageError as error:
        print(f"Error:\n{error.format_message()}", file=sys.stderr)
        return EXIT_USAGE
    except Unreachable as error:
        print(f"Error: unable to perform an operation on the node: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except ApiError as error:
        print(f"Error:\n{error.reason}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except PillarboxError as error:
        print(f"Error:\n{error}", file=sys.stderr)
        return EXIT_SOFTWARE


def _run(command: Command, taken: Words) -> int:
    if taken.unknown:
        raise UsageError(
            "Invalid options for this command:\n" + "\n".join(f"{one} : " for one in taken.unknown)
        )
    named, rest = command.named(taken.arguments[1:])
    options = taken.options
    formatter = options.get("formatter", TABLE)
    if formatter not in FORMATTERS:
        raise UsageError(f"--formatter {formatter} is not one of {', '.join(FORMATTERS)}")
    words = {**named, "vhost": vhost_of({"vhost": options.get("vhost")})}
    if "priority" in command.valued.values():
        words["priority"] = options.get("priority", "0")
        if not words["priority"].lstrip("-").isdigit():
            raise UsageError(f"--priority {words['priority']} is no number")
    with connect({}, timeout_s=_timeout_s(options), asks=command.needs_account) as api:
        run = Run(api, words, rest, options)
        if command.validate:
            command.validate(run)
        # What goes to standard output instead of a file is a document, and nothing else.
        if command.banner and not run.is_quiet and named.get("file") != "-":
            print(command.banner.format_map(_Banner(run)), flush=True)
        if "dry_run" in options:
            return 0
        for check in command.checks:
            check(run)
        answer = command.do(run)
    headers = not {"silent", "no_table_headers"} & set(options)
    if isinstance(answer, Table):
        answer = table(answer, formatter, headers)
    elif isinstance(answer, Message):
        answer = message(answer, formatter)
    sys.stdout.write(answer or "")
    return 0


class _Banner(dict[str, str]):
    """What a banner may name; what has to be asked for is asked for when it is named."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.words)
        self._run = run

    def __missing__(self, name: str) -> str:
        run = self._run
        options = run.options
        if name == "node":
            return run.node
        if name == "rest":
            return ", ".join(run.rest)
        if name == "timeout":
            return str(_timeout_s(options))
        if name == "conditions":
            given = [word for word in ("empty", "unused") if f"if-{word}" in options]
            return " if queue is " + " and ".join(given) if given else ""
        if name == "whose_vhost":
            return "all vhosts" if "global" in options else f'vhost "{run.words["vhost"]}"'
        if name == "whose_user":
            user = options.get("user")
            return f'user "{user}"' if user else "all users"
        raise KeyError(name)


def _timeout_s(options: Mapping[str, str]) -> float:
    try:
        found = float(options.get("timeout") or TIMEOUT_S)
    except ValueError:
        raise UsageError(f"--timeout {options['timeout']} is no number") from None
    return found if 0 < found < float("inf") else TIMEOUT_S


def _instead(tool: str, asked: str) -> str:
    others = [other for other, commands in TOOLS.items() if asked in commands]
    if others:
        return f" It is a command of {', '.join(others)}."
    import difflib

    close = difflib.get_close_matches(asked, TOOLS[tool], n=1)
    return f" Did you mean '{close[0]}'?" if close else f' "{tool} help" lists those that Pillarbox has.'


def _help(tool: str, arguments: Sequence[str]) -> int:
    wanted = [TOOLS[tool][word] for word in arguments if word in TOOLS[tool]]
    print("\n\x1b[1mUsage\x1b[0m\n")
    for command in wanted or TOOLS[tool].values():
        print(f"{tool} {command.name} {command.usage}".rstrip())
    return 0 if wanted or arguments else EXIT_USAGE


def command_named(name: str) -> click.Command:
    """The subcommand that hands its whole command line to a tool."""

    def callback(words: tuple[str, ...]) -> int:
        return run_tool(name, words)

    words = click.Argument(["words"], metavar="COMMAND [ARGS]...", nargs=-1, type=click.UNPROCESSED)
    settings = {**CONTEXT, "ignore_unknown_options": True, "allow_interspersed_args": False}
    listed = ", ".join(TOOLS[name])
    return click.Command(
        name,
        context_settings=settings,
        callback=callback,
        params=[words],
        help=f"{COMMANDS[name]} The account comes from PILLARBOX_USER and PILLARBOX_PASSWORD, or the "
        f"variables of RabbitMQ's image; the address from PILLARBOX_URL.\n\nCommands: {listed}.",
    )
