"""Messages as Artemis' beans tell them, what its filters see of them, and what they are called by.

A message has a number for as long as it is in its queue (`looking.number_of`): its `messageID`. Where a
number is asked for the id that its sender has given it (`userID`) does as well.

Source: Artemis' manual, "Filter Expressions"; what its `QueueControl` answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.selectors import compile_selector, lookup_of
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.errors import BrokerError
from pillarbox.ops.activemq.errors import ILLEGAL_STATE, JolokiaError
from pillarbox.ops.activemq.looking import Seen
from pillarbox.ops.activemq.view import Found, Wants, id_of

if TYPE_CHECKING:
    from pillarbox.broker.dialects import Neutral

TEXT_TYPE, BYTES_TYPE = 3, 4
"""Artemis' numbers for what a body is."""
PREVIEW_BYTES: Final = 256
PRIORITY: Final = 4
"""Of a message that does not say it, as in JMS."""
PROTOCOLS: Final = {"amqp091": "AMQP091", "stomp": "STOMP", "mqtt": "MQTT"}


def _body(one: Found | Seen) -> bytes:
    return bytes(one.message.body if isinstance(one, Seen) else one.got.body)


def _priority(said: Neutral) -> int:
    return PRIORITY if said.priority is None else said.priority


def _sent_ms(one: Found | Seen) -> int:
    """When a message was sent; of one that does not say it, when it came, where that is known."""
    if one.said.timestamp_s is not None:
        return one.said.timestamp_s * 1000
    return one.message.accepted_ms if isinstance(one, Seen) else 0


def _expires_ms(one: Found | Seen) -> int:
    """A moment; 0: never, or not known."""
    message = one.message if isinstance(one, Seen) else None
    if message is None or message.expiration_ms == NO_EXPIRATION:
        return 0
    return message.accepted_ms + message.expiration_ms


OF_CORE: Final[dict[str, Callable[[Found | Seen], Any]]] = {
    "AMQDurable": lambda one: "DURABLE" if one.said.persistent else "NON_DURABLE",
    "AMQExpiration": _expires_ms,
    "AMQGroupID": lambda one: one.said.headers.get("JMSXGroupID"),
    "AMQPriority": lambda one: _priority(one.said),
    "AMQSize": lambda one: len(_body(one)),
    "AMQTimestamp": _sent_ms,
    "AMQUserID": lambda one: one.said.message_id,
}
"""What Artemis' filters call the fields of a message, beside JMS's names, which are taken too."""


def wanted(text: str | None) -> Wants:
    """What a filter wants; an empty one wants all. Raises JolokiaError."""
    if not text or not text.strip():
        return lambda one: True
    try:
        meets = compile_selector(text)
    except BrokerError:
        raise JolokiaError(500, ILLEGAL_STATE, f"AMQ229020: Invalid filter: {text}") from None

    def wants(one: Found | Seen) -> bool:
        plain = lookup_of(one.said)

        def look(name: str) -> Any:
            field = OF_CORE.get(name)
            return plain(name) if field is None else field(one)

        return bool(meets(look))

    return wants


def is_called(identity: Any) -> Wants:
    """Whether a message has this number, or this id."""
    text = str(identity)
    return lambda one: str(one.number) == text or id_of(one) == text


def told(address: str, one: Seen) -> dict[str, Any]:
    """A message as `listMessages` tells it: its properties, and what it is."""
    said = one.said
    own = {
        "messageID": one.number,
        "address": address,
        "durable": said.persistent,
        "expiration": _expires_ms(one),
        "timestamp": _sent_ms(one),
        "priority": _priority(said),
    }
    if said.message_id is not None:
        own["userID"] = said.message_id
    return _properties(said) | own


def composite(address: str, one: Seen) -> dict[str, Any]:
    """A message as `browse` tells it."""
    said, body = one.said, _body(one)
    properties = _properties(said)
    shown: dict[str, Any] = {
        "address": address,
        "messageID": str(one.number),
        "userID": said.message_id or "",
        "protocol": PROTOCOLS.get(one.message.address.origin, one.message.address.origin.upper()),
        "durable": said.persistent,
        "expiration": _expires_ms(one),
        "timestamp": _sent_ms(one),
        "priority": _priority(said),
        "redelivered": one.redelivered,
        "largeMessage": False,
        "persistentSize": len(body),
        "PropertiesText": "{" + ", ".join(f"{name}={value}" for name, value in properties.items()) + "}",
    }
    for name, kind in (
        ("StringProperties", str),
        ("BooleanProperties", bool),
        ("LongProperties", int),
        ("DoubleProperties", float),
    ):
        shown[name] = {key: value for key, value in properties.items() if type(value) is kind} or None
    for name in ("ByteProperties", "ShortProperties", "IntProperties", "FloatProperties"):
        shown[name] = None
    try:
        return shown | {"type": TEXT_TYPE, "text": body.decode()}
    except UnicodeDecodeError:
        signed = [byte - 256 if byte > 127 else byte for byte in body[:PREVIEW_BYTES]]
        return shown | {"type": BYTES_TYPE, "BodyPreview": signed}


def _properties(said: Neutral) -> dict[str, Any]:
    """What a message says of itself in headers, as far as JSON has a word for it."""
    jms = {
        "JMSCorrelationID": said.correlation_id,
        "JMSReplyTo": said.reply_to,
        "JMSType": said.type,
    }
    others = {name: value for name, value in said.headers.items() if isinstance(value, str | int | float)}
    return {name: value for name, value in jms.items() if isinstance(value, str)} | others


def as_json(value: Any) -> str:
    """Artemis answers texts with JSON in them where it could answer JSON."""
    return json.dumps(value, separators=(",", ":"))
