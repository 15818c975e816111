"""How many messages wait for each destination, whatever came and went before somebody asked (A84)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from broker_tools import Domain
from hypothesis import given, settings
from hypothesis import strategies as st
from test_schedule import build, properties_of, schedule

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.schedule_lane import Block
from pillarbox.broker.schedule_places import UNKNOWN
from pillarbox.broker.schedule_walk import Walk, by_place
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091.publishing import ORIGIN

pytestmark = pytest.mark.row("A84")
ADDRESSES = {key: Address(ORIGIN, "later", key) for key in "abc"}


def send(domain: Domain, keys: str, delay_ms: int, *, persistent: bool = True) -> None:
    properties = properties_of({"x-delay": delay_ms}, persistent=persistent)
    batch = [Message(ADDRESSES[key], properties, b"x", domain.now_ms, persistent=persistent) for key in keys]
    domain.publish((schedule(domain).queue,), batch, persistent=persistent)


def waiting(domain: Domain) -> dict[str, int]:
    """By reading everything."""
    found: dict[int, str] = {}
    over: list[bool] = []

    def see(lane: object, sequence: int, message: Message | None) -> None:
        assert message is not None
        found[sequence] = message.address.routing_key

    schedules = (schedule(domain),)
    one = Walk(
        domain.core, schedules, lambda: by_place(schedules), see, reads=True, end=lambda: over.append(True)
    )
    domain.core.schedules.walks.begin(one)
    domain.run()
    assert over
    return dict(Counter(found.values()))


def counts(domain: Domain) -> dict[str, int] | None:
    """As whoever asks hears it."""
    found = schedule(domain).destinations()
    return None if found is None else found.counts


def test_counts_are_there_when_everything_was_read_once() -> None:
    domain = Domain()
    build(domain)
    send(domain, "aab", 1000)
    domain.run()
    domain.restart()
    assert counts(domain) is None
    domain.run()
    assert counts(domain) == {"a": 2, "b": 1}
    send(domain, "bc", 10)
    assert counts(domain) == {"a": 2, "b": 2, "c": 1}
    domain.run()
    domain.advance(10)
    domain.run()
    assert counts(domain) == {"a": 2, "b": 1}
    domain.advance(1000)
    domain.run()
    assert counts(domain) == {}


def test_nobody_pays_who_does_not_ask() -> None:
    domain = Domain()
    build(domain)
    send(domain, "ab", 1000)
    domain.run()
    found = schedule(domain)
    assert found.places is None
    assert all(block.places is None for block in found.lane._blocks)


def test_numbers_of_destinations_are_used_again() -> None:
    """Replies to queues that come and go fill no memory."""
    domain = Domain()
    build(domain)
    counts(domain)
    domain.run()
    places = schedule(domain).places
    assert places is not None
    for number in range(50):
        address = Address(ORIGIN, "later", f"reply-{number}")
        properties = properties_of({"x-delay": 5})
        domain.publish((schedule(domain).queue,), [Message(address, properties, b"", domain.now_ms)])
        domain.run()
        domain.advance(5)
        domain.run()
    assert (len(places._names), counts(domain)) == (1, {})


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("send"),
            st.tuples(st.text("abc", min_size=1, max_size=5), st.integers(1, 60), st.booleans()),
        ),
        st.tuples(st.just("advance"), st.integers(1, 40)),
        st.tuples(st.just("drop"), st.integers(0, 30)),
        st.tuples(st.sampled_from(("ask", "tick", "run", "restart", "checkpoint")), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, budget=st.sampled_from((0, 500, 1 << 30)), journaled=st.booleans())
def test_counts_equal_what_reading_everything_finds(
    steps: list[tuple[str, Any]], budget: int, journaled: bool
) -> None:
    """Through restarts, merges of records, and with messages that no record has."""
    domain = Domain(memory_budget=budget, journaled=journaled)
    build(domain)
    for action, value in steps:
        if action == "send":
            keys, delay_ms, persistent = value
            send(domain, keys, delay_ms, persistent=persistent)
        elif action == "advance":
            domain.advance(value)
        elif action == "drop":
            schedule(domain).lane.drop(value)
        elif action == "ask":
            counts(domain)
        elif action == "tick":
            domain.tick()
        else:
            domain.run()
            if action == "checkpoint" and journaled:
                domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
            if action == "restart" and journaled:
                domain.restart()
    counts(domain)
    domain.run()
    found = counts(domain)
    assert found is not None
    assert sum(found.values()) == schedule(domain).waiting_count
    assert found == waiting(domain)


def test_records_that_become_one_keep_what_is_known_of_their_messages() -> None:
    """With a gap between them, and with one of which nothing is known."""
    domain = Domain()
    build(domain)
    lane = schedule(domain).lane
    counts(domain)
    for keys in ("ab", "c", "ca"):
        send(domain, keys, 1000)
        domain.run()
    first, middle, last = lane._blocks
    lane.drop(2)
    middle.location = last.location = first.location
    unread = Block(10, 2, first.location, True, 0, 2, 2)
    lane._add(unread)
    lane.merged(range(12))
    (block,) = lane._blocks
    numbers = {name: number for number, name in enumerate(schedule(domain).places._names)}  # type: ignore[union-attr]
    assert block.places is not None
    assert list(block.places) == [
        *(numbers["a"], numbers["b"], UNKNOWN, numbers["c"], numbers["a"]),
        *[UNKNOWN] * 7,
    ]
    for sequence, left in ((4, {"a": 1, "b": 1, "c": 1}), (3, {"a": 1, "b": 1}), (10, {"a": 1, "b": 1})):
        lane.drop(sequence)
        assert counts(domain) == left
