"""The errors that users' code asks for, each provoked by a request by hand (K75).

What cannot arise on one node, or only by chance:

- 5 LEADER_NOT_AVAILABLE, 15 COORDINATOR_NOT_AVAILABLE, 16 NOT_COORDINATOR: while a topic of Kafka's own is
  made; here a topic is there when it is first answered, and there is one coordinator, which is always there.
- 6 NOT_LEADER_OR_FOLLOWER, 41 NOT_CONTROLLER, 103 INCONSISTENT_TOPIC_ID, 129 REBOOTSTRAP_REQUIRED: of several
  nodes. 7 REQUEST_TIMED_OUT, 19 NOT_ENOUGH_REPLICAS: of replicas that lag; Kafka 4 asks for no more than
  there are. 56 KAFKA_STORAGE_ERROR: of a disk that fails (tests/kill).
- 51 CONCURRENT_TRANSACTIONS: while markers are being written, which is over when the answer could be seen.
- 74 FENCED_LEADER_EPOCH: Kafka's first epoch is 0, and none is before it.
- 81 GROUP_MAX_SIZE_REACHED: Kafka has no limit unless it is set (tests/protocols/kafka/test_groups.py).
- 89 THROTTLING_QUOTA_EXCEEDED: of a rate of changes, which nobody limits here (`raw_quotas` has others).
- 29, 30: `confluent_acls`. 120 TRANSACTION_ABORTABLE: of transactions whose parts are verified.
"""

from __future__ import annotations

import struct
import time
from typing import Any

from pillarbox.store.batch import Record, encode_records
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.raw_tools import PAUSE_S, TRIES, batch, fetched, named, produce, topic
from tests.protocols.kafka.asking import Asking
from tests.transcripts.registry import scenario

NOT_COORDINATOR, LOADING, CONCURRENT = 16, 14, 51
TRANSACTIONAL = 0x10
RANGE = [{"name": "range", "metadata": b""}]
GROUP, TRANSACTION = 0, 1


def coordinated(client: Asking, key: str, kind: int = GROUP) -> None:
    """See that there is a coordinator: Kafka makes the topic of its own for that when it is first asked."""
    for _ in range(TRIES):
        (found,) = client.ask("FindCoordinator", 4, key_type=kind, coordinator_keys=[key]).coordinators
        if found.error_code == 0 and (kind != GROUP or is_loaded(client, key)):
            return
        time.sleep(PAUSE_S)


def is_loaded(client: Asking, group: str) -> bool:
    """Whether the coordinator has read what there is of the group."""
    (found,) = client.ask("DescribeGroups", 5, groups=[group]).groups
    return found.error_code not in (NOT_COORDINATOR, LOADING)


def until_ready(client: Asking, name: str, version: int, **values: Any) -> Any:
    """An answer whose error is not that of a coordinator that is not ready yet."""
    for _ in range(TRIES):
        answer = client.ask(name, version, **values)
        if answer.error_code not in (NOT_COORDINATOR, LOADING, CONCURRENT):
            break
        time.sleep(PAUSE_S)
    return answer


