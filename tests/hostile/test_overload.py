"""Clients that ask for too much, or never take what they asked for: memory stays bounded and others go on.

The bounds are those that the broker names (`net.driver`, `connection`), with room for one read more. What is
meant is that nothing grows with what a hostile client sends; see `test_process` for whole processes.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Iterator

import pytest
from pamqp import commands

from pillarbox import Broker
from pillarbox.app import clients
from pillarbox.app.server import Server
from pillarbox.net import driver as driver_module
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.connection import BACKLOG_BYTES, Connection
from pillarbox.protocols.amqp091.publishing import FACTS_BYTES_MAX, FACTS_MAX
from tests.clients.raw_client import RawClient, content_header
from tests.hostile.conftest import Scene, scene_on

Basic, Channel, Queue = commands.Basic, commands.Channel, commands.Queue

KIB, MIB = 1 << 10, 1 << 20
LARGE = 2 * MIB
SOCKET_BYTES = 16 * KIB
"""What the sockets of clients that do not read may hold: little, so that the broker soon holds the rest."""


def method(method_id: int, *arguments: object, channel: int = 1) -> bytes:
    return methods.method_frame(channel, method_id, *arguments)


def passive_declare(queue: str) -> bytes:
    return method(methods.QUEUE_DECLARE, 0, queue, True, False, False, False, False, {})


def consume(queue: str, tag: str, *, no_ack: bool = False, nowait: bool = True) -> bytes:
    return method(methods.BASIC_CONSUME, 0, queue, tag, False, no_ack, False, nowait, {})


def message(queue: str, body: bytes) -> bytes:
    return method(methods.BASIC_PUBLISH, 0, "", queue, False, False) + wire.content_frames(
        1, b"\0\0", body, 131_072
    )


@contextlib.contextmanager
def deaf(scene: Scene) -> Iterator[RawClient]:
    """A client with channel 1 open whose socket takes hardly anything that is not read."""
    with scene.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        client.open()
        client.open_channel()
        yield client


def declare(client: RawClient, queue: str, *, exclusive: bool = True) -> int:
    """Make a queue, or look at one; return how many messages are ready."""
    client.send(Queue.Declare(queue=queue, exclusive=exclusive), 1)
    return client.expect(Queue.DeclareOk, 1).message_count


def drop(scene: Scene, queue: str) -> None:
    with scene.logged_in() as client:
        client.send(Queue.Delete(queue=queue), 1)
        client.expect(Queue.DeleteOk, 1)


def unwritten(scene: Scene) -> int:
    """The most bytes that wait for any one client, in its head and in its socket's buffer."""

    def look(server: Server) -> int:
        most = 0
        for driver in server.clients:
            if driver.connection is not None and driver._transport is not None:
                queued = sum(len(piece) for piece in driver.connection.out)  # type: ignore[attr-defined]
                most = max(most, queued + driver._transport.get_write_buffer_size())
        return most

    return scene.broker.call(look)


def send_until_it_blocks(client: RawClient, data: bytes, most: int) -> int:
    """Send again and again until the broker takes no more; return how many bytes it took."""
    client.socket.settimeout(1.0)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += client.socket.send(data[sent % len(data) :])
    client.socket.settimeout(20.0)
    return sent


# --- clients that do not read -----------------------------------------------------------------------------


@pytest.mark.parametrize("no_ack", [False, True], ids=["with acknowledgements", "without"])
def test_consumer_that_never_reads_gets_no_more_and_the_others_get_theirs(scene: Scene, no_ack: bool) -> None:
    """Deliveries to it stop at what its buffers take; the rest stays in the queue, for whoever reads."""
    count, body = 3000, b"x" * 10_000
    with deaf(scene) as silent, scene.logged_in() as publisher, scene.logged_in() as reader:
        declare(silent, "shared", exclusive=False)
        silent.send_bytes(consume("shared", "silent", no_ack=no_ack, nowait=False))
        silent.expect(Basic.ConsumeOk, 1)
        for _ in range(count):
            publisher.publish("shared", body)
        declare(publisher, "shared", exclusive=False)
        assert unwritten(scene) < driver_module.WRITE_BUFFER_HIGH + 3 * BACKLOG_BYTES
        state = scene.broker.queue("shared")
        assert state.ready > count // 2
        reader.send_bytes(consume("shared", "reader", no_ack=True))
        for _ in range(state.ready * 3):
            reader.receive()
        scene.eventually(lambda: scene.broker.queue("shared").ready == 0)
        # What the silent one was given stays its own, and it finds it when it comes to.
        assert scene.broker.queue("shared").unacknowledged == (0 if no_ack else count - state.ready)
        for _ in range((count - state.ready) * 3):
            silent.receive()
    drop(scene, "shared")


