"""Declaring, deleting and binding: the rules and the words of refusals.

The texts are those of RabbitMQ, measured; rows R20-R24, R31, R40-R45, R56, R63, R92, T9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from broker_tools import Domain, Outlet, Receiver, message

from pillarbox.broker.auth import Permission
from pillarbox.broker.consumer import Pool
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.queue import Queue
from pillarbox.broker.session import Session
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.amqp091 import wire

LOCKED = (
    "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on "
    "another connection or the exclusive property value does not match that of the original declaration."
)


def refusal(act: Callable[[], Any]) -> tuple[Reason, str]:
    with pytest.raises(BrokerError) as caught:
        act()
    return caught.value.reason, caught.value.text


# --- exchanges --------------------------------------------------------------------------------------------


@pytest.mark.row("R23")
@pytest.mark.parametrize(
    ("second", "text"),
    [
        (
            {"kind": "fanout"},
            "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            {"durable": True},
            "'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            "'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"internal": True},
            "'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"alternate-exchange": "y"}},
            "'alternate-exchange' for exchange 'x' in vhost '/': received the value 'y' of type 'longstr' "
            "but current is none",
        ),
        (
            {"kind": "fanout", "durable": True, "internal": True},
            "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
        ),
    ],
)
def test_exchange_declared_differently_is_refused(second: dict[str, Any], text: str) -> None:
    vhost = Domain().vhost
    vhost.declare_exchange("x", "direct")
    changed = {"kind": "direct", **second}
    assert refusal(lambda: vhost.declare_exchange("x", **changed)) == (
        Reason.PRECONDITION_FAILED,
        f"inequivalent arg {text}",
    )


@pytest.mark.row("R23")
def test_exchange_declared_again_is_the_same_one() -> None:
    """Arguments that mean nothing to it may differ."""
    vhost = Domain().vhost
    exchange = vhost.declare_exchange("x", "topic", auto_delete=True, arguments={"note": 1})
    assert vhost.declare_exchange("x", "topic", auto_delete=True, arguments={"note": 2}) is exchange
    assert exchange.arguments == {"note": 1}


@pytest.mark.row("R20", "R21")
@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda s: s.declare_exchange("", "direct"), "operation not permitted on the default exchange"),
        (lambda s: s.find_exchange(""), "operation not permitted on the default exchange"),
        (
            lambda s: s.delete_exchange("", if_unused=False),
            "operation not permitted on the default exchange",
        ),
        (
            lambda s: s.bind_queue("q", "", "k", {}, add=True),
            "operation not permitted on the default exchange",
        ),
        (
            lambda s: s.bind_queue("q", "", "k", {}, add=False),
            "operation not permitted on the default exchange",
        ),
        (
            lambda s: s.bind_exchange("", "amq.topic", "k", {}, add=True),
            "operation not permitted on the default exchange",
        ),
        (
            lambda s: s.bind_exchange("amq.topic", "", "k", {}, add=False),
            "operation not permitted on the default exchange",
        ),
        (
            lambda s: s.declare_exchange("amq.mine", "direct"),
            "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (
            lambda s: s.delete_exchange("amq.topic", if_unused=False),
            "deletion of system exchange 'amq.topic' in vhost '/' not allowed",
        ),
        (
            lambda s: s.declare_queue("amq.mine"),
            "queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (
            lambda s: s.declare_queue("amq.gen-mine"),
            "queue name 'amq.gen-mine' contains reserved prefix 'amq.*'",
        ),
    ],
)
def test_reserved_names_are_refused(act: Callable[[Session], Any], text: str) -> None:
    session = Domain().session()
    assert refusal(lambda: act(session)) == (Reason.ACCESS_REFUSED, text)


@pytest.mark.row("R23")
def test_internal_exchange_takes_no_publish() -> None:
    session = Domain().session()
    session.declare_exchange("inner", "fanout", internal=True)
    assert refusal(lambda: session.route("inner", ("k",))) == (
        Reason.ACCESS_REFUSED,
        "cannot publish to internal exchange 'inner' in vhost '/'",
    )


@pytest.mark.row("R23")
def test_missing_exchange_is_named() -> None:
    session = Domain().session()
    text = "no exchange 'x' in vhost '/'"
    assert refusal(lambda: session.find_exchange("x")) == (Reason.NOT_FOUND, text)
    assert refusal(lambda: session.route("x", ("k",))) == (Reason.NOT_FOUND, text)
    session.delete_exchange("x", if_unused=True)  # Deleting what is not there is no error.


@pytest.mark.row("R23")
def test_auto_delete_exchange_goes_with_its_last_binding() -> None:
    vhost = Domain().vhost
    source = vhost.declare_exchange("x", "direct", auto_delete=True)
    queues = [vhost.declare_queue(None, name) for name in ("a", "b")]
    for queue in queues:
        vhost.bind(source, queue, "k", {})
    vhost.unbind(source, queues[0], "k", {})
    assert "x" in vhost.exchanges
    vhost.delete_queue(None, "b")
    assert "x" not in vhost.exchanges


@pytest.mark.row("R23")
def test_auto_delete_exchange_that_was_never_bound_stays() -> None:
    vhost = Domain().vhost
    source = vhost.declare_exchange("x", "direct", auto_delete=True)
    queue = vhost.declare_queue(None, "q")
    vhost.unbind(source, queue, "k", {})
    vhost.delete_queue(None, "q")
    assert "x" in vhost.exchanges


@pytest.mark.row("R23", "R24")
def test_auto_delete_goes_up_a_chain_of_exchanges() -> None:
    """Deleting the last destination deletes its source, whose deletion deletes that one's source."""
    vhost = Domain().vhost
    one, two, three = (vhost.declare_exchange(name, "fanout", auto_delete=True) for name in "123")
    queue = vhost.declare_queue(None, "q")
    for source, destination in ((one, two), (two, three), (three, queue)):
        vhost.bind(source, destination, "", {})
    vhost.delete_queue(None, "q")
    assert not set("123") & set(vhost.exchanges)
    assert not vhost.inbound


