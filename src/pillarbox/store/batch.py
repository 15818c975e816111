"""Kafka's RecordBatch version 2 (magic 2): the one container of journal groups and partition logs.

Purpose: encode (key, value) records into a batch, decode them with every length bounded by the bytes at
hand, and read, verify and patch a header without opening the records. Not here: compression (a batch with
codec bits set is decoded by whoever decompressed its payload, through `decode_records`), files, and what
keys and values mean.

Source: Apache Kafka protocol, "Record Batch" and "Record".

Header layout, big-endian; the CRC-32C covers everything from `attributes` to the end of the batch, so base
offset and leader epoch may be patched without touching it:

    0 base_offset i64 | 8 length i32 (bytes after this field) | 12 leader_epoch i32 | 16 magic i8 | 17 crc u32
    21 attributes i16 | 23 last_offset_delta i32 | 27 base_timestamp i64 | 35 max_timestamp i64
    43 producer_id i64 | 51 producer_epoch i16 | 53 base_sequence i32 | 57 record_count i32 | 61 records
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pillarbox.store.crc import crc32c

Buffer = bytes | bytearray | memoryview

HEADER_SIZE = 61
LENGTH_END = 12
"""Where the bytes that `length` counts begin."""
CRC_START = 21
"""Where the bytes that the CRC covers begin."""
MAGIC = 2
SIZE_MAX = 2**31 - 1
"""A batch's length is an i32: larger ones cannot be written down."""
RECORD_SIZE_MIN = 7
"""Length, attributes, two deltas, two field lengths and the header count take a byte each: an upper bound
for the number of records that fit in given bytes, whatever a header claims."""

JOIN_BELOW_BYTES = 8192
JOIN_ABOVE_CHUNKS = 16
"""Batches smaller than the one, or of more chunks than the other, are encoded into one chunk."""

NO_PRODUCER = -1
NO_TIMESTAMP = -1
CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
DELETE_HORIZON = 0x40
"""The base timestamp is the moment from which tombstones, or a marker, may go (KIP-534)."""

_HEADER = struct.Struct(">qiibIhiqqqhii")
_SHORT = struct.Struct(">qiibI")
_CRC = struct.Struct(">I")
_INT64 = struct.Struct(">q")
_INT32 = struct.Struct(">i")


class BatchError(ValueError):
    """Bytes that are no record batch, or a damaged one; the text says what is wrong."""


class BatchHeader(NamedTuple):
    """The fixed fields of one batch."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch, header included."""
        return self.length + LENGTH_END

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_dense(self) -> bool:
        """One record for every offset: what a producer must send; compaction alone makes gaps."""
        return self.record_count == self.last_offset_delta + 1


class Record(NamedTuple):
    """One decoded record."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]


class RawRecord(NamedTuple):
    """A record whose headers are still encoded: readers meet the same ones over and over."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: bytes


class EncodedBatch(msgspec.Struct):
    """A batch as chunks that together make it up; chunk 0 begins with the header, and is a bytearray that may
    be patched in place."""

    chunks: list[bytes | bytearray]
    size: int
    value_positions: list[int]
    """Byte position of each record's value, counted from the start of the batch."""


# --- varints ---------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    zigzag = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


_VARINTS = tuple(map(_varint, range(1024)))
_NO_FIELD = _varint(-1)


def encode_varint(value: int) -> bytes:
    """A zigzag varint, as Kafka writes lengths and deltas."""
    return _VARINTS[value] if 0 <= value < 1024 else _varint(value)


def decode_varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """Read a zigzag varint of up to 64 bits; return it and the position after it."""
    shift = result = 0
    while position < end:
        byte = data[position]
        position += 1
        if byte < 0x80:
            result |= byte << shift
            if result >> 64:
                break
            return result >> 1 ^ -(result & 1), position
        result |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            break
    raise BatchError(f"no valid varint before byte {position}")


# --- encoding --------------------------------------------------------------------------------------------


def encode_batch(
    records: Sequence[tuple[bytes | None, bytes | bytearray | None]],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    timestamp_ms: int = NO_TIMESTAMP,
    attributes: int = 0,
) -> EncodedBatch:
    """Encode records that share one timestamp and have no headers: the journal's hot path.

    Values are not copied. At least one record; ValueError beyond `SIZE_MAX` bytes.
    """
    varints = _VARINTS
    chunks: list[bytes | bytearray] = [b""]
    positions = []
    position = HEADER_SIZE
    tail = b""
    for delta, (key, value) in enumerate(records):
        key_size = len(key) if key is not None else -1
        value_size = len(value) if value is not None else -1
        fields = b"".join(
            (
                b"\0\0",
                varints[delta] if delta < 1024 else _varint(delta),
                varints[key_size] if 0 <= key_size < 1024 else _varint(key_size),
                key or b"",
                varints[value_size] if 0 <= value_size < 1024 else _varint(value_size),
            )
        )
        if value is None:
            value, value_size = b"", 0
        size = len(fields) + value_size + 1
        head = tail + (varints[size] if size < 1024 else _varint(size)) + fields
        position += len(head)
        positions.append(position)
        position += value_size
        chunks += (head, value)
        tail = b"\0"
    chunks.append(tail)
    position += len(tail)
    return _finish(
        chunks,
        position,
        positions,
        len(records),
        base_offset,
        leader_epoch,
        timestamp_ms,
        timestamp_ms,
        attributes,
    )


