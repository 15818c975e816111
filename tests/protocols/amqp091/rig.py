"""A connection on a real core with a journal in memory, and everything about both that anybody could see.

`Rig` turns like the broker's loop does: input, tick, journal, output. `state` is what must be equal when two
rigs were told the same in different ways. Nothing here depends on the machine: time stands where it is put,
and names that the broker chooses come from a seed.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import Run
from pillarbox.engine.base import Recovery
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.channel import Channel
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, Settings, State
from pillarbox.testing.memory_journal import MemoryJournal

NOW_MS = 1_700_000_000_000
USER = "guest"
CAPABILITIES: dict[str, Any] = {
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
    "connection.blocked": True,
}

Feed = Callable[[Connection, bytes], None]
Maker = Callable[[Core, Settings], Connection]

_head = struct.Struct(">BHI")


def whole(connection: Connection, data: bytes) -> None:
    """All at once."""
    connection.receive(memoryview(data))


def byte_by_byte(connection: Connection, data: bytes) -> None:
    """One octet a time."""
    for place in range(len(data)):
        connection.receive(memoryview(data)[place : place + 1])


def cut_at(places: Iterable[int]) -> Feed:
    """Cut where `places` (reduced to the size of the input) say."""
    wanted = list(places)

    def feed(connection: Connection, data: bytes) -> None:
        edges = sorted({0, len(data), *(place % (len(data) + 1) for place in wanted)})
        for start, stop in itertools.pairwise(edges):
            connection.receive(memoryview(data)[start:stop])

    return feed


def every(step: int) -> Feed:
    """Pieces of `step` bytes."""

    def feed(connection: Connection, data: bytes) -> None:
        for place in range(0, len(data), step):
            connection.receive(memoryview(data)[place : place + step])

    return feed


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """(type, channel, payload) of all frames in whole output; AssertionError if it is anything else."""
    found = []
    position = 8 if data[:4] == b"AMQP" else 0
    while position < len(data):
        kind, channel, size = _head.unpack_from(data, position)
        end = position + 7 + size
        assert data[end] == wire.FRAME_END
        found.append((kind, channel, data[position + 7 : end]))
        position = end + 1
    return found


def sent_methods(data: bytes) -> list[tuple[int, str, tuple[Any, ...]]]:
    """(channel, name, arguments) of the methods in whole output."""
    told = []
    for kind, channel, payload in frames(data):
        if kind == wire.FRAME_METHOD:
            method_id = int.from_bytes(payload[:4], "big")
            told.append((channel, methods.METHODS[method_id].name, methods.decode(method_id, payload)))
    return told


def login_frames(frame_max: int = 131_072, *, channel_max: int = 2047) -> bytes:
    """Everything that a client says until it is in, without the protocol header."""
    login = b"\0guest\0guest"
    properties = {"capabilities": CAPABILITIES}
    return b"".join(
        [
            methods.method_frame(0, methods.CONNECTION_START_OK, properties, "PLAIN", login, "en_US"),
            methods.method_frame(0, methods.CONNECTION_TUNE_OK, channel_max, frame_max, 0),
            methods.method_frame(0, methods.CONNECTION_OPEN, "/", "", False),
        ]
    )


class Rig:
    """See the module."""

    def __init__(
        self,
        make: Maker = Connection,
        *,
        settings: Settings | None = None,
        memory_budget: int = 128 << 20,
    ) -> None:
        self.now_ms = NOW_MS
        self.journal = MemoryJournal()
        self.core = Core(
            self.journal,
            now_ms=NOW_MS,
            random=random.Random(0).randbytes,
            wake=lambda: None,
            memory_budget=memory_budget,
        )
        self.journal.attach(self.core)
        self.core.restore(Recovery({}, {}, []))
        self.core.add_vhost("/")
        self.core.put_user(User(USER, hash_password("guest", b"salt")))
        self.core.set_permission(Permission(USER, "/", ".*", ".*", ".*"))
        self.settings = settings or Settings()
        self.connection = make(self.core, self.settings)
        self.output = b""
        """All that was ever written."""

    def log_in(self, frame_max: int = 131_072) -> Rig:
        """Say everything until the connection is open; its answers are not kept."""
        self.connection.receive(PROTOCOL_HEADER + login_frames(frame_max))
        assert self.connection.state is State.RUNNING, self.connection.close_reason
        self.take()
        self.output = b""
        return self

    def send(self, channel: int, method_id: int, *arguments: Any) -> None:
        """One method frame in."""
        self.connection.receive(methods.method_frame(channel, method_id, *arguments))

    def take(self) -> bytes:
        """What there is to write, as the driver takes it."""
        connection = self.connection
        starved = not connection.writable
        out = b"".join(connection.take_output())
        if starved and not connection.want_close:
            connection.wake_consumers()
        self.output += out
        return out

    def turn(self, data: bytes = b"", feed: Feed = whole) -> bytes:
        """Input, then ticks until all is quiet; returns what is written meanwhile."""
        before = len(self.output)
        self.core.set_time(self.now_ms)
        feed(self.connection, data)
        self.take()
        self._tick()
        core = self.core
        chores = core.chores
        while (
            core.changes.dirty
            or chores.under_way
            or chores.turns
            or self.connection.out
            or self.journal.loads
        ):
            self._tick()
        return self.output[before:]

    def _tick(self) -> None:
        self.core.tick(self.now_ms)
        self.journal.sync()
        while self.journal.loads:
            self.journal.answer_load()
        self.take()

    def later(self, milliseconds: int) -> None:
        """Let time pass, for everybody."""
        self.now_ms += milliseconds
        self.core.set_time(self.now_ms)
        self.connection.tick(self.now_ms)

    def state(self) -> dict[str, Any]:
        """The connection and the core, as far as anybody could ever notice them.

        Without what memory is counted: that depends on what came together.
        """
        connection = self.connection
        return {
            "connection": (connection.state, connection.close_reason, connection.want_close),
            "limits": (connection.frame_max, connection.channel_max, connection.heartbeat_s),
            "published": (connection.published, connection.blocked_reason),
            "channels": {number: _channel(channel) for number, channel in connection.channels.items()},
            "sessions": len(self.core.sessions),
            "definitions": dict(self.core.definitions),
            "vhosts": {name: _vhost(vhost) for name, vhost in self.core.vhosts.items()},
            "groups": len(self.journal.groups),
        }


def _channel(channel: Channel) -> dict[str, Any]:
    publisher = channel.publisher
    return {
        "opened": (channel.opened, channel.closing),
        "out": [
            (tag, entry.lane.queue.name) for entry in channel.ledger.entries() for tag in range(*_tags(entry))
        ],
        "tag_next": channel.ledger.tag_next,
        "consumers": [(tag, consumer.credit) for tag, consumer in channel.consumers.items()],
        "counters": repr(channel.counters),
        "publisher": publisher and (publisher.published, publisher.sealed, publisher.waiting),
        "last_queue": channel.last_queue,
        "reply_queue": channel.reply_queue,
        "pool": (channel.prefetch, channel.pool.limit, channel.pool.credit),
        "body_missing": channel.body_missing,
    }


def _tags(entry: Any) -> tuple[int, int]:
    return entry.base + entry.start, entry.base + entry.stop


def _vhost(vhost: Any) -> dict[str, Any]:
    return {
        "exchanges": {
            name: (exchange.counters.publish_in, exchange.counters.publish_out)
            for name, exchange in vhost.exchanges.items()
        },
        "queues": {name: _queue(queue) for name, queue in vhost.queues.items()},
        "reply_queues": sorted(vhost.reply_queues),
    }


def _queue(queue: Queue) -> dict[str, Any]:
    counters = queue.counters
    return {
        "counts": (queue.ready_count, queue.ready_bytes, queue.unacked_count, queue.unacked_bytes),
        "next": [(lane.priority, lane.sequence_next, lane.delivered_through) for lane in queue.lanes],
        "ready": [message for run in queue.ready_runs() for message in _messages(run)],
        "outstanding": sorted(
            message
            for entry in queue.outstanding()
            for message in _messages(entry.run)[entry.start : entry.stop]
        ),
        "consumers": [consumer.tag for consumer in queue.consumers],
        "counters": [getattr(counters, name) for name in counters.__slots__],
    }


def _messages(run: Run) -> list[tuple[Any, ...]]:
    if run.messages is None:
        return [(sequence,) for sequence in run.sequences]
    return [
        (
            sequence,
            msgspec.structs.astuple(message.address),
            bytes(message.properties),
            bytes(message.body),
            message.accepted_ms,
            message.expiration_ms,
            message.persistent,
        )
        for sequence, message in zip(run.sequences, run.messages, strict=True)
    ]
