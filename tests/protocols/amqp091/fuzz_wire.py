"""Fuzz target for the AMQP 0-9-1 codec: `check` says of any bytes whether the codec keeps its promises.

    python -m tests.protocols.amqp091.fuzz_wire [--seconds 60] [--runs N] [--corpus FOLDER]

The first byte of an input chooses the decoder (and a method), the rest is what it reads. The promises: only
WireError leaves a decoder; it accepts what the slow twin accepts and finds the same values; what it accepted
can be written, and reads the same again; `scan` and the decoder of properties agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests import fuzzing

if __name__ == "__main__":
    fuzzing.watch("pillarbox.protocols.amqp091.methods")

from pillarbox.protocols.amqp091 import methods, wire

from . import twin

INPUT_MAX = 1024

Decoder = Callable[[bytes], Any]


def _both(data: bytes, decode: Decoder, obvious: Decoder) -> Any:
    """What both decoders find, or None if both refuse."""
    try:
        expected = obvious(data)
    except twin.Malformed:
        expected = None
    try:
        found = decode(data)
    except wire.WireError as error:
        found = None
        code, detail = error.code, error.detail
    else:
        code, detail = 501, "accepted"
    assert code in (501, 502)
    assert detail
    assert twin.typed(found) == twin.typed(expected)
    return found


def _check_table(data: bytes) -> None:
    found = _both(data, wire.decode_table, twin.decode_table)
    if found is not None:
        again = wire.encode_table(found)
        assert twin.typed(wire.decode_table(again)) == twin.typed(found)
        assert wire.encode_table(wire.decode_table(again)) == again


def _check_table_body(data: bytes) -> None:
    _both(data, wire.decode_table_body, lambda data: twin.read_fields(twin.Cursor(data)))


def _check_properties(data: bytes) -> None:
    found = _both(data, lambda data: tuple(wire.decode_properties(data)), twin.decode_properties)
    try:
        facts = wire.scan(data)
    except wire.WireError:
        assert found is None
        return
    properties = wire.Properties(*found)
    again = wire.encode_properties(properties)
    assert twin.typed(tuple(wire.decode_properties(again))) == twin.typed(found)
    assert facts.persistent == (properties.delivery_mode == 2)
    assert facts.priority == properties.priority
    assert bool(facts.headers_position) == (properties.headers is not None)
    if properties.headers is not None:
        assert wire.decode_table(data, facts.headers_position) == properties.headers


def _check_header(data: bytes) -> None:
    try:
        class_id, body_size, properties = wire.decode_header(data)
    except wire.WireError:
        assert len(data) < 14
        return
    assert data == class_id.to_bytes(2, "big") + data[2:4] + body_size.to_bytes(8, "big") + properties


def _check_method(method: methods.Method, data: bytes) -> None:
    types = [type_ for _, type_ in method.arguments]
    found = _both(
        data,
        lambda data: methods.decode(method.id, data, 0),
        lambda data: twin.decode_arguments(types, data),
    )
    if found is not None:
        again = methods.encode(method.id, *found)
        assert again == method.id.to_bytes(4, "big") + twin.encode_arguments(types, found)
        assert twin.typed(methods.decode(method.id, again)) == twin.typed(found)


_CHECKS: tuple[Callable[[bytes], None], ...] = (
    _check_table,
    _check_table_body,
    _check_properties,
    _check_header,
)
_METHODS = tuple(methods.METHODS.values())


def check(data: bytes) -> None:
    """Raise whatever shows that the codec breaks a promise on this input."""
    choice = data[0] if data else 0
    if choice < len(_CHECKS):
        _CHECKS[choice](data[1:])
    else:
        _check_method(_METHODS[choice % len(_METHODS)], data[1:])


_TABLE: dict[str, Any] = {
    "": wire.LongString(b"\xff"),
    "A": [1, [{}], None, True],
    "B": wire.UnsignedByte(1),
    "D": wire.Decimal(2, 314),
    "F": {"a": {"b": {}}},
    "I": -1,
    "L": wire.Long(1),
    "S": "é",
    "T": wire.Timestamp(1),
    "b": wire.Byte(-1),
    "d": 1.5,
    "f": wire.Float(0.5),
    "i": wire.UnsignedInt(1),
    "l": 1 << 40,
    "s": wire.Short(1),
    "u": wire.UnsignedShort(1),
    "x": b"\xff",
}
_VALUES: dict[str, Any] = {
    "octet": 1,
    "short": 2,
    "long": 3,
    "longlong": 4,
    "bit": True,
    "shortstr": "é",
    "longstr": b"\x00PLAIN",
    "table": _TABLE,
}


def seeds() -> Iterator[bytes]:
    """Valid inputs of every kind, for the fuzzer to start from."""
    table = wire.encode_table(_TABLE)
    full = wire.Properties("a", "b", _TABLE, 2, 5, "c", "d", "1000", "e", 1, "f", "guest", "g", "h")
    properties = wire.encode_properties(full)
    yield b"\x00" + table
    yield b"\x01" + table[4:]
    yield b"\x02" + properties
    yield b"\x02\x10\x00\x02"
    # Headers of octets below 128 alone, as most are, take a path of their own.
    plain = {"t": True, "I": 1, "V": None, "S": "x", "A": [1, ["x"], {}], "F": {"D": wire.Decimal(2, 3)}}
    yield b"\x02" + wire.encode_properties(wire.Properties(headers=plain))
    yield b"\x03\x00\x3c\x00\x00" + bytes(8) + properties
    for place, method in enumerate(_METHODS):
        choice = place if place >= len(_CHECKS) else place + len(_METHODS)
        payload = methods.encode(method.id, *(_VALUES[type_] for _, type_ in method.arguments))
        yield bytes((choice,)) + payload[4:]


if __name__ == "__main__":
    fuzzing.main("the codec of AMQP 0-9-1", check, seeds(), size_max=INPUT_MAX)
