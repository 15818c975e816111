"""MQTT's packets as objects: what a client sends is decoded, what a broker sends is encoded.

Not here: what a packet means and in which order packets may come (`connection`). Version 3 stands for MQTT
3.1, 4 for 3.1.1, 5 for 5.0, as in CONNECT.

Source: MQTT 5.0 and 3.1.1, chapter 3; MQTT 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from typing import Any, Final

import msgspec

from pillarbox.protocols.mqtt import properties as table
from pillarbox.protocols.mqtt.primitives import Reader, WireError, integer
from pillarbox.protocols.mqtt.properties import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    WILL,
    Properties,
)
from pillarbox.protocols.mqtt.reasons import ReasonCode

V31: Final = 3
V311: Final = 4
V5: Final = 5
PROTOCOLS: Final = {V31: "MQIsdp", V311: "MQTT", V5: "MQTT"}

PACKET_BYTES_MAX: Final = 268_435_455 + 5
"""The largest packet that there can be."""

FILTERS_MAX: Final = 1000
"""Filters in one SUBSCRIBE or UNSUBSCRIBE."""

_uint16 = Struct(">H").pack
_bare_answer = Struct(">BBH").pack
_RESERVED_FLAGS: Final = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
"""The lower half of the first byte, which has to be just this; 0 where nothing is said, any for PUBLISH."""

ANSWER_FIRSTS: Final = {
    kind: kind << 4 | _RESERVED_FLAGS.get(kind, 0) for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP)
}
"""The first bytes of answers, by kind."""
BARE_BYTES: Final = 2
BARE_PACKET_BYTES: Final = 4
"""Size of an answer that says nothing but which message it is for: as its packet tells it, and whole."""


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What is published for a client that goes without a word."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """CONNECT (3.1)."""

    version: int
    clean: bool
    """Clean session, or in version 5 clean start."""
    keep_alive_s: int
    client_id: str
    will: Will | None
    username: str | None
    password: bytes | None
    properties: Properties


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """PUBLISH (3.3)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0
    properties: Properties = {}


class Answer(msgspec.Struct, frozen=True):
    """PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7)."""

    kind: int
    packet_id: int
    reason: int = 0
    properties: Properties = {}


class Subscription(msgspec.Struct, frozen=True):
    """One filter of a SUBSCRIBE with its options (3.8.3.1)."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    """SUBSCRIBE (3.8)."""

    packet_id: int
    subscriptions: list[Subscription]
    properties: Properties


class Unsubscribe(msgspec.Struct, frozen=True):
    """UNSUBSCRIBE (3.10)."""

    packet_id: int
    filters: list[str]
    properties: Properties


class PingRequest(msgspec.Struct, frozen=True):
    """PINGREQ (3.12)."""


class Disconnect(msgspec.Struct, frozen=True):
    """DISCONNECT (3.14)."""

    reason: int
    properties: Properties


class Auth(msgspec.Struct, frozen=True):
    """AUTH (3.15)."""

    reason: int
    properties: Properties


Packet = Connect | Publish | Answer | Subscribe | Unsubscribe | PingRequest | Disconnect | Auth


# --- from a client ---------------------------------------------------------------------------------------


def size_of(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the fields of the packet at this place begin and end; None if its size has not arrived yet.

    Raises WireError for a size that cannot be.
    """
    size = shift = 0
    for position in range(at + 1, min(at + 5, len(data))):
        byte = data[position]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + 1, position + 1 + size
        shift += 7
    if len(data) >= at + 5:
        raise WireError(ReasonCode.MALFORMED_PACKET, "a size of more than four bytes")
    return None


def decode(first: int, fields: bytes, version: int) -> Packet:
    """Decode a packet from its first byte and its fields. Raises WireError."""
    kind = first >> 4
    decoder = _DECODERS.get(kind)
    if decoder is None or (kind != PUBLISH and first & 0x0F != _RESERVED_FLAGS.get(kind, 0)):
        raise WireError(ReasonCode.MALFORMED_PACKET, f"a packet that begins with {first:#04x}")
    reader = Reader(fields)
    packet = decoder(reader, first, version)
    reader.demand_end()
    return packet


