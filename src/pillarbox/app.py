"""The composition root: configuration → engine → core → listeners → graceful stop.

The only module that sees all parts. `Server` is a running broker inside an event loop; `serve` runs one
as a process until it is told to stop. Not here: what any of the parts does.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pillarbox.broker.auth import INTERNAL, OAUTH2, Permission, Principal
from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.broker.outside import Backend
from pillarbox.clock import Clock, SystemClock
from pillarbox.config import Config, sni_files
from pillarbox.engine.base import Journal, JournalListener, Recovery, Snapshot
from pillarbox.engine.logs import Logs
from pillarbox.errors import StartupError
from pillarbox.logins.options import backend_pair
from pillarbox.net.driver import Driver
from pillarbox.net.lobby import Lobby
from pillarbox.net.outgoing import Dialer
from pillarbox.net.ticker import Ticker
from pillarbox.ops.garbage import Collector
from pillarbox.ops.ports import OperatorPort, operator_ports
from pillarbox.ops.resources import Watch, machine_bytes, process_bytes, watermark_bytes
from pillarbox.ops.shovel.shovels import Shovels
from pillarbox.profiles import PROFILES, release

if TYPE_CHECKING:
    import ssl

    from pillarbox.broker.dialects import Dialects
    from pillarbox.broker.streams import StreamCodec
    from pillarbox.endpoints import Endpoint
    from pillarbox.logins.asker import Asker
    from pillarbox.oauth.keys import KeyRing
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.management.samples import Sampler
    from pillarbox.ops.management.server import HttpServer
    from pillarbox.ops.pace import Pace
    from pillarbox.protocols.amqp091.connection import Connection as AmqpConnection
    from pillarbox.protocols.amqp091.handshake import Settings
    from pillarbox.protocols.registry import Spoken

log = logging.getLogger("pillarbox")

BACKLOG = 1024
"""Connections that may wait to be accepted: a burst of reconnecting clients comes all at once."""

UNSYNCED_BYTES_MAX = 64 << 20
"""Bytes on their way to the disk at which publishers are not read until half of it is there: more would
only grow the memory, since the disk is what limits them then."""

STOP_WAIT_S = 5.0
"""How long clients may take to answer the close at a graceful stop."""

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread may keep the interpreter from the loop: a fifth of the largest unit of work."""

KEPT_BYTES = 64 << 20
"""Freed memory that the process keeps: taking it anew costs more than filling it, with large bodies half of
the time."""

FILES_WANTED = 1 << 20
"""Open files to ask the system for: the usual limit of 1024 is less than the connections that clients expect.
Linux allows no more than this unless it is told to."""

FILES_RESERVED = 256
"""Open files that connections leave to the data folder: a journal that cannot open its next segment has
failed for good."""

DEFECT = "the broker has a defect, see its log; nothing is stored any more until it is started again"

CONNECTIONS_TOLD_MAX = 64
"""Sockets beyond `connection_max` that are let in to be told why they have no place. More are cut at once: a
flood of them costs no more than so many handshakes at a time."""


class Engine(Journal, Protocol):
    """What the composition root needs of an engine beyond the journal."""

    logs: Logs

    def open(self) -> Recovery: ...

    def attach(self, listener: JournalListener) -> None: ...

    def close(self, snapshot: Snapshot | None = None) -> None: ...


class Listener(Protocol):
    """Sockets that accept connections until it is closed."""

    @property
    def sockets(self) -> Sequence[Any]: ...

    def close(self) -> None: ...


