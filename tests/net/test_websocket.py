"""Clients over WebSocket: the upgrade, messages however they are cut, ends of both sides, and strangers."""

from __future__ import annotations

import base64
import os
import queue
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from pillarbox import Broker
from pillarbox.app.server import Server
from pillarbox.protocols.mqtt.packets import Connect, Packet, PingRequest, Publish, Subscribe, Subscription
from tests.protocols.mqtt import peer

CONNECT = Connect(
    version=4,
    clean=True,
    keep_alive_s=0,
    client_id="a",
    will=None,
    username=None,
    password=None,
    properties={},
)
NODE = Path(__file__).resolve().parents[1] / "clients" / "node"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(mqtt_websocket_port=0, stomp_websocket_port=0, mqtt_port=0) as running:
        yield running


def port_of(broker: Broker, name: str = "web-mqtt") -> int:
    return int(broker.server.addresses[name][0][1])


class Client:
    """The client's side, by wsproto."""

    def __init__(self, port: int, *subprotocols: str) -> None:
        self.wire = WSConnection(ConnectionType.CLIENT)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        request = Request(host="localhost", target="/ws", subprotocols=list(subprotocols))
        self.socket.sendall(self.wire.send(request))
        self.events: list[object] = []

    def hear(self) -> object:
        """The next event; None when the broker has closed."""
        while not self.events:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self.wire.receive_data(data)
            self.events += list(self.wire.events())
        return self.events.pop(0)

    def hear_bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            event = self.hear()
            assert isinstance(event, BytesMessage), event
            data += event.data
        return data

    def say(self, data: bytes) -> None:
        self.socket.sendall(self.wire.send(BytesMessage(data)))


@pytest.mark.row("R141")
@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_an_mqtt_client_publishes_and_subscribes(broker: Broker, version: int) -> None:
    found: queue.Queue[bytes] = queue.Queue()
    body = os.urandom(300_000)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version, transport="websockets")
    client.ws_set_options(path="/ws")
    client.on_message = lambda client, data, message: found.put(message.payload)
    client.on_connect = lambda client, *said: client.subscribe("web/#", qos=1)
    client.on_subscribe = lambda client, *said: client.publish("web/a", body, qos=1)
    client.connect("127.0.0.1", port_of(broker))
    client.loop_start()
    assert found.get(timeout=10) == body
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_where_messages_are_cut_means_nothing(broker: Broker, size: int) -> None:
    client = Client(port_of(broker), "mqtt")
    accepted = client.hear()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "mqtt"
    said: list[Packet] = [
        CONNECT,
        Subscribe(1, [Subscription("cut", 0)], {}),
        Publish(topic="cut", payload=bytes(100)),
        PingRequest(),
    ]
    data = b"".join(peer.encode(packet, 4) for packet in said)
    for at in range(0, len(data), size):
        client.say(data[at : at + size])
    heard = client.hear_bytes(4 + 5 + 107 + 2)
    assert heard[0] == 0x20
    assert b"\xd0\x00" in heard
    assert bytes(100) in heard


def test_pings_are_answered_and_a_close_is_returned(broker: Broker) -> None:
    client = Client(port_of(broker), "mqtt")
    client.hear()
    client.socket.sendall(client.wire.send(Ping(b"there?")))
    assert client.hear() == Pong(b"there?")
    client.socket.sendall(client.wire.send(CloseConnection(1000)))
    assert isinstance(client.hear(), CloseConnection)
    assert client.hear() is None


def test_the_end_of_a_session_is_the_end_of_the_socket(broker: Broker) -> None:
    client = Client(port_of(broker), "mqtt")
    client.hear()
    client.say(peer.encode(CONNECT, 4) + b"\xe0\x00")
    assert client.hear_bytes(4) == b"\x20\x02\x00\x00"
    assert isinstance(client.hear(), CloseConnection)


@pytest.mark.parametrize("subprotocols", [(), ("chat",), ("v12.stomp",)])
def test_who_speaks_something_else_is_rejected(broker: Broker, subprotocols: tuple[str, ...]) -> None:
    client = Client(port_of(broker), *subprotocols)
    rejected = client.hear()
    assert isinstance(rejected, RejectConnection)
    assert rejected.status_code == 400


