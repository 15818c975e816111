"""Hosts and ports to sockets that listen.

Purpose: all addresses of a host on one port, with errors in words. Not here: what is spoken there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pillarbox.errors import StartupError

if TYPE_CHECKING:
    import ssl

    from pillarbox.config import Config

BACKLOG = 1024
"""Connections that may wait to be accepted: a burst of reconnecting clients comes all at once."""

Addresses = list[tuple[str, int]]

BOTH_FAMILIES = {"localhost": ("127.0.0.1", "::1"), "::": ("0.0.0.0", "::")}
"""Hosts that are an address of IPv4 and one of IPv6."""


class Listener(Protocol):
    """Sockets that accept connections until it is closed."""

    @property
    def sockets(self) -> Sequence[Any]: ...

    def close(self) -> None: ...


Listen = Callable[[socket.AddressFamily, str, int], Awaitable[Listener]]


class Binder:
    """Makes listeners and keeps them, to close them all together."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[Listener] = []

    async def bind(self, listen: Listen, host: str, port: int) -> Addresses:
        """Listen on every address of a host, all on one port; return them. Raises StartupError."""
        addresses: Addresses = []
        any_port = port == 0
        for family, numeric in _numeric(host):
            try:
                listener = await listen(family, numeric, port)
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE and not any_port
                if addresses and family == socket.AF_INET6 and not taken:
                    # A machine without IPv6 has only the one address.
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

    async def bind_clients(
        self, make_driver: Callable[..., Any], host: str, port: int, context: ssl.SSLContext | None
    ) -> Addresses:
        """Listen for clients, each of which gets a driver; behind proxies that say whose they are, if so
        configured. Raises StartupError."""
        timeout_s = self._config.handshake_timeout_s
        loop = asyncio.get_running_loop()

        async def listen(family: socket.AddressFamily, host: str, port: int) -> Listener:
            if self._config.proxy_protocol:
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

        return await self.bind(listen, host or self._config.host, port)

    def close(self) -> None:
        """Accept nobody from now on."""
        for listener in self._listeners:
            listener.close()


def _numeric(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """`localhost` is both loopback addresses on one port, and `::` every address of either family: a socket
    for IPv6 takes no IPv4 here, whatever the system is set to."""
    if host in BOTH_FAMILIES:
        return list(zip((socket.AF_INET, socket.AF_INET6), BOTH_FAMILIES[host], strict=True))
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]
