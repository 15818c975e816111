"""Restarts (R12, R40, R50, R60, R61, R66): what clients are told, and what is there afterwards.

The tests stop a broker of their own, of the kind that the session's broker is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from broker_target import STARTERS, Target, chosen, peers
from pika_tools import Pika, consume, cut, drain, exists, publish, ready, wait_until

PERSISTENT = pika.DeliveryMode.Persistent.value


@pytest.fixture(scope="module")
def peer(request: pytest.FixtureRequest) -> Iterator[peers.Peer]:
    name = chosen(request.config)
    if name not in STARTERS:
        pytest.skip("a broker that somebody else started is not ours to stop")
    options: dict[str, Any] = {"plugins": peers.EXCHANGE_PLUGINS} if name == "rabbitmq" else {}
    with peers.PEERS[name](**options) as running:
        yield running


@pytest.fixture
def pika_here(peer: peers.Peer) -> Iterator[Pika]:
    """Return a factory of connections to the broker of these tests."""
    factory = Pika(Target(peer.name, peers.HOST, peer.amqp_port))
    yield factory
    factory.close()


def again(peer: peers.Peer, factory: Pika) -> pika.BlockingConnection:
    """Connect after a restart, which may have brought another port."""
    factory.target = Target(peer.name, peers.HOST, peer.amqp_port)
    return factory.connect()


@pytest.mark.row("R12", "320")
def test_stop_closes_connections_with_320(peer: peers.Peer, pika_here: Pika) -> None:
    """R12: CONNECTION_FORCED for everybody who is connected; the reason behind it differs by release."""
    channel = pika_here.channel()
    peer.stop()
    try:
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            wait_until(channel, lambda: False)
    finally:
        peer.start()
    assert caught.value.reply_code == 320
    assert caught.value.reply_text.startswith("CONNECTION_FORCED - ")


@pytest.mark.row("R40", "R60", "R66", "R23", "R31")
def test_what_is_durable_survives_a_stop(peer: peers.Peer, pika_here: Pika, name: str) -> None:
    """R40: durable queues, exchanges, bindings and persistent messages; order, and nothing acknowledged."""
    channel = pika_here.channel()
    channel.confirm_delivery()
    channel.exchange_declare(name, "topic", durable=True)
    channel.exchange_declare(f"{name}-transient", "topic")
    channel.queue_declare(name, durable=True, arguments={"x-message-ttl": 3_600_000})
    channel.queue_bind(name, name, "a.#")
    channel.queue_declare(f"{name}-transient")
    for n in range(20):
        publish(channel, "a.b", str(n).encode(), exchange=name, delivery_mode=PERSISTENT, headers={"n": n})
    publish(channel, name, b"transient", delivery_mode=1)
    received = consume(channel, name, auto_ack=False, consumer_tag="tag").wait(21)
    channel.basic_cancel("tag")
    for method in received.methods[:10:2]:
        channel.basic_ack(method.delivery_tag)
    channel.connection.close()
    peer.restart()

    connection = again(peer, pika_here)
    assert exists(connection, exchange=name)
    assert not exists(connection, exchange=f"{name}-transient")
    assert not exists(connection, queue=f"{name}-transient")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments={"x-message-ttl": 3_600_000})
    publish(channel, "a.c", b"20", exchange=name, delivery_mode=PERSISTENT)
    left = [1, 3, 5, 7, 9, *range(10, 21)]
    received = consume(channel, name)
    assert received.settled(len(left)) == [str(n).encode() for n in left]
    assert [method.redelivered for method in received.methods] == [True] * (len(left) - 1) + [False]
    assert received.properties[0].headers == {"n": 1}
    channel.queue_delete(name)
    channel.exchange_delete(name)


@pytest.mark.row("R60", "R61")
def test_confirmed_persistent_messages_survive_a_kill(peer: peers.Peer, pika_here: Pika, name: str) -> None:
    """R61: SIGKILL right after the last confirm."""
    channel = pika_here.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    for n in range(100):
        publish(channel, name, str(n).encode(), delivery_mode=PERSISTENT)
    peer.kill()
    peer.start()
    channel = again(peer, pika_here).channel()
    assert drain(channel, name) == [str(n).encode() for n in range(100)]
    channel.queue_delete(name)


@pytest.mark.row("R25", "R29", "R30", "R23")
def test_exchange_types_and_alternates_survive_a_stop(peer: peers.Peer, pika_here: Pika, name: str) -> None:
    """R25, R29, R30: alternates, weights and what is hashed come back; a recent history is only in memory."""
    channel = pika_here.channel()
    channel.exchange_declare(
        name, "x-consistent-hash", durable=True, arguments={"alternate-exchange": f"{name}-alternate"}
    )
    channel.exchange_declare(f"{name}-alternate", "x-recent-history", durable=True)
    queues = [f"{name}-{number}" for number in range(3)]
    for number, queue in enumerate(queues):
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, name, str(number + 1))

    def placed(channel: Any) -> list[list[bytes]]:
        for number in range(60):
            publish(channel, f"k{number}", b"%d" % number, exchange=name)
        return [drain(channel, queue) for queue in queues]

    before = placed(channel)
    assert all(before)
    publish(channel, "forgotten", b"forgotten", exchange=f"{name}-alternate")
    channel.connection.close()
    peer.restart()

    channel = again(peer, pika_here).channel()
    after = placed(channel)
    assert sum(map(len, after)) == sum(map(len, before)) == 60
    if peer.name == "Pillarbox":
        # RabbitMQ 3.10 counts its bindings anew at a start, and so gives keys to other queues.
        assert after == before
    for queue in queues:
        channel.queue_delete(queue)
    publish(channel, "k", b"unplaced", exchange=name)
    channel.queue_declare(name)
    channel.queue_bind(name, f"{name}-alternate")
    assert drain(channel, name) == [b"unplaced"]
    for exchange in (name, f"{name}-alternate"):
        channel.exchange_delete(exchange)


@pytest.mark.row("R50", "R66", "R61")
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_priorities_survive_a_restart(peer: peers.Peer, pika_here: Pika, name: str, end: str) -> None:
    """R50: each priority comes back in its order, and what was handed out before is marked redelivered."""
    channel = pika_here.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments={"x-max-priority": 5})

    def put(*bodies: str) -> None:
        for body in bodies:
            publish(
                channel, name, body.encode(), delivery_mode=PERSISTENT, priority=int(body.partition(".")[0])
            )

    put("0.a", "3.a", "0.b", "9.a", "3.b", "1.a")
    channel.basic_qos(prefetch_count=3)
    received = consume(channel, name, auto_ack=False, consumer_tag="tag").wait(3)
    assert received.bodies == [b"9.a", b"3.a", b"3.b"]
    channel.basic_cancel("tag")
    channel.basic_ack(received.methods[1].delivery_tag)
    put("5.a", "0.c")  # Their confirms prove that what came before is on disk, too.
    getattr(peer, end)()
    peer.start()

    channel = again(peer, pika_here).channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments={"x-max-priority": 5})
    put("3.c", "1.b", "5.b")
    left = ["9.a", "5.a", "5.b", "3.b", "3.c", "1.a", "1.b", "0.a", "0.b", "0.c"]
    received = consume(channel, name)
    assert received.settled(len(left)) == [body.encode() for body in left]
    marked = [body for body, method in zip(left, received.methods, strict=True) if method.redelivered]
    if peer.name == "RabbitMQ" and end == "kill":
        assert set(marked) >= {"9.a", "3.b"}, "it marks everything that was there"
    else:
        assert marked == ["9.a", "3.b"]
    channel.queue_delete(name)


def run_full(kind: str) -> peers.Peer:
    """Return a broker, not started, whose disk looks full; RabbitMQ's is told so when it runs."""
    return (
        peers.Pillarbox(options=["--disk-free-min", "1000TiB"]) if kind == "pillarbox" else peers.RabbitMQ()
    )


