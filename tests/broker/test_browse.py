"""Browsing: everything is shown once, in order, wherever it rests, and nothing is touched (row A37)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet, Receiver, demand_counts, message
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.errors import BrokerError

pytestmark = pytest.mark.row("A37")


def browse(
    domain: Domain, receiver: Receiver, *, outlet: Outlet | None = None, no_ack: bool = True
) -> Consumer:
    return domain.session(outlet or Outlet()).consume(
        "q",
        receiver,
        Ledger(),
        tag="looks",
        no_ack=no_ack,
        exclusive=False,
        prefetch=0,
        pool=Pool(),
        priority=0,
        arguments={"x-browse": True},
    )


def made(**options: int) -> Domain:
    domain = Domain(**options)
    domain.vhost.declare_queue(None, "q", durable=True, arguments={})
    return domain


@given(
    batches=st.lists(st.integers(1, 150), min_size=1, max_size=6),
    budget=st.sampled_from([0, 1 << 30]),
    taken=st.integers(0, 60),
    returned=st.lists(st.integers(1, 60), max_size=8, unique=True),
    stripes=st.integers(1, 3),
    restarts=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_everything_is_shown_once_and_stays(
    batches: list[int], budget: int, taken: int, returned: list[int], stripes: int, restarts: bool
) -> None:
    domain = made(memory_budget=budget)
    number = 0
    for size in batches:
        domain.publish([domain.queue("q")], [message(number + at) for at in range(size)])
        number += size
        domain.run()
    if restarts:
        domain.restart()
    queue = domain.queue("q")
    ledger = Ledger()
    domain.run()
    left = min(taken, queue.ready_count)
    while left:
        run = queue.take(left)
        if run is None:
            domain.run()
            continue
        left -= len(run)
        for start in range(min(stripes, len(run))):
            part = run.cut(slice(start, None, stripes))
            ledger.add(None, part)
            part.lane.delivered(part)
    for tag in returned:
        if tag <= min(taken, number):
            ledger.settle(tag, False, Outcome.RELEASED)
    before = queue.ready_count, queue.unacked_count
    receiver = Receiver()
    browse(domain, receiver)
    domain.run()
    assert sorted(map(int, receiver.bodies)) == list(range(number))
    ready = {int(one.body) for run in queue.ready_runs() for one in run.messages or ()}
    shown = [int(body) for body in receiver.bodies if int(body) in ready]
    assert shown == sorted(shown), "what is ready is shown in order"
    assert receiver.cancelled == ["looks"]
    assert (queue.ready_count, queue.unacked_count) == before
    demand_counts(queue)


def test_what_comes_later_is_not_shown_and_what_is_gone_neither() -> None:
    domain = made()
    queue = domain.queue("q")
    domain.publish([queue], [message(number) for number in range(300)])
    receiver = Receiver()
    browse(domain, receiver)
    domain.tick()
    shown = len(receiver.bodies)
    assert 0 < shown < 300, "it takes more than one turn"
    queue.purge()
    domain.publish([queue], [message("new")])
    domain.run()
    assert len(receiver.bodies) == shown
    assert receiver.cancelled == ["looks"]


def test_whoever_does_not_read_is_shown_nothing_more() -> None:
    domain = made()
    domain.publish([domain.queue("q")], [message(number) for number in range(300)])
    receiver, outlet = Receiver(), Outlet()
    browse(domain, receiver, outlet=outlet)
    domain.tick()
    outlet.writable = False
    domain.tick()
    shown = len(receiver.bodies)
    domain.advance(1000)
    domain.tick()
    assert len(receiver.bodies) == shown
    outlet.writable = True
    domain.advance(1000)
    domain.run()
    assert len(receiver.bodies) == 300


def test_browser_that_is_cancelled_is_shown_nothing_more() -> None:
    domain = made()
    domain.publish([domain.queue("q")], [message(number) for number in range(300)])
    receiver = Receiver()
    consumer = browse(domain, receiver)
    domain.tick()
    shown = len(receiver.bodies)
    domain.session().cancel(consumer)
    domain.run()
    assert (len(receiver.bodies), receiver.cancelled) == (shown, [])


def test_queue_that_is_deleted_ends_browsing() -> None:
    domain = made()
    domain.publish([domain.queue("q")], [message(number) for number in range(300)])
    receiver = Receiver()
    browse(domain, receiver)
    domain.tick()
    domain.session().delete_queue("q", if_unused=False, if_empty=False)
    domain.run()
    assert receiver.cancelled == ["looks"]


def test_what_is_browsed_is_not_acknowledged() -> None:
    with pytest.raises(BrokerError):
        browse(made(), Receiver(), no_ack=False)
