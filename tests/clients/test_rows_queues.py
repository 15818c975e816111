"""Queues: properties and arguments (R40-R48, R50, R55-R57)."""

from __future__ import annotations

import time
from typing import Any

import pika
import pytest
from broker_target import Target
from pamqp import commands
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import (
    WAIT_S,
    Pika,
    closes_channel,
    consume,
    consumers,
    drain,
    exists,
    publish,
    ready,
    wait_ready,
    wait_until,
)
from raw_client import RawClient


@pytest.fixture
def channel(pika_to: Pika) -> BlockingChannel:
    """Return a confirming channel: what was published is in its queue when the call returns."""
    made = pika_to.channel()
    made.confirm_delivery()
    return made


def exclusive(channel: BlockingChannel, name: str, **arguments: Any) -> str:
    """Declare a queue that goes with its connection; `x_message_ttl=1` is the argument x-message-ttl."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, exclusive=True, arguments=table or None)
    return name


# Durable, exclusive, auto-delete, passive -----------------------------------------------------------


@pytest.mark.row("R40")
def test_durable_queue_outlives_its_connection(pika_to: Pika, name: str) -> None:
    """R40: a durable queue and its messages stay when the connection goes."""
    first = pika_to.connect()
    channel = first.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    publish(channel, name, b"kept", delivery_mode=2)
    first.close()
    channel = pika_to.channel()
    assert channel.queue_declare(name, durable=True).method.message_count == 1
    assert drain(channel, name) == [b"kept"]
    channel.queue_delete(name)


@pytest.mark.row("R40")
def test_transient_queue_that_is_not_exclusive_outlives_its_connection(pika_to: Pika, name: str) -> None:
    """R40, T3: such a queue lives until it is deleted or the broker restarts."""
    first = pika_to.connect()
    first.channel().queue_declare(name)
    first.close()
    second = pika_to.connect()
    assert exists(second, queue=name)
    second.channel().queue_delete(name)


@pytest.mark.row("R40")
def test_exclusive_queue_dies_with_its_connection(pika_to: Pika, name: str) -> None:
    """R40: gone as soon as the connection is closed, and its name is free."""
    owner, other = pika_to.connect(), pika_to.connect()
    exclusive(owner.channel(), name)
    owner.close()
    wait_until(other.channel(), lambda: not exists(other, queue=name))
    assert other.channel().queue_declare(name, exclusive=True).method.message_count == 0


@pytest.mark.row("R40")
def test_exclusive_queue_is_shared_by_the_channels_of_its_connection(pika_to: Pika, name: str) -> None:
    """R40: exclusive means one connection, not one channel; the channel's end is not the queue's."""
    connection = pika_to.connect()
    first, second = connection.channel(), connection.channel()
    exclusive(first, name)
    publish(second, name, b"x")
    first.close()
    assert drain(second, name) == [b"x"]


@pytest.mark.row("R40", "405")
def test_exclusive_queue_is_locked_for_others(pika_to: Pika, name: str) -> None:
    """R40: 405 for another connection."""
    exclusive(pika_to.channel(), name)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        pika_to.channel().queue_declare(name, passive=True)
    assert caught.value.reply_code == 405
    assert caught.value.reply_text.startswith(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'"
    )


@pytest.mark.row("R40")
def test_others_may_publish_to_an_exclusive_queue(pika_to: Pika, name: str) -> None:
    """R40: exclusive concerns the queue's methods, not routing; reply queues stand on that."""
    channel = pika_to.channel()
    exclusive(channel, name)
    other = pika_to.channel()
    other.confirm_delivery()
    publish(other, name, b"reply")
    assert drain(channel, name) == [b"reply"]


@pytest.mark.row("R40")
def test_auto_delete_queue_goes_with_its_last_consumer(pika_to: Pika, name: str) -> None:
    """R40: the first of two consumers may go, the second takes the queue along."""
    connection = pika_to.connect()
    channel = connection.channel()
    channel.queue_declare(name, auto_delete=True)
    first, second = (channel.basic_consume(name, lambda *_: None) for _ in range(2))
    channel.basic_cancel(first)
    assert exists(connection, queue=name)
    channel.basic_cancel(second)
    wait_until(channel, lambda: not exists(connection, queue=name))


