"""Delayed retry: what comes back is held for a while (R53)."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, message
from test_attempts import declare, take

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.policy import Policy
from pillarbox.broker.retry import RetryRule, retry_rule_of
from pillarbox.errors import BrokerError

RETRY = {"delayed_retry_type": "all", "delayed_retry_min": 1000, "delayed_retry_max": 2500}


def give_back(domain: Domain, outcome: Outcome = Outcome.MODIFIED, count: int = 100) -> None:
    ledger = Ledger()
    assert take(domain, ledger, count)
    ledger.settle_all(outcome)
    domain.run()


def found(domain: Domain) -> tuple[int, int, int]:
    """(ready, unacknowledged, held)"""
    queue = domain.queue("q")
    return queue.ready_count, queue.unacked_count, queue.delayed_count


def pass_time(domain: Domain, duration_ms: int) -> None:
    domain.advance(duration_ms)
    domain.run()


@pytest.mark.row("R53")
def test_message_is_held_longer_each_time_up_to_the_maximum() -> None:
    """min(min * count, max): 1000, 2000, 2500, 2500 ms."""
    domain = Domain()
    declare(domain, **RETRY)
    domain.publish([domain.queue("q")], [message(1)])
    for delay_ms in (1000, 2000, 2500, 2500):
        give_back(domain)
        assert found(domain) == (0, 0, 1)
        pass_time(domain, delay_ms - 1)
        assert found(domain) == (0, 0, 1)
        pass_time(domain, 1)
        assert found(domain) == (1, 0, 0)


@pytest.mark.row("R53")
@pytest.mark.parametrize(
    ("kind", "outcome", "held"),
    [
        ("all", Outcome.MODIFIED, True),
        ("all", Outcome.RELEASED, True),
        ("failed", Outcome.MODIFIED, True),
        ("failed", Outcome.RELEASED, False),
        ("returned", Outcome.MODIFIED, False),
        ("returned", Outcome.RELEASED, True),
        ("disabled", Outcome.MODIFIED, False),
    ],
)
def test_type_says_what_is_held(kind: str, outcome: Outcome, held: bool) -> None:
    domain = Domain()
    declare(domain, delayed_retry_type=kind, delayed_retry_min=1000)
    domain.publish([domain.queue("q")], [message(1)])
    give_back(domain, outcome)
    assert found(domain) == ((0, 0, 1) if held else (1, 0, 0))


@pytest.mark.row("R53")
def test_without_a_maximum_it_is_the_minimum_and_without_a_minimum_nothing_is_held() -> None:
    """As `get_delayed_retry_config` of v4.3.5 has it; other types of queues take no notice."""
    settings: dict[str, Any] = {"x-queue-type": "quorum", "x-delayed-retry-type": "failed"}
    assert retry_rule_of(settings) is None
    assert retry_rule_of(settings | {"x-delayed-retry-min": 7}) == RetryRule(True, False, 7, 7)
    assert retry_rule_of(settings | {"x-delayed-retry-min": 7, "x-queue-type": "classic"}) is None


@pytest.mark.row("R53")
def test_held_messages_come_back_to_their_original_place() -> None:
    domain = Domain()
    declare(domain, **RETRY)
    domain.publish([domain.queue("q")], [message(n) for n in range(4)])
    give_back(domain, count=2)
    assert found(domain) == (2, 0, 2)
    pass_time(domain, 1000)
    runs = take(domain, Ledger())
    assert [(one.body, run.redelivered) for run in runs for one in run.messages or ()] == [
        (b"0", True),
        (b"1", True),
        (b"2", False),
        (b"3", False),
    ]


@pytest.mark.row("R53", "R52")
def test_message_that_came_back_too_often_dies_and_is_not_held() -> None:
    domain = Domain()
    declare(domain, **RETRY, delivery_limit=1)
    domain.publish([domain.queue("q")], [message(1)])
    give_back(domain)
    pass_time(domain, 1000)
    give_back(domain)
    assert found(domain) == (0, 0, 0)


@pytest.mark.row("R53", "R46")
def test_limits_count_what_is_held() -> None:
    """RabbitMQ 4.3: `messages_ready_plus_delayed`; what is dropped for it is ready."""
    domain = Domain()
    declare(domain, **RETRY, max_length=3)
    queue = domain.queue("q")
    domain.publish([queue], [message(n) for n in range(2)])
    give_back(domain)
    domain.publish([queue], [message(n) for n in range(2, 5)])
    domain.run()
    assert found(domain) == (1, 0, 2)
    assert [one.body for run in queue.ready_runs() for one in run.messages or ()] == [b"4"]


@pytest.mark.row("R53", "R56")
@pytest.mark.parametrize("how", ["purge", "delete"])
def test_what_is_held_goes_with_a_purge_and_with_its_queue(how: str) -> None:
    domain = Domain()
    queue = declare(domain, **RETRY)
    domain.publish([queue], [message(n) for n in range(3)])
    give_back(domain, count=2)
    with pytest.raises(BrokerError, match="not empty"):
        domain.vhost.delete_queue(None, "q", if_empty=True)
    if how == "purge":
        assert queue.purge() == 3
        domain.run()
        assert found(domain) == (0, 0, 0)
    else:
        domain.vhost.delete_queue(None, "q")
    pass_time(domain, 10_000)
    assert domain.core.changes.resident_bytes == 0
    domain.restart()
    assert how == "delete" or found(domain) == (0, 0, 0)


@pytest.mark.row("R53")
@pytest.mark.parametrize("checkpoint", [False, True])
def test_held_messages_survive_a_restart_and_wait_for_the_rest_of_their_time(checkpoint: bool) -> None:
    domain = Domain()
    declare(domain, **RETRY)
    domain.publish([domain.queue("q")], [message(n) for n in range(3)])
    give_back(domain, count=2)
    if checkpoint:
        domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    domain.advance(400)
    domain.restart()
    domain.run()
    assert found(domain) == (1, 0, 2)
    pass_time(domain, 599)
    assert found(domain) == (1, 0, 2)
    pass_time(domain, 1)
    assert found(domain) == (3, 0, 0)
    (first, *_) = take(domain, Ledger())
    assert (first.redelivered, first.counts, first.failures) == (True, [1, 1], [1, 1])


@pytest.mark.row("R53")
def test_time_goes_on_while_the_broker_is_down() -> None:
    domain = Domain()
    declare(domain, **RETRY)
    domain.publish([domain.queue("q")], [message(1)])
    give_back(domain)
    domain.advance(1000)
    domain.restart()
    assert found(domain) == (1, 0, 0)


@pytest.mark.row("R53")
def test_held_messages_leave_the_memory_when_it_is_short() -> None:
    domain = Domain(memory_budget=2000)
    queue = declare(domain, **RETRY)
    domain.publish([queue], [message(bytes(1000)), message(b"x" * 1000)])
    give_back(domain)
    domain.publish([queue], [message(1)])
    domain.run()
    assert domain.core.changes.resident_bytes < 1000
    pass_time(domain, 1000)
    bodies = [one.body for run in take(domain, Ledger()) for one in run.messages or ()]
    assert bodies == [bytes(1000), b"x" * 1000, b"1"]
    assert queue.unacked_bytes == 2001


@pytest.mark.row("R53", "R95", "R96")
def test_policies_set_it_for_queues_that_are_there() -> None:
    """The policy's type goes before the argument's; of times the smaller counts; an operator's is a floor."""
    domain = Domain()
    queue = declare(domain, delayed_retry_type="failed", delayed_retry_min=900)

    def put(operator: bool, **definition: Any) -> None:
        keys = {f"delayed-retry-{key}": value for key, value in definition.items()}
        domain.vhost.put_policy(Policy("/", "p", "", keys, 0, "queues"), operator=operator)

    assert queue.retry == RetryRule(True, False, 900, 900)
    put(False, type="returned", min=500, max=5000)
    assert queue.retry == RetryRule(False, True, 500, 5000)
    put(True, min=700, max=4000)
    assert queue.retry == RetryRule(False, True, 700, 4000)