@pytest.mark.row("R23", "R24")
def test_deleting_an_exchange_in_a_cycle_of_auto_delete_exchanges_ends() -> None:
    vhost = Domain().vhost
    one, two = (vhost.declare_exchange(name, "fanout", auto_delete=True) for name in "12")
    vhost.bind(one, two, "", {})
    vhost.bind(two, one, "", {})
    vhost.bind(one, one, "", {})
    vhost.delete_exchange("1")
    assert not set("12") & set(vhost.exchanges)
    assert not vhost.inbound


@pytest.mark.row("R23")
def test_exchange_in_use_is_not_deleted_if_unused() -> None:
    vhost = Domain().vhost
    source = vhost.declare_exchange("x", "direct")
    other = vhost.declare_exchange("y", "direct")
    vhost.bind(source, other, "k", {})
    assert refusal(lambda: vhost.delete_exchange("x", if_unused=True)) == (
        Reason.PRECONDITION_FAILED,
        "exchange 'x' in vhost '/' in use",
    )
    vhost.delete_exchange("y", if_unused=True)  # Being a destination is no use.
    vhost.delete_exchange("x", if_unused=True)


# --- queues -----------------------------------------------------------------------------------------------


@pytest.mark.row("R40")
@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (
            {},
            {"durable": True},
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            {},
            "'auto_delete' for queue 'q' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            {"arguments": {"x-message-ttl": wire.Short(1000)}},
            {},
            "'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '1000' "
            "of type 'short'",
        ),
        (
            {},
            {"arguments": {"x-message-ttl": wire.Short(2000)}},
            "'x-message-ttl' for queue 'q' in vhost '/': received the value '2000' of type 'short' "
            "but current is none",
        ),
        (
            {"arguments": {"x-message-ttl": 1000}},
            {"arguments": {"x-message-ttl": 2000}},
            "'x-message-ttl' for queue 'q' in vhost '/': received '2000' but current is '1000'",
        ),
        (
            {"arguments": {"x-message-ttl": 1000}},
            {"arguments": {"x-message-ttl": "abc"}},
            "'x-message-ttl' for queue 'q' in vhost '/': received 'abc' but current is '1000'",
        ),
        (
            {},
            {"durable": True, "auto_delete": True, "arguments": {"x-message-ttl": 1}},
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {},
            {"arguments": {"x-dead-letter-exchange": "d", "x-message-ttl": 1, "x-expires": 1}},
            "'x-expires' for queue 'q' in vhost '/': received the value '1' of type 'signedint' "
            "but current is none",
        ),
    ],
)
def test_queue_declared_differently_is_refused(
    first: dict[str, Any], second: dict[str, Any], text: str
) -> None:
    session = Domain().session()
    session.declare_queue("q", **first)
    assert refusal(lambda: session.declare_queue("q", **second)) == (
        Reason.PRECONDITION_FAILED,
        f"inequivalent arg {text}",
    )