@pytest.mark.row("R40")
def test_auto_delete_queue_that_never_had_a_consumer_stays(pika_to: Pika, name: str) -> None:
    """R40: neither basic.get nor the end of the connection removes it."""
    first = pika_to.connect()
    channel = first.channel()
    channel.queue_declare(name, auto_delete=True)
    assert drain(channel, name) == []
    first.close()
    second = pika_to.connect()
    assert exists(second, queue=name)
    second.channel().queue_delete(name)


@pytest.mark.row("R40")
def test_auto_delete_queue_goes_when_its_consumer_s_connection_ends(pika_to: Pika, name: str) -> None:
    """R40: a connection that closes cancels its consumers."""
    owner, other = pika_to.connect(), pika_to.connect()
    channel = owner.channel()
    channel.queue_declare(name, auto_delete=True)
    channel.basic_consume(name, lambda *_: None)
    assert exists(other, queue=name)
    owner.close()
    wait_until(other.channel(), lambda: not exists(other, queue=name))


@pytest.mark.row("R40")
def test_passive_declare_compares_nothing(channel: BlockingChannel, name: str) -> None:
    """R40: a passive declare asks for the name only."""
    exclusive(channel, name, x_message_ttl=60_000)
    assert channel.queue_declare(name, passive=True, durable=True, auto_delete=True).method.queue == name


@pytest.mark.row("R40")
def test_declare_again_alike_changes_nothing(channel: BlockingChannel, name: str) -> None:
    """R40, T9: an equal declaration is answered with the counts; integers of any width are equal."""
    exclusive(channel, name, x_message_ttl=60_000, x_max_length=10)
    publish(channel, name, b"x")
    again = channel.queue_declare(
        name, exclusive=True, arguments={"x-max-length": pika.compat.long(10), "x-message-ttl": 60_000}
    )
    assert again.method.message_count == 1


# Names ------------------------------------------------------------------------------------------------


@pytest.mark.row("R41")
def test_server_names_a_queue(channel: BlockingChannel) -> None:
    """R41: an empty name gets amq.gen- and something unique."""
    first = channel.queue_declare("", exclusive=True).method.queue
    second = channel.queue_declare("", exclusive=True).method.queue
    assert first.startswith("amq.gen-")
    assert second.startswith("amq.gen-")
    assert first != second


@pytest.mark.row("R41")
def test_empty_name_stands_for_the_last_declared_queue(channel: BlockingChannel, name: str) -> None:
    """R41: in bind, get, purge, consume and delete, and by channel."""
    exclusive(channel, f"{name}-before")
    made = exclusive(channel, name)
    channel.queue_bind("", "amq.fanout")
    publish(channel, "any", b"x", exchange="amq.fanout")
    assert channel.basic_get("", auto_ack=True)[2] == b"x"
    publish(channel, made, b"y")
    assert channel.queue_purge("").method.message_count == 1
    publish(channel, made, b"z")
    assert consume(channel, "").wait(1).bodies == [b"z"]
    assert channel.queue_delete("").method.message_count == 0
    assert not exists(channel.connection, queue=made)
    assert exists(channel.connection, queue=f"{name}-before")


@pytest.mark.row("R41")
def test_empty_name_with_empty_key_binds_by_the_queue_s_name(channel: BlockingChannel, name: str) -> None:
    """R41: queue and routing key empty: the key is the queue's name too."""
    exclusive(channel, name)
    channel.queue_bind("", "amq.direct", "")
    publish(channel, name, b"x", exchange="amq.direct")
    assert drain(channel, name) == [b"x"]


@pytest.mark.row("R57")
def test_names_may_have_255_octets_of_utf_8(channel: BlockingChannel, name: str) -> None:
    """R57: the full length of a short string, blanks and any script."""
    long = (name + " ☂ Ünïcode/queue?" * 20).encode()[:250].decode(errors="ignore")
    long += "x" * (255 - len(long.encode()))
    exclusive(channel, long)
    publish(channel, long, b"x")
    assert drain(channel, long) == [b"x"]


