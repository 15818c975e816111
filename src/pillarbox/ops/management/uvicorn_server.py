"""uvicorn, set up for the broker's loop: no signals, no log of its own, no polling, bounded requests.

Imports the HTTP stack: only `server` imports this, in a thread, when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 << 10
"""Bytes of a request before its body; others allow 8 to 64 KiB. Beyond, the socket is cut."""
HEAD_TIMEOUT_S = 30.0
"""How long they may take, from the connection or their first byte on."""
BODY_TIMEOUT_S = 120.0
"""How long a body may take: 20 MB of definitions over 1.4 Mbit/s. Beyond, 408 and the end."""
TICK_S = 1.0
"""How often the date in the answers is renewed."""


def make_server(
    application: Any,
    *,
    context: ssl.SSLContext | None,
    connections_max: int,
    keep_alive_s: int,
    stop_wait_s: int,
) -> uvicorn.Server:
    """A server for `serve(sockets=...)`."""
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=connections_max,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=stop_wait_s,
    )
    config.load()
    config.ssl = context
    return QuietServer(config)


class QuietServer(uvicorn.Server):
    """Leaves signals to the broker and sleeps until it is to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._stop = asyncio.Event()
        self._exits = False
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        return self._exits

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._exits = value
        if value:
            self._stop.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)


_TOO_SLOW_DOCUMENT = b'{"error":"request_timeout","reason":"the body took too long"}'
TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_TOO_SLOW_DOCUMENT), _TOO_SLOW_DOCUMENT)
)


class BoundedProtocol(HttpToolsProtocol):
    """Ends the connection of a client whose request has no end: its head in bytes and time, its body in time,
    also where nobody reads it because the request has been refused."""

    _head_bytes = 0
    _in_head = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._part_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._part_complete()
        self._deadline = self.loop.call_later(BODY_TIMEOUT_S, self._body_too_slow)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._part_complete()
        # Here and not where the next one begins: that may be in the middle of what was just counted.
        self._head_bytes = 0
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._part_complete()
        self._in_head = True
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _part_complete(self) -> None:
        """The head or the body is complete: nothing has to come any more."""
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _body_too_slow(self) -> None:
        if self.pipeline or self.cycle.response_started:
            # An answer has begun, or is to come before this one.
            self.transport.abort()
            return
        self.transport.write(TOO_SLOW)
        self.transport.close()
