"""Groups of both protocols at once: how they come to be, how they go on, and how they end (row K55)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.groups.subscription import (
    assignment_bytes,
    assignment_of,
    is_plain_assignment,
    is_subscription,
    owned_of,
    version_of,
)
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.test_groups import SESSION_MS, heartbeat, join, listed, make_topic

pytestmark = pytest.mark.row("K55")

ROUND_MS = 60_000
SUBSCRIPTION = b"\0\0" + b"\0\0\0\1\0\1t" + b"\xff\xff\xff\xff"
OWNING = b"\0\1" + b"\0\0\0\1\0\1t" + b"\0\0\0\2xy" + b"\0\0\0\1\0\1t\0\0\0\2\0\0\0\0\0\0\0\1"


@pytest.fixture
def broker() -> Iterator[Broker]:
    """One for each test, with a topic of two partitions; its time is ours."""
    with Broker(kafka_port=0, clock=ManualClock()) as running:
        with Asking(running.kafka_bootstrap) as asking:
            make_topic(asking)
        yield running


def sync(client: Asking, joined: Any, group: str = "g", assignment: bytes = b"", **said: Any) -> Any:
    deal = [{"member_id": joined.member_id, "assignment": assignment}] if assignment else []
    values = {
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "protocol_type": None,
        "protocol_name": None,
    }
    return client.ask("SyncGroup", 5, group_id=group, assignments=deal, **{**values, **said})


def classic(client: Asking, *, assignment: bytes = b"", **said: Any) -> Any:
    """A classic group with one member that has both partitions, or what is said."""
    joined = join(client, "g", **said)
    assert joined.error_code.value == Code.NONE
    sync(client, joined, assignment=assignment or assignment_bytes(0, {"t": [0, 1]}))
    return joined


def beat(client: Asking, epoch: int = 0, member: str = "new", **said: Any) -> Any:
    first: dict[str, Any] = {
        "rebalance_timeout": ROUND_MS,
        "subscribed_topic_names": ["t"],
        "topic_partitions": [],
    }
    usual = {"rebalance_timeout": -1, "subscribed_topic_names": None, "topic_partitions": None}
    values = {"subscribed_topic_regex": None, "server_assignor": None, "instance_id": None, "rack_id": None}
    chosen = {**values, **(usual if epoch else first), **said}
    return client.ask(
        "ConsumerGroupHeartbeat", 1, group_id="g", member_id=member, member_epoch=epoch, **chosen
    )


def dealt(assignment: Any) -> list[int]:
    """The partitions of t in an answer of either protocol."""
    if isinstance(assignment, bytes):
        return assignment_of(assignment).get("t", [])
    return [number for each in assignment.topic_partitions for number in each.partitions]


def mixed(client: Asking) -> tuple[Any, Any]:
    """A group of one member of each kind, both where they are to be: the classic one's round, and the other's
    last answer."""
    old = classic(client)
    new = beat(client)
    assert dealt(new.assignment) == []
    assert heartbeat(client, "g", old) == Code.REBALANCE_IN_PROGRESS
    old = join(client, "g", member_id=old.member_id)
    assert (old.error_code.value, old.generation_id, old.protocol_type) == (
        Code.NONE,
        new.member_epoch,
        "consumer",
    )
    (kept,) = dealt(sync(client, old).assignment)
    new = beat(client, new.member_epoch)
    assert [kept, *dealt(new.assignment)] in ([0, 1], [1, 0])
    assert heartbeat(client, "g", old) == Code.NONE
    return old, new


def advance(broker: Broker, time_ms: int) -> None:
    """Let time pass, and all be done that is due then."""

    def pass_by(server: Any) -> None:
        server.clock.advance(time_ms)
        server.core.set_time(server.clock.now_ms())
        server.core.tick(server.clock.now_ms())

    broker.call(pass_by)


# --- over to the new protocol --------------------------------------------------------------------------


def test_a_classic_group_becomes_a_consumer_group_with_the_first_member_that_speaks_the_new_protocol(
    client: Asking,
) -> None:
    old, new = mixed(client)
    assert listed(client, types_filter=["consumer"]) == {"g": "Stable"}
    (shown,) = client.ask("ConsumerGroupDescribe", 1, group_ids=["g"]).groups
    kinds = {member.member_id: member.member_type for member in shown.members}
    assert kinds == {old.member_id: 0, "new": 1}
    assert {member.member_epoch for member in shown.members} == {new.member_epoch}


def test_it_is_all_of_the_new_protocol_when_the_last_classic_member_has_left(client: Asking) -> None:
    old, new = mixed(client)
    left = client.ask("LeaveGroup", 5, group_id="g", members=[{"member_id": old.member_id}])
    assert left.members[0].error_code.value == Code.NONE
    assert sorted(dealt(beat(client, new.member_epoch).assignment)) == [0, 1]
    assert heartbeat(client, "g", old) == Code.UNKNOWN_MEMBER_ID


def test_who_waits_for_a_round_joins_again_and_finds_the_other_kind_of_group(broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap) as first, Asking(broker.kafka_bootstrap) as second:
        classic(first)
        second.tell(
            "JoinGroup",
            3,
            group_id="g",
            session_timeout=SESSION_MS,
            rebalance_timeout=ROUND_MS,
            member_id="",
            protocol_type="consumer",
            protocols=[{"name": "range", "metadata": SUBSCRIPTION}],
        )
        with Asking(broker.kafka_bootstrap) as third:
            while "g" not in listed(third, states_filter=["PreparingRebalance"]):
                pass
            assert beat(third).error_code.value == Code.NONE
        assert second.take(11, 3).error_code.value == Code.REBALANCE_IN_PROGRESS


@pytest.mark.parametrize(
    "said",
    [
        {"protocol_type": "connect"},
        {"protocols": [{"name": "range", "metadata": b"\0\0\0\0"}]},
        {"assignment": assignment_bytes(0, {"t": [0, 1]})[:-4] + b"\0\0\0\1x"},
    ],
    ids=["no consumers", "an unreadable subscription", "bytes of an assignor"],
)
def test_a_group_that_the_broker_cannot_deal_out_stays_classic(client: Asking, said: dict[str, Any]) -> None:
    """Kafka's answer; a leader's own bytes for its members would be lost."""
    joined = classic(client, **said)
    assert beat(client).error_code.value == Code.GROUP_ID_NOT_FOUND
    assert listed(client, types_filter=["classic"]) == {"g": "Stable"}
    assert heartbeat(client, "g", joined) == Code.NONE


# --- a classic member of a consumer group --------------------------------------------------------------


def test_a_classic_member_joins_a_consumer_group_without_a_round(client: Asking) -> None:
    """It is told its id first, as by a classic group, and its part when the other has given it up."""
    new = beat(client)
    assert sorted(dealt(new.assignment)) == [0, 1]
    old = join(client, "g")
    assert (old.generation_id, old.protocol_name, old.leader, old.members) == (2, "range", "", ())
    assert dealt(sync(client, old).assignment) == []
    (kept,) = dealt(beat(client, new.member_epoch).assignment)
    beat(client, new.member_epoch, topic_partitions=_owning(client, kept))
    assert heartbeat(client, "g", old) == Code.REBALANCE_IN_PROGRESS
    old = join(client, "g", member_id=old.member_id)
    assert dealt(sync(client, old).assignment) == [1 - kept]
    assert heartbeat(client, "g", old) == Code.NONE


def _owning(client: Asking, *numbers: int) -> list[dict[str, Any]]:
    (topic,) = client.ask("Metadata", 12, topics=[{"name": "t"}]).topics
    return [{"topic_id": topic.topic_id.bytes, "partitions": list(numbers)}]


def test_a_classic_member_is_refused_as_in_a_classic_group(client: Asking) -> None:
    old, _ = mixed(client)
    other = [{"name": "other", "metadata": SUBSCRIPTION}]
    assert join(client, "g", protocols=other).error_code.value == Code.INCONSISTENT_GROUP_PROTOCOL
    assert join(client, "g", protocol_type="connect").error_code.value == Code.INCONSISTENT_GROUP_PROTOCOL
    wrong = {
        Code.UNKNOWN_MEMBER_ID: {"member_id": "nobody"},
        Code.ILLEGAL_GENERATION: {"generation_id": old.generation_id - 1},
        Code.INCONSISTENT_GROUP_PROTOCOL: {"protocol_name": "other"},
    }
    for code, said in wrong.items():
        assert sync(client, old, **said).error_code.value == code
    left = client.ask("LeaveGroup", 5, group_id="g", members=[{"member_id": "nobody"}])
    assert left.members[0].error_code.value == Code.UNKNOWN_MEMBER_ID
    place = {"partition_index": 0, "committed_offset": 1, "committed_metadata": None}
    for generation, code in ((old.generation_id, Code.NONE), (1, Code.ILLEGAL_GENERATION)):
        answer = client.ask(
            "OffsetCommit",
            8,
            group_id="g",
            member_id=old.member_id,
            generation_id_or_member_epoch=generation,
            topics=[{"name": "t", "partitions": [place]}],
        )
        assert answer.topics[0].partitions[0].error_code.value == code


def test_an_instance_that_comes_back_takes_over_what_it_had(client: Asking) -> None:
    """Under a new id and by the classic protocol, which fences the old one at once."""
    beat(client)
    first = join(client, "g", group_instance_id="i")
    again = join(client, "g", group_instance_id="i")
    assert again.member_id != first.member_id
    said = {"group_instance_id": "i", "generation_id": first.generation_id, "member_id": first.member_id}
    code = client.ask("Heartbeat", 4, group_id="g", **said).error_code.value
    assert code == Code.FENCED_INSTANCE_ID
    (shown,) = client.ask("ConsumerGroupDescribe", 1, group_ids=["g"]).groups
    assert {member.instance_id for member in shown.members} == {None, "i"}
    left = client.ask("LeaveGroup", 5, group_id="g", members=[{"member_id": "", "group_instance_id": "i"}])
    assert left.members[0].error_code.value == Code.NONE


def test_a_classic_member_is_out_after_its_own_session_timeout(broker: Broker, client: Asking) -> None:
    """Not after that of the group, which is longer."""
    _, new = mixed(client)
    advance(broker, SESSION_MS)
    (shown,) = client.ask("ConsumerGroupDescribe", 1, group_ids=["g"]).groups
    assert [member.member_id for member in shown.members] == ["new"]
    assert sorted(dealt(beat(client, new.member_epoch).assignment)) == [0, 1]


def test_a_classic_member_that_does_not_join_again_in_time_is_out(broker: Broker, client: Asking) -> None:
    old = classic(client)
    beat(client)
    for _ in range(ROUND_MS // SESSION_MS * 2):
        assert heartbeat(client, "g", old) == Code.REBALANCE_IN_PROGRESS
        beat(client, 2)
        advance(broker, SESSION_MS // 2)
    assert heartbeat(client, "g", old) == Code.UNKNOWN_MEMBER_ID


# --- back to the classic protocol ----------------------------------------------------------------------


def test_a_group_is_classic_again_when_its_last_member_of_the_new_protocol_has_left(client: Asking) -> None:
    """Its members join for a round, in which one of them leads."""
    old, new = mixed(client)
    assert beat(client, -1).error_code.value == Code.NONE
    assert listed(client, types_filter=["classic"]) == {"g": "PreparingRebalance"}
    assert heartbeat(client, "g", old) == Code.REBALANCE_IN_PROGRESS
    again = join(client, "g", member_id=old.member_id)
    assert again.leader == old.member_id
    assert again.generation_id > new.member_epoch
    assert [member.member_id for member in again.members] == [old.member_id]


def test_a_group_is_classic_again_when_its_last_instance_has_come_back_as_a_classic_member(
    client: Asking,
) -> None:
    """Without a round, as instances come back: everybody goes on with what it has."""
    beat(client, instance_id="i")
    epoch = beat(client, member="other", instance_id="j").member_epoch
    beat(client, 1, topic_partitions=[])
    beat(client, epoch, "other")
    beat(client, -2, instance_id="i")
    one = join(client, "g", group_instance_id="i")
    assert listed(client, types_filter=["consumer"]) == {"g": "Stable"}
    kept = dealt(sync(client, one, group_instance_id="i").assignment)
    beat(client, -2, "other", instance_id="j")
    other = join(client, "g", group_instance_id="j")
    assert listed(client, types_filter=["classic"]) == {"g": "Stable"}
    for joined, instance in ((one, "i"), (other, "j")):
        said = {"group_instance_id": instance, "protocol_name": joined.protocol_name}
        synced = sync(client, joined, protocol_type="consumer", **said)
        assert synced.error_code.value == Code.NONE
        assert sorted({*kept, *dealt(synced.assignment)}) == ([0, 1] if instance == "j" else kept)


def test_a_mixed_group_is_what_it_was_after_a_restart(tmp_path: Path) -> None:
    with Broker(data=tmp_path, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        make_topic(client)
        old, _ = mixed(client)
    with Broker(data=tmp_path, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        (shown,) = client.ask("ConsumerGroupDescribe", 1, group_ids=["g"]).groups
        kinds = {member.member_id: member.member_type for member in shown.members}
        assert kinds == {old.member_id: 0, "new": 1}
        assert heartbeat(client, "g", old) == Code.NONE
        assert beat(client, -1).error_code.value == Code.NONE
        assert heartbeat(client, "g", old) == Code.REBALANCE_IN_PROGRESS
    with Broker(data=tmp_path, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        assert listed(client, types_filter=["classic"])
        assert not listed(client, types_filter=["consumer"])


# --- what consumers write ------------------------------------------------------------------------------


def test_what_a_member_says_that_it_has_is_read_from_its_subscription() -> None:
    assert owned_of(OWNING) == {"t": [0, 1]}
    assert owned_of(SUBSCRIPTION) == {}
    assert (version_of(OWNING), version_of(SUBSCRIPTION), version_of(b"")) == (1, 0, 0)


@pytest.mark.parametrize("size", range(len(OWNING)))
def test_bytes_that_are_cut_short_say_nothing(size: int) -> None:
    cut = OWNING[:size]
    assert owned_of(cut) == {}
    assert is_subscription(cut) == (size >= 9)


def test_an_assignment_is_plain_if_there_is_nothing_but_partitions_in_it() -> None:
    plain = assignment_bytes(1, {"t": [0, 1], "u": [7]})
    assert assignment_of(plain) == {"t": [0, 1], "u": [7]}
    assert is_plain_assignment(plain)
    assert is_plain_assignment(b"")
    assert is_plain_assignment(plain[:-4] + b"\0\0\0\0")
    assert not is_plain_assignment(plain[:-4] + b"\0\0\0\1x")
    assert not is_plain_assignment(b"work")