@pytest.mark.row("R57")
def test_line_ends_are_taken_out_of_names(pika_to: Pika, broker: Target, name: str) -> None:
    """R57: CR and LF are stripped, for queues and exchanges. pika waits for the name that it sent."""
    with RawClient(broker.host, broker.port) as raw:
        raw.open()
        raw.open_channel()
        raw.send_pika(pika.spec.Queue.Declare(queue=f"{name}\r\n-tail\n", auto_delete=True), 1)
        assert raw.expect(commands.Queue.DeclareOk, 1).queue == f"{name}-tail"
        raw.send_pika(pika.spec.Exchange.Declare(exchange=f"{name}\nx", auto_delete=True), 1)
        raw.expect(commands.Exchange.DeclareOk, 1)
        both = {"queue": f"{name}\r-tail", "exchange": f"{name}\nx", "routing_key": "key"}
        raw.send_pika(pika.spec.Queue.Bind(**both), 1)
        raw.expect(commands.Queue.BindOk, 1)
        ends = {"destination": f"{name}x\n", "source": f"{name}\rx", "routing_key": "key"}
        raw.send_pika(pika.spec.Exchange.Bind(**ends), 1)
        raw.expect(commands.Exchange.BindOk, 1)
        raw.send_pika(pika.spec.Exchange.Unbind(**ends), 1)
        raw.expect(commands.Exchange.UnbindOk, 1)
    channel = pika_to.channel()
    channel.exchange_declare(f"{name}x", passive=True)
    publish(channel, "key", b"x", exchange=f"{name}x")
    assert drain(channel, f"{name}-tail") == [b"x"]
    channel.queue_bind(f"{name}-tail", f"{name}x", "key")
    channel.queue_delete(f"{name}-tail")


# Counts -----------------------------------------------------------------------------------------------


@pytest.mark.row("R42")
def test_declare_counts_ready_messages_only(channel: BlockingChannel, name: str) -> None:
    """R42: what is unacknowledged is not in message_count."""
    exclusive(channel, name)
    publish(channel, name, b"1", b"2", b"3")
    wait_ready(channel, name, 3)
    tag = channel.basic_get(name)[0].delivery_tag
    assert ready(channel, name) == 2
    channel.basic_nack(tag)
    wait_ready(channel, name, 3)


@pytest.mark.row("R42")
def test_declare_counts_are_true_right_after_a_confirm(pika_to: Pika, name: str) -> None:
    """R42: kombu, dramatiq and aio-pika stand on it."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, exclusive=True)
    for count in range(1, 20):
        publish(channel, name, b"x")
        assert channel.queue_declare(name, exclusive=True).method.message_count == count


@pytest.mark.row("R42")
def test_declare_counts_consumers(channel: BlockingChannel, name: str) -> None:
    """R42: consumer_count follows consume and cancel."""
    exclusive(channel, name)
    tags = [channel.basic_consume(name, lambda *_: None) for _ in range(3)]
    assert consumers(channel, name) == 3
    channel.basic_cancel(tags[0])
    assert consumers(channel, name) == 2


# Queue types and accepted arguments ---------------------------------------------------------------------


@pytest.mark.row("T10")
@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("quorum", "x-max-priority", 5),
        ("quorum", "x-queue-mode", "lazy"),
        ("quorum", "x-max-age", "1D"),
        ("classic", "x-delivery-limit", 3),
        ("classic", "x-quorum-initial-group-size", 3),
        ("classic", "x-stream-max-segment-size-bytes", 1000),
    ],
)
def test_argument_of_another_queue_type_is_refused(
    pika_to: Pika, name: str, kind: str, key: str, value: object
) -> None:
    """T10: 406, which names the argument and the type."""
    channel = pika_to.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind, key: value})
    assert refused.value.reply_code == 406
    text = f"invalid arg '{key}' for queue '{name}' in vhost '/' of queue type rabbit_{kind}_queue"
    assert refused.value.reply_text == f"PRECONDITION_FAILED - {text}"


@pytest.mark.row("R43")
@pytest.mark.parametrize("arguments", [{"x-queue-type": "classic"}, None])
def test_missing_type_and_classic_are_equal(
    channel: BlockingChannel, name: str, arguments: dict[str, Any] | None
) -> None:
    """R43, T9: a queue declared as classic may be redeclared without a type; faststream does so."""
    channel.queue_declare(name, exclusive=True, arguments={"x-queue-type": "classic"})
    channel.queue_declare(name, exclusive=True, arguments=arguments)


@pytest.mark.row("R43")
def test_quorum_queue_works(pika_to: Pika, name: str) -> None:
    """R43: declare durable, publish, consume, acknowledge."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    publish(channel, name, b"1", b"2", delivery_mode=2)
    received = consume(channel, name, auto_ack=False).wait(2)
    assert received.bodies == [b"1", b"2"]
    channel.basic_ack(0, multiple=True)
    channel.queue_delete(name)