def _properties(reader: Reader, packet: int, version: int) -> Properties:
    return table.decode(reader, packet) if version >= V5 else {}


def _connect(reader: Reader, first: int, version: int) -> Connect:
    name, version = reader.text(), reader.byte()
    if PROTOCOLS.get(version) != name:
        raise WireError(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"protocol {name!r} in version {version}")
    flags = reader.byte()
    will_qos = flags >> 3 & 3
    has_will, has_password, has_username = flags & 0x04, flags & 0x40, flags & 0x80
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38):
        raise WireError(ReasonCode.MALFORMED_PACKET, f"the flags {flags:#04x} in CONNECT")
    if version < V5 and has_password and not has_username:
        raise WireError(ReasonCode.MALFORMED_PACKET, "a password without a user name")
    keep_alive_s = reader.uint16()
    properties = _properties(reader, CONNECT, version)
    client_id = reader.text()
    will = None
    if has_will:
        will_properties = _properties(reader, WILL, version)
        topic, payload = reader.text(), reader.binary()
        will = Will(
            topic=topic, payload=payload, qos=will_qos, retain=bool(flags & 0x20), properties=will_properties
        )
    return Connect(
        version=version,
        clean=bool(flags & 2),
        keep_alive_s=keep_alive_s,
        client_id=client_id,
        will=will,
        username=reader.text() if has_username else None,
        password=reader.binary() if has_password else None,
        properties=properties,
    )


def _publish(reader: Reader, first: int, version: int) -> Publish:
    qos = first >> 1 & 3
    if qos == 3 or (first & 8 and not qos):
        raise WireError(ReasonCode.MALFORMED_PACKET, f"a PUBLISH that begins with {first:#04x}")
    topic = reader.text()
    packet_id = _packet_id(reader) if qos else 0
    properties = _properties(reader, PUBLISH, version)
    if "subscription_identifier" in properties:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "a subscription identifier from a client")
    return Publish(
        topic=topic,
        payload=reader.rest(),
        qos=qos,
        retain=bool(first & 1),
        duplicate=bool(first & 8),
        packet_id=packet_id,
        properties=properties,
    )


def _packet_id(reader: Reader) -> int:
    packet_id = reader.uint16()
    if not packet_id:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "packet identifier 0")
    return packet_id


def _answer(reader: Reader, first: int, version: int) -> Answer:
    kind, packet_id = first >> 4, _packet_id(reader)
    if version < V5 or not reader.left:
        return Answer(kind, packet_id)
    reason = reader.byte()
    return Answer(kind, packet_id, reason, table.decode(reader, kind) if reader.left else {})


def _subscribe(reader: Reader, first: int, version: int) -> Subscribe:
    packet_id = _packet_id(reader)
    properties = _properties(reader, SUBSCRIBE, version)
    if len(properties.get("subscription_identifier", ())) > 1:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "two subscription identifiers")
    subscriptions: list[Subscription] = []
    while reader.left and len(subscriptions) < FILTERS_MAX:
        topic_filter, options = reader.text(), reader.byte()
        subscriptions.append(_subscription(topic_filter, options, version))
    _demand_filters(subscriptions, reader)
    return Subscribe(packet_id, subscriptions, properties)


def _subscription(topic_filter: str, options: int, version: int) -> Subscription:
    handling = options >> 4 & 3
    if options & 3 == 3 or (options > 2 and version < V5) or options & 0xC0 or handling == 3:
        raise WireError(ReasonCode.MALFORMED_PACKET, f"the subscription options {options:#04x}")
    return Subscription(topic_filter, options & 3, bool(options & 4), bool(options & 8), handling)


