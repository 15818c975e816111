"""What a message of MQTT is while the broker has it: one byte of flags, then its properties as version 5 has
them on the wire. So a message goes from one client to another without being taken apart.

Flags: the quality with which it was published (two bits), whether it was to be retained, whether it is what
was retained (for a new subscriber), and whether the name of the client that published it follows, which it
does only where that client asks not to get its own messages.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.mqtt import properties as table
from pillarbox.protocols.mqtt.primitives import Reader, integer, text
from pillarbox.protocols.mqtt.properties import Properties

ORIGIN: Final = "mqtt"

NO_PROPERTIES: Final = b"\0"
_QOS: Final = 3
_RETAIN: Final = 4
_RETAINED: Final = 8
_SENDER: Final = 16

KEPT: Final = frozenset(
    ("payload_format_indicator", "content_type", "response_topic", "correlation_data", "user_property")
)
"""Properties of a PUBLISH that its receivers get as they are; the others are for the broker."""


class Facts(NamedTuple):
    """What the bytes mean. `properties` are encoded, their size in front."""

    qos: int
    retain: bool
    retained: bool
    sender: str
    properties: bytes


def pack(
    qos: int,
    properties: bytes = NO_PROPERTIES,
    *,
    retain: bool = False,
    retained: bool = False,
    sender: str = "",
) -> bytes:
    """The property bytes of a message."""
    flags = qos | retain * _RETAIN | retained * _RETAINED
    if sender:
        return bytes((flags | _SENDER,)) + text(sender) + properties
    return bytes((flags,)) + properties


def facts(message: Message) -> Facts:
    """What is known of a message of this protocol."""
    raw = message.properties
    flags = raw[0]
    sender, at = "", 1
    if flags & _SENDER:
        reader = Reader(raw, 1)
        sender, at = reader.text(), reader.at
    return Facts(flags & _QOS, bool(flags & _RETAIN), bool(flags & _RETAINED), sender, raw[at:])


def kept(properties: Properties) -> bytes:
    """The properties of a PUBLISH that go on to its receivers, encoded."""
    if not properties:
        return NO_PROPERTIES
    return table.encode({name: value for name, value in properties.items() if name in KEPT})


def with_more(encoded: bytes, more: Properties) -> bytes:
    """Encoded properties, and others."""
    reader = Reader(encoded)
    size = reader.integer()
    added = table.encode(more)
    start = Reader(added)
    start.integer()
    return integer(size + start.left) + added[start.at :] + encoded[reader.at :]


def seconds_left(message: Message, now_ms: int) -> int | None:
    """How many seconds of its life a message has left, rounded up; None: it lives for ever.

    No more than it had: clocks may be set back.
    """
    whole_ms = message.expiration_ms
    if whole_ms == NO_EXPIRATION:
        return None
    left_ms = min(message.accepted_ms + whole_ms - now_ms, whole_ms)
    return max(0, -(-left_ms // 1000))
