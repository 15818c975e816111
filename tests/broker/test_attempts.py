"""How often messages came back outlives restarts, whatever the last facts were. Row R52."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Receiver, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import Run

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


def declare(domain: Domain, name: str = "q", **settings: Any) -> Queue:
    arguments = {f"x-{key.replace('_', '-')}": value for key, value in settings.items()}
    queue: Queue = domain.vhost.declare_queue(
        None, name, durable=True, arguments={"x-queue-type": "quorum", **arguments}
    )
    return queue


def take(domain: Domain, ledger: Ledger, count: int = 100) -> list[Run]:
    """Hand out what is ready, loads included."""
    queue = domain.queue("q")
    taken = []
    while queue.ready_count and count:
        run = queue.take(count)
        if run is None:
            domain.run()
            continue
        ledger.add(None, run)
        run.lane.delivered(run)
        taken.append(run)
        count -= len(run.sequences)
    return taken


def counts(runs: list[Run]) -> dict[bytes, tuple[int, int]]:
    """Of each message, how often it came back, and how often of these as failed."""
    found: dict[bytes, tuple[int, int]] = {}
    for run in runs:
        never = [0] * len(run)
        numbers = zip(run.counts or never, run.failures or never, strict=True)
        found |= zip([bytes(one.body) for one in run.messages or ()], numbers, strict=True)
    return found


@pytest.mark.row("R52")
def test_counts_outlive_a_restart() -> None:
    domain = Domain()
    declare(domain, delivery_limit=9)
    domain.publish([domain.queue("q")], [message(1), message(2)])
    for outcome in (Outcome.RELEASED, Outcome.RELEASED, Outcome.MODIFIED):
        ledger = Ledger()
        take(domain, ledger)
        ledger.settle_all(outcome)
        domain.run()
    domain.restart()
    assert counts(take(domain, Ledger())) == {b"1": (3, 1), b"2": (3, 1)}


@pytest.mark.row("R52")
@pytest.mark.parametrize("out", [False, True])
def test_what_was_out_when_the_broker_died_came_back_once_more_as_failed(out: bool) -> None:
    domain = Domain()
    declare(domain, delivery_limit=9)
    domain.publish([domain.queue("q")], [message(1)])
    for _ in range(2):
        ledger = Ledger()
        take(domain, ledger)
        ledger.settle_all(Outcome.RELEASED)
    if out:
        take(domain, Ledger())
    domain.run()
    domain.restart()
    assert counts(take(domain, Ledger())) == {b"1": (3, 1) if out else (2, 0)}


@pytest.mark.row("R52")
@pytest.mark.parametrize("dead_letters", [{}, DEAD])
def test_message_that_kills_the_broker_again_and_again_dies(dead_letters: dict[str, str]) -> None:
    """No receiver ever answers; what counts is that it was out when the broker died."""
    domain = Domain()
    domain.vhost.declare_queue(None, "dead", durable=True)
    domain.vhost.declare_queue(
        None, "q", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 2, **dead_letters}
    )
    domain.publish([domain.queue("q")], [message(n) for n in range(3)])
    for count in range(3):
        assert counts(take(domain, Ledger())) == {b"%d" % n: (count, count) for n in range(3)}
        domain.run()
        domain.restart()
    domain.run()
    queue = domain.queue("q")
    assert (queue.ready_count, queue.unacked_count) == (0, 0)
    assert domain.queue("dead").ready_count == (3 if dead_letters else 0)
    assert domain.core.changes.deaths[
        ("quorum", "at_most_once" if dead_letters else "disabled", "delivery_limit")
    ]
    domain.restart()
    assert domain.queue("q").ready_count == 0


@pytest.mark.row("R52")
def test_queues_that_do_not_count_note_nothing() -> None:
    domain = Domain()
    domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([domain.queue("q")], [message(1)])
    for _ in range(3):
        ledger = Ledger()
        take(domain, ledger)
        ledger.settle_all(Outcome.MODIFIED)
        domain.run()
    assert not [group for group in domain.journal.groups if group.returned]


@pytest.mark.row("R52", "R71")
def test_counts_go_with_their_messages_where_consumers_take_turns() -> None:
    """Two consumers of their own channels get one message each of a run that came back."""
    domain = Domain()
    declare(domain)
    domain.publish([domain.queue("q")], [message(1), message(2)])
    ledger = Ledger()
    take(domain, ledger)
    ledger.settle_all(Outcome.RELEASED)
    session = domain.session()
    seen: list[tuple[bytes, list[int] | None]] = []

    class Counting(Receiver):
        def deliver(self, consumer: object, run: Run, tag_first: int) -> None:
            seen.extend((bytes(one.body), run.counts) for one in run.messages or ())

    for tag in "ab":
        domain.consume(session, "q", Counting(), tag=tag, ledger=Ledger(), prefetch=1)
    domain.run()
    assert sorted(seen) == [(b"1", [1]), (b"2", [1])]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("publish", "take", "settle", "tick", "checkpoint", "restart")),
        st.integers(1, 5),
        st.sampled_from((Outcome.RELEASED, Outcome.MODIFIED, Outcome.ACCEPTED)),
    ),
    max_size=40,
)


@pytest.mark.row("R52")
@given(steps=STEPS)
def test_counts_are_those_of_a_list(steps: list[tuple[str, int, Outcome]]) -> None:
    """Every message is a pair of numbers that answers raise, and a restart for those that are out."""
    domain = Domain()
    declare(domain)
    known: dict[bytes, tuple[int, int]] = {}
    ledger, out = Ledger(), list[bytes]()
    for action, number, outcome in [*steps, ("tick", 1, Outcome.RELEASED), ("restart", 1, Outcome.RELEASED)]:
        if action == "publish":
            domain.publish([domain.queue("q")], [message(len(known) + n) for n in range(number)])
            known |= {b"%d" % (len(known) + n): (0, 0) for n in range(number)}
        elif action == "take":
            found = counts(take(domain, ledger, number))
            assert found == {body: known[body] for body in found}
            out += found
        elif action == "settle" and out:
            answered, out = out[:number], out[number:]
            last = next(ledger.entries()).tag_first + len(answered) - 1
            ledger.settle(last, True, outcome)
            for body in answered:
                count, failures = known[body]
                known[body] = (count + 1, failures + (outcome is Outcome.MODIFIED))
                if outcome is Outcome.ACCEPTED:
                    known[body] = (-1, -1)
        elif action == "tick":
            domain.run()
        elif action == "checkpoint":
            domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
        elif action == "restart":
            domain.run()
            domain.restart()
            known |= {body: (known[body][0] + 1, known[body][1] + 1) for body in out}
            ledger, out = Ledger(), []
    live = {body: numbers for body, numbers in known.items() if numbers != (-1, -1)}
    assert counts(take(domain, Ledger())) == live
