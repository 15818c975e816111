"""Alternate exchanges (R25) and the exchange types that RabbitMQ has as plugins (R29, R30)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pytest
from broker_target import Target
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, closes_channel, consume, drain, publish

MESSAGES = 400
Queues = Callable[[int], list[str]]


@pytest.fixture
def channel(pika_to: Pika) -> BlockingChannel:
    return pika_to.channel()


@pytest.fixture
def queues(channel: BlockingChannel) -> Queues:
    """Return a maker of so many exclusive queues."""
    return lambda count: [channel.queue_declare("", exclusive=True).method.queue for _ in range(count)]


def declare(channel: BlockingChannel, name: str, kind: str, **arguments: Any) -> str:
    """Declare an exchange that goes with its last binding; `_` in arguments' names is `-`."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.exchange_declare(name, kind, auto_delete=True, arguments=table)
    return name


def shares(channel: BlockingChannel, queues: list[str]) -> list[set[bytes]]:
    """Take what the queues got; no message twice."""
    got = [drain(channel, queue) for queue in queues]
    assert all(len(set(bodies)) == len(bodies) for bodies in got)
    return [set(bodies) for bodies in got]


def demand_fair(sizes: list[int], weights: list[int]) -> None:
    """Fail unless every size is within five standard deviations of its share."""
    total = sum(sizes)
    assert total == MESSAGES
    for size, weight in zip(sizes, weights, strict=True):
        part = weight / sum(weights)
        assert abs(size - total * part) < 5 * (total * part * (1 - part)) ** 0.5, (sizes, weights)


# --- alternate exchanges --------------------------------------------------------------------------------


