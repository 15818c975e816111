"""What a SEND means: where its destination leads, and what its headers say of the message.

Both are worked out once for each distinct head and kept (bounded), so that publishers who repeat themselves
cost a look-up. Not kept is what depends on the moment: `expires`, and destinations whose exchange looks at
every message.

Source: rows A7, R142, T12. ActiveMQ's `expires` is a moment, RabbitMQ's `expiration` a time to live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.arguments import milliseconds
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.headers import EXPIRATION, to_neutral

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.dialects import Dialect, Neutral
    from pillarbox.broker.target import Target
    from pillarbox.engine.base import Body

HEADS_MAX = 4096
"""Distinct heads of SEND that a connection keeps."""
HEAD_BYTES_MAX = 1024
"""Longer ones are read each time: nobody repeats them."""
ROUTES_MAX = 4096
"""Destinations whose route a connection keeps."""
EXPIRES = "expires"


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """Everything that messages with the same head have in common."""

    target: Target
    said: Neutral
    properties: bytes
    expiration_ms: int
    persistent: bool
    priority: int
    until_moment: bool = False
    """Its time to live ends at a moment."""
    is_late: bool = False
    """That was over when it came: nobody gets it, whoever waits for it."""

    def message(self, body: Body, now_ms: int) -> Message:
        """The message with this body."""
        return Message(
            self.target.address,
            self.properties,
            body,
            now_ms - self.is_late,
            self.expiration_ms,
            self.persistent,
            self.priority,
        )

    def messages(self, bodies: Iterable[Body], now_ms: int) -> list[Message]:
        """A message with each of these bodies."""
        address, properties = self.target.address, self.properties
        expiration_ms, persistent, priority = self.expiration_ms, self.persistent, self.priority
        return [
            Message(address, properties, body, now_ms, expiration_ms, persistent, priority) for body in bodies
        ]


class Batch:
    """Messages that go the same way and are handed on together."""

    __slots__ = ("asked", "body_bytes", "expiring", "last", "messages", "prioritized", "unshared_bytes")

    def __init__(self, first: Prepared) -> None:
        self.last = first
        """What the last of them has in common with others."""
        self.messages: list[Message] = []
        self.asked: list[bytes | None] = []
        """The receipt of each, if it asks for one."""
        self.body_bytes = 0
        self.unshared_bytes = 0
        """Of properties that no other message has."""
        self.expiring = self.prioritized = False
        self._note(first)

    def takes(self, prepared: Prepared) -> bool:
        """Do such messages go this way? Then they come next."""
        last = self.last
        if prepared is last:
            return True
        if prepared.persistent is not last.persistent or not _same_way(prepared.target, last.target):
            return False
        self.last = prepared
        self._note(prepared)
        return True

    def _note(self, prepared: Prepared) -> None:
        if prepared.expiration_ms != NO_EXPIRATION:
            self.expiring = True
        if prepared.priority:
            self.prioritized = True

    def add(self, body: Body, receipt: bytes | None, now_ms: int) -> None:
        """Take a message."""
        self.messages.append(self.last.message(body, now_ms))
        self.asked.append(receipt)
        self.body_bytes += len(body)

    def add_alike(self, bodies: list[bytes], receipts: list[bytes], now_ms: int) -> None:
        """Take messages that differ from the last one in nothing but their bodies, and receipts if any."""
        self.messages += self.last.messages(bodies, now_ms)
        self.asked += receipts or [None] * len(bodies)
        self.body_bytes += sum(map(len, bodies))

    def publish(self, core: Core) -> tuple[bool, Sequence[int]]:
        """Hand them on; see `Core.publish`."""
        return self.last.target.publish_all(
            core,
            self.messages,
            self.body_bytes,
            persistent=self.last.persistent,
            expiring=self.expiring,
            prioritized=self.prioritized,
            message_bytes=MESSAGE_BYTES + self.unshared_bytes // len(self.messages),
        )


def _same_way(one: Target, other: Target) -> bool:
    """Do messages to these go through the same exchange to the same queues?"""
    if one is other:
        return True
    way, others = one.route, other.route
    return (
        way.per_message
        and others.per_message
        and one.counters is other.counters
        and way.queues == others.queues
    )


def prepare(
    headers: Mapping[str, str], target: Target, dialect: Dialect, *, user: str, now_ms: int
) -> Prepared:
    """What the headers of a SEND say of its message. Raises StompError."""
    said = to_neutral(headers)
    if said.user_id is not None and said.user_id != user:
        text = f"user_id property set to '{said.user_id}' but authenticated user was '{user}'"
        raise StompError("precondition_failed", f"PRECONDITION_FAILED - {text}")
    is_late = until_moment = False
    expiration_ms = NO_EXPIRATION
    if EXPIRATION in headers:
        expiration_ms = _time_to_live(headers[EXPIRATION])
    elif headers.get(EXPIRES, "0") != "0":
        left_ms = _time_until(headers[EXPIRES], now_ms)
        is_late = left_ms < 0
        until_moment = milliseconds(max(0, left_ms)) is None
        if until_moment:
            expiration_ms = max(0, left_ms)
    priority = said.priority or 0
    plain = Prepared(target, said, b"", expiration_ms, said.persistent, priority, until_moment, is_late)
    try:
        properties = dialect.write(said, plain.message(b"", now_ms))
    except ValueError as fault:
        raise StompError("Invalid header", f"the headers have no room in a message: {fault}") from None
    return msgspec.structs.replace(plain, properties=properties)


def _time_to_live(text: str) -> int:
    problem = milliseconds(int(text[:20])) if text.isascii() and text.isdigit() else "no_integer"
    if problem is not None:
        detail = f"PRECONDITION_FAILED - invalid expiration '{text}': {problem}"
        raise StompError("precondition_failed", detail)
    return int(text)


def _time_until(text: str, now_ms: int) -> int:
    """Milliseconds until a moment; below 0 if it is over."""
    if not (text.isascii() and text.isdigit()):
        raise StompError("Invalid header", f"header '{EXPIRES}' is '{text}': it must be in milliseconds")
    return int(text[:20]) - now_ms
