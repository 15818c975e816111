"""Message sets: how records were written before record batches, for clients that know nothing else (K3).

A set is one message after the other, each with an offset and a size in front. Magic 1 has timestamps, magic
0 has none; headers, producers and transactions neither has. What is compressed is a set within a message.

Purpose: a set made a batch when it comes in, since nothing else is stored, and batches made a set for who
asks in an old version. Kafka did both up to 3.9 and does neither since 4.0. Not here: when that happens
(`api.produce`, `api.fetch`).

Layout, big-endian; the CRC-32 covers everything behind it:

    0 offset i64 | 8 size i32 (bytes after this field) | 12 crc u32 | 16 magic i8 | 17 attributes i8
    18 timestamp i64 (magic 1) | key | value, each with an i32 of its size, -1 for null

Source: Kafka's "Old Message Format", KIP-31 (offsets within a compressed message), KIP-32 (timestamps).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pillarbox.store.batch import (
    CODEC_MASK,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    MAGIC,
    NO_TIMESTAMP,
    BatchError,
    BatchHeader,
    Buffer,
    Record,
    decode_records,
    encode_records,
    read_header,
    repack,
)
from pillarbox.store.codecs import GZIP, LZ4, OPENED_BYTES_MAX, SNAPPY, ZSTD, compress, decompress

MAGIC_AT: Final = 16
"""Where a message has its magic, and a batch its own."""
TIMED: Final = 1
"""The magic with timestamps."""
CODECS: Final = (GZIP, SNAPPY, LZ4)
"""What a message may be compressed with."""

_HEAD = struct.Struct(">qiIbb")
_TIME = struct.Struct(">q")
_SIZE = struct.Struct(">i")
_CRC_AT = 12
_COVERED_FROM = 16
MESSAGE_BYTES_MIN: Final = 14
"""CRC, magic, attributes and two sizes."""


class Message(NamedTuple):
    """One message as it stands in a set."""

    offset: int
    magic: int
    attributes: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


# --- in ------------------------------------------------------------------------------------------------


def is_message_set(data: Buffer) -> bool:
    """Are these messages of magic 0 or 1, and no record batch?"""
    return len(data) > MAGIC_AT and data[MAGIC_AT] < MAGIC


def as_batch(data: bytes) -> bytes:
    """The messages of a set as one record batch, compressed as the first of them was. BatchError."""
    records: list[Record] = []
    codec = -1
    for message in _messages(data):
        own = message.attributes & CODEC_MASK
        codec = own if codec < 0 else codec
        records += _opened(message, own) if own else [_record(message)]
    if not records:
        raise BatchError("a message set without messages")
    plain = b"".join(encode_records(records).chunks)
    if not codec:
        return plain
    return repack(
        read_header(plain), compress(codec, plain[HEADER_SIZE:]), count=len(records), attributes=codec
    )


def _record(message: Message) -> Record:
    return Record(0, message.timestamp_ms, message.key, message.value, [])


def _opened(message: Message, codec: int) -> Iterator[Record]:
    if codec not in CODECS:
        raise BatchError(f"a message cannot be compressed with codec {codec}")
    if message.value is None:
        raise BatchError("a compressed message without a value")
    value = message.value
    if codec == LZ4 and message.magic < TIMED:
        value = lz4_with_checksum(value, of_magic=False)
    for inner in _messages(decompress(codec, value, OPENED_BYTES_MAX)):
        if inner.attributes & CODEC_MASK or inner.magic != message.magic:
            raise BatchError("a message in a compressed one is compressed, or of another magic")
        yield _record(inner)


def _messages(data: bytes) -> Iterator[Message]:
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise BatchError(f"{len(data) - at} bytes are too few for a message")
        offset, size, crc, magic, attributes = _HEAD.unpack_from(data, at)
        end = at + _CRC_AT + size
        if size < MESSAGE_BYTES_MIN or end > len(data):
            raise BatchError(f"a message of {size} bytes where there are {len(data) - at - _CRC_AT}")
        if not 0 <= magic <= TIMED:
            raise BatchError(f"a message of magic {magic} among messages")
        with memoryview(data) as view:
            if zlib.crc32(view[at + _COVERED_FROM : end]) != crc:
                raise BatchError("the checksum of a message does not hold")
        place, timestamp_ms = at + _HEAD.size, NO_TIMESTAMP
        if magic == TIMED:
            if end - place < _TIME.size:
                raise BatchError("a message ends in its timestamp")
            (timestamp_ms,) = _TIME.unpack_from(data, place)
            place += _TIME.size
        key, place = _field(data, place, end)
        value, place = _field(data, place, end)
        if place != end:
            raise BatchError(f"{end - place} bytes behind the value of a message")
        yield Message(offset, magic, attributes, timestamp_ms, key, value)
        at = end


def _field(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    if end - at < _SIZE.size:
        raise BatchError("a message ends where a size has to be")
    (size,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    if size == -1:
        return None, at
    if size < 0 or size > end - at:
        raise BatchError(f"a field of {size} bytes where {end - at} are left")
    return data[at : at + size], at + size


# --- out -----------------------------------------------------------------------------------------------


class CodecUnknown(Exception):
    """A batch is compressed with what its reader cannot know."""


def batches(data: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """The place and the header of each whole batch."""
    at = 0
    while len(data) - at >= HEADER_SIZE:
        header = read_header(data, at)
        if header.size > len(data) - at:
            return
        yield at, header
        at += header.size


def demand_no_zstd(data: Buffer) -> None:
    """Raise CodecUnknown if a batch is compressed with what clients learned last (KIP-110)."""
    if any(header.codec == ZSTD for _, header in batches(data)):
        raise CodecUnknown


def as_messages(data: Buffer, magic: int, offset_first: int) -> bytes:
    """The records from an offset on as a set, batch by batch compressed as they were.

    What messages cannot say is left out: headers, and the broker's own records.
    Raises CodecUnknown, BatchError.
    """
    out = []
    for at, header in batches(data):
        if header.codec == ZSTD:
            raise CodecUnknown
        if header.is_control:
            continue
        by_broker = header.attributes & LOG_APPEND_TIME
        records = [
            Message(record.offset, magic, by_broker, record.timestamp_ms, record.key, record.value)
            for record in _values(data, at, header)
            if record.offset >= offset_first
        ]
        if records:
            out.append(_set(records, magic, by_broker, header.codec))
    return b"".join(out)


def _values(data: Buffer, at: int, header: BatchHeader) -> Iterable[Record]:
    end = at + header.size
    if header.codec:
        payload = decompress(header.codec, bytes(data[at + HEADER_SIZE : end]))
        return decode_records(payload, 0, len(payload), header)
    return decode_records(bytes(data[at:end]), HEADER_SIZE, end - at, header)


def _set(records: list[Message], magic: int, by_broker: int, codec: int) -> bytes:
    """A set of these; in one message if it is to be compressed."""
    if not codec:
        return b"".join(map(_encoded, records))
    last = records[-1].offset
    if magic == TIMED:
        base = records[0].offset
        records = [record._replace(offset=record.offset - base) for record in records]
    value = compress(codec, b"".join(map(_encoded, records)))
    if codec == LZ4 and magic < TIMED:
        value = lz4_with_checksum(value, of_magic=True)
    newest = max(record.timestamp_ms for record in records)
    return _encoded(Message(last, magic, by_broker | codec, newest, None, value))


def _encoded(message: Message) -> bytes:
    parts = [_TIME.pack(message.timestamp_ms)] if message.magic == TIMED else []
    for value in (message.key, message.value):
        parts += (_SIZE.pack(-1),) if value is None else (_SIZE.pack(len(value)), value)
    attributes = message.attributes if message.magic == TIMED else message.attributes & CODEC_MASK
    covered = b"".join((bytes((message.magic, attributes)), *parts))
    head = struct.pack(">qiI", message.offset, len(covered) + 4, zlib.crc32(covered))
    return head + covered


# --- the checksum of LZ4 -------------------------------------------------------------------------------

LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
LZ4_SIZED: Final = 0x08
"""In the flags: eight bytes of size follow."""
_PRIMES: Final = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
_WORD: Final = 0xFFFF_FFFF


def lz4_with_checksum(frame: bytes, *, of_magic: bool) -> bytes:
    """The frame with the checksum of its head, which the first clients took of the magic as well.

    With messages of magic 0 everybody goes on doing so (KAFKA-3160).
    """
    if len(frame) < 7 or not frame.startswith(LZ4_MAGIC):
        return frame
    end = 14 if frame[4] & LZ4_SIZED else 6
    if len(frame) <= end:
        return frame
    checksum = _xxh32(frame[0 if of_magic else 4 : end]) >> 8 & 0xFF
    return frame[:end] + bytes((checksum,)) + frame[end + 1 :]


def _xxh32(data: bytes) -> int:
    """xxHash of less than 16 bytes, with seed 0."""
    first, second, third, fourth, fifth = _PRIMES
    value = fifth + len(data)
    words = len(data) // 4 * 4
    for at in range(0, words, 4):
        value += int.from_bytes(data[at : at + 4], "little") * third
        value = _rotated(value, 17) * fourth
    for byte in data[words:]:
        value = _rotated(value + byte * fifth, 11) * first
    value &= _WORD
    value = (value ^ value >> 15) * second & _WORD
    value = (value ^ value >> 13) * third & _WORD
    return value ^ value >> 16


def _rotated(value: int, bits: int) -> int:
    value &= _WORD
    return (value << bits | value >> 32 - bits) & _WORD
