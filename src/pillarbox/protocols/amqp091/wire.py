"""Frames, content headers and properties of AMQP 0-9-1.

Not here: methods and their arguments (`methods`), what any of it means, when it may be sent. Field tables and
their types live in `wire_tables` and are offered here too.

Two rules. Nothing but `WireError` leaves a decoder, whatever the bytes. What `scan` accepts,
`decode_properties` accepts too and the other way round, so a stored message can always be opened later.

Strings of properties need not be UTF-8, as in RabbitMQ; they are then `bytes`. Stricter than RabbitMQ, to
spare consumers who would choke on it: no undefined property flags.

Source: AMQP 0-9-1 specification 4.2.3 and 4.2.6; RabbitMQ 3.10.8, asked with the bytes in
`tests/protocols/amqp091`.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Any, Final, NamedTuple

from pillarbox.protocols.amqp091.wire_tables import (
    FAULTS,
    FIELDS_MAX,
    FRAME_ERROR,
    SHORTSTR_MAX,
    Byte,
    Decimal,
    Float,
    Long,
    LongString,
    Reader,
    Short,
    Timestamp,
    UnsignedByte,
    UnsignedInt,
    UnsignedShort,
    WireError,
    Writer,
    check_table,
    clipped,
    decode_table,
    decode_table_body,
    demand_few_fields,
    encode_table,
    fault_words,
    fixed_reader,
    octets_text,
    read_table,
    shortened,
    type_name,
    write_table,
)

__all__ = [
    "CLASS_BASIC",
    "FRAME_BODY",
    "FRAME_END",
    "FRAME_HEADER",
    "FRAME_HEARTBEAT",
    "FRAME_METHOD",
    "FRAME_OVERHEAD",
    "HEARTBEAT_FRAME",
    "SHORTSTR_MAX",
    "Byte",
    "Decimal",
    "Float",
    "Long",
    "LongString",
    "Piece",
    "Properties",
    "PropertyFacts",
    "Short",
    "Timestamp",
    "UnsignedByte",
    "UnsignedInt",
    "UnsignedShort",
    "WireError",
    "clipped",
    "content_frames",
    "decode_header",
    "decode_properties",
    "decode_table",
    "decode_table_body",
    "encode_properties",
    "encode_table",
    "frame",
    "header_frame",
    "octets_text",
    "scan",
    "shortened",
    "type_name",
]

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD: Final = 8
"""Type, channel, size and end octet around a payload; `frame_max` counts them (4.2.3)."""

CLASS_BASIC: Final = 60

# --- frames ------------------------------------------------------------------------------------------

Piece = bytes | bytearray | memoryview
"""A part of what is written to a socket."""

_END = bytes((FRAME_END,))
_frame_head = Struct(">BHI").pack
_header_frame = Struct(">BHIHHQ").pack
_read_header = Struct(">HHQ").unpack_from

HEADER_BYTES: Final = 12
"""Class id, weight and body size before the properties of a content header."""


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Put a payload into a frame."""
    return _frame_head(kind, channel, len(payload)) + payload + _END


HEARTBEAT_FRAME: Final = frame(FRAME_HEARTBEAT, 0, b"")


