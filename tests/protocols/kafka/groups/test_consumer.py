"""Consumer groups of the new protocol: steps to a target, epochs, instances, timeouts (row K55)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.assignors import NO_PARTS, Parts
from pillarbox.protocols.kafka.groups.consumer import (
    LEAVES,
    LEAVES_FOR_A_WHILE,
    Beat,
    ConsumerGroup,
    ConsumerMember,
    MemberState,
    Told,
    Topic,
)
from pillarbox.protocols.kafka.groups.records import Committed, ConsumerMemberRecord
from tests.protocols.kafka.groups.hall import Hall

pytestmark = pytest.mark.row("K55")

SESSION_MS = 45_000
ROUND_MS = 20_000
E = ErrorCode


class ConsumerHall(Hall):
    """A host with topics; what it is given to keep it keeps."""

    def __init__(self, size_max: int = 100, **topics: int) -> None:
        super().__init__()
        self.consumer_group_size_max = size_max
        self.topics = {name: Topic(name.encode().ljust(16), count) for name, count in topics.items()}
        self.members: dict[str, ConsumerMemberRecord] = {}
        self.epoch = 0

    def topic(self, name: str) -> Topic | None:
        return self.topics.get(name)

    def session_timeout_ms(self, group: str) -> int:
        return SESSION_MS

    def heartbeat_ms(self, group: str) -> int:
        return 5_000

    def topic_names(self) -> Iterable[str]:
        return self.topics

    def keep_member(self, group: ConsumerGroup, member_id: str, member: ConsumerMember | None) -> None:
        if member is None:
            self.members.pop(member_id, None)
        else:
            self.members[member_id] = member.record()

    def keep_consumers(self, group: ConsumerGroup) -> None:
        self.epoch = group.epoch

    def grow(self, name: str, count: int) -> None:
        self.topics[name] = Topic(name.encode().ljust(16), count)

    def restarted(self, name: str = "g") -> ConsumerGroup:
        self.forget_alarms()
        group = ConsumerGroup(name, self, self.epoch)
        for record in self.members.values():
            group.restore(record)
        return group


def beat(member_id: str, epoch: int = 0, **said: Any) -> Beat:
    """A heartbeat; with epoch 0 one that joins for topic t."""
    joins: dict[str, Any] = {
        "rebalance_timeout_ms": ROUND_MS,
        "names": ("t",),
        "owned": NO_PARTS,
    }
    usual: dict[str, Any] = {
        "instance_id": None,
        "rack_id": None,
        "rebalance_timeout_ms": -1,
        "names": None,
        "pattern": None,
        "assignor": None,
        "owned": None,
        "client_id": "c",
        "client_host": "/127.0.0.1",
        "may_read": lambda name: True,
    }
    return Beat(member_id, epoch, **{**usual, **(joins if epoch == 0 else {}), **said})


def parts(topic: str, *numbers: int) -> Parts:
    return frozenset((topic.encode().ljust(16), number) for number in numbers)


class Client:
    """A consumer: it beats, gives up what it has to, says what it has when that has changed, and everything
    when an answer was lost."""

    def __init__(self, group: ConsumerGroup, name: str, instance_id: str | None = None) -> None:
        self.group = group
        self.name = name
        self.instance_id = instance_id
        self.epoch = 0
        self.owned = NO_PARTS
        self.says = self.missed = False
        self.names: tuple[str, ...] = ("t",)
        self.alive = True
        self.last: Told | None = None

    def beat(self, *, lost: bool = False, **said: Any) -> Told:
        """`lost`: it does not hear the answer."""
        self.names = said.get("names", self.names)
        if self.says:
            said = {"owned": self.owned, **said}
        if self.missed or self.epoch == 0:
            said = {"names": self.names, "rebalance_timeout_ms": ROUND_MS, "owned": self.owned, **said}
        told = self.group.heartbeat(beat(self.name, self.epoch, instance_id=self.instance_id, **said))
        self.missed = lost
        if lost:
            return told
        self.last = told
        self.says = False
        if told.error:
            self.epoch, self.owned = 0, NO_PARTS
            return told
        self.epoch = told.epoch
        if told.assignment is not None and told.assignment != self.owned:
            self.owned, self.says = told.assignment, True
        return told

    def leave(self, epoch: int = LEAVES) -> Told:
        self.alive = False
        return self.group.heartbeat(beat(self.name, epoch, instance_id=self.instance_id))


def settled(*clients: Client) -> None:
    for _ in range(6):
        for client in clients:
            client.beat()
    assert clients[0].group.state_name == "Stable", clients[0].group


def test_consumer_that_is_alone_has_everything_at_once() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=3))
    assert group.state_name == "Empty"
    told = group.heartbeat(beat("a"))
    assert told == Told(E.NONE, None, "a", 1, parts("t", 0, 1, 2))
    assert (group.state_name, group.epoch, group.assignment_epoch) == ("Stable", 1, 1)


def test_consumer_gets_what_others_have_given_up_and_not_before() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    first, second = Client(group, "a"), Client(group, "b")
    first.beat()
    assert second.beat().assignment == NO_PARTS
    assert group.members["b"].state is MemberState.UNRELEASED
    assert (first.beat().epoch, len(first.owned)) == (1, 1)
    assert group.members["a"].state is MemberState.UNREVOKED
    assert second.beat().assignment is None
    assert group.state_name == "Reconciling"
    assert first.beat().epoch == 2
    told = second.beat()
    assert (told.epoch, first.owned | second.owned) == (2, parts("t", 0, 1))
    assert group.state_name == "Stable"


def test_consumer_that_has_not_said_that_it_gave_up_keeps_its_epoch() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    first, second = Client(group, "a"), Client(group, "b")
    first.beat()
    second.beat()
    first.beat()
    first.says = False
    for _ in range(3):
        assert first.beat().epoch == 1
        assert first.beat(owned=parts("t", 0, 1)).epoch == 1
    assert first.beat(owned=first.owned).epoch == 2


def test_consumer_that_leaves_gives_all_to_the_others_at_their_next_heartbeats() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=4))
    first, second = Client(group, "a"), Client(group, "b")
    settled(first, second)
    assert second.leave() == Told(E.NONE, None, "b", LEAVES)
    assert group.state_name == "Assigning"
    assert first.beat().assignment == parts("t", 0, 1, 2, 3)
    first.leave()
    assert (group.state_name, group.is_empty) == ("Empty", True)


def test_consumer_assignor_is_the_one_that_most_ask_for() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=4))
    group.heartbeat(beat("a", assignor="range"))
    assert group.assignor == "range"
    group.heartbeat(beat("b"))
    assert group.assignor == "range"
    for name in "cd":
        group.heartbeat(beat(name, assignor="uniform"))
    assert group.assignor == "uniform"


# --- epochs ---------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[Callable[[ConsumerGroup], Told], ErrorCode]] = {
    "nobody knows it": (lambda g: g.heartbeat(beat("x", 1)), E.UNKNOWN_MEMBER_ID),
    "nobody knows it who leaves": (lambda g: g.heartbeat(beat("x", LEAVES)), E.UNKNOWN_MEMBER_ID),
    "its epoch has not come": (lambda g: g.heartbeat(beat("a", 99)), E.FENCED_MEMBER_EPOCH),
    "its epoch is over": (lambda g: g.heartbeat(beat("a", 1)), E.FENCED_MEMBER_EPOCH),
    "its epoch is over, and it has what is not its own": (
        lambda g: g.heartbeat(beat("a", 1, owned=parts("t", 0, 1, 2, 3))),
        E.FENCED_MEMBER_EPOCH,
    ),
    "its instance is with another": (
        lambda g: g.heartbeat(beat("a", 2, instance_id="i")),
        E.FENCED_INSTANCE_ID,
    ),
    "its instance is with another when it leaves": (
        lambda g: g.heartbeat(beat("a", LEAVES_FOR_A_WHILE, instance_id="i")),
        E.FENCED_INSTANCE_ID,
    ),
    "nobody knows its instance": (
        lambda g: g.heartbeat(beat("a", 2, instance_id="j")),
        E.UNKNOWN_MEMBER_ID,
    ),
    "its instance is still there": (
        lambda g: g.heartbeat(beat("c", instance_id="i")),
        E.UNRELEASED_INSTANCE_ID,
    ),
    "the group is full": (lambda g: g.heartbeat(beat("d")), E.GROUP_MAX_SIZE_REACHED),
}


@pytest.mark.row("K75")
@pytest.mark.parametrize("why", REFUSALS)
def test_consumer_is_refused_and_nothing_changes(why: str) -> None:
    group = ConsumerGroup("g", ConsumerHall(2, t=4))
    settled(Client(group, "a"), Client(group, "b", "i"))
    before = (group.epoch, {name: one.record() for name, one in group.members.items()})
    ask, error = REFUSALS[why]
    told = ask(group)
    assert (told.error, told.assignment) == (error, None)
    assert told.message
    assert (group.epoch, {name: one.record() for name, one in group.members.items()}) == before


def test_consumer_that_has_not_heard_its_new_epoch_may_say_the_last_one() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    first = Client(group, "a")
    first.beat()
    group.heartbeat(beat("b"))
    group.heartbeat(beat("b", LEAVES))
    first.beat(lost=True)
    assert group.members["a"].epoch == 3
    told = first.beat(owned=first.owned)
    assert (told.error, told.epoch) == (E.NONE, 3)


def test_consumer_may_join_again_as_if_it_were_new() -> None:
    """After it has been fenced, or has not heard the answer to its first heartbeat."""
    group = ConsumerGroup("g", ConsumerHall(t=2))
    group.heartbeat(beat("a"))
    assert group.heartbeat(beat("a")) == Told(E.NONE, None, "a", 1, parts("t", 0, 1))


def test_consumer_that_says_everything_is_told_everything() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    group.heartbeat(beat("a"))
    assert group.heartbeat(beat("a", 1)).assignment is None
    whole = beat("a", 1, names=("t",), owned=NO_PARTS, rebalance_timeout_ms=ROUND_MS)
    assert group.heartbeat(whole).assignment == parts("t", 0, 1)


# --- topics ---------------------------------------------------------------------------------------------


def test_consumer_gets_partitions_that_a_topic_grows_and_loses_a_topic_that_is_gone() -> None:
    hall = ConsumerHall(t=1, u=1)
    group = ConsumerGroup("g", hall)
    client = Client(group, "a")
    client.beat(names=("t", "u", "later"))
    hall.grow("t", 3)
    assert client.beat().assignment == parts("t", 0, 1, 2) | parts("u", 0)
    hall.grow("later", 1)
    assert client.beat().assignment == parts("t", 0, 1, 2) | parts("u", 0) | parts("later", 0)
    del hall.topics["u"]
    settled(client)
    assert client.owned == parts("t", 0, 1, 2) | parts("later", 0)


def test_consumer_that_wants_other_topics_gets_them() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=1, u=2))
    client = Client(group, "a")
    client.beat()
    client.beat(names=("u",))
    settled(client)
    assert client.owned == parts("u", 0, 1)


def test_consumer_pattern_finds_topics_that_come_and_that_it_may_read() -> None:
    hall = ConsumerHall(orders=1, secret_orders=1, other=1)
    group = ConsumerGroup("g", hall)
    client = Client(group, "a")
    said = {"names": (), "pattern": re.compile(".*orders.*"), "may_read": lambda name: "secret" not in name}
    client.beat(**said)
    assert client.owned == parts("orders", 0)
    hall.grow("new_orders", 1)
    hall.advance(5_000)
    client.beat(may_read=said["may_read"])
    assert client.owned == parts("orders", 0) | parts("new_orders", 0)
    client.beat(pattern=re.compile(""), names=("other",))
    settled(client)
    assert client.owned == parts("other", 0)


# --- instances ------------------------------------------------------------------------------------------


def test_consumer_instance_that_goes_for_a_while_finds_its_part_when_it_comes_back() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=4))
    first, second = Client(group, "a"), Client(group, "b", "i")
    settled(first, second)
    epoch, owned = group.epoch, second.owned
    assert second.leave(LEAVES_FOR_A_WHILE).epoch == LEAVES_FOR_A_WHILE
    assert first.beat().assignment is None
    back = Client(group, "c", "i").beat()
    assert (back.error, back.epoch, back.assignment) == (E.NONE, epoch, owned)
    assert group.heartbeat(beat("b", epoch, instance_id="i")).error is E.FENCED_INSTANCE_ID


def test_consumer_instance_that_does_not_come_back_in_a_sessions_time_is_out() -> None:
    hall = ConsumerHall(t=4)
    group = ConsumerGroup("g", hall)
    first, second = Client(group, "a"), Client(group, "b", "i")
    settled(first, second)
    second.leave(LEAVES_FOR_A_WHILE)
    for _ in range(SESSION_MS // 5_000):
        hall.advance(5_000)
        first.beat()
    settled(first)
    assert len(first.owned) == 4


# --- time -----------------------------------------------------------------------------------------------


def test_consumer_that_is_silent_is_out() -> None:
    hall = ConsumerHall(t=1)
    group = ConsumerGroup("g", hall)
    group.heartbeat(beat("a"))
    hall.advance(SESSION_MS - 1)
    group.heartbeat(beat("a", 1))
    hall.advance(SESSION_MS - 1)
    assert not group.is_empty
    hall.advance(1)
    assert group.is_empty
    assert group.heartbeat(beat("a", 1)).error is E.UNKNOWN_MEMBER_ID


def test_consumer_that_does_not_give_up_in_time_is_out() -> None:
    hall = ConsumerHall(t=2)
    group = ConsumerGroup("g", hall)
    stubborn, other = Client(group, "a"), Client(group, "b")
    stubborn.beat()
    other.beat()
    for _ in range(ROUND_MS // 5_000):
        group.heartbeat(beat("a", 1))
        other.beat()
        hall.advance(5_000)
    settled(other)
    assert (list(group.members), len(other.owned)) == (["b"], 2)


# --- offsets --------------------------------------------------------------------------------------------


@pytest.mark.row("K54")
def test_consumer_commits_and_reads_offsets_in_its_own_epoch_alone() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    assert group.check_commit("", None, -1) is E.NONE
    group.heartbeat(beat("a"))
    assert group.check_commit("", None, -1) is E.UNKNOWN_MEMBER_ID
    assert group.check_commit("a", None, 1) is E.NONE
    assert group.check_commit("a", None, 2) is E.STALE_MEMBER_EPOCH
    assert group.check_fetch(None, -1) is E.NONE
    assert group.check_fetch("a", 1) is E.NONE
    assert group.check_fetch("a", 7) is E.STALE_MEMBER_EPOCH
    assert group.check_fetch("x", 1) is E.UNKNOWN_MEMBER_ID


@pytest.mark.row("K54")
def test_consumer_offsets_of_topics_that_nobody_wants_grow_old() -> None:
    group = ConsumerGroup("g", ConsumerHall(t=2))
    group.heartbeat(beat("a"))
    committed = Committed(1, -1, "", 123)
    assert group.ages_from_ms("t", committed) is None
    assert group.ages_from_ms("u", committed) == 123


# --- restarts -------------------------------------------------------------------------------------------


def test_consumer_keeps_what_it_has_through_a_restart() -> None:
    hall = ConsumerHall(t=5)
    group = ConsumerGroup("g", hall)
    clients = [Client(group, name) for name in "abc"]
    settled(*clients)
    owned = [client.owned for client in clients]
    group = hall.restarted()
    for client in clients:
        client.group = group
        assert client.beat().error is E.NONE
    settled(*clients)
    assert [client.owned for client in clients] == owned
    hall.advance(SESSION_MS)
    assert (group.is_empty, hall.members) == (True, {})


def test_consumers_who_are_in_stay_in_where_there_is_less_room_after_a_restart() -> None:
    hall = ConsumerHall(t=3)
    group = ConsumerGroup("g", hall)
    clients = [Client(group, name) for name in "abc"]
    settled(*clients)
    hall.consumer_group_size_max = 2
    group = hall.restarted()
    assert sorted(group.members) == ["a", "b", "c"]
    assert group.heartbeat(beat("d")).error is E.GROUP_MAX_SIZE_REACHED


# --- all of it ------------------------------------------------------------------------------------------


class Consumers(RuleBasedStateMachine):
    """Consumers come, go, die, lose answers, and topics grow; the broker restarts now and then."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.hall = ConsumerHall(t=3, u=2)
        self.group = ConsumerGroup("g", self.hall)
        self.all: list[Client] = []

    @rule(
        target=clients,
        names=strategies.sampled_from((("t",), ("u",), ("t", "u"))),
        assignor=strategies.sampled_from((None, "range", "uniform")),
    )
    def start(self, names: tuple[str, ...], assignor: str | None) -> Client:
        client = Client(self.group, f"c{len(self.all)}")
        self.all.append(client)
        client.beat(names=names, assignor=assignor)
        return client

    @rule(client=clients, lost=strategies.booleans())
    def beat(self, client: Client, lost: bool) -> None:
        if client.alive:
            client.beat(lost=lost)

    @rule(client=clients)
    def leave(self, client: Client) -> None:
        if client.alive:
            client.leave()

    @rule(client=clients)
    def die(self, client: Client) -> None:
        client.alive = False

    @rule(ms=strategies.integers(1_000, 60_000))
    def wait(self, ms: int) -> None:
        self.hall.advance(ms)

    @rule(name=strategies.sampled_from(("t", "u")))
    def grow(self, name: str) -> None:
        self.hall.grow(name, self.hall.topics[name].partition_count + 1)

    @rule()
    def restart(self) -> None:
        self.group = self.hall.restarted()
        for client in self.all:
            client.group = self.group

    @invariant()
    def no_partition_is_with_two(self) -> None:
        group = self.group
        held = [part for one in group.members.values() for part in one.assigned | one.revoking]
        assert len(held) == len(set(held))
        for member in group.members.values():
            assert member.epoch <= group.assignment_epoch <= group.epoch
            assert not member.assigned & member.revoking
        known = [one for one in self.all if one.alive and one.epoch and one.name in group.members]
        owned = [part for one in known for part in one.owned]
        assert len(owned) == len(set(owned))

    @invariant()
    def everything_is_kept(self) -> None:
        records = {name: one.record() for name, one in self.group.members.items()}
        assert records == self.hall.members

    def teardown(self) -> None:
        """In the end the living have everything that they want between them."""
        living = [client for client in self.all if client.alive]
        for _ in range(30):
            for client in living:
                client.beat()
            self.hall.advance(5_000)
        assert set(self.group.members) == {client.name for client in living}
        if living:
            assert self.group.state_name == "Stable"
        wanted = {name for one in self.group.members.values() for name in one.names}
        counts = {name: self.hall.topics[name].partition_count for name in wanted}
        due = {part for name, count in counts.items() for part in parts(name, *range(count))}
        assert {part for client in living for part in client.owned} == due


class TestConsumers(Consumers.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
