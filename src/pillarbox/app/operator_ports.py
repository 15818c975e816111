"""The HTTP ports: management API and page, metrics, ActiveMQ's API, the schema registry.

Each application is imported when there is a port for it. Not here: which ports there are (`ops.ports`), what
the applications answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.ops.ports import OperatorPort, operator_ports
from pillarbox.profiles import ARTEMIS, release

if TYPE_CHECKING:
    from pillarbox.app.binding import Addresses, Binder, Listener
    from pillarbox.app.client_ports import ClientPorts
    from pillarbox.broker.core import Core
    from pillarbox.clock import Clock
    from pillarbox.config import Config
    from pillarbox.net.ticker import Ticker
    from pillarbox.ops.activemq.by_message import Management
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.management.samples import Sampler
    from pillarbox.ops.management.server import HttpServer
    from pillarbox.ops.pace import Pace
    from pillarbox.ops.resources import Watch
    from pillarbox.ops.shovel.shovels import Shovels

Make = Callable[[asyncio.Event], Any]
"""Makes the application of one port, for which the event is set when the port closes."""


class OperatorPorts:
    """Everything that is there for operators alone; without a port for them, nothing."""

    def __init__(self, config: Config, core: Core, ticker: Ticker, clock: Clock, binder: Binder) -> None:
        self._config = config
        self._core = core
        self._ticker = ticker
        self._clock = clock
        self._binder = binder
        self._servers: list[HttpServer] = []
        self.addresses: dict[str, Addresses] = {}
        """By the names that the startup line has."""
        self.sampler: Sampler | None = None
        """Statistics over time, where there is a port that shows them."""

    async def listen(self, clients: ClientPorts, watch: Watch, shovels: Shovels) -> None:
        """Open all of them, once those of clients are open. Raises StartupError."""
        wanted = [each for each in operator_ports(self._config) if each.is_open]
        is_artemis = release(self._config.profile, "activemq") == ARTEMIS
        if not wanted and not is_artemis:
            return
        from pillarbox.ops.management.node import Bound, Node
        from pillarbox.ops.management.samples import Sampler
        from pillarbox.ops.pace import Pace

        core = self._core
        node = Node(
            self._config,
            watch,
            clients.connect_locally,
            version=core.profile.version,
            started_ms=self._clock.now_ms(),
            spoken=clients.spoken,
            shovels=shovels,
        )
        pace = Pace()
        if is_artemis:
            _manage_by_message(core, node, self._ticker, pace)
        sampler = self.sampler = Sampler(core)
        sampler.watch(node.gauges, lambda: node.gauge(len(core.sessions)))
        sampler.sources += [spoken.samples for spoken in clients.spoken.values()]
        sampler.start()
        parts = Parts(core, node, sampler, self._ticker, pace)
        makers = {kind: MAKERS[kind](parts) for kind in dict.fromkeys(each.kind for each in wanted)}
        for each in wanted:
            self.addresses[each.name] = await self._bind(each, makers[each.kind])
        shown = [(endpoint.shown, addresses) for endpoint, addresses in clients.endpoints]
        shown += [(each.shown, self.addresses[each.name]) for each in wanted]
        for protocol, addresses in shown:
            node.listeners += [Bound(protocol, *address) for address in addresses]

    async def _bind(self, wanted: OperatorPort, make: Make) -> Addresses:
        from pillarbox.ops.management.server import HttpServer

        context = None
        if wanted.certificate:
            from pillarbox.net.tls import Renewal, server_context

            pair = (wanted.certificate, wanted.key)
            renewal = Renewal(partial(server_context, *pair), pair, self._clock.now_ms())
            self._ticker.drivers[renewal] = None
            context = renewal.context
        loop = asyncio.get_running_loop()
        server = HttpServer(loop, lambda: make(server.stopping), context=context)
        self._servers.append(server)

        async def listen(family: socket.AddressFamily, host: str, port: int) -> Listener:
            return server.listen(family, host, port)

        host = "" if wanted.for_clients else self._config.management_host
        return await self._binder.bind(listen, host or self._config.host, wanted.port)

    async def stop(self) -> None:
        """Answer what is under way and end."""
        for server in self._servers:
            await server.stopped()


def _manage_by_message(core: Core, node: Node, ticker: Ticker, pace: Pace) -> None:
    """Let messages be orders, and tell what happens, as Artemis does (A86)."""
    from pillarbox.broker.notifications import Notifications
    from pillarbox.broker.orders import MANAGEMENT

    @cache
    def management() -> Management:
        from pillarbox.ops.activemq.by_message import Management

        return Management(core, node, ticker.begin, pace)

    core.orders[MANAGEMENT] = lambda order, answer: management().take(order, answer)
    Notifications(core, node.config.default_vhost)


class Parts(NamedTuple):
    """What applications for operators are made of."""

    core: Core
    node: Node
    sampler: Sampler
    ticker: Ticker
    pace: Pace


def management(parts: Parts) -> Make:
    """RabbitMQ's management API and the page."""
    core, node, sampler, ticker, pace = parts

    def make(stopping: asyncio.Event) -> Any:
        from pillarbox.ops.management.application import Api
        from pillarbox.ops.management.tracing import Traces
        from pillarbox.ops.web.site import Site

        node.traces = Traces(os.path.join(node.data, "traces") if node.data else "", stopping)
        return Site(Api(core, node, sampler, ticker.begin, pace), stopping)

    return make


def prometheus(parts: Parts) -> Make:
    """Metrics under the names that RabbitMQ, Kafka and ActiveMQ have for them."""
    core, node, sampler, ticker, pace = parts

    def make(stopping: asyncio.Event) -> Any:
        from pillarbox.ops.prometheus.application import Metrics
        from pillarbox.ops.prometheus.families import Source

        source = Source(core, node, sampler, lambda: ticker.longest_ns / 1e9, lambda: ticker.turns)
        return Metrics(source, ticker.begin, pace)

    return make


def activemq(parts: Parts) -> Make:
    """Jolokia and ActiveMQ's messages over HTTP."""

    def make(stopping: asyncio.Event) -> Any:
        from pillarbox.ops.activemq.application import ActiveMq

        return ActiveMq(parts.core, parts.node, parts.ticker.begin, parts.pace, stopping)

    return make


def registry(parts: Parts) -> Make:
    """The schema registry, with what is registered. Raises StartupError."""
    from pillarbox.ops.management.work import Work
    from pillarbox.ops.registry.desk import Desk
    from pillarbox.ops.registry.formats import demand_libraries
    from pillarbox.ops.registry.store import Registry

    demand_libraries()
    core, begin, pace = parts.core, parts.ticker.begin, parts.pace
    schemas = Registry(core, parts.node.config.schema_registry_compatibility)
    desk = Desk(core, schemas, begin, Work(core, begin, pace))

    def make(stopping: asyncio.Event) -> Any:
        from pillarbox.ops.registry.application import SchemaRegistry

        return SchemaRegistry(core, parts.node, desk, pace)

    return make


MAKERS: Final[dict[str, Callable[[Parts], Make]]] = {
    "management": management,
    "prometheus": prometheus,
    "activemq": activemq,
    "registry": registry,
}
"""By the kind of port. Each is called once; what it returns, once for each port."""
