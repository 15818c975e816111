"""From the table of operations to click: a group for each resource, a command for each verb.

Not here: the operations (`operations`), HTTP (`pillarbox.ops.api_client`), the look of answers (`printing`).
"""

from __future__ import annotations

import json
import re
from typing import Any

import click
from click.shell_completion import CompletionItem

from pillarbox.errors import PillarboxError
from pillarbox.ops.api_client import ApiError, names_in, path
from pillarbox.ops.cli import COMMANDS, CONTEXT, explain
from pillarbox.ops.cli.connecting import VHOST, connect, connection_options, option_of, vhost_of
from pillarbox.ops.cli.operation import Call, Kind, Operation, Parameter
from pillarbox.ops.cli.operations import OPERATIONS
from pillarbox.ops.cli.printing import (
    FORMS,
    JSON,
    TSV,
    columns_of,
    json_text,
    look_up,
    printable,
    sheet,
    table,
    tsv,
)

PATH_HELP = {
    "queue": "The name of the queue.",
    "exchange": "The name of the exchange; amq.default for the one without a name.",
    "source": "The exchange that messages come from.",
    "destination": "The queue (or exchange) that gets them.",
    "connection": "Its name, as the list shows it.",
    "channel": "Its name, as the list shows it.",
    "name": "The name.",
    "user": "The name of the user.",
    "policy": "The name of the policy.",
    "limit": "max-connections, and max-queues or max-channels.",
    "component": "What it is a parameter of.",
    "node": "The name of the node.",
    "topic": "The name of the topic.",
    "partition": "The number of the partition.",
    "group": "The name of the group.",
    "kind": "queue or topic.",
    "address": "The name of the queue or the topic.",
    "port": "A TCP port.",
    "protocol": "A protocol, such as amqp or http.",
    "within": "A number.",
    "unit": "days, weeks, months or years.",
}
"""What the arguments are that stand in paths."""

COMPLETIONS = {
    "queue": "/queues/{vhost}",
    "destination": "/queues/{vhost}",
    "exchange": "/exchanges/{vhost}",
    "source": "/exchanges/{vhost}",
    "connection": "/connections",
    "channel": "/channels",
    "user": "/users",
    "policy": "/policies/{vhost}",
    "node": "/nodes",
    "topic": "/kafka/topics",
    "group": "/kafka/groups",
    "address": "/destinations/{vhost}",
}
"""Where the shell finds out which names there are."""

COMPLETION_TIMEOUT_S = 2.0


