"""Waypoints in the domain: one group for all that a publish causes, which a restart finds (A26, A27)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, message

from pillarbox.broker.index import NO_ENVELOPE
from pillarbox.broker.interception import Forwarder, Goal, Interception, Rule
from pillarbox.broker.queue import Queue
from pillarbox.errors import BrokerError


def forwarding(domain: Domain, *targets: str, only: bool = True) -> None:
    """Have what is published to the queue `q` go to these."""
    interception = Interception(domain.core, domain.vhost)
    goals = [Goal("", name) for name in targets]

    def make(name: str) -> Forwarder:
        return Forwarder(interception, name, goals, "", lambda goal: None)

    interception.for_queues.append(Rule(lambda name: name == "q", make, only))
    interception.begin()


def declare(domain: Domain, *names: str) -> list[Queue]:
    return [domain.vhost.declare_queue(None, name, durable=True) for name in names]


def publish(domain: Domain, *bodies: str, persistent: bool = True) -> bool:
    queues = domain.vhost.route("", ("q",), NO_ENVELOPE).queues
    return domain.publish(
        queues, [message(body, persistent=persistent) for body in bodies], persistent=persistent
    )


@pytest.mark.row("A26")
@pytest.mark.parametrize("only", [False, True])
def test_what_is_passed_on_is_stored_in_the_group_of_the_publish(only: bool) -> None:
    domain = Domain()
    declare(domain, "q", "a", "b")
    forwarding(domain, "a", "b", only=only)
    domain.run()
    before = len(domain.journal.groups)
    assert publish(domain, "1", "2") is True
    domain.run()
    assert len(domain.journal.groups) == before + 1
    assert [domain.queue(name).ready_count for name in "qab"] == [0 if only else 2, 2, 2]
    domain.restart()
    assert [domain.queue(name).ready_count for name in "qab"] == [0 if only else 2, 2, 2]


@pytest.mark.row("A26")
def test_transient_messages_wait_for_nothing() -> None:
    domain = Domain()
    declare(domain, "q", "a")
    forwarding(domain, "a")
    domain.run()
    assert publish(domain, "1", persistent=False) is False
    # Nor does the next publish, which has nothing to do with it, wait for what was stored before.
    assert publish(domain, "2") is True
    other = domain.vhost.declare_queue(None, "other")
    assert domain.publish([other], [message("3", persistent=False)], persistent=False) is False


@pytest.mark.row("A26")
def test_nothing_is_promised_when_storage_has_failed() -> None:
    domain = Domain()
    declare(domain, "q", "a")
    forwarding(domain, "a")
    domain.run()
    domain.core.failed("the disk is gone")
    with pytest.raises(BrokerError, match="the disk is gone"):
        publish(domain, "1")


@pytest.mark.row("A26")
def test_queue_without_a_rule_is_routed_as_ever() -> None:
    domain = Domain()
    (queue, *_) = declare(domain, "other", "q", "a")
    forwarding(domain, "a")
    route = domain.vhost.route("", ("other",), NO_ENVELOPE)
    assert route.queues == (queue,)
    assert route.stamp.valid
