"""What readers of a stream get where Kafka's clients have written: compressed, in transactions, compacted."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from pillarbox.broker.dialects import Dialects
from pillarbox.engine.base import Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.records import RecordCodec
from pillarbox.store.batch import HEADER_SIZE, TRANSACTIONAL, Record, encode_records, read_header
from pillarbox.store.codecs import NAMES, compress
from pillarbox.store.producers import Aborted, encode_marker
from pillarbox.store.segment import Slice

pytestmark = pytest.mark.row("R80", "K4")


def kafka_batch(offset: int, *values: bytes, codec: int = 0, producer_id: int = -1) -> bytes:
    """One batch in a log, as a Kafka client has sent it; with a producer id it is of a transaction."""
    encoded = encode_records(
        [Record(0, 1000 + n, b"key", value, [(b"h", b"v")]) for n, value in enumerate(values)],
        base_offset=offset,
        attributes=codec | (TRANSACTIONAL if producer_id >= 0 else 0),
        producer_id=producer_id,
    )
    data = b"".join(encoded.chunks)
    payload = compress(codec, data[HEADER_SIZE:])
    return data[:8] + struct.pack(">i", HEADER_SIZE - 12 + len(payload)) + data[12:HEADER_SIZE] + payload


def marker(offset: int, producer_id: int, *, commit: bool) -> bytes:
    data = encode_marker(producer_id, 0, 0, 1000, commit=commit)
    return struct.pack(">q", offset) + data[8:]


def stretch(*batches: bytes) -> Slice:
    """The batches as a log gives them."""
    headers = [read_header(batch) for batch in batches]
    size = sum(map(len, batches))
    return Slice(headers[0].base_offset, headers[-1].next_offset, [b"".join(batches[:2]), *batches[2:]], size)


def nested(depth: int) -> bytes:
    """A table of AMQP with tables within one another, so many, as a record has what has no text."""
    value: object = {}
    for _ in range(depth):
        value = {"": value}
    return wire.encode_table({"": value})


def offset_of(message: Message) -> int:
    table = wire.decode_properties(message.properties).headers or {}
    return int(table["x-stream-offset"])


@pytest.mark.parametrize("codec", range(len(NAMES)), ids=NAMES)
def test_records_are_read_whatever_their_codec(codec: int) -> None:
    found = stretch(kafka_batch(5, b"a", b"b", codec=codec), kafka_batch(7, b"c"))
    decoded = RecordCodec(Dialects()).decode(found, [])
    assert [message.body for message in decoded.messages] == [b"a", b"b", b"c"]
    assert list(map(offset_of, decoded.messages)) == [5, 6, 7]
    assert (decoded.first, decoded.next, decoded.offsets) == (5, 8, None)
    assert wire.decode_properties(decoded.messages[0].properties).headers["h"] == "v"
    assert decoded.messages[0].address.routing_key == "key"


@pytest.mark.row("K60")
def test_markers_and_what_was_aborted_are_left_out() -> None:
    found = stretch(
        kafka_batch(0, b"a"),
        kafka_batch(1, b"committed", producer_id=7),
        kafka_batch(2, b"aborted", producer_id=8),
        marker(3, 7, commit=True),
        marker(4, 8, commit=False),
        kafka_batch(5, b"later", producer_id=8),
        marker(6, 8, commit=True),
    )
    decoded = RecordCodec(Dialects()).decode(found, [Aborted(8, 2, 4, 5)])
    assert [message.body for message in decoded.messages] == [b"a", b"committed", b"later"]
    assert decoded.offsets == list(map(offset_of, decoded.messages)) == [0, 1, 5]
    assert (decoded.first, decoded.next) == (0, 7)


@pytest.mark.row("K34")
def test_gaps_that_compaction_leaves_are_passed() -> None:
    found = stretch(kafka_batch(3, b"a"), kafka_batch(9, b"b", b"c"), kafka_batch(20, b"d"))
    decoded = RecordCodec(Dialects()).decode(found, [])
    assert decoded.offsets == list(map(offset_of, decoded.messages)) == [3, 9, 10, 20]


def test_what_cannot_be_read_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """The head passes batches through unopened, so a reader may be the first to see what is in them."""
    broken = bytearray(kafka_batch(1, b"b", codec=4))
    broken[HEADER_SIZE:] = bytes(len(broken) - HEADER_SIZE)
    decoded = RecordCodec(Dialects()).decode(
        stretch(kafka_batch(0, b"a"), bytes(broken), kafka_batch(2, b"c")), []
    )
    assert [message.body for message in decoded.messages] == [b"a", b"c"]
    assert decoded.offsets == [0, 2]
    assert "records from offset 1 on cannot be read" in caplog.text


names = st.text(max_size=8).map(str.encode) | st.sampled_from(
    [b"amqp.types", b"amqp.exchange", b"amqp.priority", b"amqp.timestamp", b"amqp.delivery-mode",
     b"amqp.correlation-id", b"amqp.header.x", b"x", b"n" * 256, b"amqp.header." + b"n" * 250, b"\xff" * 200]
)  # fmt: skip
contents = st.none() | st.binary(max_size=20) | st.sampled_from(
    [b"7", b"-1", b"999", b"9" * 20, b"9" * 5000, b"nan", b"x" * 300, "é".encode() * 200]
) | st.dictionaries(
    st.sampled_from(["x", "amqp.header.x", "y"]), st.sampled_from([*"tIbBsuilTdfxS*?", ""])
).map(json.encode) | st.sampled_from([1, 100, 127]).map(nested)  # fmt: skip


@settings(max_examples=500)
@given(st.none() | st.binary(max_size=400), st.lists(st.tuples(names, contents), max_size=6))
def test_no_record_keeps_its_readers_from_the_others(
    key: bytes | None, headers: list[tuple[bytes, bytes | None]]
) -> None:
    """Whatever a client of Kafka writes, it is a message that can be handed out."""
    encoded = encode_records([Record(0, 1000, key, b"value", headers)], base_offset=0, attributes=0)
    decoded = RecordCodec(Dialects()).decode(stretch(b"".join(encoded.chunks)), [])
    (message,) = decoded.messages
    found = wire.decode_properties(message.properties)
    assert (found.headers or {})["x-stream-offset"] == 0
    assert message.body == b"value"
    # As the head does it with each message that was published elsewhere.
    wire.encode_properties(found)
