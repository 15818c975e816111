"""The ports for clients: which protocol is spoken on each, with TLS or not, by itself or over WebSocket.

Not here: which ports there are (`protocols.registry`, `endpoints`), who is connected (`clients`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from pillarbox.config import sni_files
from pillarbox.errors import StartupError
from pillarbox.net.driver import Driver

if TYPE_CHECKING:
    import ssl

    from pillarbox.app.binding import Addresses, Binder
    from pillarbox.app.clients import Clients
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.clock import Clock
    from pillarbox.config import Config
    from pillarbox.endpoints import Endpoint
    from pillarbox.net.ticker import Ticker
    from pillarbox.protocols.amqp091.connection import Connection as AmqpConnection
    from pillarbox.protocols.registry import Spoken


class ClientPorts:
    """Makes a driver for every socket that comes in at one of them."""

    def __init__(
        self, config: Config, core: Core, ticker: Ticker, clock: Clock, clients: Clients, binder: Binder
    ) -> None:
        self._config = config
        self._core = core
        self._ticker = ticker
        self._clock = clock
        self._clients = clients
        self._binder = binder
        # Made once, and not for each of many thousand sockets.
        self._told: dict[str, Any] = {"on_opened": clients.opened, "on_closed": clients.closed}
        self.spoken: dict[str, Spoken] = {}
        """Protocols for which a port is open."""
        self.addresses: dict[str, Addresses] = {}
        """By name: the protocol's, with an `s` at the end over TLS, or the port's own."""
        self.endpoints: list[tuple[Endpoint, Addresses]] = []
        """The same with what each is."""

    async def listen(self) -> None:
        """Open all of them. Raises StartupError."""
        from pillarbox.protocols.registry import PROTOCOLS, Spoken, shared

        config = self._config
        by_protocol = {protocol: protocol.endpoints(config) for protocol in PROTOCOLS}
        for_all = shared(config)
        with_tls = any(each.tls for endpoints in (for_all, *by_protocol.values()) for each in endpoints)
        context = self._tls_context() if with_tls else None
        told_apart = []
        for protocol, endpoints in by_protocol.items():
            spoken = Spoken(protocol, self._core, config)
            if for_all and (not config.auto_protocols or protocol.name in config.auto_protocols):
                told_apart.append(spoken)
            if endpoints or spoken in told_apart:
                self.spoken[protocol.name] = spoken
                self._ticker.begin()
                spoken.load_what_is_kept()
            for endpoint in endpoints:
                await self._listen_for_one(spoken, endpoint, context)
        for endpoint in for_all:
            await self._listen_for_all(told_apart, endpoint, context)

    async def _listen_for_one(
        self, spoken: Spoken, endpoint: Endpoint, context: ssl.SSLContext | None
    ) -> None:
        """Open a port of one protocol."""
        connect = spoken.connect
        if endpoint.advertised:
            connect = partial(connect, advertised=endpoint.advertised)
        make: Callable[..., Any] = partial(self._make_driver, connect)
        if endpoint.subprotocols:
            make = self._over_websocket(dict.fromkeys(endpoint.subprotocols, make), endpoint.name)
        await self._open(make, endpoint, context)
        self.endpoints.append((endpoint, self.addresses[endpoint.name]))

    async def _listen_for_all(
        self, spoken: Sequence[Spoken], endpoint: Endpoint, context: ssl.SSLContext | None
    ) -> None:
        """Open a port on which these protocols are told apart (A67)."""
        from pillarbox.net.sniff import Choice, Sniffer

        lobby = self._clients.lobby
        choices: list[Choice] = []
        over_websocket: dict[str, Callable[..., Driver]] = {}
        for each in spoken:
            make = partial(self._make_driver, each.connect)
            choices.append(Choice(each.protocol.name, each.protocol.begins, make))
            over_websocket |= dict.fromkeys(each.protocol.subprotocols(self._config), make)
        # Without the extra such clients are strangers here; a port for them alone would be refused.
        with contextlib.suppress(ModuleNotFoundError):
            if over_websocket:
                from pillarbox.net import websocket

                make_websocket = websocket.over_websocket(lobby, over_websocket)
                choices.append(Choice("websocket", websocket.begins, make_websocket))
        await self._open(partial(Sniffer, lobby, choices), endpoint, context)
        for each in spoken:
            # It is listened to here as at ports of its own.
            here = [endpoint._replace(protocol=each.protocol.name)]
            if len(choices) > len(spoken) and (web := each.protocol.subprotocols(self._config)):
                here.append(here[0]._replace(subprotocols=web))
            self.endpoints += [(one, self.addresses[endpoint.name]) for one in here]

    async def _open(
        self, make: Callable[..., Any], endpoint: Endpoint, context: ssl.SSLContext | None
    ) -> None:
        if endpoint.tls:
            make = partial(make, identify=self._identify())
        self.addresses[endpoint.name] = await self._binder.bind_clients(
            make, endpoint.host, endpoint.port, context if endpoint.tls else None
        )

    def _make_driver(
        self,
        connect: Callable[..., Any],
        peer: tuple[str, int] | None = None,
        identify: Callable[[Any], str | None] | None = None,
    ) -> Driver:
        """Our end of a client's socket."""
        return Driver(self._ticker, connect, peer=peer, identify=identify, **self._told)

    def _over_websocket(self, makers: Mapping[str, Callable[..., Driver]], name: str) -> Callable[..., Any]:
        """Where clients come over WebSocket: with its library, which is an extra. Raises StartupError."""
        try:
            from pillarbox.net.websocket import over_websocket
        except ModuleNotFoundError:
            text = f"port {name} needs the extra websocket: pip install 'pillarbox[websocket]'"
            raise StartupError(text) from None
        return over_websocket(self._clients.lobby, makers)

    def _identify(self) -> Callable[[Any], str | None]:
        """What tells whom a certificate speaks for."""
        from pillarbox.net.certificates import user_of

        config = self._config
        return partial(
            user_of,
            login_from=config.tls_login_from,
            san_type=config.tls_login_san_type,
            san_index=config.tls_login_san_index,
        )

    def _tls_context(self) -> ssl.SSLContext:
        from pillarbox.net.tls import Renewal, server_context

        config = self._config
        by_name = sni_files(config.tls_sni)
        make = partial(
            server_context,
            config.tls_certificate,
            config.tls_key,
            verify=config.tls_client_certificate,
            authorities=config.tls_authorities,
            by_name=by_name,
        )
        paths = [config.tls_certificate, config.tls_key, config.tls_authorities, *chain(*by_name.values())]
        renewal = Renewal(make, paths, self._clock.now_ms())
        self._ticker.drivers[renewal] = None
        return renewal.context

    # --- without a port ------------------------------------------------------------------------------

    def connect_locally(
        self, user: Principal, on_output: Callable[[], None], peer: str = "management"
    ) -> AmqpConnection:
        """A connection without a socket, for a user who is logged in already."""
        from pillarbox.protocols.amqp091.connection import Connection as AmqpConnection
        from pillarbox.protocols.amqp091.head import settings_of

        local = settings_of(self._core, self._config)
        local.mechanisms, local.loopback_users, local.connection_max = ("EXTERNAL",), (), 0
        connection = AmqpConnection(self._core, local, peer=peer, on_output=on_output)
        connection.certificate_user, connection.known = user.name, user
        return connection

    def make_local_driver(self, user: Principal, name: str) -> Driver:
        """Our end of a connection that this broker opens to itself, for somebody who is logged in."""
        return Driver(
            self._ticker,
            lambda _, loopback, on_output: self.connect_locally(user, on_output, name),
            **self._told,
        )
