"""What a client costs in memory that is connected and waits: a broker may have very many of them."""

from __future__ import annotations

import gc
import tracemalloc

from pillarbox.protocols.mqtt.connection import Connection
from pillarbox.protocols.mqtt.head import Head, Settings
from tests.broker.broker_tools import Domain
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.rig import connect

CLIENTS = 300
CONNECTED_BYTES_MAX = 6600
"""5.8 KB with CPython 3.11, without the socket, of a session that is kept and has two subscriptions."""
IDLE_BYTES_MAX = 7200
"""The same when a message has come and gone: 760 bytes for each deque would be too many."""
GONE_BYTES_MAX = 5300
"""What is left when the client has gone: the session."""


def subscribe(number: int) -> bytes:
    topics = peer.text(f"fleet/{number}") + b"\1" + peer.text("fleet/all") + b"\1"
    return peer.packet(0x82, b"\0\1" + topics)


class Fleet:
    """So many clients, and one that publishes."""

    def __init__(self) -> None:
        self.domain = Domain(journaled=False)
        self.head = Head(self.domain.core, Settings(anonymous="guest"))
        self.publisher = self.connect("publisher")
        self.connections: list[Connection] = []

    def connect(self, client_id: str, more: bytes = b"") -> Connection:
        connection = self.head.connect("127.0.0.1:1 -> 127.0.0.1:2")
        self.turn(connection, connect(4, clean=False, client_id=client_id) + more)
        return connection

    def turn(self, connection: Connection, data: bytes = b"") -> bytes:
        """Input, everything that follows from it, and what is written."""
        connection.receive(data)
        self.domain.run()
        return b"".join(map(bytes, connection.take_output()))

    def come(self) -> None:
        for number in range(CLIENTS):
            self.connections.append(self.connect(f"client-{number}", subscribe(number)))

    def get_a_message_each(self) -> None:
        for number, connection in enumerate(self.connections):
            self.turn(self.publisher, peer.packet(0x32, peer.text(f"fleet/{number}") + b"\0\1hello"))
            packet_id = self.turn(connection)[-7:-5]
            assert connection.outbound.ledger.count == 1
            self.turn(connection, b"\x40\x02" + packet_id)
            assert connection.outbound.ledger.count == 0

    def wait(self) -> None:
        """Long enough for them to give back what they do not need."""
        for _ in range(6):
            self.domain.advance(1000)
            for connection in self.connections:
                connection.tick(self.domain.now_ms)
        self.domain.run()

    def go(self) -> None:
        while self.connections:
            self.connections.pop().closed("gone")
        self.domain.run()


def test_a_connected_session_takes_little_memory() -> None:
    """DESIGN, section 11: what a client does not use costs nothing; what it has used is given back, and what
    it had is freed when it goes, and not when the collector looks at what is old."""
    fleet = Fleet()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()

        def each() -> float:
            return (tracemalloc.get_traced_memory()[0] - before) / CLIENTS

        fleet.come()
        assert each() < CONNECTED_BYTES_MAX
        fleet.get_a_message_each()
        fleet.publisher.inbound.forget_routes()
        fleet.wait()
        assert each() < IDLE_BYTES_MAX
        fleet.go()
        assert each() < GONE_BYTES_MAX
    finally:
        tracemalloc.stop()
        gc.enable()
