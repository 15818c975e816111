"""Delayed messages (R28): order, routing, memory, restarts; against a sorted list."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from broker_tools import Domain, demand_counts
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.queue import Queue
from pillarbox.broker.schedule import Schedule
from pillarbox.broker.schedule_header import DELAY_MAX_MS, delay_of
from pillarbox.broker.schedule_keys import CHUNK_KEYS
from pillarbox.broker.schedule_lane import PIECE_RUNS, ScheduleLane, cost_of
from pillarbox.broker.schedule_walk import PART_MESSAGES, See, Walk, by_due_time, by_place
from pillarbox.engine.base import Address, Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.publishing import ORIGIN, envelope_of, examine, headers_of

ADDRESS = Address(ORIGIN, "later", "q")


def properties_of(headers: dict[str, Any], *, persistent: bool = True) -> bytes:
    empty = wire.decode_properties(b"\0\0")
    return wire.encode_properties(empty._replace(headers=headers, delivery_mode=2 if persistent else 1))


def build(domain: Domain, *, durable: bool = True) -> Queue:
    """Declare an exchange that delays and a queue bound to it."""
    vhost = domain.vhost
    vhost.declare_exchange(
        "later", "x-delayed-message", durable=durable, arguments={"x-delayed-type": "direct"}
    )
    queue: Queue = vhost.declare_queue(None, "q", durable=True)
    vhost.bind(vhost.exchanges["later"], queue, "q", {})
    return queue


def schedule(domain: Domain) -> Schedule:
    found = domain.vhost.exchanges["later"].schedule
    assert found is not None
    return found  # type: ignore[no-any-return]


def send(domain: Domain, delays_ms: list[int], first: int = 0, *, persistent: bool = True) -> bool:
    """Publish numbered messages, those that go the same way together."""
    stored = False
    for position, delay_ms in enumerate(delays_ms):
        headers = {"x-delay": delay_ms} if delay_ms else {}
        properties = properties_of(headers, persistent=persistent)
        facts = examine(properties, "guest")
        assert facts.fault is None
        envelope = envelope_of(properties, facts)
        _, route = domain.session().route("later", ("q",), envelope)
        body = b"%d" % (first + position)
        one = Message(ADDRESS, properties, body, domain.now_ms, persistent=persistent)
        stored |= domain.publish(route.queues, [one], persistent=persistent)
    return stored


def arrived(queue: Queue) -> list[int]:
    """Take everything out of a queue."""
    numbers: list[int] = []
    while queue.ready_count:
        run = queue.take(100)
        assert run is not None
        assert run.messages is not None
        numbers += [int(message.body) for message in run.messages]
        run.lane.settle(run, run.sequences, run.body_bytes)
    return numbers


@pytest.mark.row("R28")
def test_delayed_messages_fire_by_due_time_then_by_arrival() -> None:
    """R28: not before, and never twice."""
    domain = Domain()
    queue = build(domain)
    assert send(domain, [30, 10, 20, 10, 0])
    domain.run()
    assert arrived(queue) == [4]
    domain.advance(9)
    domain.run()
    assert arrived(queue) == []
    domain.advance(1)
    domain.run()
    assert arrived(queue) == [1, 3]
    domain.advance(20)
    domain.run()
    assert arrived(queue) == [2, 0]
    assert schedule(domain).waiting_count == 0
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R28")
@pytest.mark.parametrize(
    ("value", "delay_ms"),
    [
        (0, 0),
        (-5, 0),
        (1, 1),
        (DELAY_MAX_MS, DELAY_MAX_MS),
        (DELAY_MAX_MS + 1, 0),
        ("250", 250),
        (2.9, 2),
        ("soon", 0),
        (True, 0),
        (None, 0),
        ([1], 0),
        (float("inf"), 0),
    ],
)
def test_delay_is_within_the_plugins_range(value: object, delay_ms: int) -> None:
    """R28: what is out of range or no number is no delay."""
    assert delay_of({"x-delay": value}) == delay_ms
    assert delay_of({}) == 0


@pytest.mark.row("R28")
def test_header_is_negated_and_the_message_is_not_delayed_again() -> None:
    """R28: so an exchange behind it that delays as well hands it on."""
    domain = Domain()
    queue = build(domain)
    vhost = domain.vhost
    again = vhost.declare_exchange("again", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    vhost.unbind(vhost.exchanges["later"], queue, "q", {})
    vhost.bind(vhost.exchanges["later"], again, "q", {})
    vhost.bind(again, queue, "", {})
    send(domain, [50])
    domain.advance(50)
    domain.run()
    run = queue.take(1)
    assert run is not None
    assert run.messages is not None
    assert headers_of(run.messages[0].properties) == {"x-delay": -50}


@pytest.mark.row("R28")
def test_transient_message_waits_in_memory_and_ends_with_the_process() -> None:
    domain = Domain()
    queue = build(domain)
    assert not send(domain, [10], persistent=False)
    domain.run()
    domain.advance(10)
    domain.run()
    assert arrived(queue) == [0]
    send(domain, [10], persistent=False)
    domain.run()
    domain.restart()
    domain.run()
    assert schedule(domain).waiting_count == 0


@pytest.mark.row("R28")
def test_deleted_exchange_takes_its_messages_along() -> None:
    domain = Domain()
    queue = build(domain)
    send(domain, [10, 20])
    domain.run()
    domain.vhost.delete_exchange("later")
    domain.run()
    domain.advance(100)
    domain.run()
    assert arrived(queue) == []
    assert domain.core.changes.resident_bytes == 0
    domain.restart()
    assert "later" not in domain.vhost.exchanges
    assert not [key for key in domain.core.definitions if key[0] == "schedule"]


@pytest.mark.row("R28")
def test_delayed_type_must_be_another_kind_that_exists() -> None:
    """R28: 406 otherwise, by the rules of that kind too."""
    vhost = Domain().vhost
    for arguments, text in (
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": 1}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": "x-none"}, "unknown exchange type 'x-none'"),
        ({"x-delayed-type": "x-delayed-message"}, "unknown exchange type 'x-delayed-message'"),
    ):
        with pytest.raises(BrokerError) as caught:
            vhost.declare_exchange("later", "x-delayed-message", arguments=arguments)
        assert caught.value.text == text
    assert "later" not in vhost.exchanges


@pytest.mark.row("R28")
def test_restart_reads_no_record_whose_due_times_the_checkpoint_has() -> None:
    """R28: only what came after it is read, and only what is due soon is brought back."""
    domain = Domain()
    build(domain)
    send(domain, [3_600_000 + delay for delay in range(500)])
    domain.run()
    domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    domain.restart()
    domain.tick()
    assert not domain.journal.loads
    send(domain, [3_600_000])
    domain.run()
    domain.restart()
    domain.tick()
    assert [len(requests) for _, requests in domain.journal.loads] == [1]
    domain.run()
    domain.advance(3_600_000)
    domain.run()
    assert sorted(arrived(domain.queue("q"))) == [0, 0]


@pytest.mark.row("R28")
def test_checkpoint_of_a_schedule_comes_in_pieces_between_which_messages_come_and_go() -> None:
    """R28: each of them small, however few neighbours wait in the end."""
    domain = Domain()
    build(domain)
    for first in range(0, 6000, 100):
        send(domain, [10 if number % 2 else 60_000 + number for number in range(100)], first)
        domain.run()
    domain.advance(10)
    domain.run()
    assert schedule(domain).waiting_count == 3000
    domain.journal.checkpoint(CoreSnapshot(domain.core))
    steps = 0
    while domain.journal.step_checkpoint():
        steps += 1
        if steps % 5 == 0:
            send(domain, [60_000, 0], 6000 + steps)
            domain.advance(1)
            domain.tick()
    states = domain.journal._base[2] if domain.journal._base else []
    pieces = [state for state in states if state.uid == schedule(domain).queue.uid]
    assert max(len(state.runs) for state in pieces) < 2 * PIECE_RUNS + 100
    assert max(len(state.due or ()) for state in pieces) < 2 * CHUNK_KEYS
    assert len(pieces) > 10
    domain.run()
    waiting, arrived_before = schedule(domain).waiting_count, domain.queue("q").ready_count
    domain.restart()
    domain.run()
    assert schedule(domain).waiting_count == waiting > 3000
    domain.advance(60_100)
    domain.run()
    assert schedule(domain).waiting_count == 0
    numbers = arrived(domain.queue("q"))
    assert len(numbers) == len(set(numbers)) == waiting + arrived_before


@pytest.mark.row("R28")
def test_checkpoint_without_due_times_is_read_as_before() -> None:
    """R28: folders that were written before due times were kept: every record is read once."""
    domain = Domain()
    build(domain)
    send(domain, [20, 10])
    domain.run()
    domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    assert domain.journal._base is not None
    for state in domain.journal._base[2]:
        state.due = None
    domain.restart()
    domain.advance(20)
    domain.run()
    assert arrived(domain.queue("q")) == [1, 0]


@pytest.mark.row("R28")
def test_firing_from_disk_keeps_the_memory_budget() -> None:
    """R28: of all that is due at once, a part is in memory at any moment."""
    domain = Domain(memory_budget=400_000)
    queue = build(domain)
    for _ in range(40):
        send(domain, [10_000] * 100)
        domain.run()
    domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    domain.restart()
    queue = domain.queue("q")
    domain.advance(60_000)
    lane = schedule(domain).lane
    while schedule(domain).waiting_count:
        domain.tick()
        domain.journal.answer_load()
        domain.journal.sync()
        assert sum(map(cost_of, lane._held.values())) <= domain.memory_budget // 2
    domain.run()
    assert queue.ready_count == 4000


@pytest.mark.row("R28")
def test_delay_counts_from_when_the_message_was_read() -> None:
    """R28: never before its time, however long the turn has lasted in which it came."""
    domain = Domain()
    queue = build(domain)
    domain.core.arrived_ms = lambda: domain.now_ms + 13
    send(domain, [100])
    domain.core.arrived_ms = lambda: domain.now_ms
    domain.run()
    domain.advance(112)
    domain.run()
    assert arrived(queue) == []
    domain.restart()
    domain.run()
    assert arrived(domain.queue("q")) == []
    domain.advance(1)
    domain.run()
    assert arrived(domain.queue("q")) == [0]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.lists(st.integers(0, 60), min_size=1, max_size=6)),
        st.tuples(st.just("advance"), st.integers(1, 40)),
        st.tuples(st.just("drop"), st.integers(0, 40)),
        st.tuples(st.just("drop one"), st.integers(0, 40)),
        st.tuples(st.just("browse"), st.integers(0, 40)),
        st.tuples(st.sampled_from(("run", "restart", "checkpoint")), st.none()),
    ),
    max_size=30,
)


@pytest.mark.row("R28", "A35")
@settings(max_examples=250, deadline=None)
@given(steps=STEPS, budget=st.sampled_from((0, 500, 1 << 30)))
def test_schedule_equals_a_sorted_list(steps: list[tuple[str, Any]], budget: int) -> None:
    """R28: whatever rests on disk, and through restarts, everything fires once, when due and in order."""
    domain = Domain(memory_budget=budget)
    queue = build(domain)
    waiting: list[tuple[int, int]] = []
    sent = 0
    for action, value in steps:
        if action == "send":
            send(domain, [delay + 1 for delay in value], sent)
            waiting += [(domain.now_ms + delay + 1, sent + place) for place, delay in enumerate(value)]
            sent += len(value)
        elif action == "advance":
            domain.advance(value)
        elif action == "run":
            pass
        elif action == "drop":
            first_ms, last_ms = domain.now_ms + value, domain.now_ms + value + 10
            walk(domain, lambda lane, number, _: lane.drop(number), first_ms, last_ms)
            waiting = [one for one in waiting if not first_ms <= one[0] <= last_ms]
        elif action == "drop one":
            walk(domain, partial(drop_one, b"%d" % value))
            waiting = [one for one in waiting if one[1] != value]
        elif action == "browse":
            first_ms, last_ms = domain.now_ms + value, domain.now_ms + value + 10
            seen: list[int] = []
            walk(domain, partial(look_at, seen), first_ms, last_ms)
            assert seen == [number for due_ms, number in sorted(waiting) if first_ms <= due_ms <= last_ms]
        else:
            domain.run()
            take(domain, queue, waiting)
            if action == "checkpoint":
                domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
            if action == "restart":
                domain.restart()
                queue = domain.queue("q")
        domain.run()
        take(domain, queue, waiting)
    domain.advance(1000)
    domain.run()
    take(domain, queue, waiting)
    assert waiting == []
    assert schedule(domain).waiting_count == 0
    assert domain.core.changes.resident_bytes == 0


def drop_one(body: bytes, lane: ScheduleLane, sequence: int, found: Message | None) -> None:
    assert found is not None
    if found.body == body:
        lane.drop(sequence)


def look_at(seen: list[int], lane: ScheduleLane, sequence: int, found: Message | None) -> None:
    assert found is not None
    seen.append(int(found.body))


def walk(domain: Domain, see: See, first_ms: int | None = None, last_ms: int = 0) -> None:
    """Walk through all that waits, in due time if a stretch of that is given."""
    schedules, over = [schedule(domain)], []
    places = (
        partial(by_place, schedules)
        if first_ms is None
        else partial(by_due_time, schedules, first_ms, last_ms)
    )
    one = Walk(domain.core, schedules, places, see, reads=True, end=lambda: over.append(True))
    domain.core.schedules.walks.begin(one)
    domain.run()
    assert over


def take(domain: Domain, queue: Queue, waiting: list[tuple[int, int]]) -> None:
    """Everything that is due by now must be in the queue, in order."""
    due = sorted(one for one in waiting if one[0] <= domain.now_ms)
    waiting[:] = [one for one in waiting if one[0] > domain.now_ms]
    demand_counts(queue)
    got: list[int] = []
    while queue.ready_count:
        run = queue.take(100)
        if run is None:
            domain.run()
            continue
        assert run.messages is not None
        got += [int(message.body) for message in run.messages]
        run.lane.settle(run, run.sequences, run.body_bytes)
    assert got == [number for _, number in due]
    domain.run()
    assert schedule(domain).waiting_count == len(waiting)


@pytest.mark.row("A35")
def test_keys_of_what_was_dropped_do_not_wait_for_their_time() -> None:
    """A35: who schedules and removes for years does not fill the memory; the walk yields meanwhile."""
    domain = Domain(memory_budget=500)
    build(domain)
    send(domain, [50_000 + number for number in range(4 * CHUNK_KEYS)])
    domain.run()
    steps: list[int] = []

    def see(lane: ScheduleLane, sequence: int, found: object) -> None:
        steps.append(domain.woken)
        if sequence % 4:
            lane.drop(sequence)

    walk(domain, see, 0, 1 << 50)
    assert len(set(steps)) >= 4 * CHUNK_KEYS // PART_MESSAGES
    assert schedule(domain).waiting_count == CHUNK_KEYS
    assert len(schedule(domain).lane._keys) <= CHUNK_KEYS + 4
    domain.restart()
    domain.run()
    assert schedule(domain).waiting_count == CHUNK_KEYS


@pytest.mark.row("A35")
def test_walk_waits_for_the_one_before_and_one_that_was_stopped_tells_nobody() -> None:
    """A35: so many clients that look take no more memory than one."""
    domain = Domain(memory_budget=0)
    build(domain)
    send(domain, [50_000] * 3)
    domain.run()
    schedules, told = [schedule(domain)], []

    def begin(name: str) -> Walk:
        def see(lane: ScheduleLane, sequence: int, found: object) -> None:
            told.append((name, sequence))

        one = Walk(
            domain.core,
            schedules,
            partial(by_place, schedules),
            see,
            reads=True,
            end=lambda: told.append((name, -1)),
        )
        domain.core.schedules.walks.begin(one)
        return one

    begin("a")
    begin("b").stop()
    begin("c")
    domain.run()
    assert told == [(name, number) for name in "ac" for number in (0, 1, 2, -1)]


@pytest.mark.row("A35")
def test_walk_shows_what_leaves_the_memory_meanwhile() -> None:
    """A35: messages that came in the turn in which it began, and are more than one turn shows."""
    domain = Domain(memory_budget=0)
    build(domain)
    send(domain, [50_000] * (3 * PART_MESSAGES))
    seen: list[int] = []
    walk(domain, partial(look_at, seen))
    assert sorted(seen) == list(range(3 * PART_MESSAGES))
    seen.clear()
    walk(domain, partial(look_at, seen), 0, 1 << 50)
    assert seen == list(range(3 * PART_MESSAGES))