@scenario("K75", "K5", "K8", "K16")
def of_records(case: Case) -> None:
    """1, 2, 3, 10, 21, 32, 75, 87."""
    with Asking(case.bootstrap) as client:
        name = topic(client, case.name("t"))
        case.saw("fetch beyond the end", named(fetched(client, name, offset=9)))
        case.saw("fetch of no partition", named(fetched(client, name, index=7)))
        case.saw("fetch of no topic", named(fetched(client, case.name("gone"))))
        case.saw("fetch in an epoch to come", named(fetched(client, name, epoch=99)))
        good = batch(b"x")
        spoilt = good[:-1] + b"!"
        case.saw("damaged", named(produce(client, name, spoilt).error_code))
        case.saw("no topic", named(produce(client, case.name("gone"), good).error_code))
        case.saw("too large", named(produce(client, name, batch(b"x" * 1_100_000)).error_code))
        case.saw("acks of 2", named(produce(client, name, good, acks=2).error_code))
        case.saw("two batches", named(produce(client, name, good + good).error_code))
        old = struct.pack(">qiIbb", 0, 22, 0, 1, 0) + bytes(8) + struct.pack(">ii", -1, -1)
        try:
            case.saw("a message", named(produce(client, name, old).error_code))
        except ConnectionError:
            case.saw("a message", "closed")
    with Asking(case.bootstrap) as client:
        compacted = topic(client, case.name("c"), **{"cleanup.policy": "compact"})
        case.saw("no key", named(produce(client, compacted, good).error_code))
        careful = topic(client, case.name("m"), **{"min.insync.replicas": "2"})
        case.saw("more replicas than there are", named(produce(client, careful, good).error_code))
        case.saw("one is enough", named(produce(client, careful, good, acks=1).error_code))
        late = [Record(0, int(time.time() * 1000) - 3_600_000, None, b"x", [])]
        strict = topic(client, case.name("s"), **{"message.timestamp.before.max.ms": "1000"})
        early = b"".join(encode_records(late).chunks)
        case.saw("an hour ago", named(produce(client, strict, early).error_code))


@scenario("K75", "K31", "K32")
def of_topics(case: Case) -> None:
    """17, 36, 37, 38, 39, 40, 42, 100."""

    def made(client: Asking, name: str, **more: Any) -> str:
        wanted = {"name": name, "num_partitions": 1, "replication_factor": 1, **more}
        (found,) = client.ask("CreateTopics", 7, topics=[wanted], timeout=5000).topics
        return named(found.error_code)

    with Asking(case.bootstrap) as client:
        name = topic(client, case.name("t"))
        case.saw("there already", made(client, name))
        case.saw("a bad name", made(client, "a/b"), made(client, ""), made(client, "x" * 250))
        case.saw("no partitions", made(client, case.name("p"), num_partitions=0))
        case.saw("two replicas", made(client, case.name("r"), replication_factor=2))
        config = [{"name": "no.such.config", "value": "1"}]
        case.saw("a config that there is not", made(client, case.name("c"), configs=config))
        config = [{"name": "retention.ms", "value": "soon"}]
        case.saw("a value that cannot be", made(client, case.name("c"), configs=config))
        placed = [{"partition_index": 0, "broker_ids": [77]}]
        elsewhere = {"num_partitions": -1, "replication_factor": -1, "assignments": placed}
        case.saw("on no node", made(client, case.name("a"), **elsewhere))
        wanted = {"name": case.name("d"), "num_partitions": 1, "replication_factor": 1}
        twice = client.ask("CreateTopics", 7, topics=[wanted, wanted], timeout=5000).topics
        case.saw("twice", [named(one.error_code) for one in twice])
        more = [{"name": name, "count": 1}]
        fewer = client.ask("CreatePartitions", 3, topics=more, timeout=5000).results
        case.saw("no more partitions", named(fewer[0].error_code))
        states = [{"name": None, "topic_id": b"\7" * 16}]
        gone = client.ask("DeleteTopics", 6, topics=states, timeout=5000).responses
        case.saw("no such id", named(gone[0].error_code))
        no_making = {"allow_auto_topic_creation": False}
        found = client.ask(
            "Metadata", 12, topics=[{"name": case.name("gone")}, {"name": "a/b"}], **no_making
        ).topics
        case.saw("metadata", sorted(named(one.error_code) for one in found))
        by_id = client.ask("Metadata", 12, topics=[{"name": None, "topic_id": b"\7" * 16}]).topics
        case.saw("metadata by id", [named(one.error_code) for one in by_id])