def encode_records(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    attributes: int = 0,
    producer_id: int = NO_PRODUCER,
    producer_epoch: int = NO_PRODUCER,
    base_sequence: int = NO_PRODUCER,
) -> EncodedBatch:
    """Encode records with their own timestamps and headers; offsets become base_offset, base_offset + 1, …"""
    base_timestamp = records[0].timestamp_ms
    chunks: list[bytes | bytearray] = [b""]
    positions = []
    position = HEADER_SIZE
    for delta, record in enumerate(records):
        head = b"".join(
            (
                b"\0",
                encode_varint(record.timestamp_ms - base_timestamp),
                encode_varint(delta),
                _field(record.key),
                encode_varint(len(record.value) if record.value is not None else -1),
            )
        )
        value = record.value or b""
        tail = encode_varint(len(record.headers)) + b"".join(
            encode_varint(len(name)) + name + _field(content) for name, content in record.headers
        )
        head = encode_varint(len(head) + len(value) + len(tail)) + head
        positions.append(position + len(head))
        position += len(head) + len(value) + len(tail)
        chunks += (head, value, tail)
    max_timestamp = max(record.timestamp_ms for record in records)
    return _finish(
        chunks,
        position,
        positions,
        len(records),
        base_offset,
        leader_epoch,
        base_timestamp,
        max_timestamp,
        attributes,
        producer_id,
        producer_epoch,
        base_sequence,
    )


def _field(value: bytes | None) -> bytes:
    return _NO_FIELD if value is None else encode_varint(len(value)) + value


def _finish(
    chunks: list[bytes | bytearray],
    size: int,
    positions: list[int],
    count: int,
    base_offset: int,
    leader_epoch: int,
    base_timestamp: int,
    max_timestamp: int,
    attributes: int,
    producer_id: int = NO_PRODUCER,
    producer_epoch: int = NO_PRODUCER,
    base_sequence: int = NO_PRODUCER,
) -> EncodedBatch:
    """Put the header in front, with the checksum over all that follows it."""
    assert count, "a batch has at least one record"
    if size > SIZE_MAX:
        raise ValueError(f"a batch of {size} bytes is larger than the format can hold ({SIZE_MAX})")
    header = bytearray(HEADER_SIZE)
    _HEADER.pack_into(
        header,
        0,
        base_offset,
        size - LENGTH_END,
        leader_epoch,
        MAGIC,
        0,
        attributes,
        count - 1,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    )
    chunks[0] = header
    if size <= JOIN_BELOW_BYTES or len(chunks) > JOIN_ABOVE_CHUNKS:
        # One copy is cheaper than handling many small chunks here and once more at the file.
        whole = bytearray().join(chunks)
        _CRC.pack_into(whole, 17, crc32c(memoryview(whole)[CRC_START:]))
        return EncodedBatch([whole], size, positions)
    crc = crc32c(header[CRC_START:])
    for chunk in chunks[1:]:
        crc = crc32c(chunk, crc)
    _CRC.pack_into(header, 17, crc)
    return EncodedBatch(chunks, size, positions)


# --- headers ---------------------------------------------------------------------------------------------


def read_header(data: Buffer, position: int = 0) -> BatchHeader:
    """Read the header at `position`; BatchError if the bytes cannot begin a batch.

    Checks magic, and that length, count and last offset delta are possible; neither that the whole batch is
    there (compare `size`) nor its checksum (`is_intact`).
    """
    if len(data) - position < HEADER_SIZE:
        raise BatchError(f"{len(data) - position} bytes are too few for a batch header")
    header = BatchHeader._make(_HEADER.unpack_from(data, position))
    if header.magic != MAGIC:
        raise BatchError(f"magic is {header.magic}, not {MAGIC}")
    payload = header.length - (HEADER_SIZE - LENGTH_END)
    if payload < 0:
        raise BatchError(f"length {header.length} is less than a header")
    if header.record_count < 0 or header.last_offset_delta < 0 or header.base_offset < 0:
        raise BatchError(
            f"impossible: count {header.record_count}, offset {header.base_offset}, "
            f"last offset delta {header.last_offset_delta}"
        )
    if not header.codec and header.record_count * RECORD_SIZE_MIN > payload:
        raise BatchError(f"{header.record_count} records cannot fit in {payload} bytes")
    return header


