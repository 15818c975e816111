"""What a publish means: the route behind the bytes of basic.publish, the facts in its properties.

Both are worked out once per distinct byte string and kept by the connection (bounded), so that the hot
loop in `ingest` does two dict look-ups per message. Messages that need more than that (a return, sender
selected keys, an exchange that looks at the message, reply-to) are marked special and take the slow path in
`Channel`.

Source: AMQP 0-9-1 basic.publish (60, 40), content header (4.2.6.1); rows R26, R27, R60, R70.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.arguments import milliseconds
from pillarbox.broker.index import NO_ARGUMENTS, Envelope
from pillarbox.broker.session import REPLY_TO
from pillarbox.engine.base import NO_EXPIRATION, Address
from pillarbox.protocols.amqp091 import wire

if TYPE_CHECKING:
    from pillarbox.broker.counters import ExchangeCounters
    from pillarbox.broker.exchange import Stamp
    from pillarbox.broker.queue import Queue

ORIGIN = "amqp091"

OWN_DEATHS = "amqp091:own-deaths"
"""Origin of messages whose `x-death` the publisher wrote and nobody counts on from."""

NATIVE = frozenset((ORIGIN, OWN_DEATHS))
"""Origins of messages whose properties are in this protocol's encoding; those of others are translated."""

ROUTES_MAX = 16_384
"""Routes a connection keeps. A publisher with more distinct keys than this resolves some of them again;
at about 500 bytes each a connection never spends more than some 8 MiB on them."""

ROUTES_SWEPT_FROM = 256
"""Routes from which on it is looked whether some do not hold any more: each keeps a queue in memory that was
deleted, some four kilobytes. Who answers many clients at queues of their own has one after the other."""

FACTS_MAX = 4096
"""Distinct property lists a connection keeps. Publishers with a message id per message fill it over and
over, which costs them one scan per message and nobody else anything."""

FACTS_BYTES_MAX = 1024
"""Longer property lists are not kept but examined each time: nobody repeats them, and 4096 of them, at up to
a frame each, would be half a gigabyte for one connection."""


class Target(msgspec.Struct, frozen=True, eq=False):
    """Where messages go: shared by all routes that have this in common, compared by identity."""

    counters: ExchangeCounters
    """Those of the exchange, the default one included."""
    queues: tuple[Queue, ...]
    mandatory: bool = False
    """Their publisher wants them back if there are no queues."""


class PublishRoute(msgspec.Struct, frozen=True, eq=False):
    """The meaning of one byte string of basic.publish arguments, while `stamp.valid`."""

    address: Address
    target: Target
    stamp: Stamp
    special: bool
    per_message: bool


class Facts(msgspec.Struct, frozen=True, eq=False):
    """What the broker must know of a property list."""

    properties: bytes = b""
    """The property list itself: messages that have the same share this one object."""
    persistent: bool = False
    expiration_ms: int = NO_EXPIRATION
    priority: int = 0
    special: bool = False
    """Needs the slow path, for one of the reasons below."""
    has_headers: bool = False
    selects_keys: bool = False
    """Has headers that may name further routing keys (R26)."""
    replies_directly: bool = False
    """Asks for the reply by `amq.rabbitmq.reply-to` (R70)."""
    intercepted: bool = False
    """The broker writes something into such messages (R76)."""
    has_deaths: bool = False
    """Has an `x-death` from which nobody is to count on."""
    fault: tuple[int, str] | None = None
    """Reply code and text with which such a message is refused."""


def examine(properties: bytes, user: str | None) -> Facts:
    """The facts of a property list that this user publishes (None: one who may say who it was); faults are
    facts too."""
    try:
        wire.demand_few_headers(properties)
        found = wire.scan(properties)
    except wire.WireError as error:
        return Facts(special=True, fault=(error.code, error.detail))
    if found.user_id is not None and user is not None and found.user_id != user.encode():
        claimed = found.user_id.decode("utf-8", "replace")
        text = f"user_id property set to '{claimed}' but authenticated user was '{user}'"
        return Facts(special=True, fault=(406, text))
    expiration_ms = NO_EXPIRATION
    if found.expiration:
        expiration = found.expiration.decode("utf-8", "replace")
        expiration_ms, problem = read_expiration(expiration)
        if problem is not None:
            return Facts(special=True, fault=(406, f"invalid expiration '{expiration}': {problem}"))
    has_headers = found.headers_position > 0
    selects_keys = has_headers and b"CC" in properties
    replies_directly = found.reply_to == REPLY_TO.encode()
    return Facts(
        properties=properties,
        persistent=found.persistent,
        expiration_ms=expiration_ms,
        priority=found.priority or 0,
        special=selects_keys or replies_directly,
        has_headers=has_headers,
        selects_keys=selects_keys,
        replies_directly=replies_directly,
    )


def read_expiration(text: str) -> tuple[int, str | None]:
    """Milliseconds, and what is wrong with them in RabbitMQ's words, or None."""
    match = re.match(r"[+-]?[0-9]+", text)
    if match is None:
        return NO_EXPIRATION, "no_integer"
    if match.end() < len(text):
        return NO_EXPIRATION, f'{{leftover_string,"{text[match.end() :]}"}}'
    value = int(match.group())
    return value, milliseconds(value)


def headers_of(properties: bytes) -> dict[str, Any]:
    """The headers of a property list that `examine` found good."""
    return wire.decode_table(properties, wire.scan(properties).headers_position)


def envelope_of(properties: bytes, facts: Facts) -> Envelope:
    """What exchanges may ask of a message that `examine` found good."""
    headers = headers_of(properties) if facts.has_headers else NO_ARGUMENTS
    return Envelope(headers, lambda name: getattr(wire.decode_properties(properties), name))


def with_reply_to(properties: bytes, name: str) -> bytes:
    """The same properties with another reply-to."""
    return wire.encode_properties(wire.decode_properties(properties)._replace(reply_to=name))


def without_header(properties: bytes, name: str) -> bytes:
    """The same properties without one header."""
    found = wire.decode_properties(properties)
    headers = {key: value for key, value in (found.headers or {}).items() if key != name}
    return wire.encode_properties(found._replace(headers=headers))
