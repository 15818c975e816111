"""A whole broker without sockets, threads and clock: connections, core and local engine over any `Files`.

`turn` does what the event loop does between two looks at its sockets; the disk takes its own turns, when
chance lets it. Not here: listeners, TLS, the process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import Settings
from pillarbox.store.committer import QUICK_SYNC_US
from pillarbox.store.files import Files
from pillarbox.testing.simulated_storage import NEVER

from .wire import Client

FOLDER = "/data"
NOW_MS = 1_700_000_000_000
MEMORY_BUDGET = 20_000
"""So little that waiting messages are let go and read back."""
TURNS_MAX = 5000
"""Turns without an end in sight: something hangs."""

ENGINE = {
    "segment_bytes": 6000,
    "checkpoint_bytes": 30_000,
    "checkpoint_records": 60,
    "allocate_bytes": 0,
}


class Whole:
    """See the module. `log` gets what the composition root would have logged."""

    def __init__(
        self,
        files: Files,
        scheduler: InlineScheduler,
        chance: random.Random,
        *,
        now_ms: int = NOW_MS,
        **options: object,
    ) -> None:
        self.scheduler = scheduler
        self.chance = chance
        self.now_ms = now_ms
        settings = {**ENGINE, "quick_sync_us": chance.choice((NEVER, QUICK_SYNC_US)), **options}
        self.engine = LocalEngine(FOLDER, files, scheduler, **settings)  # type: ignore[arg-type]
        recovery = self.engine.open()
        self.warnings = recovery.warnings
        self.core = Core(
            self.engine,
            now_ms=now_ms,
            random=chance.randbytes,
            wake=lambda: None,
            memory_budget=MEMORY_BUDGET,
        )
        self.engine.attach(self.core)
        self.core.restore(recovery)
        if not self.core.vhosts:
            self.core.add_vhost("/")
            self.core.put_user(User("guest", hash_password("guest", b"salt"), tags=("administrator",)))
            self.core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        self.lines: list[tuple[Client, Connection]] = []
        self._settings = Settings()

    def connect(self, *clients: Client) -> None:
        """Give each client a connection."""
        for client in clients:
            self.lines.append((client, Connection(self.core, self._settings)))

    def disconnect(self) -> None:
        """All sockets are gone at once."""
        lines, self.lines = self.lines, []
        for _, connection in lines:
            connection.closed("the peer closed the socket")

    def turn(self) -> None:
        """Read every socket, tick, and write to every socket."""
        self.core.set_time(self.now_ms)
        for client, connection in self.lines:
            data = client.take()
            if data:
                connection.receive(data)
        self.core.tick(self.now_ms)
        for client, connection in self.lines:
            starved = not connection.writable
            data = b"".join(connection.take_output())
            if data:
                client.receive(data)
            if starved:
                connection.wake_consumers()

    def disk(self, steps: int) -> None:
        """Let the disk and the engine's background work do so many steps."""
        for _ in range(steps):
            self.scheduler.step()

    def run(self, until: Callable[[], bool], actors: Sequence[object] = ()) -> None:
        """Take turns until the condition holds; the actors act in between."""
        for _ in range(TURNS_MAX):
            if until():
                return
            for actor in actors:
                actor.step()  # type: ignore[attr-defined]
            self.turn()
            self.disk(3)
        raise TimeoutError("the broker never gets there")

    def stop(self) -> None:
        """An orderly stop, as the composition root does it."""
        for _, connection in self.lines:
            connection.shut_down("stopped")
        self.turn()
        self.core.flush()
        self.engine.close(CoreSnapshot(self.core))