@pytest.mark.row("R55")
@pytest.mark.parametrize(
    "arguments",
    [
        {"x-queue-mode": "lazy"},
        {"x-queue-mode": "default"},
        {"x-queue-version": 1},
        {"x-queue-version": 2},
        {"x-queue-master-locator": "min-masters"},
        {"some-unknown-argument": "kept"},
    ],
)
def test_arguments_of_other_deployments_are_accepted(
    channel: BlockingChannel, name: str, arguments: dict[str, Any]
) -> None:
    """R55: accepted, and compared on redeclare like any other where RabbitMQ compares."""
    channel.queue_declare(name, exclusive=True, arguments=arguments)
    channel.queue_declare(name, exclusive=True, arguments=arguments)


@pytest.mark.row("R40", "406", "T9")
@pytest.mark.parametrize(
    ("option", "values"),
    [
        ({"auto_delete": True}, ("auto_delete", "received 'true' but current is 'false'")),
        (
            {"arguments": {"x-expires": 60_000}},
            ("x-expires", "received the value '60000' of type 'signedint' but current is none"),
        ),
        (
            {"arguments": {"x-max-length": 1}},
            ("x-max-length", "received the value '1' of type 'signedint' but current is none"),
        ),
        (
            {"arguments": {"x-dead-letter-exchange": "dlx"}},
            ("x-dead-letter-exchange", "received the value 'dlx' of type 'longstr' but current is none"),
        ),
    ],
)
def test_queue_redeclare_has_to_be_equivalent(
    channel: BlockingChannel, name: str, option: dict[str, Any], values: tuple[str, str]
) -> None:
    """T9: 406 names the argument, what was received and what is."""
    exclusive(channel, name)
    argument, rest = values
    with closes_channel(
        406, f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{name}' in vhost '/': {rest}"
    ):
        channel.queue_declare(name, exclusive=True, **option)


# Time to live -------------------------------------------------------------------------------------------


class Clock:
    """Lets the broker measure time: a message with a TTL is gone when the time is over."""

    def __init__(self, channel: BlockingChannel, name: str) -> None:
        self.channel = channel
        self.queue = exclusive(channel, f"{name}-clock")

    def wait(self, milliseconds: int) -> None:
        publish(self.channel, self.queue, b"", expiration=str(milliseconds))
        wait_ready(self.channel, self.queue, 0)


@pytest.mark.row("R44")
def test_queue_ttl_removes_messages(channel: BlockingChannel, name: str) -> None:
    """R44: x-message-ttl in milliseconds."""
    exclusive(channel, name, x_message_ttl=100)
    publish(channel, name, b"1", b"2")
    wait_ready(channel, name, 0)


@pytest.mark.row("R44")
def test_message_expiration_removes_it(channel: BlockingChannel, name: str) -> None:
    """R44: the property is a string of milliseconds; messages without it stay."""
    exclusive(channel, name)
    publish(channel, name, b"short", expiration="100")
    publish(channel, name, b"stays")
    wait_ready(channel, name, 1)
    assert drain(channel, name) == [b"stays"]


@pytest.mark.row("R44")
@pytest.mark.parametrize(("queue_ttl", "expiration"), [(100, "60000"), (60_000, "100")])
def test_the_lower_ttl_wins(channel: BlockingChannel, name: str, queue_ttl: int, expiration: str) -> None:
    """R44: of queue and message."""
    exclusive(channel, name, x_message_ttl=queue_ttl)
    publish(channel, name, b"x", expiration=expiration)
    since = time.monotonic()
    wait_ready(channel, name, 0)
    assert time.monotonic() - since < WAIT_S


