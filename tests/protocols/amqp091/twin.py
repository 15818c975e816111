"""The slow, obvious twin of the AMQP 0-9-1 codec: every value read one by one, every bound checked at once.

The codec in `pillarbox.protocols.amqp091` composes `struct` calls, writes functions and checks bounds late.
Both must accept the same bytes and make the same values of them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from pillarbox.protocols.amqp091 import wire

DEPTH_MAX = 128
NUMBERS = {
    "b": (">b", wire.Byte),
    "B": (">B", wire.UnsignedByte),
    "s": (">h", wire.Short),
    "u": (">H", wire.UnsignedShort),
    "I": (">i", int),
    "i": (">I", wire.UnsignedInt),
    "l": (">q", wire.Long),
    "L": (">q", wire.Long),
    "T": (">Q", wire.Timestamp),
    "f": (">f", wire.Float),
    "d": (">d", float),
}
ARGUMENTS = {"octet": ">B", "short": ">H", "long": ">I", "longlong": ">Q"}
PROPERTY_KINDS = "SSFBBSSSSTSSSS"


class Malformed(Exception):
    """The bytes are no AMQP."""


class Cursor:
    """A place in a range of bytes that nothing reads beyond."""

    def __init__(self, data: bytes, start: int = 0, stop: int | None = None) -> None:
        self.data = data
        self.position = start
        self.stop = len(data) if stop is None else stop

    def take(self, count: int) -> bytes:
        if count > self.stop - self.position:
            raise Malformed("truncated")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def part(self, count: int) -> Cursor:
        """A cursor on the next bytes, which are thereby taken."""
        self.take(count)
        return Cursor(self.data, self.position - count, self.position)

    @property
    def done(self) -> bool:
        return self.position == self.stop


def utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed("no UTF-8") from None


def read_table(cursor: Cursor, depth: int = 0) -> dict[str, Any]:
    return read_fields(cursor.part(cursor.number(">I")), depth)


def read_fields(cursor: Cursor, depth: int = 0) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise Malformed("too deep")
    table = {}
    while not cursor.done:
        key = utf8(cursor.take(cursor.number(">B")))
        table[key] = read_value(cursor, depth + 1)
    return table


def read_value(cursor: Cursor, depth: int) -> Any:
    letter = chr(cursor.number(">B"))
    if letter in NUMBERS:
        code, type_ = NUMBERS[letter]
        value = type_(cursor.number(code))
        if not math.isfinite(value):
            raise Malformed("not finite")
        return int(value) if type_ is wire.Long and not -(2**31) <= value < 2**31 else value
    if letter == "t":
        return cursor.number(">B") != 0
    if letter == "D":
        return wire.Decimal(cursor.number(">B"), cursor.number(">I"))
    if letter == "S":
        data = cursor.take(cursor.number(">I"))
        try:
            return data.decode()
        except UnicodeDecodeError:
            return wire.LongString(data)
    if letter == "x":
        return cursor.take(cursor.number(">I"))
    if letter == "V":
        return None
    if letter == "F":
        return read_table(cursor, depth)
    if letter == "A":
        if depth > DEPTH_MAX:
            raise Malformed("too deep")
        part = cursor.part(cursor.number(">I"))
        values = []
        while not part.done:
            values.append(read_value(part, depth + 1))
        return values
    raise Malformed(f"type {letter!r}")


def decode_table(data: bytes) -> dict[str, Any]:
    return read_table(Cursor(data))


def decode_arguments(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    cursor = Cursor(data)
    values: list[Any] = []
    octet = bit = 0
    for type_ in types:
        if type_ == "bit":
            if bit == 0:
                octet = cursor.number(">B")
            values.append(bool(octet >> bit & 1))
            bit = (bit + 1) % 8
            continue
        bit = 0
        if type_ in ARGUMENTS:
            values.append(cursor.number(ARGUMENTS[type_]))
        elif type_ == "shortstr":
            values.append(utf8(cursor.take(cursor.number(">B"))))
        elif type_ == "longstr":
            values.append(cursor.take(cursor.number(">I")))
        else:
            assert type_ == "table"
            values.append(read_table(cursor))
    if not cursor.done:
        raise Malformed("bytes left")
    return tuple(values)


def encode_arguments(types: Sequence[str], values: Sequence[Any]) -> bytes:
    out = b""
    bit = 0
    for type_, value in zip(types, values, strict=True):
        if type_ == "bit":
            if bit == 0:
                out += b"\0"
            out = out[:-1] + bytes((out[-1] | (bool(value) << bit),))
            bit = (bit + 1) % 8
            continue
        bit = 0
        if type_ in ARGUMENTS:
            out += struct.pack(ARGUMENTS[type_], value)
        elif type_ == "shortstr":
            data = value.encode()
            out += struct.pack(">B", len(data)) + data
        elif type_ == "longstr":
            out += struct.pack(">I", len(value)) + value
        else:
            assert type_ == "table"
            out += wire.encode_table(value)
    return out


def decode_properties(data: bytes) -> tuple[Any, ...]:
    cursor = Cursor(data)
    flags = cursor.number(">H")
    values: list[Any] = []
    for place, kind in enumerate(PROPERTY_KINDS):
        if not flags & 0x8000 >> place:
            values.append(None)
        elif kind == "S":
            text = cursor.take(cursor.number(">B"))
            try:
                values.append(text.decode())
            except UnicodeDecodeError:
                values.append(text)
        elif kind == "F":
            values.append(read_table(cursor))
        else:
            values.append(cursor.number(">B" if kind == "B" else ">Q"))
    if not cursor.done or flags & 3:
        raise Malformed("bytes or flags left")
    return tuple(values)


def typed(value: Any) -> Any:
    """A value together with its type, all the way down: for comparing what `==` calls equal too easily."""
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list) or type(value) is tuple:
        return [typed(item) for item in value]
    return type(value), repr(value)