@pytest.mark.row("R11", "T2")
def test_disk_alarm_blocks_publishers_and_nobody_else(request: pytest.FixtureRequest, name: str) -> None:
    """R11: connection.blocked "low on disk" once somebody publishes; who does not publish goes on."""
    if (kind := chosen(request.config)) not in STARTERS:
        pytest.skip("a broker that somebody else started has its own idea of a full disk")
    with run_full(kind) as full:
        if isinstance(full, peers.RabbitMQ):
            full.ctl("set_disk_free_limit", "900000GB")
        factory = Pika(Target(full.name, peers.HOST, full.amqp_port))
        publisher, other = factory.channel(), factory.channel()
        reasons: list[str] = []
        publisher.connection.add_on_connection_blocked_callback(
            lambda _, frame: reasons.append(frame.method.reason)
        )
        other.queue_declare(name)
        publish(publisher, name, b"waits")
        wait_until(publisher, lambda: reasons)
        assert reasons == ["low on disk"]
        assert consume(other, name).settled(0) == []
        for connection in factory.connections:
            cut(connection)  # A blocked publisher is not answered, not even its close.


@pytest.mark.row("R11", "R73")
def test_memory_and_disk_alarms_at_once_are_one_reason(request: pytest.FixtureRequest, name: str) -> None:
    """R73: both are named, and nothing more is said while either is on."""
    if (kind := chosen(request.config)) not in STARTERS:
        pytest.skip("a broker that somebody else started has its own idea of full")
    options = ["--disk-free-min", "1000TiB", "--memory-high-watermark", "0"]
    full = peers.Pillarbox(options=options) if kind == "pillarbox" else peers.RabbitMQ()
    with full:
        if isinstance(full, peers.RabbitMQ):
            full.ctl("set_disk_free_limit", "900000GB")
            full.ctl("set_vm_memory_high_watermark", "0")
        factory = Pika(Target(full.name, peers.HOST, full.amqp_port))
        publisher, other = factory.channel(), factory.channel()
        reasons: list[str] = []
        publisher.connection.add_on_connection_blocked_callback(
            lambda _, frame: reasons.append(frame.method.reason)
        )
        other.queue_declare(name)
        publish(publisher, name, b"waits")
        wait_until(publisher, lambda: reasons)
        assert reasons == ["low on disk & memory"]
        assert consume(other, name).settled(0) == []
        for connection in factory.connections:
            cut(connection)