@pytest.mark.row("R44")
def test_classic_expires_at_the_head_only(channel: BlockingChannel, name: str) -> None:
    """R44: an expired message behind one that is not waits there, and is dropped when its turn comes."""
    exclusive(channel, name)
    publish(channel, name, b"long")
    publish(channel, name, b"short", expiration="1")
    publish(channel, name, b"marker", expiration="60000")
    head = channel.basic_get(name)[0]
    wait_ready(channel, name, 1)
    channel.basic_nack(head.delivery_tag)
    assert drain(channel, name) == [b"long", b"marker"]


@pytest.mark.row("R44")
def test_ttl_zero_is_deliver_now_or_never(channel: BlockingChannel, name: str) -> None:
    """R44: with a consumer that has credit it arrives, without one it is gone at once."""
    exclusive(channel, name, x_message_ttl=0)
    publish(channel, name, b"nobody there")
    assert ready(channel, name) == 0
    received = consume(channel, name)
    publish(channel, name, b"somebody there")
    assert received.settled(1) == [b"somebody there"]


@pytest.mark.row("R44")
def test_expired_messages_are_not_delivered(channel: BlockingChannel, name: str) -> None:
    """R44: a consumer that comes late gets only what is still alive."""
    exclusive(channel, name)
    publish(channel, name, b"old", expiration="50")
    wait_ready(channel, name, 0)
    publish(channel, name, b"new", expiration="60000")
    assert consume(channel, name).settled(1) == [b"new"]


@pytest.mark.row("R44")
def test_delivered_message_does_not_expire_but_expires_once_returned(
    channel: BlockingChannel, name: str
) -> None:
    """R44: an unacknowledged message keeps its time; given back too late it is dropped."""
    exclusive(channel, name)
    publish(channel, name, b"x", expiration="600")
    tag = channel.basic_get(name)[0].delivery_tag
    Clock(channel, name).wait(800)
    channel.basic_nack(tag)
    wait_ready(channel, name, 0)


def wait_expired(connection: pika.BlockingConnection, clock: Clock, queue: str, expires_ms: int) -> None:
    """Wait until the queue has expired, asking rarely: a passive declare is use as well."""
    for _ in range(5):
        clock.wait(3 * expires_ms)
        if not exists(connection, queue=queue):
            return
    pytest.fail("the queue has not expired")


@pytest.mark.row("R45")
def test_unused_queue_expires(pika_to: Pika, channel: BlockingChannel, name: str) -> None:
    """R45: without consumer, get or redeclare for x-expires milliseconds the queue is deleted."""
    connection = pika_to.connect()
    connection.channel().queue_declare(name, arguments={"x-expires": 200})
    wait_expired(connection, Clock(channel, name), name, 200)


@pytest.mark.row("R45")
def test_consumer_keeps_an_expiring_queue(channel: BlockingChannel, name: str) -> None:
    """R45: used is used; it expires after the last consumer has gone."""
    channel.queue_declare(name, arguments={"x-expires": 200})
    tag = channel.basic_consume(name, lambda *_: None)
    clock = Clock(channel, name)
    clock.wait(700)
    assert exists(channel.connection, queue=name)
    channel.basic_cancel(tag)
    wait_expired(channel.connection, clock, name, 200)


@pytest.mark.row("R45")
def test_get_and_redeclare_keep_an_expiring_queue(pika_to: Pika, name: str) -> None:
    """R45: each of them starts the time anew."""
    connection = pika_to.connect()
    channel = connection.channel()
    arguments = {"x-expires": 1500}
    channel.queue_declare(name, arguments=arguments)
    clock = Clock(channel, name)
    for turn in range(4):
        clock.wait(500)
        if turn % 2:
            channel.queue_declare(name, arguments=arguments)
        else:
            channel.basic_get(name)
    assert exists(connection, queue=name)
    channel.queue_delete(name)


# Length limits and dead letters ---------------------------------------------------------------------------


