"""Connections without sockets, on a core whose journal is in memory and whose time a test sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.config import Config
from pillarbox.engine.logs import Logs
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols import registry
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.records import RecordCodec
from pillarbox.protocols.stomp import head
from pillarbox.protocols.stomp.connection import Connection
from pillarbox.protocols.stomp.head import Settings
from pillarbox.store.memory_files import MemoryFiles
from pillarbox.testing.memory_journal import MemoryJournal
from tests.broker.broker_tools import NOW_MS, Domain
from tests.protocols.stomp.twin import TwinConnection

PEER = "127.0.0.1:1 -> 127.0.0.1:2"


def without_socket(**settings: object) -> Connection:
    """A connection on a core of its own, where nothing is random."""
    core = Core(MemoryJournal(), now_ms=NOW_MS, random=bytes, wake=lambda: None)
    provide(core)
    core.add_vhost("/")
    core.add_user("guest", "guest")
    core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
    return Connection(core, Settings(**{"anonymous": "guest", **settings}), peer="here")  # type: ignore[arg-type]


def provide(core: Core) -> None:
    """Give a core what it has of protocols in a broker."""
    core.dialects.common, core.dialects.find = registry.COMMON, registry.dialect
    core.advisories.find_forms = registry.advisory_forms
    core.dead_letters.writers[registry.COMMON] = dead_letter
    core.schedules.timetables[registry.COMMON] = TIMETABLE
    core.streams.make_codec = lambda: RecordCodec(core.dialects)


class Ground(Domain):
    """A core that has streams as well."""

    def _make_core(self) -> Core:
        self.scheduler = InlineScheduler()
        core = Core(
            self.journal,
            now_ms=self.now_ms,
            random=self._bytes,
            wake=self._wake,
            memory_budget=self.memory_budget,
            logs=Logs(MemoryFiles(), "", self.scheduler, sync=False),
        )
        self.journal.attach(core)
        provide(core)
        return core

    def run(self, ticks_max: int = 10_000) -> None:
        for _ in range(ticks_max):
            woken = self.woken
            super().run(ticks_max)
            self.scheduler.run_until_idle()
            if self.woken == woken:
                return
        raise AssertionError("the core never comes to rest")


class Rig:
    """One client that may come again, and the broker as a configuration has it.

    `piece_bytes`: the twins are at work, and read so much at a time; 0: they are not.
    """

    def __init__(
        self, options: Mapping[str, Any], *, piece_bytes: int = 0, memory_budget: int = 128 << 20
    ) -> None:
        self.domain = Ground(memory_budget=memory_budget)
        self.core = self.domain.core
        self.connect = head.connections(self.core, Config(stomp_port=0, **options))
        self.settings = self.connect(PEER, True, lambda: None).settings
        self._piece_bytes = piece_bytes
        self.connection = self._connection()
        self.domain.run()

    def _connection(self) -> Connection:
        if self._piece_bytes:
            return TwinConnection(self.core, self.settings, peer=PEER, piece_bytes=self._piece_bytes)
        return self.connect(PEER, True, lambda: None)

    def turn(self, data: bytes = b"") -> bytes:
        """Input, everything that follows from it, and what is written."""
        connection = self.connection
        if not connection.want_close:
            connection.receive(data)
        self.domain.run()
        # What was held back until these had been written comes next.
        written = b""
        while part := b"".join(map(bytes, connection.take_output())):
            written += part
            connection.wake_consumers()
            self.domain.run()
        if connection.want_close:
            connection.closed("the broker has closed it")
            self.domain.run()
        return written

    def come_again(self) -> None:
        """The socket is lost, and there is another one."""
        self.connection.closed("lost")
        self.domain.run()
        self.connection = self._connection()

    def another(self, said: bytes) -> None:
        """Have another client say this, and go."""
        other = self.connect("127.0.0.1:3 -> 127.0.0.1:2", True, lambda: None)
        other.receive(b"CONNECT\naccept-version:1.2\n\n\0" + said)
        self.domain.run()
        other.take_output()
        other.closed("gone")
        self.domain.run()

    def advance(self, duration_ms: int) -> None:
        """Let time go by, with what the driver says every second."""
        self.domain.advance(duration_ms)
        self.domain.run()
        if not self.connection.want_close:
            self.connection.tick(self.domain.now_ms)
        self.domain.run()

    def state(self) -> dict[str, Any]:
        """All that is known of the client, and of what waits."""
        connection, core = self.connection, self.core
        found: dict[str, Any] = {
            "ended": connection.want_close,
            "state": connection.state,
            "queues": {
                queue.name: (queue.ready_count, queue.ready_bytes, queue.unacked_count, queue.unacked_bytes)
                for queue in core.all_queues()
            },
            "kept": sorted(core.definitions),
        }
        channel = connection.channel
        if not connection.want_close:
            found["input"] = connection._scanner.waiting_bytes
            found["waits"] = connection.waiting, connection.writable
        if channel is not None and not connection.want_close:
            counters = channel.counters
            found["counters"] = [getattr(counters, name) for name in counters.__slots__]
            found["out"] = [
                entry.base + place
                for entry in channel.ledger.entries()
                for place in range(entry.start, entry.stop)
            ]
            found["owed"] = channel.receipts.owed(), sorted(channel.publishing.transactions)
            found["subscriptions"] = sorted(channel.subscriptions)
        return found
