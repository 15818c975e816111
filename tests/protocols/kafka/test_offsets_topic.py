"""`__consumer_offsets`: when it is there, what is in it, and that nobody writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

import pytest

from pillarbox import Broker
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.groups.records import Committed, GroupRecord, MemberRecord
from pillarbox.protocols.kafka.internal_topics import BATCH_RECORDS_MAX, OFFSETS, java_hash
from pillarbox.protocols.kafka.offsets_topic import GROUP_KEY, OFFSET_KEY, group_record, offset_record
from pillarbox.store.batch import HEADER_SIZE, decode_records, encode_batch, read_header
from tests.protocols.kafka.asking import Asking


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """None: each test has a broker of its own here, since what is committed is for all to see."""
    with Broker(kafka_port=0) as running:
        yield running


def make(client: Asking, name: str, partitions: int = 1) -> None:
    topic = {"name": name, "num_partitions": partitions, "replication_factor": 1}
    (made,) = client.ask("CreateTopics", 7, topics=[topic]).topics
    assert made.error_code.value == Code.NONE


def commit(client: Asking, group: str, topic: str, *offsets: int) -> None:
    """Commit an offset for each of the first partitions."""
    partitions = [
        {"partition_index": index, "committed_offset": offset, "committed_metadata": "m"}
        for index, offset in enumerate(offsets)
    ]
    answer = client.ask(
        "OffsetCommit",
        8,
        group_id=group,
        generation_id_or_member_epoch=-1,
        topics=[{"name": topic, "partitions": partitions}],
    )
    codes = {part.error_code.value for each in answer.topics for part in each.partitions}
    assert codes == {Code.NONE}


def listed(client: Asking) -> dict[str, bool]:
    return {topic.name: topic.is_internal for topic in client.ask("Metadata", 12, topics=None).topics}


def records_of(client: Asking, name: str, count: int) -> list[tuple[bytes, bytes | None]]:
    """So many records of a topic at least, from its beginning."""
    found: list[tuple[bytes, bytes | None]] = []
    while len(found) < count:
        place = {"partition": 0, "fetch_offset": len(found), "partition_max_bytes": 1 << 20}
        epochs = {"current_leader_epoch": -1, "last_fetched_epoch": -1}
        (topic,) = client.ask(
            "Fetch",
            12,
            replica_id=-1,
            max_wait=0,
            min_bytes=1,
            max_bytes=1 << 20,
            session_epoch=-1,
            topics=[{"topic": name, "partitions": [{**place, **epochs}]}],
        ).responses
        (part,) = topic.partitions
        assert part.error_code.value == Code.NONE
        for batch in batches(bytes(part.records or b"")):
            found += batch
    return found


def committed(client: Asking, at_least: int) -> dict[tuple[str, str, int], int | None]:
    """What a reader of the topic knows in the end, of so many offsets at least."""
    known: dict[tuple[str, str, int], int | None] = {}
    count = at_least
    while len(known) < at_least:
        for key, value in records_of(client, OFFSETS, count):
            if key[:2] == OFFSET_KEY:
                known[key_of(key)] = value and unpack_from(">q", value, 2)[0]
        count += 1
    return known


def batches(data: bytes) -> Iterator[list[tuple[bytes, bytes | None]]]:
    while data:
        size = 12 + unpack_from(">i", data, 8)[0]
        yield [
            (each.key or b"", each.value)
            for each in decode_records(data, HEADER_SIZE, size, read_header(data, 0))
        ]
        data = data[size:]


def key_of(key: bytes) -> tuple[str, str, int]:
    version, size = unpack_from(">hh", key)
    assert version == 1
    group = key[4 : 4 + size].decode()
    (topic_size,) = unpack_from(">h", key, 4 + size)
    at = 6 + size
    return group, key[at : at + topic_size].decode(), unpack_from(">i", key, at + topic_size)[0]


@pytest.mark.row("K38")
def test_the_topic_is_there_when_somebody_has_committed_and_somebody_looks(client: Asking) -> None:
    make(client, "t")
    assert OFFSETS not in listed(client)
    commit(client, "g", "t", 5)
    assert listed(client) == {"t": False, OFFSETS: True}
    described = client.ask(
        "DescribeTopicPartitions", 0, topics=[{"name": OFFSETS}], response_partition_limit=9
    )
    assert described.topics[0].is_internal


@pytest.mark.row("K38")
def test_a_reader_finds_the_last_offset_of_each_group_and_what_is_forgotten() -> None:
    """Those of before it was made, those of after, and a group that was deleted."""
    with Broker(kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t", 2)
        commit(client, "early", "t", 1, 2)
        commit(client, "gone", "t", 9)
        listed(client)
        commit(client, "early", "t", 3)
        commit(client, "late", "t", 4)
        client.ask("DeleteGroups", 2, groups_names=("gone",))
        commit(client, "last", "t", 5)
        found = committed(client, 5)
        assert found == {
            ("early", "t", 0): 3,
            ("early", "t", 1): 2,
            ("gone", "t", 0): None,
            ("late", "t", 0): 4,
            ("last", "t", 0): 5,
        }


@pytest.mark.row("K38")
def test_all_that_is_kept_is_in_the_topic_again_after_a_restart(tmp_path: Path) -> None:
    with Broker(data=tmp_path, kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t")
        commit(client, "g", "t", 7)
        listed(client)
    with Broker(data=tmp_path, kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        commit(client, "h", "t", 8)
        assert listed(client)[OFFSETS]
        assert committed(client, 2) == {("g", "t", 0): 7, ("h", "t", 0): 8}


@pytest.mark.row("K38")
def test_clients_do_not_write_to_an_internal_topic(client: Asking) -> None:
    """But for the administrator's client of Kafka, which is told by its id."""
    make(client, "written")
    commit(client, "g", "written", 1)
    listed(client)
    batch = b"".join(encode_batch([(b"k", b"v")], timestamp_ms=1).chunks)
    data = [{"name": OFFSETS, "partition_data": [{"index": 0, "records": batch}]}]
    (topic,) = client.ask("Produce", 9, acks=-1, topic_data=data).responses
    assert topic.partition_responses[0].error_code.value == Code.INVALID_TOPIC_EXCEPTION