@pytest.mark.row("R46", "R47")
def test_max_length_drops_the_oldest(channel: BlockingChannel, name: str) -> None:
    """R46, R47: drop-head is the default."""
    exclusive(channel, name, x_max_length=3)
    publish(channel, name, *(str(n).encode() for n in range(6)))
    wait_ready(channel, name, 3)
    assert drain(channel, name) == [b"3", b"4", b"5"]


@pytest.mark.row("R46")
def test_max_length_counts_ready_messages_only(channel: BlockingChannel, name: str) -> None:
    """R46: what is with a consumer does not count."""
    exclusive(channel, name, x_max_length=2)
    publish(channel, name, b"1", b"2")
    wait_ready(channel, name, 2)
    channel.basic_get(name)
    channel.basic_get(name)
    publish(channel, name, b"3", b"4")
    wait_ready(channel, name, 2)
    assert drain(channel, name) == [b"3", b"4"]


@pytest.mark.row("R46")
def test_max_length_bytes_counts_bodies(channel: BlockingChannel, name: str) -> None:
    """R46: the sum of the bodies, headers not counted."""
    exclusive(channel, name, x_max_length_bytes=10)
    publish(channel, name, b"aaaa", b"bbbb", b"cccc", headers={"h": "x" * 100})
    wait_ready(channel, name, 2)
    assert drain(channel, name) == [b"bbbb", b"cccc"]


