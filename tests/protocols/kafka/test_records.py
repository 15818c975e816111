"""Produce, Fetch and ListOffsets on the wire: what is refused, what waits, and what comes back."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.store.batch import CONTROL, TRANSACTIONAL, Record, encode_records, set_base_offset
from tests.protocols.kafka.asking import Asking

NONE, OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE = 0, 1, 2, 3, 10
INVALID_ACKS, INVALID_TIMESTAMP, OUT_OF_ORDER = 21, 32, 45
UNKNOWN_EPOCH, UNSUPPORTED_COMPRESSION, INVALID_RECORD, UNKNOWN_TOPIC_ID = 75, 76, 87, 100
ALL = -1
LATEST, EARLIEST, NEWEST, TIERED = -1, -2, -3, -5


def now_ms() -> int:
    return int(time.time() * 1000)


def batch(*values: bytes | None, timestamp_ms: int | None = None, **header: Any) -> bytes:
    """A record batch of these values."""
    moment = now_ms() if timestamp_ms is None else timestamp_ms
    records = [Record(number, moment, None, value, []) for number, value in enumerate(values)]
    return b"".join(encode_records(records, **header).chunks)


def produce(
    client: Asking, topic: str, records: bytes, *, version: int = 9, acks: int = ALL, index: int = 0
) -> Any:
    """What the one partition answers."""
    topics = [{"name": topic, "partition_data": [{"index": index, "records": records}]}]
    response = client.ask("Produce", version, acks=acks, timeout=1000, topic_data=topics)
    return response.responses[0].partition_responses[0]


def wanted(topic: str, offset: int, *, wait_ms: int = 0, **more: Any) -> dict[str, Any]:
    """A fetch of one partition."""
    partition = {
        "partition": 0,
        "fetch_offset": offset,
        "partition_max_bytes": 1 << 20,
        "current_leader_epoch": -1,
        "last_fetched_epoch": -1,
        **more.pop("partition", {}),
    }
    topics = [{"topic": topic, "partitions": [partition]}]
    limits = {"max_bytes": 1 << 20, "min_bytes": 1, "session_epoch": -1}
    return {**limits, "max_wait": wait_ms, "topics": topics, **more}


def fetch(client: Asking, topic: str, offset: int, **more: Any) -> Any:
    """What the one partition answers."""
    return client.ask("Fetch", 12, **wanted(topic, offset, **more)).responses[0].partitions[0]


def offset_of(client: Asking, topic: str, timestamp: int) -> Any:
    partitions = [{"partition_index": 0, "timestamp": timestamp, "current_leader_epoch": -1}]
    response = client.ask("ListOffsets", 7, replica_id=-1, topics=[{"name": topic, "partitions": partitions}])
    return response.topics[0].partitions[0]


@pytest.fixture
def topic(client: Asking, request: pytest.FixtureRequest) -> str:
    """A topic of its own for each test."""
    name = f"t-{abs(hash(request.node.name))}"
    response = client.ask("Metadata", 9, topics=[{"name": name}], allow_auto_topic_creation=True)
    assert response.topics[0].error_code == NONE
    return name


@pytest.mark.row("K5", "K10")
@pytest.mark.parametrize("acks", [1, ALL])
def test_what_is_produced_is_fetched_as_it_was(client: Asking, topic: str, acks: int) -> None:
    sent = batch(b"one", None, b"three")
    answered = produce(client, topic, sent, acks=acks)
    assert (answered.error_code, answered.base_offset) == (NONE, 0)
    assert produce(client, topic, sent, acks=acks).base_offset == 3
    found = fetch(client, topic, 0)
    first, second = bytearray(found.records[: len(sent)]), found.records[len(sent) :]
    assert (found.high_watermark, found.log_start_offset) == (6, 0)
    # But for the offset and the epoch in front of it, which no checksum covers.
    assert (bytes(first[16:]), bytes(second[16:])) == (sent[16:], sent[16:])
    set_base_offset(first, 3)
    assert bytes(first[:8]) == bytes(second[:8])


@pytest.mark.row("K5")
def test_with_acks_0_there_is_no_answer_and_the_next_request_has_the_next_one(
    client: Asking, topic: str
) -> None:
    topics = [{"name": topic, "partition_data": [{"index": 0, "records": batch(b"x")}]}]
    client.tell("Produce", 9, acks=0, timeout=1000, topic_data=topics)
    assert produce(client, topic, batch(b"y")).base_offset == 1


@pytest.mark.row("K5")
def test_with_acks_0_a_refusal_closes_the_connection(broker: Broker, topic: str) -> None:
    """As in Kafka: it is the one way to have the producer look where its topic is now."""
    partition = {"index": 7, "records": batch(b"x")}
    topics = [{"name": topic, "partition_data": [partition]}]
    with Asking(broker.kafka_bootstrap) as producer:
        producer.tell("Produce", 9, acks=0, timeout=1000, topic_data=topics)
        assert producer.is_closed


def spoilt(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("records", "error"),
    [
        (b"", CORRUPT),
        (b"x" * 61, CORRUPT),
        (batch(b"x")[:-1], CORRUPT),
        (spoilt(batch(b"x")), CORRUPT),
        (batch(b"x") + batch(b"y"), INVALID_RECORD),
        (batch(b"x", attributes=CONTROL), INVALID_RECORD),
        (batch(b"x" * 1_100_000), TOO_LARGE),
        (batch(b"x", timestamp_ms=now_ms() + 7_200_000), INVALID_TIMESTAMP),
    ],
    ids=["empty", "garbage", "cut off", "checksum", "two batches", "control", "too large", "from tomorrow"],
)
@pytest.mark.row("K2", "K6", "K8")
def test_a_batch_that_is_not_right_is_refused_and_nothing_of_it_kept(
    client: Asking, topic: str, records: bytes, error: int
) -> None:
    answered = produce(client, topic, records)
    assert (answered.error_code, answered.base_offset) == (error, -1)
    assert fetch(client, topic, 0).high_watermark == 0


@pytest.mark.row("K9")
def test_records_without_a_key_are_named_one_by_one_where_the_topic_is_compacted(client: Asking) -> None:
    configs = [{"name": "cleanup.policy", "value": "compact"}]
    wanted = {"name": "compacted", "num_partitions": 1, "replication_factor": -1, "configs": configs}
    client.ask("CreateTopics", 7, topics=[wanted])
    records = [Record(number, now_ms(), key, b"x", []) for number, key in enumerate((b"a", None, b"b", None))]
    answered = produce(client, "compacted", b"".join(encode_records(records).chunks))
    assert answered.error_code.value == INVALID_RECORD
    assert [one.batch_index for one in answered.record_errors] == [1, 3]
    assert all(one.batch_index_error_message for one in answered.record_errors)
    assert fetch(client, "compacted", 0).high_watermark == 0


@pytest.mark.row("K4")
def test_zstd_is_refused_from_clients_whose_consumers_could_not_read_it(client: Asking, topic: str) -> None:
    assert produce(client, topic, batch(b"x", attributes=4), version=6).error_code == UNSUPPORTED_COMPRESSION


@pytest.mark.row("K5")
def test_acks_that_nobody_knows_are_refused(client: Asking, topic: str) -> None:
    assert produce(client, topic, batch(b"x"), acks=2).error_code == INVALID_ACKS


@pytest.mark.row("K12")
def test_topics_and_partitions_that_are_not_there_are_named(client: Asking, topic: str) -> None:
    assert produce(client, "missing", batch(b"x")).error_code == UNKNOWN_TOPIC
    assert produce(client, topic, batch(b"x"), index=1).error_code == UNKNOWN_TOPIC
    assert fetch(client, "missing", 0).error_code == UNKNOWN_TOPIC
    data = [{"topic_id": b"i" * 16, "partition_data": [{"index": 0, "records": batch(b"x")}]}]
    response = client.ask("Produce", 13, acks=ALL, timeout=1000, topic_data=data)
    assert response.responses[0].partition_responses[0].error_code == UNKNOWN_TOPIC_ID


@pytest.mark.row("K12")
def test_a_topic_is_produced_to_and_fetched_by_its_id(client: Asking, topic: str) -> None:
    identity = client.ask("Metadata", 12, topics=[{"name": topic}]).topics[0].topic_id.bytes
    data = [{"topic_id": identity, "partition_data": [{"index": 0, "records": batch(b"x")}]}]
    response = client.ask("Produce", 13, acks=ALL, timeout=1000, topic_data=data)
    assert response.responses[0].partition_responses[0].error_code == NONE
    partition = {
        "partition": 0,
        "fetch_offset": 0,
        "partition_max_bytes": 1 << 20,
        "current_leader_epoch": -1,
    }
    topics = [{"topic_id": identity, "partitions": [{**partition, "last_fetched_epoch": -1}]}]
    values = {"max_bytes": 1 << 20, "min_bytes": 1, "session_epoch": -1, "max_wait": 0}
    fetched = client.ask("Fetch", 17, topics=topics, **values)
    assert fetched.responses[0].partitions[0].high_watermark == 1
    assert fetched.responses[0].topic_id.bytes == identity


@pytest.mark.row("K7")
def test_a_repeated_batch_gets_its_old_offset_and_one_after_a_gap_is_refused(
    client: Asking, topic: str
) -> None:
    producer = client.ask("InitProducerId", 4, transactional_id=None, producer_id=-1, producer_epoch=-1)
    who = {"producer_id": producer.producer_id, "producer_epoch": producer.producer_epoch}
    first = batch(b"a", b"b", base_sequence=0, **who)
    assert produce(client, topic, first).base_offset == 0
    assert produce(client, topic, batch(b"c", base_sequence=2, **who)).base_offset == 2
    again = produce(client, topic, first)
    assert (again.error_code, again.base_offset) == (NONE, 0)
    assert produce(client, topic, batch(b"e", base_sequence=4, **who)).error_code == OUT_OF_ORDER
    assert produce(client, topic, batch(b"e", base_sequence=-1, **who)).error_code == INVALID_RECORD
    assert fetch(client, topic, 0).high_watermark == 3


@pytest.mark.row("K16")
def test_an_offset_that_is_not_there_is_out_of_range(client: Asking, topic: str) -> None:
    produce(client, topic, batch(b"x"))
    assert fetch(client, topic, 2).error_code == OUT_OF_RANGE
    assert fetch(client, topic, 1).error_code == NONE


@pytest.mark.row("K13")
def test_an_epoch_that_has_not_begun_is_unknown(client: Asking, topic: str) -> None:
    assert fetch(client, topic, 0, partition={"current_leader_epoch": 9}).error_code == UNKNOWN_EPOCH


@pytest.mark.row("K13", "T15")
def test_records_that_come_after_a_power_cut_are_of_another_epoch(tmp_path: Path) -> None:
    """It has taken what was written and not synced, and left no trace of it: clients must be able to tell."""
    with Broker(tmp_path / "before", kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        for _ in range(3):
            produce(client, "t", batch(b"lost"))
        shutil.copytree(tmp_path / "before", tmp_path / "after")
    for path in (tmp_path / "after" / "logs").glob("*/*.log"):
        path.write_bytes(b"")
    with Broker(tmp_path / "after", kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        assert produce(client, "t", batch(b"new")).base_offset == 0
        place = {"partition": 0, "current_leader_epoch": -1, "leader_epoch": 0}
        asked = client.ask("OffsetForLeaderEpoch", 4, topics=[{"topic": "t", "partitions": [place]}])
        (found,) = asked.topics[0].partitions
        assert (found.leader_epoch, found.end_offset) == (0, 0)


@pytest.mark.row("K13", "T15")
def test_so_are_those_after_a_power_cut_that_leaves_a_log_as_it_was_closed(tmp_path: Path) -> None:
    """All that came since the last clean stop is gone: the log ends where that has closed it."""
    before, after = tmp_path / "before", tmp_path / "after"
    with Broker(before, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        produce(client, "t", batch(b"kept"))
    (segment,) = before.glob("logs/*/*.log")
    size = segment.stat().st_size
    place = {"partition": 0, "current_leader_epoch": -1}
    with Broker(before, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        produce(client, "t", batch(b"lost"))
        epoch = client.ask("Metadata", 9, topics=[{"name": "t"}]).topics[0].partitions[0].leader_epoch
        shutil.copytree(before, after)
    (segment,) = after.glob("logs/*/*.log")
    segment.write_bytes(segment.read_bytes()[:size])
    with Broker(after, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        assert produce(client, "t", batch(b"new")).base_offset == 1
        wanted = [{"topic": "t", "partitions": [{**place, "leader_epoch": epoch}]}]
        (found,) = client.ask("OffsetForLeaderEpoch", 4, topics=wanted).topics[0].partitions
        assert found.end_offset == 1


@pytest.mark.row("K10")
def test_a_fetch_waits_for_what_comes_and_no_longer(broker: Broker, client: Asking, topic: str) -> None:
    found: list[Any] = []
    with Asking(broker.kafka_bootstrap) as reader:
        waiting = threading.Thread(target=lambda: found.append(fetch(reader, topic, 0, wait_ms=20_000)))
        waiting.start()
        produce(client, topic, batch(b"x"))
        waiting.join(10)
        assert (found[0].high_watermark, len(found[0].records)) == (1, len(batch(b"x")))
        assert fetch(reader, topic, 1, wait_ms=1).records == b""


@pytest.mark.row("K10")
def test_a_fetch_waits_for_as_many_bytes_as_it_asks_for(broker: Broker, client: Asking, topic: str) -> None:
    size = len(batch(b"x"))
    found: list[Any] = []
    with Asking(broker.kafka_bootstrap) as reader:
        waiting = threading.Thread(
            target=lambda: found.append(fetch(reader, topic, 0, wait_ms=20_000, min_bytes=3 * size))
        )
        waiting.start()
        for _ in range(3):
            assert not found
            produce(client, topic, batch(b"x"))
        waiting.join(10)
        assert len(found[0].records) == 3 * size


@pytest.mark.row("K8", "K10")
def test_a_fetch_does_not_wait_for_more_than_a_partition_may_give(client: Asking, topic: str) -> None:
    """What has no room counts as there, up to the limit of its partition."""
    one = batch(b"x" * 600_000)
    for _ in range(3):
        produce(client, topic, one)
    limits = {"min_bytes": 1_000_000, "partition": {"partition_max_bytes": 1_000_000}}
    assert len(fetch(client, topic, 0, wait_ms=10**9, **limits).records) == len(one)
    assert len(fetch(client, topic, 0, wait_ms=10**9, max_bytes=700_000, **limits).records) == len(one)
    assert len(fetch(client, topic, 2, wait_ms=1, **limits).records) == len(one)


@pytest.mark.row("K10", "K31")
def test_a_fetch_goes_on_when_its_topic_grows(broker: Broker, client: Asking) -> None:
    name = "growing"
    client.ask("CreateTopics", 7, topics=[{"name": name, "num_partitions": 2, "replication_factor": -1}])
    found: list[Any] = []
    with Asking(broker.kafka_bootstrap) as reader:
        waiting = threading.Thread(target=lambda: found.append(fetch(reader, name, 0, wait_ms=20_000)))
        waiting.start()
        while not broker.call(lambda server: bool(parked(server, name))):
            pass
        client.ask("CreatePartitions", 3, topics=[{"name": name, "count": 3, "assignments": None}])
        produce(client, name, batch(b"x"))
        waiting.join(10)
        assert (found[0].error_code, len(found[0].records)) == (NONE, len(batch(b"x")))


@pytest.mark.row("K10")
def test_a_fetch_whose_topic_is_deleted_hears_of_it(broker: Broker, client: Asking, topic: str) -> None:
    found: list[Any] = []
    with Asking(broker.kafka_bootstrap) as reader:
        waiting = threading.Thread(target=lambda: found.append(fetch(reader, topic, 0, wait_ms=20_000)))
        waiting.start()
        while not broker.call(lambda server: bool(parked(server, topic))):
            pass
        broker.call(
            lambda server: server.core.vhosts["/"].topics.delete(server.core.vhosts["/"].topics.get(topic))
        )
        waiting.join(10)
        assert found[0].error_code == UNKNOWN_TOPIC


def parked(server: Any, topic: str) -> Any:
    """Who watches the topic's first partition."""
    return server.core.vhosts["/"].topics.get(topic).partitions[0].partition.watchers


