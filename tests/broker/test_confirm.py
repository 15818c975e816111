"""Confirms: none before its group is durable, none out of order, none forgotten. Row R61."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from broker_tools import Domain, Receiver, message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pillarbox.broker.confirm import Confirms, Publisher
from pillarbox.broker.fence import Fence
from pillarbox.broker.queue import Queue
from pillarbox.testing.memory_journal import MemoryJournal


class CheckingReceiver(Receiver):
    """Demands of every confirm, at the moment at which it comes, that it may come."""

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__()
        self.journal = journal
        self.group_of: dict[int, int | None] = {}
        """Number of a publish → how many groups must be durable (None: not known yet)."""
        self.last = 0

    def confirm(self, tag_first: int, tag_last: int) -> None:
        super().confirm(tag_first, tag_last)
        assert tag_first == self.last + 1, "confirms must follow one another"
        assert tag_last >= tag_first
        self.last = tag_last
        for number in range(tag_first, tag_last + 1):
            needed = self.group_of[number]
            assert needed is not None, "confirmed before its tick was over"
            assert needed <= self.journal.synced_count, "confirmed before it was durable"


@dataclass
class Channel:
    """One publisher of the model."""

    publisher: Publisher
    receiver: CheckingReceiver
    stored: set[int] = field(default_factory=set)
    """Publishes of this tick that the journal keeps."""
    count: int = 0
    ticked: int = 0
    """Publishes up to the last tick."""


class ConfirmMachine(RuleBasedStateMachine):
    """Several publishers, to durable and other queues, persistent or not; the disk is as slow as it likes."""

    @initialize(publishers=st.integers(1, 3))
    def begin(self, publishers: int) -> None:
        self.domain = Domain()
        self.durable: Queue = self.domain.vhost.declare_queue(None, "durable", durable=True)
        self.passing: Queue = self.domain.vhost.declare_queue(None, "passing")
        self.domain.tick()
        self.channels = []
        for _ in range(publishers):
            receiver = CheckingReceiver(self.domain.journal)
            self.channels.append(Channel(Publisher(receiver), receiver))

    @rule(
        data=st.data(),
        count=st.integers(1, 4),
        names=st.sampled_from([(), ("durable",), ("passing",), ("durable", "passing")]),
        persistent=st.booleans(),
    )
    def publish(self, data: st.DataObject, count: int, names: tuple[str, ...], persistent: bool) -> None:
        channel = data.draw(st.sampled_from(self.channels))
        queues = [self.domain.queue(name) for name in names]
        messages = [message(number, persistent=persistent) for number in range(count)]
        stored = self.domain.publish(queues, messages, persistent=persistent)
        assert stored == (persistent and "durable" in names)
        self.domain.core.confirms.accept(channel.publisher, count, stored)
        numbers = range(channel.count + 1, channel.count + count + 1)
        channel.count += count
        for number in numbers:
            channel.receiver.group_of[number] = None
        if stored:
            channel.stored.update(numbers)

    @rule()
    def tick(self) -> None:
        """The tick's facts become the next group; whatever is not stored needs none of its own."""
        following = len(self.domain.journal.groups) + 1
        at_once = []
        for channel in self.channels:
            for number, needed in channel.receiver.group_of.items():
                if needed is None:
                    channel.receiver.group_of[number] = following if number in channel.stored else 0
            if not channel.stored and channel.receiver.last == channel.ticked:
                at_once.append(channel)
            channel.stored.clear()
            channel.ticked = channel.count
        self.domain.tick()
        for channel in at_once:
            assert channel.receiver.last == channel.count, "nothing to wait for, and not confirmed"
        if self.domain.journal.synced_count == len(self.domain.journal.groups):
            self.nothing_is_owed()

    def nothing_is_owed(self) -> None:
        for channel in self.channels:
            assert channel.receiver.last == channel.ticked, "all is durable, and not confirmed"

    @rule(count=st.none() | st.integers(1, 2))
    def sync(self, count: int | None) -> None:
        self.domain.journal.sync(count)
        if self.domain.journal.synced_count == len(self.domain.journal.groups):
            self.nothing_is_owed()

    @invariant()
    def every_publisher_is_owed_what_was_not_confirmed(self) -> None:
        if hasattr(self, "domain"):
            for channel in self.channels:
                assert channel.receiver.confirmed == list(range(1, channel.receiver.last + 1))

    def teardown(self) -> None:
        if hasattr(self, "domain"):
            self.tick()
            self.domain.journal.sync()
            for channel in self.channels:
                assert channel.receiver.last == channel.count, "a confirm was forgotten"
            assert self.domain.core.confirms.waiting == 0


TestConfirms = ConfirmMachine.TestCase
TestConfirms.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestConfirms = pytest.mark.row("R61")(TestConfirms)


@pytest.mark.row("R61")
def test_transient_and_unroutable_messages_are_confirmed_when_the_tick_ends() -> None:
    domain = Domain()
    receiver = Receiver()
    publisher = Publisher(receiver)
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.tick()
    for queues, persistent in (([queue], False), ([], True)):
        stored = domain.publish(queues, [message(1, persistent=persistent)], persistent=persistent)
        domain.core.confirms.accept(publisher, 1, stored)
    assert receiver.confirms == []
    domain.tick()
    assert receiver.confirms == [(1, 2)]


