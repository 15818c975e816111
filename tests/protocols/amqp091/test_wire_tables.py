"""Field tables: types and bytes kept, RabbitMQ's dialect, bounds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import wire, wire_tables

from . import oracle, twin
from .strategies import PLAIN_TABLES, TABLES, damaged

ENCODED = (TABLES | PLAIN_TABLES).map(wire.encode_table)


def sized(fields: bytes) -> bytes:
    return len(fields).to_bytes(4, "big") + fields


# --- both ways ----------------------------------------------------------------------------------------


@pytest.mark.row("R60")
@settings(deadline=None)
@given(TABLES)
def test_table_comes_back_with_its_types_and_bytes(table: dict[str, Any]) -> None:
    """R60: clients check that fields come back with the types that they were sent with."""
    data = wire.encode_table(table)
    found = wire.decode_table(data)
    assert twin.typed(found) == twin.typed(table)
    assert wire.encode_table(found) == data
    assert wire.decode_table_body(data[4:]) == found
    assert wire_tables.check_table(data, 0) == len(data)


@settings(deadline=None)
@given(TABLES)
def test_table_agrees_with_the_twin(table: dict[str, Any]) -> None:
    data = wire.encode_table(table)
    assert twin.typed(twin.decode_table(data)) == twin.typed(table)


@settings(deadline=None)
@given(oracle.READ_TABLES)
def test_pamqp_reads_what_is_written(table: dict[str, Any]) -> None:
    assert oracle.decode_table(wire.encode_table(table)) == oracle.understood(table)


@settings(deadline=None)
@given(oracle.TOLD_TABLES)
def test_what_pamqp_writes_is_read_and_written_back(table: dict[str, Any]) -> None:
    data = oracle.encode_table(table)
    found = wire.decode_table(data)
    assert oracle.understood(found) == oracle.understood(table)
    assert wire.encode_table(found) == data


def test_table_may_start_anywhere_and_be_followed_by_anything() -> None:
    data = b"..." + wire.encode_table({"a": 1}) + b"more"
    assert wire.decode_table(data, 3) == {"a": 1}


# What RabbitMQ 3.10.8 (rabbit_binary_parser, rabbit_binary_generator) makes of one field named "a":
# the bytes after the name, the value, its name for the type, the bytes when it writes the same field.
DIALECT: list[tuple[bytes, Any, str, bytes]] = [
    (b"t\x01", True, "bool", b"t\x01"),
    (b"t\x02", True, "bool", b"t\x01"),
    (b"b\xff", wire.Byte(-1), "byte", b"b\xff"),
    (b"B\xff", wire.UnsignedByte(255), "unsignedbyte", b"B\xff"),
    (b"s\xff\xff", wire.Short(-1), "short", b"s\xff\xff"),
    (b"u\xff\xff", wire.UnsignedShort(65535), "unsignedshort", b"u\xff\xff"),
    (b"I\xff\xff\xff\xff", -1, "signedint", b"I\xff\xff\xff\xff"),
    (b"i\xff\xff\xff\xff", wire.UnsignedInt(2**32 - 1), "unsignedint", b"i\xff\xff\xff\xff"),
    (b"l" + b"\xff" * 8, wire.Long(-1), "long", b"l" + b"\xff" * 8),
    (b"L" + b"\xff" * 8, wire.Long(-1), "long", b"l" + b"\xff" * 8),
    (b"l\x7f" + b"\xff" * 7, 2**63 - 1, "long", b"l\x7f" + b"\xff" * 7),
    (b"T" + b"\xff" * 8, wire.Timestamp(2**64 - 1), "timestamp", b"T" + b"\xff" * 8),
    (b"f\x3f\x80\x00\x00", wire.Float(1.0), "float", b"f\x3f\x80\x00\x00"),
    (b"d\x3f\xf0" + b"\x00" * 6, 1.0, "double", b"d\x3f\xf0" + b"\x00" * 6),
    (b"D\x02\xff\xff\xff\xff", wire.Decimal(2, 2**32 - 1), "decimal", b"D\x02\xff\xff\xff\xff"),
    (b"S\x00\x00\x00\x01x", "x", "longstr", b"S\x00\x00\x00\x01x"),
    (b"S\x00\x00\x00\x01\xff", wire.LongString(b"\xff"), "longstr", b"S\x00\x00\x00\x01\xff"),
    (b"x\x00\x00\x00\x01\xff", b"\xff", "binary", b"x\x00\x00\x00\x01\xff"),
    (b"V", None, "void", b"V"),
    (b"A\x00\x00\x00\x01V", [None], "array", b"A\x00\x00\x00\x01V"),
    (b"F\x00\x00\x00\x00", {}, "table", b"F\x00\x00\x00\x00"),
]


@pytest.mark.parametrize(("field", "value", "name", "again"), DIALECT, ids=[row[2] for row in DIALECT])
def test_field_means_what_it_means_to_rabbitmq(field: bytes, value: Any, name: str, again: bytes) -> None:
    found = wire.decode_table(sized(b"\x01a" + field))
    assert twin.typed(found) == twin.typed({"a": value})
    assert wire.type_name(found["a"]) == name
    assert wire.encode_table(found) == sized(b"\x01a" + again)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        (b"\x01a\x00", "unknown field type <<0>>"),
        (b"\x01aU\x01\x02", 'unknown field type <<"U">>'),
        (b"\x01aq", 'unknown field type <<"q">>'),
        (b"\x01af\x7f\xc0\x00\x00", "floating point field that is no finite number"),
        (b"\x01ad\x7f\xf8" + b"\x00" * 6, "floating point field that is no finite number"),
        (b"\x01ad\xff\xf0" + b"\x00" * 6, "floating point field that is no finite number"),
    ],
)
def test_field_that_rabbitmq_cannot_read_is_refused_in_words(fields: bytes, detail: str) -> None:
    """Its reader crashes on these."""
    with pytest.raises(wire.WireError) as caught:
        wire.decode_table(sized(fields))
    assert (caught.value.code, caught.value.detail) == (502, detail)
    with pytest.raises(wire.WireError):
        wire_tables.check_table(sized(fields), 0)


def test_numbers_compare_by_value_whatever_their_width() -> None:
    """T9: byte, short, int and long are equal on redeclaration; so are float and double."""
    integers = (5, *(t(5) for t in (wire.Byte, wire.Short, wire.UnsignedShort, wire.UnsignedInt, wire.Long)))
    assert len(set(integers)) == 1
    assert wire.Float(1.5) == 1.5
    assert str(wire.Short(5)) == f"{wire.Short(5)}" == "5"


def test_last_of_duplicate_keys_wins() -> None:
    assert wire.decode_table(sized(b"\x01at\x00\x01bV\x01at\x01")) == {"a": True, "b": None}


def test_empty_key_is_a_key() -> None:
    assert wire.decode_table(sized(b"\x00V")) == {"": None}


# --- what is no table ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    damaged((TABLES | PLAIN_TABLES).map(wire.encode_table))
    | st.binary(max_size=80)
    | st.binary(max_size=80).map(sized)
)
def test_damage_is_refused_exactly_when_the_twin_refuses_it(data: bytes) -> None:
    try:
        expected = twin.decode_table(data)
    except twin.Malformed:
        with pytest.raises(wire.WireError):
            wire.decode_table(data)
        with pytest.raises((wire.WireError, *wire_tables.FAULTS)):
            wire_tables.check_table(data, 0)
    else:
        assert twin.typed(wire.decode_table(data)) == twin.typed(expected)
        assert wire_tables.check_table(data, 0) == 4 + int.from_bytes(data[:4], "big")


@settings(deadline=None)
@given(damaged(TABLES.map(lambda table: wire.encode_table(table)[4:])) | st.binary(max_size=80))
def test_damaged_body_is_refused_exactly_when_the_twin_refuses_it(data: bytes) -> None:
    """AMQPLAIN's response, which comes from a peer that has not logged in."""
    try:
        expected = twin.decode_table(sized(data))
    except twin.Malformed:
        with pytest.raises(wire.WireError):
            wire.decode_table_body(data)
    else:
        assert twin.typed(wire.decode_table_body(data)) == twin.typed(expected)