class Server:
    """A broker that runs in the current event loop. `start`, then `stop`; not to be started again.

    `process_bytes` says how much memory the process takes, for the memory alarm. Within somebody else's
    program that is not the broker's doing, and nothing but messages counts. `stop_wait_s` is how long clients
    may take to answer the close at a stop.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        process_bytes: Callable[[], int] = lambda: 0,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.core: Core
        self.ticker: Ticker
        self.watch: Watch
        self.spoken: dict[str, Spoken] = {}
        """Protocols for which a port is open."""
        self.addresses: dict[str, list[tuple[str, int]]] = {}
        """Of the ports for clients, by name: the protocol's, with an `s` at the end over TLS, or its own."""
        self.endpoints: list[tuple[Endpoint, list[tuple[str, int]]]] = []
        """The same with what each is."""
        self.management_addresses: list[tuple[str, int]] = []
        self.prometheus_addresses: list[tuple[str, int]] = []
        self.management_tls_addresses: list[tuple[str, int]] = []
        self.prometheus_tls_addresses: list[tuple[str, int]] = []
        self.activemq_http_addresses: list[tuple[str, int]] = []
        self.schema_registry_addresses: list[tuple[str, int]] = []
        self.schema_registry_tls_addresses: list[tuple[str, int]] = []
        self._engine: Engine
        self._listeners: list[Listener] = []
        self._http: list[HttpServer] = []
        self.sampler: Sampler | None = None
        """Statistics over time, where there is a management API."""
        self._drivers: dict[Driver, None] = {}
        self._process_bytes = process_bytes
        self._stop_wait_s = stop_wait_s
        self._socket_max = 0
        self._held = False
        self._all_closed: asyncio.Event | None = None
        self._keys: KeyRing | None = None
        """Of those who may sign tokens."""
        self.shovels: Shovels
        self._asker: Asker | None = None
        """Asks others who somebody is."""

    # --- start ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the data folder and listen. Raises StartupError with one sentence for the operator."""
        loop = asyncio.get_running_loop()
        self._engine = self._make_engine(loop)
        recovery = self._open_engine()
        try:
            self._make_core(loop, recovery)
            await self._take_tokens()
            self._ask_outside()
            await self._listen(loop)
            self.shovels.start()
        except BaseException:
            await self._abandon()
            raise
        self.ticker.start()

    def _make_engine(self, loop: asyncio.AbstractEventLoop) -> Engine:
        from pillarbox.engine.schedulers import LoopScheduler

        scheduler = LoopScheduler(loop)
        if self.config.memory:
            from pillarbox.engine.memory import MemoryEngine

            return MemoryEngine(scheduler)
        from pillarbox.engine.local import LocalEngine
        from pillarbox.store.files import DiskFiles

        return LocalEngine(self.config.data, DiskFiles(), scheduler, durability=self.config.durability)

    def _open_engine(self) -> Recovery:
        from pillarbox.store.files import StoreError

        try:
            recovery = self._engine.open()
        except StoreError as error:
            raise StartupError(str(error)) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartupError(f"cannot use the data folder {self.config.data}: {reason}") from None
        for warning in recovery.warnings:
            log.warning("%s", warning)
        return recovery

    def _make_core(self, loop: asyncio.AbstractEventLoop, recovery: Recovery) -> None:
        from pillarbox.protocols import registry
        from pillarbox.protocols.amqp091.deaths import dead_letter, dead_letter_anew
        from pillarbox.protocols.amqp091.delays import TIMETABLE
        from pillarbox.protocols.amqp091.publishing import ORIGIN, OWN_DEATHS

        config = self.config
        core = self.core = Core(
            self._engine,
            now_ms=self.clock.now_ms(),
            random=os.urandom,
            wake=lambda: self.ticker.again(),
            warn=lambda sentence: log.warning("%s", sentence),
            journaled=not config.memory,
            memory_budget=config.memory_budget,
            arrived_ms=self.clock.now_ms_up,
            ack_timeout_ms=config.consumer_timeout_s * 1000,
            profile=PROFILES[release(config.profile, "rabbitmq")],
            logs=self._engine.logs,
        )
        self.watch = Watch(
            core,
            memory_max=watermark_bytes(config.memory_high_watermark, machine_bytes()),
            process=self._process_bytes,
            folder=None if config.memory else config.data,
            disk_free_min=config.disk_free_min,
        )
        self._engine.attach(core)
        core.dead_letters.writers |= {ORIGIN: dead_letter, OWN_DEATHS: dead_letter_anew}
        core.schedules.timetables |= {ORIGIN: TIMETABLE, OWN_DEATHS: TIMETABLE}
        core.dialects.common = registry.COMMON
        core.dialects.find = registry.dialect
        core.streams.make_codec = lambda: _record_codec(core.dialects)
        self.ticker = Ticker(
            loop,
            self.clock,
            set_time=core.set_time,
            tick=core.tick,
            after=self._after_turn,
            failed=lambda: core.failed(DEFECT),
        )
        self._lobby = Lobby(
            self.ticker,
            self.clock,
            timeout_s=config.handshake_timeout_s,
            has_room=lambda: not self._socket_max or self._socket_count < self._socket_max,
        )
        self._listeners.append(self._lobby)
        dialer = Dialer(self._make_local_driver)
        self.shovels = Shovels(core, self.ticker.begin, self.clock.now_ms, dialer)
        core.restore(recovery)
        if not core.vhosts:
            core.add_vhost(config.default_vhost)
            core.add_user(config.default_user, config.default_pass, config.default_user_tags)
            core.set_permission(
                Permission(
                    config.default_user,
                    config.default_vhost,
                    config.default_permissions_configure,
                    config.default_permissions_write,
                    config.default_permissions_read,
                )
            )
        core.users.backends = _backends(config)
        if config.event_exchange:
            core.events.begin(config.default_vhost)
        if config.load_definitions:
            self._load_definitions(config.load_definitions)
        self.ticker.begin()

    def _load_definitions(self, path: str) -> None:
        import json

        from pillarbox.broker.import_definitions import DefinitionsError, import_definitions

        try:
            import_definitions(self.core, json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, DefinitionsError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise StartupError(f"cannot load the definitions in {path}: {reason}") from None

    async def _take_tokens(self) -> None:
        """Let users log in with tokens, where that is wanted (R8)."""
        config, core = self.config, self.core
        if OAUTH2 not in config.auth_backends:
            return
        try:
            from pillarbox.oauth.keys import KeyRing
            from pillarbox.oauth.tokens import TokenBackend, TokenReader
        except ImportError:
            raise StartupError(
                'auth_backends "oauth2" needs joserfc: pip install "pillarbox[oauth]"'
            ) from None
        keys = self._keys = KeyRing(
            config.oauth_keys,
            issuer=config.oauth_issuer,
            authorities=config.oauth_tls_authorities,
            warn=core.warn,
        )
        reader = TokenReader(
            keys,
            audience=config.oauth_resource_server_id,
            prefix=config.oauth_scope_prefix,
            issuer=config.oauth_issuer,
            verify_audience=config.oauth_verify_aud,
            additional_scopes=config.oauth_additional_scopes_key,
            name_claims=config.oauth_preferred_username_claims,
        )
        core.users.by_token = TokenBackend(reader, lambda: core.changes.now_ms, core.warn)
        await keys.start()

    def _ask_outside(self) -> None:
        """Have others decide about logins and permissions, where that is wanted (R8)."""
        core = self.core
        wanted = {name for backend in core.users.backends for name in (backend.authn, backend.authz)}
        wanted -= {INTERNAL, OAUTH2}
        if wanted:
            from pillarbox.logins.asker import Asker
            from pillarbox.logins.backends import BACKENDS

            backends = {name: BACKENDS[name](self.config) for name in sorted(wanted)}
            begin, warn = self.ticker.begin, core.warn
            self._asker = Asker(backends, core.users.outside, begin=begin, warn=warn)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        from pillarbox.protocols.registry import PROTOCOLS, Spoken, shared

        config = self.config
        self._socket_max = connections_possible()
        if config.connection_max:
            wanted = config.connection_max + CONNECTIONS_TOLD_MAX
            self._socket_max = min(wanted, self._socket_max or wanted)
        by_protocol = {protocol: protocol.endpoints(config) for protocol in PROTOCOLS}
        for_all = shared(config)
        with_tls = any(each.tls for endpoints in (for_all, *by_protocol.values()) for each in endpoints)
        context = self._tls_context() if with_tls else None
        told_apart = []
        for protocol, endpoints in by_protocol.items():
            spoken = Spoken(protocol, self.core, config)
            if for_all and (not config.auto_protocols or protocol.name in config.auto_protocols):
                told_apart.append(spoken)
            if endpoints or spoken in told_apart:
                self.spoken[protocol.name] = spoken
                self.ticker.begin()
                spoken.load_what_is_kept()
            await self._listen_for_clients(loop, spoken, endpoints, context)
        for endpoint in for_all:
            await self._listen_for_all(loop, told_apart, endpoint, context)
        if any(each.is_open for each in operator_ports(config)):
            from pillarbox.protocols.amqp091.head import settings_of

            await self._listen_for_operators(loop, settings_of(self.core, config))

    async def _listen_for_clients(
        self,
        loop: asyncio.AbstractEventLoop,
        spoken: Spoken,
        endpoints: Sequence[Endpoint],
        context: ssl.SSLContext | None,
    ) -> None:
        """Open the ports of one protocol."""
        for endpoint in endpoints:
            make: Callable[..., Any] = partial(self._make_driver, spoken, endpoint.advertised)
            if endpoint.subprotocols:
                make = self._over_websocket(dict.fromkeys(endpoint.subprotocols, make), endpoint.name)
            await self._open_for_clients(loop, make, endpoint, context)
            self.endpoints.append((endpoint, self.addresses[endpoint.name]))

    async def _listen_for_all(
        self,
        loop: asyncio.AbstractEventLoop,
        spoken: Sequence[Spoken],
        endpoint: Endpoint,
        context: ssl.SSLContext | None,
    ) -> None:
        """Open a port on which these protocols are told apart (A67)."""
        from pillarbox.net.sniff import Choice, Sniffer

        choices: list[Choice] = []
        over_websocket: dict[str, Callable[..., Driver]] = {}
        for each in spoken:
            make = partial(self._make_driver, each, None)
            choices.append(Choice(each.protocol.name, each.protocol.begins, make))
            over_websocket |= dict.fromkeys(each.protocol.subprotocols(self.config), make)
        # Without the extra such clients are strangers here; a port for them alone would be refused.
        with contextlib.suppress(ModuleNotFoundError):
            if over_websocket:
                from pillarbox.net import websocket

                make_websocket = websocket.over_websocket(self._lobby, over_websocket)
                choices.append(Choice("websocket", websocket.begins, make_websocket))
        await self._open_for_clients(loop, partial(Sniffer, self._lobby, choices), endpoint, context)
        for each in spoken:
            # It is listened to here as at ports of its own.
            here = [endpoint._replace(protocol=each.protocol.name)]
            if len(choices) > len(spoken) and (web := each.protocol.subprotocols(self.config)):
                here.append(here[0]._replace(subprotocols=web))
            self.endpoints += [(one, self.addresses[endpoint.name]) for one in here]

    async def _open_for_clients(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[..., Any],
        endpoint: Endpoint,
        context: ssl.SSLContext | None,
    ) -> None:
        if endpoint.tls:
            make = partial(make, identify=self._identify())
        self.addresses[endpoint.name] = await self._bind_clients(
            loop, make, endpoint, context if endpoint.tls else None
        )

    def _make_driver(
        self,
        spoken: Spoken,
        advertised: tuple[str, int] | None,
        peer: tuple[str, int] | None = None,
        identify: Callable[[Any], str | None] | None = None,
    ) -> Driver:
        """Our end of a client's socket."""
        return Driver(
            self.ticker,
            partial(spoken.connect, advertised=advertised) if advertised else spoken.connect,
            peer=peer,
            identify=identify,
            on_opened=self._driver_opened,
            on_closed=self._driver_closed,
        )

    def _over_websocket(self, makers: Mapping[str, Callable[..., Driver]], name: str) -> Callable[..., Any]:
        """Where clients come over WebSocket: with its library, which is an extra. Raises StartupError."""
        try:
            from pillarbox.net.websocket import over_websocket
        except ModuleNotFoundError:
            text = f"port {name} needs the extra websocket: pip install 'pillarbox[websocket]'"
            raise StartupError(text) from None
        return over_websocket(self._lobby, makers)

    def _identify(self) -> Callable[[Any], str | None]:
        """What tells whom a certificate speaks for."""
        from pillarbox.net.certificates import user_of

        config = self.config
        return partial(
            user_of,
            login_from=config.tls_login_from,
            san_type=config.tls_login_san_type,
            san_index=config.tls_login_san_index,
        )

    def _tls_context(self) -> ssl.SSLContext:
        from pillarbox.net.tls import server_context

        config = self.config
        return server_context(
            config.tls_certificate,
            config.tls_key,
            self.clock.now_ms(),
            verify=config.tls_client_certificate,
            authorities=config.tls_authorities,
            by_name=sni_files(config.tls_sni),
        )

    def _connect_locally(self, settings: Settings) -> Callable[..., AmqpConnection]:
        """What makes connections without a socket, for users who are logged in already."""
        from pillarbox.protocols.amqp091.connection import Connection as AmqpConnection

        local = copy.copy(settings)
        local.mechanisms, local.loopback_users, local.connection_max = ("EXTERNAL",), (), 0

        def connect(
            user: Principal, on_output: Callable[[], None], peer: str = "management"
        ) -> AmqpConnection:
            connection = AmqpConnection(self.core, local, peer=peer, on_output=on_output)
            connection.certificate_user, connection.known = user.name, user
            return connection

        return connect

    def _make_local_driver(self, user: Principal, name: str) -> Driver:
        """Our end of a connection that this broker opens to itself, for somebody who is logged in."""
        from pillarbox.protocols.amqp091.head import settings_of

        connect = self._connect_locally(settings_of(self.core, self.config))
        return Driver(
            self.ticker,
            lambda _, loopback, on_output: connect(user, on_output, name),
            on_opened=self._driver_opened,
            on_closed=self._driver_closed,
        )

    async def _listen_for_operators(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        """Management API and page, metrics, ActiveMQ's API: each on a port of its own."""
        from pillarbox.ops.management.node import Bound, Node
        from pillarbox.ops.management.samples import Sampler
        from pillarbox.ops.pace import Pace

        config, core, begin = self.config, self.core, self.ticker.begin
        node = Node(
            config,
            self.watch,
            self._connect_locally(settings),
            version=core.profile.version,
            started_ms=self.clock.now_ms(),
            spoken=self.spoken,
            shovels=self.shovels,
        )
        pace = Pace()
        sampler = self.sampler = Sampler(core)
        sampler.watch(node.gauges, lambda: node.gauge(len(core.sessions)))
        sampler.sources += [spoken.samples for spoken in self.spoken.values()]
        sampler.start()

        def make_site(stopping: asyncio.Event) -> Any:
            from pillarbox.ops.management.application import Api
            from pillarbox.ops.management.tracing import Traces
            from pillarbox.ops.web.site import Site

            node.traces = Traces(os.path.join(node.data, "traces") if node.data else "", stopping)
            return Site(Api(core, node, sampler, begin, pace), stopping)

        def make_metrics(stopping: asyncio.Event) -> Any:
            from pillarbox.ops.prometheus.application import Metrics
            from pillarbox.ops.prometheus.families import Source

            ticker = self.ticker
            source = Source(core, node, sampler, lambda: ticker.longest_ns / 1e9, lambda: ticker.turns)
            return Metrics(source, begin, pace)

        def make_activemq(stopping: asyncio.Event) -> Any:
            from pillarbox.ops.activemq.application import ActiveMq

            return ActiveMq(core, node, begin, pace, stopping)

        makers: dict[str, Callable[[asyncio.Event], Any]]
        makers = {"management": make_site, "prometheus": make_metrics, "activemq": make_activemq}
        if any(each.is_open for each in operator_ports(config) if each.kind == "registry"):
            makers["registry"] = self._registry_maker(node, pace)
        found = (
            self.management_addresses,
            self.prometheus_addresses,
            self.management_tls_addresses,
            self.prometheus_tls_addresses,
            self.activemq_http_addresses,
            self.schema_registry_addresses,
            self.schema_registry_tls_addresses,
        )
        for each, addresses in zip(operator_ports(config), found, strict=True):
            if each.is_open:
                addresses += await self._bind_http(loop, each, makers[each.kind])
        for protocol, addresses in (
            *((endpoint.shown, addresses) for endpoint, addresses in self.endpoints),
            ("http", self.management_addresses),
            ("https", self.management_tls_addresses),
            ("http/prometheus", self.prometheus_addresses),
            ("https/prometheus", self.prometheus_tls_addresses),
            ("http/activemq", self.activemq_http_addresses),
            ("http/schema-registry", self.schema_registry_addresses),
            ("https/schema-registry", self.schema_registry_tls_addresses),
        ):
            node.listeners += [Bound(protocol, *address) for address in addresses]

    def _registry_maker(self, node: Node, pace: Pace) -> Callable[[asyncio.Event], Any]:
        """What makes the schema registry, with what is registered. Raises StartupError."""
        from pillarbox.ops.management.work import Work
        from pillarbox.ops.registry.desk import Desk
        from pillarbox.ops.registry.formats import demand_libraries
        from pillarbox.ops.registry.store import Registry

        demand_libraries()
        core, begin = self.core, self.ticker.begin
        registry = Registry(core, self.config.schema_registry_compatibility)
        desk = Desk(core, registry, begin, Work(core, begin, pace))

        def make(stopping: asyncio.Event) -> Any:
            from pillarbox.ops.registry.application import SchemaRegistry

            return SchemaRegistry(core, node, desk, pace)

        return make

    async def _bind_http(
        self,
        loop: asyncio.AbstractEventLoop,
        wanted: OperatorPort,
        make_application: Callable[[asyncio.Event], Any],
    ) -> list[tuple[str, int]]:
        from pillarbox.ops.management.server import HttpServer

        context = None
        if wanted.certificate:
            from pillarbox.net.tls import server_context

            context = server_context(wanted.certificate, wanted.key, self.clock.now_ms())
        server = HttpServer(loop, lambda: make_application(server.stopping), context=context)
        self._http.append(server)

        async def listen(family: socket.AddressFamily, host: str, port: int) -> Listener:
            return server.listen(family, host, port)

        host = "" if wanted.for_clients else self.config.management_host
        return await self._bind(listen, host or self.config.host, wanted.port)

    async def _bind_clients(
        self,
        loop: asyncio.AbstractEventLoop,
        make_driver: Callable[..., Any],
        endpoint: Endpoint,
        context: ssl.SSLContext | None,
    ) -> list[tuple[str, int]]:
        async def listen(family: socket.AddressFamily, host: str, port: int) -> Listener:
            return await self._listener(loop, make_driver, family, host, port, context)

        return await self._bind(listen, endpoint.host or self.config.host, endpoint.port)

    async def _bind(
        self,
        listen: Callable[[socket.AddressFamily, str, int], Awaitable[Listener]],
        host: str,
        port: int,
    ) -> list[tuple[str, int]]:
        """Listen on every address of a host, all on one port; return them."""
        addresses: list[tuple[str, int]] = []
        for family, numeric in _addresses(host):
            try:
                listener = await listen(family, numeric, port)
            except OSError as error:
                if addresses and family == socket.AF_INET6:
                    # A machine without IPv6 has only the one loopback address.
                    continue
                # The loop words its errors itself; a name that cannot be resolved has a number of its own.
                unknown = not error.errno or isinstance(error, socket.gaierror)
                reason = (error.strerror or str(error)) if unknown else os.strerror(error.errno or 0)
                raise StartupError(f"cannot listen on {numeric}:{port}: {reason}") from None
            self._listeners.append(listener)
            for bound in listener.sockets:
                address = bound.getsockname()
                addresses.append((address[0], address[1]))
                port = port or address[1]
        return addresses

    async def _listener(
        self,
        loop: asyncio.AbstractEventLoop,
        make_driver: Callable[..., Any],
        family: socket.AddressFamily,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
    ) -> Listener:
        timeout_s = self.config.handshake_timeout_s
        if self.config.proxy_protocol:
            from pillarbox.net.proxy import ProxyListener

            bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
            return ProxyListener(loop, [bound], make_driver, context=context, timeout_s=timeout_s)
        return await loop.create_server(
            make_driver,
            host,
            port,
            family=family,
            backlog=BACKLOG,
            reuse_address=True,
            ssl=context,
            ssl_handshake_timeout=timeout_s if context is not None else None,
        )

    # --- while it runs -------------------------------------------------------------------------------

    @property
    def amqp_addresses(self) -> list[tuple[str, int]]:
        """Of the port for AMQP 0-9-1."""
        return self.addresses.get("amqp", [])

    @property
    def amqp_port(self) -> int:
        """The port for AMQP 0-9-1."""
        return self.amqp_addresses[0][1]

    def _after_turn(self, now_ms: int) -> None:
        """Hold publishers up while the disk is behind or there is an alarm, and let them go on."""
        watch = self.watch
        if now_ms >= watch.next_ms or self.core.changes.resident_bytes > watch.next_bytes:
            watch.look(now_ms)
        if not (self._held or self._engine.unsynced_bytes or self.core.alarm):
            return
        behind = (
            self._engine.unsynced_bytes > (UNSYNCED_BYTES_MAX >> self._held) or self._engine.checkpoint_behind
        )
        hold = self.core.held = behind or self.core.alarm is not None
        if hold:
            for driver in self._drivers:
                if driver.connection is not None and driver.connection.published:
                    driver.hold(True)
        elif self._held:
            for driver in self._drivers:
                driver.hold(False)
                if driver.connection is not None:
                    driver.connection.published = False
        self._held = hold

    def _driver_opened(self, driver: Driver) -> None:
        """A socket is there and, on a TLS port, has finished its handshake."""
        self._drivers[driver] = None
        limit, wanted = self._socket_max, self.config.connection_max
        if limit and self._socket_count > limit:
            whose = "above connection_max" if 0 < wanted < limit else "what the limit of open files allows"
            log.warning("connection refused: %d are open, which is %s", limit, whose)
            driver.refuse = True
        if self._all_closed is not None:
            # Accepted before the listeners closed, ready only now.
            driver.refuse = True

    @property
    def _socket_count(self) -> int:
        """Sockets of clients that are open."""
        return len(self._drivers) + len(self._lobby)

    def _driver_closed(self, driver: Driver) -> None:
        self._drivers.pop(driver, None)
        if not self._drivers and self._all_closed is not None:
            self._all_closed.set()

    # --- stop ----------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Tell clients, let what was accepted reach the disk, write a checkpoint, unlock the folder."""
        await self.shovels.stop()
        for listener in self._listeners:
            listener.close()
        self._all_closed = asyncio.Event()
        for driver in list(self._drivers):
            if driver.connection is not None:
                driver.connection.shut_down("Node was put into maintenance mode")
        self.ticker.begin()
        if self._drivers:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), self._stop_wait_s)
        for driver in list(self._drivers):
            driver.abort()
        while self._drivers:
            await asyncio.sleep(0)
        await self._abandon()

    async def _abandon(self) -> None:
        for listener in self._listeners:
            listener.close()
        for server in self._http:
            await server.stopped()
        if self._keys is not None:
            self._keys.stop()
        if self._asker is not None:
            await self._asker.stop()
        if hasattr(self, "ticker"):
            self.ticker.stop()
        snapshot = None
        if hasattr(self, "core"):
            self.core.flush()
            snapshot = CoreSnapshot(self.core)
        self._engine.close(snapshot)


