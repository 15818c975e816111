"""HTTP sockets in the broker's loop: open from the start, served from the first connection on.

An HTTP stack takes a third of a second and ten megabytes to import, which a broker that nobody looks at need
not spend. So a socket only listens until somebody connects; then a thread imports uvicorn and starlette and
builds the application, while the broker goes on, and uvicorn takes the sockets over. Whoever came first waits
for that in the socket's queue.

Not here: what is served. Bounds: connections, requests in time, their heads in size; `application` bounds
the size of bodies.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger("pillarbox.management")

BACKLOG = 128
"""Connections that may wait to be accepted, also while the HTTP stack is being imported."""

CONNECTIONS_MAX = 1000
"""More are answered with 503: each costs memory, and no monitoring has so many."""

KEEP_ALIVE_S = 75
"""How long a connection may be idle between requests: longer than the usual proxy's minute."""

STOP_WAIT_S = 1
"""How long answers under way may take when the broker stops."""


class HttpListener:
    """One listening socket, as the composition root sees it."""

    def __init__(self, server: HttpServer, bound: socket.socket) -> None:
        self._server = server
        self.sockets: Sequence[socket.socket] = (bound,)

    def close(self) -> None:
        """Accept nobody any more."""
        self._server.stop_listening()


class HttpServer:
    """Serves an application on its sockets. `make_application` is called once, in a thread, when somebody
    connects for the first time, and may import what it needs."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_application: Callable[[], Any],
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = loop
        self._make_application = make_application
        self._context = context
        self._sockets: list[socket.socket] = []
        self._serving: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None
        self.stopping = asyncio.Event()
        """Set when nobody is accepted any more: what would go on for ever ends."""

    def listen(self, family: socket.AddressFamily, host: str, port: int) -> HttpListener:
        """Open a socket. Raises OSError."""
        bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
        bound.setblocking(False)
        self._sockets.append(bound)
        self._loop.add_reader(bound.fileno(), self._first_connection)
        return HttpListener(self, bound)

    def _first_connection(self) -> None:
        for bound in self._sockets:
            self._loop.remove_reader(bound.fileno())
        self._serving = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            server = await asyncio.to_thread(self._build)
            self._server = server
            if not self.stopping.is_set():
                await server.serve(sockets=self._sockets)
        except Exception:
            log.exception("the HTTP server has failed")
            # Whoever connects shall hear at once that nobody answers.
            for bound in self._sockets:
                bound.close()

    def _build(self) -> uvicorn.Server:
        """Import the HTTP stack and make a server with it: in a thread, because it takes a while."""
        from pillarbox.ops.management.uvicorn_server import make_server

        return make_server(
            self._make_application(),
            context=self._context,
            connections_max=CONNECTIONS_MAX,
            keep_alive_s=KEEP_ALIVE_S,
            stop_wait_s=STOP_WAIT_S,
        )

    def stop_listening(self) -> None:
        """Accept nobody any more, and let what is under way come to its end."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        if self._serving is None:
            for bound in self._sockets:
                self._loop.remove_reader(bound.fileno())
        if self._server is not None:
            self._server.should_exit = True
        else:
            for bound in self._sockets:
                bound.close()

    async def stopped(self) -> None:
        """Wait until all connections are closed."""
        if self._serving is not None:
            await self._serving
