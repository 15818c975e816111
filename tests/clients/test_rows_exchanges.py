"""Exchanges and bindings (R20-R24, R26, R27, R31)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, closes_channel, closes_connection, drain, exists, publish, ready


@pytest.fixture
def channel(pika_to: Pika) -> BlockingChannel:
    return pika_to.channel()


@pytest.fixture
def queue(channel: BlockingChannel) -> Callable[..., str]:
    """Return a maker of exclusive queues, bound as asked: (exchange, key, arguments) each."""

    def make(*bindings: tuple[str, str] | tuple[str, str, dict[str, Any]]) -> str:
        made: str = channel.queue_declare("", exclusive=True).method.queue
        for exchange, key, *arguments in bindings:
            channel.queue_bind(made, exchange, key, *arguments)
        return made

    return make


def exchange(channel: BlockingChannel, name: str, kind: str, **options: Any) -> str:
    """Declare an exchange that goes with its last binding."""
    channel.exchange_declare(name, kind, auto_delete=True, **options)
    return name


# The default exchange and the predeclared ones ------------------------------------------------------


@pytest.mark.row("R20")
def test_default_exchange_routes_to_the_queue_of_that_name(channel: BlockingChannel, queue: Any) -> None:
    """R20: every queue is reachable by its name, without a binding of its own."""
    wanted, other = queue(), queue()
    publish(channel, wanted, b"hello")
    assert (drain(channel, wanted), drain(channel, other)) == ([b"hello"], [])


@pytest.mark.row("R20", "403")
def test_default_exchange_cannot_be_touched(pika_to: Pika, name: str) -> None:
    """R20: declare, bind and delete are refused with 403."""
    connection = pika_to.connect()
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    with closes_channel(403, text):
        connection.channel().exchange_declare("", "direct", passive=False)
    with closes_channel(403, text):
        connection.channel().exchange_delete("")
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    with closes_channel(403, text):
        channel.queue_bind(name, "", "key")


@pytest.mark.row("R21")
@pytest.mark.parametrize(
    ("predeclared", "kind"),
    [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ],
)
def test_predeclared_exchanges_are_there(channel: BlockingChannel, predeclared: str, kind: str) -> None:
    """R21: durable, of the type of their name, and redeclaring them alike is allowed."""
    channel.exchange_declare(predeclared, kind, passive=True)
    channel.exchange_declare(predeclared, kind, durable=True)


@pytest.mark.row("R21")
def test_trace_exchange_is_an_internal_topic_exchange(pika_to: Pika) -> None:
    """R21: amq.rabbitmq.trace can be bound to, but not published to."""
    channel = pika_to.channel()
    channel.exchange_declare("amq.rabbitmq.trace", "topic", durable=True, internal=True)
    channel.queue_declare("", exclusive=True)
    channel.queue_bind("", "amq.rabbitmq.trace", "#")
    publish(channel, "key", b"x", exchange="amq.rabbitmq.trace")
    with closes_channel(
        403, "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    ):
        channel.queue_declare("", exclusive=True)


# Kinds ----------------------------------------------------------------------------------------------


@pytest.mark.row("R22")
def test_direct_routes_by_equal_key(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R22: direct compares whole keys; several queues may share one, one queue may have several."""
    exchange(channel, name, "direct")
    first, second = queue((name, "a"), (name, "b")), queue((name, "a"))
    for key in ("a", "b", "c", "A", ""):
        publish(channel, key, f"to {key}".encode(), exchange=name)
    assert drain(channel, first) == [b"to a", b"to b"]
    assert drain(channel, second) == [b"to a"]


