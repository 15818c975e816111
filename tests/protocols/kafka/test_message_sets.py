"""Clients that are too old for record batches, as Kafka 3.9 serves them and 4 does not (K3)."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.protocols.kafka.message_sets import as_batch, as_messages, is_message_set
from pillarbox.store.batch import CONTROL, BatchError, Record, encode_records, read_header
from pillarbox.store.codecs import open_records
from tests.protocols.kafka.asking import Asking

CORRUPT, UNSUPPORTED_COMPRESSION = 2, 76
ALL = -1
GZIP = 1


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0, profile="kafka:3.9") as running:
        yield running


def message(
    value: bytes | None, key: bytes | None = None, *, magic: int = 1, codec: int = 0, offset: int = 0
) -> bytes:
    """One message of a set, with a fixed timestamp where it has one."""
    covered = struct.pack(">bb", magic, codec) + (struct.pack(">q", 1_500_000_000_000) if magic else b"")
    for field in (key, value):
        covered += struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
    return struct.pack(">qiI", offset, len(covered) + 4, zlib.crc32(covered)) + covered


def text(name: str) -> bytes:
    return struct.pack(">h", len(name)) + name.encode()


def produce(client: Asking, topic: str, version: int, records: bytes) -> tuple[int, int]:
    """Error and first offset."""
    body = struct.pack(">hii", ALL, 1000, 1) + text(topic) + struct.pack(">iii", 1, 0, len(records)) + records
    client.send(0, version, body)
    answer = client.take_bare()
    at = 4 + 4 + 2 + len(topic) + 4 + 4
    error, offset = struct.unpack_from(">hq", answer, at)
    return error, offset


def fetch(client: Asking, topic: str, version: int, offset: int = 0) -> tuple[int, bytes]:
    """Error and what there is of the one partition."""
    limits = struct.pack(">iii", -1, 0, 1) + (struct.pack(">i", 1 << 20) if version >= 3 else b"")
    if version >= 4:
        limits += b"\0"
    place = struct.pack(">i", 0) + struct.pack(">q", offset) + struct.pack(">i", 1 << 20)
    client.send(1, version, limits + struct.pack(">i", 1) + text(topic) + struct.pack(">i", 1) + place)
    answer = client.take_bare()
    at = 4 + (4 if version else 0) + 4 + 2 + len(topic) + 4
    _, error, _ = struct.unpack_from(">ihq", answer, at)
    at += 14 + (12 if version >= 4 else 0)
    (size,) = struct.unpack_from(">i", answer, at)
    assert len(answer) == at + 4 + size
    return error, answer[at + 4 :]


def made(client: Asking, name: str) -> str:
    client.ask("Metadata", 9, topics=[{"name": name}], allow_auto_topic_creation=True)
    return name


@pytest.fixture
def client(broker: Broker) -> Iterator[Asking]:
    with Asking(broker.kafka_bootstrap) as asking:
        yield asking


# --- both ways, over the wire ---------------------------------------------------------------------------


@pytest.mark.row("K3")
@pytest.mark.parametrize(("version", "magic"), [(0, 0), (1, 0), (2, 1)])
def test_what_comes_as_messages_goes_as_messages(client: Asking, version: int, magic: int) -> None:
    """Byte for byte, but for the offsets that they have got."""
    topic = made(client, f"same-{version}")
    sent = [
        message(b"one", b"k", magic=magic),
        message(None, b"gone", magic=magic),
        message(b"", magic=magic),
    ]
    assert produce(client, topic, version, b"".join(sent)) == (0, 0)
    assert produce(client, topic, version, message(b"four", magic=magic)) == (0, 3)
    error, found = fetch(client, topic, version)
    expected = [
        struct.pack(">q", offset) + each[8:]
        for offset, each in enumerate([*sent, message(b"four", magic=magic)])
    ]
    assert (error, found) == (0, b"".join(expected))
    assert fetch(client, topic, version, 2)[1] == b"".join(expected[2:])


@pytest.mark.row("K3")
def test_messages_are_kept_as_batches(client: Asking) -> None:
    topic = made(client, "kept")
    assert produce(client, topic, 2, message(b"a", b"k") + message(b"b")) == (0, 0)
    error, found = fetch(client, topic, 4)
    header = read_header(found)
    records = open_records(found, 0, header)
    assert (error, header.magic, header.record_count) == (0, 2, 2)
    assert [(one.key, one.value, one.timestamp_ms) for one in records] == [
        (b"k", b"a", 1_500_000_000_000),
        (None, b"b", 1_500_000_000_000),
    ]


@pytest.mark.row("K3", "K4")
@pytest.mark.parametrize("magic", [0, 1])
def test_a_compressed_message_stays_compressed(client: Asking, magic: int) -> None:
    """The offsets in it count from 0 with magic 1, and are those of the log with magic 0."""
    topic, version = made(client, f"gzip-{magic}"), 2 * magic
    inner = b"".join(message(b"x" * 100, magic=magic, offset=number) for number in range(3))
    wrapped = message(gzip.compress(inner), magic=magic, codec=GZIP, offset=2)
    assert produce(client, topic, version, wrapped) == (0, 0)
    assert produce(client, topic, version, wrapped) == (0, 3)
    batch = fetch(client, topic, 4)[1]
    assert read_header(batch).codec == GZIP
    error, found = fetch(client, topic, version, 3)
    offset, size = struct.unpack_from(">qi", found)
    assert (error, offset, size + 12, found[17]) == (0, 5, len(found), GZIP)
    opened = gzip.decompress(found[12 + 6 + 8 * magic + 8 :])
    first = 0 if magic else 3
    assert opened == b"".join(message(b"x" * 100, magic=magic, offset=first + number) for number in range(3))


@pytest.mark.row("K3", "K4")
def test_zstd_is_refused_to_who_cannot_know_it(client: Asking) -> None:
    topic = made(client, "zstd")
    producer = Producer({"bootstrap.servers": client_bootstrap(client), "compression.type": "zstd"})
    producer.produce(topic, b"x" * 1000)
    assert producer.flush(10) == 0
    for version in (2, 4):
        assert fetch(client, topic, version) == (UNSUPPORTED_COMPRESSION, b"")
    partition = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
    for version, error in ((9, UNSUPPORTED_COMPRESSION), (10, 0)):
        answer = client.ask(
            "Fetch",
            version,
            max_bytes=1 << 20,
            min_bytes=1,
            session_epoch=-1,
            topics=[{"topic": topic, "partitions": [{**partition, "current_leader_epoch": -1}]}],
        )
        assert answer.responses[0].partitions[0].error_code == error


def client_bootstrap(client: Asking) -> str:
    host, port = client._socket.getpeername()[:2]
    return f"{host}:{port}"


@pytest.mark.row("K3", "K2")
@pytest.mark.parametrize(
    "records",
    [
        message(b"x")[:-1],
        message(b"x")[:-1] + b"y",
        message(b"x") + b"\0" * 20,
        message(b"not gzip", codec=GZIP),
        message(gzip.compress(message(b"x", codec=GZIP)), codec=GZIP),
        message(None, codec=GZIP),
        message(b"x", codec=5),
        message(b"x") + struct.pack(">qi", 0, -5) + bytes(20),
    ],
    ids=["cut", "crc", "tail", "not gzip", "twice", "null", "codec", "negative"],
)
def test_messages_that_are_not_right_are_refused(client: Asking, records: bytes) -> None:
    topic = made(client, "wrong")
    assert produce(client, topic, 2, records) == (CORRUPT, -1)
    assert fetch(client, topic, 2) == (0, b"")


# --- clients --------------------------------------------------------------------------------------------


@pytest.mark.row("K3")
@pytest.mark.parametrize("release", ["0.8.2.2", "0.9.0.1", "0.10.0.1", "0.10.2.1"])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
def test_librdkafka_writes_and_reads_as_with_an_old_broker(broker: Broker, release: str, codec: str) -> None:
    """It goes by the release that it is told, since brokers before 0.10 could not say theirs."""
    topic = f"old-{release}-{codec}"
    old = {
        "bootstrap.servers": broker.kafka_bootstrap,
        "api.version.request": False,
        "broker.version.fallback": release,
    }
    producer = Producer({**old, "compression.type": codec, "linger.ms": 50})
    for number in range(50):
        producer.produce(topic, b"value %d" % number * 10, key=b"k%d" % number, partition=0)
    assert producer.flush(20) == 0
    consumer = Consumer({**old, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while len(found) < 50:
        got = consumer.poll(10)
        assert got is not None
        assert got.error() is None
        found.append((got.offset(), got.key(), got.value()))
    consumer.close()
    assert found == [(number, b"k%d" % number, b"value %d" % number * 10) for number in range(50)]


# --- the codec ------------------------------------------------------------------------------------------

BLOBS = st.none() | st.binary(max_size=50)
RECORDS = st.lists(st.tuples(st.integers(0, 2**40), BLOBS, BLOBS), min_size=1, max_size=20)


@pytest.mark.row("K3")
@given(rows=RECORDS, codec=st.sampled_from(range(4)), magic=st.sampled_from((0, 1)))
def test_a_batch_made_messages_and_a_batch_again_says_the_same(
    rows: list[tuple[int, bytes | None, bytes | None]], codec: int, magic: int
) -> None:
    records = [Record(0, moment, key, value, [(b"h", b"v")]) for moment, key, value in rows]
    batch = b"".join(encode_records(records).chunks)
    messages = as_messages(batch, magic, 0)
    assert is_message_set(messages)
    again = as_batch(messages)
    opened = open_records(again, 0, read_header(again))
    assert [(one.timestamp_ms, one.key, one.value) for one in opened] == [
        (moment if magic else -1, key, value or b"") for moment, key, value in rows
    ]


@pytest.mark.row("K3")
@given(st.binary(max_size=80), st.integers(0, 60))
def test_whatever_the_bytes_they_are_messages_or_refused(data: bytes, cut: int) -> None:
    for bad in (data, message(b"abc", b"k")[:cut] + data):
        try:
            as_batch(bad)
        except BatchError:
            continue


@pytest.mark.row("K3")
def test_what_messages_cannot_say_is_left_out() -> None:
    control = b"".join(encode_records([Record(0, 1, b"k", b"v", [])], attributes=CONTROL).chunks)
    plain = b"".join(encode_records([Record(0, 1, b"k", b"v", [])], base_offset=1).chunks)
    assert as_messages(control + plain, 0, 0) == message(b"v", b"k", magic=0, offset=1)
