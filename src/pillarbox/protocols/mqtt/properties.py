"""The properties of MQTT 5: a table of all there are, how to read them and how to write them.

Not here: what they mean. A packet's properties are a dict by the names of the table; `user_property` is a
list of pairs and `subscription_identifier` a list of numbers, because these two may come more than once.

Source: MQTT 5.0, 2.2.2 and table 2-4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

from pillarbox.protocols.mqtt.primitives import (
    Reader,
    WireError,
    binary,
    integer,
    text,
)
from pillarbox.protocols.mqtt.reasons import ReasonCode

Properties = dict[str, Any]

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15
WILL: Final = 16
"""Not a packet: the properties of the will inside CONNECT."""

_ACKS: Final = frozenset((PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK))
_BYTE, _UINT16, _UINT32 = Struct(">B").pack, Struct(">H").pack, Struct(">I").pack

USER_PROPERTIES_MAX: Final = 1000
"""In one packet; each costs an object for its name and one for its value."""


class Kind(NamedTuple):
    """How the value of a property is read and written."""

    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]


_byte = Kind(Reader.byte, _BYTE)
_uint16 = Kind(Reader.uint16, _UINT16)
_uint32 = Kind(Reader.uint32, _UINT32)
_integer = Kind(Reader.integer, integer)
_text = Kind(Reader.text, text)
_binary = Kind(Reader.binary, binary)
_pair = Kind(lambda reader: (reader.text(), reader.text()), lambda pair: text(pair[0]) + text(pair[1]))


class Property(NamedTuple):
    """One row of table 2-4."""

    identifier: int
    name: str
    kind: Kind
    packets: frozenset[int]
    least: int = 0
    most: int | None = None
    refusal: ReasonCode = ReasonCode.PROTOCOL_ERROR
    """The answer to a value that is not between `least` and `most`."""
    repeated: bool = False


def _in(*packets: int) -> frozenset[int]:
    return frozenset(packets)


PROPERTIES: Final = (
    Property(0x01, "payload_format_indicator", _byte, _in(PUBLISH, WILL), most=1),
    Property(0x02, "message_expiry_interval", _uint32, _in(PUBLISH, WILL)),
    Property(0x03, "content_type", _text, _in(PUBLISH, WILL)),
    Property(0x08, "response_topic", _text, _in(PUBLISH, WILL)),
    Property(0x09, "correlation_data", _binary, _in(PUBLISH, WILL)),
    Property(0x0B, "subscription_identifier", _integer, _in(PUBLISH, SUBSCRIBE), least=1, repeated=True),
    Property(0x11, "session_expiry_interval", _uint32, _in(CONNECT, CONNACK, DISCONNECT)),
    Property(0x12, "assigned_client_identifier", _text, _in(CONNACK)),
    Property(0x13, "server_keep_alive", _uint16, _in(CONNACK)),
    Property(0x15, "authentication_method", _text, _in(CONNECT, CONNACK, AUTH)),
    Property(0x16, "authentication_data", _binary, _in(CONNECT, CONNACK, AUTH)),
    Property(0x17, "request_problem_information", _byte, _in(CONNECT), most=1),
    Property(0x18, "will_delay_interval", _uint32, _in(WILL)),
    Property(0x19, "request_response_information", _byte, _in(CONNECT), most=1),
    Property(0x1A, "response_information", _text, _in(CONNACK)),
    Property(0x1C, "server_reference", _text, _in(CONNACK, DISCONNECT)),
    Property(0x1F, "reason_string", _text, _in(CONNACK, DISCONNECT, AUTH) | _ACKS),
    Property(0x21, "receive_maximum", _uint16, _in(CONNECT, CONNACK), least=1),
    Property(0x22, "topic_alias_maximum", _uint16, _in(CONNECT, CONNACK)),
    Property(0x23, "topic_alias", _uint16, _in(PUBLISH), least=1, refusal=ReasonCode.TOPIC_ALIAS_INVALID),
    Property(0x24, "maximum_qos", _byte, _in(CONNACK), most=1),
    Property(0x25, "retain_available", _byte, _in(CONNACK), most=1),
    Property(
        0x26,
        "user_property",
        _pair,
        _in(CONNECT, CONNACK, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH) | _ACKS,
        repeated=True,
    ),
    Property(0x27, "maximum_packet_size", _uint32, _in(CONNECT, CONNACK), least=1),
    Property(0x28, "wildcard_subscription_available", _byte, _in(CONNACK), most=1),
    Property(0x29, "subscription_identifier_available", _byte, _in(CONNACK), most=1),
    Property(0x2A, "shared_subscription_available", _byte, _in(CONNACK), most=1),
)
BY_IDENTIFIER: Final = {row.identifier: row for row in PROPERTIES}
BY_NAME: Final = {row.name: row for row in PROPERTIES}


def decode(reader: Reader, packet: int) -> Properties:
    """Read the properties of a packet. Raises WireError: unknown, twice, of other packets, out of bounds."""
    size = reader.integer()
    if not size:
        return {}
    part = reader.part(size)
    properties: Properties = {}
    while part.left:
        row = BY_IDENTIFIER.get(part.integer())
        if row is None:
            raise WireError(ReasonCode.MALFORMED_PACKET, "a property that does not exist")
        if packet not in row.packets:
            raise WireError(ReasonCode.PROTOCOL_ERROR, f"property {row.name} in a packet that has none")
        value = row.kind.read(part)
        if isinstance(value, int) and (value < row.least or (row.most is not None and value > row.most)):
            raise WireError(row.refusal, f"property {row.name} of {value}")
        if row.repeated:
            values = properties.setdefault(row.name, [])
            if len(values) >= USER_PROPERTIES_MAX:
                raise WireError(ReasonCode.QUOTA_EXCEEDED, f"more than {USER_PROPERTIES_MAX} {row.name}")
            values.append(value)
        elif row.name in properties:
            raise WireError(ReasonCode.PROTOCOL_ERROR, f"property {row.name} twice")
        else:
            properties[row.name] = value
    return properties


def encode(properties: Mapping[str, Any]) -> bytes:
    """The properties with their size in front. Those that are None are left out."""
    parts = []
    for name, value in properties.items():
        if value is None:
            continue
        row = BY_NAME[name]
        head = integer(row.identifier)
        parts += [head + row.kind.write(item) for item in (value if row.repeated else (value,))]
    encoded = b"".join(parts)
    return integer(len(encoded)) + encoded