def header_frame(channel: int, body_size: int, properties: bytes) -> bytes:
    """The content header of a message of class basic; `properties` as they are stored."""
    size = HEADER_BYTES + len(properties)
    return _header_frame(FRAME_HEADER, channel, size, CLASS_BASIC, 0, body_size) + properties + _END


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Header and body frames of a message, the body cut to fit `frame_max` (0: any size)."""
    size = len(body)
    header = header_frame(channel, size, properties)
    step = frame_max - FRAME_OVERHEAD if frame_max else size
    if size <= step:
        return header + frame(FRAME_BODY, channel, body) if size else header
    pieces = [header]
    for position in range(0, size, step):
        pieces.append(frame(FRAME_BODY, channel, body[position : position + step]))
    return b"".join(pieces)


def decode_header(payload: bytes) -> tuple[int, int, bytes]:
    """Class id, body size in bytes, and the properties (flags and values) of a content header's payload.

    The properties are not looked at: see `scan`. The weight is ignored, as RabbitMQ does.
    """
    if len(payload) < HEADER_BYTES + 2:
        raise WireError(f"type 2, all octets = {octets_text(payload)}: unknown_frame", FRAME_ERROR)
    class_id, _, body_size = _read_header(payload)
    return class_id, body_size, payload[HEADER_BYTES:]


# --- the properties of class basic -------------------------------------------------------------------


class Properties(NamedTuple):
    """The properties of a message, in wire order; None is absent. A string that is no UTF-8 is bytes."""

    content_type: str | bytes | None = None
    content_encoding: str | bytes | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | bytes | None = None
    reply_to: str | bytes | None = None
    expiration: str | bytes | None = None
    message_id: str | bytes | None = None
    timestamp: int | None = None
    type: str | bytes | None = None
    user_id: str | bytes | None = None
    app_id: str | bytes | None = None
    cluster_id: str | bytes | None = None


CONTENT_TYPE: Final = 0x8000
CONTENT_ENCODING: Final = 0x4000
HEADERS: Final = 0x2000
DELIVERY_MODE: Final = 0x1000
PRIORITY: Final = 0x0800
CORRELATION_ID: Final = 0x0400
REPLY_TO: Final = 0x0200
EXPIRATION: Final = 0x0100
MESSAGE_ID: Final = 0x0080
TIMESTAMP: Final = 0x0040
TYPE: Final = 0x0020
USER_ID: Final = 0x0010
APP_ID: Final = 0x0008
CLUSTER_ID: Final = 0x0004
UNDEFINED: Final = 0x0003
"""A property that class basic does not have, and the announcement of a second flag word, which has none
either. RabbitMQ ignores both bits; clients that are handed them do not."""

PERSISTENT: Final = 2
"""The delivery mode that asks for storage; every other value means transient."""


class PropertyFacts(NamedTuple):
    """What routing and storing need of the properties, in their wire form; see `scan`."""

    persistent: bool = False
    expiration: bytes | None = None
    priority: int | None = None
    user_id: bytes | None = None
    reply_to: bytes | None = None
    headers_position: int = 0
    """Where the header table starts, with its size, for `decode_table`; 0 if there is none."""


_COMMON: Final[dict[bytes, PropertyFacts]] = {
    b"\x00\x00": PropertyFacts(),
    b"\x10\x00\x01": PropertyFacts(),
    b"\x10\x00\x02": PropertyFacts(persistent=True),
}


def scan(properties: bytes) -> PropertyFacts:
    """Check properties (flags and values) and pick out what decides about the message.

    Strings are skipped, not decoded; headers are checked to the last field. Cost: about a microsecond, and
    as much again for every ten headers.
    """
    facts = _COMMON.get(properties)
    if facts is not None:
        return facts
    persistent = False
    expiration = priority = user_id = reply_to = None
    headers_position = 0
    try:
        flags = properties[0] << 8 | properties[1]
        position = 2
        if flags & CONTENT_TYPE:
            position += 1 + properties[position]
        if flags & CONTENT_ENCODING:
            position += 1 + properties[position]
        if flags & HEADERS:
            headers_position = position
            position = check_table(properties, position)
        if flags & DELIVERY_MODE:
            persistent = properties[position] == PERSISTENT
            position += 1
        if flags & PRIORITY:
            priority = properties[position]
            position += 1
        if flags & CORRELATION_ID:
            position += 1 + properties[position]
        if flags & REPLY_TO:
            start = position + 1
            position = start + properties[position]
            reply_to = properties[start:position]
        if flags & EXPIRATION:
            start = position + 1
            position = start + properties[position]
            expiration = properties[start:position]
        if flags & MESSAGE_ID:
            position += 1 + properties[position]
        if flags & TIMESTAMP:
            position += 8
        if flags & TYPE:
            position += 1 + properties[position]
        if flags & USER_ID:
            start = position + 1
            position = start + properties[position]
            user_id = properties[start:position]
        if flags & APP_ID:
            position += 1 + properties[position]
        if flags & CLUSTER_ID:
            position += 1 + properties[position]
    except FAULTS as fault:
        raise WireError(f"malformed properties: {fault_words(fault)}") from None
    if position != len(properties) or flags & UNDEFINED:
        raise _property_error(position, properties, flags)
    return PropertyFacts(persistent, expiration, priority, user_id, reply_to, headers_position)


def demand_few_headers(properties: bytes) -> None:
    """Raise WireError if there are more headers than anybody needs; see `demand_few_fields`."""
    # So many bytes would be needed at least: values of an array may have no more than a type.
    if len(properties) <= FIELDS_MAX:
        return
    try:
        flags = properties[0] << 8 | properties[1]
        position = 2
        for flag in (CONTENT_TYPE, CONTENT_ENCODING):
            if flags & flag:
                position += 1 + properties[position]
        if flags & HEADERS:
            demand_few_fields(properties, position)
    except FAULTS:
        pass  # For `scan` to say.


def _property_error(position: int, properties: bytes, flags: int) -> WireError:
    if flags & UNDEFINED:
        return WireError(f"malformed properties: undefined flags in {flags:#06x}")
    words = "truncated" if position > len(properties) else "bytes after the last one"
    return WireError(f"malformed properties: {words}")


def _read_shortstr(data: bytes, position: int, depth: int) -> tuple[str | bytes, int]:
    start = position + 1
    stop = start + data[position]
    try:
        return data[start:stop].decode(), stop
    except UnicodeDecodeError:
        return data[start:stop], stop


def _write_shortstr(out: bytearray, value: str | bytes, depth: int) -> None:
    data = value.encode() if isinstance(value, str) else value
    if len(data) > SHORTSTR_MAX:
        raise ValueError(f"short string of {len(data)} bytes, at most {SHORTSTR_MAX} are possible")
    out.append(len(data))
    out += data


def _read_octet(data: bytes, position: int, depth: int) -> tuple[int, int]:
    return data[position], position + 1


def _write_octet(out: bytearray, value: int, depth: int) -> None:
    out.append(value)


_read_seconds = fixed_reader(">Q", int)
_pack_seconds = Struct(">Q").pack


def _write_seconds(out: bytearray, value: int, depth: int) -> None:
    out += _pack_seconds(value)


_SHORTSTR: Final[tuple[Reader, Writer]] = (_read_shortstr, _write_shortstr)
_OCTET: Final[tuple[Reader, Writer]] = (_read_octet, _write_octet)

# Flag, reader and writer of every property, in the order of `Properties`.
_PROPERTIES: Final[tuple[tuple[int, Reader, Writer], ...]] = (
    (CONTENT_TYPE, *_SHORTSTR),
    (CONTENT_ENCODING, *_SHORTSTR),
    (HEADERS, read_table, write_table),
    (DELIVERY_MODE, *_OCTET),
    (PRIORITY, *_OCTET),
    (CORRELATION_ID, *_SHORTSTR),
    (REPLY_TO, *_SHORTSTR),
    (EXPIRATION, *_SHORTSTR),
    (MESSAGE_ID, *_SHORTSTR),
    (TIMESTAMP, _read_seconds, _write_seconds),
    (TYPE, *_SHORTSTR),
    (USER_ID, *_SHORTSTR),
    (APP_ID, *_SHORTSTR),
    (CLUSTER_ID, *_SHORTSTR),
)


def decode_properties(properties: bytes) -> Properties:
    """Read properties (flags and values), all of the input. `scan` accepts exactly the same inputs."""
    values: list[Any] = []
    try:
        flags = properties[0] << 8 | properties[1]
        position = 2
        for flag, read, _ in _PROPERTIES:
            value = None
            if flags & flag:
                value, position = read(properties, position, 0)
            values.append(value)
    except FAULTS as fault:
        raise WireError(f"malformed properties: {fault_words(fault)}") from None
    if position != len(properties) or flags & UNDEFINED:
        raise _property_error(position, properties, flags)
    return Properties(*values)


def encode_properties(properties: Properties) -> bytes:
    """Write flags and values. Raises ValueError for what no property list can hold."""
    flags = 0
    out = bytearray(2)
    try:
        for value, (flag, _, write) in zip(properties, _PROPERTIES, strict=True):
            if value is not None:
                flags |= flag
                write(out, value, 0)
    except struct.error as error:
        raise ValueError(f"property out of range: {error}") from None
    out[0], out[1] = flags >> 8, flags & 0xFF
    return bytes(out)