@pytest.mark.row("R25", "R27")
def test_alternate_takes_what_no_binding_matches(channel: BlockingChannel, queues: Queues, name: str) -> None:
    """R25: with its own key and headers; and so it is routed, for a mandatory message too."""
    bound, rest = queues(2)
    declare(channel, name, "direct", alternate_exchange=f"{name}-alternate")
    channel.queue_bind(bound, name, "key")
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(name, "other", b"nobody", mandatory=True)
    declare(channel, f"{name}-alternate", "topic")
    channel.queue_bind(rest, f"{name}-alternate", "oth*.#")
    channel.queue_bind(rest, f"{name}-alternate", "other")
    received = consume(channel, rest)
    channel.basic_publish(name, "key", b"bound", mandatory=True)
    channel.basic_publish(name, "other", b"rest", pika.BasicProperties(headers={"n": 1}), mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(name, "another", b"nobody", mandatory=True)
    received.settled(1)
    assert (received.bodies, received.properties[0].headers) == ([b"rest"], {"n": 1})
    assert (received.methods[0].exchange, received.methods[0].routing_key) == (name, "other")
    assert drain(channel, bound) == [b"bound"]


@pytest.mark.row("R25")
def test_publisher_sees_an_alternate_come_and_go(
    pika_to: Pika, channel: BlockingChannel, queues: Queues, name: str
) -> None:
    """R25: routes that a publisher has used before follow what another connection changes."""
    (queue,) = queues(1)
    other = pika_to.channel()
    alternate = f"{name}-alternate"
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": alternate})

    def arrives(body: bytes) -> bool:
        publish(channel, "key", body, exchange=name)
        return drain(channel, queue) == [body]

    assert not arrives(b"before there is an alternate")
    other.exchange_declare(alternate, "fanout")
    assert not arrives(b"nothing is bound to it")
    channel.queue_bind(queue, alternate)
    assert arrives(b"bound")
    channel.queue_unbind(queue, alternate)
    assert not arrives(b"unbound")
    channel.queue_bind(queue, alternate)
    other.exchange_delete(alternate)
    assert not arrives(b"deleted")
    other.exchange_declare(alternate, "direct")
    channel.queue_bind(queue, alternate, "key")
    assert arrives(b"another of the same name")
    other.queue_declare(f"{name}-direct", auto_delete=True)
    other.queue_bind(f"{name}-direct", name, "key")
    assert not arrives(b"a binding of its own comes first")
    other.queue_delete(f"{name}-direct")
    assert arrives(b"and counts no more when it is gone")
    other.exchange_delete(alternate)
    other.exchange_delete(name)


@pytest.mark.row("R25", "R24")
def test_alternates_in_a_circle_end(channel: BlockingChannel, queues: Queues, name: str) -> None:
    """R25: three exchanges that name each other, and one that names itself."""
    names = [f"{name}-{number}" for number in range(3)]
    for number, one in enumerate(names):
        channel.exchange_declare(one, "direct", arguments={"alternate-exchange": names[number - 1]})
    (queue,) = queues(1)
    publish(channel, "key", b"nobody", exchange=names[0])
    channel.queue_bind(queue, names[1], "key")
    publish(channel, "key", b"0", exchange=names[0])
    publish(channel, "key", b"1", exchange=names[1])
    publish(channel, "key", b"2", exchange=names[2])
    assert drain(channel, queue) == [b"0", b"1", b"2"]
    for one in names:
        channel.exchange_delete(one)


@pytest.mark.row("R25", "406")
def test_alternate_has_to_be_a_name(channel: BlockingChannel, name: str) -> None:
    where = f"exchange '{name}' in vhost '/'"
    text = f"PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange' in {where}"
    with closes_channel(406, text):
        declare(channel, name, "direct", alternate_exchange=True)


@pytest.mark.row("R25", "R92", "403")
def test_alternate_needs_write_permission(pika_to: Pika, name: str) -> None:
    """R92: asked when the exchange is made; then whoever may write to it may use its alternate."""
    channel = pika_to.channel(user="pb-limited", password="limited-secret")
    text = "ACCESS_REFUSED - access to exchange 'amq.fanout' in vhost '/' refused for user 'pb-limited'"
    with closes_channel(403, text):
        declare(channel, f"own-{name}", "direct", alternate_exchange="amq.fanout")


# --- consistent hash ------------------------------------------------------------------------------------


@pytest.mark.row("R29")
def test_consistent_hash_shares_keys_out_by_weight(
    channel: BlockingChannel, queues: Queues, name: str
) -> None:
    """R29: each key has one queue, and queues get shares of the keys in proportion to their weights."""
    weights = [1, 2, 5]
    bound = queues(len(weights))
    declare(channel, name, "x-consistent-hash")
    for queue, weight in zip(bound, weights, strict=True):
        channel.queue_bind(queue, name, str(weight))
    results = []
    for _ in range(2):
        for number in range(MESSAGES):
            publish(channel, f"user-{number}", b"%d" % number, exchange=name)
        results.append(shares(channel, bound))
    demand_fair([len(got) for got in results[0]], weights)
    assert results[0] == results[1]


@pytest.mark.row("R29")
def test_consistent_hash_moves_few_keys_when_a_queue_goes(
    channel: BlockingChannel, queues: Queues, name: str
) -> None:
    """R29: those of the queue that went, and (with the queue bound last) none of the others."""
    bound = queues(4)
    declare(channel, name, "x-consistent-hash")
    for queue in bound:
        channel.queue_bind(queue, name, "10")

    def placed() -> list[set[bytes]]:
        for number in range(MESSAGES):
            publish(channel, f"user-{number}", b"%d" % number, exchange=name)
        return shares(channel, bound)

    before = placed()
    channel.queue_unbind(bound[3], name, "10")
    after = placed()
    assert after[3] == set()
    assert all(one <= other for one, other in zip(before[:3], after[:3], strict=True))
    assert sum(map(len, after)) == MESSAGES
    channel.queue_bind(bound[3], name, "10")
    assert placed() == before


HASHED: dict[str, tuple[dict[str, str], Callable[[int], dict[str, Any]]]] = {
    "header": ({"hash-header": "user"}, lambda n: {"headers": {"user": f"user-{n}"}}),
    "number in a header": ({"hash-header": "user"}, lambda n: {"headers": {"user": n}}),
    "message_id": ({"hash-property": "message_id"}, lambda n: {"message_id": f"id-{n}"}),
    "correlation_id": ({"hash-property": "correlation_id"}, lambda n: {"correlation_id": f"id-{n}"}),
    "timestamp": ({"hash-property": "timestamp"}, lambda n: {"timestamp": 1_700_000_000 + n}),
}


@pytest.mark.row("R29")
@pytest.mark.parametrize("case", HASHED)
def test_consistent_hash_by_header_or_property(
    channel: BlockingChannel, queues: Queues, name: str, case: str
) -> None:
    """R29: hash-header and hash-property replace the routing key; messages without stay together."""
    arguments, of = HASHED[case]
    bound = queues(2)
    declare(channel, name, "x-consistent-hash", **arguments)
    for queue in bound:
        channel.queue_bind(queue, name, "3")
    results = []
    for key in ("one key", "another"):
        for number in range(MESSAGES):
            publish(channel, key, b"%d" % number, exchange=name, **of(number))
        results.append(shares(channel, bound))
    demand_fair([len(got) for got in results[0]], [1, 1])
    assert results[0] == results[1]
    for number in range(20):
        publish(channel, f"key-{number}", b"%d" % number, exchange=name)
    assert sorted(len(got) for got in shares(channel, bound)) == [0, 20]


WEIGHTS = {
    "word": ("heavy", 'The binding key must be an integer: <<"heavy">>'),
    "nothing": ("", "The binding key must be an integer: <<>>"),
    "fraction": ("1.5", 'The binding key must be an integer: <<"1.5">>'),
    "zero": ("0", "The binding key must be greater than 0"),
    "negative": ("-3", "The binding key must be greater than 0"),
}


@pytest.mark.row("R29", "406")
@pytest.mark.parametrize("case", WEIGHTS)
def test_consistent_hash_binding_key_is_a_weight(
    channel: BlockingChannel, queues: Queues, name: str, case: str
) -> None:
    key, text = WEIGHTS[case]
    (queue,) = queues(1)
    channel.exchange_declare(name, "x-consistent-hash", auto_delete=True)
    channel.queue_bind(queue, name, "1")
    with closes_channel(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_bind(queue, name, key)


@pytest.mark.row("R29", "406")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hash-header": "h", "hash-property": "message_id"},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-property": "app_id"}, "Unsupported property: app_id"),
    ],
)
def test_consistent_hash_arguments_are_checked(
    channel: BlockingChannel, name: str, arguments: dict[str, str], text: str
) -> None:
    with closes_channel(406, f"PRECONDITION_FAILED - {text}"):
        declare(channel, name, "x-consistent-hash", **arguments)


