"""Kafka's primitive types: numbers, strings, bytes, arrays, tagged fields, as readers and writers of bytes.

Not here: messages, which are made of these (`messages`, generated), and record batches, which pass through
unopened as bytes.

A reader takes the data and a position and returns the value and the position behind it. Numbers of fixed size
are read by `struct` where they stand. Three rules. A size or a count is compared with the bytes that are left
before anything is made of it. Whatever the bytes, a reader raises nothing but one of `FAULTS`, which
`codec.decode_request` turns into `WireError`. And what is null where null is not allowed, or is not UTF-8,
is refused.

Writers return bytes, to be joined once per answer; large values are added as they are, without a copy.

Two encodings exist of everything that has a size. The older ones are fixed: INT16 before a string, INT32
before bytes and arrays, -1 for null. The compact ones, of flexible versions, are an unsigned varint of the
size plus one, 0 for null.

Source: Kafka's protocol guide, "Protocol Primitive Types"; KIP-482 (compact types, tagged fields); row K1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence, Sized
from struct import Struct
from typing import Final, TypeVar

Item = TypeVar("Item")


class WireError(Exception):
    """Bytes that are no message of the key and version they are said to be; the peer's fault."""


FAULTS: Final = (WireError, IndexError, struct.error, UnicodeDecodeError)
"""What a reader may raise: an index or a fixed number beyond the end raises Python's own error."""

NO_UUID: Final = bytes(16)
"""Kafka's word for "no id"."""
NO_TAGS: Final = b"\x00"
"""A section of tagged fields without any."""
COMPACT_NULL: Final = b"\x00"
COUNT_NULL: Final = b"\xff\xff\xff\xff"
STRING_NULL: Final = b"\xff\xff"

UVARINT_SHIFTS: Final = (7, 14, 21, 28)
"""Of the bytes behind the first, for 32 bits in all; a longer varint is refused, as by Kafka."""
STRING_BYTES_MAX: Final = 0x7FFF
"""What an INT16 can say; longer ones exist in compact form only, and are refused there too, as by Kafka."""

INT8: Final = Struct(">b")
INT16: Final = Struct(">h")
INT32: Final = Struct(">i")

SMALL_UVARINTS: Final = tuple(bytes([value]) for value in range(0x80))


# --- readers ------------------------------------------------------------------------------------------


def read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned varint of up to 32 bits."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    for shift in UVARINT_SHIFTS:
        at += 1
        byte = data[at]
        if byte < 0x80:
            value |= byte << shift
            if value > 0xFFFF_FFFF:
                break
            return value, at + 1
        value |= (byte & 0x7F) << shift
    raise WireError("a varint of more than 32 bits")


def _unfit(data: bytes, at: int, end: int) -> WireError:
    """Return what is wrong with a size that ends before it begins, or beyond the data."""
    if end < at:
        return WireError("null where a value has to be, or a negative size")
    return WireError(f"a size of {end - at} bytes where {len(data) - at} are left")


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """Read a STRING."""
    (size,) = INT16.unpack_from(data, at)
    at += 2
    end = at + size
    if not at <= end <= len(data):
        raise _unfit(data, at, end)
    return data[at:end].decode(), end


def read_nullable_string(data: bytes, at: int) -> tuple[str | None, int]:
    """Read a NULLABLE_STRING."""
    if data[at : at + 2] == STRING_NULL:
        return None, at + 2
    return read_string(data, at)


def read_compact_string(data: bytes, at: int) -> tuple[str, int]:
    """Read a COMPACT_STRING."""
    size, at = read_uvarint(data, at)
    end = at + size - 1
    if not at <= end <= len(data):
        raise _unfit(data, at, end)
    if size > STRING_BYTES_MAX + 1:
        raise WireError(f"a string of {size - 1} bytes")
    return data[at:end].decode(), end


def read_nullable_compact_string(data: bytes, at: int) -> tuple[str | None, int]:
    """Read a COMPACT_NULLABLE_STRING."""
    if data[at] == 0:
        return None, at + 1
    return read_compact_string(data, at)


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read BYTES."""
    (size,) = INT32.unpack_from(data, at)
    at += 4
    end = at + size
    if not at <= end <= len(data):
        raise _unfit(data, at, end)
    return data[at:end], end


def read_nullable_bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Read NULLABLE_BYTES, or RECORDS, which are encoded alike."""
    if data[at : at + 4] == COUNT_NULL:
        return None, at + 4
    return read_bytes(data, at)


def read_compact_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read COMPACT_BYTES."""
    size, at = read_uvarint(data, at)
    end = at + size - 1
    if not at <= end <= len(data):
        raise _unfit(data, at, end)
    return data[at:end], end


def read_nullable_compact_bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Read COMPACT_NULLABLE_BYTES, or COMPACT_RECORDS, which are encoded alike."""
    if data[at] == 0:
        return None, at + 1
    return read_compact_bytes(data, at)


def _count(data: bytes, at: int, count: int, item_bytes_min: int) -> tuple[int, int]:
    if count < 0:
        raise WireError("null where an array has to be, or a negative count")
    if count * item_bytes_min > len(data) - at:
        raise WireError(f"an array of {count} where {len(data) - at} bytes are left")
    return count, at


