"""AMQPStorm: a thread-safe client with its own codec; blocking calls, tuples, transactions, RPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import amqpstorm
import pytest
from broker_target import Target

WAIT_S = 15


@pytest.fixture
def connection(broker: Target) -> Iterator[amqpstorm.Connection]:
    with amqpstorm.Connection(broker.host, "guest", "guest", port=broker.port, timeout=WAIT_S) as made:
        yield made


@pytest.fixture
def channel(connection: amqpstorm.Connection) -> Iterator[amqpstorm.Channel]:
    with connection.channel(rpc_timeout=WAIT_S) as made:
        yield made


@pytest.mark.row("R60", "R61", "R67")
def test_publish_get_and_acknowledge(channel: amqpstorm.Channel, name: str) -> None:
    """R61: a confirmed publish returns True; R67: get returns the message with its properties."""
    channel.queue.declare(name, exclusive=True)
    channel.confirm_deliveries()
    message = amqpstorm.Message.create(channel, "hello ☂", {"headers": {"n": 1}, "priority": 2})
    assert message.publish(name) is True
    got = channel.basic.get(name)
    assert (got.body, got.properties["headers"], got.properties["priority"]) == ("hello ☂", {"n": 1}, 2)
    got.ack()
    assert channel.basic.get(name) is None


@pytest.mark.row("R61")
def test_five_hundred_confirmed_publishes(channel: amqpstorm.Channel, name: str) -> None:
    """R61, R42: each is confirmed, and the queue counts them."""
    channel.queue.declare(name, exclusive=True)
    channel.confirm_deliveries()
    for n in range(500):
        assert channel.basic.publish(str(n), name) is True
    assert channel.queue.declare(name, passive=True)["message_count"] == 500


@pytest.mark.row("R27")
def test_mandatory_unroutable_raises(channel: amqpstorm.Channel, name: str) -> None:
    """R27: with confirms the return becomes an exception at once."""
    channel.confirm_deliveries()
    with pytest.raises(amqpstorm.AMQPMessageError, match="NO_ROUTE"):
        channel.basic.publish("lost", name, mandatory=True)


@pytest.mark.row("R63", "R65", "R66", "R71")
def test_consume_with_prefetch(channel: amqpstorm.Channel, name: str) -> None:
    """R63, R65: consume as a generator, acknowledge one by one."""
    channel.queue.declare(name, exclusive=True)
    for n in range(50):
        channel.basic.publish(str(n), name)
    channel.basic.qos(5)
    channel.basic.consume(queue=name)
    bodies = []
    for message in channel.build_inbound_messages():
        bodies.append(message.body)
        message.ack()
        if len(bodies) == 50:
            break
    assert bodies == [str(n) for n in range(50)]


@pytest.mark.row("R66")
def test_reject_requeue_marks_redelivered(channel: amqpstorm.Channel, name: str) -> None:
    """R66: the second delivery of a requeued message."""
    channel.queue.declare(name, exclusive=True)
    channel.confirm_deliveries()
    channel.basic.publish("x", name)
    first = channel.basic.get(name)
    assert first.redelivered is False
    first.reject(requeue=True)
    channel.basic.consume(queue=name)
    second = next(channel.build_inbound_messages())
    assert (second.body, second.redelivered) == ("x", True)
    second.nack(requeue=False)


@pytest.mark.row("R22", "R23", "R24")
def test_exchanges_and_bindings(channel: amqpstorm.Channel, name: str) -> None:
    """R22, R24: declare, bind, exchange to exchange, unbind, delete."""
    channel.exchange.declare(f"{name}-topic", "topic")
    channel.exchange.declare(f"{name}-fanout", "fanout")
    channel.exchange.bind(destination=f"{name}-fanout", source=f"{name}-topic", routing_key="a.#")
    channel.queue.declare(name, exclusive=True)
    channel.queue.bind(name, f"{name}-fanout")
    channel.confirm_deliveries()
    for key in ("a.b", "b.a", "a"):
        channel.basic.publish(key, key, f"{name}-topic")
    assert [channel.basic.get(name, no_ack=True).body for _ in range(2)] == ["a.b", "a"]
    assert channel.basic.get(name, no_ack=True) is None
    channel.exchange.unbind(destination=f"{name}-fanout", source=f"{name}-topic", routing_key="a.#")
    channel.queue.unbind(name, f"{name}-fanout")
    for kind in ("topic", "fanout"):
        channel.exchange.delete(f"{name}-{kind}")


@pytest.mark.row("R62")
def test_transactions(channel: amqpstorm.Channel, name: str) -> None:
    """R62: commit and rollback through amqpstorm's context."""
    channel.queue.declare(name, exclusive=True)
    with channel.tx:
        channel.basic.publish("kept", name)
    channel.tx.select()
    channel.basic.publish("forgotten", name)
    channel.tx.rollback()
    assert channel.basic.get(name, no_ack=True).body == "kept"
    assert channel.basic.get(name, no_ack=True) is None


