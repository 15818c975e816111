"""What the parameter of a shovel may hold, and what it means.

`KEYS` is the table: one row a key, with what is valid. Everything that is wrong is said at once, in the texts
and the order of RabbitMQ: first what does not go together, then unknown keys, then the keys from the last row
to the first. Keys of releases after 3.10 are known too.

Not here: where the brokers are (`uri`), moving (`worker`). Source: RabbitMQ, "Dynamic Shovels"; texts
measured on 3.10.8, which answers with an error of its own to a table that is none and to an unknown protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pillarbox.ops.shovel.uri import Uri, UriError, parse
from pillarbox.protocols.amqp091 import wire

Problems = Iterator[str]
Check = Callable[[str, Any], Problems]

PREFETCH_DEFAULT, PREFETCH_MAX = 1000, 65_535
RECONNECT_DELAY_S, RECONNECT_DELAY_MIN_S = 5, 0.1
NEVER, QUEUE_LENGTH = "never", "queue-length"
ON_CONFIRM, ON_PUBLISH, NO_ACK = "on-confirm", "on-publish", "no-ack"
OURS = "amqp091"
"""The one protocol of both ends."""


class Side(NamedTuple):
    """One end. `uris`: in the order in which they are tried; None: not said."""

    uris: tuple[Uri, ...]
    queue: str | None
    exchange: str | None
    key: str | None
    queue_arguments: Mapping[str, Any]
    predeclared: bool

    @property
    def vhosts_here(self) -> list[str]:
        """Virtual hosts of this broker that it enters; "" is the shovel's own."""
        return [uri.vhost for uri in self.uris if uri.is_here]


class Definition(NamedTuple):
    """A shovel, as it is wanted."""

    source: Side
    destination: Side
    acknowledge: str
    prefetch: int
    delete_after: int | str
    """A number of messages, or one of two words."""
    reconnect_delay_s: float
    """0: it is not tried again."""
    consumer_arguments: Mapping[str, Any]
    properties: Mapping[str, Any]
    """What every message is given, in place of its own."""
    forward_headers: bool
    timestamp_header: bool


# --- what is valid ---------------------------------------------------------------------------------------