def _json(text: str) -> Any:
    """Read a JSON document."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is no JSON: {error}") from None


def _pair(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


TYPES: dict[Kind, Any] = {Kind.JSON: _json, Kind.PAIRS: _pair, Kind.INTEGER: click.INT}


class OperationCommand(click.Command):
    """A command whose help explains its arguments, and keeps apart what is its own and what all have."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        own = [_parameter(each) for each in operation.parameters if not each.is_argument]
        given: list[click.Parameter] = [*map(_path_argument, operation.path_names)]
        given += [_parameter(each) for each in operation.parameters if each.is_argument]
        if operation.has_vhost:
            own.append(option_of(VHOST))
        if operation.path_of_all:
            own.append(click.Option(["--all-vhosts"], is_flag=True, help="All virtual hosts."))
        self.argument_help = [(name.upper(), PATH_HELP[name]) for name in operation.path_names]
        self.argument_help += [
            (each.name.upper(), each.help) for each in operation.parameters if each.is_argument
        ]
        self.own_options = [*own, *(_listing_options() if operation.lists else []), *_output_options()]
        self.connection_options = connection_options()
        super().__init__(
            operation.verb or operation.resource,
            context_settings=CONTEXT,
            callback=self.run,
            params=[*given, *self.own_options, *self.connection_options],
            help=" ".join(filter(None, (operation.summary, operation.details))),
            short_help=operation.summary,
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.argument_help:
            with formatter.section("Arguments"):
                formatter.write_dl(self.argument_help)
        helps = [self.get_help_option(ctx)]
        for title, params in (("Options", [*self.own_options, *helps]), ("Broker", self.connection_options)):
            with formatter.section(title):
                formatter.write_dl(
                    [record for each in params if each and (record := each.get_help_record(ctx))]
                )

    def run(self, **values: Any) -> None:
        if self.operation.has_vhost or "vhost" in values:
            values["vhost"] = vhost_of(values)
        values["form"] = values.pop("as_json") or values["form"]
        with connect(values) as api:
            try:
                answer = Call(api, self.operation, values).run()
            except ApiError as error:
                # "Not Found" alone would leave the reader to guess what was not.
                words = [self.operation.words, *(values[name] for name in self.operation.path_names)]
                raise ApiError(error.status, f"{' '.join(words)}: {error.reason}") from None
        show(self.operation, answer, values)


class Resource(click.Group):
    """A group with the verbs of one resource."""

    def __init__(self, name: str) -> None:
        commands = [OperationCommand(each) for each in OPERATIONS if each.resource == name]
        super().__init__(
            name,
            context_settings=CONTEXT,
            help=COMMANDS[name],
            commands=commands,
            callback=explain,
            invoke_without_command=True,
        )


def command_named(name: str) -> click.Command:
    """The command for one resource: a group, or what is all that can be done with it."""
    found = [each for each in OPERATIONS if each.resource == name]
    return OperationCommand(found[0]) if not found[0].verb else Resource(name)


def show(operation: Operation, answer: Any, values: dict[str, Any]) -> None:
    """Write an answer to standard output in the form that was asked for."""
    form = values["form"]
    if isinstance(answer, list) and operation.lists:
        answer = _chosen(answer, values)
    if form == JSON:
        if answer is not None:
            click.echo(json_text(answer))
        return
    columns = columns_of(values.get("columns") or operation.columns)
    if answer is None:
        if operation.done and form != TSV:
            click.echo(printable(operation.done.format_map(values)))
    elif isinstance(answer, list) and columns:
        click.echo("\n".join((tsv if form == TSV else table)(answer, columns)))
    elif isinstance(answer, dict) and operation.resource != "definitions":
        click.echo("\n".join(sheet(answer, columns)))
    else:
        click.echo(answer if isinstance(answer, str) else json_text(answer))


def _chosen(documents: list[Any], values: dict[str, Any]) -> list[Any]:
    """Those that were asked for, in the order that was asked for."""
    pattern = values["filter"]
    if pattern:
        try:
            matches = re.compile(pattern).search
        except re.error as error:
            raise click.UsageError(f"--filter {pattern} is no regular expression: {error}") from None
        documents = [each for each in documents if matches(str(each.get("name", "")))]
    if values["sort"]:
        # What has no such field comes first, numbers before words.
        def key(document: Any) -> tuple[int, float, str]:
            value = look_up(document, values["sort"])
            if isinstance(value, int | float):
                return 1, value, ""
            return (0, 0, "") if value is None else (2, 0, str(value))

        documents = sorted(documents, key=key)
    return documents[::-1] if values["reverse"] else documents


def _listing_options() -> list[click.Option]:
    return [
        click.Option(
            ["--columns"], metavar="NAMES", help="Show these fields, with commas; dots lead into others."
        ),
        click.Option(["--sort"], metavar="FIELD", help="Sort by this field."),
        click.Option(["--reverse"], is_flag=True, help="The last first."),
        click.Option(["--filter"], metavar="REGEX", help="Only those whose name has this in it."),
    ]


def _output_options() -> list[click.Option]:
    return [
        click.Option(
            ["--format", "form"],
            type=click.Choice(FORMS),
            default=FORMS[0],
            show_default=True,
            help="For people, for pipes or for programs.",
        ),
        click.Option(["--json", "as_json"], flag_value=JSON, default=None, help="Short for --format json."),
    ]


def _path_argument(name: str) -> click.Argument:
    return click.Argument([name], metavar=name.upper(), shell_complete=_complete)


def _parameter(parameter: Parameter) -> click.Parameter:
    if parameter.is_argument:
        return click.Argument(
            [parameter.field],
            metavar=f"[{parameter.name.upper()}]" if parameter.is_optional else parameter.name.upper(),
            type=TYPES.get(parameter.kind),
            required=not parameter.is_optional,
            shell_complete=_complete if parameter.name in COMPLETIONS else None,
        )
    if parameter.kind is Kind.FLAG:
        return click.Option([f"--{parameter.name}", parameter.field], is_flag=True, help=parameter.help)
    return click.Option(
        [f"--{parameter.name}", parameter.field],
        type=click.Choice(parameter.choices) if parameter.choices else TYPES.get(parameter.kind),
        metavar=None if parameter.choices else parameter.kind.value,
        multiple=parameter.kind is Kind.PAIRS,
        help=parameter.help,
    )


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names that the broker knows. Whoever presses a key wants no error: then there are none."""
    assert param.name is not None
    template = COMPLETIONS.get(param.name)
    if template is None:
        return []
    try:
        vhost = {"vhost": vhost_of(ctx.params)} if names_in(template) else {}
        with connect(ctx.params, timeout_s=COMPLETION_TIMEOUT_S, asks=False) as api:
            found = api.get(path(template, **vhost), columns="name")
    except (PillarboxError, click.ClickException):
        return []
    return [CompletionItem(each["name"]) for each in found if each["name"].startswith(incomplete)]
