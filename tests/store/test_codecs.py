"""Compressed batches: opened, bounded, made anew."""

from __future__ import annotations

import random
import struct
import sys
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_tools import NOW

from pillarbox.store.batch import HEADER_SIZE, BatchError, Record, encode_records, read_header
from pillarbox.store.codecs import (
    GZIP,
    LZ4,
    NAMES,
    NONE,
    SNAPPY,
    XERIAL_HEADER,
    ZSTD,
    CodecMissing,
    compress,
    decompress,
    open_records,
)

cramjam = pytest.importorskip("cramjam")

pytestmark = pytest.mark.row("K4")

CODECS = pytest.mark.parametrize("codec", range(len(NAMES)), ids=NAMES)
SMALL = pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD], ids=NAMES[1:])


@CODECS
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_what_was_compressed_opens_as_it_was(codec: int, size: int) -> None:
    for data in (bytes(size), random.Random(size).randbytes(size)):
        assert decompress(codec, compress(codec, data)) == data


@SMALL
def test_what_grows_too_much_is_refused(codec: int) -> None:
    """A bomb of some kilobytes is not opened beyond the bound, whatever its codec."""
    packed = compress(codec, bytes(3_000_000))
    assert len(decompress(codec, packed, 3_000_000)) == 3_000_000
    with pytest.raises(BatchError, match="grows to more than 2999999 bytes"):
        decompress(codec, packed, 2_999_999)


@SMALL
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60), cut=st.integers(0, 60), noise=st.binary(max_size=8))
def test_damage_is_an_error_in_words_or_no_damage(codec: int, data: bytes, cut: int, noise: bytes) -> None:
    packed = compress(codec, data)
    broken = packed[:cut] + noise + packed[cut + len(noise) :]
    opened = b""
    with suppress(BatchError):
        opened = decompress(codec, broken, 1000)
    assert len(opened) <= 1000


@SMALL
def test_what_is_cut_short_is_damaged(codec: int) -> None:
    packed = compress(codec, random.Random(1).randbytes(1000))
    with pytest.raises(BatchError, match="damaged"):
        decompress(codec, packed[:-5])


def test_snappy_is_read_in_both_framings() -> None:
    """Java's clients write a stream of blocks, librdkafka one bare block."""
    block = bytes(cramjam.snappy.compress_raw(b"abc" * 100))
    assert decompress(SNAPPY, block) == b"abc" * 100
    framed = XERIAL_HEADER + struct.pack(">i", len(block)) + block
    assert decompress(SNAPPY, framed * 1 + framed[16:]) == b"abc" * 200


@pytest.mark.parametrize("size", [-1, 0, 1000, 2**31 - 1])
def test_snappy_blocks_lie_within_the_batch(size: int) -> None:
    with pytest.raises(BatchError, match="claims"):
        decompress(SNAPPY, XERIAL_HEADER + struct.pack(">i", size) + b"abc")


def test_gzip_may_have_several_members() -> None:
    assert decompress(GZIP, zlib.compress(b"a", wbits=31) + zlib.compress(b"b", wbits=31)) == b"ab"


def test_lz4_frames_have_independent_blocks() -> None:
    """Kafka's Java client refuses others."""
    assert compress(LZ4, b"a")[4] & 0x20


def test_an_unknown_codec_is_refused() -> None:
    for work in (decompress, compress):
        with pytest.raises(BatchError, match="no codec 5"):
            work(5, b"")


@pytest.mark.parametrize("codec", [SNAPPY, LZ4, ZSTD], ids=NAMES[2:])
def test_a_missing_library_is_said_with_the_way_to_get_it(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = compress(codec, b"a")
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(CodecMissing, match=r"pip install 'pillarbox\[kafka\]'"):
        decompress(codec, packed)
    assert decompress(GZIP, compress(GZIP, b"a")) == b"a"
    assert decompress(NONE, b"a") == b"a"


def compressed_batch(codec: int, records: list[Record], *, base_offset: int = 0) -> bytes:
    """A batch as a producer with this codec sends it, but for its checksum."""
    data = b"".join(encode_records(records, base_offset=base_offset, attributes=codec).chunks)
    payload = compress(codec, data[HEADER_SIZE:])
    return data[:8] + struct.pack(">i", HEADER_SIZE - 12 + len(payload)) + data[12:HEADER_SIZE] + payload


@CODECS
def test_records_of_a_batch_are_the_same_whatever_its_codec(codec: int) -> None:
    records = [Record(0, NOW + i, b"key", b"value %d" % i, [(b"h", None)]) for i in range(50)]
    data = b"before" + compressed_batch(codec, records, base_offset=9)
    header = read_header(data, 6)
    opened = open_records(data, 6, header)
    assert [record[:4] for record in opened] == [
        (9 + i, record.timestamp_ms, b"key", record.value) for i, record in enumerate(records)
    ]


@SMALL
def test_more_records_than_there_are_bytes_for_are_refused(codec: int) -> None:
    data = bytearray(compressed_batch(codec, [Record(0, NOW, None, b"a", [])]))
    data[57:61] = (2**31 - 1).to_bytes(4, "big")
    with pytest.raises(BatchError, match="varint"):
        open_records(data, 0, read_header(data))
