"""Connections without sockets, on a core of their own whose journal answers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pillarbox.protocols.mqtt.connection import Connection
from pillarbox.protocols.mqtt.head import Head, Settings
from pillarbox.protocols.mqtt.packets import Connect
from tests.broker.broker_tools import Domain
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.peer import Received

PACKET_BYTES_MAX = 20_000
CLIENT = "me"

Feed = Callable[[bytes], Iterator[bytes]]
"""How input comes: in which pieces."""


def whole(data: bytes) -> Iterator[bytes]:
    # A socket that has nothing is not read, and what it has is a sign of life.
    if data:
        yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


class Rig:
    """One client that may come again, and the broker; `feed` says how its input is cut."""

    def __init__(self, feed: Feed = whole) -> None:
        self.feed = feed
        self.domain = Domain()
        self.head = Head(
            self.domain.core, Settings(anonymous="guest", packet_bytes_max=PACKET_BYTES_MAX, login_ms=10_000)
        )
        self.version = 5
        self.connection = self._connect()
        self.others = 0

    def _connect(self) -> Connection:
        return self.head.connect("127.0.0.1:1 -> 127.0.0.1:2")

    def turn(self, data: bytes = b"") -> bytes:
        """Input, everything that follows from it, and what is written."""
        connection = self.connection
        for piece in self.feed(data):
            if connection.want_close:
                break
            connection.receive(piece)
        self.domain.run()
        written = b"".join(map(bytes, connection.take_output()))
        if connection.want_close:
            connection.closed("the broker has closed it")
            self.domain.run()
        return written

    def come_again(self, version: int, *, clean: bool, lost: bool = True) -> bytes:
        """Connect once more under the same name, when the connection was lost, or while it is there."""
        if lost:
            self.connection.closed("lost")
        before = self.connection
        self.connection = self._connect()
        output = self.turn(connect(version, clean=clean))
        before.closed("gone")
        self.domain.run()
        return output

    def publish(self, topic: str, payload: bytes = b"x", *, qos: int = 1, retain: bool = False) -> None:
        """Have another client publish."""
        self.others += 1
        other = self.head.connect("127.0.0.1:3 -> 127.0.0.1:2")
        other.receive(connect(4, client_id=f"other{self.others}"))
        number = b"\0\1" if qos else b""
        other.receive(peer.packet(0x30 | qos << 1 | retain, peer.text(topic) + number + payload))
        self.domain.run()
        other.closed("gone")
        self.domain.run()

    def advance(self, duration_ms: int) -> None:
        """Let time go by, with what the driver says every second."""
        self.domain.advance(duration_ms)
        self.connection.tick(self.domain.now_ms)
        self.domain.run()

    def state(self) -> dict[str, Any]:
        """All that is known of the client, and of what waits."""
        connection, core = self.connection, self.domain.core
        return {
            "ended": connection.want_close,
            "input": bytes(connection._input),
            "sessions": {
                name: (list(one.subscriptions), sorted(one.received), list(one.released), one.expiry_s)
                for (_, name), one in self.head.sessions.by_client.items()
            },
            "queues": {queue.name: (queue.ready_count, queue.unacked_count) for queue in core.all_queues()},
            "retained": [
                (one.topic, one.payload) for part in self.head.retained.matching("/", "#") for one in part
            ],
            "kept": sorted(core.definitions),
        }


def connect(version: int, *, clean: bool = True, client_id: str = CLIENT, **more: Any) -> bytes:
    """A CONNECT; one that is not clean wants its session kept."""
    properties = {"session_expiry_interval": 100} if version == 5 and not clean else {}
    return peer.encode(
        Connect(
            version=version,
            clean=clean,
            keep_alive_s=more.pop("keep_alive_s", 0),
            client_id=client_id,
            will=more.pop("will", None),
            username=None,
            password=None,
            properties=properties | more,
        ),
        version,
    )


def packets_of(output: bytes, version: int) -> list[Received]:
    """Everything that the broker has said, in whole packets."""
    found = []
    while output:
        received, output = peer.decode(output, version)
        found.append(received)
    return found
