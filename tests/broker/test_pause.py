"""A queue that an operator has paused hands nothing to consumers, whatever comes back meanwhile (A81)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Receiver, message

from pillarbox.broker.ledger import Ledger
from pillarbox.broker.returning import give_back

pytestmark = pytest.mark.row("A81")


def test_paused_queue_hands_out_nothing_until_it_is_resumed() -> None:
    domain = Domain()
    session = domain.session()
    session.declare_queue("q")
    queue = domain.queue("q")
    first, later = Receiver(), Receiver()
    domain.consume(session, "q", first, no_ack=True)
    queue.pause()
    domain.publish([queue], [message(body) for body in (b"1", b"2")])
    domain.run()
    domain.consume(session, "q", later, no_ack=True)
    domain.run()
    assert (first.bodies, later.bodies, queue.ready_count) == ([], [], 2)
    queue.resume()
    domain.run()
    assert sorted(first.bodies + later.bodies) == [b"1", b"2"]


def test_what_comes_back_ends_no_pause() -> None:
    """Receivers that go hold their queue until all is back, and let it go on then: not if it is paused."""
    domain = Domain()
    session = domain.session()
    session.declare_queue("q")
    queue = domain.queue("q")
    domain.publish([queue], [message(body) for body in (b"1", b"2", b"3")])
    domain.run()
    leaving, ledger = Receiver(), Ledger()
    consumer = domain.consume(session, "q", leaving, ledger=ledger)
    domain.run()
    assert len(leaving.bodies) == 3
    queue.pause()
    staying = Receiver()
    domain.consume(session, "q", staying, no_ack=True)
    session.cancel_all([consumer])
    give_back(domain.core.chores, ledger)
    domain.run()
    assert (queue.ready_count, queue.held, staying.bodies) == (3, False, [])
    queue.resume()
    domain.run()
    assert staying.bodies == [b"1", b"2", b"3"]
