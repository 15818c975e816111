"""What a SEND means: where its destination leads, and what its headers say of the message.

Both are worked out once for each distinct head and kept (bounded), so that publishers who repeat themselves
cost a look-up. Not kept is what depends on the moment: `expires`, and destinations whose exchange looks at
every message.

Source: rows A7, R142, T12. ActiveMQ's `expires` is a moment, RabbitMQ's `expiration` a time to live.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.arguments import milliseconds
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.headers import EXPIRATION, to_neutral

if TYPE_CHECKING:
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
    priority: int

    @property
    def persistent(self) -> bool:
        return self.said.persistent

    def message(self, body: Body, now_ms: int) -> Message:
        """The message with this body."""
        return Message(
            self.target.address,
            self.properties,
            body,
            now_ms,
            self.expiration_ms,
            self.said.persistent,
            self.priority,
        )


def prepare(
    headers: Mapping[str, str], target: Target, dialect: Dialect, *, user: str, now_ms: int
) -> Prepared:
    """What the headers of a SEND say of its message. Raises StompError."""
    said = to_neutral(headers)
    if said.user_id is not None and said.user_id != user:
        text = f"user_id property set to '{said.user_id}' but authenticated user was '{user}'"
        raise StompError("precondition_failed", f"PRECONDITION_FAILED - {text}")
    expiration_ms = NO_EXPIRATION
    if EXPIRATION in headers:
        expiration_ms = _time_to_live(headers[EXPIRATION])
    elif headers.get(EXPIRES, "0") != "0":
        expiration_ms = _time_until(headers[EXPIRES], now_ms)
    plain = Prepared(target, said, b"", expiration_ms, said.priority or 0)
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
    """Milliseconds until a moment; one that is too far off is none."""
    if not (text.isascii() and text.isdigit()):
        raise StompError("Invalid header", f"header '{EXPIRES}' is '{text}': it must be in milliseconds")
    left_ms = max(0, int(text[:20]) - now_ms)
    return left_ms if milliseconds(left_ms) is None else NO_EXPIRATION
