"""A broker inside a program: `with Broker() as broker: connect(broker.amqp_url)`.

As a synchronous context manager it runs in a thread of its own; as an asynchronous one, in the current
event loop. Without `data` it keeps everything in memory, which is what a test wants. Not here: what a
broker does (see `app`), pytest (see `testing.plugin`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from pillarbox.clock import Clock, ManualClock
from pillarbox.config import Config
from pillarbox.config_values import OFF
from pillarbox.endpoints import in_url

if TYPE_CHECKING:
    from types import TracebackType

    from pillarbox.app.server import Server

T = TypeVar("T")

START_TIMEOUT_S = 60.0
"""A large data folder may take seconds to read; a start that takes longer than this has hung."""


STOP_WAIT_S = 0.2
"""How long clients may take to answer the close at a stop. A client that blocks the thread which stops the
broker never does, and its test shall end all the same."""


class QueueState(NamedTuple):
    """What a queue holds at one moment."""

    ready: int
    unacknowledged: int
    consumers: int
    ready_bytes: int
    delayed: int = 0
    """Came back and wait until they are ready again (`x-delayed-retry-type`)."""


class Broker:
    """A running broker. Options are those of `Config`; the port is any free one unless given, and there is no
    management API unless its port is given (0: any free one).

    Raises StartupError if it cannot start, KeyError for a queue or virtual host that does not exist.
    """

    def __init__(self, data: str | None = None, *, clock: Clock | None = None, **options: Any) -> None:
        storage: dict[str, Any] = {"memory": True} if data is None else {"data": str(data)}
        self.config = Config(
            **{
                "port": 0,
                "host": "127.0.0.1",
                "management_port": OFF,
                "prometheus_port": OFF,
                **storage,
                **options,
            }
        )
        self.clock = clock
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    def __repr__(self) -> str:
        if self._server is None:
            return "<Broker not started>"
        ports = (f"{name}={found[0][1]}" for name, found in self._server.addresses.items())
        return f"<Broker {' '.join(ports)}>"

    # --- start and stop ------------------------------------------------------------------------------

    def start(self) -> Broker:
        """Start in a thread of its own; return when clients can connect. RuntimeError if it runs already."""
        if self._server is not None:
            raise RuntimeError("the broker is running already")
        started = threading.Event()
        failure: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._run, args=(started, failure), name="pillarbox", daemon=True
        )
        self._thread.start()
        if not started.wait(START_TIMEOUT_S):
            raise TimeoutError("the broker did not start in time")
        if failure:
            self._thread.join()
            self._thread = None
            raise failure[0]
        return self

    def stop(self) -> None:
        """Stop gracefully and wait for the end."""
        if self._thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            # What it held is no answer to a question after its end.
            self._thread = self._server = self._loop = self._stopping = None

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Broker:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def _open(self) -> None:
        from pillarbox.app.server import Server

        server = Server(self.config, clock=self.clock, stop_wait_s=STOP_WAIT_S)
        await server.start()
        self._server = server
        self._loop = asyncio.get_running_loop()

    def _run(self, started: threading.Event, failure: list[BaseException]) -> None:
        async def main() -> None:
            try:
                await self._open()
            except BaseException as error:
                failure.append(error)
                started.set()
                return
            self._stopping = asyncio.Event()
            started.set()
            await self._stopping.wait()
            assert self._server is not None
            await self._server.stop()

        from pillarbox.app.process import run

        run(main())

    # --- what clients and tests need -----------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The running server, for whoever wants to look inside; only from the broker's own thread."""
        if self._server is None:
            raise RuntimeError("the broker is not running")
        return self._server

    @property
    def amqp_port(self) -> int:
        """The port for AMQP 0-9-1."""
        return self.server.amqp_port

    @property
    def kafka_bootstrap(self) -> str:
        """Host and port for Kafka clients; `kafka_port` has to have asked for it (0: any free one)."""
        host, port = self.server.addresses["kafka"][0]
        return f"{in_url(host)}:{port}"

    @property
    def mqtt_port(self) -> int:
        """The port for MQTT; `mqtt_port` has to have asked for it (0: any free one)."""
        return self.server.addresses["mqtt"][0][1]

    @property
    def stomp_address(self) -> tuple[str, int]:
        """Host and port for STOMP clients; `stomp_port` has to have asked for it (0: any free one)."""
        return self.server.addresses["stomp"][0]

    @property
    def auto_port(self) -> int:
        """The port for clients of all protocols; `auto_port` has to have asked for it (0: any free one)."""
        return self.server.addresses["auto"][0][1]

    @property
    def schema_registry_url(self) -> str:
        """The URL of the schema registry; `schema_registry_port` has to have asked for it (0: any free
        one)."""
        host, port = self.server.operator_addresses["schema-registry"][0]
        return f"http://{in_url(host)}:{port}"

    @property
    def management_url(self) -> str:
        """The URL of the management API, which `management_port` has to have asked for, without `/api`."""
        host, port = self.server.operator_addresses["management"][0]
        return f"http://{in_url(host)}:{port}"

    @property
    def amqp_url(self) -> str:
        """An AMQP URL with user, password and virtual host."""
        config = self.config
        login = f"{quote(config.default_user, safe='')}:{quote(config.default_pass, safe='')}"
        host = self.server.addresses["amqp"][0][0]
        vhost = quote(config.default_vhost, safe="")
        return f"amqp://{login}@{in_url(host)}:{self.amqp_port}/{vhost}"

    def call(self, function: Callable[[Server], T]) -> T:
        """Run a function on the broker's thread and return its result."""
        server = self.server
        assert self._loop is not None
        if self._thread is None or threading.current_thread() is self._thread:
            return function(server)

        async def ask() -> T:
            return function(server)

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()

    def queue(self, name: str, vhost: str | None = None) -> QueueState:
        """What a queue holds now."""
        where = self.config.default_vhost if vhost is None else vhost

        def look(server: Server) -> QueueState:
            queue = server.core.vhosts[where].queues[name]
            return QueueState(
                queue.ready_count,
                queue.unacked_count,
                queue.consumer_count,
                queue.ready_bytes,
                queue.delayed_count,
            )

        return self.call(look)

    def set_policy(
        self,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        *,
        priority: int = 0,
        apply_to: str = "all",
        vhost: str | None = None,
        operator: bool = False,
    ) -> None:
        """Make a policy, or replace the one of this name, for queues and exchanges whose names fit.

        `pattern` is a regular expression; `definition` maps keys such as "message-ttl" to values. Raises
        BrokerError if any of that is not valid. `operator`: make it an operator policy.
        """
        from pillarbox.broker.policy import Policy

        where = self.config.default_vhost if vhost is None else vhost
        policy = Policy(where, name, pattern, definition, priority, apply_to)
        self.call(lambda server: server.core.vhosts[where].put_policy(policy, operator=operator))

    def clear_policy(self, name: str, *, vhost: str | None = None, operator: bool = False) -> bool:
        """Remove a policy; False: there was none."""
        where = self.config.default_vhost if vhost is None else vhost
        return self.call(lambda server: server.core.vhosts[where].remove_policy(name, operator=operator))

    def add_super_stream(
        self, name: str, partitions: int, *, vhost: str | None = None, **arguments: Any
    ) -> list[str]:
        """Make an exchange and so many streams bound to it; return their names, which are `name-0` and so on.

        `arguments` are those of each stream, `x_max_age` for `x-max-age`. Raises BrokerError if there is
        something of one of the names.
        """
        from pillarbox.broker.super_stream import add_super_stream

        where = self.config.default_vhost if vhost is None else vhost
        own = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.call(
            lambda server: add_super_stream(server.core.vhosts[where], name, partitions, arguments=own)
        )

    def advance(self, duration: str | int) -> None:
        """Move a `ManualClock` on and let everything happen that is due by then."""
        clock = self.clock
        if not isinstance(clock, ManualClock):
            raise TypeError("only a broker with a ManualClock can be moved in time")

        def move(server: Server) -> None:
            # A turn that has begun is of the time before, and so would be what it ends with.
            server.ticker.turn()
            clock.advance(duration)
            server.ticker.check_deadlines()
            server.ticker.turn()

        self.call(move)
