"""confluent-kafka in groups: assignments, rebalances, offsets, administration."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec  # noqa: F401

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    NONE,
    WAIT_S,
    Config,
    admin,
    answer,
    commit,
    committed,
    consumer,
    error_name,
    producer,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario


class Member:
    """A consumer of the case's group that notes what it is given and what it loses."""

    def __init__(self, case: Case, name: str, topics: list[str], config: Config = NONE) -> None:
        self.case = case
        self.name = name
        self.events: list[list[object]] = []
        self.errors: list[str] = []
        self.offsets: list[list[object]] = []
        self.client = consumer(case, {"group.id": case.name("group"), **config})
        self.client.subscribe(
            topics,
            on_assign=lambda client, parts: self._note("given", parts),
            on_revoke=lambda client, parts: self._note("taken", parts),
            on_lost=lambda client, parts: self._note("lost", parts),
        )

    @property
    def owned(self) -> list[list[object]]:
        return sorted([self.case.shorten(each.topic), each.partition] for each in self.client.assignment())

    def _note(self, what: str, partitions: list[TopicPartition]) -> None:
        self.events.append([what, *sorted(each.partition for each in partitions)])

    def poll(self) -> None:
        message = self.client.poll(0.02)
        if message is None:
            return
        error = message.error()
        if error is None:
            self.offsets.append([message.partition(), message.offset()])
        elif error.code() != KafkaError._PARTITION_EOF:
            self.errors.append(error_name(error))


def until(condition: Callable[[], bool], *members: Member) -> bool:
    """Poll all members until a condition holds; if it never does, there is no point in going on."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {[[each.name, each.owned, each.errors] for each in members]}")
        for member in members:
            member.poll()
    return True


def settled(*wanted: tuple[Member, int]) -> bool:
    """Poll until each member owns so many partitions."""
    return until(lambda: all(len(member.owned) == count for member, count in wanted), *(m for m, _ in wanted))


def state(case: Case) -> str:
    found = answer(admin(case).describe_consumer_groups([case.name("group")]))
    return getattr(getattr(found, "state", None), "name", str(found))


@scenario("K50", "K54")
def commit_and_go_on(case: Case) -> None:
    """The next consumer of a group goes on behind what the last one committed."""
    name = topic(case, "t")
    send(producer(case), name, values(*range(10)))
    first = Member(case, "first", [name])
    until(lambda: len(first.offsets) >= 6, first)
    place = TopicPartition(name, 0, 6, metadata="so far")
    case.saw("commit", commit(first.client, place))
    first.client.close()
    second = Member(case, "second", [name])
    until(lambda: len(second.offsets) >= 4, second)
    case.saw("goes on", second.offsets[0], second.offsets[-1])
    case.saw("committed", committed(second.client, TopicPartition(name, 0), TopicPartition(name, 1)))
    second.client.close()


@scenario("K54", "K75")
def commit_limits(case: Case) -> None:
    """A group without members takes commits, with metadata of up to 4096 bytes: this client adds one."""
    name = topic(case, "t")
    client = consumer(case)
    for size in (4095, 4096):
        case.saw(f"{size} bytes", commit(client, TopicPartition(name, 0, 1, metadata="m" * size)))
    case.saw("no such partition", commit(client, TopicPartition(name, 7, 1)))
    case.saw("no such topic", commit(client, TopicPartition(case.name("gone"), 0, 1)))
    case.saw("committed", committed(client, TopicPartition(name, 0))[0][0])
    client.close()


@scenario("K50", "K51")
def two_members_share(case: Case) -> None:
    """Each assignor's way; when one leaves the other gets all."""
    name = topic(case, "t", 5)
    for assignor in ("range", "roundrobin"):
        config = {"partition.assignment.strategy": assignor, "group.id": case.name(assignor)}
        first = Member(case, "first", [name], {**config, "client.id": "a"})
        case.saw(assignor, "alone", settled((first, 5)), first.owned)
        second = Member(case, "second", [name], {**config, "client.id": "b"})
        # Who is "a" comes first in a member id, and so gets one partition more.
        case.saw(assignor, "shared", settled((first, 3), (second, 2)), first.owned, second.owned)
        first.client.close()
        case.saw(assignor, "one is left", settled((second, 5)), second.owned)
        second.client.close()


