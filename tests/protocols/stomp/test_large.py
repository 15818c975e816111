"""Large messages (A42): they go in and out whole, and memory is bounded while they wait and are out.

Memory is the most that the whole process of a broker has ever had (`VmHWM`), so nothing that comes and goes
is missed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pika
import pytest
import stomp

from bench import peers
from pillarbox import Broker
from tests.protocols.stomp.talking import Talking

MIB = 1 << 20
BODY_BYTES = 12 * MIB
COUNT = 40
"""Together many times as much as they may take in memory."""
MOST = 240 * MIB
"""What the broker may have had at most: it starts with some 40 MiB, has a budget of 32, and a few copies of a
body that is being read, written to the disk or sent. All of the messages are 480 MiB."""


class Served:
    """A broker in a process of its own."""

    def __init__(self, peer: peers.Pillarbox, port: int) -> None:
        self.peer = peer
        self.address = (peers.HOST, port)

    def most(self) -> int:
        """The most memory that it has had up to now."""
        for line in Path(f"/proc/{self.peer.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("there is no such line")


@pytest.fixture
def served() -> Iterator[Served]:
    (port,) = peers.free_ports(1)
    options = ["--port", "off", "--stomp-port", str(port), "--stomp-dialect", "activemq"]
    with peers.Pillarbox(options=[*options, "--memory-budget", "32MiB", "--durability", "os"]) as peer:
        yield Served(peer, port)
        peer.stop()
        printed = peer.printed()
    assert "Traceback" not in printed, printed


def body_of(number: int, size: int = BODY_BYTES) -> bytes:
    """A body that no other number has, with NUL in it."""
    return (b"\0%07d" % number) * (size // 8)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell the memory")
@pytest.mark.parametrize("persistent", ["true", "false"])
@pytest.mark.row("A42")
def test_memory_is_bounded_while_large_messages_wait_and_while_they_are_out(
    served: Served, persistent: str
) -> None:
    """A42: also if their receiver answers none of them, however many it may have, and when they come again.

    Those that are not persistent go to the disk as well when memory is used up.
    """
    with Talking(served.address) as sender:
        sender.connect()
        for number in range(COUNT):
            said = {"destination": "/queue/large", "persistent": persistent}
            sender.done("SEND", said, body_of(number))
    for _ in range(2):
        with Talking(served.address) as receiver:
            receiver.connect()
            receiver.say("SUBSCRIBE", {"id": "s", "destination": "/queue/large", "ack": "client"})
            for number in range(COUNT):
                assert receiver.message().body == body_of(number), number
    assert served.most() < MOST


@pytest.mark.row("A42")
def test_stomp_py_sends_and_gets_large_messages(broker: Broker, name: str) -> None:
    """A42: as it came, however many pieces it came in."""
    want = [body_of(number, 5 * MIB) for number in range(3)]
    got: list[str] = []
    done = threading.Event()

    class Listener(stomp.ConnectionListener):  # type: ignore[misc]
        def on_message(self, frame: stomp.utils.Frame) -> None:
            got.append(digest(frame.body))
            if len(got) == len(want):
                done.set()

    client = stomp.Connection12([broker.stomp_address], auto_decode=False, vhost="/")
    client.set_listener("", Listener())
    client.connect("guest", "guest", wait=True)
    client.subscribe(f"/queue/{name}", "s")
    for body in want:
        client.send(f"/queue/{name}", body)
    assert done.wait(60)
    client.disconnect()
    assert got == [digest(body) for body in want]


@pytest.mark.row("A42")
def test_large_messages_come_to_clients_of_other_protocols(name: str) -> None:
    body = body_of(7, 3 * MIB)
    got: list[bytes] = []
    done = threading.Event()
    with Broker(stomp_port=0, mqtt_port=0) as broker, Talking(broker.stomp_address) as sender:
        sender.connect()
        listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        listener.username_pw_set("guest", "guest")
        listener.on_connect = lambda *_: listener.subscribe(f"{name}/a", 1)
        listener.on_subscribe = lambda *_: done.set()
        listener.on_message = lambda client, userdata, message: (got.append(message.payload), done.set())
        listener.connect(peers.HOST, broker.mqtt_port)
        listener.loop_start()
        assert done.wait(10)
        done.clear()
        sender.done("SEND", {"destination": f"/topic/{name}.a"}, body)
        assert done.wait(20)
        listener.loop_stop()
        sender.done("SEND", {"destination": f"/queue/{name}", "persistent": "true"}, body)
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            got.append(connection.channel().basic_get(name, auto_ack=True)[2])
    assert [each == body for each in got] == [True, True]


@pytest.mark.row("A42", "A10")
def test_sender_of_more_than_there_may_be_hears_so_while_it_is_sending() -> None:
    """A42: the ERROR frame is not lost, though the client goes on with a body of 64 MiB."""
    with Broker(stomp_port=0, message_size_max=MIB) as broker, Talking(broker.stomp_address) as sender:
        sender.connect()
        sender.say("SEND", {"destination": "/queue/a"}, b"\0" * (64 * MIB))
        got = sender.read()
        assert (got.command, got.headers["message"]) == ("ERROR", "The maximum data length was exceeded")
        assert got.body == b"the body is larger than 1048576 bytes"
        with Talking(broker.stomp_address) as other:
            other.connect()
            other.done("SEND", {"destination": "/queue/a"}, b"\0" * MIB)
        assert broker.queue("a").ready == 1


@pytest.mark.row("A42")
def test_blob_message_is_a_message_whose_headers_say_where_its_file_is(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A42: files are moved by ActiveMQ's JMS client alone, to a file server; others pass on what it says."""
    sender, receiver = connected(to=activemq), connected(to=activemq)
    receiver.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    told = {"JMS_AMQ_BlobURL": "http\\c//files/1", "BlobName": "film", "MimeType": "video/mp4"}
    sender.done("SEND", {"destination": f"/queue/{name}"} | told)
    assert receiver.message().headers.items() >= (told | {"JMS_AMQ_BlobURL": "http://files/1"}).items()