@pytest.mark.row("K38")
def test_the_topic_is_made_anew_where_it_was_deleted_and_has_all_again(client: Asking) -> None:
    make(client, "again")
    commit(client, "g", "again", 11)
    listed(client)
    client.ask("DeleteTopics", 6, topics=[{"name": OFFSETS, "topic_id": None}])
    assert listed(client)[OFFSETS]
    assert committed(client, 1)["g", "again", 0] == 11


@pytest.mark.row("K38")
def test_many_offsets_are_batches_of_a_bounded_size() -> None:
    with Broker(kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t", 700)
        commit(client, "g", "t", *range(700))
        commit(client, "h", "t", *range(700))
        listed(client)
        assert len(committed(client, 1400)) == 1400 > BATCH_RECORDS_MAX


@pytest.mark.row("K38")
def test_key_and_value_are_laid_out_as_kafka_does_it() -> None:
    key, value = offset_record("g", "t", 3, Committed(5, 2, "m", 1_000))
    assert key.hex() == "0001" + "0001" + b"g".hex() + "0001" + b"t".hex() + "00000003"
    assert value is not None
    assert value.hex() == "0003" + "0000000000000005" + "00000002" + "0001" + b"m".hex() + f"{1000:016x}"
    assert offset_record("g", "t", 3, None) == (key, None)


@pytest.mark.row("K38")
def test_a_group_and_its_members_are_laid_out_as_kafka_does_it() -> None:
    member = MemberRecord("m", None, "c", "/h", 7, 8, [("x", b"X"), ("r", b"AB")], b"CDE")
    key, value = group_record("g", GroupRecord("consumer", 2, "r", "m", 1000, [member]))
    assert key.hex() == "0002" + "0001" + b"g".hex()
    assert value is not None
    assert value.hex() == "".join(
        (
            "0003" + "0008" + b"consumer".hex() + "00000002",
            "0001" + b"r".hex() + "0001" + b"m".hex() + f"{1000:016x}",
            "00000001" + "0001" + b"m".hex() + "ffff" + "0001" + b"c".hex() + "0002" + b"/h".hex(),
            "00000008" + "00000007" + "00000002" + b"AB".hex() + "00000003" + b"CDE".hex(),
        )
    )
    assert group_record("g", None) == (key, None)


@pytest.mark.row("K38")
def test_a_group_is_in_the_topic_after_each_round_and_gone_when_it_is_deleted(tmp_path: Path) -> None:
    """One that has no members but commits is not: Kafka does not have it either."""
    with Broker(data=tmp_path, kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t")
        commit(client, "g", "t", 5)
        commit(client, "other", "t", 5)
        listed(client)
        member = joined(client, "g")
        found = [(key, value) for key, value in records_of(client, OFFSETS, 3) if key[:2] == GROUP_KEY]
        assert [key[4:] for key, _ in found] == [b"g"]
        assert found[0][1] is not None
        assert member.encode() in found[0][1]
    with Broker(data=tmp_path, kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        listed(client)
        again = [value for key, value in records_of(client, OFFSETS, 6)[3:] if key[:2] == GROUP_KEY]
        assert again == [found[0][1]]
        client.ask("LeaveGroup", 3, group_id="g", members=[{"member_id": member, "group_instance_id": None}])
        client.ask("DeleteGroups", 2, groups_names=("g",))
        *_, empty, _, gone = records_of(client, OFFSETS, 9)
        assert empty[0] == gone[0] == found[0][0]
        assert empty[1] is not None
        assert empty[1].endswith(bytes(4))
        assert gone[1] is None


def joined(client: Asking, group: str) -> str:
    """Be the one member of a group; return its id."""
    words = {"group_id": group, "session_timeout": 10_000, "rebalance_timeout": 10_000}
    words |= {"protocol_type": "consumer", "protocols": [{"name": "range", "metadata": b"me"}]}
    member = client.ask("JoinGroup", 5, member_id="", group_instance_id=None, **words).member_id
    answer = client.ask("JoinGroup", 5, member_id=member, group_instance_id=None, **words)
    client.ask(
        "SyncGroup",
        3,
        group_id=group,
        generation_id=answer.generation_id,
        member_id=member,
        group_instance_id=None,
        assignments=[{"member_id": member, "assignment": b"all"}],
    )
    return str(member)


@pytest.mark.row("K38")
@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("a", 97), ("hello", 99162322), ("polygenelubricants", -(1 << 31)), ("é", 233)],
)
def test_a_group_has_the_hash_that_java_gives_it(text: str, number: int) -> None:
    assert java_hash(text) == number
