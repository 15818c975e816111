"""At-least-once dead lettering (R49): what no queue takes stays with its source and is tried again."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, demand_counts, message, resident_bytes

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.deadletter import AT_LEAST_ONCE, CONFIRMED, REJECTED
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.undelivered import RETRY_MS, TRIALS_MAX, Undelivered

pytestmark = pytest.mark.row("R49")

AT_LEAST: dict[str, Any] = {
    "queue_type": "quorum",
    "dead_letter_strategy": "at-least-once",
    "overflow": "reject-publish",
    "dead_letter_exchange": "",
    "dead_letter_routing_key": "dead",
}


def declare(domain: Domain, name: str, **arguments: Any) -> Queue:
    named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    queue: Queue = domain.vhost.declare_queue(None, name, durable=True, arguments=named)
    return queue


def source(**arguments: Any) -> tuple[Domain, Queue]:
    domain = Domain()
    return domain, declare(domain, "q", **{**AT_LEAST, **arguments})


def kill(domain: Domain, queue: Queue, *numbers: int) -> None:
    """Publish messages and reject them."""
    domain.publish([queue], [message(number) for number in numbers])
    ledger = Ledger()
    while (run := queue.take(1000)) is not None:
        ledger.add(None, run)
    ledger.settle_all(Outcome.REJECTED)
    domain.run()


def numbers_in(domain: Domain, queue: Queue) -> list[bytes]:
    domain.run()
    return [one.body for run in queue.ready_runs() for one in run.messages or []]


def of(domain: Domain, queue: Queue) -> Undelivered:
    return domain.core.undelivered.by_source[queue]


def bodies(*numbers: int) -> list[bytes]:
    return [message(number).body for number in numbers]


def test_what_has_a_queue_that_takes_it_is_forwarded_at_once() -> None:
    domain, queue = source()
    dead = declare(domain, "dead")
    kill(domain, queue, 1, 2, 3)
    assert numbers_in(domain, dead) == bodies(1, 2, 3)
    assert queue.dead_count == 0
    assert not domain.core.undelivered.by_source
    assert domain.core.changes.deaths == {
        ("quorum", AT_LEAST_ONCE, REJECTED): 3,
        ("quorum", AT_LEAST_ONCE, CONFIRMED): 3,
    }


def test_without_a_route_it_stays_as_dead_and_is_tried_again_after_three_minutes() -> None:
    """Neither ready nor unacknowledged; RabbitMQ's confirm timeout is 180 s."""
    domain, queue = source()
    kill(domain, queue, 1, 2)
    assert (queue.ready_count, queue.unacked_count, queue.dead_count) == (0, 0, 2)
    assert queue.dead_bytes == sum(len(body) for body in bodies(1, 2))
    dead = declare(domain, "dead")
    domain.advance(RETRY_MS - 1)
    assert not numbers_in(domain, dead)
    domain.advance(1)
    assert numbers_in(domain, dead) == bodies(1, 2)
    assert queue.dead_count == queue.dead_bytes == 0
    assert domain.core.changes.deaths["quorum", AT_LEAST_ONCE, CONFIRMED] == 2
    demand_counts(queue)
    assert domain.core.changes.resident_bytes == resident_bytes([dead])


def test_a_missing_exchange_keeps_it_until_there_is_one() -> None:
    domain, queue = source(dead_letter_exchange="x")
    kill(domain, queue, 1)
    assert queue.dead_count == 1
    exchange = domain.vhost.declare_exchange("x", "fanout", durable=True)
    dead = declare(domain, "dead")
    domain.vhost.bind(exchange, dead, "", {})
    domain.advance(RETRY_MS)
    assert numbers_in(domain, dead) == bodies(1)


def test_a_full_target_refuses_it_and_one_that_took_it_does_not_get_it_twice() -> None:
    domain, queue = source(dead_letter_exchange="x")
    exchange = domain.vhost.declare_exchange("x", "fanout", durable=True)
    full = declare(domain, "full", max_length=1, overflow="reject-publish")
    wide = declare(domain, "wide")
    for target in (full, wide):
        domain.vhost.bind(exchange, target, "", {})
    domain.publish([full], [message(9)])
    kill(domain, queue, 1)
    assert (queue.dead_count, full.ready_count, wide.ready_count) == (1, 1, 1)
    full.purge()
    domain.advance(RETRY_MS)
    assert numbers_in(domain, full) == numbers_in(domain, wide) == bodies(1)
    assert queue.dead_count == 0


