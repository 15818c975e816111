"""What a cluster of one node shows of itself, and how it answers what it has no use for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.rights import Operation
from pillarbox.store.batch import encode_batch
from tests.protocols.kafka.asking import Asking

UNASKED = -(1 << 31)


def make(client: Asking, name: str, partitions: int = 1, **configs: str) -> None:
    given = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": given}
    (made,) = client.ask("CreateTopics", 7, topics=[topic]).topics
    assert made.error_code.value == Code.NONE


def fill(client: Asking, name: str, count: int) -> None:
    """Put records into partition 0, each a batch of its own."""
    for number in range(count):
        batch = b"".join(encode_batch([(b"k", b"%d" % number)], timestamp_ms=1).chunks)
        partitions = [{"index": 0, "records": batch}]
        (topic,) = client.ask(
            "Produce", 9, acks=-1, topic_data=[{"name": name, "partition_data": partitions}]
        ).responses
        assert topic.partition_responses[0].error_code.value == Code.NONE


@pytest.fixture
def jane() -> Iterator[Asking]:
    """A client of somebody who is no administrator and may read topics `public...` alone."""
    with Broker(kafka_port=0) as broker:
        with Asking(broker.kafka_bootstrap) as client:
            make(client, "public", 2)
            make(client, "secret")

        def demote(server: Any) -> None:
            core = server.core
            core.add_user("guest", "guest")
            core.set_permission(Permission("guest", "/", configure="", write="", read="^public"))

        broker.call(demote)
        with Asking(broker.kafka_bootstrap) as client:
            yield client


# --- the cluster ---------------------------------------------------------------------------------------


@pytest.mark.row("K37", "T16")
@pytest.mark.parametrize("version", range(3))
def test_the_cluster_is_one_node_at_the_address_that_the_client_used(
    broker: Broker, client: Asking, version: int
) -> None:
    cluster = client.ask("DescribeCluster", version)
    (node,) = cluster.brokers
    assert f"{node.host}:{node.port}" == broker.kafka_bootstrap
    assert (node.broker_id, cluster.controller_id) == (1, 1)
    assert len(cluster.cluster_id) == 22
    assert cluster.cluster_authorized_operations == UNASKED


OFF = ("streams.version", "eligible.leader.replicas.version")
"""Features that are known and switched off."""


@pytest.mark.row("K37")
def test_a_broker_is_no_endpoint_of_another_kind(client: Asking) -> None:
    for kind, code in ((2, Code.MISMATCHED_ENDPOINT_TYPE), (3, Code.UNSUPPORTED_ENDPOINT_TYPE)):
        assert client.ask("DescribeCluster", 2, endpoint_type=kind).error_code.value == code


@pytest.mark.row("K73")
def test_operations_that_are_permitted_are_told_when_asked_for(client: Asking, jane: Asking) -> None:
    def operations(asking: Asking) -> set[Operation]:
        bits = asking.ask(
            "DescribeCluster", 2, include_cluster_authorized_operations=True
        ).cluster_authorized_operations
        return {operation for operation in Operation if bits >> operation & 1}

    assert Operation.ALTER in operations(client)
    assert operations(jane) == {Operation.IDEMPOTENT_WRITE}
    (topic,) = jane.ask(
        "Metadata", 12, topics=[{"name": "public"}], include_topic_authorized_operations=True
    ).topics
    seen = {operation for operation in Operation if topic.topic_authorized_operations >> operation & 1}
    assert seen == {Operation.READ, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS}


@pytest.mark.row("K37")
def test_features_are_those_of_the_release(client: Asking) -> None:
    who = {"client_software_name": "test", "client_software_version": "1"}
    newest = client.ask("ApiVersions", 4, **who)
    levels = {each.name: (each.min_version, each.max_version) for each in newest.supported_features}
    assert levels["metadata.version"] == (7, 29)
    assert levels["kraft.version"] == (0, 1)
    assert {each.name: each.max_version_level for each in newest.finalized_features} == {
        name: last for name, (_, last) in levels.items() if name not in OFF
    }
    older = client.ask("ApiVersions", 3, **who)
    assert min(each.min_version for each in older.supported_features) == 1


@pytest.mark.row("K37")
@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize(
    ("feature", "level", "code"),
    [
        ("metadata.version", 29, Code.NONE),
        ("metadata.version", 28, Code.INVALID_UPDATE_VERSION),
        ("no.feature", 1, Code.INVALID_UPDATE_VERSION),
    ],
)
def test_features_stay_at_their_levels(
    client: Asking, version: int, feature: str, level: int, code: Code
) -> None:
    update = {"feature": feature, "max_version_level": level}
    answer = client.ask("UpdateFeatures", version, feature_updates=[update])
    assert answer.error_code.value == code
    if version < 2:
        assert [each.error_code.value for each in answer.results] == [code]


@pytest.mark.row("K37")
@pytest.mark.parametrize("version", range(3))
def test_the_quorum_is_this_node(client: Asking, version: int) -> None:
    asked = [{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}]
    answer = client.ask("DescribeQuorum", version, topics=asked)
    (partition,) = answer.topics[0].partitions
    assert (partition.error_code.value, partition.leader_id) == (Code.NONE, 1)
    assert [voter.replica_id for voter in partition.current_voters] == [1]
    other = client.ask("DescribeQuorum", version, topics=[{**asked[0], "topic_name": "other"}])
    assert other.topics[0].partitions[0].error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.row("K32")
def test_what_has_configs_is_listed_by_type(client: Asking) -> None:
    make(client, "listed")
    found = client.ask("ListConfigResources", 1, resource_types=[2, 4]).config_resources
    assert ("listed", 2) in {(each.resource_name, each.resource_type) for each in found}
    assert [each.resource_name for each in found if each.resource_type == 4] == ["1"]
    everything = client.ask("ListConfigResources", 1).config_resources
    assert set(found) < set(everything)
    assert client.ask("ListConfigResources", 0).config_resources == ()
    refused = client.ask("ListConfigResources", 1, resource_types=[99])
    assert refused.error_code.value == Code.UNSUPPORTED_VERSION


# --- topics in pages -----------------------------------------------------------------------------------


def page(client: Asking, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None) -> Any:
    begin = None if cursor is None else {"topic_name": cursor[0], "partition_index": cursor[1]}
    topics = [{"name": name} for name in names]
    return client.ask(
        "DescribeTopicPartitions", 0, topics=topics, response_partition_limit=limit, cursor=begin
    )


def shown(answer: Any) -> list[tuple[str, list[int]]]:
    return [(topic.name, [each.partition_index for each in topic.partitions]) for topic in answer.topics]


@pytest.mark.row("K37")
def test_partitions_come_in_pages_each_of_them_once(client: Asking) -> None:
    for name, partitions in (("page-a", 3), ("page-b", 1), ("page-c", 4)):
        make(client, name, partitions)
    names = ["page-c", "page-a", "page-b"]
    first = page(client, *names, limit=2)
    assert shown(first) == [("page-a", [0, 1])]
    assert (first.next_cursor.topic_name, first.next_cursor.partition_index) == ("page-a", 2)
    second = page(client, *names, limit=2, cursor=("page-a", 2))
    assert shown(second) == [("page-a", [2]), ("page-b", [0])]
    assert (second.next_cursor.topic_name, second.next_cursor.partition_index) == ("page-c", 0)
    third = page(client, *names, limit=0, cursor=("page-c", 0))
    assert shown(third) == [("page-c", [0])]
    last = page(client, *names, cursor=("page-c", 1))
    assert shown(last) == [("page-c", [1, 2, 3])]
    assert last.next_cursor is None


@pytest.mark.row("K37")
def test_all_topics_are_described_where_none_is_named(client: Asking) -> None:
    make(client, "one-of-all", 2)
    assert ("one-of-all", [0, 1]) in shown(page(client))
    (topic,) = page(client, "one-of-all").topics
    assert topic.partitions[0].isr_nodes == (1,)
    assert topic.topic_id != uuid.UUID(int=0)


@pytest.mark.row("K37")
@pytest.mark.parametrize(
    ("name", "cursor", "code"),
    [
        ("nowhere", None, Code.UNKNOWN_TOPIC_OR_PARTITION),
        ("no way", None, Code.INVALID_TOPIC_EXCEPTION),
        ("a", ("b", 0), Code.INVALID_REQUEST),
        ("a", ("a", -1), Code.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_described_is_told_so(
    client: Asking, name: str, cursor: tuple[str, int] | None, code: Code
) -> None:
    (topic,) = page(client, name, cursor=cursor).topics
    assert (topic.error_code.value, topic.partitions) == (code, ())


@pytest.mark.row("K73")
def test_topics_that_may_not_be_seen_are_refused_by_name_and_left_out_of_all(jane: Asking) -> None:
    assert shown(page(jane)) == [("public", [0, 1])]
    (topic,) = page(jane, "secret").topics
    assert topic.error_code.value == Code.TOPIC_AUTHORIZATION_FAILED


# --- records and epochs --------------------------------------------------------------------------------


def delete_records(client: Asking, name: str, offset: int, *, index: int = 0, version: int = 2) -> Any:
    partitions = [{"partition_index": index, "offset": offset}]
    (topic,) = client.ask("DeleteRecords", version, topics=[{"name": name, "partitions": partitions}]).topics
    (partition,) = topic.partitions
    return partition.error_code.value, partition.low_watermark


@pytest.mark.row("K35")
@pytest.mark.parametrize("version", range(3))
def test_records_before_an_offset_are_deleted(broker: Broker, client: Asking, version: int) -> None:
    name = f"trimmed-{version}"
    make(client, name)
    fill(client, name, 5)
    assert delete_records(client, name, 3, version=version) == (Code.NONE, 3)
    assert delete_records(client, name, 2, version=version) == (Code.NONE, 3)
    assert delete_records(client, name, 6, version=version) == (Code.OFFSET_OUT_OF_RANGE, -1)
    assert delete_records(client, name, -2, version=version) == (Code.OFFSET_OUT_OF_RANGE, -1)
    assert broker.queue(name).ready == 2
    assert delete_records(client, name, -1, version=version) == (Code.NONE, 5)
    assert broker.queue(name).ready == 0


@pytest.mark.row("K35")
def test_records_that_are_only_compacted_are_not_deleted(client: Asking) -> None:
    make(client, "compacted", cleanup_policy="compact")
    fill(client, "compacted", 2)
    assert delete_records(client, "compacted", 1) == (Code.POLICY_VIOLATION, -1)


@pytest.mark.row("K35")
def test_records_of_partitions_that_are_missing_or_forbidden_are_not_deleted(
    client: Asking, jane: Asking
) -> None:
    make(client, "has-one")
    missing = (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    for name, index in (("has-one", 1), ("has-one", -1), ("has-none", 0)):
        assert delete_records(client, name, 0, index=index) == missing
    assert delete_records(jane, "public", -1) == (Code.TOPIC_AUTHORIZATION_FAILED, -1)


def epoch_end(client: Asking, name: str, epoch: int, *, current: int = -1, version: int = 4) -> Any:
    partitions = [{"partition": 0, "leader_epoch": epoch, "current_leader_epoch": current}]
    topics = [{"topic": name, "partitions": partitions}]
    (topic,) = client.ask("OffsetForLeaderEpoch", version, topics=topics).topics
    (partition,) = topic.partitions
    return partition.error_code.value, partition.leader_epoch, partition.end_offset


@pytest.mark.row("K13")
@pytest.mark.parametrize("version", range(2, 5))
def test_an_epoch_ends_where_its_records_do(broker: Broker, client: Asking, version: int) -> None:
    name = f"epochs-{version}"
    make(client, name)
    fill(client, name, 3)
    now = broker.call(lambda server: server.core.vhosts["/"].topics.get(name).partitions[0].log.leader_epoch)
    assert epoch_end(client, name, now, version=version) == (Code.NONE, now, 3)
    assert epoch_end(client, name, now, current=now, version=version) == (Code.NONE, now, 3)
    assert epoch_end(client, name, now + 1, version=version) == (Code.NONE, -1, -1)
    future = epoch_end(client, name, now, current=now + 1, version=version)
    assert future == (Code.UNKNOWN_LEADER_EPOCH, -1, -1)
    missing = epoch_end(client, "no-epochs", 0, version=version)
    assert missing == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)


@pytest.mark.row("K13")
def test_epochs_are_told_to_those_who_may_see_the_topic(jane: Asking) -> None:
    assert epoch_end(jane, "public", 0)[0] == Code.NONE
    assert epoch_end(jane, "secret", 0)[0] == Code.TOPIC_AUTHORIZATION_FAILED


# --- replicas, folders, quotas -------------------------------------------------------------------------


@pytest.mark.row("K77")
@pytest.mark.parametrize("version", range(1, 5))
def test_the_size_of_each_partition_is_told(client: Asking, version: int) -> None:
    name = f"sized-{version}"
    make(client, name, 2)
    fill(client, name, 1)
    asked = [{"topic": name, "partitions": [0, 1, 2]}, {"topic": "nowhere", "partitions": [0]}]
    (folder,) = client.ask("DescribeLogDirs", version, topics=asked).results
    (topic,) = folder.topics
    sizes = {each.partition_index: each.partition_size for each in topic.partitions}
    assert sizes.keys() == {0, 1}
    assert sizes[0] > sizes[1] == 0
    (everything,) = client.ask("DescribeLogDirs", version, topics=None).results
    assert topic in everything.topics


def test_a_partition_is_where_it_is_told_to_be_or_there_is_no_such_folder(client: Asking) -> None:
    make(client, "placed")
    (folder,) = client.ask("DescribeLogDirs", 4, topics=None).results
    moves = [
        {"path": folder.log_dir, "topics": [{"name": "placed", "partitions": [0, 1]}]},
        {"path": "/elsewhere", "topics": [{"name": "placed", "partitions": [0]}]},
    ]
    for version in (1, 2):
        (topic,) = client.ask("AlterReplicaLogDirs", version, dirs=moves).results
        assert [(each.partition_index, each.error_code.value) for each in topic.partitions] == [
            (0, Code.NONE),
            (1, Code.UNKNOWN_TOPIC_OR_PARTITION),
            (0, Code.LOG_DIR_NOT_FOUND),
        ]


@pytest.mark.parametrize("version", range(3))
def test_no_leader_has_to_be_elected(client: Asking, version: int) -> None:
    make(client, f"led-{version}")
    asked = [{"topic": f"led-{version}", "partitions": [0, 1]}]
    (topic,) = client.ask("ElectLeaders", version, topic_partitions=asked).replica_election_results
    codes = [each.error_code.value for each in topic.partition_result]
    assert codes == [Code.ELECTION_NOT_NEEDED, Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert client.ask("ElectLeaders", version, topic_partitions=None).replica_election_results == ()
    if version >= 1:
        assert client.ask("ElectLeaders", version, election_type=2).error_code.value == Code.INVALID_REQUEST


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("index", "replicas", "code"),
    [
        (0, [1], Code.NONE),
        (0, [2], Code.INVALID_REPLICA_ASSIGNMENT),
        (0, [], Code.INVALID_REPLICA_ASSIGNMENT),
        (0, None, Code.NO_REASSIGNMENT_IN_PROGRESS),
        (1, [1], Code.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
def test_a_partition_can_be_assigned_to_this_node_alone(
    client: Asking, version: int, index: int, replicas: list[int] | None, code: Code
) -> None:
    client.ask("CreateTopics", 7, topics=[{"name": "assigned", "num_partitions": 1, "replication_factor": 1}])
    partitions = [{"partition_index": index, "replicas": replicas}]
    answer = client.ask(
        "AlterPartitionReassignments", version, topics=[{"name": "assigned", "partitions": partitions}]
    )
    assert answer.responses[0].partitions[0].error_code.value == code
    assert client.ask("ListPartitionReassignments", 0).topics == ()


REQUESTS: list[tuple[str, int, dict[str, Any]]] = [
    ("DescribeLogDirs", 4, {"topics": None}),
    ("ElectLeaders", 2, {"topic_partitions": None}),
    ("AlterPartitionReassignments", 1, {}),
    ("ListPartitionReassignments", 0, {}),
    ("DescribeClientQuotas", 1, {}),
    ("DescribeQuorum", 2, {}),
    ("UpdateFeatures", 2, {}),
    ("ListConfigResources", 1, {}),
]


@pytest.mark.row("K73")
@pytest.mark.parametrize(("name", "version", "values"), REQUESTS, ids=[each[0] for each in REQUESTS])
def test_what_concerns_the_whole_broker_is_for_administrators(
    jane: Asking, client: Asking, name: str, version: int, values: dict[str, Any]
) -> None:
    assert client.ask(name, version, **values).error_code.value == Code.NONE
    assert jane.ask(name, version, **values).error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED


@pytest.mark.row("K73")
def test_refusals_for_each_thing_that_only_administrators_may_do(jane: Asking) -> None:
    asked = [{"topic": "public", "partitions": [0]}]
    (topic,) = jane.ask("ElectLeaders", 0, topic_partitions=asked).replica_election_results
    assert topic.partition_result[0].error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED
    moves = [{"path": "/", "topics": [{"name": "public", "partitions": [0]}]}]
    (moved,) = jane.ask("AlterReplicaLogDirs", 2, dirs=moves).results
    assert moved.partitions[0].error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED
    (quota,) = jane.ask("AlterClientQuotas", 1, entries=[{"entity": [], "ops": []}]).entries
    assert quota.error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED


# --- listeners -----------------------------------------------------------------------------------------


@pytest.mark.row("K40", "T16")
def test_clients_are_told_the_address_that_is_advertised_for_their_listener() -> None:
    """Whatever they ask by; of a listener without one, and of the usual port, the address that they used."""
    options = {
        "kafka_listeners": ("near://127.0.0.1:0", "far://127.0.0.1:0"),
        "kafka_advertised_listeners": ("far://kafka.example:19092",),
    }
    with Broker(kafka_port=0, **options) as broker:
        addresses = broker.call(lambda server: {name: found[0] for name, found in server.addresses.items()})
        assert len({addresses[name] for name in ("kafka", "kafka-near", "kafka-far")}) == 3
        for name, told in (
            ("kafka", addresses["kafka"]),
            ("kafka-near", addresses["kafka-near"]),
            ("kafka-far", ("kafka.example", 19092)),
        ):
            host, port = addresses[name]
            with Asking(f"{host}:{port}") as client:
                (node,) = client.ask("Metadata", 12, topics=()).brokers
                (listed,) = client.ask("DescribeCluster", 2, endpoint_type=1).brokers
                (found,) = client.ask("FindCoordinator", 6, coordinator_keys=("g",)).coordinators
                assert [(each.host, each.port) for each in (node, listed, found)] == [told] * 3
                (shown,) = client.ask(
                    "DescribeConfigs",
                    4,
                    resources=[
                        {
                            "resource_type": 4,
                            "resource_name": "1",
                            "configuration_keys": ["advertised.listeners"],
                        }
                    ],
                ).results
                assert shown.configs[0].value == "kafka-far://kafka.example:19092"
