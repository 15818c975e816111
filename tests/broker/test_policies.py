"""Policies: which one counts, how it is merged with arguments, what a change does (R95, R96)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from broker_tools import Domain, Receiver, bodies, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker import vhost
from pillarbox.broker.arguments import QUEUE_ARGUMENTS
from pillarbox.broker.lane import LIFETIMES_MAX
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.policy import APPLY_TO, KEYS, Applied, Policies, Policy, effective, merged
from pillarbox.broker.queue import TRIMMED_AT_ONCE
from pillarbox.broker.session import Deferred
from pillarbox.errors import BrokerError


def policy(
    name: str = "p", pattern: str = "", priority: int = 0, apply_to: str = "all", **keys: Any
) -> Policy:
    definition = {key.replace("_", "-"): value for key, value in keys.items()} or {"max-length": 9}
    return Policy("/", name, pattern, definition, priority, apply_to)


@pytest.fixture
def domain() -> Domain:
    return Domain()


def waiting(domain: Domain, name: str) -> int:
    domain.run()
    return domain.queue(name).ready_count


# --- which one counts -----------------------------------------------------------------------------


@pytest.mark.row("R95")
def test_highest_priority_that_fits_counts_alone(domain: Domain) -> None:
    put = domain.vhost.put_policy
    put(policy("low", "^orders", max_length=5))
    put(policy("high", "urgent", priority=7, message_ttl=100))
    put(policy("higher", "nobody", priority=9, expires=1))
    queue = domain.vhost.declare_queue(None, "orders.urgent", durable=True)
    assert (queue.ttl_ms, queue.limits, queue.expires_ms) == (100, None, None)
    assert queue.applied.policy.name == "high"


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "^b", "c$"]), st.integers(-2, 2)), max_size=6),
    st.text("abc", max_size=3),
)
def test_match_is_that_of_a_plain_search(rules: list[tuple[str, int]], name: str) -> None:
    """Against the obvious: all that fit, the best of them."""
    import re

    policies = Policies()
    for number, (pattern, priority) in enumerate(rules):
        policies.put(policy(str(number), pattern, priority))
    fitting = [each for each in policies if re.search(each.pattern, name)]
    best = max((each.priority for each in fitting), default=None)
    found = policies.match("classic", name)
    assert (found and found.priority) == best


@pytest.mark.row("R95")
@pytest.mark.parametrize(
    ("apply_to", "fits"),
    [
        ("all", {"classic", "quorum", "exchange"}),
        ("queues", {"classic", "quorum"}),
        ("classic_queues", {"classic"}),
        ("quorum_queues", {"quorum"}),
        ("streams", set()),
        ("exchanges", {"exchange"}),
    ],
)
def test_policy_is_for_what_it_says(domain: Domain, apply_to: str, fits: set[str]) -> None:
    domain.vhost.put_policy(policy(apply_to=apply_to))
    things = {
        "classic": domain.vhost.declare_queue(None, "a"),
        "quorum": domain.vhost.declare_queue(None, "b", durable=True, arguments={"x-queue-type": "quorum"}),
        "exchange": domain.vhost.declare_exchange("c", "direct"),
    }
    assert {kind for kind, thing in things.items() if thing.applied.policy is not None} == fits
    assert set(APPLY_TO) >= {apply_to}


# --- merging --------------------------------------------------------------------------------------


@pytest.mark.row("R95", "R96")
@pytest.mark.parametrize(
    ("argument", "asked", "ruled", "capped", "counts"),
    [
        (None, None, None, None, {}),
        (None, 5, None, None, {"x-max-length": 5}),
        (3, 5, None, None, {"x-max-length": 3}),
        (9, 5, None, None, {"x-max-length": 5}),
        (9, 5, None, 4, {"x-max-length": 4}),
        (2, 5, None, 4, {"x-max-length": 2}),
        (None, None, None, 4, {"x-max-length": 4}),
        (None, 0, None, 4, {"x-max-length": 0}),
    ],
)
def test_smallest_number_counts(
    argument: int | None, asked: int | None, ruled: None, capped: int | None, counts: dict[str, int]
) -> None:
    """Of a policy, an operator policy and an argument."""
    applied = Applied(
        policy(max_length=asked) if asked is not None else None,
        policy(max_length=capped) if capped is not None else None,
    )
    assert effective({} if argument is None else {"x-max-length": argument}, applied) == counts


@pytest.mark.row("R95")
def test_argument_goes_before_the_policy_where_neither_is_a_bound() -> None:
    applied = Applied(
        policy(dead_letter_exchange="theirs", overflow="reject-publish", dead_letter_routing_key="k")
    )
    assert effective({"x-dead-letter-exchange": "mine", "x-overflow": "drop-head"}, applied) == {
        "x-dead-letter-exchange": "mine",
        "x-overflow": "drop-head",
        "x-dead-letter-routing-key": "k",
    }


@pytest.mark.row("R96")
def test_operator_policy_goes_before_the_policy() -> None:
    applied = Applied(
        policy(overflow="reject-publish", max_length=5), policy(overflow="drop-head", message_ttl=9)
    )
    assert merged(applied) == {"overflow": "drop-head", "max-length": 5, "message-ttl": 9}


def test_every_argument_that_a_key_stands_for_is_one_that_queues_or_exchanges_know() -> None:
    known = set(QUEUE_ARGUMENTS) | {
        "alternate-exchange", "x-dead-letter-exchange", "x-delivery-limit", "x-consumer-timeout", "x-max-age",
        "x-stream-filter-size-bytes", "x-stream-max-segment-size-bytes",
    }  # fmt: skip
    assert {key.argument for key in KEYS.values() if key.argument} <= known


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.row("R95")
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"foo": 1}, '[{<<"foo">>,1}] are not recognised policy settings'),
        ({"foo": 1, "bar": "x"}, '[{<<"bar">>,<<"x">>},{<<"foo">>,1}] are not recognised policy settings'),
        ({"expires": "x"}, '<<"x">> is not a valid queue expiry'),
        ({"expires": 0}, "0 is not a valid queue expiry"),
        ({"message-ttl": -1}, "-1 is not a valid message TTL"),
        ({"max-length": -1}, "-1 is not a valid maximum length"),
        ({"max-length": True}, "true is not a valid maximum length"),
        ({"max-length-bytes": "x"}, '<<"x">> is not a valid maximum length in bytes'),
        ({"overflow": "nah"}, '<<"nah">> is not a valid overflow value'),
        ({"overflow": 3}, "3 is not a valid overflow value"),
        ({"dead-letter-exchange": 3}, "3 is not a valid dead letter exchange name"),
        ({"dead-letter-routing-key": 3}, "3 is not a valid dead letter routing key"),
        ({"dead-letter-strategy": "x"}, '<<"x">> is not a valid dead letter strategy'),
        ({"delivery-limit": -1}, "-1 is not a valid delivery limit"),
        ({"alternate-exchange": 3}, "3 is not a valid alternate exchange name"),
        ({"queue-mode": "zzz"}, '<<"zzz">> is not a valid queue-mode value'),
        ({"queue-version": 7}, "7 is not a valid queue-version value"),
        ({"max-age": "9"}, '<<"9">> is not a valid max age'),
    ],
)
def test_wrong_definition_is_refused_in_the_words_of_rabbitmq(
    domain: Domain, wrong: dict[str, Any], text: str
) -> None:
    """Asked from 3.10.8 over its management API."""
    with pytest.raises(BrokerError) as caught:
        domain.vhost.put_policy(Policy("/", "p", "", wrong))
    assert caught.value.text == f"Validation failed\n\n{text}\n"
    assert not list(domain.vhost.policies)


@pytest.mark.row("R95")
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"pattern": "("}, "pattern should be regular expression but is invalid: "),
        ({"pattern": "(a+)+$"}, "pattern should be regular expression but is invalid: "),
        ({"pattern": 3}, "pattern should be a binary but was 3"),
        ({"priority": "x"}, 'priority should be a number, actually was <<"x">>'),
        ({"apply_to": "x"}, "apply-to 'x' unrecognised; should be "),
        ({"definition": {}}, "no policy provided"),
    ],
)
def test_wrong_policy_is_refused(domain: Domain, changed: dict[str, Any], text: str) -> None:
    fields: dict[str, Any] = {"pattern": "", "definition": {"expires": 1}, "priority": 0, "apply_to": "all"}
    with pytest.raises(BrokerError) as caught:
        domain.vhost.put_policy(Policy("/", "p", **(fields | changed)))
    assert text in caught.value.text


@pytest.mark.row("R96")
def test_operator_policy_knows_bounds_only(domain: Domain) -> None:
    with pytest.raises(BrokerError, match="are not recognised policy settings"):
        domain.vhost.put_policy(policy(dead_letter_exchange="x"), operator=True)
    domain.vhost.put_policy(policy(message_ttl=5), operator=True)
    assert domain.vhost.declare_queue(None, "q").ttl_ms == 5


# --- what exists ----------------------------------------------------------------------------------


@pytest.mark.row("R95")
def test_limit_drops_what_is_too_much_at_once(domain: Domain) -> None:
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([queue], [message(number) for number in range(6)])
    domain.run()
    domain.vhost.put_policy(policy(max_length=2))
    assert domain.woken
    assert waiting(domain, "q") == 2
    assert domain.vhost.remove_policy("p")
    domain.publish([queue], [message(number) for number in range(6)])
    assert waiting(domain, "q") == 8


@pytest.mark.row("R95", "R46")
@pytest.mark.parametrize("cold", [False, True])
def test_limit_shortens_a_long_queue_in_parts(cold: bool) -> None:
    """Others have their turn meanwhile, and none of the newest is lost, nor what is published meanwhile."""
    domain = Domain(memory_budget=0 if cold else 1 << 30)
    long, other = (domain.vhost.declare_queue(None, name, durable=True) for name in ("long", "other"))
    count = 3 * TRIMMED_AT_ONCE
    for number in range(count):
        domain.publish([long], [message(number)])
        domain.tick()
    receiver = Receiver()
    domain.consume(domain.session(), "other", receiver)
    domain.vhost.put_policy(policy(max_length=5))
    domain.publish([other], [message("other")])
    domain.tick()
    assert receiver.bodies == [b"other"]
    assert count - 2 * TRIMMED_AT_ONCE <= long.ready_count < count
    domain.publish([long], [message(count)])
    assert waiting(domain, "long") == 5
    left: list[bytes] = []
    session, ledger = domain.session(), Ledger()
    while len(left) < 5:
        with suppress(Deferred):
            got = session.get("long", ledger, no_ack=True)
            assert got is not None
            left += bodies(got[1])
        domain.run()
    assert left == [b"%d" % number for number in range(count - 4, count + 1)]


@pytest.mark.row("R95", "R44")
def test_time_to_live_of_a_policy_is_for_what_comes_while_it_is_there(domain: Domain) -> None:
    """What waits keeps the time under which it came, as with RabbitMQ, and holds up what is behind it."""
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([queue], [message(1)])
    domain.vhost.put_policy(policy(message_ttl=1000))
    domain.publish([queue], [message(2)])
    domain.run()
    domain.advance(1001)
    assert waiting(domain, "q") == 2
    session, ledger = domain.session(), Ledger()
    assert session.get("q", ledger, no_ack=True) is not None
    assert waiting(domain, "q") == 0
    domain.publish([queue], [message(3, now_ms=domain.now_ms)])
    domain.vhost.remove_policy("p")
    domain.publish([queue], [message(4, now_ms=domain.now_ms)])
    domain.run()
    domain.advance(1001)
    assert waiting(domain, "q") == 1
    domain.advance(100_000)
    assert waiting(domain, "q") == 1


@pytest.mark.row("R95", "R44", "R66")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 2}, {"x-queue-type": "quorum"}])
def test_time_under_which_a_message_came_survives_a_restart(
    domain: Domain, arguments: dict[str, Any]
) -> None:
    """Also of what was out, in each lane, and of what a policy of days ago has said."""
    domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    session, ledger = domain.session(), Ledger()
    for number, ttl_ms in ((1, None), (2, 5000), (3, 100), (4, 3000)):
        if ttl_ms is not None:
            domain.vhost.put_policy(policy(message_ttl=ttl_ms))
        domain.publish([domain.queue("q")], [message(number, priority=number % 2)])
    assert session.get("q", ledger, no_ack=False) is not None
    domain.run()
    domain.restart()
    domain.vhost.remove_policy("p")
    domain.run()
    domain.advance(4000)
    left = []
    session = domain.session()
    domain.run()
    for _ in range(4):
        with suppress(Deferred):
            got = session.get("q", ledger, no_ack=True)
            left += [] if got is None else bodies(got[1])
        domain.run()
    assert sorted(left) == [b"1", b"2"]
    assert domain.vhost.delete_queue(None, "q") == 0
    domain.run()
    assert not domain.core.definitions.of("lifetimes")


@pytest.mark.row("R95", "R44")
def test_time_to_live_that_changes_over_and_over_is_remembered_within_bounds(domain: Domain) -> None:
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    for number in range(100):
        domain.publish([queue], [message(number)])
        domain.vhost.put_policy(policy(message_ttl=10_000 + number))
    (lane,) = queue.lanes
    assert len(lane.lifetimes) == LIFETIMES_MAX
    assert (lane.lifetime_of(0), lane.lifetime_of(99), lane.lifetime_of(100)) == (10_083, 10_098, 10_099)
    assert queue.purge() == 100
    domain.vhost.put_policy(policy(message_ttl=1))
    assert not lane.lifetimes
    assert not domain.core.definitions.of("lifetimes")


@pytest.mark.row("R95", "R45")
def test_expiry_counts_from_the_policy(domain: Domain) -> None:
    domain.vhost.declare_queue(None, "q", durable=True)
    domain.advance(5000)
    domain.vhost.put_policy(policy(expires=1000))
    domain.run()
    domain.advance(999)
    domain.run()
    assert "q" in domain.vhost.queues
    domain.advance(1)
    domain.run()
    assert "q" not in domain.vhost.queues


@pytest.mark.row("R95", "R45")
def test_expiry_ends_with_its_policy(domain: Domain) -> None:
    domain.vhost.put_policy(policy(expires=1000))
    domain.vhost.declare_queue(None, "q", durable=True)
    domain.run()
    domain.advance(500)
    domain.vhost.remove_policy("p")
    domain.advance(5000)
    domain.run()
    assert "q" in domain.vhost.queues


@pytest.mark.row("R95", "R48")
def test_dead_letters_go_where_the_policy_says(domain: Domain) -> None:
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments={"x-max-length": 1})
    domain.vhost.declare_queue(None, "dead", durable=True)
    domain.vhost.put_policy(policy(pattern="^q$", dead_letter_exchange="", dead_letter_routing_key="dead"))
    domain.publish([queue], [message(1), message(2)])
    assert (waiting(domain, "q"), waiting(domain, "dead")) == (1, 1)


@pytest.mark.row("R95", "R25")
def test_alternate_exchange_comes_and_goes_with_its_policy(domain: Domain) -> None:
    source = domain.vhost.declare_exchange("source", "direct")
    rest = domain.vhost.declare_exchange("rest", "fanout")
    queue = domain.vhost.declare_queue(None, "q")
    domain.vhost.bind(rest, queue, "", {})
    assert source.resolve(("k",)).queues == ()
    domain.vhost.put_policy(policy(pattern="^source$", alternate_exchange="rest"))
    assert source.resolve(("k",)).queues == (queue,)
    domain.vhost.delete_exchange("rest")
    assert source.resolve(("k",)).queues == ()
    domain.vhost.bind(domain.vhost.declare_exchange("rest", "fanout"), queue, "", {})
    assert source.resolve(("k",)).queues == (queue,)
    domain.vhost.remove_policy("p")
    assert source.resolve(("k",)).queues == ()


@pytest.mark.row("R95", "R52")
def test_delivery_limit_is_for_quorum_queues(domain: Domain) -> None:
    domain.vhost.put_policy(policy(delivery_limit=3))
    arguments = {"x-queue-type": "quorum"}
    quorum = domain.vhost.declare_queue(None, "a", durable=True, arguments=arguments)
    assert quorum.delivery_limit == 3
    assert domain.vhost.declare_queue(None, "b", durable=True).delivery_limit is None


def test_redeclaration_compares_arguments_only(domain: Domain) -> None:
    """What a policy adds is no argument: whoever declares the queue as before is not refused."""
    arguments = {"x-max-length": 9}
    domain.vhost.put_policy(policy(max_length=2, message_ttl=5))
    queue = domain.vhost.declare_queue(None, "q", arguments=arguments)
    assert domain.vhost.declare_queue(None, "q", arguments=arguments) is queue
    assert queue.arguments == arguments


# --- keeping them ---------------------------------------------------------------------------------


@pytest.mark.row("R95", "R96")
def test_policies_come_back_after_a_restart_and_count(domain: Domain) -> None:
    domain.vhost.put_policy(policy("a", "q", max_length=5))
    domain.vhost.put_policy(policy("b", "q", max_length=4), operator=True)
    domain.vhost.put_policy(policy("gone", "q", priority=5, max_length=1))
    domain.vhost.remove_policy("gone")
    domain.vhost.declare_queue(None, "q", durable=True)
    domain.run()
    domain.restart()
    limits = domain.queue("q").limits
    assert limits is not None
    assert limits.length == 4
    assert [each.name for each in domain.vhost.policies] == ["a"]
    assert [each.name for each in domain.vhost.operator_policies] == ["b"]
    assert not domain.vhost.remove_policy("gone")


@pytest.mark.row("R95")
def test_policy_over_many_queues_works_over_some_ticks(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vhost, "GOVERNED_AT_ONCE", 10)
    queues = [domain.vhost.declare_queue(None, f"q{number}") for number in range(35)]
    domain.vhost.put_policy(policy(message_ttl=5))
    assert [queue.ttl_ms for queue in queues] == [5] * 10 + [None] * 25
    assert domain.vhost.declare_queue(None, "new").ttl_ms == 5
    domain.vhost.remove_queue(queues[30])
    ticks = 0
    while domain.core.chores.under_way:
        domain.tick()
        ticks += 1
    assert ticks == 3
    assert [queue.ttl_ms for queue in queues] == [5] * 30 + [None] + [5] * 4
    domain.vhost.put_policy(policy(message_ttl=6))
    assert domain.vhost.remove_policy("p")
    while domain.core.chores.under_way:
        domain.tick()
    assert {queue.ttl_ms for queue in domain.vhost.queues.values()} == {None}
