"""An empty core takes over what an engine found."""

from __future__ import annotations

from broker_tools import Domain, message

from pillarbox.broker import definitions as kept
from pillarbox.broker.restoring import LAST_OF_LANES, STEPS


def test_every_kind_of_definition_has_its_step() -> None:
    assert set(STEPS) == set(kept.KINDS)


def test_messages_come_when_all_that_they_are_in_is_there() -> None:
    order = list(STEPS)
    assert max(map(order.index, ("queue", "schedule", "dead", "lane"))) == order.index(LAST_OF_LANES)
    assert order.index(LAST_OF_LANES) < min(map(order.index, ("binding", "topic")))


def test_uids_of_what_was_found_are_never_given_again() -> None:
    """Also if the broker starts again within the millisecond from which it counts them."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments={"x-max-priority": 5})
    domain.publish([queue], [message(1, priority=3)])
    domain.run()
    found = {lane.uid for lane in queue.lanes}
    assert len(found) == 2
    domain.restart()
    assert {lane.uid for lane in domain.queue("q").lanes} == found
    assert domain.core.take_uid() > max(found)
