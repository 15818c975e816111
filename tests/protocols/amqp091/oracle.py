"""pamqp as an oracle for the codec, and where it is none.

Exempted, because pamqp is wrong or narrower there, and proven by the twin instead:

- names that are no ASCII words, and reserved values other than its own, which pamqp refuses to send: its
  validation is switched off;
- the class `access`, which it does not have;
- 64-bit arguments from 2**63 on, which it reads as negative;
- timestamps from 2**32 on, which it takes for milliseconds, and those that Python's calendar cannot show;
- floats, which it writes with 32 bits, so that others are rounded or refused;
- decimals whose unscaled value needs 32 bits: it writes signed and reads unsigned ones;
- table keys beyond 128 bytes, which it refuses;
- empty strings and headers among properties, which it leaves out, and an absent cluster id, which it calls
  empty.
"""

from __future__ import annotations

import datetime
import decimal
import struct
import warnings
from typing import Any

from hypothesis import strategies as st
from pamqp import base, commands, decode, encode

from pillarbox.protocols.amqp091 import wire

from .strategies import NOT_UTF8, OCTETS, texts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    METHODS: dict[int, type[base.Frame]] = {
        index: type(method.__name__, (method,), {"validate": lambda self: None})
        for index, method in commands.INDEX_MAPPING.items()
    }

# Argument names that are a keyword or a type in Python, or that pamqp spells out.
RENAMED = {"global": "global_", "type": "exchange_type"}


def encode_method(method_id: int, arguments: dict[str, Any]) -> bytes:
    """Ids and arguments, written by pamqp."""
    method = _blank(method_id)
    for name, value in arguments.items():
        setattr(method, RENAMED.get(name, name), _told(value))
    return struct.pack(">I", method_id) + method.marshal()


def decode_method(payload: bytes) -> tuple[Any, ...]:
    """The arguments behind the ids, read by pamqp and brought into our types, strings as bytes."""
    method = _blank(struct.unpack_from(">I", payload)[0])
    method.unmarshal(payload[4:])
    return tuple(understood(getattr(method, name)) for name in method.attributes())


def _blank(method_id: int) -> base.Frame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return METHODS[method_id]()


def decode_table(data: bytes) -> dict[str, Any]:
    """A table with its size, read by pamqp."""
    consumed, table = decode.field_table(data)
    assert consumed == len(data)
    found = understood(table)
    assert isinstance(found, dict)
    return found


def encode_table(table: dict[str, Any]) -> bytes:
    """A table with its size, written by pamqp."""
    return encode.field_table(_told(table))


def decode_properties(data: bytes) -> tuple[Any, ...]:
    """Flags and values, read by pamqp."""
    properties = commands.Basic.Properties()
    properties.unmarshal(struct.unpack_from(">H", data)[0], data[2:])
    return tuple(understood(getattr(properties, name)) for name in properties.attributes())


def encode_properties(properties: wire.Properties) -> bytes:
    """Flags and values, written by pamqp."""
    theirs = commands.Basic.Properties()
    for name, value in zip(theirs.attributes(), properties, strict=True):
        setattr(theirs, name, _told(wire.Timestamp(value) if name == "timestamp" and value else value))
    return theirs.marshal()


def understood(value: Any) -> Any:
    """One form for what pamqp and we read: plain numbers, bytes for all strings."""
    match value:
        case dict():
            return {key: understood(item) for key, item in value.items()}
        case wire.Decimal():
            return decimal.Decimal(value.unscaled).scaleb(-value.scale)
        case list():
            return [understood(item) for item in value]
        case datetime.datetime():
            return int(value.timestamp())
        case str():
            return value.encode()
        case bytes() | bytearray():
            return bytes(value)
        case bool() | None:
            return value
        case int():
            return int(value)
        case float():
            return float(value)
    assert isinstance(value, decimal.Decimal)
    return value


def _told(value: Any) -> Any:
    """Our value in the types that pamqp writes."""
    match value:
        case dict():
            return {key: _told(item) for key, item in value.items()}
        case wire.Decimal():
            return decimal.Decimal(value.unscaled).scaleb(-value.scale)
        case list():
            return [_told(item) for item in value]
        case wire.Timestamp():
            return datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
        case bytes():
            return bytearray(value)
    return value


TIMESTAMPS = st.integers(0, 2**32 - 1)
KEYS = texts(128)

_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    TIMESTAMPS.map(wire.Timestamp),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.builds(wire.Decimal, st.integers(0, 20), st.integers(0, 2**31 - 1)),
    texts(300),
    st.binary(max_size=300),
)
_NARROW: st.SearchStrategy[Any] = st.one_of(
    st.integers(-128, 127).map(wire.Byte),
    st.integers(0, 255).map(wire.UnsignedByte),
    st.integers(-(2**15), 2**15 - 1).map(wire.Short),
    st.integers(0, 2**16 - 1).map(wire.UnsignedShort),
    st.integers(0, 2**32 - 1).map(wire.UnsignedInt),
    st.integers(-(2**31), 2**31 - 1).map(wire.Long),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(wire.Float),
    NOT_UTF8.map(wire.LongString),
)


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=4) | st.dictionaries(KEYS, values, max_size=4)


TOLD_TABLES = st.dictionaries(KEYS, st.recursive(_SCALARS, _containers, max_leaves=12), max_size=6)
"""Tables that pamqp can write."""
READ_TABLES = st.dictionaries(KEYS, st.recursive(_SCALARS | _NARROW, _containers, max_leaves=12), max_size=6)
"""Tables that pamqp can read."""

_STRINGS = st.none() | texts(255).filter(bool)


def properties(tables: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[wire.Properties]:
    """Properties that pamqp can read and write, with these headers."""
    return st.builds(
        wire.Properties,
        content_type=_STRINGS,
        content_encoding=_STRINGS,
        headers=st.none() | tables.filter(bool),
        delivery_mode=st.sampled_from((None, 1, 2)),
        priority=OCTETS,
        correlation_id=_STRINGS,
        reply_to=_STRINGS,
        expiration=_STRINGS,
        message_id=_STRINGS,
        timestamp=st.none() | TIMESTAMPS.filter(bool),
        type=_STRINGS,
        user_id=_STRINGS,
        app_id=_STRINGS,
        cluster_id=st.none(),
    )