def read_count(data: bytes, at: int, item_bytes_min: int) -> tuple[int, int]:
    """Read the count of an ARRAY whose items take at least `item_bytes_min` bytes each."""
    (count,) = INT32.unpack_from(data, at)
    return _count(data, at + 4, count, item_bytes_min)


def read_nullable_count(data: bytes, at: int, item_bytes_min: int) -> tuple[int, int]:
    """Read the count of an ARRAY that may be null, which is -1."""
    (count,) = INT32.unpack_from(data, at)
    return (-1, at + 4) if count == -1 else _count(data, at + 4, count, item_bytes_min)


def read_compact_count(data: bytes, at: int, item_bytes_min: int) -> tuple[int, int]:
    """Read the count of a COMPACT_ARRAY whose items take at least `item_bytes_min` bytes each."""
    count, at = read_uvarint(data, at)
    return _count(data, at, count - 1, item_bytes_min)


def read_nullable_compact_count(data: bytes, at: int, item_bytes_min: int) -> tuple[int, int]:
    """Read the count of a COMPACT_ARRAY that may be null, which is -1."""
    return (-1, at + 1) if data[at] == 0 else read_compact_count(data, at, item_bytes_min)


def read_numbers(data: bytes, at: int, count: int, letter: str) -> tuple[list[int], int]:
    """Read `count` numbers, each of the type that `struct` calls `letter`; none if the count is -1."""
    if count <= 0:
        return [], at
    layout = f">{count}{letter}"
    return list(struct.unpack_from(layout, data, at)), at + struct.calcsize(layout)


def read_uuids(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """Read `count` UUIDs of 16 bytes, whose presence `read_count` has seen to; none if the count is -1."""
    end = at + 16 * max(count, 0)
    return [data[start : start + 16] for start in range(at, end, 16)], end


def read_items(
    data: bytes, at: int, count: int, read: Callable[[bytes, int], tuple[Item, int]]
) -> tuple[list[Item], int]:
    """Read `count` items with `read`; none if the count is -1."""
    items = []
    for _ in range(count):
        item, at = read(data, at)
        items.append(item)
    return items, at


def read_tag(data: bytes, at: int) -> tuple[int, int, int]:
    """Read the head of a tagged field; return its tag, where its value begins and where it ends."""
    tag, at = read_uvarint(data, at)
    size, at = read_uvarint(data, at)
    if at + size > len(data):
        raise _unfit(data, at, at + size)
    return tag, at, at + size


def skip_tags(data: bytes, at: int) -> int:
    """Return the position behind a section of tagged fields, none of which is known."""
    count, at = read_uvarint(data, at)
    for _ in range(count):
        _, _, at = read_tag(data, at)
    return at


def demand_end(at: int, end: int) -> None:
    """Refuse a tagged field whose value is shorter or longer than the size it has been given."""
    if at != end:
        raise WireError("a tagged field whose value is not as long as its size says")


# --- writers ------------------------------------------------------------------------------------------


def uvarint(value: int) -> bytes:
    """Return the varint of a number of at most 32 bits."""
    if value < 0x80:
        return SMALL_UVARINTS[value]
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def string(value: str) -> bytes:
    """Return a STRING. Raises struct.error beyond `STRING_BYTES_MAX`, which is our fault, not the peer's."""
    octets = value.encode()
    return INT16.pack(len(octets)) + octets


def nullable_string(value: str | None) -> bytes:
    """Return a NULLABLE_STRING."""
    return STRING_NULL if value is None else string(value)


def compact_string(value: str) -> bytes:
    """Return a COMPACT_STRING."""
    octets = value.encode()
    size = len(octets) + 1
    return (SMALL_UVARINTS[size] if size < 0x80 else uvarint(size)) + octets


def nullable_compact_string(value: str | None) -> bytes:
    """Return a COMPACT_NULLABLE_STRING."""
    return COMPACT_NULL if value is None else compact_string(value)


def count(items: Sized) -> bytes:
    """Return the count that stands before an ARRAY, or the size before BYTES."""
    return INT32.pack(len(items))


def nullable_count(items: Sized | None) -> bytes:
    """Return the count that stands before an ARRAY, or the size before BYTES, of which either may be null."""
    return COUNT_NULL if items is None else INT32.pack(len(items))


def compact_count(items: Sized) -> bytes:
    """Return the count that stands before a COMPACT_ARRAY, or the size before COMPACT_BYTES."""
    size = len(items) + 1
    return SMALL_UVARINTS[size] if size < 0x80 else uvarint(size)


def nullable_compact_count(items: Sized | None) -> bytes:
    """Return the count before a COMPACT_ARRAY, or the size before COMPACT_BYTES; either may be null."""
    return COMPACT_NULL if items is None else compact_count(items)


def numbers(values: Sequence[int], letter: str) -> bytes:
    """Return numbers, each as the type that `struct` calls `letter`."""
    return struct.pack(f">{len(values)}{letter}", *values)


def tags(fields: Sequence[tuple[int, list[bytes]]]) -> bytes:
    """Return a section of tagged fields, given as tag and pieces of the value in the order of their tags."""
    pieces = [uvarint(len(fields))]
    for tag, value in fields:
        octets = b"".join(value)
        pieces += (uvarint(tag), uvarint(len(octets)), octets)
    return b"".join(pieces)