@scenario("K75", "K50", "K53", "K57")
def of_classic_groups(case: Case) -> None:
    """22, 23, 24, 25, 26, 27, 68, 69, 79, 82."""
    group = case.name("g")
    with Asking(case.bootstrap) as client, Asking(case.bootstrap) as other:
        coordinated(client, group)

        def join(asking: Asking, member_id: str = "", **said: Any) -> Any:
            times = {"session_timeout": 10_000, "rebalance_timeout": 10_000}
            values = {"group_id": group, "member_id": member_id, "protocol_type": "consumer", **times}
            return until_ready(asking, "JoinGroup", 7, **{**values, "protocols": RANGE, **said})

        def beat(member_id: str, generation: int, instance: str | None = None) -> str:
            said = {"group_id": group, "generation_id": generation, "member_id": member_id}
            return named(client.ask("Heartbeat", 4, group_instance_id=instance, **said).error_code)

        case.saw("no group", beat("m", 0))
        case.saw("a session too short", named(join(client, session_timeout=1).error_code))
        case.saw("no name", named(join(client, group_id="").error_code))
        asked = join(client)
        case.saw("without an id", named(asked.error_code), bool(asked.member_id))
        case.saw("with an id of nobody", named(join(client, "nobody").error_code))
        joined = join(client, asked.member_id)
        me, generation = joined.member_id, joined.generation_id
        case.saw("joined", named(joined.error_code))
        alien = join(other, protocols=[{"name": "other", "metadata": b""}])
        second = join(other, alien.member_id, protocols=[{"name": "other", "metadata": b""}])
        case.saw("nothing in common", named(alien.error_code), named(second.error_code))
        deal = {"group_id": group, "generation_id": generation, "member_id": me}
        work = [{"member_id": me, "assignment": b"work"}]
        case.saw("synced", named(client.ask("SyncGroup", 4, assignments=work, **deal).error_code))
        case.saw("beats", beat(me, generation), beat(me, generation + 1), beat("nobody", generation))
        place = [{"partition_index": 0, "committed_offset": 1}]
        committed = {"group_id": group, "generation_id_or_member_epoch": generation + 5, "member_id": me}
        name = topic(client, case.name("t"))
        offsets = [{"name": name, "partitions": place}]
        answer = client.ask("OffsetCommit", 8, topics=offsets, **committed)
        case.saw("commit of another generation", named(answer.topics[0].partitions[0].error_code))
        deleted = client.ask("DeleteGroups", 2, groups_names=[group, case.name("gone")]).results
        case.saw("deleted", sorted(named(one.error_code) for one in deleted))
        newcomer = join(other)
        said = {"session_timeout": 10_000, "rebalance_timeout": 10_000, "protocol_type": "consumer"}
        other.tell("JoinGroup", 7, group_id=group, member_id=newcomer.member_id, protocols=RANGE, **said)
        heard = ""
        for _ in range(TRIES):
            heard = beat(me, generation)
            if not heard.startswith("0 "):
                break
            time.sleep(PAUSE_S)
        case.saw("while others join", heard)
        again = join(client, me)
        case.saw("joined again", named(again.error_code))
        other.take(11, 7)


@scenario("K75", "K53")
def of_static_members(case: Case) -> None:
    """25, 82: who comes with the name of an instance takes its place."""
    group = case.name("g")
    times = {"session_timeout": 10_000, "rebalance_timeout": 10_000}
    said = {"group_id": group, "protocol_type": "consumer", "protocols": RANGE, **times}
    with Asking(case.bootstrap) as client:
        coordinated(client, group)
        first = until_ready(client, "JoinGroup", 7, member_id="", group_instance_id="one", **said)
        deal = {"group_id": group, "generation_id": first.generation_id, "member_id": first.member_id}
        work = [{"member_id": first.member_id, "assignment": b"work"}]
        client.ask("SyncGroup", 4, group_instance_id="one", assignments=work, **deal)
        second = client.ask("JoinGroup", 7, member_id="", group_instance_id="one", **said)
        case.saw("took the place", named(second.error_code), second.member_id != first.member_id)
        beat = client.ask("Heartbeat", 4, group_instance_id="one", **deal)
        case.saw("the one before", named(beat.error_code))
        nobody = client.ask("Heartbeat", 4, group_instance_id="two", **deal)
        case.saw("an instance of nobody", named(nobody.error_code))