@settings(deadline=None)
@given(TABLES)
def test_every_truncation_is_refused(table: dict[str, Any]) -> None:
    data = wire.encode_table(table)
    for size in range(len(data)):
        with pytest.raises(wire.WireError):
            wire.decode_table(data[:size])


COMMON = {
    "S": "x" * 100,
    "x": b"\x00",
    "V": None,
    "t": True,
    "A": [[], {}, 1],
    "F": {"a": {"b": [1]}},
    "b": wire.Byte(1),
    "B": wire.UnsignedByte(1),
    "s": wire.Short(1),
    "u": wire.UnsignedShort(1),
    "I": 1,
    "i": wire.UnsignedInt(1),
    "l": wire.Long(1),
    "T": wire.Timestamp(1),
    "D": wire.Decimal(1, 1),
}


def test_common_table_is_checked_without_reading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path knows every type but floats, whose values must be looked at."""
    data = wire.encode_table(COMMON)
    monkeypatch.delattr(wire_tables, "read_table")
    assert wire_tables.check_table(b"..." + data + b"...", 3) == 3 + len(data)


def accepts(read: Callable[[bytes], object], data: bytes) -> bool:
    try:
        read(data)
    except (twin.Malformed, wire.WireError, *wire_tables.FAULTS):
        return False
    return True


def test_fast_check_accepts_what_the_twin_accepts() -> None:
    """Every octet of a common table changed, to many below 128 and to one beyond."""
    data = wire.encode_table(COMMON)
    for place in range(4, len(data)):
        for octet in (*range(8), *b"txVSAFIlqU", 0x7F, 0xFF):
            changed = data[:place] + bytes((octet,)) + data[place + 1 :]
            fast = accepts(lambda data: wire_tables.check_table(data, 0), changed)
            assert fast == accepts(twin.decode_table, changed), (place, octet)


def nested(depth: int, *, arrays: bool) -> bytes:
    """A table with so many tables (or arrays) within one another."""
    data = b""
    for _ in range(depth):
        inner = sized(data)
        data = b"A" + inner if arrays else b"\x01aF" + inner
    return sized(b"\x01a" + data if arrays else data)


@pytest.mark.parametrize("arrays", [False, True], ids=["tables", "arrays"])
def test_nesting_is_bounded_both_ways(arrays: bool) -> None:
    """A frame of 128 KiB has room for 18,000 levels; the interpreter's stack has not."""
    deepest = nested(wire_tables.DEPTH_MAX, arrays=arrays)
    table = wire.decode_table(deepest)
    assert wire.encode_table(table) == deepest
    assert wire_tables.check_table(deepest, 0) == len(deepest)
    for depth in (wire_tables.DEPTH_MAX + 1, 2000, 18_000):
        with pytest.raises(wire.WireError, match="nested deeper"):
            wire.decode_table(nested(depth, arrays=arrays))
        with pytest.raises(wire.WireError, match="nested deeper"):
            wire_tables.check_table(nested(depth, arrays=arrays), 0)
    with pytest.raises(ValueError, match="nested deeper"):
        wire.encode_table({"a": [table] if arrays else table})


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 1000])
@pytest.mark.parametrize("letter", list("SxAF"))
def test_claimed_size_costs_no_memory(letter: str, size: int) -> None:
    """A peer may claim four gigabytes in nine bytes; only bytes that came are kept."""
    data = sized(b"\x01a" + letter.encode() + size.to_bytes(4, "big"))
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError):
            wire.decode_table(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# --- what cannot be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        wire.Byte(128),
        wire.UnsignedByte(-1),
        wire.Timestamp(-1),
        wire.Decimal(256, 0),
        wire.Decimal(0, 2**32),
        wire.Float(1e300),
        float("nan"),
        float("inf"),
        "\ud800",
        pytest.param(object(), id="object"),
        {"x" * 256: 1},
        [2**63],
        (1, 2),
    ],
    ids=repr,
)
def test_what_no_table_can_hold_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match=r"range|finite|surrogates|no field type|at most 255"):
        wire.encode_table({"a": value})
