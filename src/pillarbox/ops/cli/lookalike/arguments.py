"""How RabbitMQ's tools read their command line: options anywhere, before and after the command.

Source: `rabbitmqctl help`, and RabbitMQ 3.10.8 as measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_USER = 67
EXIT_UNAVAILABLE = 69
EXIT_SOFTWARE = 70
EXIT_TEMPORARY = 75
"""Of sysexits.h, as the real ones use them."""


class ToolError(Exception):
    """What goes to standard error, and the exit code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class UsageError(Exception):
    """The command line is wrong; the usage of the command follows the sentence."""

    def __init__(self, text: str, status: int = EXIT_USAGE) -> None:
        super().__init__(text)
        self.status = status


VALUED = {
    "-n": "node", "--node": "node",
    "-t": "timeout", "--timeout": "timeout",
    "-p": "vhost", "--vhost": "vhost",
    "--formatter": "formatter", "--printer": "printer",
    "--erlang-cookie": "cookie", "--script-name": "script_name",
}  # fmt: skip
"""Options with a value that every command takes."""

FLAGS = {
    "-q": "quiet", "--quiet": "quiet",
    "-s": "silent", "--silent": "silent",
    "-l": "longnames", "--longnames": "longnames",
    "-?": "help", "--help": "help",
    "--no-table-headers": "no_table_headers",
    "--print-stacktrace": "stacktrace",
    "--dry-run": "dry_run",
}  # fmt: skip
"""Those without one."""


class Words(NamedTuple):
    """A command line, taken apart. `unknown`: options that mean nothing to the command."""

    arguments: list[str]
    options: dict[str, str]
    unknown: list[str]


def split(words: Sequence[str], valued: dict[str, str], flags: dict[str, str]) -> Words:
    """Tell arguments and options apart; `valued` and `flags`: those of the command, beside everybody's."""
    valued, flags = {**VALUED, **valued}, {**FLAGS, **flags}
    found = Words([], {}, [])
    rest: Iterator[str] = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            found.arguments.extend(rest)
        elif name in valued:
            found.options[valued[name]] = value if equals else next(rest, "")
        elif word in flags:
            found.options[flags[word]] = "true"
        elif word.startswith("-") and word != "-":
            found.unknown.append(word)
        else:
            found.arguments.append(word)
    return found