@scenario("K75", "K55")
def of_consumer_groups(case: Case) -> None:
    """42, 69, 110, 111, 112, 113, 128."""
    group = case.name("g")
    with Asking(case.bootstrap) as client:
        coordinated(client, group)
        name = topic(client, case.name("t"))

        def beat(member_id: str, epoch: int, **said: Any) -> Any:
            values = {"group_id": group, "member_id": member_id, "member_epoch": epoch}
            joins = {
                "rebalance_timeout": 10_000,
                "subscribed_topic_names": [name],
                "topic_partitions": [],
            }
            return until_ready(
                client, "ConsumerGroupHeartbeat", 1, **{**values, **(joins if epoch == 0 else {}), **said}
            )

        case.saw("no group", named(beat("m", 1).error_code))
        case.saw("no name", named(beat("m", 0, group_id="").error_code))
        case.saw("no such assignor", named(beat("m", 0, server_assignor="nonsense").error_code))
        bad = {"subscribed_topic_names": None, "subscribed_topic_regex": "("}
        case.saw("no pattern", named(beat("m", 0, **bad).error_code))
        joined = beat("m", 0, instance_id="one")
        case.saw("joined", named(joined.error_code))
        case.saw("an epoch to come", named(beat("m", 77).error_code))
        case.saw("an instance in use", named(beat("n", 0, instance_id="one").error_code))
        place = [{"partition_index": 0, "committed_offset": 1}]
        offsets = [{"name": name, "partitions": place}]
        said = {"group_id": group, "member_id": "m", "topics": offsets}
        for epoch in (joined.member_epoch + 7, 0):
            answer = client.ask("OffsetCommit", 9, generation_id_or_member_epoch=epoch, **said)
            case.saw("commit in another epoch", named(answer.topics[0].partitions[0].error_code))
        fetching = {"group_id": group, "member_id": "m", "member_epoch": 77, "topics": None}
        answer = client.ask("OffsetFetch", 9, groups=[fetching], require_stable=False)
        case.saw("offsets in another epoch", named(answer.groups[0].error_code))
        deleted = client.ask("DeleteGroups", 2, groups_names=[group]).results
        case.saw("deleted", named(deleted[0].error_code))