@pytest.mark.row("R22")
def test_fanout_ignores_the_key(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R22: every bound queue gets one copy, however often it is bound."""
    exchange(channel, name, "fanout")
    first, second = queue((name, "a"), (name, "b")), queue((name, ""))
    publish(channel, "other", b"one", b"two", exchange=name)
    assert drain(channel, first) == drain(channel, second) == [b"one", b"two"]


TOPIC_KEYS = (
    "",
    "a",
    "a.b",
    "a.b.c",
    "b",
    "b.a",
    "a.",
    ".a",
    "a..b",
    ".",
    "c.b.a",
    "a.b.c.d",
    "lazy.orange.rabbit",
    "#",
    "*",
    "a.*",
)
TOPIC_PATTERNS: dict[str, set[str]] = {
    "#": set(TOPIC_KEYS),
    "*": {"a", "b", "#", "*"},
    "a": {"a"},
    "a.*": {"a.b", "a.", "a.*"},
    "a.#": {"a", "a.b", "a.b.c", "a.", "a..b", "a.b.c.d", "a.*"},
    "#.a": {"a", "b.a", ".a", "c.b.a"},
    "*.*": {"a.b", "b.a", "a.", ".a", ".", "a.*"},
    "#.b.#": {"a.b", "a.b.c", "b", "b.a", "a..b", "c.b.a", "a.b.c.d"},
    "a.#.b": {"a.b", "a..b"},
    "*.#.c.*": {"a.b.c.d"},
    "#.#": set(TOPIC_KEYS),
    "*.#": set(TOPIC_KEYS) - {""},
    "": {""},
    "a..b": {"a..b"},
    "lazy.#": {"lazy.orange.rabbit"},
}


@pytest.mark.row("R22")
@pytest.mark.parametrize("pattern", TOPIC_PATTERNS)
def test_topic_patterns(channel: BlockingChannel, queue: Any, name: str, pattern: str) -> None:
    """R22: words are split by dots; `*` is one word, `#` any number; the empty key has no word."""
    exchange(channel, name, "topic")
    bound = queue((name, pattern))
    for key in TOPIC_KEYS:
        publish(channel, key, key.encode(), exchange=name)
    assert {body.decode() for body in drain(channel, bound)} == TOPIC_PATTERNS[pattern]


@pytest.mark.row("R22")
def test_topic_queue_with_overlapping_patterns_gets_one_copy(
    channel: BlockingChannel, queue: Any, name: str
) -> None:
    """R22: two matching bindings of one queue do not double the message."""
    exchange(channel, name, "topic")
    bound = queue((name, "a.*"), (name, "#"), (name, "*.b"))
    publish(channel, "a.b", b"once", exchange=name)
    assert drain(channel, bound) == [b"once"]


HEADERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "all, all there": ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 3}, True),
    "all, one missing": ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1}, False),
    "all, one different": ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "y"}, False),
    "all is the default": ({"a": 1, "b": "x"}, {"a": 1}, False),
    "all of nothing": ({"x-match": "all"}, {"a": 1}, True),
    "any, one there": ({"x-match": "any", "a": 1, "b": "x"}, {"b": "x"}, True),
    "any, none there": ({"x-match": "any", "a": 1, "b": "x"}, {"b": "y", "c": 1}, False),
    "any of nothing": ({"x-match": "any"}, {"a": 1}, False),
    "no headers, all": ({"x-match": "all", "a": 1}, {}, False),
    "void matches any value": ({"x-match": "all", "a": None}, {"a": "whatever"}, True),
    "void needs the header": ({"x-match": "all", "a": None}, {"b": 1}, False),
    "x- is ignored by all": ({"x-match": "all", "x-a": 1, "b": 2}, {"b": 2}, True),
    "x- is ignored by any": ({"x-match": "any", "x-a": 1, "b": 2}, {"x-a": 1}, False),
    "x- counts for all-with-x": ({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"b": 2}, False),
    "all-with-x, all there": ({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"x-a": 1, "b": 2}, True),
    "x- counts for any-with-x": ({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 1}, True),
    "booleans": ({"x-match": "all", "a": True}, {"a": True}, True),
    "boolean is no number": ({"x-match": "all", "a": True}, {"a": 1}, False),
    "number is no string": ({"x-match": "all", "a": 1}, {"a": "1"}, False),
}


@pytest.mark.row("R22")
@pytest.mark.parametrize("case", HEADERS)
def test_headers_exchange(channel: BlockingChannel, queue: Any, name: str, case: str) -> None:
    """R22: x-match all, any, all-with-x, any-with-x."""
    arguments, headers, matches = HEADERS[case]
    exchange(channel, name, "headers")
    bound = queue((name, "", arguments))
    publish(channel, "key is ignored", b"x", exchange=name, headers=headers)
    assert drain(channel, bound) == ([b"x"] if matches else [])


@pytest.mark.row("R22", "503", "406")
def test_unknown_exchange_type_is_refused(pika_to: Pika, name: str) -> None:
    """RabbitMQ 3.10 closes the connection with 503; later ones close the channel with 406."""
    with pytest.raises(
        (pika.exceptions.ConnectionClosedByBroker, pika.exceptions.ChannelClosedByBroker)
    ) as caught:
        pika_to.channel().exchange_declare(name, "x-nonsense")
    assert caught.value.reply_code in (503, 406)
    assert caught.value.reply_text.endswith("unknown exchange type 'x-nonsense'")


# Properties of exchanges ------------------------------------------------------------------------------


@pytest.mark.row("R23")
def test_exchange_delete_is_idempotent(pika_to: Pika, name: str) -> None:
    """R23: deleting what is not there is no error; deleting what is there removes it."""
    connection = pika_to.connect()
    channel = connection.channel()
    channel.exchange_delete(name)
    channel.exchange_declare(name, "direct")
    assert exists(connection, exchange=name)
    channel.exchange_delete(name)
    channel.exchange_delete(name)
    assert not exists(connection, exchange=name)


@pytest.mark.row("R23")
def test_auto_delete_exchange_goes_with_its_last_binding(pika_to: Pika, name: str) -> None:
    """R23: fires after the last binding was removed, not before the first one was made."""
    connection = pika_to.connect()
    channel = connection.channel()
    channel.exchange_declare(name, "direct", auto_delete=True)
    channel.queue_declare("", exclusive=True)
    channel.queue_bind("", name, "a")
    channel.queue_bind("", name, "b")
    channel.queue_unbind("", name, "a")
    assert exists(connection, exchange=name)
    channel.queue_unbind("", name, "b")
    assert not exists(connection, exchange=name)


@pytest.mark.row("R23")
def test_auto_delete_exchange_goes_with_its_last_queue(pika_to: Pika, name: str) -> None:
    """R23: a deleted queue takes its bindings along, and they the exchange."""
    connection = pika_to.connect()
    channel = connection.channel()
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name)
    channel.queue_delete(name)
    assert not exists(connection, exchange=name)


@pytest.mark.row("R23")
def test_passive_declare_asks_only_for_the_name(pika_to: Pika, name: str) -> None:
    """R23: type and flags of a passive declare are not compared."""
    channel = pika_to.channel()
    exchange(channel, name, "topic")
    channel.exchange_declare(name, "direct", passive=True, durable=True)
    with closes_channel(404, f"NOT_FOUND - no exchange 'no-{name}' in vhost '/'"):
        channel.exchange_declare(f"no-{name}", "direct", passive=True)


REDECLARED = {
    "type": ({"exchange_type": "fanout"}, "'type'", "received 'fanout' but current is 'direct'"),
    "durable": ({"durable": True}, "'durable'", "received 'true' but current is 'false'"),
    "auto_delete": ({"auto_delete": False}, "'auto_delete'", "received 'false' but current is 'true'"),
    "internal": ({"internal": True}, "'internal'", "received 'true' but current is 'false'"),
    "alternate exchange": (
        {"arguments": {"alternate-exchange": "other"}},
        "'alternate-exchange'",
        "received the value 'other' of type 'longstr' but current is none",
    ),
}


@pytest.mark.row("R23", "406", "T9")
@pytest.mark.parametrize("property_", REDECLARED)
def test_exchange_redeclare_has_to_be_equivalent(pika_to: Pika, name: str, property_: str) -> None:
    """R23, T9: 406 names the argument, what was received and what is."""
    options, argument, values = REDECLARED[property_]
    channel = pika_to.channel()
    declared: dict[str, Any] = {"exchange_type": "direct", "auto_delete": True}
    channel.exchange_declare(name, **declared)
    channel.exchange_declare(name, **declared)
    with closes_channel(
        406, f"PRECONDITION_FAILED - inequivalent arg {argument} for exchange '{name}' in vhost '/': {values}"
    ):
        channel.exchange_declare(name, **(declared | options))


@pytest.mark.row("R23")
def test_durable_exchange_and_its_life(pika_to: Pika, name: str) -> None:
    """R23: a durable exchange outlives the connection that declared it."""
    first = pika_to.connect()
    first.channel().exchange_declare(name, "direct", durable=True)
    first.close()
    second = pika_to.connect()
    assert exists(second, exchange=name)
    second.channel().exchange_delete(name)


# Bindings ---------------------------------------------------------------------------------------------


@pytest.mark.row("R31")
def test_same_binding_twice_is_one_binding(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R31: binding again changes nothing; one unbind removes it."""
    exchange(channel, name, "direct")
    bound = queue((name, "key"), (name, "key"), (name, "other"))
    publish(channel, "key", b"once", exchange=name)
    assert drain(channel, bound) == [b"once"]
    channel.queue_unbind(bound, name, "key")
    publish(channel, "key", b"gone", exchange=name)
    assert drain(channel, bound) == []


@pytest.mark.row("R31")
def test_arguments_are_part_of_a_binding(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R31: the same key with other arguments is another binding, unbound by exactly these arguments."""
    exchange(channel, name, "headers")
    red, blue = {"x-match": "all", "colour": "red"}, {"x-match": "all", "colour": "blue"}
    bound = queue((name, "", red), (name, "", blue))
    channel.queue_unbind(bound, name, "", red)
    publish(channel, "", b"red", exchange=name, headers={"colour": "red"})
    publish(channel, "", b"blue", exchange=name, headers={"colour": "blue"})
    assert drain(channel, bound) == [b"blue"]


@pytest.mark.row("R31")
def test_unbind_of_what_is_not_bound_is_no_error(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R31: neither a missing binding, nor a missing queue, nor a missing exchange."""
    exchange(channel, name, "direct")
    bound = queue((name, "key"))
    channel.queue_unbind(bound, name, "never")
    channel.queue_unbind(f"no-{name}", name, "key")
    channel.queue_unbind(bound, f"no-{name}", "key")
    channel.exchange_unbind(f"no-{name}", name, "key")
    publish(channel, "key", b"still bound", exchange=name)
    assert drain(channel, bound) == [b"still bound"]


# Exchange to exchange ---------------------------------------------------------------------------------


@pytest.mark.row("R24")
def test_exchange_to_exchange_binding_routes_by_both(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R24: the source's rule first, then the destination's, with the same key."""
    source, destination = exchange(channel, f"{name}-s", "topic"), exchange(channel, f"{name}-d", "direct")
    channel.exchange_bind(destination, source, "a.#")
    bound = queue((destination, "a.b"))
    for key in ("a.b", "a.c", "b"):
        publish(channel, key, key.encode(), exchange=source)
    publish(channel, "a.b", b"direct", exchange=destination)
    assert drain(channel, bound) == [b"a.b", b"direct"]
    channel.exchange_unbind(destination, source, "a.#")
    assert not exists(channel.connection, exchange=source)


@pytest.mark.row("R24")
def test_exchange_cycle_delivers_once(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R24: routing through a ring of exchanges ends, and every queue gets one copy."""
    first, second = exchange(channel, f"{name}-1", "fanout"), exchange(channel, f"{name}-2", "fanout")
    channel.exchange_bind(second, first)
    channel.exchange_bind(first, second)
    both, one = queue((first, ""), (second, "")), queue((second, ""))
    publish(channel, "key", b"x", exchange=first)
    assert (drain(channel, both), drain(channel, one)) == ([b"x"], [b"x"])
    channel.exchange_delete(first)
    channel.exchange_delete(second)


@pytest.mark.row("R24")
def test_exchange_diamond_delivers_once(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R24: two ways to one queue are one delivery."""
    top = exchange(channel, f"{name}-top", "fanout")
    left, right = exchange(channel, f"{name}-l", "direct"), exchange(channel, f"{name}-r", "topic")
    channel.exchange_bind(left, top)
    channel.exchange_bind(right, top)
    bound = queue((left, "k"), (right, "#"))
    publish(channel, "k", b"x", exchange=top)
    assert drain(channel, bound) == [b"x"]


# Sender-selected keys ---------------------------------------------------------------------------------


@pytest.mark.row("R26")
def test_cc_and_bcc_are_further_keys(channel: BlockingChannel, queue: Any) -> None:
    """R26: CC and BCC add routing keys; BCC is taken out of what is delivered, CC stays."""
    to, cc, bcc = queue(), queue(), queue()
    publish(channel, to, b"x", headers={"CC": [cc], "BCC": [bcc], "other": 1})
    for each in (to, cc, bcc):
        method, properties, body = channel.basic_get(each, auto_ack=True)
        assert (body, method.routing_key) == (b"x", to)
        assert properties.headers == {"CC": [cc], "other": 1}


@pytest.mark.row("R26")
def test_cc_of_the_same_queue_is_one_message(channel: BlockingChannel, queue: Any) -> None:
    """R26: the keys are a set."""
    to = queue()
    publish(channel, to, b"x", headers={"CC": [to, to], "BCC": [to]})
    assert drain(channel, to) == [b"x"]


@pytest.mark.row("R26")
def test_cc_works_on_other_exchanges(channel: BlockingChannel, queue: Any, name: str) -> None:
    """R26: also for direct and topic exchanges."""
    exchange(channel, name, "topic")
    bound = queue((name, "news.#"))
    publish(channel, "other", b"x", exchange=name, headers={"BCC": ["news.today"]})
    assert drain(channel, bound) == [b"x"]


# mandatory --------------------------------------------------------------------------------------------


@pytest.mark.row("R27", "312")
def test_mandatory_unroutable_is_returned_with_everything(pika_to: Pika, name: str) -> None:
    """R27: basic.return 312 NO_ROUTE carries exchange, key, properties and body."""
    channel = pika_to.channel()
    returned: list[tuple[Any, Any, bytes]] = []
    channel.add_on_return_callback(
        lambda _, method, properties, body: returned.append((method, properties, body))
    )
    properties = pika.BasicProperties(content_type="text/plain", headers={"n": 1})
    channel.basic_publish("amq.direct", name, b"lost", properties, mandatory=True)
    channel.basic_publish("amq.direct", name, b"dropped", properties, mandatory=False)
    channel.queue_declare("", exclusive=True)
    channel.connection.process_data_events(0)
    assert len(returned) == 1
    method, got, body = returned[0]
    assert (method.reply_code, method.reply_text) == (312, "NO_ROUTE")
    assert (method.exchange, method.routing_key, body) == ("amq.direct", name, b"lost")
    assert (got.content_type, got.headers) == ("text/plain", {"n": 1})


@pytest.mark.row("R27", "R61")
def test_mandatory_return_comes_before_its_confirm(pika_to: Pika, name: str) -> None:
    """R27: an unroutable message is returned and then acknowledged; pika raises with what was returned."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("", name, b"lost", mandatory=True)
    assert [message.body for message in caught.value.messages] == [b"lost"]
    channel.basic_publish("", name, b"unroutable but not mandatory")


@pytest.mark.row("R27")
def test_mandatory_routed_is_not_returned(pika_to: Pika, name: str) -> None:
    """R27: one queue is enough."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"found", mandatory=True)
    assert ready(channel, name) == 1


@pytest.mark.row("540")
def test_immediate_is_not_implemented(pika_to: Pika, name: str) -> None:
    """1.2, 540: pika has no way to ask for it, so the flag is set on the frame."""
    channel = pika_to.channel()
    method = pika.spec.Basic.Publish(exchange="", routing_key=name, immediate=True)
    channel._impl._send_method(method, (pika.BasicProperties(), b"x"))
    with closes_connection(540, "NOT_IMPLEMENTED - immediate=true"):
        channel.queue_declare("", exclusive=True)