def _unsubscribe(reader: Reader, first: int, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader)
    properties = _properties(reader, UNSUBSCRIBE, version)
    filters: list[str] = []
    while reader.left and len(filters) < FILTERS_MAX:
        filters.append(reader.text())
    _demand_filters(filters, reader)
    return Unsubscribe(packet_id, filters, properties)


def _demand_filters(found: list[Any], reader: Reader) -> None:
    if not found:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "no topic filter at all")
    if reader.left:
        raise WireError(ReasonCode.QUOTA_EXCEEDED, f"more than {FILTERS_MAX} topic filters in one packet")


def _ping(reader: Reader, first: int, version: int) -> PingRequest:
    return PingRequest()


def _disconnect(reader: Reader, first: int, version: int) -> Disconnect:
    if version < V5 or not reader.left:
        return Disconnect(ReasonCode.SUCCESS, {})
    reason = reader.byte()
    return Disconnect(reason, table.decode(reader, DISCONNECT) if reader.left else {})


def _auth(reader: Reader, first: int, version: int) -> Auth:
    if version < V5:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "AUTH before version 5")
    if not reader.left:
        return Auth(ReasonCode.SUCCESS, {})
    return Auth(reader.byte(), table.decode(reader, AUTH) if reader.left else {})


_DECODERS: Final[dict[int, Callable[[Reader, int, int], Packet]]] = {
    CONNECT: _connect,
    PUBLISH: _publish,
    PUBACK: _answer,
    PUBREC: _answer,
    PUBREL: _answer,
    PUBCOMP: _answer,
    SUBSCRIBE: _subscribe,
    UNSUBSCRIBE: _unsubscribe,
    PINGREQ: _ping,
    DISCONNECT: _disconnect,
    AUTH: _auth,
}


# --- to a client -----------------------------------------------------------------------------------------

PING_RESPONSE: Final = bytes((PINGRESP << 4, 0))


def _packet(first: int, fields: bytes) -> bytes:
    return bytes((first,)) + integer(len(fields)) + fields


def connack(version: int, reason: int, *, session_present: bool, properties: Mapping[str, Any]) -> bytes:
    """CONNACK (3.2). Before version 5 `reason` is the return code, and there are no properties."""
    fields = bytes((session_present, reason))
    return _packet(CONNACK << 4, fields + table.encode(properties) if version >= V5 else fields)


def publish_first(*, qos: int, retain: bool, duplicate: bool) -> bytes:
    """The first byte of PUBLISH (3.3.1), which size, topic, packet identifier, properties and payload
    follow."""
    return bytes((PUBLISH << 4 | duplicate << 3 | qos << 1 | retain,))


def answer(kind: int, packet_id: int, version: int, reason: int = 0, text: str | None = None) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7)."""
    first = ANSWER_FIRSTS[kind]
    if version < V5 or not (reason or text):
        return _bare_answer(first, BARE_BYTES, packet_id)
    fields = _uint16(packet_id) + bytes((reason,))
    return _packet(first, fields + table.encode({"reason_string": text}) if text else fields)


def suback(packet_id: int, version: int, reasons: Iterable[int]) -> bytes:
    """SUBACK (3.9): the granted quality of each filter, or why it is refused."""
    head = _uint16(packet_id) + (b"\0" if version >= V5 else b"")
    return _packet(SUBACK << 4, head + bytes(reasons))


def unsuback(packet_id: int, version: int, reasons: Iterable[int]) -> bytes:
    """UNSUBACK (3.11), which says nothing about each filter before version 5."""
    fields = _uint16(packet_id)
    return _packet(UNSUBACK << 4, fields + b"\0" + bytes(reasons) if version >= V5 else fields)


def disconnect(reason: int, text: str | None = None) -> bytes:
    """DISCONNECT (3.14), which only version 5 has from a server."""
    return _packet(DISCONNECT << 4, bytes((reason,)) + table.encode({"reason_string": text}))
