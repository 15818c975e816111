"""The HTTP server itself, apart from what it serves."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pillarbox.ops.management.server import HttpServer

TIMEOUT_S = 10.0


async def visit_until_refused(port: int) -> None:
    while True:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), TIMEOUT_S)
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
        writer.close()


def test_server_that_cannot_be_made_refuses_connections(caplog: pytest.LogCaptureFixture) -> None:
    """An open socket that nobody answers would leave health checks waiting for their time-outs."""

    def make_application() -> None:
        raise ImportError("no such module")

    async def main() -> None:
        server = HttpServer(asyncio.get_running_loop(), make_application)
        port = server.listen(socket.AF_INET, "127.0.0.1", 0).sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError):
            await visit_until_refused(port)
        await server.stopped()

    asyncio.run(main())
    assert "no such module" in caplog.text