@pytest.mark.row("R40", "R43")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"x-message-ttl": wire.Short(1000)}, {"x-message-ttl": wire.Long(1000)}),
        ({"x-message-ttl": 1000}, {"x-message-ttl": wire.UnsignedShort(1000)}),
        ({}, {"x-queue-type": "classic"}),
        ({"x-queue-type": "classic"}, {}),
        ({"x-unknown": 1}, {"x-unknown": 2}),
        ({}, {"x-unknown": "y", "my-own": None}),
    ],
)
def test_queue_declared_again_with_equal_arguments_is_the_same_one(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """T9: integers compare by value; classic is the default type; what means nothing is not compared."""
    session = Domain().session()
    queue = session.declare_queue("q", arguments=first)
    assert session.declare_queue("q", arguments=second) is queue


@pytest.mark.row("R40")
@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.declare_queue("q", exclusive=True),
        lambda s: s.declare_queue("q"),
        lambda s: s.find_queue("q"),
        lambda s: s.delete_queue("q", if_unused=False, if_empty=False),
        lambda s: s.purge_queue("q"),
        lambda s: s.bind_queue("q", "amq.direct", "k", {}, add=True),
        lambda s: s.bind_queue("q", "amq.direct", "bound", {}, add=False),
        lambda s: s.get("q", Ledger(), no_ack=False),
        lambda s: consume(s, "q"),
    ],
)
def test_exclusive_queue_is_locked_for_other_connections(act: Callable[[Session], Any]) -> None:
    domain = Domain()
    owner = domain.session()
    owner.declare_queue("q", exclusive=True)
    owner.bind_queue("q", "amq.direct", "bound", {}, add=True)
    assert refusal(lambda: act(domain.session())) == (Reason.RESOURCE_LOCKED, LOCKED)


def consume(session: Session, name: str, **options: Any) -> Any:
    defaults = {
        "tag": "c",
        "no_ack": False,
        "exclusive": False,
        "prefetch": 0,
        "pool": Pool(),
        "priority": 0,
        "arguments": {},
    }
    return session.consume(name, Receiver(), Ledger(), **{**defaults, **options})


@pytest.mark.row("R40")
def test_unbinding_what_is_not_bound_asks_nobody_who_owns_the_queue() -> None:
    domain = Domain()
    domain.session().declare_queue("q", exclusive=True)
    domain.session().bind_queue("q", "amq.direct", "k", {}, add=False)


@pytest.mark.row("R40")
@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_exclusive_declared_otherwise_is_locked_also_for_its_owner(first: bool, second: bool) -> None:
    """And that is said before any other difference."""
    session = Domain().session()
    session.declare_queue("q", exclusive=first)
    attempt = {"durable": True, "auto_delete": True, "exclusive": second}
    assert refusal(lambda: session.declare_queue("q", **attempt)) == (Reason.RESOURCE_LOCKED, LOCKED)


@pytest.mark.row("R40")
def test_owner_may_redeclare_an_exclusive_queue_as_durable() -> None:
    session = Domain().session()
    queue = session.declare_queue("q", exclusive=True)
    assert session.declare_queue("q", exclusive=True, durable=True) is queue


@pytest.mark.row("R40")
def test_exclusive_queue_goes_with_its_connection() -> None:
    """With its bindings, and nothing else of that connection does."""
    domain = Domain()
    owner = domain.session()
    owner.declare_queue("q", exclusive=True, durable=True)
    owner.declare_queue("stays")
    owner.bind_queue("q", "amq.fanout", "", {}, add=True)
    owner.close()
    assert set(domain.vhost.queues) == {"stays"}
    assert not domain.vhost.exchange("amq.fanout").bindings
    assert owner not in domain.core.sessions


@pytest.mark.row("R40")
def test_auto_delete_queue_goes_with_its_last_consumer() -> None:
    """And one that never had a consumer stays."""
    domain = Domain()
    session = domain.session()
    session.declare_queue("q", auto_delete=True)
    session.get("q", Ledger(), no_ack=True)
    consumers = [consume(session, "q", tag=tag) for tag in "ab"]
    session.cancel(consumers[0])
    assert "q" in domain.vhost.queues
    session.cancel(consumers[1])
    assert "q" not in domain.vhost.queues
    session.cancel(consumers[1])  # Once more is no error.