@scenario("K75", "K7", "K60", "K61")
def of_producers(case: Case) -> None:
    """45, 47, 48, 50, 88, 90, and that a producer's own mistakes are not others'."""
    wanted, group = case.name("id"), case.name("g")
    with Asking(case.bootstrap) as client:
        name = topic(client, case.name("t"))
        coordinated(client, wanted, TRANSACTION)
        coordinated(client, group)

        def begun(**said: Any) -> Any:
            values = {"transactional_id": wanted, "transaction_timeout": 60_000, **said}
            return until_ready(client, "InitProducerId", 4, producer_id=-1, producer_epoch=-1, **values)

        plain = begun(transactional_id=None)
        mine = {"producer_id": plain.producer_id, "producer_epoch": 0}
        for sequence in (0, 5, 0):
            records = batch(b"x", base_sequence=sequence, **mine)
            case.saw(f"sequence {sequence}", named(produce(client, name, records).error_code))
        later = batch(b"x", base_sequence=0, producer_id=plain.producer_id, producer_epoch=3)
        case.saw("an epoch to come", named(produce(client, name, later).error_code))
        before = batch(b"x", base_sequence=1, producer_id=plain.producer_id, producer_epoch=1)
        case.saw("an epoch before", named(produce(client, name, before).error_code))
        case.saw("a time that cannot be", named(begun(transaction_timeout=99_999_999).error_code))
        first = begun()
        second = begun()
        case.saw("begun twice", second.producer_epoch - first.producer_epoch)

        def ended(producer: Any, version: int = 3) -> str:
            said = {"producer_id": producer.producer_id, "producer_epoch": producer.producer_epoch}
            answer = until_ready(client, "EndTxn", version, transactional_id=wanted, committed=True, **said)
            return named(answer.error_code)

        case.saw("the one before ends", ended(first, 1), ended(first))
        case.saw("nothing to end", ended(second))
        said = {"producer_id": second.producer_id, "producer_epoch": second.producer_epoch}
        stray = batch(b"x", attributes=TRANSACTIONAL, base_sequence=0, **said)
        case.saw("no part of it", named(produce(client, name, stray).error_code))
        part = produce(client, name, stray, transactional_id=wanted)
        case.saw("nor was it said", named(part.error_code))
        joined = client.ask("AddOffsetsToTxn", 3, transactional_id=wanted, group_id=group, **said)
        case.saw("offsets", named(joined.error_code))
        place = [{"partition_index": 0, "committed_offset": 1, "committed_metadata": None}]
        sent = client.ask(
            "TxnOffsetCommit",
            3,
            transactional_id=wanted,
            group_id=group,
            generation_id=-1,
            topics=[{"name": name, "partitions": place}],
            **said,
        )
        case.saw("sent", named(sent.topics[0].partitions[0].error_code))
        asked = [{"group_id": group, "topics": [{"name": name, "partition_indexes": [0]}]}]
        answer = client.ask("OffsetFetch", 8, groups=asked, require_stable=True)
        case.saw("not stable", named(answer.groups[0].topics[0].partitions[0].error_code))
        case.saw("ended", ended(second))


@scenario("K75", "T5")
def of_versions(case: Case) -> None:
    """35: the answer to ApiVersions in a version to come."""
    with Asking(case.bootstrap) as client:
        client.send_raw(struct.pack(">ihhihh", 12, 18, 99, 7, -1, 0))
        answer = client.take_bare()
        case.saw("answer", *struct.unpack_from(">ih", answer))
        (count,) = struct.unpack_from(">i", answer, 6)
        case.saw("keys", count, *struct.unpack_from(">hhh", answer, 10))


@scenario("K75", "K72")
def of_tokens(case: Case) -> None:
    """64, without a login."""
    with Asking(case.bootstrap) as client:
        answer = client.ask("DescribeDelegationToken", 3, owners=None)
        case.saw("described", named(answer.error_code), list(answer.tokens))


@scenario("K75", "K71")
def of_logins(case: Case) -> None:
    """33, 34, 58, 61, 67."""
    with Asking(case.sasl_bootstrap) as client:
        answer = client.ask("SaslHandshake", 1, mechanism="NONSENSE")
        case.saw("no such mechanism", named(answer.error_code), "PLAIN" in answer.mechanisms)
    with Asking(case.sasl_bootstrap) as client:
        client.ask("SaslHandshake", 1, mechanism="PLAIN")
        answer = client.ask("SaslAuthenticate", 2, auth_bytes=b"\0alice\0wrong")
        case.saw("wrong", named(answer.error_code))
    with Asking(case.sasl_bootstrap) as client:
        client.ask("SaslHandshake", 1, mechanism="PLAIN")
        answer = client.ask("SaslAuthenticate", 2, auth_bytes=b"\0alice\0alice-secret")
        case.saw("right", named(answer.error_code))
        tokens = client.ask("DescribeDelegationToken", 3, owners=None)
        case.saw("tokens", named(tokens.error_code))
        for kind in ("User", "Group"):
            renewers = [{"principal_type": kind, "principal_name": "bob"}]
            said = {"owner_principal_type": None, "owner_principal_name": None}
            client.tell("CreateDelegationToken", 3, renewers=renewers, max_lifetime=1000, **said)
            (code,) = struct.unpack_from(">h", client.take_bare(), 5)
            case.saw(f"a token that a {kind} renews", code)