@pytest.mark.row("R53", "R95")
@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({"delayed-retry-type": "some", "delayed-retry-min": 1},
         '<<"some">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled'),
        ({"delayed-retry-min": 0},
         "0 is not a valid delayed retry minimum delay. Must be a positive integer"),
        ({"delayed-retry-max": -1},
         "-1 is not a valid delayed retry maximum delay. Must be a positive integer"),
        ({"delayed-retry-type": "all"}, "delayed-retry-min is required when delayed-retry-type is all"),
        ({"delayed-retry-min": 5, "delayed-retry-max": 4},
         "delayed-retry-max (4) must not be smaller than delayed-retry-min (5)"),
    ],
)  # fmt: skip
def test_wrong_policies_are_refused_in_words_of_rabbitmq(definition: dict[str, Any], text: str) -> None:
    domain = Domain()
    with pytest.raises(BrokerError) as caught:
        domain.vhost.put_policy(Policy("/", "p", "", definition), operator=False)
    assert str(caught.value) == f"Validation failed\n\n{text}\n"


@pytest.mark.row("R53")
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("x-delayed-retry-type", "some", "invalid_delayed_retry_type"),
        ("x-delayed-retry-type", 1, "{unacceptable_type,signedint}"),
        ("x-delayed-retry-min", 0, "{value_zero,0}"),
        ("x-delayed-retry-max", -1, "{value_negative,-1}"),
        ("x-delayed-retry-max", 10**18, "{value_too_large,1000000000000000000}"),
    ],
)
def test_wrong_arguments_are_refused(key: str, value: object, problem: str) -> None:
    domain = Domain()
    with pytest.raises(BrokerError) as caught:
        domain.vhost.declare_queue(None, "q", durable=True, arguments={"x-queue-type": "quorum", key: value})
    assert str(caught.value) == f"invalid arg '{key}' for queue 'q' in vhost '/': {problem}"
