"""RecordBatch v2 and CRC-32C: round trips, the format's own constants, and hostile bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.store import batch
from pillarbox.store.batch import BatchError, Record
from pillarbox.store.crc import crc32c, pure_crc32c

FIELDS = st.none() | st.binary(max_size=40)
PAIRS = st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=40)
RECORDS = st.lists(
    st.builds(
        Record,
        offset=st.just(0),
        timestamp_ms=st.integers(0, 2**50),
        key=FIELDS,
        value=FIELDS,
        headers=st.lists(st.tuples(st.binary(max_size=9), FIELDS), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


def test_crc32c_is_castagnoli_compiled_and_pure() -> None:
    """RFC 3720 B.4: the test vectors of 32 zero bytes and of 0..31."""
    for sum_of in (crc32c, pure_crc32c):
        assert sum_of(bytes(32)) == 0x8A9136AA
        assert sum_of(bytes(range(32))) == 0x46DD794E
        assert sum_of(bytes(range(16, 32)), sum_of(bytes(range(16)))) == 0x46DD794E


@given(st.integers(-(2**62), 2**62))
def test_varint_round_trips(value: int) -> None:
    data = batch.encode_varint(value)
    assert batch.decode_varint(data, 0, len(data)) == (value, len(data))


def test_varint_is_zigzag_with_low_groups_first() -> None:
    """Kafka protocol, varint: as Protocol Buffers' sint."""
    assert [batch.encode_varint(v) for v in (0, -1, 1, -2, 150)] == [b"\0", b"\1", b"\2", b"\3", b"\xac\2"]


@given(PAIRS, st.integers(0, 2**60))
def test_encoded_pairs_decode_to_themselves_and_values_lie_where_said(
    pairs: list[tuple[bytes | None, bytes | None]], base: int
) -> None:
    encoded = batch.encode_batch(pairs, base_offset=base, timestamp_ms=7)
    data = b"".join(encoded.chunks)
    assert len(data) == encoded.size
    header, records = batch.decode_batch(data)
    assert [(r.key, r.value) for r in records] == pairs
    assert [r.offset for r in records] == list(range(base, base + len(pairs)))
    assert header.next_offset == base + len(pairs)
    for (_, value), position in zip(pairs, encoded.value_positions, strict=True):
        assert data[position : position + len(value or b"")] == (value or b"")


@given(st.lists(st.tuples(FIELDS, st.binary(max_size=40)), min_size=1, max_size=40))
def test_value_spans_find_what_decoding_finds(pairs: list[tuple[bytes | None, bytes]]) -> None:
    data = b"..." + b"".join(batch.encode_batch(pairs).chunks)
    spans = batch.value_spans(data, 3, batch.read_header(data, 3))
    assert [(key, data[first:last]) for key, first, last in spans] == pairs


@given(RECORDS)
def test_records_with_headers_and_timestamps_round_trip(records: list[Record]) -> None:
    encoded = batch.encode_records(records, base_offset=5, producer_id=9, producer_epoch=2, base_sequence=11)
    header, decoded = batch.decode_batch(b"".join(encoded.chunks))
    assert decoded == [record._replace(offset=5 + i) for i, record in enumerate(records)]
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 2, 11)
    assert header.max_timestamp == max(r.timestamp_ms for r in records)


def test_the_bytes_of_a_batch_are_kafkas() -> None:
    """Kafka protocol, Record Batch: a batch of one record written out by hand."""
    data = b"".join(
        batch.encode_batch([(b"k", b"v")], base_offset=3, leader_epoch=4, timestamp_ms=1000).chunks
    )
    record = b"\x10\0\0\0\2k\2v\0"
    covered = struct.pack(">hiqqqhii", 0, 0, 1000, 1000, -1, -1, -1, 1) + record
    assert data == struct.pack(">qiibI", 3, 9 + len(covered), 4, 2, crc32c(covered)) + covered


def test_base_offset_and_leader_epoch_are_patched_outside_the_checksum() -> None:
    data = bytearray(b"".join(batch.encode_batch([(None, b"v")] * 3).chunks))
    batch.set_base_offset(data, 77)
    batch.set_leader_epoch(data, 8)
    header, records = batch.decode_batch(bytes(data))
    assert (header.base_offset, header.leader_epoch, records[2].offset) == (77, 8, 79)


def test_append_time_replaces_every_timestamp_and_renews_the_checksum() -> None:
    data = bytearray(b"".join(batch.encode_batch([(None, b"v")] * 3, timestamp_ms=1).chunks))
    batch.set_append_time(data, 99)
    _, records = batch.decode_batch(bytes(data))
    assert {record.timestamp_ms for record in records} == {99}


@given(PAIRS, st.data())
def test_any_changed_bit_after_the_epoch_is_noticed(
    pairs: list[tuple[bytes | None, bytes | None]], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(batch.encode_batch(pairs).chunks))
    bit = data.draw(st.integers(16 * 8, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BatchError):
        batch.decode_batch(bytes(whole))


@given(st.binary(max_size=200), st.integers(0, 2**31 - 1))
def test_hostile_records_never_read_past_their_end(payload: bytes, count: int) -> None:
    """Counts and lengths are bounded by the bytes at hand; whatever fits fills them exactly."""
    header = batch.BatchHeader(0, 0, 0, 2, 0, 0, 2**31 - 1, 0, 0, -1, -1, -1, count)
    try:
        records = batch.decode_records(payload, 0, len(payload), header)
    except BatchError:
        return
    assert len(records) == count
    assert sum(len(r.key or b"") + len(r.value or b"") for r in records) <= len(payload)


@given(st.binary(min_size=61, max_size=200))
def test_hostile_headers_are_refused_or_consistent(data: bytes) -> None:
    try:
        header = batch.read_header(data[:16] + b"\2" + data[17:])
    except BatchError:
        return
    assert header.size >= batch.HEADER_SIZE
    assert header.codec or header.record_count * batch.RECORD_SIZE_MIN <= header.size


def test_a_batch_cut_short_anywhere_is_refused() -> None:
    data = b"".join(batch.encode_batch([(b"key", b"value")] * 2).chunks)
    for size in range(len(data)):
        with pytest.raises(BatchError):
            batch.decode_batch(data[:size])