def _backends(config: Config) -> tuple[Backend, ...]:
    """What is asked who somebody is. What `cache` stands for keeps its answers."""
    found = []
    for entry in config.auth_backends:
        if entry == "cache":
            pair = backend_pair(config.auth_cache_cached_backend)
            found.append(Backend(*pair, config.auth_cache_ttl_s * 1000, config.auth_cache_refusals))
        else:
            found.append(Backend(*backend_pair(entry)))
    return tuple(found)


def _record_codec(dialects: Dialects) -> StreamCodec:
    from pillarbox.protocols.amqp091.records import RecordCodec

    return RecordCodec(dialects)


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """`localhost` is both loopback addresses, on one port."""
    if host == "localhost":
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]


def serve(config: Config, *, announce: Callable[..., None]) -> int:
    """Run a broker until SIGTERM or SIGINT; return the exit code. Raises StartupError."""
    write_log(config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_freed_memory()
    allow_open_files()
    code: int = run(_serve(config, announce))
    return code


def write_log(config: Config) -> None:
    """Have the log written where and how it is wanted. Raises StartupError."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if config.log_file:
        from logging.handlers import WatchedFileHandler

        try:
            handler = WatchedFileHandler(config.log_file, encoding="utf-8")
        except OSError as error:
            raise StartupError(f"cannot write the log to {config.log_file}: {error.strerror}") from None
    logging.basicConfig(
        level=config.log_level.upper(), handlers=[handler], format="%(asctime)s %(levelname)s %(message)s"
    )


def allow_open_files() -> None:
    """Raise the limit of open files as far as this account may. Does nothing where it cannot."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_possible() -> int:
    """How many connections the limit of open files leaves room for; 0 if there is none."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else max(soft - FILES_RESERVED, soft // 2)


def keep_freed_memory() -> None:
    """Have the C library keep what was freed for the next large body. Does nothing where it cannot."""
    import ctypes

    top_pad, trim_threshold, mmap_threshold = -2, -1, -3  # From malloc.h, the same for all of glibc.
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(top_pad, KEPT_BYTES // 4)
        mallopt(trim_threshold, KEPT_BYTES)
        mallopt(mmap_threshold, KEPT_BYTES // 2)


def run(main: Any) -> Any:
    """Run a coroutine on the fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def _serve(config: Config, announce: Callable[..., None]) -> int:
    server = Server(config, process_bytes=process_bytes)
    await server.start()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    Collector(lambda: server.ticker.turns).start(loop)
    announce(
        *(f"{name} {_shown(*address)}" for name, found in server.addresses.items() for address in found),
        *(f"management {_shown(*address)}" for address in server.management_addresses),
        *(f"management-tls {_shown(*address)}" for address in server.management_tls_addresses),
        *(f"prometheus {_shown(*address)}" for address in server.prometheus_addresses),
        *(f"prometheus-tls {_shown(*address)}" for address in server.prometheus_tls_addresses),
        *(f"activemq-http {_shown(*address)}" for address in server.activemq_http_addresses),
        *(f"schema-registry {_shown(*address)}" for address in server.schema_registry_addresses),
        *(f"schema-registry-tls {_shown(*address)}" for address in server.schema_registry_tls_addresses),
    )
    await stopped.wait()
    log.info("stopping")
    await server.stop()
    log.info("stopped; longest tick %.1f ms", server.ticker.longest_ns / 1e6)
    return 0


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