def read_size(data: Buffer, position: int = 0) -> int:
    """Bytes of the whole batch at `position`, of which at least the first 12 bytes must be there."""
    size: int = _INT32.unpack_from(data, position + 8)[0]
    return size + LENGTH_END


def is_intact(data: Buffer, position: int, header: BatchHeader) -> bool:
    """Whether the whole batch is there and its checksum holds."""
    end = position + header.size
    return end <= len(data) and crc32c(memoryview(data)[position + CRC_START : end]) == header.crc


def set_base_offset(data: bytearray | memoryview, offset: int, position: int = 0) -> None:
    """Patch the base offset; the checksum does not cover it."""
    _INT64.pack_into(data, position, offset)


def set_leader_epoch(data: bytearray | memoryview, epoch: int, position: int = 0) -> None:
    """Patch the leader epoch; the checksum does not cover it."""
    _INT32.pack_into(data, position + 12, epoch)


def set_append_time(data: bytearray | memoryview, timestamp_ms: int, position: int = 0) -> None:
    """Make the batch one with log append time (all its records get this timestamp) and renew its checksum."""
    (attributes,) = struct.unpack_from(">h", data, position + CRC_START)
    struct.pack_into(">h", data, position + CRC_START, attributes | LOG_APPEND_TIME)
    _INT64.pack_into(data, position + 35, timestamp_ms)
    end = position + read_size(data, position)
    _CRC.pack_into(data, position + 17, crc32c(memoryview(data)[position + CRC_START : end]))


# --- decoding --------------------------------------------------------------------------------------------


def decode_batch(data: bytes, position: int = 0) -> tuple[BatchHeader, list[Record]]:
    """Verify and decode one uncompressed batch."""
    header = read_header(data, position)
    if not is_intact(data, position, header):
        raise BatchError(f"the batch at byte {position} is cut short or its checksum does not hold")
    if header.codec:
        raise BatchError(f"the batch at byte {position} is compressed (codec {header.codec})")
    return header, decode_records(data, position + HEADER_SIZE, position + header.size, header)


def decode_records(data: bytes, position: int, end: int, header: BatchHeader) -> list[Record]:
    """Decode exactly `header.record_count` records from data[position:end], which they must fill.

    The bytes may also be a decompressed payload. BatchError for anything that does not fit.
    """
    if header.record_count * RECORD_SIZE_MIN > end - position or end > len(data):
        raise BatchError(f"{header.record_count} records cannot fit in {end - position} bytes")
    log_append = header.attributes & LOG_APPEND_TIME
    records = []
    for _ in range(header.record_count):
        size, position = decode_varint(data, position, end)
        stop = position + size
        if size < 0 or stop > end:
            raise BatchError(f"a record at byte {position} claims {size} bytes")
        timestamp, position = decode_varint(data, position + 1, stop)
        delta, position = decode_varint(data, position, stop)
        key, position = _read_field(data, position, stop)
        value, position = _read_field(data, position, stop)
        headers, position = _read_headers(data, position, stop)
        if position != stop:
            raise BatchError(f"a record ends at byte {position} and claims to end at {stop}")
        if not 0 <= delta <= header.last_offset_delta:
            raise BatchError(f"a record's offset delta {delta} is beyond {header.last_offset_delta}")
        moment = header.max_timestamp if log_append else header.base_timestamp + timestamp
        records.append(Record(header.base_offset + delta, moment, key, value, headers))
    if position != end:
        raise BatchError(f"{end - position} bytes after the last record")
    return records


def encode_prepared(
    records: Sequence[tuple[bytes, Buffer, bytes, int]], *, timestamp_ms: int
) -> EncodedBatch:
    """Encode records whose key and headers are encoded already: the hot path of stream queues.

    Each is (key field, value, header fields with their count, timestamp); see `key_field`, `header_fields`.
    `timestamp_ms` is that of the first. Values are copied once.
    """
    varints = _VARINTS
    parts: list[Buffer] = []
    size = HEADER_SIZE
    newest = timestamp_ms
    for delta, (key, value, headers, moment) in enumerate(records):
        late = _VARINTS[0] if moment == timestamp_ms else encode_varint(moment - timestamp_ms)
        newest = moment if moment > newest else newest
        place = varints[delta] if delta < 1024 else _varint(delta)
        count = len(value)
        length = varints[count] if count < 1024 else _varint(count)
        count += 1 + len(late) + len(place) + len(key) + len(length) + len(headers)
        head = varints[count] if count < 1024 else _varint(count)
        size += len(head) + count
        parts += (head, b"\0", late, place, key, length, value, headers)
    payload = b"".join(parts)
    return _finish([b"", payload], size, [], len(records), 0, -1, timestamp_ms, newest, 0)