# --- other types ----------------------------------------------------------------------------------------


@pytest.mark.row("R30")
@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_random_exchange_gives_each_message_to_any_one_queue(
    channel: BlockingChannel, queues: Queues, name: str, kind: str, broker: Target
) -> None:
    """R30: also messages of one key, in about equal shares."""
    if kind == "x-local-random" and broker.kind != "pillarbox":
        pytest.skip("RabbitMQ has x-local-random since 4.0")
    bound = queues(3)
    declare(channel, name, kind)
    for queue in bound:
        channel.queue_bind(queue, name, "")
    for number in range(MESSAGES):
        publish(channel, "key", b"%d" % number, exchange=name)
    demand_fair([len(got) for got in shares(channel, bound)], [1, 1, 1])


@pytest.mark.row("R30", "406")
def test_local_random_exchange_takes_no_binding_key(
    channel: BlockingChannel, queues: Queues, name: str, broker: Target
) -> None:
    if broker.kind != "pillarbox":
        pytest.skip("RabbitMQ has x-local-random since 4.0")
    (queue,) = queues(1)
    declare(channel, name, "x-local-random")
    channel.queue_bind(queue, name, "")
    with closes_channel(406, "PRECONDITION_FAILED - Non empty binding 'k' key not permitted"):
        channel.queue_bind(queue, name, "k")


@pytest.mark.row("R30")
def test_modulus_hash_exchange_keeps_equal_keys_together(
    channel: BlockingChannel, queues: Queues, name: str
) -> None:
    """R30: binding keys mean nothing; the routing key chooses."""
    bound = queues(4)
    declare(channel, name, "x-modulus-hash")
    for number, queue in enumerate(bound):
        channel.queue_bind(queue, name, f"any-{number}")
    results = []
    for _ in range(2):
        for number in range(MESSAGES):
            publish(channel, f"user-{number}", b"%d" % number, exchange=name)
        results.append(shares(channel, bound))
    demand_fair([len(got) for got in results[0]], [1] * 4)
    assert results[0] == results[1]


@pytest.mark.row("R30")
def test_recent_history_goes_to_who_is_bound_later(
    channel: BlockingChannel, queues: Queues, name: str
) -> None:
    """R30: the last messages first, in their order; then what is published from now on."""
    first, second = queues(2)
    channel.exchange_declare(name, "x-recent-history", arguments={"x-recent-history-length": 3})
    for number in range(5):
        publish(channel, f"key-{number}", b"%d" % number, exchange=name, headers={"n": number})
    publish(channel, "key", b"not kept", exchange=name, headers={"x-recent-history-no-store": True})
    received = consume(channel, first)
    channel.queue_bind(first, name)
    publish(channel, "key", b"new", exchange=name)
    assert received.settled(4) == [b"2", b"3", b"4", b"new"]
    assert [method.routing_key for method in received.methods] == ["key-2", "key-3", "key-4", "key"]
    assert [properties.headers for properties in received.properties[:3]] == [{"n": n} for n in (2, 3, 4)]
    assert not any(method.redelivered for method in received.methods)
    channel.queue_bind(second, name)
    assert drain(channel, second) == [b"3", b"4", b"new"]
    channel.exchange_delete(name)


@pytest.mark.row("R30", "406")
@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (-1, "-1"), ("5", '<<"5">>'), (True, "true")])
def test_recent_history_length_is_positive(
    channel: BlockingChannel, name: str, value: object, shown: str
) -> None:
    text = f"Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
    with closes_channel(406, f"PRECONDITION_FAILED - {text}"):
        channel.exchange_declare(name, "x-recent-history", arguments={"x-recent-history-length": value})
