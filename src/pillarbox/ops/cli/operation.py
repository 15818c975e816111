"""What a row of the table of operations is made of, and how it becomes a request of the management API.

An `Operation` is one verb of one resource: method, path, the parameters beside the names in the path, and
what is shown of the answer. Names in the path are arguments on the command line by themselves, in their
order, but `{vhost}`, which is the option --vhost.

Not here: click (`operate`), the rows (`operations`), operations that are more than one request (`steps`).
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pillarbox.ops.api_client import ApiClient, names_in, path
from pillarbox.ops.cli.printing import JSON, columns_of

VHOST = "vhost"


class Kind(enum.Enum):
    """What may be given."""

    TEXT = "TEXT"
    INTEGER = "NUMBER"
    JSON = "JSON"
    FLAG = ""
    """Nothing: that the option stands there says it all."""
    PAIRS = "NAME=VALUE"
    """May be repeated; the values are JSON where they can be read as such, and text where not."""
    FILE = "FILE"


class Where(enum.Enum):
    """Where in the request it goes."""

    BODY = enum.auto()
    QUERY = enum.auto()
    HEADER = enum.auto()
    STEP = enum.auto()
    """Nowhere: the operation's step knows."""


class Parameter(NamedTuple):
    """One row. `key`: what the request calls it, with dots for what is inside another; `value`: what a flag
    puts there. An option is left out of the request unless it is given; an argument stands on the command
    line without its name, after those of the path.
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    where: Where = Where.BODY
    key: str = ""
    value: Any = None
    choices: tuple[str, ...] = ()
    is_argument: bool = False
    is_optional: bool = False

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


def option(name: str, help: str, key: str = "", kind: Kind = Kind.TEXT, **more: Any) -> Parameter:
    return Parameter(name, help, kind, key=key or name.replace("-", "_"), **more)


def argument(name: str, help: str, key: str = "", kind: Kind = Kind.TEXT, **more: Any) -> Parameter:
    return Parameter(name, help, kind, key=key or name, is_argument=True, **more)


def flag(name: str, help: str, key: str, value: Any = True) -> Parameter:
    return Parameter(name, help, Kind.FLAG, key=key, value=value)


def query_flag(name: str, help: str) -> Parameter:
    return Parameter(name, help, Kind.FLAG, Where.QUERY, name, "true")


def step_option(name: str, help: str, kind: Kind = Kind.TEXT, **more: Any) -> Parameter:
    return Parameter(name, help, kind, Where.STEP, **more)


def step_argument(name: str, help: str, kind: Kind = Kind.TEXT, **more: Any) -> Parameter:
    return Parameter(name, help, kind, Where.STEP, is_argument=True, **more)


class Operation(NamedTuple):
    """One row. `path` of a listing shows one virtual host, `path_of_all` all of them. `columns`: what a table
    shows, `field.in.dots=HEADING`. `body`: what is sent unless options say otherwise. `done`: a sentence for
    an answer without a document, with the names of arguments in braces.
    """

    resource: str
    verb: str
    summary: str
    method: str
    path: str
    parameters: tuple[Parameter, ...] = ()
    columns: str = ""
    done: str = ""
    path_of_all: str = ""
    body: Mapping[str, Any] | None = None
    step: Callable[[Call], Any] | None = None
    details: str = ""

    @property
    def words(self) -> str:
        """As on the command line."""
        return f"{self.resource} {self.verb}".strip()

    @property
    def lists(self) -> bool:
        return self.verb in ("list", "bindings", "partitions", "offsets")

    @property
    def path_names(self) -> list[str]:
        return [name for name in names_in(self.path) if name != VHOST]

    @property
    def has_vhost(self) -> bool:
        return VHOST in names_in(self.path)


class Call(NamedTuple):
    """An operation with what was given for it. `values`: by field, None where nothing was."""

    api: ApiClient
    operation: Operation
    values: Mapping[str, Any]

    def run(self) -> Any:
        """Do it; return the document to show, or None."""
        return self.operation.step(self) if self.operation.step else self.send()

    def send(self, body: Any = None) -> Any:
        """Send the operation's one request."""
        operation = self.operation
        return self.api.call(
            operation.method,
            self.path(),
            self.body() if body is None else body,
            query={**self.among(Where.QUERY), **self._wanted()},
            headers=self.among(Where.HEADER),
        )

    def _wanted(self) -> dict[str, str]:
        """Ask for no more of a list than is shown of it: a queue has a hundred fields."""
        values = self.values
        asked = values.get("columns") or (self.operation.columns if values["form"] != JSON else "")
        if not self.operation.lists or not asked:
            return {}
        fields = [column.field for column in columns_of(asked)]
        return {"columns": ",".join(dict.fromkeys([*fields, *filter(None, [values["sort"]]), "name"]))}

    def path(self, template: str = "") -> str:
        """Fill a path in: this operation's own, unless another is given."""
        if not template:
            template = self.operation.path_of_all if self.values.get("all_vhosts") else self.operation.path
        return path(template, **{name: self.values[name] for name in names_in(template)})

    def body(self) -> dict[str, Any] | None:
        """The body of the request, None if it has none."""
        operation = self.operation
        given = self.among(Where.BODY)
        if operation.body is None and not given:
            return None
        body: dict[str, Any] = copy.deepcopy(dict(operation.body or {}))
        for key, value in given.items():
            *parents, last = key.split(".")
            place = body
            for parent in parents:
                place = place.setdefault(parent, {})
            if isinstance(value, dict) and isinstance(place.get(last), dict):
                place[last].update(value)
            else:
                place[last] = value
        return body

    def among(self, where: Where) -> dict[str, Any]:
        """What was given for one part of the request, by its key."""
        found = {}
        for parameter in self.operation.parameters:
            value = self.values.get(parameter.field)
            if parameter.where is not where or value in (None, (), False):
                continue
            if parameter.kind is Kind.FLAG:
                value = parameter.value
            elif parameter.kind is Kind.PAIRS:
                value = dict(value)
            found[parameter.key] = value
        return found