@pytest.mark.row("R47", "R61")
def test_reject_publish_nacks_the_publisher(pika_to: Pika, name: str) -> None:
    """R47: basic.nack for a confirming publisher, and the queue keeps the old ones."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, exclusive=True, arguments=arguments)
    publish(channel, name, b"first")
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, name, b"second")
    assert drain(channel, name) == [b"first"]


def dead_letter_queue(channel: BlockingChannel, name: str) -> str:
    """Make a fanout exchange with one exclusive queue, both of this name."""
    channel.exchange_declare(name, "fanout", auto_delete=True)
    exclusive(channel, name)
    channel.queue_bind(name, name)
    return name


@pytest.mark.row("R48")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"x_message_ttl": 50}, "expired"), ({"x_max_length": 0}, "maxlen"), ({}, "rejected")],
)
def test_dead_letter_carries_its_history(
    channel: BlockingChannel, name: str, arguments: dict[str, Any], reason: str
) -> None:
    """R48: x-death says queue, reason, count, exchange and keys; x-first-death-* repeat the first."""
    dead = dead_letter_queue(channel, f"{name}-dead")
    exclusive(channel, name, x_dead_letter_exchange=dead, **arguments)
    publish(channel, name, b"x", headers={"mine": 1}, content_type="text/plain")
    if reason == "rejected":
        wait_ready(channel, name, 1)
        channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    wait_ready(channel, dead, 1)
    method, properties, body = channel.basic_get(dead, auto_ack=True)
    assert (body, method.exchange, method.routing_key) == (b"x", dead, name)
    assert (properties.content_type, properties.headers["mine"]) == ("text/plain", 1)
    death = properties.headers["x-death"][0]
    assert {key: death[key] for key in ("queue", "reason", "count", "exchange", "routing-keys")} == {
        "queue": name,
        "reason": reason,
        "count": 1,
        "exchange": "",
        "routing-keys": [name],
    }
    assert "time" in death
    assert properties.headers["x-first-death-queue"] == name
    assert properties.headers["x-first-death-reason"] == reason
    assert properties.headers["x-first-death-exchange"] == ""


@pytest.mark.row("R48")
def test_dead_letter_routing_key_replaces_the_key(channel: BlockingChannel, name: str) -> None:
    """R48: with the default exchange this is the delay queue that so many libraries build."""
    target = exclusive(channel, f"{name}-target")
    exclusive(channel, name, x_dead_letter_exchange="", x_dead_letter_routing_key=target)
    publish(channel, name, b"later", expiration="50")
    wait_ready(channel, target, 1)
    method, properties, _ = channel.basic_get(target, auto_ack=True)
    assert method.routing_key == target
    assert properties.expiration is None
    assert properties.headers["x-death"][0]["original-expiration"] == "50"


@pytest.mark.row("R48")
def test_deaths_in_one_queue_are_counted(channel: BlockingChannel, name: str) -> None:
    """R48: the entry of queue and reason counts up; a retry loop reads it."""
    retry = f"{name}-retry"
    exclusive(channel, name, x_dead_letter_exchange="", x_dead_letter_routing_key=retry)
    exclusive(channel, retry, x_dead_letter_exchange="", x_dead_letter_routing_key=name, x_message_ttl=20)
    publish(channel, name, b"x")
    received = consume(channel, name, auto_ack=False)
    for turn in range(1, 4):
        received.wait(turn)
        deaths = {
            (d["queue"], d["reason"]): d["count"]
            for d in (received.properties[-1].headers or {}).get("x-death", [])
        }
        assert deaths == ({} if turn == 1 else {(name, "rejected"): turn - 1, (retry, "expired"): turn - 1})
        channel.basic_reject(received.methods[-1].delivery_tag, requeue=False)


@pytest.mark.row("R48")
def test_missing_dead_letter_exchange_drops_silently(channel: BlockingChannel, name: str) -> None:
    """R48: no error, and the queue goes on."""
    exclusive(channel, name, x_dead_letter_exchange=f"no-{name}", x_max_length=1)
    publish(channel, name, b"1", b"2")
    wait_ready(channel, name, 1)
    assert drain(channel, name) == [b"2"]


@pytest.mark.row("R50")
def test_higher_priority_comes_first(channel: BlockingChannel, name: str) -> None:
    """R50: order by priority, and by age within one; above the maximum counts as the maximum."""
    exclusive(channel, name, x_max_priority=5)
    for priority, body in ((0, b"0a"), (5, b"5a"), (1, b"1"), (9, b"5b"), (None, b"0b")):
        publish(channel, name, body, priority=priority)
    wait_ready(channel, name, 5)
    assert drain(channel, name) == [b"5a", b"5b", b"1", b"0a", b"0b"]


# Delete and purge -----------------------------------------------------------------------------------------


@pytest.mark.row("R56")
def test_delete_tells_how_many_messages_went(channel: BlockingChannel, name: str) -> None:
    """R56: delete-ok carries the number of ready messages."""
    exclusive(channel, name)
    publish(channel, name, b"1", b"2")
    wait_ready(channel, name, 2)
    assert channel.queue_delete(name).method.message_count == 2


@pytest.mark.row("R56")
def test_delete_of_a_missing_queue_is_no_error(channel: BlockingChannel, name: str) -> None:
    """R56: delete-ok with 0, also with if-unused and if-empty."""
    assert channel.queue_delete(name).method.message_count == 0
    assert channel.queue_delete(name, if_unused=True, if_empty=True).method.message_count == 0


@pytest.mark.row("R56", "406")
def test_delete_if_unused(pika_to: Pika, name: str) -> None:
    """R56: refused while there is a consumer; the queue and its consumer live on."""
    connection = pika_to.connect()
    channel = connection.channel()
    exclusive(channel, name)
    received = consume(channel, name)
    with closes_channel(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"):
        connection.channel().queue_delete(name, if_unused=True)
    publish(channel, name, b"alive")
    assert received.settled(1) == [b"alive"]


@pytest.mark.row("R56")
def test_purge_removes_ready_messages_only(channel: BlockingChannel, name: str) -> None:
    """R56: purge-ok carries the number; what is unacknowledged stays and may come back."""
    exclusive(channel, name)
    publish(channel, name, b"1", b"2", b"3")
    wait_ready(channel, name, 3)
    tag = channel.basic_get(name)[0].delivery_tag
    assert channel.queue_purge(name).method.message_count == 2
    channel.basic_nack(tag)
    wait_ready(channel, name, 1)
    assert drain(channel, name) == [b"1"]


@pytest.mark.row("R56", "R31")
def test_deleted_queue_takes_messages_and_bindings_along(channel: BlockingChannel, name: str) -> None:
    """R56: a new queue of the same name inherits nothing."""
    channel.queue_declare(name)
    channel.queue_bind(name, "amq.direct", name)
    publish(channel, name, b"old")
    channel.queue_delete(name)
    exclusive(channel, name)
    publish(channel, name, b"unbound", exchange="amq.direct")
    assert drain(channel, name) == []