KEY = base64.b64encode(bytes(16))


@pytest.mark.parametrize(
    "data",
    [
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
        + KEY
        + b"\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000,
    ],
)  # fmt: skip
def test_strangers_are_shown_the_door_and_nobody_else_is_hurt(broker: Broker, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port_of(broker)), timeout=10) as stranger:
        stranger.sendall(data)
        said = b""
        try:
            while more := stranger.recv(1 << 16):
                said += more
        except ConnectionResetError:
            pass
    assert not said or said.startswith(b"HTTP/1.1 4")
    assert isinstance(Client(port_of(broker), "mqtt").hear(), AcceptConnection)


@pytest.mark.row("R142")
def test_stomp_is_spoken_over_websocket(broker: Broker) -> None:
    client = Client(port_of(broker, "web-stomp"), "v12.stomp", "v11.stomp")
    accepted = client.hear()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "v12.stomp"
    client.say(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
    assert client.hear_bytes(10).startswith(b"CONNECTED\n")


@pytest.mark.parametrize(
    ("client", "name"),
    [
        pytest.param("mqtt", "web-mqtt", marks=pytest.mark.row("R141", "A66")),
        pytest.param("@stomp/stompjs", "web-stomp", marks=pytest.mark.row("R142", "A13", "A66")),
    ],
)
def test_clients_of_the_browser(broker: Broker, client: str, name: str) -> None:
    """The npm clients, as they are used in web pages."""
    node_client(client, port_of(broker, name))


def node_client(client: str, port: int) -> None:
    """Have a client of node publish something and get it; skips where it is not installed."""
    missing = "" if shutil.which("node") else "node is not installed (Debian: apt-get install nodejs npm)"
    if not missing and not (NODE / "node_modules" / client).is_dir():
        missing = f"{client} is not installed: run `npm ci` in tests/clients/node"
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    done = subprocess.run(
        ["node", "web.mjs", client, str(port)],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "hello ü\n"), done.stderr


@pytest.mark.row("R142", "A13", "A66")
def test_stomp_is_spoken_in_texts_by_whoever_says_no_more_than_that(broker: Broker) -> None:
    """As with RabbitMQ and ActiveMQ: `new WebSocket(url)` names no protocol, and stompjs 2 takes the bytes of
    a binary message for characters."""
    client = Client(port_of(broker, "web-stomp"))
    accepted = client.hear()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol is None
    login = "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0"
    client.socket.sendall(client.wire.send(TextMessage(login)))
    connected = client.hear()
    assert isinstance(connected, TextMessage)
    assert connected.data.startswith("CONNECTED\n")
    said = "SUBSCRIBE\nid:1\ndestination:/queue/texts\n\n\0SEND\ndestination:/queue/texts\n\nü\0"
    client.socket.sendall(client.wire.send(TextMessage(said)))
    got = client.hear()
    assert isinstance(got, TextMessage)
    assert got.data.endswith("\n\nü\0\n")
    # What is no text has to be binary.
    client.say(b"SEND\ndestination:/queue/texts\ncontent-length:1\n\n\xff\0")
    assert client.hear_bytes(10).endswith(b"\n\n\xff\0\n")


def test_who_pings_and_does_not_read_is_kept_no_pongs_for(broker: Broker) -> None:
    """RFC 6455, 5.5.3: a pong for the last ping is enough."""
    client = Client(port_of(broker), "mqtt")
    client.hear()
    client.say(peer.encode(CONNECT, 4))
    client.hear()
    pings = client.wire.send(Ping(bytes(125))) * 8000
    for _ in range(16):
        client.socket.sendall(pings)
    client.socket.sendall(client.wire.send(Ping(b"last")))

    def unsent(server: Server) -> int:
        drivers = [one for one in server.clients if one.connection is not None]
        return max(one.connection.unsent_bytes() for one in drivers if one.connection is not None)

    assert broker.call(unsent) < 4 << 20
    while True:
        event = client.hear()
        assert isinstance(event, Pong)
        if event.payload == b"last":
            break
