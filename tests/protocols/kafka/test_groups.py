"""Groups over a socket: every key in every version, every refusal, and what a restart leaves (K50-K57)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from tests.protocols.kafka.asking import Asking

SESSION_MS = 10_000
PROTOCOLS = [{"name": "range", "metadata": b"\0\0\0\0\0\1\0\1t\xff\xff\xff\xff"}]
"""A subscription to the topic t."""


@pytest.fixture(scope="module", autouse=True)
def topic(broker: Broker) -> Iterator[None]:
    with Asking(broker.kafka_bootstrap) as client:
        make_topic(client)
    return


def make_topic(client: Asking, name: str = "t") -> None:
    wanted = {"name": name, "num_partitions": 2, "replication_factor": -1}
    client.ask("CreateTopics", 7, topics=[wanted])


def join(client: Asking, group: str, version: int = 9, member_id: str = "", **said: Any) -> Any:
    values: dict[str, Any] = {
        "group_id": group,
        "session_timeout": SESSION_MS,
        "member_id": member_id,
        "protocol_type": "consumer",
        "protocols": PROTOCOLS,
        **({"rebalance_timeout": 60_000} if version >= 1 else {}),
        **said,
    }
    answer = client.ask("JoinGroup", version, **values)
    if answer.error_code.value == Code.MEMBER_ID_REQUIRED:
        return join(client, group, version, answer.member_id, **said)
    return answer


def sync(client: Asking, group: str, joined: Any, version: int = 5) -> Any:
    deal = [{"member_id": joined.member_id, "assignment": b"work"}]
    return client.ask(
        "SyncGroup",
        version,
        group_id=group,
        generation_id=joined.generation_id,
        member_id=joined.member_id,
        assignments=deal,
        **({"protocol_type": None, "protocol_name": None} if version >= 5 else {}),
    )


def heartbeat(client: Asking, group: str, joined: Any, version: int = 4) -> int:
    said = {"generation_id": joined.generation_id, "member_id": joined.member_id}
    code: int = client.ask("Heartbeat", version, group_id=group, **said).error_code.value
    return code


def commit(client: Asking, group: str, version: int = 9, *, partition: int = 0, **said: Any) -> int:
    metadata = said.pop("metadata", "m")
    name = said.pop("topic", "t")
    place = {"partition_index": partition, "committed_offset": 7, "committed_metadata": metadata}
    answer = client.ask(
        "OffsetCommit",
        version,
        group_id=group,
        topics=[{"name": name, "partitions": [place]}],
        **{"generation_id_or_member_epoch": -1, **said},
    )
    code: int = answer.topics[0].partitions[0].error_code.value
    return code


def committed(client: Asking, group: str, topic: str = "t") -> int:
    asked = {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}], "member_epoch": -1}
    answer = client.ask("OffsetFetch", 9, groups=[asked])
    offset: int = answer.groups[0].topics[0].partitions[0].committed_offset
    return offset


def listed(client: Asking, **filters: Any) -> dict[str, str]:
    groups = client.ask("ListGroups", 5, **filters).groups
    return {group.group_id: group.group_state for group in groups}


# --- every version --------------------------------------------------------------------------------------


@pytest.mark.row("K50")
@pytest.mark.parametrize("version", range(7))
def test_coordinator_is_this_broker_in_every_version(broker: Broker, client: Asking, version: int) -> None:
    keys = {"coordinator_keys": ["g", "h"]} if version >= 4 else {"key": "g"}
    answer = client.ask("FindCoordinator", version, **keys)
    for found in answer.coordinators if version >= 4 else [answer]:
        assert (found.error_code.value, found.node_id) == (Code.NONE, 1)
        assert f"{found.host}:{found.port}" == broker.kafka_bootstrap


@pytest.mark.row("K51")
def test_an_assignor_that_is_named_twice_counts_once(client: Asking) -> None:
    """The first time; Kafka keeps the list by name."""
    twice = [{"name": "range", "metadata": data} for data in (b"first", b"second")]
    joined = join(client, "twice", protocols=twice)
    assert joined.error_code.value == Code.NONE
    assert [member.metadata for member in joined.members] == [b"first"]


@pytest.mark.row("K50")
@pytest.mark.parametrize("version", [1, 4, 5, 6])
def test_coordinator_of_an_unknown_kind_is_an_invalid_request(client: Asking, version: int) -> None:
    keys = {"coordinator_keys": ["g"]} if version >= 4 else {"key": "g"}
    kind = 2 if version < 6 else 3
    answer = client.ask("FindCoordinator", version, key_type=kind, **keys)
    found = answer.coordinators[0] if version >= 4 else answer
    assert (found.error_code.value, found.node_id) == (Code.INVALID_REQUEST, -1)


@pytest.mark.row("K50")
@pytest.mark.row("T6")
@pytest.mark.parametrize("version", range(10))
def test_member_joins_works_and_leaves_in_every_version(client: Asking, version: int) -> None:
    """T6: versions 0 and 1 of JoinGroup too."""
    group = f"joined-{version}"
    joined = join(client, group, version)
    assert (joined.error_code.value, joined.generation_id) == (Code.NONE, 1)
    assert (joined.leader, len(joined.members)) == (joined.member_id, 1)
    part = sync(client, group, joined, min(version, 5))
    assert (part.error_code.value, part.assignment) == (Code.NONE, b"work")
    assert heartbeat(client, group, joined, min(version, 4)) == Code.NONE
    leaver = {"member_id": joined.member_id}
    if version >= 3:
        left = client.ask("LeaveGroup", min(version, 5), group_id=group, members=[leaver])
        assert left.members[0].error_code.value == Code.NONE
    else:
        left = client.ask("LeaveGroup", version, group_id=group, **leaver)
    assert left.error_code.value == Code.NONE
    assert listed(client)[group] == "Empty"


@pytest.mark.row("K54")
@pytest.mark.parametrize("version", range(2, 10))
def test_offset_is_committed_in_every_version(client: Asking, version: int) -> None:
    group = f"committed-{version}"
    assert commit(client, group, version) == Code.NONE
    assert committed(client, group) == 7


@pytest.mark.row("K54", "K12")
def test_offset_is_committed_and_read_by_the_id_of_a_topic(client: Asking) -> None:
    meta = client.ask("Metadata", 12, topics=[{"topic_id": None, "name": "t"}])
    identity = meta.topics[0].topic_id.bytes
    place = {"partition_index": 1, "committed_offset": 5, "committed_metadata": None}
    for topic_id, code in ((identity, Code.NONE), (b"x" * 16, Code.UNKNOWN_TOPIC_ID)):
        topics = [{"topic_id": topic_id, "partitions": [place]}]
        said = {"group_id": "by-id", "generation_id_or_member_epoch": -1, "topics": topics}
        answer = client.ask("OffsetCommit", 10, **said)
        assert answer.topics[0].partitions[0].error_code.value in (code, Code.UNKNOWN_TOPIC_OR_PARTITION)
    asked = [{"topic_id": one, "partition_indexes": [1]} for one in (identity, b"x" * 16)]
    groups = [{"group_id": "by-id", "member_epoch": -1, "topics": asked}]
    known, unknown = client.ask("OffsetFetch", 10, groups=groups).groups[0].topics
    assert (known.topic_id.bytes, known.partitions[0].committed_offset) == (identity, 5)
    assert unknown.partitions[0].error_code.value == Code.UNKNOWN_TOPIC_ID


@pytest.mark.row("K54")
@pytest.mark.parametrize("version", range(1, 10))
def test_offset_that_nobody_has_committed_is_minus_one_in_every_version(client: Asking, version: int) -> None:
    topics = [{"name": "t", "partition_indexes": [0]}]
    if version >= 8:
        groups = [{"group_id": "nobody's", "topics": topics, **({"member_epoch": -1} if version > 8 else {})}]
        found = client.ask("OffsetFetch", version, groups=groups).groups[0].topics
    else:
        found = client.ask("OffsetFetch", version, group_id="nobody's", topics=topics).topics
    place = found[0].partitions[0]
    assert (place.committed_offset, place.error_code.value, place.metadata) == (-1, Code.NONE, "")


@pytest.mark.row("K54")
def test_offsets_of_all_topics_are_those_that_were_committed(client: Asking) -> None:
    commit(client, "all", partition=1)
    (found,) = client.ask("OffsetFetch", 7, group_id="all", topics=None).topics
    assert (found.name, [one.partition_index for one in found.partitions]) == ("t", [1])


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.row("K50", "K75")
def test_group_without_a_name_or_with_a_wild_timeout_is_refused(client: Asking) -> None:
    assert join(client, "").error_code.value == Code.INVALID_GROUP_ID
    for timeout in (5_999, 1_800_001):
        answer = join(client, "wild", session_timeout=timeout)
        assert answer.error_code.value == Code.INVALID_SESSION_TIMEOUT
    assert "wild" not in listed(client)


@pytest.mark.row("K50", "K75")
def test_member_of_no_group_is_unknown(client: Asking) -> None:
    joined = join(client, "gone", 5, "nobody")
    assert joined.error_code.value == Code.UNKNOWN_MEMBER_ID
    assert sync(client, "gone", joined).error_code.value == Code.UNKNOWN_MEMBER_ID
    assert heartbeat(client, "gone", joined) == Code.UNKNOWN_MEMBER_ID
    left = client.ask("LeaveGroup", 5, group_id="gone", members=[{"member_id": "nobody"}])
    assert left.members[0].error_code.value == Code.UNKNOWN_MEMBER_ID
    assert "gone" not in listed(client)


@pytest.mark.row("K54", "K75")
def test_commit_is_refused_with_kafkas_codes(client: Asking) -> None:
    assert commit(client, "c", metadata="x" * 4096) == Code.NONE
    assert commit(client, "c", metadata="x" * 4097) == Code.OFFSET_METADATA_TOO_LARGE
    assert commit(client, "c", partition=9) == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert commit(client, "c", topic="none") == Code.UNKNOWN_TOPIC_OR_PARTITION
    member = {"generation_id_or_member_epoch": 3, "member_id": "m"}
    assert commit(client, "no-group", 8, **member) == Code.ILLEGAL_GENERATION
    assert commit(client, "no-group", 9, **member) == Code.GROUP_ID_NOT_FOUND
    assert commit(client, "c", **member) == Code.UNKNOWN_MEMBER_ID


@pytest.mark.row("K57", "K75")
def test_group_with_members_keeps_its_offsets_and_one_without_can_be_deleted(client: Asking) -> None:
    joined = join(client, "d")
    sync(client, "d", joined)
    member = {"generation_id_or_member_epoch": 1, "member_id": joined.member_id}
    assert commit(client, "d", **member) == Code.NONE
    assert commit(client, "d") == Code.UNKNOWN_MEMBER_ID

    def delete() -> list[int]:
        results = client.ask("DeleteGroups", 2, groups_names=["d", "never"]).results
        return [result.error_code.value for result in results]

    assert delete() == [Code.NON_EMPTY_GROUP, Code.GROUP_ID_NOT_FOUND]
    places = [{"name": "t", "partitions": [{"partition_index": 0}, {"partition_index": 9}]}]
    deleted = client.ask("OffsetDelete", 0, group_id="d", topics=places).topics[0].partitions
    assert [one.error_code.value for one in deleted] == [
        Code.GROUP_SUBSCRIBED_TO_TOPIC,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    client.ask("LeaveGroup", 5, group_id="d", members=[{"member_id": joined.member_id}])
    deleted = client.ask("OffsetDelete", 0, group_id="d", topics=places).topics[0].partitions
    assert deleted[0].error_code.value == Code.NONE
    assert committed(client, "d") == -1
    assert delete() == [Code.NONE, Code.GROUP_ID_NOT_FOUND]
    assert client.ask("OffsetDelete", 0, group_id="d").error_code.value == Code.GROUP_ID_NOT_FOUND


@pytest.mark.row("K57")
def test_group_is_described_and_listed_by_state_and_kind(client: Asking) -> None:
    joined = join(client, "shown")
    sync(client, "shown", joined)
    (shown,) = client.ask("DescribeGroups", 6, groups=["shown"]).groups
    assert (shown.group_state, shown.protocol_type, shown.protocol_data) == ("Stable", "consumer", "range")
    (member,) = shown.members
    assert (member.client_id, member.client_host) == ("asking", "/127.0.0.1")
    assert (member.member_metadata, member.member_assignment) == (PROTOCOLS[0]["metadata"], b"work")
    for version, code in ((5, Code.NONE), (6, Code.GROUP_ID_NOT_FOUND)):
        (dead,) = client.ask("DescribeGroups", version, groups=["never"]).groups
        assert (dead.group_state, dead.error_code.value) == ("Dead", code)
    assert "shown" in listed(client, states_filter=["stable"], types_filter=["CLASSIC"])
    assert "shown" not in listed(client, states_filter=["Empty"])
    assert "shown" not in listed(client, types_filter=["consumer"])


# --- the new protocol -----------------------------------------------------------------------------------

FIRST: dict[str, Any] = {
    "group_id": "new",
    "member_id": "m",
    "member_epoch": 0,
    "rebalance_timeout": 60_000,
    "subscribed_topic_names": ["t"],
    "topic_partitions": [],
}
WRONG: dict[str, tuple[dict[str, Any], Code]] = {
    "no group": ({"group_id": ""}, Code.INVALID_REQUEST),
    "no member": ({"member_id": ""}, Code.INVALID_REQUEST),
    "an empty instance": ({"instance_id": ""}, Code.INVALID_REQUEST),
    "an empty rack": ({"rack_id": ""}, Code.INVALID_REQUEST),
    "an epoch that is none": ({"member_epoch": -3}, Code.INVALID_REQUEST),
    "leaving for a while without a name": ({"member_epoch": -2}, Code.INVALID_REQUEST),
    "no time to rebalance": ({"rebalance_timeout": -1}, Code.INVALID_REQUEST),
    "no subscription": ({"subscribed_topic_names": None}, Code.INVALID_REQUEST),
    "partitions at first": (
        {"topic_partitions": [{"topic_id": b"x" * 16, "partitions": [0]}]},
        Code.INVALID_REQUEST,
    ),
    "an unknown assignor": ({"server_assignor": "mine"}, Code.UNSUPPORTED_ASSIGNOR),
    "a broken pattern": ({"subscribed_topic_regex": "(a"}, Code.INVALID_REGULAR_EXPRESSION),
    "an endless pattern": ({"subscribed_topic_regex": "(a+)+$"}, Code.INVALID_REGULAR_EXPRESSION),
    "a group that is not there": ({"group_id": "none", "member_epoch": 1}, Code.GROUP_ID_NOT_FOUND),
}


@pytest.mark.row("K55", "K75")
@pytest.mark.parametrize("what", WRONG)
def test_consumer_that_says_what_cannot_be_is_told_so(client: Asking, what: str) -> None:
    said, code = WRONG[what]
    answer = client.ask("ConsumerGroupHeartbeat", 1, **{**FIRST, **said})
    assert answer.error_code.value == code
    assert answer.error_message
    assert "new" not in listed(client)


@pytest.mark.row("K55", "K57")
def test_consumer_group_is_dealt_out_described_and_deleted(client: Asking) -> None:
    said = {**FIRST, "group_id": "dealt", "subscribed_topic_names": [], "subscribed_topic_regex": "t.*"}
    first = client.ask("ConsumerGroupHeartbeat", 1, **said)
    assert (first.error_code.value, first.member_epoch) == (Code.NONE, 1)
    assert list(first.assignment.topic_partitions[0].partitions) == [0, 1]
    (shown,) = client.ask("ConsumerGroupDescribe", 1, group_ids=["dealt"]).groups
    assert (shown.group_state, shown.assignor_name, shown.group_epoch) == ("Stable", "uniform", 1)
    (member,) = shown.members
    assert member.assignment.topic_partitions[0].topic_name == "t"
    assert member.assignment == member.target_assignment
    assert listed(client, types_filter=["consumer"])["dealt"] == "Stable"
    stranger = join(client, "dealt", protocol_type="connect")
    assert stranger.error_code.value == Code.INCONSISTENT_GROUP_PROTOCOL
    (classic,) = client.ask("DescribeGroups", 6, groups=["dealt"]).groups
    assert classic.error_code.value == Code.GROUP_ID_NOT_FOUND
    (result,) = client.ask("DeleteGroups", 2, groups_names=["dealt"]).results
    assert result.error_code.value == Code.NON_EMPTY_GROUP
    client.ask("ConsumerGroupHeartbeat", 1, group_id="dealt", member_id="m", member_epoch=-1)
    (result,) = client.ask("DeleteGroups", 2, groups_names=["dealt"]).results
    assert result.error_code.value == Code.NONE


@pytest.mark.row("K55")
def test_consumer_of_the_first_version_gets_its_id_from_the_broker(client: Asking) -> None:
    said = {**FIRST, "group_id": "ids", "member_id": ""}
    first = client.ask("ConsumerGroupHeartbeat", 0, **said)
    assert first.error_code.value == Code.NONE
    assert first.member_id


# --- restarts and time ----------------------------------------------------------------------------------


@pytest.mark.row("K50", "K54", "K55")
def test_groups_go_on_after_a_restart_of_the_broker(tmp_path: Path) -> None:
    """Members need not join again, and what was committed is there."""
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make_topic(client)
        joined = join(client, "g")
        sync(client, "g", joined)
        member = {"generation_id_or_member_epoch": 1, "member_id": joined.member_id}
        assert commit(client, "g", **member) == Code.NONE
        first = client.ask("ConsumerGroupHeartbeat", 1, **FIRST)
        said = {"group_id": "new", "member_id": "m", "member_epoch": first.member_epoch}
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert heartbeat(client, "g", joined) == Code.NONE
        assert sync(client, "g", joined).assignment == b"work"
        assert committed(client, "g") == 7
        assert client.ask("ConsumerGroupHeartbeat", 1, **said).error_code.value == Code.NONE
        assert listed(client) == {"g": "Stable", "new": "Stable"}


@pytest.mark.row("K54")
def test_offsets_are_forgotten_a_week_after_their_group_was_empty() -> None:
    clock = ManualClock()
    with Broker(kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        make_topic(client)
        commit(client, "old")

        def advance(time: str) -> None:
            broker.call(lambda server: clock.advance(time) and server.core.set_time(clock.now_ms()))
            for _ in range(3):
                broker.call(lambda server: server.core.tick(clock.now_ms()))

        advance("6d 23h 50m")
        assert committed(client, "old") == 7
        advance("20m")
        assert committed(client, "old") == -1
        assert listed(client) == {}


@pytest.mark.row("K54")
def test_offsets_of_a_topic_are_not_those_of_the_next_one_of_its_name(client: Asking) -> None:
    make_topic(client, "again")
    commit(client, "again", topic="again")
    assert committed(client, "again", "again") == 7
    client.ask("DeleteTopics", 6, topics=[{"name": "again", "topic_id": None}])
    make_topic(client, "again")
    assert committed(client, "again", "again") == -1