@pytest.mark.row("R52")
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_counts_of_returned_messages_survive_restarts(
    peer: peers.Peer, pika_here: Pika, name: str, end: str
) -> None:
    """R52: given back, out when the broker goes, given back: the third time is more than the limit of 2."""
    dead = f"{name}-dead"
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    channel = pika_here.channel()
    channel.confirm_delivery()
    channel.queue_declare(dead, durable=True)
    channel.queue_declare(name, durable=True, arguments=arguments)
    publish(channel, name, b"poison", delivery_mode=PERSISTENT)
    for count, give_back in enumerate((True, False, True)):
        method, properties, _ = channel.basic_get(name)
        assert method is not None
        assert (properties.headers or {}).get("x-delivery-count", 0) == count
        if give_back:
            channel.basic_nack(method.delivery_tag, requeue=True)
        # What came before this confirm is as durable.
        publish(channel, dead, b"mark", delivery_mode=PERSISTENT)
        if count == 2:
            break
        if end == "kill":
            peer.kill()
            peer.start()
        else:
            peer.restart()
        channel = again(peer, pika_here).channel()
        channel.confirm_delivery()
        wait_until(channel, lambda channel=channel: ready(channel, name) == 1)
    wait_until(channel, lambda: ready(channel, dead) == 4)
    received = [channel.basic_get(dead, auto_ack=True) for _ in range(4)]
    (properties,) = [properties for _, properties, body in received if body == b"poison"]
    assert properties.headers["x-first-death-reason"] == "delivery_limit"
    assert channel.basic_get(name)[0] is None
    channel.queue_delete(name)
    channel.queue_delete(dead)