def erlang(value: Any) -> str:
    """A value of a JSON document as Erlang prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'<<"{value}">>' if value else "<<>>"
    if isinstance(value, list):
        return f"[{','.join(map(erlang, value))}]"
    if isinstance(value, Mapping):
        return f"#{{{','.join(f'{erlang(key)} => {erlang(each)}' for key, each in value.items())}}}"
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wanted(noun: str, is_valid: Callable[[Any], bool]) -> Check:
    def check(key: str, value: Any) -> Problems:
        if not is_valid(value):
            yield f"{key} should be {noun}, actually was {erlang(value)}"

    return check


_text = _wanted("binary", lambda value: isinstance(value, str))
_name = _wanted("the name of a queue", bool)
_number = _wanted("a number", _is_number)
_flag = _wanted("boolean", lambda value: isinstance(value, bool))
_delete_after = _wanted(
    f'a number greater than or equal to 0, "{NEVER}" or "{QUEUE_LENGTH}"',
    lambda value: (
        value in (NEVER, QUEUE_LENGTH)
        if isinstance(value, str)
        else _is_number(value) and isinstance(value, int) and value >= 0
    ),
)


def _queue(key: str, value: Any) -> Problems:
    yield from _name(key, value) if isinstance(value, str) else _text(key, value)


def _one_of(*words: str) -> Check:
    shown = f"one of [{','.join(map(erlang, words))}]"

    def check(key: str, value: Any) -> Problems:
        yield from (
            _wanted(shown, lambda each: each in words)(key, value)
            if isinstance(value, str)
            else _text(key, value)
        )

    return check


def _protocol(key: str, value: Any) -> Problems:
    if value != OURS:
        yield f"{key} should be {OURS}, which is what there is here, actually was {erlang(value)}"


def _uris(key: str, value: Any) -> Problems:
    if value == []:
        yield f"{key} should have a URI, actually was []"
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, str):
            yield f"{key} should be list, actually was {erlang(each)}"
            continue
        try:
            parse(each)
        except UriError as error:
            yield str(error)


def _table(key: str, value: Any) -> Problems:
    if isinstance(value, list) and value:
        yield f"Unrecognised terms {erlang(value)} in {key}"
    elif not isinstance(value, Mapping | list):
        yield f"{key} not a list {erlang(value)}"


def _properties(key: str, value: Any) -> Problems:
    if not isinstance(value, Mapping):
        yield from _table(key, value)
        return
    found = list(_problems(key, PROPERTIES, value))
    if not found:
        try:
            wire.encode_properties(properties_of(wire.Properties(), value))
        except ValueError as error:
            found = [f"{key}: {error}"]
    yield from found


def properties_of(before: wire.Properties, value: Mapping[str, Any]) -> wire.Properties:
    """Properties, with these in place of those of the same names."""
    given: dict[str, Any] = {key: int(each) if _is_number(each) else each for key, each in value.items()}
    return before._replace(**given)


PROPERTIES: Mapping[str, Check] = {
    "content_type": _text,
    "content_encoding": _text,
    "delivery_mode": _number,
    "priority": _number,
    "correlation_id": _text,
    "reply_to": _text,
    "expiration": _text,
    "message_id": _text,
    "timestamp": _number,
    "type": _text,
    "user_id": _text,
    "app_id": _text,
    "cluster_id": _text,
}
"""What a message may be given: all but headers."""

KEYS: Mapping[str, Check] = {
    "reconnect-delay": _number,
    "ack-mode": _one_of(NO_ACK, ON_PUBLISH, ON_CONFIRM),
    "src-protocol": _protocol,
    "dest-protocol": _protocol,
    "src-uri": _uris,
    "src-exchange": _text,
    "src-exchange-key": _text,
    "src-queue": _queue,
    "src-queue-args": _table,
    "src-consumer-args": _table,
    "prefetch-count": _number,
    "src-prefetch-count": _number,
    "delete-after": _delete_after,
    "src-delete-after": _delete_after,
    "src-predeclared": _flag,
    "dest-uri": _uris,
    "dest-exchange": _text,
    "dest-exchange-key": _text,
    "dest-queue": _queue,
    "dest-queue-args": _table,
    "add-forward-headers": _flag,
    "add-timestamp-header": _flag,
    "dest-add-forward-headers": _flag,
    "dest-add-timestamp-header": _flag,
    "publish-properties": _properties,
    "dest-publish-properties": _properties,
    "dest-predeclared": _flag,
}
MANDATORY = ("src-uri", "dest-uri")


def _problems(
    name: str, keys: Mapping[str, Check], value: Mapping[str, Any], mandatory: tuple[str, ...] = ()
) -> Problems:
    unknown = [f"{{{erlang(key)},{erlang(each)}}}" for key, each in sorted(value.items()) if key not in keys]
    if unknown:
        yield f"Unrecognised terms [{','.join(unknown)}] in {name}"
    for key, check in reversed(list(keys.items())):
        if key in value:
            yield from check(key, value[key])
        elif key in mandatory:
            yield f'Key "{key}" not found in {name}'


def problems(name: str, value: Any) -> Problems:
    """Everything that is wrong with the parameter of this name."""
    if not isinstance(value, Mapping):
        if not isinstance(value, list):
            yield f"{name} not a list {erlang(value)}"
            return
        unknown, value = value, {}
    else:
        unknown = []
    source = [key for key in ("src-exchange", "src-queue") if key in value]
    if not source:
        yield "Must specify 'src-exchange' or 'src-queue'"
    if len(source) == 2:
        yield "Cannot specify 'src-exchange' and 'src-queue'"
    after = value.get("src-delete-after", value.get("delete-after"))
    if value.get("ack-mode") == NO_ACK and isinstance(after, int):
        yield "Cannot specify 'no-ack' and numerical 'delete-after'"
    if "dest-exchange" in value and "dest-queue" in value:
        yield "Cannot specify 'dest-exchange' and 'dest-queue'"
    if unknown:
        yield f"Unrecognised terms {erlang(unknown)} in {name}"
    yield from _problems(name, KEYS, value, MANDATORY)


# --- what it means ---------------------------------------------------------------------------------------


def definition_of(value: Mapping[str, Any]) -> Definition:
    """The meaning of a value in which `problems` finds none."""

    def either(name: str, default: Any) -> Any:
        """A key, which had a shorter name before."""
        return value.get(f"src-{name}", value.get(f"dest-{name}", value.get(name, default)))

    return Definition(
        _side(value, "src"),
        _side(value, "dest"),
        value.get("ack-mode", ON_CONFIRM),
        min(max(0, int(either("prefetch-count", PREFETCH_DEFAULT))), PREFETCH_MAX),
        either("delete-after", NEVER),
        _delay_s(value.get("reconnect-delay", RECONNECT_DELAY_S)),
        dict(value.get("src-consumer-args", {})),
        dict(either("publish-properties", {})),
        either("add-forward-headers", False),
        either("add-timestamp-header", False),
    )


def _delay_s(wanted: float) -> float:
    return max(RECONNECT_DELAY_MIN_S, wanted) if wanted > 0 else 0


def _side(value: Mapping[str, Any], prefix: str) -> Side:
    found = value[f"{prefix}-uri"]
    return Side(
        tuple(map(parse, found if isinstance(found, list) else [found])),
        value.get(f"{prefix}-queue"),
        value.get(f"{prefix}-exchange"),
        value.get(f"{prefix}-exchange-key"),
        dict(value.get(f"{prefix}-queue-args", {})),
        value.get(f"{prefix}-predeclared", False),
    )
