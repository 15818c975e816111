"""Compressed batches: their records opened, and records compressed anew.

Purpose: Kafka's four codecs in the framings that its clients write, each bounded by what it may grow to.
Most batches are never opened: only compaction, a search for a moment within a batch and readers of another
protocol do that. Not here: what is in a record (`batch`).

gzip is Python's own; the others come from the package `cramjam` (extra `kafka`), imported when first needed.
Sources: Apache Kafka, `CompressionType`; snappy-java's stream format; LZ4 frame format 1.6, with independent
blocks, which Kafka's Java client demands.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Final

from pillarbox.store.batch import HEADER_SIZE, BatchError, BatchHeader, Buffer, RawRecord, split_records

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""Codecs by their numbers in a batch's attributes."""

OPENED_BYTES_MAX: Final = 128 << 20
"""What a batch may grow to: a hundred times Kafka's largest batch by default. One that grows beyond it was
made to exhaust somebody's memory, and is refused as damaged."""

GROWTH: Final = 8
"""How often larger than its input a first attempt at opening expects the output to be."""

XERIAL: Final = b"\x82SNAPPY\0"
XERIAL_HEADER: Final = XERIAL + struct.pack(">ii", 1, 1)
"""Magic, version, lowest version that can read it."""
BLOCK_BYTES: Final = 64 << 10
"""Blocks of our own snappy and lz4 frames."""

LZ4_HEADER: Final = bytes.fromhex("04224d18604082")
"""Magic; version 1 with independent blocks; blocks of at most 64 KiB; the checksum of these two."""
LZ4_STORED: Final = 1 << 31
"""Set in the size of a block that is not compressed."""

_SIZE = struct.Struct(">i")
_LITTLE = struct.Struct("<I")


class CodecMissing(BatchError):
    """The library that opens this codec is not installed."""


def open_records(
    data: Buffer, position: int, header: BatchHeader, *, size_max: int = OPENED_BYTES_MAX
) -> list[RawRecord]:
    """The records of the batch at `position`, whatever its codec. BatchError for what cannot be read."""
    end = position + header.size
    position += HEADER_SIZE
    if not header.codec:
        return split_records(data, position, end, header)
    payload = decompress(header.codec, bytes(data[position:end]), size_max)
    return split_records(payload, 0, len(payload), header)


def decompress(codec: int, data: bytes, size_max: int = OPENED_BYTES_MAX) -> bytes:
    """The payload of a batch as it was. BatchError if it is damaged or grows beyond `size_max` bytes."""
    if not NONE <= codec < len(NAMES):
        raise BatchError(f"there is no codec {codec}")
    return _OPEN[codec](data, size_max)


def compress(codec: int, data: bytes) -> bytes:
    """A payload as Kafka's clients read it. BatchError for a codec that there is not."""
    if not NONE <= codec < len(NAMES):
        raise BatchError(f"there is no codec {codec}")
    return _CLOSE[codec](data)


# --- libraries -------------------------------------------------------------------------------------------


def _library(codec: int) -> ModuleType:
    try:
        import cramjam
    except ImportError:
        raise CodecMissing(
            f"records compressed with {NAMES[codec]} need the package cramjam: pip install 'pillarbox[kafka]'"
        ) from None
    module: ModuleType = getattr(cramjam, NAMES[codec])
    return module


def _too_large(size_max: int) -> BatchError:
    return BatchError(f"a batch grows to more than {size_max} bytes")


def _grow(opened_into: Callable[[bytes, bytearray], int], data: bytes, size_max: int) -> bytes:
    """Open into a buffer that is large enough, found by trying; nothing larger than allowed is made."""
    size = min(size_max, max(BLOCK_BYTES, GROWTH * len(data)))
    while True:
        out = bytearray(size)
        try:
            return bytes(memoryview(out)[: opened_into(data, out)])
        except Exception as error:
            # The library has one class for everything; its text tells a full buffer from damage.
            if "whole buffer" not in str(error):
                raise BatchError(f"a compressed batch is damaged: {error}") from None
        if size >= size_max:
            raise _too_large(size_max)
        size = min(size_max, GROWTH * size)