@pytest.mark.row("K10")
def test_a_fetch_whose_client_goes_away_is_forgotten_long_before_its_time(broker: Broker, topic: str) -> None:
    with Asking(broker.kafka_bootstrap) as reader:
        reader.tell("Fetch", 12, **wanted(topic, 0, wait_ms=10**9))
        while not broker.call(lambda server: bool(parked(server, topic))):
            pass
    deadline = time.monotonic() + 10
    while broker.call(lambda server: bool(parked(server, topic))):
        assert time.monotonic() < deadline, "the fetch still waits"


@pytest.mark.row("K8")
def test_the_first_batch_comes_however_small_the_limits_are(client: Asking, topic: str) -> None:
    produce(client, topic, batch(b"x" * 5000))
    produce(client, topic, batch(b"y"))
    limits = {"max_bytes": 100, "partition": {"partition_max_bytes": 100}}
    assert len(fetch(client, topic, 0, **limits).records) == len(batch(b"x" * 5000))


@pytest.mark.row("K15")
def test_offsets_are_found_by_place_and_by_time(client: Asking, topic: str) -> None:
    begin = now_ms() - 10_000
    produce(client, topic, batch(b"a", b"b", timestamp_ms=begin))
    produce(client, topic, batch(b"c", timestamp_ms=begin + 50))
    produce(client, topic, batch(b"d", timestamp_ms=begin + 20))
    assert offset_of(client, topic, EARLIEST).offset == 0
    assert offset_of(client, topic, LATEST).offset == 4
    assert offset_of(client, topic, NEWEST).offset == 2
    assert offset_of(client, topic, TIERED).offset == -1
    found = client.ask("Metadata", 9, topics=[{"name": topic}]).topics[0].partitions[0]
    at = offset_of(client, topic, begin + 10)
    assert (at.offset, at.leader_epoch) == (2, found.leader_epoch)
    assert offset_of(client, topic, begin + 51).offset == -1


@pytest.mark.row("K15", "K35")
def test_a_time_leads_to_nothing_that_was_deleted(client: Asking, topic: str) -> None:
    """The log begins within a batch."""
    begin = now_ms() - 10_000
    produce(client, topic, batch(b"a", b"b", b"c", timestamp_ms=begin))
    partitions = [{"partition_index": 0, "offset": 2}]
    client.ask("DeleteRecords", 2, topics=[{"name": topic, "partitions": partitions}])
    assert [offset_of(client, topic, wanted).offset for wanted in (EARLIEST, begin, NEWEST)] == [2, 2, 2]


@pytest.mark.row("K60")
def test_a_transactional_batch_without_its_id_is_refused(client: Asking, topic: str) -> None:
    data = batch(b"x", attributes=TRANSACTIONAL, producer_id=5, producer_epoch=0, base_sequence=0)
    assert produce(client, topic, data).error_code == 53
