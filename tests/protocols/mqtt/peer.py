"""The client's side of MQTT's codec, written plainly: what the broker decodes is encoded here, and the
other way round. The slow twin of `pillarbox.protocols.mqtt.packets`.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pillarbox.protocols.mqtt.packets import (
    Answer,
    Auth,
    Connect,
    Disconnect,
    Packet,
    PingRequest,
    Publish,
    Subscribe,
    Unsubscribe,
)

KINDS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), "B"),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), "H"),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), "I"),
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), "text"),
    **dict.fromkeys((0x09, 0x16), "binary"),
    0x0B: "integer",
    0x26: "pair",
}
"""How each property is written (MQTT 5.0, table 2-4)."""

NAMES = {
    "payload_format_indicator": 0x01, "message_expiry_interval": 0x02, "content_type": 0x03,
    "response_topic": 0x08, "correlation_data": 0x09, "subscription_identifier": 0x0B,
    "session_expiry_interval": 0x11, "assigned_client_identifier": 0x12, "server_keep_alive": 0x13,
    "authentication_method": 0x15, "authentication_data": 0x16, "request_problem_information": 0x17,
    "will_delay_interval": 0x18, "request_response_information": 0x19, "response_information": 0x1A,
    "server_reference": 0x1C, "reason_string": 0x1F, "receive_maximum": 0x21, "topic_alias_maximum": 0x22,
    "topic_alias": 0x23, "maximum_qos": 0x24, "retain_available": 0x25, "user_property": 0x26,
    "maximum_packet_size": 0x27, "wildcard_subscription_available": 0x28,
    "subscription_identifier_available": 0x29, "shared_subscription_available": 0x2A,
}  # fmt: skip
SHOWN = {identifier: name for name, identifier in NAMES.items()}


def integer(value: int) -> bytes:
    encoded = b""
    while True:
        value, low = divmod(value, 128)
        encoded += bytes([low + 128 if value else low])
        if not value:
            return encoded


def binary(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def text(value: str) -> bytes:
    return binary(value.encode())


def one_property(identifier: int, value: Any) -> bytes:
    kind = KINDS[identifier]
    if kind == "pair":
        written = text(value[0]) + text(value[1])
    elif kind in ("text", "binary", "integer"):
        written = {"text": text, "binary": binary, "integer": integer}[kind](value)
    else:
        written = struct.pack(">" + kind, value)
    return integer(identifier) + written


def properties(values: dict[str, Any]) -> bytes:
    written = b""
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            written += one_property(NAMES[name], item)
    return integer(len(written)) + written


def packet(first: int, fields: bytes) -> bytes:
    return bytes([first]) + integer(len(fields)) + fields


def connect(said: Connect) -> bytes:
    five = said.version == 5
    will = said.will
    flags = said.clean << 1 | (said.password is not None) << 6 | (said.username is not None) << 7
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
    fields = text("MQIsdp" if said.version == 3 else "MQTT") + bytes([said.version, flags])
    fields += struct.pack(">H", said.keep_alive_s) + (properties(said.properties) if five else b"")
    fields += text(said.client_id)
    if will:
        fields += (properties(will.properties) if five else b"") + text(will.topic) + binary(will.payload)
    fields += text(said.username) if said.username is not None else b""
    fields += binary(said.password) if said.password is not None else b""
    return packet(0x10, fields)


def encode(said: Packet, version: int) -> bytes:
    """What a client of this version writes to say this."""
    five = version == 5

    def more(values: dict[str, Any]) -> bytes:
        return properties(values) if five else b""

    if isinstance(said, Connect):
        return connect(said)
    if isinstance(said, Publish):
        first = 0x30 | said.duplicate << 3 | said.qos << 1 | said.retain
        number = struct.pack(">H", said.packet_id) if said.qos else b""
        return packet(first, text(said.topic) + number + more(said.properties) + said.payload)
    if isinstance(said, Answer):
        fields = struct.pack(">H", said.packet_id)
        if five and (said.reason or said.properties):
            fields += bytes([said.reason]) + (properties(said.properties) if said.properties else b"")
        return packet(said.kind << 4 | (2 if said.kind == 6 else 0), fields)
    if isinstance(said, Subscribe):
        fields = struct.pack(">H", said.packet_id) + more(said.properties)
        for row in said.subscriptions:
            options = row.qos | row.no_local << 2 | row.retain_as_published << 3 | row.retain_handling << 4
            fields += text(row.filter) + bytes([options])
        return packet(0x82, fields)
    if isinstance(said, Unsubscribe):
        fields = struct.pack(">H", said.packet_id) + more(said.properties)
        return packet(0xA2, fields + b"".join(map(text, said.filters)))
    if isinstance(said, PingRequest):
        return packet(0xC0, b"")
    kind = 0xE0 if isinstance(said, Disconnect) else 0xF0
    assert isinstance(said, (Disconnect, Auth))
    fields = bytes([said.reason]) + properties(said.properties) if five else b""
    return packet(kind, fields)


class Received(NamedTuple):
    """A packet from the broker, taken apart."""

    kind: int
    flags: int
    fields: dict[str, Any]


class Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        assert len(taken) == count
        return taken

    def number(self, kind: str) -> int:
        value: int = struct.unpack(">" + kind, self.take(struct.calcsize(">" + kind)))[0]
        return value

    def integer(self) -> int:
        value = factor = 0
        while True:
            byte = self.number("B")
            value += byte % 128 * 128**factor
            factor += 1
            if byte < 128:
                return value

    def binary(self) -> bytes:
        return self.take(self.number("H"))

    def properties(self) -> dict[str, Any]:
        part = Cursor(self.take(self.integer()))
        found: dict[str, Any] = {}
        while part.data:
            identifier = part.integer()
            kind, name = KINDS[identifier], SHOWN[identifier]
            value: Any
            if kind == "pair":
                value = (part.binary().decode(), part.binary().decode())
            elif kind == "text":
                value = part.binary().decode()
            elif kind == "binary":
                value = part.binary()
            else:
                value = part.integer() if kind == "integer" else part.number(kind)
            if name in ("user_property", "subscription_identifier"):
                found.setdefault(name, []).append(value)
            else:
                assert name not in found
                found[name] = value
        return found


def decode(data: bytes, version: int) -> tuple[Received, bytes]:
    """The first packet that the broker has sent, and what stands behind it."""
    cursor = Cursor(data)
    first = cursor.number("B")
    body = Cursor(cursor.take(cursor.integer()))
    kind, flags = first >> 4, first & 15
    fields: dict[str, Any] = {}
    five = version == 5
    if kind == 2:
        fields = {"session_present": body.number("B"), "reason": body.number("B")}
    elif kind == 3:
        fields = {"topic": body.binary().decode()}
        if flags & 6:
            fields["packet_id"] = body.number("H")
    elif kind in (4, 5, 6, 7):
        fields = {"packet_id": body.number("H"), "reason": body.number("B") if body.data else 0}
    elif kind in (9, 11):
        fields = {"packet_id": body.number("H")}
    elif kind in (14, 15):
        fields = {"reason": body.number("B") if body.data else 0}
    if five and body.data:
        fields["properties"] = body.properties()
    if kind == 3:
        fields["payload"] = body.data
    elif kind in (9, 11):
        fields["reasons"] = list(body.data)
    else:
        assert not body.data
    return Received(kind, flags, fields), cursor.data