@scenario("K52", "K51")
def cooperative_rebalance(case: Case) -> None:
    """Members keep what they do not have to give away."""
    name = topic(case, "t", 4)
    config = {"partition.assignment.strategy": "cooperative-sticky"}
    first = Member(case, "first", [name], config)
    case.saw("alone", settled((first, 4)), first.events)
    second = Member(case, "second", [name], config)
    case.saw("shared", settled((first, 2), (second, 2)))
    case.saw("taken in one piece", [event[0] for event in first.events if len(event) > 1])
    second.client.close()
    case.saw("one is left", settled((first, 4)), [event[0] for event in first.events if len(event) > 1])
    first.client.close()


@scenario("K51", "K75")
def no_common_assignor(case: Case) -> None:
    name = topic(case, "t")
    first = Member(case, "first", [name], {"partition.assignment.strategy": "range"})
    case.saw("first", settled((first, 1)))
    second = Member(case, "second", [name], {"partition.assignment.strategy": "roundrobin"})
    until(lambda: bool(second.errors), first, second)
    case.saw("second", second.errors[:1], second.owned)
    for member in (first, second):
        member.client.close()


@scenario("K53", "K75")
def static_members(case: Case) -> None:
    """One that comes back under its name gets what it had, without a rebalance; a second one fences it."""
    name = topic(case, "t", 4)
    first = Member(case, "first", [name], {"group.instance.id": "one"})
    second = Member(case, "second", [name], {"group.instance.id": "two"})
    case.saw("shared", settled((first, 2), (second, 2)))
    owned, events = second.owned, len(first.events)
    second.client.close()  # A static member does not leave.
    again = Member(case, "again", [name], {"group.instance.id": "two"})
    case.saw("came back", settled((first, 2), (again, 2)), again.owned == owned, len(first.events) - events)
    double = Member(case, "double", [name], {"group.instance.id": "two"})
    until(lambda: bool(again.errors), first, again, double)
    case.saw("fenced", again.errors[:1])
    for member in (first, again, double):
        member.client.close()


@scenario("K50")
def member_that_dies(case: Case) -> None:
    """What a member had that is not heard of any more goes to the others after its session's time."""
    name = topic(case, "t", 2)
    first = Member(case, "first", [name])
    silent = Member(case, "silent", [name], {"group.instance.id": "silent"})
    case.saw("shared", settled((first, 1), (silent, 1)))
    silent.client.close()  # Static: it does not say that it goes.
    began = time.monotonic()
    case.saw("all", settled((first, 2)), first.owned, 4 < time.monotonic() - began < 12)
    first.client.close()


@scenario("K50", "K31")
def group_sees_new_partitions(case: Case) -> None:
    """A subscription by pattern takes in what comes."""
    quick = {"topic.metadata.refresh.interval.ms": 300}
    topic(case, "p1")
    member = Member(case, "first", [f"^p[0-9]-.*{case.name('')[1:]}"], quick)
    case.saw("one topic", settled((member, 1)), member.owned)
    topic(case, "p2", 2)
    case.saw("two topics", settled((member, 3)), member.owned)
    member.client.close()


@scenario("K57", "K75")
def administration(case: Case) -> None:
    """Groups are listed, described, given other offsets, and deleted when nobody is in them."""
    name = topic(case, "t", 2)
    group = case.name("group")
    client = admin(case)
    send(producer(case), name, values("x"))
    case.saw("not there", state(case))
    member = Member(case, "first", [name], {"client.id": "c1"})
    settled((member, 2))
    listed = client.list_consumer_groups().result(WAIT_S).valid
    (found,) = [each for each in listed if each.group_id == group]
    case.saw("listed", found.state, found.type, found.is_simple_consumer_group)
    found = answer(client.describe_consumer_groups([group]))
    case.saw("described", found.state, found.partition_assignor, found.is_simple_consumer_group)
    case.saw("coordinator", found.coordinator.id)
    for each in found.members:
        owned = sorted(part.partition for part in each.assignment.topic_partitions)
        case.saw("member", each.client_id, each.host, each.group_instance_id, owned)
    case.saw("deleted", answer(client.delete_consumer_groups([group])))
    place = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 1)])
    case.saw("reset", reset(client, place))
    member.client.close()
    case.saw("empty", state(case))
    empty = client.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(WAIT_S).valid
    case.saw("listed as empty", group in [each.group_id for each in empty])
    case.saw("reset", reset(client, place))
    for asked in (None, [TopicPartition(name, 0), TopicPartition(name, 1)]):
        found = answer(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, asked)]))
        case.saw("offsets", sorted([each.partition, each.offset] for each in found.topic_partitions))
    case.saw("deleted", answer(client.delete_consumer_groups([group])))
    case.saw("again", answer(client.delete_consumer_groups([group])))
    case.saw("gone", state(case))


