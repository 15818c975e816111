"""What protocols say of a message, in words that all of them share, and how it passes from one to another.

A message stays as its sender encoded it until somebody of another protocol gets it; then the one dialect
reads it and the other writes it. So each protocol has to know only these words and its own.

Not here: the dialects (`protocols.<p>.dialect`), bodies, which nobody touches, and records of streams.
Source: DESIGN, section 8; docs/bridging.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from pillarbox.engine.base import Address, Message


class Neutral(msgspec.Struct, kw_only=True):
    """All that is said of a message beside its route, body and time to live; None: nothing is said."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] = {}
    """Whatever the sender has named; values are text, bytes, numbers, truth, None, lists and dicts."""
    long_numbers: bool = False
    """Numbers in headers are written with 64 bits whatever their size."""
    persistent: bool = False
    priority: int | None = None
    correlation_id: str | bytes | None = None
    reply_to: str | None = None
    """Where an answer is wanted: a queue, in the words of AMQP."""
    reply_topic: str | None = None
    """The same, as a routing key of `amq.topic`."""
    message_id: str | None = None
    timestamp_s: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None

    def property_named(self, name: str) -> Any:
        """One of these by the name that AMQP has for it; None: it is not said, or there is none."""
        if name == "delivery_mode":
            return 2 if self.persistent else 1
        return self.timestamp_s if name == "timestamp" else getattr(self, name, None)


class Dialect(Protocol):
    """One protocol's way to say it."""

    def read(self, message: Message) -> Neutral:
        """What a message of this protocol says. What cannot be understood is left out."""

    def write(self, said: Neutral, message: Message) -> bytes:
        """The property bytes of a message of this protocol that says this. `message`: as it was, for its
        time to live. Raises ValueError for headers that it cannot hold."""


class Dialects:
    """The dialects of all protocols, by the origin of messages (see `engine.base.Address`).

    `find` gives the dialect of an origin, and is asked once for each.
    """

    def __init__(self) -> None:
        self.common: str | None = None
        """The origin of messages whose own protocol has no encoding to store, or no word for their death."""
        self.find: Callable[[str], Dialect | None] = lambda origin: None
        self._known: dict[str, Dialect | None] = {}

    def of(self, origin: str) -> Dialect | None:
        """The dialect of messages of this origin; None: of a protocol that is not there any more."""
        if origin not in self._known:
            self._known[origin] = self.find(origin)
        return self._known[origin]

    def said(self, message: Message) -> Neutral:
        """What a message says, whatever its protocol."""
        source = self.of(message.address.origin)
        return Neutral(persistent=message.persistent) if source is None else source.read(message)

    def translated(self, message: Message, origin: str) -> Message:
        """The message as somebody of this origin would have sent it; headers that it could not go unsaid."""
        target = self.of(origin)
        assert target is not None, "who asks is there"
        address, said = message.address, self.said(message)
        try:
            properties = target.write(said, message)
        except ValueError:
            possible = {name: value for name, value in said.headers.items() if _holds(target, name, value)}
            properties = target.write(msgspec.structs.replace(said, headers=possible), message)
        return msgspec.structs.replace(
            message,
            address=Address(origin, address.exchange, address.routing_key, address.hidden_keys),
            properties=properties,
        )


def _holds(target: Dialect, name: str, value: Any) -> bool:
    """Can a message of this protocol have this header?"""
    try:
        target.write(Neutral(headers={name: value}), _EMPTY)
    except ValueError:
        return False
    return True


_EMPTY = Message(Address("", "", ""), b"", b"", 0)