def encode_payload(records: Sequence[Record], base_offset: int, base_timestamp: int) -> bytes:
    """Records with the offsets that they have, gaps or not: what follows the header of their batch."""
    parts: list[bytes] = []
    for record in records:
        fields = b"".join(
            (
                b"\0",
                encode_varint(record.timestamp_ms - base_timestamp),
                encode_varint(record.offset - base_offset),
                _field(record.key),
                _field(record.value),
                header_fields(record.headers),
            )
        )
        parts += (encode_varint(len(fields)), fields)
    return b"".join(parts)


def repack(
    header: BatchHeader,
    payload: bytes,
    *,
    count: int,
    attributes: int,
    base_timestamp: int | None = None,
    max_timestamp: int | None = None,
) -> bytes:
    """The batch with another payload of so many records; it keeps its first and last offset."""
    new = header._replace(
        length=HEADER_SIZE - LENGTH_END + len(payload),
        attributes=attributes,
        base_timestamp=header.base_timestamp if base_timestamp is None else base_timestamp,
        max_timestamp=header.max_timestamp if max_timestamp is None else max_timestamp,
        record_count=count,
    )
    whole = bytearray(_HEADER.pack(*new) + payload)
    _CRC.pack_into(whole, 17, crc32c(memoryview(whole)[CRC_START:]))
    return bytes(whole)


def key_field(key: bytes | None) -> bytes:
    """A record's key as it is written."""
    return _field(key)


def header_fields(headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """A record's headers as they are written, their number in front."""
    fields = [encode_varint(len(name)) + name + _field(content) for name, content in headers]
    return encode_varint(len(headers)) + b"".join(fields)


def read_header_fields(data: bytes) -> list[tuple[bytes, bytes | None]]:
    """What `header_fields` has written. BatchError for anything else."""
    headers, position = _read_headers(data, 0, len(data))
    if position != len(data):
        raise BatchError(f"{len(data) - position} bytes after the last header")
    return headers


def split_records(data: Buffer, position: int, end: int, header: BatchHeader) -> list[RawRecord]:
    """The records in data[position:end], their headers left encoded: the hot path of readers.

    The bytes may also be a decompressed payload (`codecs.open_records`). The batch's checksum held when it
    was taken in or recovered. BatchError for what does not fit.
    """
    data = bytes(data)
    base_offset, base_timestamp = header.base_offset, header.base_timestamp
    log_append = header.attributes & LOG_APPEND_TIME
    records: list[RawRecord] = []
    for _ in range(header.record_count):
        size, position = decode_varint(data, position, end)
        stop = position + size
        if size < 0 or stop > end:
            raise BatchError(f"a record at byte {position} claims {size} bytes")
        late, position = decode_varint(data, position + 1, stop)
        delta, position = decode_varint(data, position, stop)
        key, position = _read_field(data, position, stop)
        value, position = _read_field(data, position, stop)
        moment = header.max_timestamp if log_append else base_timestamp + late
        records.append(RawRecord(base_offset + delta, moment, key, value or b"", data[position:stop]))
        position = stop
    return records


def value_spans(data: bytes, position: int, header: BatchHeader) -> list[tuple[bytes | None, int, int]]:
    """(key, first byte, byte after the last) of every record's value, values left where they are.

    For batches of our own making, which have no headers: what replay walks over. BatchError as above.
    """
    end = position + header.size
    position += HEADER_SIZE
    spans = []
    for _ in range(header.record_count):
        size, position = decode_varint(data, position, end)
        stop = position + size
        if size < 0 or stop > end:
            raise BatchError(f"a record at byte {position} claims {size} bytes")
        _, position = decode_varint(data, position + 1, stop)
        _, position = decode_varint(data, position, stop)
        key, position = _read_field(data, position, stop)
        value_size, position = decode_varint(data, position, stop)
        if value_size < 0 or position + value_size + 1 != stop:
            raise BatchError(f"a value at byte {position} claims {value_size} bytes")
        spans.append((key, position, position + value_size))
        position = stop
    if position != end:
        raise BatchError(f"{end - position} bytes after the last record")
    return spans


def _read_field(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    size, position = decode_varint(data, position, end)
    if size == -1:
        return None, position
    stop = position + size
    if size < 0 or stop > end:
        raise BatchError(f"a field at byte {position} claims {size} bytes")
    return data[position:stop], stop


def _read_headers(data: bytes, position: int, end: int) -> tuple[list[tuple[bytes, bytes | None]], int]:
    count, position = decode_varint(data, position, end)
    if not 0 <= count <= (end - position) // 2:
        raise BatchError(f"{count} headers cannot fit in {end - position} bytes")
    headers = []
    for _ in range(count):
        name, position = _read_field(data, position, end)
        if name is None:
            raise BatchError("a header has no name")
        content, position = _read_field(data, position, end)
        headers.append((name, content))
    return headers, position