@pytest.mark.row("R70")
def test_rpc_with_direct_reply_to(broker: Target, channel: amqpstorm.Channel, name: str) -> None:
    """R70: a client and a server in two threads."""
    channel.queue.declare(name)
    ready = threading.Event()

    def serve() -> None:
        with (
            amqpstorm.Connection(broker.host, "guest", "guest", port=broker.port, timeout=WAIT_S) as other,
            other.channel() as answering,
        ):
            answering.basic.consume(queue=name, no_ack=True)
            ready.set()
            request = next(answering.build_inbound_messages())
            answering.basic.publish(
                request.body.upper(), request.reply_to, properties={"correlation_id": request.correlation_id}
            )

    server = threading.Thread(target=serve)
    server.start()
    assert ready.wait(WAIT_S)
    channel.basic.consume(queue="amq.rabbitmq.reply-to", no_ack=True)
    properties = {"reply_to": "amq.rabbitmq.reply-to", "correlation_id": "1"}
    channel.basic.publish("question", name, properties=properties)
    reply = next(channel.build_inbound_messages())
    server.join(WAIT_S)
    assert (reply.body, reply.correlation_id) == ("QUESTION", "1")
    channel.queue.delete(name)


@pytest.mark.row("404", "406")
def test_errors_carry_their_code_and_the_channel_reopens(channel: amqpstorm.Channel, name: str) -> None:
    """1.2: AMQPChannelError with error_code; the same channel object may be opened again."""
    with pytest.raises(amqpstorm.AMQPChannelError) as caught:
        channel.queue.declare(name, passive=True)
    assert caught.value.error_code == 404
    channel.open()
    channel.queue.declare(name, exclusive=True)
    with pytest.raises(amqpstorm.AMQPChannelError) as caught:
        channel.queue.declare(name, exclusive=True, auto_delete=True)
    assert caught.value.error_code == 406
    channel.open()
    assert channel.queue.declare(name, passive=True)["queue"] == name


@pytest.mark.row("R60")
@pytest.mark.parametrize("size", [0, 1, 131_072, 1_000_000])
def test_bodies_of_any_size(channel: amqpstorm.Channel, name: str, size: int) -> None:
    """R60: amqpstorm splits and joins frames by its own code."""
    channel.queue.declare(name, exclusive=True)
    channel.confirm_deliveries()
    channel.basic.publish("x" * size, name)
    assert len(channel.basic.get(name, no_ack=True).body) == size


@pytest.mark.row("R3")
def test_threads_share_a_connection(connection: amqpstorm.Connection, name: str) -> None:
    """R3: ten threads, a channel each, on one connection."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with connection.channel(rpc_timeout=WAIT_S) as own:
                queue = f"{name}-{number}"
                own.queue.declare(queue, exclusive=True)
                own.confirm_deliveries()
                for n in range(50):
                    assert own.basic.publish(str(n), queue) is True
                assert own.queue.delete(queue)["message_count"] == 50
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT_S)
    assert failures == []
