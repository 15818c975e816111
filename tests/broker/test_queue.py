"""A queue against an obvious model: a dict from sequence to message, and what may come next.

Rows R44, R66, R67; DESIGN: "the queue is a range of sequences". The model knows nothing of runs, heaps or
cold bodies: whatever the queue does with these, messages come in order, once, with the right flag.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from broker_tools import Domain, Receiver, bodies, demand_counts, message, resident_bytes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.engine.base import NO_EXPIRATION

TTLS = st.sampled_from([NO_EXPIRATION, 5, 0])


@dataclass(frozen=True)
class Kept:
    """One message of the model."""

    body: bytes
    durable: bool
    due_ms: int | None
    redelivered: bool = False
    out: bool = False


@dataclass(frozen=True)
class Lasting:
    """What a restart after some group must bring back."""

    messages: dict[int, Kept]
    delivered_through: int
    sequence_next: int


class QueueMachine(RuleBasedStateMachine):
    """One durable queue of a core without consumers; ticks happen only when a rule says so."""

    @initialize(
        ttl_ms=st.sampled_from([None, None, 0, 5]),
        budget=st.sampled_from([0, 600, 1 << 30]),
        checkpoints=st.booleans(),
    )
    def begin(self, ttl_ms: int | None, budget: int, checkpoints: bool) -> None:
        self.domain = Domain(memory_budget=budget)
        arguments = {} if ttl_ms is None else {"x-message-ttl": ttl_ms}
        self.domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
        self.domain.tick()
        self.domain.journal.sync()
        self.ttl_ms = ttl_ms
        self.checkpoints = checkpoints
        self.ledger = Ledger()
        self.messages: dict[int, Kept] = {}
        self.tags: dict[int, int] = {}
        """Delivery tag → sequence."""
        self.delivered_through = -1
        self.lasting_next = 0
        self.count = 0
        self.history = [self._lasting()] * len(self.domain.journal.groups)

    @property
    def queue(self) -> Queue:
        return self.domain.queue("q")

    def _lasting(self) -> Lasting:
        kept = {sequence: replace(one, out=False) for sequence, one in self.messages.items() if one.durable}
        return Lasting(kept, self.delivered_through, self.lasting_next)

    def _note_groups(self) -> None:
        """Every group that was appended since shows the model as it is now."""
        missing = len(self.domain.journal.groups) - len(self.history)
        self.history += [self._lasting()] * missing

    # --- in ----------------------------------------------------------------------------------------------

    @rule(
        runs=st.integers(1, 4),
        ttls=st.lists(TTLS, min_size=1, max_size=5),
        size=st.integers(0, 200),
        persistent=st.booleans(),
    )
    def publish(self, runs: int, ttls: list[int], size: int, persistent: bool) -> None:
        for _ in range(runs):
            self._publish(ttls, size, persistent)

    @rule(data=st.data(), persistent=st.booleans(), stripes=st.integers(1, 3))
    def publish_and_take(self, data: st.DataObject, persistent: bool, stripes: int) -> None:
        self._publish(data.draw(st.lists(TTLS, min_size=2, max_size=5)), 1, persistent)
        self.take(len(self._waiting()), True, stripes)

    def _publish(self, ttls: list[int], size: int, persistent: bool) -> None:
        first = self.queue.lanes[-1].sequence_next
        assert first >= self.lasting_next
        assert all(sequence < first for sequence in self.messages), "a sequence is used again"
        messages = []
        for at, ttl_ms in enumerate(ttls):
            self.count += 1
            body = str(self.count).encode().ljust(size, b".")
            messages.append(message(body, ttl_ms=ttl_ms, persistent=persistent, now_ms=self.domain.now_ms))
            lives = [limit for limit in (ttl_ms, self.ttl_ms) if limit is not None and limit != NO_EXPIRATION]
            due_ms = self.domain.now_ms + min(lives) if lives else None
            self.messages[first + at] = Kept(body, persistent, due_ms)
        stored = self.domain.publish([self.queue], messages, persistent=persistent)
        assert stored is persistent
        if persistent:
            self.lasting_next = first + len(messages)

    @rule()
    def tick(self) -> None:
        before = self._waiting()
        self.domain.tick()
        # A tick looks at the queue only if something has happened to it; then the rule of expiry holds.
        self._expire(before, looked=False)
        self._note_groups()

    # --- out ---------------------------------------------------------------------------------------------

    def _waiting(self) -> list[int]:
        return [sequence for sequence, one in sorted(self.messages.items()) if not one.out]

    def _may_go(self, sequence: int) -> bool:
        due_ms = self.messages[sequence].due_ms
        return due_ms is not None and due_ms <= self.domain.now_ms

    def _must_go(self, sequence: int) -> bool:
        """A millisecond later, because one with no time to live at all may be taken when it comes."""
        due_ms = self.messages[sequence].due_ms
        return due_ms is not None and due_ms < self.domain.now_ms

    def _expire(self, before: list[int], *, looked: bool = True) -> None:
        """Whatever is missing now stood at the head, one behind the other, and its time was over (R44)."""
        present = {sequence for run in self.queue.ready_runs() for sequence in run.sequences}
        gone = [sequence for sequence in before if sequence not in present]
        assert gone == before[: len(gone)], "something behind a living message expired"
        assert all(self._may_go(sequence) for sequence in gone), "a message expired too early"
        for sequence in gone:
            del self.messages[sequence]
        head = next(iter(self._waiting()), None)
        if looked and head is not None and self._is_hot(head):
            assert not self._must_go(head), "the head is over its time"
            due_ms = self.messages[head].due_ms
            if due_ms is not None:
                armed = self.queue._timer_ms
                assert armed is not None, "nobody will look when the head's time is over"
                assert armed <= due_ms + 1

    def _is_hot(self, sequence: int) -> bool:
        return any(run.messages is not None for run in self.queue.ready_runs() if sequence in run.sequences)

    @rule(count=st.integers(1, 7), answers=st.booleans(), stripes=st.integers(1, 3))
    def take(self, count: int, answers: bool, stripes: int = 1) -> None:
        """What is handed out is the beginning of what waits, in order, with one flag.

        It is dealt out in stripes, as dispatch does among several consumers.
        """
        queue = self.queue
        before = self._waiting()
        run = queue.take(count)
        if run is None:
            self._expire(before)
            waiting = self._waiting()
            assert not waiting or not self._is_hot(waiting[0]), "there was something to take"
            if waiting:
                wanted = {id(cold) for cold in self.domain.core.changes.cold} | {
                    id(cold) for loads in self.domain.core._loads.values() for cold in loads
                }
                head = next(run for run in queue.ready_runs() if waiting[0] in run.sequences)
                assert id(head) in wanted, "nobody asked for the cold message at the head"
            return
        taken = list(run.sequences)
        present = {sequence for run in queue.ready_runs() for sequence in run.sequences}
        for sequence in [one for one in before if one not in present and one not in taken]:
            assert self._may_go(sequence), "a message was lost"
            assert sequence < taken[0], "something behind a living message expired"
            del self.messages[sequence]
        assert taken == self._waiting()[: len(taken)], "not the oldest, or out of order"
        assert 1 <= len(taken) <= count
        assert bodies(run) == [self.messages[sequence].body for sequence in taken]
        assert {run.redelivered} == {self.messages[sequence].redelivered for sequence in taken}
        assert not any(map(self._must_go, taken)), "a message was handed out after its time"
        queue.wake()  # As `Session.get` does; dispatch looks at the queue anyway.
        if not answers:
            run.lane.settle_unanswered(run)
            for sequence in taken:
                del self.messages[sequence]
            return
        for start in range(min(stripes, len(taken))):
            part = run.cut(slice(start, None, stripes))
            tag = self.ledger.add(None, part)
            part.lane.delivered(part)
            self.tags.update(enumerate(part.sequences, tag))
        for sequence in taken:
            self.messages[sequence] = replace(self.messages[sequence], out=True)
            if self.messages[sequence].durable:
                self.delivered_through = max(self.delivered_through, sequence)

    @precondition(lambda self: self.tags)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)), most=st.integers(1, 6))
    def settle(self, data: st.DataObject, outcome: Outcome, most: int) -> None:
        for _ in range(min(most, len(self.tags))):
            tag = data.draw(st.sampled_from(sorted(self.tags)))
            self.ledger.settle(tag, False, outcome)
            self._settled(tag, outcome)

    @rule(outcome=st.sampled_from(list(Outcome)))
    def settle_all(self, outcome: Outcome) -> None:
        self.ledger.settle_all(outcome)
        for tag in list(self.tags):
            self._settled(tag, outcome)

    def _settled(self, tag: int, outcome: Outcome) -> None:
        sequence = self.tags.pop(tag)
        if outcome in GIVEN_BACK:
            self.messages[sequence] = replace(self.messages[sequence], out=False, redelivered=True)
        else:
            del self.messages[sequence]

    @rule(rarely=st.integers(0, 7), data=st.data())
    def empty_or_restart(self, rarely: int, data: st.DataObject) -> None:
        """What leaves little behind comes seldom, so that other rules meet a queue with something in it."""
        if rarely == 5:
            self.purge()
        elif rarely == 6:
            self.restart(data.draw(st.integers(self.domain.journal.synced_count, len(self.history))))
        elif rarely == 7:
            self.stop_and_start()

    def purge(self) -> None:
        waiting = self._waiting()
        assert self.queue.purge() == len(waiting)
        for sequence in waiting:
            del self.messages[sequence]

    # --- time, memory, disk ------------------------------------------------------------------------------

    @rule(duration_ms=st.sampled_from([1, 6]))
    def advance(self, duration_ms: int) -> None:
        """And let timers do their work: afterwards nothing at the head is over its time, if it is here."""
        self.domain.advance(duration_ms)
        before = self._waiting()
        self.domain.tick()
        self._expire(before)
        self._note_groups()

    @rule(budget=st.sampled_from([0, 300, 600]))
    def unload(self, budget: int) -> None:
        self.domain.tick()
        self._expire(sorted(one for one in self.messages if not self.messages[one].out), looked=False)
        self._note_groups()
        self.queue.unload(budget)

    @rule()
    def answer_load(self) -> None:
        self.domain.journal.answer_load()

    @rule()
    def sync(self) -> None:
        self.domain.journal.sync()

    @precondition(lambda self: self.checkpoints)
    @rule()
    def checkpoint(self) -> None:
        journal = self.domain.journal
        if not journal.step_checkpoint():
            journal.checkpoint(CoreSnapshot(self.domain.core))
        self._note_groups()

    def stop_and_start(self) -> None:
        """Everything was flushed: nothing settled comes back, nothing durable is missing."""
        self.domain.core.flush()
        self._note_groups()
        self.restart(len(self.domain.journal.groups))

    def restart(self, count: int) -> None:
        """After a crash that kept any number of groups, but at least those that were synced."""
        self.domain.restart(count)
        del self.history[count:]
        lasting = self.history[-1]
        self.ledger, self.tags = Ledger(), {}
        self.delivered_through = lasting.delivered_through
        self.lasting_next = lasting.sequence_next
        self.messages = {
            sequence: replace(one, redelivered=sequence <= lasting.delivered_through)
            for sequence, one in lasting.messages.items()
        }

    # --- always ------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        if not hasattr(self, "domain"):
            return
        queue = self.queue
        demand_counts(queue)
        waiting = self._waiting()
        assert sorted(one for run in queue.ready_runs() for one in run.sequences) == waiting
        assert queue.ready_count == len(waiting)
        out = {sequence for sequence, one in self.messages.items() if one.out}
        registered = [
            sequence
            for entry in queue.outstanding()
            for sequence in entry.run.sequences[entry.start : entry.stop]
        ]
        assert sorted(registered) == sorted(out)
        # Parts of what memory let go of have averages for sizes; bodies of a run differ by a byte at most.
        let_go = [entry.run for entry in queue.outstanding() if entry.run.messages is None]
        averaged = sum(len(run.sequences) for run in let_go)
        assert abs(queue.unacked_bytes - sum(len(self.messages[one].body) for one in out)) <= averaged
        assert self.domain.core.changes.resident_bytes == resident_bytes([queue])
        for run in queue.ready_runs():
            if run.messages is not None:
                assert bodies(run) == [self.messages[sequence].body for sequence in run.sequences]
            assert run.stored == self.messages[run.sequences[0]].durable
        states = [state for state in queue.lanes[-1].states() if state.uid == queue.uid]
        assert len(states) == 1
        assert states[0].sequence_next == queue.lanes[-1].sequence_next
        kept = [sequence for run in states[0].runs for sequence in run.sequences]
        assert sorted(kept) == sorted(sequence for sequence, one in self.messages.items() if one.durable)
        assert [run.sequences.start for run in states[0].runs] == sorted(
            run.sequences.start for run in states[0].runs
        )

    def teardown(self) -> None:
        """Whatever happened: everything that is here can be had, in order."""
        if not hasattr(self, "domain"):
            return
        for _ in range(1000):
            waiting = self._waiting()
            self.take(1000, False)
            self.domain.tick()
            self._expire(self._waiting(), looked=False)
            if not self.domain.journal.answer_load() and waiting == self._waiting():
                break
        assert self._waiting() == []


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestQueue = pytest.mark.row("R44", "R66")(TestQueue)


# --- examples ---------------------------------------------------------------------------------------------


@pytest.mark.row("R44", "R67")
def test_message_behind_the_one_that_was_fetched_expires_in_time() -> None:
    """R44: only the head is examined, so whoever takes the head has the next one looked at."""
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q")
    domain.publish([queue], [message(1), message(2, ttl_ms=50)])
    domain.tick()
    assert session.get("q", Ledger(), no_ack=True) is not None
    domain.tick()
    assert domain.core.scheduler.next_ms == domain.now_ms + 51
    domain.advance(51)
    domain.tick()
    assert queue.ready_count == 0


@pytest.mark.row("R44", "R67")
@pytest.mark.parametrize("later_ms", [0, 1])
def test_get_does_not_count_what_expired_behind_it(later_ms: int) -> None:
    """R67: as RabbitMQ, which looks at the new head before it answers."""
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q")
    domain.publish([queue], [message(1), message(2, ttl_ms=0), message(3, ttl_ms=0), message(4)])
    domain.advance(later_ms)
    assert session.get("q", Ledger(), no_ack=True) is not None
    assert queue.ready_count == 1


@pytest.mark.row("R44")
@pytest.mark.parametrize("restart", [False, True])
def test_expired_message_between_living_ones_of_its_batch_is_not_delivered(restart: bool) -> None:
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([queue], [message(1), message(2, ttl_ms=5), message(3), message(4, ttl_ms=5), message(5)])
    domain.tick()
    if restart:
        domain.restart()
    domain.advance(50)
    domain.tick()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.tick()
    domain.run()
    assert receiver.bodies == [b"1", b"3", b"5"]


@pytest.mark.row("R44")
def test_time_to_live_of_0_ends_with_its_tick_also_if_the_next_comes_in_the_same_millisecond() -> None:
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q")
    domain.publish([queue], [message(1), message(2, ttl_ms=0)])
    domain.tick()
    assert queue.ready_count == 2, "it waits behind one that lives"
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver, no_ack=True)
    domain.tick()
    assert receiver.bodies == [b"1"]
    domain.publish([queue], [message(3, ttl_ms=0)])
    domain.tick()
    assert receiver.bodies == [b"1", b"3"], "what has just come has its chance"


def test_messages_that_come_from_disk_after_a_purge_are_not_wanted() -> None:
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([queue], [message("x" * 100)])
    domain.tick()
    domain.restart()
    domain.tick()
    queue = domain.queue("q")
    assert domain.journal.loads, "the head is being loaded"
    assert queue.purge() == 1
    domain.journal.answer_load()
    demand_counts(queue)
    assert (queue.ready_count, queue.ready_bytes, domain.core.changes.resident_bytes) == (0, 0, 0)


@pytest.mark.row("R44")
def test_released_message_behind_a_living_one_does_not_expire_before_it() -> None:
    """Also when they come back from several consumers, as runs that interleave."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q")
    domain.publish([queue], [message(0, ttl_ms=5), message(1), message(2, ttl_ms=5)])
    run = queue.take(3)
    assert run is not None
    ledger = Ledger()
    for start in range(2):
        ledger.add(None, run.cut(slice(start, None, 2)))
    ledger.settle_all(Outcome.RELEASED)
    domain.advance(6)
    domain.tick()
    assert [sequence for run in queue.ready_runs() for sequence in run.sequences] == [1, 2]