@pytest.mark.row("R61")
def test_transient_message_does_not_overtake_a_stored_one() -> None:
    """Confirms of one channel come in order; those of another channel do not wait for them."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.tick()
    first, second = Receiver(), Receiver()
    publishers = Publisher(first), Publisher(second)
    confirms = domain.core.confirms
    confirms.accept(publishers[0], 1, domain.publish([queue], [message(1)]))
    domain.tick()
    for publisher in publishers:
        confirms.accept(publisher, 1, domain.publish([queue], [message(2)], persistent=False))
    domain.tick()
    assert (first.confirms, second.confirms) == ([], [(1, 1)])
    domain.journal.sync()
    assert first.confirmed == [1, 2]


@pytest.mark.row("R61")
def test_who_waits_for_a_confirm_when_storage_fails_is_told_and_no_one_else() -> None:
    """Whether its group is on the way or not even appended yet; a transient message is confirmed as ever."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.tick()
    receivers = [Receiver() for _ in range(3)]
    publishers = [Publisher(receiver) for receiver in receivers]
    confirms = domain.core.confirms
    confirms.accept(publishers[0], 1, domain.publish([queue], [message(1)]))
    domain.tick()
    confirms.accept(publishers[1], 1, domain.publish([queue], [message(2)]))
    confirms.accept(publishers[2], 1, domain.publish([queue], [message(3)], persistent=False))
    domain.journal.fail("no space left")
    domain.tick()
    told = ["INTERNAL_ERROR: no space left"]
    assert [receiver.disconnected for receiver in receivers] == [told, told, []]
    assert [receiver.confirms for receiver in receivers] == [[], [], [(1, 1)]]


@pytest.mark.row("R61")
def test_confirm_waits_for_the_disk_also_when_the_message_was_consumed_meanwhile() -> None:
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q", durable=True)
    domain.consume(session, "q", Receiver(), no_ack=True)
    receiver = Receiver()
    publisher = Publisher(receiver)
    domain.core.confirms.accept(publisher, 1, domain.publish([queue], [message(1)]))
    domain.tick()
    assert queue.ready_count == 0
    assert receiver.confirms == []
    domain.journal.sync()
    assert receiver.confirms == [(1, 1)]


def test_engine_may_answer_while_it_takes_the_group() -> None:
    """A quick disk syncs within `append`: what belongs to the group is confirmed then, and only once."""

    class Eager(MemoryJournal):
        def append(self, group: object) -> None:
            super().append(group)  # type: ignore[arg-type]
            self.sync()

    domain = Domain(Eager())
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    receiver = Receiver()
    publisher = Publisher(receiver)
    for number in range(3):
        domain.core.confirms.accept(publisher, 1, domain.publish([queue], [message(number)]))
        domain.tick()
        assert receiver.confirmed == list(range(1, number + 2))


def test_group_says_when_those_who_wait_for_it_are_all_that_a_tick_had_to_do() -> None:
    """Only then may an engine hold everybody else up for a moment."""
    domain = Domain()
    session = domain.session()
    stored = session.declare_queue("stored", durable=True)
    passing = session.declare_queue("passing")
    domain.tick()
    publishers = [Publisher(Receiver()) for _ in range(2)]

    def publish(queue: Queue, *who: Publisher, count: int = 1) -> None:
        messages = [message(number) for number in range(count)]
        kept = domain.publish([queue], messages)
        for publisher in who:
            domain.core.confirms.accept(publisher, count, kept)

    def is_lone() -> bool:
        domain.tick()
        return domain.journal.groups[-1].lone

    publish(stored)
    assert not is_lone(), "nobody waits"
    publish(stored, *publishers, count=10)
    assert is_lone()
    domain.consume(session, "stored", Receiver())
    domain.tick()
    publish(stored, publishers[0])
    assert is_lone(), "its consumer got it"
    domain.consume(session, "passing", Receiver())
    publish(passing)
    publish(stored, publishers[0])
    assert not is_lone(), "others were given something, too"
    publish(stored, publishers[0])
    domain.core.flush()
    assert not domain.journal.groups[-1].lone, "in the middle of a tick"


def test_confirms_of_one_sync_are_ranges_in_order_of_ticks() -> None:
    confirms, receiver = Confirms(Fence()), Receiver()
    publisher = Publisher(receiver)
    for ticket, count in ((1, 3), (2, 2), (3, 4)):
        confirms.accept(publisher, count, True)
        confirms.seal(ticket)
    confirms.synced(2)
    assert receiver.confirms == [(1, 3), (4, 5)]
    confirms.synced(2)
    confirms.synced(3)
    assert receiver.confirms == [(1, 3), (4, 5), (6, 9)]


@pytest.mark.row("R61", "A4")
def test_answer_that_waits_for_a_group_is_given_also_if_that_is_durable_before_the_turn_ends() -> None:
    """What brings no fact itself waits for the last group, which may be synced before the tick comes."""
    domain = Domain()
    receiver = Receiver()
    publisher = Publisher(receiver)
    domain.vhost.declare_queue(None, "durable", durable=True)
    domain.tick()
    core = domain.core
    assert core.synced_ticket < core.journal_ticket
    core.confirms.accept(publisher, 1, stored=True)
    domain.journal.sync()
    domain.tick()
    assert receiver.confirms == [(1, 1)]


@pytest.mark.row("R61")
def test_answer_is_not_given_when_storage_has_failed() -> None:
    domain = Domain()
    receiver = Receiver()
    publisher = Publisher(receiver)
    domain.vhost.declare_queue(None, "durable", durable=True)
    domain.tick()
    domain.journal.sync()
    domain.core.failed("the disk is gone")
    domain.core.confirms.accept(publisher, 1, stored=True)
    domain.tick()
    assert receiver.confirms == []
