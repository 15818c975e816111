"""The PROXY protocol, versions 1 and 2: behind a load balancer, who the client really is (R14).

A listener that expects it takes nothing else: whoever could leave the header out could also be anybody.
The header is read byte for byte before anything else, so that TLS may begin right behind it.

Not here: what is spoken afterwards. Source: haproxy's "The PROXY protocol", versions 1 and 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence

from pillarbox.errors import RemoteProtocolError

log = logging.getLogger("pillarbox")

Address = tuple[str, int]

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""What version 2 begins with."""
V1_START = b"PROXY "
V1_BYTES_MAX = 107
"""The longest line that version 1 allows, with its end."""
START_BYTES = 15
"""Every header of both versions is at least this long (`PROXY UNKNOWN` and its end)."""
V2_BYTES_MAX = 4096
"""Addresses and extensions of version 2. Load balancers add a few hundred bytes at most."""

PENDING_MAX = 1024
"""Sockets whose header has not come yet; further ones are closed at once."""

_V2_HEAD = struct.Struct(">12sBBH")
_V2_ADDRESSES = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
"""Family and transport (TCP over IPv4, over IPv6) → how an address is written."""
_LOCAL, _PROXY = 0x20, 0x21


async def read_header(read: Callable[[int], Awaitable[bytes]]) -> Address | None:
    """Read one header with `read`, which returns exactly so many bytes, and not one byte more.

    Returns the client's address; None if the load balancer speaks for itself or does not know. Raises
    RemoteProtocolError for anything that is no such header.
    """
    start = await read(START_BYTES)
    if start.startswith(V1_START):
        while not start.endswith(b"\r\n"):
            if len(start) >= V1_BYTES_MAX:
                raise RemoteProtocolError("a PROXY line of version 1 does not end")
            start += await read(1)
        return parse_v1(start)
    if start.startswith(SIGNATURE):
        start += await read(_V2_HEAD.size - START_BYTES)
        _, command, family, size = _V2_HEAD.unpack(start)
        if size > V2_BYTES_MAX:
            raise RemoteProtocolError(f"a PROXY header of version 2 has {size} bytes")
        return parse_v2(command, family, await read(size) if size else b"")
    raise RemoteProtocolError("a PROXY header was expected, and something else came")


def parse_v1(line: bytes) -> Address | None:
    """The client's address in a line of version 1."""
    words = line.removesuffix(b"\r\n").decode("ascii", "replace").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise RemoteProtocolError(f"a PROXY line of version 1 cannot be understood: {line[:60]!r}")
    try:
        address, _ = (ipaddress.ip_address(word) for word in words[2:4])
        ports = [int(word) for word in words[4:6] if word.isascii() and word.isdecimal()]
    except ValueError:
        ports = []
    if len(ports) != 2 or max(ports) > 0xFFFF or address.version != int(words[1][-1]):
        raise RemoteProtocolError(f"a PROXY line of version 1 has bad addresses: {line[:100]!r}")
    return str(address), ports[0]


def parse_v2(command: int, family: int, rest: bytes) -> Address | None:
    """The client's address in a header of version 2."""
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise RemoteProtocolError(f"a PROXY header has version and command {command:#04x}")
    if family not in _V2_ADDRESSES:
        return None
    kind, size = _V2_ADDRESSES[family]
    if len(rest) < 2 * size + 4:
        raise RemoteProtocolError(
            f"a PROXY header of version 2 ends within its addresses ({len(rest)} bytes)"
        )
    (port,) = struct.unpack_from(">H", rest, 2 * size)
    return socket.inet_ntop(kind, rest[:size]), port


class ProxyListener:
    """Accepts sockets, reads their headers, and lets `make_protocol(address)` go on with them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[Address | None], asyncio.BaseProtocol],
        *,
        context: ssl.SSLContext | None,
        timeout_s: float,
    ) -> None:
        self.sockets = tuple(sockets)
        self._loop = loop
        self._make_protocol = make_protocol
        self._context = context
        self._timeout_s = timeout_s
        self._pending: set[asyncio.Task[None]] = set()
        for listener in self.sockets:
            listener.setblocking(False)
            loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Listen no more; sockets whose header has not come are closed."""
        for listener in self.sockets:
            if listener.fileno() >= 0:
                self._loop.remove_reader(listener.fileno())
                listener.close()
        for task in self._pending:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        try:
            peer, address = listener.accept()
        except OSError:
            # Gone before it was accepted, or no file is left: the next one may fare better.
            return
        if len(self._pending) >= PENDING_MAX:
            peer.close()
            return
        peer.setblocking(False)
        task = self._loop.create_task(self._serve(peer, f"{address[0]}:{address[1]}"))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _serve(self, peer: socket.socket, name: str) -> None:
        taken = False
        try:
            address = await asyncio.wait_for(
                read_header(lambda size: self._read(peer, size)), self._timeout_s
            )
            taken = True
            await self._loop.connect_accepted_socket(
                lambda: self._make_protocol(address),
                peer,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout_s if self._context is not None else None,
            )
        except RemoteProtocolError as error:
            log.warning("connection from %s refused, because proxy_protocol is on: %s", name, error)
        except TimeoutError:
            log.warning("connection from %s closed: no whole PROXY header within %g s", name, self._timeout_s)
        except (OSError, EOFError):
            log.debug("connection from %s ended before its PROXY header or its TLS handshake", name)
        finally:
            if not taken:
                with contextlib.suppress(OSError):
                    peer.close()

    async def _read(self, peer: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await self._loop.sock_recv(peer, size - len(data))
            if not part:
                raise EOFError
            data += part
        return data
