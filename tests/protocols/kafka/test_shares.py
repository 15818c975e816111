"""Share groups over a socket: sessions, limits, locks by the clock, rights, restarts, crashes (row K56)."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.groups.records import SHARE_PARTITIONS, SHARE_UPDATES
from pillarbox.protocols.kafka.groups.share_partition import UPDATES_MAX
from pillarbox.protocols.kafka.groups.share_state import Answer
from pillarbox.store.batch import encode_batch
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.share_member import LIMIT, NOTHING, TOPIC, Member, acquired, configure, topic_id

pytestmark = pytest.mark.row("K56")

LOCK_MS = 30_000
NOW_MS = ManualClock().now_ms()
"""Records from before are old, and go."""


@pytest.fixture
def broker() -> Iterator[Broker]:
    """One for each test; its time is ours."""
    with Broker(kafka_port=0, clock=ManualClock()) as running:
        yield running


def make_topic(client: Asking, partitions: int = 1, name: str = TOPIC) -> None:
    """One whose records stay: those of `send` are years old where a broker has the time of day."""
    stay = [{"name": "retention.ms", "value": "-1"}]
    wanted = {"name": name, "num_partitions": partitions, "replication_factor": -1, "configs": stay}
    (made,) = client.ask("CreateTopics", 7, topics=[wanted]).topics
    assert made.error_code.value == Code.NONE


def send(client: Asking, *sizes: int, name: str = TOPIC, index: int = 0) -> None:
    """Batches of so many records each."""
    for size in sizes:
        records = [(None, b"%d" % number) for number in range(size)]
        batch = b"".join(encode_batch(records, timestamp_ms=NOW_MS).chunks)
        data = [{"name": name, "partition_data": [{"index": index, "records": batch}]}]
        (answer,) = client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=data).responses
        assert answer.partition_responses[0].error_code.value == Code.NONE


def told(answer: Any) -> Any:
    """The one partition of an answer."""
    return answer.responses[0].partitions[0]


@pytest.fixture
def member(broker: Broker, client: Asking) -> Member:
    """One of a group that reads from the beginning; its topic has a batch of five records."""
    make_topic(client)
    configure(client, share_auto_offset_reset="earliest")
    send(client, 5)
    return Member(client)


@pytest.fixture
def second(broker: Broker, member: Member) -> Iterator[Member]:
    """Another one, on a connection of its own."""
    with Asking(broker.kafka_bootstrap) as client:
        yield Member(client, "two")


# --- membership ---------------------------------------------------------------------------------------------


def test_members_share_partitions_and_all_have_some(broker: Broker, client: Asking) -> None:
    make_topic(client, 2)
    one, two, three = (Member(client, name) for name in ("one", "two", "three"))
    for each in (one, two, three):
        each.beat()
    assert sorted([one.assigned, two.assigned, three.assigned]) in ([[0], [0], [1]], [[0], [1], [1]])
    assert two.beat(member_epoch=-1).error_code.value == Code.NONE
    for each in (one, three):
        each.beat()
    assert sorted(one.assigned + three.assigned) == [0, 1]
    (shown,) = client.ask("ShareGroupDescribe", 1, group_ids=["g"]).groups
    assert (shown.group_state, shown.assignor_name, len(shown.members)) == ("Stable", "simple", 2)
    assert (shown.group_epoch, shown.assignment_epoch) == (one.epoch, one.epoch)


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ({"member_id": ""}, Code.INVALID_REQUEST, "MemberId can't be empty."),
        ({"group_id": ""}, Code.INVALID_REQUEST, "GroupId can't be empty."),
        ({"rack_id": ""}, Code.INVALID_REQUEST, "RackId can't be empty."),
        ({"member_epoch": -2}, Code.INVALID_REQUEST, "MemberEpoch is invalid."),
        (
            {"subscribed_topic_names": []},
            Code.INVALID_REQUEST,
            "SubscribedTopicNames must be set in first request.",
        ),
        ({"member_epoch": 7}, Code.GROUP_ID_NOT_FOUND, "Share group g not found."),
    ],
)
def test_what_no_member_may_say_is_refused(client: Asking, said: Any, code: Code, text: str) -> None:
    first = {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "rack_id": None,
        "subscribed_topic_names": ["t"],
    }
    answer = client.ask("ShareGroupHeartbeat", 1, **{**first, **said})
    assert (answer.error_code.value, answer.error_message) == (code, text)


def test_a_member_with_another_epoch_is_fenced(member: Member) -> None:
    assert member.beat(member_epoch=member.epoch + 1).error_code.value == Code.FENCED_MEMBER_EPOCH
    assert member.beat(member_id="other", member_epoch=1).error_code.value == Code.UNKNOWN_MEMBER_ID
    assert member.beat().error_code.value == Code.NONE


def test_a_group_has_no_more_than_two_hundred_members(member: Member) -> None:
    for number in range(199):
        answer = member.beat(member_id=f"m{number}", member_epoch=0, subscribed_topic_names=[TOPIC])
        assert answer.error_code.value == Code.NONE
    answer = member.beat(member_id="late", member_epoch=0, subscribed_topic_names=[TOPIC])
    assert answer.error_code.value == Code.GROUP_MAX_SIZE_REACHED


def test_a_silent_member_is_out_and_what_it_held_is_free(
    broker: Broker, member: Member, second: Member
) -> None:
    configure(member.client, share_auto_offset_reset="earliest", share_record_lock_duration_ms=60_000)
    assert member.got() == [(0, 4, 1)]
    broker.advance(30_000)
    second.beat()
    broker.advance(20_000)
    assert second.got() == [(0, 4, 2)]
    assert member.beat().error_code.value == Code.UNKNOWN_MEMBER_ID
    assert member.fetch().error_code.value == Code.SHARE_SESSION_NOT_FOUND


# --- sessions -----------------------------------------------------------------------------------------------


def test_requests_of_a_session_come_in_order(member: Member) -> None:
    assert member.fetch(share_session_epoch=1).error_code.value == Code.SHARE_SESSION_NOT_FOUND
    assert member.settle((0, 0, [1]), share_session_epoch=0) == Code.SHARE_SESSION_NOT_FOUND
    assert member.got() == [(0, 4, 1)]
    assert member.fetch(share_session_epoch=2).error_code.value == Code.INVALID_SHARE_SESSION_EPOCH
    assert member.settle((0, 0, [1]), share_session_epoch=0) == Code.INVALID_SHARE_SESSION_EPOCH
    assert member.settle((0, 0, [1])) == Code.NONE
    assert member.settle((1, 1, [1]), share_session_epoch=1) == Code.INVALID_SHARE_SESSION_EPOCH, "twice"
    assert member.session == 2


def test_a_session_that_begins_anew_leaves_its_member_what_it_holds(member: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    member.session = 0
    assert member.got() == []
    assert member.settle((0, 4, [1])) == Code.NONE


def test_a_request_of_a_session_that_is_over_gets_nothing_more(broker: Broker, member: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    member.tell(max_wait=60_000)
    with Asking(broker.kafka_bootstrap) as client:
        again = Member(client)
        again.epoch = member.epoch
        assert again.got() == []
        send(client, 1)
        assert again.got() == [(5, 5, 1)]
    broker.advance(60_000)
    assert acquired(member.take()) == []


def test_first_request_of_a_session_has_no_acknowledgements(member: Member) -> None:
    assert member.fetch((0, 0, [1])).error_code.value == Code.INVALID_REQUEST


@pytest.mark.parametrize("key", ["ShareFetch", "ShareAcknowledge"])
def test_last_request_frees_what_it_does_not_settle(member: Member, second: Member, key: str) -> None:
    assert member.got() == [(0, 4, 1)]
    if key == "ShareFetch":
        answer = member.fetch((0, 1, [1]), share_session_epoch=-1)
        assert told(answer).acknowledge_error_code == Code.NONE
    else:
        assert member.settle((0, 1, [1]), share_session_epoch=-1) == Code.NONE
    assert second.got() == [(2, 4, 2)]
    assert member.settle((2, 2, [1])) == Code.SHARE_SESSION_NOT_FOUND


def test_a_lost_connection_frees_what_its_member_held(broker: Broker, member: Member) -> None:
    with Asking(broker.kafka_bootstrap) as client:
        lost = Member(client, "lost")
        assert lost.got() == [(0, 4, 1)]
    assert member.got(max_wait=10_000) == [(0, 4, 2)]


def test_partitions_of_a_session_are_told_once_and_can_be_forgotten(client: Asking) -> None:
    make_topic(client, 2)
    configure(client, share_auto_offset_reset="earliest")
    member = Member(client)
    for index in (0, 1):
        assert member.got(index=index) == []
    send(client, 1)
    send(client, 1, index=1)
    answer = member.fetch(topics=[])
    assert len(acquired(answer)) == 2
    send(client, 1)
    send(client, 1, index=1)
    forgotten = [{"topic_id": member.topic_id, "partitions": [0]}]
    answer = member.fetch(topics=[], forgotten_topics_data=forgotten)
    assert [each.partition_index for each in answer.responses[0].partitions] == [1]


# --- faults of a request ------------------------------------------------------------------------------------


def test_what_is_not_there_is_told_for_each_partition(member: Member) -> None:
    assert told(member.fetch(index=7)).error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION
    member.session = 0
    member.topic_id = bytes(15) + b"x"
    assert told(member.fetch()).error_code.value == Code.UNKNOWN_TOPIC_ID
    assert member.settle((0, 0, [1])) == Code.UNKNOWN_TOPIC_ID


def test_a_session_of_no_group_gets_nothing(client: Asking) -> None:
    make_topic(client)
    member = Member(client)
    member.group = "other"
    assert told(member.fetch()).error_code.value == Code.GROUP_ID_NOT_FOUND


@pytest.mark.parametrize("said", [{"group_id": ""}, {"member_id": ""}, {"share_session_epoch": -2}])
@pytest.mark.parametrize("key", ["ShareFetch", "ShareAcknowledge"])
def test_who_it_is_has_to_be_said(member: Member, key: str, said: Any) -> None:
    values = {"group_id": "g", "member_id": "m", "share_session_epoch": 0, "topics": [], **said}
    limit = LIMIT if key == "ShareFetch" else {}
    assert member.client.ask(key, 2, **values, **limit).error_code.value == Code.INVALID_REQUEST


@pytest.mark.parametrize(
    "acks",
    [
        [(1, 0, [1])],
        [(0, 1, [1]), (1, 2, [1])],
        [(2, 2, [1]), (0, 0, [1])],
        [(0, 2, [1, 1])],
        [(0, 0, [])],
        [(0, 0, [5])],
        [(0, 0, [-1])],
        [(0, 0, [4])],
        [(-3, -1, [1])],
        [(4, 5, [1])],
        [(4, 5, [1, 1])],
        [(99, 99, [1])],
    ],
)
def test_answers_that_cannot_be_are_refused_and_change_nothing(
    member: Member, acks: list[tuple[int, int, list[int]]]
) -> None:
    assert member.got() == [(0, 4, 1)]
    assert member.settle(*acks) == Code.INVALID_REQUEST
    answer = member.fetch(*acks)
    assert told(answer).acknowledge_error_code == Code.INVALID_REQUEST
    assert member.settle((0, 4, [1])) == Code.NONE


def test_answers_of_who_does_not_hold_the_records_are_refused(member: Member, second: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    assert second.got() == []
    assert second.settle((0, 0, [1])) == Code.INVALID_RECORD_STATE
    assert member.settle((0, 1, [1]), (2, 4, [1, 2, 0])) == Code.NONE
    assert member.settle((3, 3, [1])) == Code.INVALID_RECORD_STATE
    assert member.settle((0, 1, [1])) == Code.NONE, "before the start: settled anyhow"


def test_many_types_for_offsets_long_gone_cost_little(member: Member) -> None:
    send(member.client, 5)
    assert member.got() == [(0, 9, 1)]
    assert member.settle((0, 8, [1])) == Code.NONE
    assert member.settle((0, 9, [1, 2] * 5)) == Code.NONE
    assert member.got() == [(9, 9, 2)]


# --- handing out --------------------------------------------------------------------------------------------


def test_whole_batches_are_handed_out_unless_exact_numbers_are_wanted(member: Member) -> None:
    send(member.client, 5, 5)
    assert member.got(max_records=6) == [(0, 9, 1)]
    assert member.got(max_records=2, share_acquire_mode=1) == [(10, 11, 1)]
    assert member.got(version=1, max_records=1) == [(12, 14, 1)]


def test_records_are_sent_in_the_batches_that_hold_them(member: Member) -> None:
    send(member.client, 5)
    first = told(member.fetch(max_records=2, share_acquire_mode=1)).records
    rest = told(member.fetch()).records
    assert len(rest) == 2 * len(first)
    assert rest.startswith(first), "the batch that is half somebody's is sent to both"


def test_what_is_more_than_one_piece_of_the_log_is_handed_out_at_once(client: Asking) -> None:
    make_topic(client)
    configure(client, share_auto_offset_reset="earliest")
    for _ in range(10):
        batch = b"".join(encode_batch([(None, bytes(60_000))], timestamp_ms=NOW_MS).chunks)
        data = [{"name": TOPIC, "partition_data": [{"index": 0, "records": batch}]}]
        client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=data)
    member = Member(client)
    answer = member.fetch(max_bytes=300_000)
    assert acquired(answer) == [(0, 4, 1)], "no more bytes than are wanted"
    assert len(told(answer).records) == 5 * len(batch)
    answer = member.fetch()
    assert acquired(answer) == [(5, 9, 1)]
    assert len(told(answer).records) == 5 * len(batch)


def test_no_more_than_two_thousand_are_in_flight(member: Member) -> None:
    send(member.client, *[500] * 6)
    last = 0
    while (got := member.got(max_records=700)) != []:
        last = got[-1][1]
    assert last == 2004, "the limit is reached within a batch"
    assert member.settle((0, 4, [1])) == Code.NONE
    assert member.got() == []
    assert member.settle((5, 504, [1])) == Code.NONE
    assert member.got() == [(2005, 2504, 1)]


def test_a_fetch_waits_for_records_and_for_what_comes_back(
    broker: Broker, member: Member, second: Member
) -> None:
    assert member.got() == [(0, 4, 1)]
    second.tell(max_wait=60_000)
    assert member.settle((2, 2, [Answer.RELEASE])) == Code.NONE
    assert acquired(second.take()) == [(2, 2, 2)]
    second.tell(max_wait=60_000)
    send(member.client, 1)
    assert acquired(second.take()) == [(5, 5, 1)]
    second.tell(max_wait=LOCK_MS + 10_000)
    broker.advance(LOCK_MS)
    assert acquired(second.take()) == [(0, 1, 2), (2, 2, 3), (3, 5, 2)]


def test_a_fetch_that_waits_in_vain_is_answered_in_time(broker: Broker, member: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    member.tell(max_wait=500)
    with Asking(broker.kafka_bootstrap) as other:
        other.ask("ApiVersions", 3, client_software_name="a", client_software_version="1")
    broker.advance(499)
    broker.advance(1)
    assert acquired(member.take()) == []


def test_a_lock_ends_by_the_clock_unless_it_is_renewed(
    broker: Broker, member: Member, second: Member
) -> None:
    assert member.got() == [(0, 4, 1)]
    broker.advance(LOCK_MS - 1)
    assert second.got() == []
    answer = member.fetch((0, 1, [Answer.RENEW]), is_renew_ack=True, **NOTHING)
    assert told(answer).acknowledge_error_code == Code.NONE
    broker.advance(1)
    assert second.got() == [(2, 4, 2)]
    assert member.settle((2, 2, [1])) == Code.INVALID_RECORD_STATE
    assert member.settle((0, 0, [Answer.RENEW]), is_renew_ack=True) == Code.NONE
    for each in (member, second):
        each.beat()
    broker.advance(LOCK_MS - 2)
    assert second.settle((2, 4, [1])) == Code.NONE
    assert second.got() == []
    broker.advance(2)
    assert second.got() == [(0, 1, 2)]


def test_a_request_that_renews_wants_nothing_else(member: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    answer = member.fetch((0, 1, [Answer.RENEW]), is_renew_ack=True)
    assert answer.error_code.value == Code.INVALID_REQUEST


def test_a_group_begins_some_time_ago(broker: Broker, client: Asking) -> None:
    make_topic(client)
    configure(client, share_auto_offset_reset="by_duration:PT1H")

    def stamped(ago_ms: int) -> None:
        now_ms = broker.call(lambda server: server.clock.now_ms())
        batch = b"".join(encode_batch([(None, b"x")], timestamp_ms=now_ms - ago_ms).chunks)
        data = [{"name": TOPIC, "partition_data": [{"index": 0, "records": batch}]}]
        client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=data)

    for ago_ms in (7_200_000, 3_700_000, 1_800_000, 0):
        stamped(ago_ms)
    assert Member(client).got(max_wait=10_000) == [(2, 3, 1)]


def test_a_topic_that_goes_is_told_to_who_waits_and_one_of_its_name_is_new(member: Member) -> None:
    assert member.got() == [(0, 4, 1)]
    member.tell(max_wait=60_000)
    with Asking("{}:{}".format(*member.client._socket.getpeername())) as other:
        other.ask("DeleteTopics", 6, topics=[{"name": TOPIC, "topic_id": bytes(16)}])
    assert told(member.take()).error_code.value == Code.UNKNOWN_TOPIC_ID
    make_topic(member.client)
    send(member.client, 2)
    member.beat()
    member.topic_id = topic_id(member.client)
    assert member.got() == [(0, 1, 1)], "a topic of the same name is another one"


# --- rights and configs -------------------------------------------------------------------------------------


def test_rights_to_groups_and_topics_are_asked_for() -> None:
    broker = Broker(kafka_port=0, kafka_authorizer="acl").start()
    with Asking(broker.kafka_bootstrap) as client:
        make_topic(client)
        configure(client, share_auto_offset_reset="earliest")
        member = Member(client)
        allowed = {"resource_pattern_type": 3, "host": "*", "permission_type": 3}
        rules = [
            {"resource_type": 2, "resource_name": TOPIC, "principal": "User:x", "operation": 3, **allowed},
            {"resource_type": 3, "resource_name": "g", "principal": "User:x", "operation": 3, **allowed},
        ]
        client.ask("CreateAcls", 3, creations=rules)
        broker.call(lambda server: server.core.add_user("guest", "guest"))
    with Asking(broker.kafka_bootstrap) as client:
        member.client, member.session = client, 0
        assert member.beat().error_code.value == Code.GROUP_AUTHORIZATION_FAILED
        assert member.fetch().error_code.value == Code.GROUP_AUTHORIZATION_FAILED
        assert member.settle((0, 0, [1])) == Code.GROUP_AUTHORIZATION_FAILED
        group = {"group_id": "g"}
        (shown,) = client.ask("ShareGroupDescribe", 1, group_ids=["g"]).groups
        assert shown.error_code.value == Code.GROUP_AUTHORIZATION_FAILED
        (shown,) = client.ask("DescribeShareGroupOffsets", 1, groups=[group]).groups
        assert shown.error_code.value == Code.GROUP_AUTHORIZATION_FAILED
        for key in ("AlterShareGroupOffsets", "DeleteShareGroupOffsets"):
            assert client.ask(key, 0, **group).error_code.value == Code.GROUP_AUTHORIZATION_FAILED
        resource = {"resource_type": 32, "resource_name": "g", "configuration_keys": None}
        (answer,) = client.ask("DescribeConfigs", 4, resources=[resource]).results
        assert answer.error_code.value == Code.GROUP_AUTHORIZATION_FAILED
    broker.stop()


@pytest.mark.row("K32")
def test_configs_of_groups_are_listed_and_survive_a_restart(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        configure(client, share_isolation_level="read_committed", consumer_session_timeout_ms=7_000)
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        listed = client.ask("ListConfigResources", 1, resource_types=[32]).config_resources
        assert [each.resource_name for each in listed] == ["g"]
        resource = {"resource_type": 32, "resource_name": "g", "configuration_keys": None}
        (answer,) = client.ask("DescribeConfigs", 4, resources=[resource]).results
        given = {each.name: each.value for each in answer.configs if each.config_source == 8}
        assert given == {"share.isolation.level": "read_committed", "consumer.session.timeout.ms": "7000"}
        configure(client)
        assert not client.ask("ListConfigResources", 1, resource_types=[32]).config_resources


@pytest.mark.row("K32")
def test_a_session_is_longer_than_the_time_between_two_heartbeats(client: Asking) -> None:
    def refused(**configs: str) -> str | None:
        given = [{"name": name.replace("_", "."), "value": value} for name, value in configs.items()]
        resource = {"resource_type": 32, "resource_name": "g", "configs": given}
        (answer,) = client.ask("AlterConfigs", 2, resources=[resource]).responses
        text: str | None = answer.error_message
        return text

    for kind in ("share", "consumer"):
        session, heartbeat = f"{kind}_session_timeout_ms", f"{kind}_heartbeat_interval_ms"
        text = f"{kind}.session.timeout.ms must be greater than {kind}.heartbeat.interval.ms"
        assert refused(**{session: "5000"}) == text
        assert refused(**{session: "9000", heartbeat: "9000"}) == text
        assert refused(**{session: "9000", heartbeat: "3000"}) is None


# --- administration -----------------------------------------------------------------------------------------


def described(client: Asking, group: str = "g", topics: Any = None) -> list[tuple[int, int]]:
    """Start and lag of each partition."""
    (answer,) = client.ask(
        "DescribeShareGroupOffsets", 1, groups=[{"group_id": group, "topics": topics}]
    ).groups
    assert answer.error_code.value == Code.NONE, answer
    return [(each.start_offset, each.lag) for topic in answer.topics for each in topic.partitions]


@pytest.mark.row("K57")
def test_offsets_are_altered_and_deleted_while_nobody_is_in_the_group(member: Member) -> None:
    client = member.client
    assert described(client) == [(-1, -1)]
    assert member.got() == [(0, 4, 1)]
    assert member.settle((0, 2, [1])) == Code.NONE
    assert described(client) == [(0, 2)]
    place = {"topic_name": TOPIC, "partitions": [{"partition_index": 0, "start_offset": 3}]}
    assert client.ask("AlterShareGroupOffsets", 0, group_id="g", topics=[place]).error_code.value == 68
    named = [{"topic_name": TOPIC}]
    assert client.ask("DeleteShareGroupOffsets", 0, group_id="g", topics=named).error_code.value == 68
    member.beat(member_epoch=-1)
    wrong = [
        {"topic_name": TOPIC, "partitions": [{"partition_index": 9, "start_offset": 3}]},
        {"topic_name": "gone", "partitions": [{"partition_index": 0, "start_offset": 3}]},
    ]
    answer = client.ask("AlterShareGroupOffsets", 0, group_id="g", topics=[place, *wrong])
    codes = [each.error_code.value for topic in answer.responses for each in topic.partitions]
    assert codes == [Code.NONE, *[Code.UNKNOWN_TOPIC_OR_PARTITION] * 2]
    assert described(client) == [(3, 2)]
    again = Member(client)
    assert again.got() == [(3, 4, 1)], "what was in flight is forgotten"
    again.beat(member_epoch=-1)
    answers = client.ask("DeleteShareGroupOffsets", 0, group_id="g", topics=named).responses
    assert [each.error_code.value for each in answers] == [Code.NONE]
    assert described(client) == []
    (gone,) = client.ask("DeleteShareGroupOffsets", 0, group_id="g", topics=named).responses
    assert gone.error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.row("K57")
def test_share_groups_are_listed_and_deleted_as_others_are(member: Member) -> None:
    client = member.client
    (shown,) = client.ask("ListGroups", 5, types_filter=["share"]).groups
    assert (shown.group_id, shown.protocol_type, shown.group_state) == ("g", "share", "Stable")
    assert not client.ask("ListGroups", 5, types_filter=["classic", "consumer"]).groups
    (answer,) = client.ask("DeleteGroups", 2, groups_names=["g"]).results
    assert answer.error_code.value == Code.NON_EMPTY_GROUP
    member.beat(member_epoch=-1)
    (answer,) = client.ask("DeleteGroups", 2, groups_names=["g"]).results
    assert answer.error_code.value == Code.NONE
    (shown,) = client.ask("ShareGroupDescribe", 1, group_ids=["g"]).groups
    assert (shown.error_code.value, shown.error_message) == (Code.GROUP_ID_NOT_FOUND, "Group g not found.")


def test_a_group_of_one_kind_is_none_of_another(member: Member) -> None:
    client = member.client
    offset = {"partition_index": 0, "committed_offset": 7, "committed_metadata": ""}
    topics = [{"name": TOPIC, "partitions": [offset]}]
    answer = client.ask("OffsetCommit", 9, group_id="g", topics=topics, generation_id_or_member_epoch=-1)
    assert answer.topics[0].partitions[0].error_code.value == Code.GROUP_ID_NOT_FOUND
    client.ask("OffsetCommit", 9, group_id="c", topics=topics, generation_id_or_member_epoch=-1)
    other = {"group_id": "c", "member_epoch": 0, "subscribed_topic_names": [TOPIC]}
    answer = client.ask("ShareGroupHeartbeat", 1, member_id="m", rack_id=None, **other)
    assert answer.error_message == "Group c is not a share group."
    for key in ("AlterShareGroupOffsets", "DeleteShareGroupOffsets"):
        assert client.ask(key, 0, group_id="c").error_code.value == Code.GROUP_ID_NOT_FOUND
    (shown,) = client.ask("ShareGroupDescribe", 1, group_ids=["c"]).groups
    assert shown.error_message == "Group c is not a share group."


# --- restarts and crashes -----------------------------------------------------------------------------------


def settled_group(client: Asking) -> Member:
    """One that holds two of ten records, has settled some and has given back others."""
    make_topic(client)
    configure(client, share_auto_offset_reset="earliest")
    send(client, 10)
    member = Member(client)
    assert member.got() == [(0, 9, 1)]
    kinds = [Answer.ACCEPT, Answer.RELEASE, Answer.REJECT, Answer.ACCEPT, Answer.RELEASE, Answer.GAP]
    assert member.settle((0, 5, list(kinds))) == Code.NONE
    assert member.settle((8, 9, [Answer.ACCEPT])) == Code.NONE
    return member


LEFT = [(1, 1, 2), (4, 4, 2), (6, 7, 1)]
"""What is left of it for another member."""


def test_a_restart_keeps_members_what_is_settled_and_counts(tmp_path: Path) -> None:
    broker = Broker(str(tmp_path), kafka_port=0).start()
    with Asking(broker.kafka_bootstrap) as client:
        member = settled_group(client)
        broker.stop()
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        member.client, member.session = client, 0
        assert member.beat().error_code.value == Code.NONE
        assert member.beat().assignment is None, "it has what it had"
        assert member.got(max_wait=10_000) == LEFT
        assert described(client) == [(1, 4)]


def test_a_crash_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """The folder as it is when the last acknowledgement has been answered: no clean stop has touched it."""
    left = tmp_path / "left"
    with Broker(str(tmp_path / "data"), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        settled_group(client)
        shutil.copytree(tmp_path / "data", left, ignore=shutil.ignore_patterns("*lock*"))
    with Broker(str(left), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert Member(client, "two").got(max_wait=10_000) == LEFT


SCATTERED = 400
"""Records of which every other one is settled: as many stretches."""


def scattered_group(client: Asking, more: int) -> Member:
    """A member that has accepted every other record, and then so many of those between, one by one."""
    make_topic(client)
    configure(client, share_auto_offset_reset="earliest")
    send(client, SCATTERED)
    member = Member(client)
    assert member.got() == [(0, SCATTERED - 1, 1)]
    assert member.settle(*((at, at, [Answer.ACCEPT]) for at in range(1, SCATTERED, 2))) == Code.NONE
    for number in range(more):
        assert member.settle((4 + 4 * number, 4 + 4 * number, [Answer.ACCEPT])) == Code.NONE
    return member


def left_of(more: int) -> list[int]:
    settled = {*range(1, SCATTERED, 2), *(4 + 4 * number for number in range(more))}
    return [offset for offset in range(SCATTERED) if offset not in settled]


def kept_of(broker: Broker) -> tuple[int, list[int]]:
    """Bytes of the whole of the one partition, and of each change since."""

    def look(server: Any) -> tuple[int, list[int]]:
        wholes = [len(value) for _, value in server.core.kept(SHARE_PARTITIONS)]
        return sum(wholes), [len(value) for _, value in server.core.kept(SHARE_UPDATES)]

    return broker.call(look)


def test_an_acknowledgement_writes_what_it_changes_and_now_and_then_the_whole(broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap) as client:
        member = scattered_group(client, UPDATES_MAX)
        whole, changes = kept_of(broker)
        assert whole > 6 * SCATTERED / 2
        assert len(changes) == UPDATES_MAX
        assert max(changes) < 30
        assert member.settle((2, 2, [Answer.ACCEPT])) == Code.NONE
        again, changes = kept_of(broker)
        assert again != whole
        assert changes == []
        client.ask("DeleteTopics", 6, topics=[{"name": TOPIC, "topic_id": None}])
        member.beat()
        assert kept_of(broker) == (0, [])


@pytest.mark.parametrize("more", [0, 1, UPDATES_MAX, UPDATES_MAX + 1, UPDATES_MAX + 20])
def test_changes_are_there_after_a_crash_and_after_a_restart_and_go_on(tmp_path: Path, more: int) -> None:
    left = tmp_path / "left"
    with Broker(str(tmp_path / "data"), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        scattered_group(client, more)
        shutil.copytree(tmp_path / "data", left, ignore=shutil.ignore_patterns("*lock*"))
    for folder in (left, tmp_path / "data"):
        with Broker(str(folder), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
            member = Member(client, "two")
            found = [at for first, last, _ in member.got(max_wait=10_000) for at in range(first, last + 1)]
            assert found == left_of(more)
            assert member.settle((0, 0, [Answer.ACCEPT]), (398, 398, [Answer.ACCEPT])) == Code.NONE
        with Broker(str(folder), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
            found = [at for first, last, _ in Member(client, "three").got() for at in range(first, last + 1)]
            assert found == left_of(more)[1:-1]


def test_a_topic_that_is_made_anew_has_nothing_of_the_changes_of_the_old_one(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        scattered_group(client, 3)
        client.ask("DeleteTopics", 6, topics=[{"name": TOPIC, "topic_id": None}])
        make_topic(client)
        send(client, 5)
        assert Member(client, "two").got(max_wait=10_000) == [(0, 4, 1)]
        assert kept_of(broker)[1] == []
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert Member(client, "three").got(max_wait=10_000) == [(0, 4, 2)]


def test_a_group_that_has_begun_at_the_end_goes_on_there_after_a_crash(tmp_path: Path) -> None:
    """Kafka looks for the end anew as long as nothing was acknowledged, and so may leave records out."""
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make_topic(client)
        send(client, 3)
        assert Member(client).got() == []
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        send(client, 2)
        assert described(client) == [(-1, -1)]
        assert Member(client, "two").got() == [(3, 4, 1)]


def test_a_connection_that_breaks_within_a_fetch_takes_nothing_along(
    broker: Broker, member: Member, second: Member
) -> None:
    host, _, port = broker.kafka_bootstrap.rpartition(":")
    assert socket.create_connection((host, int(port)), timeout=5).close() is None
    second.tell(max_wait=60_000, topics=[])
    second.client._socket.close()
    assert member.got(max_wait=10_000) == [(0, 4, 1)]
