"""Connections on a real core that keeps all in memory, turned as the broker's loop does, without a socket.

Nothing depends on the machine: time stands where it is put, and what is random comes from a seed. Whatever is
answered is read by kio, to the last byte, and has to be in the order of the requests.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from kio.serial import entity_reader
from kio.serial.errors import OutOfBoundValue

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core
from pillarbox.engine.memory import MemoryEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.kafka.connection import CALLS_MAX, REQUEST_BYTES_MAX, Connection
from pillarbox.protocols.kafka.head import Head, Settings
from pillarbox.protocols.kafka.messages import APIS
from tests.protocols.kafka.oracle import kio_class

NOW_MS = 1_700_000_000_000
API_VERSIONS = 18
TURNS_MAX = 200
"""What one input causes is over by then."""


def header(key: int, version: int, number: int, client_id: str | None = "c") -> bytes:
    """A request's header, with tagged fields where its version has them."""
    name = b"\xff\xff" if client_id is None else struct.pack(">h", len(client_id)) + client_id.encode()
    flexible = key in APIS and version >= APIS[key].flexible
    return struct.pack(">hhi", key, version, number) + name + (b"\0" if flexible else b"")


class Client:
    """One connection, what it was asked and what it has answered. `on_answer` is told of each answer."""

    def __init__(self, head: Head, on_answer: Callable[[int, Any], None]) -> None:
        self.connection: Connection = head.connect("127.0.0.1:5 -> 127.0.0.1:9092")
        self.asked: deque[tuple[int, int, int]] = deque()
        """(correlation id, key, version) of what may still be answered."""
        self._on_answer = on_answer
        self._number = 0

    def request(self, key: int, version: int, body: bytes, client_id: str | None = "c") -> bytes:
        """Return the bytes of a request, whose answer will be looked for."""
        self._number += 1
        self.asked.append((self._number, key, version))
        data = header(key, version, self._number, client_id) + body
        return struct.pack(">i", len(data)) + data

    def take(self) -> bool:
        """Read what it has written; tell whether that was anything."""
        starved = not self.connection.writable
        data = b"".join(self.connection.take_output())
        if starved:
            self.connection.wake_consumers()
        at = 0
        while at < len(data):
            (size,) = struct.unpack_from(">i", data, at)
            self._answer(data[at + 4 : at + 4 + size])
            at += 4 + size
        assert at == len(data)
        return bool(data)

    def _answer(self, data: bytes) -> None:
        (number,) = struct.unpack_from(">i", data)
        while self.asked and self.asked[0][0] != number:
            self.asked.popleft()  # Produce without acks has no answer.
        assert self.asked, f"nobody asked for answer {number}"
        _, key, version = self.asked.popleft()
        first, last = self.connection.head.offered[key]
        if not first <= version <= last:
            assert key == API_VERSIONS
            version = 0
        at = 4 + (key != API_VERSIONS and version >= APIS[key].flexible)
        kio_type = kio_class(key, version, "response")
        try:
            response, size = entity_reader(kio_type)(data, at)
        except OutOfBoundValue:
            return  # A time of -1, which is Kafka's word for none; kio takes it for a date.
        assert at + size == len(data), f"{kio_type.__name__} {version}: something is behind it"
        self._on_answer(key, response)

    def check_held(self, sent: int) -> None:
        """What it keeps stays within its limits, whatever sizes were announced."""
        connection = self.connection
        assert len(connection._calls) <= CALLS_MAX
        assert len(connection._input) <= min(sent, REQUEST_BYTES_MAX + 4)


class Rig:
    """See the module. `login`: strangers are not let in."""

    def __init__(self, seed: int = 0, *, login: bool = False) -> None:
        self.random = random.Random(seed)
        self.now_ms = NOW_MS
        self.scheduler = InlineScheduler()
        engine = MemoryEngine(self.scheduler)
        self.core = Core(
            engine, now_ms=NOW_MS, random=self.random.randbytes, wake=lambda: None, logs=engine.logs
        )
        engine.attach(self.core)
        self.core.restore(engine.open())
        self.core.add_vhost("/")
        self.core.put_user(User("guest", hash_password("guest", b"salt")))
        self.core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        self.head = Head(
            self.core, Settings(anonymous="" if login else "guest", acls=True, open_by_default=True)
        )
        self.clients: list[Client] = []
        self.on_answer: Callable[[int, Any], None] = lambda key, answer: None

    def connect(self) -> Client:
        client = Client(self.head, lambda key, answer: self.on_answer(key, answer))
        self.clients.append(client)
        return client

    def turn(self) -> None:
        """End the turn, and go on until nothing more comes of it."""
        for _ in range(TURNS_MAX):
            self.core.set_time(self.now_ms)
            self.core.tick(self.now_ms)
            self.scheduler.run_until_idle()
            written = [client.take() for client in self.clients]
            if not any(written) and not self.core.changes.logs_grown:
                return
        raise AssertionError("it does not come to rest")

    def later(self, ms: int) -> None:
        """Let time go by."""
        self.now_ms += ms
        self.turn()
        for client in self.clients:
            client.connection.tick(self.now_ms)

    def drop(self, client: Client) -> None:
        """Its socket is gone."""
        client.connection.closed("gone")
        self.clients.remove(client)

    def check_end(self) -> None:
        """When all sockets are gone, nothing of them is left."""
        for client in list(self.clients):
            self.drop(client)
        self.turn()
        assert not self.head.parked
        assert not self.head.connections
        assert not self.head.untaken_bytes
        assert not self.core.sessions
        assert self.core.failure is None