def test_client_that_never_reads_its_answers_is_not_read_any_more(scene: Scene) -> None:
    """Its questions stay in its own socket; when it reads, every one of them is answered."""
    with deaf(scene) as silent:
        queue = "q" * 200
        declare(silent, queue)
        question = passive_declare(queue)
        sent = send_until_it_blocks(silent, question * 100, 200 * MIB)
        assert sent < 200 * MIB
        assert unwritten(scene) < driver_module.ANSWERS_BYTES_MAX + 2 * MIB
        scene.neighbour.wait_rounds(3)
        silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)  # It hears again.
        for _ in range(sent // len(question)):
            on, answer = silent.receive()
            assert (on, type(answer)) == (1, Queue.DeclareOk)


def test_pipelined_gets_of_large_messages_are_answered_one_after_the_other(scene: Scene) -> None:
    """30 bytes may ask for 128 MiB: no more of them are acted upon than there is room for the answers."""
    gets = 300
    with deaf(scene) as client:
        declare(client, "large")
        client.send_bytes(message("large", b"x" * LARGE))
        assert declare(client, "large") == 1
        client.send_bytes(
            (method(methods.BASIC_GET, 0, "large", False) + method(methods.BASIC_NACK, 0, True, True)) * gets
        )
        scene.neighbour.wait_rounds(3)
        assert unwritten(scene) < BACKLOG_BYTES + 2 * LARGE
        for number in range(gets):
            got = client.expect(Basic.GetOk, 1)
            assert (got.delivery_tag, got.redelivered) == (number + 1, number > 0)
            left = LARGE
            client.receive()
            while left:
                start = client.receive_bytes(7)
                size = struct.unpack(">I", start[3:])[0]
                client.receive_bytes(size + 1)
                left -= size
        assert declare(client, "large") == 1


def test_client_that_dies_while_its_gets_wait_leaves_nothing(scene: Scene) -> None:
    with deaf(scene) as client:
        declare(client, "large")
        client.send_bytes(message("large", b"x" * LARGE))
        client.send_bytes(method(methods.BASIC_GET, 0, "large", False) * 1000)
        client.send_bytes(passive_declare("large") * 1000)
        scene.neighbour.wait_rounds(3)


def test_returned_messages_that_nobody_reads_hold_their_publisher_up(scene: Scene) -> None:
    """basic.return goes back whole: a publisher that does not read is not read, either."""
    publish = method(methods.BASIC_PUBLISH, 0, "", "nowhere", True, False)
    publish += wire.content_frames(1, b"\0\0", b"x" * 50_000, 131_072)
    with deaf(scene) as client:
        assert send_until_it_blocks(client, publish, 200 * MIB) < 200 * MIB
        assert unwritten(scene) < driver_module.ANSWERS_BYTES_MAX + 2 * MIB
        scene.neighbour.wait_rounds(3)


# --- floods -------------------------------------------------------------------------------------------------


@pytest.mark.row("R3", "530")
def test_channel_flood_ends_at_channel_max(scene: Scene) -> None:
    with scene.client() as client:
        client.open()
        client.send_bytes(
            b"".join([method(methods.CHANNEL_OPEN, "", channel=number) for number in range(1, 2049)])
        )
        for number in range(1, 2048):
            client.expect(Channel.OpenOk, number)
        assert client.expect_connection_close() == (
            530,
            "NOT_ALLOWED - number of channels opened (2047) has reached the negotiated channel_max (2047)",
            0,
            0,
        )


def test_channels_opened_and_closed_without_end_leave_nothing(scene: Scene) -> None:
    turns = 5000
    with scene.logged_in() as client:
        pair = method(methods.CHANNEL_OPEN, "", channel=2)
        pair += method(methods.CHANNEL_CLOSE, 200, "", 0, 0, channel=2)
        client.send_bytes(pair * turns)
        for _ in range(turns):
            client.expect(Channel.OpenOk, 2)
            client.expect(Channel.CloseOk, 2)


def test_consumer_flood_and_its_end_keep_nobody_waiting(scene: Scene) -> None:
    """20,000 consumers of one channel, gone in one walk; RabbitMQ sets no limit either."""
    count = 20_000
    with scene.logged_in() as client:
        client.open_channel(2)
        client.send(Queue.Declare(queue="popular", exclusive=True), 2)
        client.expect(Queue.DeclareOk, 2)
        client.send_bytes(b"".join([consume("popular", f"c{number}") for number in range(count)]))
        scene.eventually(lambda: scene.broker.queue("popular").consumers == count)
        client.send(Channel.Close(200, "", 0, 0), 1)
        client.expect(Channel.CloseOk, 1)
        assert scene.broker.queue("popular").consumers == 0


def test_queue_flood_is_gone_with_its_connection(scene: Scene) -> None:
    count = 5000
    with scene.logged_in() as client:
        client.send_bytes(
            b"".join(
                [
                    method(methods.QUEUE_DECLARE, 0, f"q{number}", False, False, True, False, True, {})
                    for number in range(count)
                ]
            )
        )
        declare(client, "last")
        assert scene.resident().queues == count + 2


def test_binding_key_of_nothing_but_hashes_holds_nobody_up(scene: Scene) -> None:
    """R22: 128 words against 128 wildcards, for each message another key."""
    with scene.logged_in() as client:
        declare(client, "all")
        client.send(Queue.Bind(queue="all", exchange="amq.topic", routing_key=".".join("#" * 127)), 1)
        client.expect(Queue.BindOk, 1)
        for number in range(50):
            client.publish(".".join("a" * 120) + f".{number}", b"x", exchange="amq.topic")
        assert declare(client, "all") == 50


def test_properties_that_are_never_repeated_are_not_kept(scene: Scene) -> None:
    with scene.logged_in() as client:
        for number in range(300):
            headers = {"filler": f"{number}" + "x" * 100_000}
            client.publish("nowhere", b"x", properties=Basic.Properties(headers=headers))
        for number in range(2 * FACTS_MAX):
            client.publish("nowhere", b"x", properties=Basic.Properties(message_id=f"{number}"))
        declare(client, "over")

        def kept(server: Server) -> int:
            heads = [driver.connection for driver in server.clients]
            return max(sum(map(len, head.facts)) for head in heads if isinstance(head, Connection))

        assert scene.broker.call(kept) <= FACTS_MAX * FACTS_BYTES_MAX


def test_connections_that_come_and_go_leave_nothing(scene: Scene) -> None:
    """In every way there is: without a word, in the middle of a frame, with a reset, with a goodbye."""
    for turn in range(200):
        with scene.client() as client:
            if turn % 5:
                client.open()
                client.open_channel()
                declare(client, f"q{turn}")
                client.send_bytes(consume(f"q{turn}", "c"))
            if turn % 5 == 2:
                client.send_bytes(message(f"q{turn}", b"x" * 1000)[: turn * 5])
            if turn % 5 == 3:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if turn % 5 == 4:
                client.send(commands.Connection.Close(200, "", 0, 0))
                client.expect(commands.Connection.CloseOk)


# --- limits -------------------------------------------------------------------------------------------------


REFUSED = "connection refused: node connection limit (3) is reached"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.row("R15", "530")
def test_connections_beyond_the_limit_are_told_and_places_are_free_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """connection_max: the neighbour has one of them; each refusal is a line in the log."""
    with Broker(connection_max=3) as broker, scene_on(broker, caplog) as scene:
        with scene.logged_in(), scene.logged_in():
            for _ in range(5):
                with scene.client() as client:
                    client.tune()
                    client.send(commands.Connection.TuneOk(2047, 131_072, 0))
                    client.send(commands.Connection.Open("/"))
                    assert client.expect_connection_close()[:2] == (530, f"NOT_ALLOWED - {REFUSED}")
            scene.eventually(lambda: scene.resident().drivers == 3)
        scene.eventually(lambda: scene.resident().drivers == 1)
        with scene.logged_in() as client:
            declare(client, "mine")
        assert warnings(caplog) == [REFUSED] * 5


@pytest.mark.row("R15")
def test_sockets_that_wait_to_be_told_are_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood beyond connection_max is cut without a handshake, and who logs out makes room all the same."""
    monkeypatch.setattr(clients, "TOLD_MAX", 2)
    with Broker(connection_max=3) as broker, scene_on(broker, caplog) as scene:
        with scene.client(), scene.client(), scene.client(), scene.client():
            scene.eventually(lambda: scene.resident().drivers == 5)
            for _ in range(5):
                with scene.client() as client, contextlib.suppress(ConnectionError):
                    assert client.receive_bytes(1) == b""
            assert scene.resident().drivers == 5
        scene.eventually(lambda: scene.resident().drivers == 1)
        assert warnings(caplog) == ["connection refused: 5 are open, which is above connection_max"] * 5


def test_size_of_a_message_is_looked_at_before_its_body_comes(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Broker(message_size_max=1000) as broker,
        scene_on(broker, caplog) as scene,
        scene.logged_in() as client,
    ):
        declare(client, "small")
        client.publish("small", b"x" * 1000)
        client.send(Basic.Publish(routing_key="small"), 1)
        client.send(content_header(1001), 1)
        close = client.expect(Channel.Close, 1)
        assert (close.reply_code, close.reply_text) == (
            406,
            "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000",
        )
        # It was on its way before the client knew.
        client.send_frame(3, 1, b"x" * 1001)
        client.send(Channel.CloseOk(), 1)
        client.open_channel()
        assert declare(client, "small") == 1