@pytest.mark.row("R41")
def test_server_names_are_unique_and_need_permission_like_any_other() -> None:
    domain = Domain()
    user = domain.core.add_user("limited", "x")
    domain.core.set_permission(Permission("limited", "/", "^amq\\.gen-", "^$", "^$"))
    session = domain.core.open_session(user, "/", Outlet())
    names = {session.declare_queue("").name for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("amq.gen-") and len(name) == 30 for name in names)
    domain.core.set_permission(Permission("limited", "/", "^$", "^$", "^$"))
    assert refusal(lambda: session.declare_queue(""))[0] is Reason.ACCESS_REFUSED


@pytest.mark.row("R56")
def test_delete_conditions_are_looked_at_in_order() -> None:
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q")
    domain.publish([queue], [message(1), message(2)])
    assert refusal(lambda: session.delete_queue("q", if_unused=False, if_empty=True)) == (
        Reason.PRECONDITION_FAILED,
        "queue 'q' in vhost '/' not empty",
    )
    consume(session, "q")
    assert refusal(lambda: session.delete_queue("q", if_unused=True, if_empty=True)) == (
        Reason.PRECONDITION_FAILED,
        "queue 'q' in vhost '/' in use",
    )
    assert session.delete_queue("q", if_unused=False, if_empty=False) == 2
    assert session.delete_queue("q", if_unused=True, if_empty=True) == 0


@pytest.mark.row("R56")
def test_only_ready_messages_count_for_purge_and_delete() -> None:
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q")
    domain.publish([queue], [message(number) for number in range(5)])
    ledger = Ledger()
    session.get("q", ledger, no_ack=False)
    session.get("q", ledger, no_ack=False)
    assert session.purge_queue("q") == 3
    assert session.delete_queue("q", if_unused=False, if_empty=True) == 0
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R64")
def test_consumers_are_told_that_their_queue_is_gone() -> None:
    domain = Domain()
    session = domain.session()
    session.declare_queue("q")
    receiver = Receiver()
    for tag in "ab":
        domain.consume(session, "q", receiver, tag=tag)
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert receiver.cancelled == ["a", "b"]


@pytest.mark.row("R63")
@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_exclusive_consumer_is_alone(first: bool, second: bool) -> None:
    session = Domain().session()
    session.declare_queue("q")
    consumer = consume(session, "q", tag="a", exclusive=first)
    assert refusal(lambda: consume(session, "q", tag="b", exclusive=second)) == (
        Reason.ACCESS_REFUSED,
        "queue 'q' in vhost '/' in exclusive use",
    )
    session.cancel(consumer)
    consume(session, "q", tag="b", exclusive=second)


@pytest.mark.row("R44", "R45")
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", "a", '"expected integer, got longstr"'),
        ("x-message-ttl", 1.5, '"expected integer, got double"'),
        ("x-message-ttl", wire.Float(1.5), '"expected integer, got float"'),
        ("x-message-ttl", True, '"expected integer, got bool"'),
        ("x-message-ttl", None, '"expected integer, got void"'),
        ("x-message-ttl", b"1", '"expected integer, got binary"'),
        ("x-message-ttl", [1], '"expected integer, got array"'),
        ("x-message-ttl", {}, '"expected integer, got table"'),
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", -5, "{value_negative,-5}"),
        ("x-expires", "q", '"expected integer, got longstr"'),
        ("x-queue-type", 5, "{unacceptable_type,signedint}"),
        ("x-queue-type", wire.Byte(5), "{unacceptable_type,byte}"),
    ],
)
def test_unacceptable_argument_is_named(key: str, value: Any, problem: str) -> None:
    domain = Domain()
    assert refusal(lambda: domain.session().declare_queue("q", arguments={key: value})) == (
        Reason.PRECONDITION_FAILED,
        f"invalid arg '{key}' for queue 'q' in vhost '/': {problem}",
    )
    assert not domain.vhost.queues


@pytest.mark.row("R44", "R45")
@pytest.mark.parametrize(
    "arguments",
    [
        {"x-message-ttl": 0},
        {"x-message-ttl": 315_360_000_000},
        {"x-expires": 1},
        {"x-expires": 2**32},
        {"x-queue-type": "classic"},
        {"x-unknown": "y"},
    ],
)
def test_acceptable_arguments(arguments: dict[str, Any]) -> None:
    queue = Domain().session().declare_queue("q", arguments=arguments)
    assert queue.arguments == arguments


# --- x-expires --------------------------------------------------------------------------------------------


def expiring(domain: Domain, **attributes: Any) -> Session:
    session = domain.session()
    session.declare_queue("q", arguments={"x-expires": 1000}, **attributes)
    domain.tick()
    return session


