"""`rabbitmq-streams`: super streams (R84).

Words and codes are those of RabbitMQ 3.10.8 as measured; newer ones call the routing keys `--binding-keys`,
which is taken as well.
"""

from __future__ import annotations

import re
from typing import Any

from pillarbox.config_values import parse_size
from pillarbox.ops.api_client import ApiError
from pillarbox.ops.cli.lookalike.arguments import EXIT_SOFTWARE, ToolError, UsageError
from pillarbox.ops.cli.lookalike.run import Command, Run

PARTITIONS = "3"
"""Unless it is said."""
LOCATORS = ("client-local", "balanced", "random", "least-leaders")
_ONE = "/stream/super-streams/{vhost}/{name}"

_DURATION = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)
_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1)


def seconds_of(duration: str) -> int:
    """An ISO 8601 duration such as P5DT8H, in seconds. Raises ValueError."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(duration)
    return sum(int(count or 0) * seconds for count, seconds in zip(match.groups(), _SECONDS, strict=True))


def _size(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError:
        raise UsageError(f"'Invalid value for {option}, valid example values: 100gb, 50mb'") from None


def _age(option: str, text: str) -> str:
    try:
        return f"{seconds_of(text)}s"
    except ValueError:
        raise UsageError(
            f"'Invalid value for {option}, the value must a ISO 8601 duration, e.g. e.g. PT10M30S for 10 "
            "minutes 30 seconds, P5DT8H for 5 days 8 hours.'"
        ) from None


def _locator(option: str, text: str) -> str:
    if text not in LOCATORS:
        raise UsageError(f"'Invalid value for {option}, valid values are client-local, balanced.'")
    return text


def _cluster_size(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"'Invalid value for {option}, the value must be positive.'")
    return int(text)


ARGUMENTS = {
    "--stream-max-segment-size-bytes": ("x-stream-max-segment-size-bytes", _size),
    "--max-age": ("x-max-age", _age),
    "--max-length-bytes": ("x-max-length-bytes", _size),
    "--leader-locator": ("x-queue-leader-locator", _locator),
    "--initial-cluster-size": ("x-initial-cluster-size", _cluster_size),
}
"""Option → the argument of each stream, and what reads it."""


def _keys(run: Run) -> str | None:
    return run.options.get("binding_keys", run.options.get("routing_keys"))


def _partitions(run: Run) -> int:
    text = run.options.get("partitions", PARTITIONS)
    if not text.removeprefix("-").isdecimal():
        raise UsageError(f"Invalid options for this command:\n--partitions : {text}")
    if int(text) < 1:
        raise UsageError("'The partition number must be greater than 0'")
    return int(text)


def _body(run: Run) -> dict[str, Any]:
    """What is to be made. Raises UsageError."""
    keys = _keys(run)
    if keys is not None and "partitions" in run.options:
        raise UsageError("'Specify --partitions or routing-keys, not both.'")
    arguments = {
        argument: read(option, run.options[option])
        for option, (argument, read) in ARGUMENTS.items()
        if option in run.options
    }
    shape = {"partitions": _partitions(run)} if keys is None else {"binding-keys": keys}
    return {**shape, "arguments": arguments}


def _add(run: Run) -> str:
    name = run.words["name"]
    if run.exists("/exchanges/{vhost}/{name}"):
        raise _taken(f"an exchange named {name}")
    try:
        run.call("PUT", _ONE, _body(run))
    except ApiError as error:
        raise ToolError(EXIT_SOFTWARE, f"Error:\n{error.reason}") from None
    return f"Super stream {name} has been created\n"


def _taken(what: str) -> ToolError:
    return ToolError(EXIT_SOFTWARE, f"Error:\n{{:reference_already_exists, 'there is already {what}'}}")


def _delete(run: Run) -> str:
    try:
        run.call("DELETE", _ONE)
    except ApiError as error:
        reason = "stream_not_found" if error.status == 404 else error.reason
        raise ToolError(EXIT_SOFTWARE, f"Error:\n{reason}") from None
    return f"Super stream {run.words['name']} has been deleted\n"


COMMANDS = (
    Command(
        "add_super_stream",
        "<name> [--vhost <vhost>] [--partitions <partitions>] [--routing-keys <routing-keys>]",
        "Adding a super stream (experimental feature)...",
        _add,
        valued={
            "--partitions": "partitions",
            "--routing-keys": "routing_keys",
            "--binding-keys": "binding_keys",
            **{option: option for option in ARGUMENTS},
        },
        validate=_body,
    ),
    Command(
        "delete_super_stream",
        "<name> [--vhost <vhost>]",
        "Deleting a super stream (experimental feature)...",
        _delete,
    ),
)