def test_what_a_full_target_refuses_is_its_own_dead_letter_too_and_again_at_each_trial() -> None:
    """`reject-publish-dlx`: the target forwards what it refuses, and its source keeps it all the same."""
    domain, queue = source()
    over = declare(domain, "over")
    rule = {"dead_letter_exchange": "", "dead_letter_routing_key": "over"}
    full = declare(domain, "dead", max_length=1, overflow="reject-publish-dlx", **rule)
    kill(domain, queue, 1, 2)
    assert numbers_in(domain, full) == bodies(1)
    assert numbers_in(domain, over) == bodies(2)
    domain.advance(RETRY_MS)
    assert numbers_in(domain, over) == bodies(2, 2)
    assert (queue.dead_count, full.ready_count) == (1, 1)
    full.purge()
    domain.advance(RETRY_MS)
    assert numbers_in(domain, full) == bodies(2)
    assert (queue.dead_count, over.ready_count) == (0, 2)


def test_only_so_many_are_tried_at_a_time_and_the_order_is_kept() -> None:
    """The rest waits behind; RabbitMQ's consumer prefetch is 32."""
    domain, queue = source()
    count = TRIALS_MAX * 3
    kill(domain, queue, *range(count))
    assert queue.dead_count == count
    assert of(domain, queue).queue.ready_count == count - TRIALS_MAX
    dead = declare(domain, "dead")
    domain.advance(RETRY_MS)
    for _ in range(10):
        domain.run()
        domain.advance(1)
    assert numbers_in(domain, dead) == bodies(*range(count))
    assert queue.dead_count == 0


def test_what_is_dead_counts_for_the_limits_of_its_queue() -> None:
    domain, queue = source(max_length=2)
    kill(domain, queue, 1, 2)
    domain.publish([queue], [message(3)])
    assert list(domain.refused) == [0]
    declare(domain, "dead")
    domain.advance(RETRY_MS)
    domain.run()
    domain.publish([queue], [message(3)])
    assert not list(domain.refused)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_restart_finds_it_dead_with_its_reason_and_tries_it(checkpoint: bool) -> None:
    domain, queue = source(message_ttl=5)
    kill(domain, queue, 1)
    domain.publish([queue], [message(2)])
    domain.advance(6)
    domain.run()
    assert queue.dead_count == 2
    if checkpoint:
        domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    domain.restart()
    queue = domain.queue("q")
    assert (queue.ready_count, queue.dead_count) == (0, 2)
    dead = declare(domain, "dead")
    found = numbers_in(domain, dead)
    assert sorted(found) == bodies(1, 2)
    reasons = {
        one.body: b"expired" in one.properties for run in dead.ready_runs() for one in run.messages or []
    }
    assert reasons == dict(zip(bodies(1, 2), (False, True), strict=True))
    domain.restart()
    assert domain.queue("q").dead_count == 0
    assert domain.queue("dead").ready_count == 2


def test_new_settings_are_tried_at_once_and_another_strategy_drops_what_is_dead() -> None:
    """As RabbitMQ: a changed policy may name another exchange; at most once keeps nothing."""
    domain, queue = source()
    kill(domain, queue, 1)
    other = declare(domain, "other")
    settings = {f"x-{key.replace('_', '-')}": value for key, value in AT_LEAST.items()}
    settings["x-dead-letter-routing-key"] = "other"
    queue.adopt(settings, domain.vhost._dead_letters(settings))
    domain.core.undelivered.settings_changed(queue)
    assert numbers_in(domain, other) == bodies(1)
    declare(domain, "third")
    domain.vhost.delete_queue(None, "other")
    kill(domain, queue, 2)
    assert queue.dead_count == 1
    del settings["x-overflow"]
    queue.adopt(settings, domain.vhost._dead_letters(settings))
    domain.core.undelivered.settings_changed(queue)
    assert queue.dead_count == 0
    assert not domain.core.undelivered.by_source
    assert domain.core.changes.resident_bytes == 0


def test_a_deleted_source_takes_its_dead_with_it() -> None:
    domain, queue = source()
    kill(domain, queue, 1, 2)
    domain.vhost.delete_queue(None, "q")
    domain.run()
    assert domain.core.changes.resident_bytes == 0
    assert not [key for key in domain.core.definitions if key[0] in ("dead", "lane")]
    domain.restart()
    assert not domain.core.undelivered.by_source


def test_without_reject_publish_it_is_at_most_once() -> None:
    """RabbitMQ falls back, since a full queue would drop from its head."""
    domain, queue = source(overflow="drop-head")
    kill(domain, queue, 1)
    assert queue.dead_count == 0


def test_what_waits_behind_may_leave_the_memory() -> None:
    domain = Domain(memory_budget=0)
    queue = declare(domain, "q", **AT_LEAST)
    for number in range(TRIALS_MAX * 2):
        kill(domain, queue, number)
    dead = declare(domain, "dead")
    domain.advance(RETRY_MS)
    for _ in range(10):
        domain.run()
        domain.advance(1)
    assert dead.ready_count == TRIALS_MAX * 2
    assert queue.dead_count == 0