@pytest.mark.row("R45")
def test_unused_queue_expires_with_its_bindings() -> None:
    domain = Domain()
    session = expiring(domain)
    session.bind_queue("q", "amq.fanout", "", {}, add=True)
    domain.publish([domain.queue("q")], [message(1)])
    domain.advance(999)
    domain.tick()
    assert "q" in domain.vhost.queues, "publishing is no use of a queue, and the time is not over"
    domain.advance(1)
    domain.tick()
    assert "q" not in domain.vhost.queues
    assert not domain.vhost.inbound


@pytest.mark.row("R45")
@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.get("q", Ledger(), no_ack=True),
        lambda session: session.declare_queue("q", arguments={"x-expires": 1000}),
        lambda session: session.cancel(consume(session, "q")),
    ],
)
def test_using_a_queue_keeps_it(use: Callable[[Session], Any]) -> None:
    domain = Domain()
    session = expiring(domain)
    domain.advance(600)
    use(session)
    domain.advance(600)
    domain.tick()
    assert "q" in domain.vhost.queues
    domain.advance(400)
    domain.tick()
    assert "q" not in domain.vhost.queues


@pytest.mark.row("R45")
def test_consumer_keeps_a_queue_and_its_going_starts_the_time_anew() -> None:
    domain = Domain()
    session = expiring(domain)
    consumer = consume(session, "q")
    for _ in range(5):
        domain.advance(800)
        domain.tick()
    session.cancel(consumer)
    domain.advance(999)
    domain.tick()
    assert "q" in domain.vhost.queues
    domain.advance(1)
    domain.tick()
    assert "q" not in domain.vhost.queues


@pytest.mark.row("R45")
def test_expiry_of_a_durable_queue_outlives_a_restart() -> None:
    """The time begins anew at the start, because nobody could use the queue meanwhile."""
    domain = Domain()
    expiring(domain, durable=True)
    domain.advance(900)
    domain.tick()
    domain.restart()
    domain.advance(999)
    domain.tick()
    assert "q" in domain.vhost.queues
    domain.advance(1)
    domain.tick()
    assert "q" not in domain.vhost.queues
    domain.restart()
    assert "q" not in domain.vhost.queues


# --- bindings ---------------------------------------------------------------------------------------------


@pytest.mark.row("R31")
@pytest.mark.parametrize(
    ("other", "same"),
    [
        (("amq.topic", "q", "k", {}), True),
        (("amq.topic", "q", "l", {}), False),
        (("amq.topic", "q", "k", {"a": 1}), False),
        (("amq.topic", "r", "k", {}), False),
        (("amq.direct", "q", "k", {}), False),
    ],
)
def test_binding_is_known_by_its_ends_key_and_arguments(other: tuple[Any, ...], same: bool) -> None:
    vhost = Domain().vhost
    for name in "qr":
        vhost.declare_queue(None, name)
    for source, name, key, arguments in (("amq.topic", "q", "k", {}), other):
        vhost.bind(vhost.exchange(source), vhost.queues[name], key, arguments)
    assert sum(len(bindings) for bindings in vhost.inbound.values()) == (1 if same else 2)


@pytest.mark.row("R31")
def test_queue_and_exchange_of_one_name_are_two_destinations() -> None:
    vhost = Domain().vhost
    queue, exchange = vhost.declare_queue(None, "same"), vhost.declare_exchange("same", "fanout")
    source = vhost.exchange("amq.topic")
    vhost.bind(source, queue, "k", {})
    vhost.bind(source, exchange, "k", {})
    vhost.unbind(source, exchange, "k", {})
    assert source.resolve(("k",)).queues == (queue,)


@pytest.mark.row("R31")
def test_order_of_arguments_makes_no_other_binding() -> None:
    vhost = Domain().vhost
    queue, source = vhost.declare_queue(None, "q"), vhost.exchange("amq.headers")
    vhost.bind(source, queue, "", {"a": 1, "b": {"c": 1, "d": 2}})
    vhost.bind(source, queue, "", {"b": {"d": 2, "c": 1}, "a": 1})
    assert len(source.bindings) == 1