def reset(client: object, place: ConsumerGroupTopicPartitions) -> object:
    found = answer(client.alter_consumer_group_offsets([place]))  # type: ignore[attr-defined]
    if isinstance(found, str):
        return found
    return [each.error and error_name(each.error) for each in found.topic_partitions]


@scenario("K55")
def rolling_upgrade_and_back(case: Case) -> None:
    """Two members go over to the new protocol one after the other, and back: the group goes on all the time,
    and is one of the new protocol as long as one of them speaks it."""
    name, group = topic(case, "t", 4), case.name("group")
    send(producer(case), name, values("x"))
    classic_only = ("session.timeout.ms", "heartbeat.interval.ms")
    new: Config = {"group.protocol": "consumer", **dict.fromkeys(classic_only)}
    old: Config = {"partition.assignment.strategy": "range"}

    def kind() -> list[str]:
        found = admin(case).list_consumer_groups().result(WAIT_S).valid
        return [each.type.name for each in found if each.group_id == group]

    first, second = Member(case, "first", [name], old), Member(case, "second", [name], old)
    case.saw("classic", settled((first, 2), (second, 2)), kind())
    place = TopicPartition(name, 0, 1)
    keeper = first if [case.shorten(name), 0] in first.owned else second
    case.saw("commit", commit(keeper.client, place))
    third = Member(case, "third", [name], new)
    case.saw("one came", until(lambda: len(third.owned) == 1, first, second, third), kind())
    first.client.close()
    case.saw("one went", settled((second, 2), (third, 2)), sorted(second.owned + third.owned))
    second.client.close()
    case.saw("all new", settled((third, 4)), kind())
    fourth = Member(case, "fourth", [name], old)
    case.saw("on the way back", settled((third, 2), (fourth, 2)), kind())
    keeper = third if [case.shorten(name), 0] in third.owned else fourth
    case.saw("commit", commit(keeper.client, TopicPartition(name, 0, 2)))
    third.client.close()
    case.saw("all classic", settled((fourth, 4)), kind())
    case.saw("committed", committed(fourth.client, TopicPartition(name, 0)))
    case.saw("errors", [each.errors for each in (first, second, third, fourth)])
    fourth.client.close()


@scenario("K55")
def next_generation_protocol(case: Case) -> None:
    """Assigned by the broker: two members share, one leaves, offsets are kept."""
    name = topic(case, "t", 4)
    send(producer(case), name, values("x"))
    classic_only = ("session.timeout.ms", "heartbeat.interval.ms")
    config = {"group.protocol": "consumer", **dict.fromkeys(classic_only)}
    first = Member(case, "first", [name], config)
    case.saw("alone", settled((first, 4)), first.owned)
    second = Member(case, "second", [name], config)
    case.saw("shared", settled((first, 2), (second, 2)), sorted(first.owned + second.owned))
    place = TopicPartition(name, 0, 1)
    keeper = first if [case.shorten(name), 0] in first.owned else second
    case.saw("commit", commit(keeper.client, place))
    second.client.close()
    case.saw("one is left", settled((first, 4)), first.owned)
    found = answer(admin(case).describe_consumer_groups([case.name("group")]))
    case.saw("described", found.state, found.type, found.partition_assignor)
    case.saw("committed", committed(first.client, TopicPartition(name, 0)))
    first.client.close()
