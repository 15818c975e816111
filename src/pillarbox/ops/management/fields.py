"""What is shown of a thing: a table of fields, one row each.

A row has the name, the JSON schema and the function that reads it. From the table follow the document, the
selection by `columns`, the value to sort by, and the schema in the OpenAPI document. A field that is asked
for alone is the only one that is computed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

Schema = Mapping[str, Any]


def _plain(value: Any) -> Any:
    """Values of AMQP tables that JSON has no word for, as RabbitMQ shows them."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    return repr(value)


encode = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number").encode
"""The one way to JSON."""

STRING: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}
NUMBER: Final = {"type": "number"}
BOOLEAN: Final = {"type": "boolean"}
OBJECT: Final = {"type": "object"}
ANY: Final[Schema] = {}
"""Whatever somebody has put there."""


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


class Absent(enum.Enum):
    """What a getter returns for a thing that does not have the field."""

    ABSENT = enum.auto()


ABSENT: Final = Absent.ABSENT


class Level(enum.Enum):
    """When a field is shown."""

    BASIC = enum.auto()
    """Always."""
    TOTALS = enum.auto()
    """Unless `disable_stats`; and with `enable_queue_totals` nevertheless."""
    STATS = enum.auto()
    """Unless `disable_stats`."""
    DETAIL = enum.auto()
    """Only where the thing is asked for by itself."""


class Field(NamedTuple):
    """One row."""

    name: str
    schema: Schema
    get: Callable[[Any, Request], Any]
    level: Level = Level.BASIC


class Document:
    """The fields of one kind of thing. `name` is that of the schema; fields are shown in their order."""

    def __init__(self, name: str, *fields: Field) -> None:
        self.name = name
        self.fields = fields
        self.by_name = {field.name: field for field in fields}
        self._of_levels: dict[frozenset[Level], tuple[tuple[str, Callable[[Any, Request], Any]], ...]] = {}

    def __repr__(self) -> str:
        return f"<Document {self.name} fields={len(self.fields)}>"

    def describe(
        self,
        item: Any,
        request: Request,
        levels: frozenset[Level],
        columns: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """The fields of these levels; with `columns`, only those of these names. Cost: O(fields shown)."""
        found = {name: get(item, request) for name, get in self.getters(levels, columns)}
        return {name: value for name, value in found.items() if value is not ABSENT}

    def getters(
        self, levels: frozenset[Level], columns: Collection[str] | None = None
    ) -> tuple[tuple[str, Callable[[Any, Request], Any]], ...]:
        """Name and function of the fields of these levels; with `columns`, only of those of these names."""
        getters = self._of_levels.get(levels)
        if getters is None:
            getters = tuple((one.name, one.get) for one in self.fields if one.level in levels)
            self._of_levels[levels] = getters
        if columns is None:
            return getters
        return tuple(pair for pair in getters if pair[0] in columns)

    def value(self, item: Any, request: Request, path: str) -> Any:
        """The value under a dotted name such as `message_stats.publish_details.rate`; ABSENT if there is
        none."""
        first, _, rest = path.partition(".")
        field = self.by_name.get(first)
        value = ABSENT if field is None else field.get(item, request)
        for name in rest.split(".") if rest else ():
            value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
        return value

    def schema(self) -> Schema:
        """The JSON schema of one; which fields are there depends on what was asked for, so none is
        required."""
        return {"type": "object", "properties": {field.name: field.schema for field in self.fields}}


EVERYTHING = frozenset(Level)
"""A thing asked for by itself."""
_LISTED = EVERYTHING - {Level.DETAIL}


def levels_of(request: Request, *, detailed: bool = False) -> frozenset[Level]:
    """The levels that a request asks for."""
    if not request.flag("disable_stats"):
        return EVERYTHING if detailed else _LISTED
    wanted = {Level.BASIC, Level.TOTALS} if request.flag("enable_queue_totals") else {Level.BASIC}
    return frozenset(wanted)


def pruned(value: Any, paths: Collection[str]) -> Any:
    """What dotted names select of a document; a selected object that has none of it is an empty list, as
    RabbitMQ has it."""
    by_first: dict[str, set[str]] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        by_first.setdefault(first, set()).add(rest)
    found: dict[str, Any] = {}
    for name, rests in by_first.items():
        if name in value:
            inner = value[name]
            if isinstance(inner, dict) and "" not in rests:
                inner = pruned(inner, rests) or []
            found[name] = inner
    return found