@pytest.mark.row("R23", "R31")
@pytest.mark.parametrize(
    ("queue", "source", "text"),
    [
        ("missing", "amq.direct", "no queue 'missing' in vhost '/'"),
        ("q", "missing", "no exchange 'missing' in vhost '/'"),
        ("missing", "missing", "no exchange 'missing' in vhost '/'"),
    ],
)
def test_missing_end_of_a_binding_is_named(queue: str, source: str, text: str) -> None:
    session = Domain().session()
    session.declare_queue("q")
    assert refusal(lambda: session.bind_queue(queue, source, "k", {}, add=True)) == (Reason.NOT_FOUND, text)
    session.bind_queue(queue, source, "k", {}, add=False)  # Unbinding what is not there is no error.


@pytest.mark.row("R22")
@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("foo", 'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        ("", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (wire.Byte(5), "Invalid x-match field type byte (value 5); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
    ],
)
def test_unknown_match_mode_is_refused(mode: Any, text: str) -> None:
    session = Domain().session()
    session.declare_queue("q")
    bind = {"a": 1, "x-match": mode}
    assert refusal(lambda: session.bind_queue("q", "amq.headers", "", bind, add=True)) == (
        Reason.PRECONDITION_FAILED,
        text,
    )
    session.bind_queue("q", "amq.direct", "", bind, add=True)  # Elsewhere it means nothing.


# --- permissions ------------------------------------------------------------------------------------------


@pytest.mark.row("R92")
@pytest.mark.parametrize(
    ("act", "needs"),
    [
        (lambda s: s.declare_exchange("x", "direct"), "configure exchange x"),
        (lambda s: s.delete_exchange("x", if_unused=False), "configure exchange x"),
        (lambda s: s.declare_queue("q"), "configure queue q"),
        (lambda s: s.delete_queue("q", if_unused=False, if_empty=False), "configure queue q"),
        (lambda s: s.bind_queue("q", "x", "k", {}, add=True), "write queue q, read exchange x"),
        (lambda s: s.bind_queue("q", "x", "k", {}, add=False), "write queue q, read exchange x"),
        (lambda s: s.bind_exchange("y", "x", "k", {}, add=True), "write exchange y, read exchange x"),
        (lambda s: s.bind_exchange("y", "x", "k", {}, add=False), "write exchange y, read exchange x"),
        (lambda s: s.purge_queue("q"), "read queue q"),
        (lambda s: s.get("q", Ledger(), no_ack=True), "read queue q"),
        (lambda s: consume(s, "q"), "read queue q"),
        (lambda s: s.route("x", ("k",)), "write exchange x"),
        (lambda s: s.route("", ("k",)), "write exchange amq.default"),
        (lambda s: s.find_queue("q"), ""),
        (lambda s: s.find_exchange("x"), ""),
    ],
)
def test_each_operation_needs_exactly_these_permissions(act: Callable[[Session], Any], needs: str) -> None:
    """RabbitMQ's table of operations. A missing right is said before anything else, also existence."""
    wanted = [tuple(need.split()) for need in needs.split(", ") if need]
    for missing in [None, *wanted]:
        domain = Domain()
        session = domain.session()
        for name in "xy":
            session.declare_exchange(name, "direct")
        session.declare_queue("q")
        domain.publish([domain.queue("q")], [message(1)])
        rights = {"configure": "^$", "write": "^$", "read": "^$"}
        for action, kind, name in wanted:
            if (action, kind, name) != missing:
                rights[action] = f"^{name}$"
        domain.core.add_user("limited", "x")
        domain.core.set_permission(Permission("limited", "/", **rights))
        limited = domain.session(user="limited")
        if missing is None:
            act(limited)
            continue
        for things in (domain.vhost.queues, domain.vhost.exchanges):
            text = f"access to {missing[1]} '{missing[2]}' in vhost '/' refused for user 'limited'"
            assert refusal(lambda: act(limited)) == (Reason.ACCESS_REFUSED, text)  # noqa: B023
            for name in "qxy":
                things.pop(name, None)


# --- direct reply-to --------------------------------------------------------------------------------------


@pytest.mark.row("R70")
def test_reply_queue_is_reached_by_name_listed_nowhere_and_dropped_for_good() -> None:
    domain = Domain()
    session = domain.session()
    name = session.make_reply_queue("amq.rabbitmq.reply-to.")
    assert name not in domain.vhost.queues
    assert session.is_reply_queue(name)
    assert session.is_reply_queue("amq.rabbitmq.reply-to")
    route = domain.vhost.resolve_default((name,))
    queue: Queue = route.queues[0]
    domain.publish([queue], [message(1)])
    session.drop_reply_queue(name)
    assert not route.stamp.valid
    assert not session.is_reply_queue(name)
    assert domain.core.changes.resident_bytes == 0
    session.drop_reply_queue(name)