# --- opening ---------------------------------------------------------------------------------------------


def _open_none(data: bytes, size_max: int) -> bytes:
    if len(data) > size_max:
        raise _too_large(size_max)
    return data


def _open_gzip(data: bytes, size_max: int) -> bytes:
    """Any number of members, one after another."""
    out = bytearray()
    rest = data
    while rest or not out:
        member = zlib.decompressobj(wbits=31)
        try:
            out += member.decompress(rest, size_max - len(out) + 1)
        except zlib.error as error:
            raise BatchError(f"a compressed batch is damaged: {error}") from None
        if len(out) > size_max:
            raise _too_large(size_max)
        if not member.eof:
            raise BatchError("a compressed batch is damaged: it is cut short")
        rest = member.unused_data
        if not rest:
            break
    return bytes(out)


def _open_snappy(data: bytes, size_max: int) -> bytes:
    """Java's stream of blocks, or one bare block, as librdkafka writes it."""
    if not data.startswith(XERIAL):
        return _open_block(data, size_max)
    blocks = []
    position, size_opened = len(XERIAL_HEADER), 0
    while position < len(data):
        if len(data) - position < _SIZE.size:
            raise BatchError("a compressed batch is damaged: a block has no size")
        (size,) = _SIZE.unpack_from(data, position)
        position += _SIZE.size
        if not 0 < size <= len(data) - position:
            raise BatchError(f"a compressed batch is damaged: a block claims {size} bytes")
        blocks.append(_open_block(data[position : position + size], size_max))
        size_opened += len(blocks[-1])
        if size_opened > size_max:
            raise _too_large(size_max)
        position += size
    return b"".join(blocks)


def _open_block(data: bytes, size_max: int) -> bytes:
    snappy = _library(SNAPPY)
    try:
        if snappy.decompress_raw_len(data) > size_max:
            raise _too_large(size_max)
        return bytes(snappy.decompress_raw(data))
    except BatchError:
        raise
    except Exception as error:
        raise BatchError(f"a compressed batch is damaged: {error}") from None


def _open_lz4(data: bytes, size_max: int) -> bytes:
    return _grow(_library(LZ4).decompress_into, data, size_max)


def _open_zstd(data: bytes, size_max: int) -> bytes:
    return _grow(_library(ZSTD).decompress_into, data, size_max)


_OPEN: Final = (_open_none, _open_gzip, _open_snappy, _open_lz4, _open_zstd)


# --- compressing -----------------------------------------------------------------------------------------


def _blocks(data: bytes) -> list[bytes]:
    return [data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES)]


def _close_none(data: bytes) -> bytes:
    return data


def _close_gzip(data: bytes) -> bytes:
    return zlib.compress(data, wbits=31)


def _close_snappy(data: bytes) -> bytes:
    compressed = _library(SNAPPY).compress_raw
    out = bytearray(XERIAL_HEADER)
    for block in _blocks(data):
        small = bytes(compressed(block))
        out += _SIZE.pack(len(small)) + small
    return bytes(out)


def _close_lz4(data: bytes) -> bytes:
    """The library's own frames have blocks that depend on each other; so the frame is made here."""
    compressed = _library(LZ4).compress_block
    out = bytearray(LZ4_HEADER)
    for block in _blocks(data):
        small = bytes(compressed(block, store_size=False))
        if len(small) < len(block):
            out += _LITTLE.pack(len(small)) + small
        else:
            out += _LITTLE.pack(len(block) | LZ4_STORED) + block
    return bytes(out + bytes(4))


def _close_zstd(data: bytes) -> bytes:
    return bytes(_library(ZSTD).compress(data))


_CLOSE: Final = (_close_none, _close_gzip, _close_snappy, _close_lz4, _close_zstd)
