"""WebSocket under any protocol: HTTP's upgrade and messages at the socket, plain bytes at the driver.

A `WebSocket` is the asyncio protocol of the accepted socket. It hands what messages carry to a driver, and
gives it a transport that puts what it writes into messages, so that a driver does not know of any of this.
Where messages begin and end means nothing: both MQTT and STOMP see a stream. Until the upgrade is done the
lobby bounds its time; then there is a connection with deadlines of its own.

Not here: framing and masking (wsproto), TLS, what is spoken. Source: RFC 6455; rows A66, R141, R142.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError, RemoteProtocolError

from pillarbox.protocols.beginnings import begins_with

if TYPE_CHECKING:
    from pillarbox.net.driver import Driver
    from pillarbox.net.lobby import Lobby

NORMAL = 1000
"""The close code for an end that is no error (RFC 6455, 7.4.1)."""

MakeDriver = Callable[[], "Driver"]


def begins(first: bytes) -> bool | None:
    """Whether a client that begins so wants a WebSocket; see `protocols.beginnings`."""
    return begins_with(first, b"GET ")


class FramedTransport(asyncio.Transport):
    """The transport that a driver sees: what it writes leaves as messages of the kind that clients send."""

    def __init__(self, transport: asyncio.Transport, wire: WSConnection) -> None:
        super().__init__()
        self._transport = transport
        self._wire = wire
        self.as_text = False
        """Some clients that send texts take nothing else for text (stompjs 2)."""

    def __repr__(self) -> str:
        return f"<FramedTransport on {self._transport!r}>"

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._wire.send(self._message(bytes(data))))

    def _message(self, data: bytes) -> BytesMessage | TextMessage:
        if self.as_text:
            # A body that is no text makes all of it binary.
            with contextlib.suppress(UnicodeDecodeError):
                return TextMessage(data.decode())
        return BytesMessage(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Say goodbye, and close when all is written."""
        if not self._transport.is_closing():
            self._transport.write(self._wire.send(CloseConnection(NORMAL)))
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class WebSocket(asyncio.Protocol):
    """See the module. `subprotocols`: those of which the client has to name one, in order of preference, and
    what makes the driver for each; the empty one is for clients that name none."""

    def __init__(self, lobby: Lobby, subprotocols: Mapping[str, MakeDriver]) -> None:
        self._lobby = lobby
        self._subprotocols = subprotocols
        self._wire = WSConnection(ConnectionType.SERVER)
        self._transport: asyncio.Transport | None = None
        self._driver: Driver | None = None
        """There is one when the upgrade is done."""
        self._framed: FramedTransport | None = None
        """What it writes to."""
        self._full = False
        self._unanswered: Ping | None = None
        """The last ping that came while the socket took no more: who does not read gets no pong for each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lobby.enter(self._transport)

    def take_over(self, transport: asyncio.BaseTransport, first: bytes) -> None:
        """Go on with a socket of which somebody else has read the first bytes."""
        self.connection_made(transport)
        self.data_received(first)

    def data_received(self, data: bytes) -> None:
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                self._act(event)
        except RemoteProtocolError as error:
            self._refuse(error)

    def _act(self, event: Any) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if isinstance(event, (BytesMessage, TextMessage)):
            data = event.data
            assert self._driver is not None, "no message comes before the upgrade"
            assert self._framed is not None, "nor this"
            self._framed.as_text = isinstance(data, str)
            self._driver.feed(data.encode() if isinstance(data, str) else bytes(data))
        elif isinstance(event, Request):
            self._upgrade(transport, event)
        elif isinstance(event, Ping):
            self._answer(transport, event)
        elif isinstance(event, CloseConnection):
            transport.write(self._wire.send(event.response()))
            transport.close()

    def _answer(self, transport: asyncio.Transport, ping: Ping) -> None:
        """Send a pong, as soon as the socket takes one; that for the last ping is enough (5.5.3)."""
        if self._full:
            self._unanswered = ping
        else:
            transport.write(self._wire.send(ping.response()))

    def _upgrade(self, transport: asyncio.Transport, request: Request) -> None:
        """Become a WebSocket, if the client speaks what is spoken here."""
        asked = request.subprotocols or [""]
        spoken = [each for each in self._subprotocols if each in asked]
        if not spoken:
            transport.write(self._wire.send(RejectConnection(status_code=400)))
            transport.close()
            return
        transport.write(self._wire.send(AcceptConnection(subprotocol=spoken[0] or None)))
        self._lobby.leave(transport)
        self._driver = self._subprotocols[spoken[0]]()
        self._framed = FramedTransport(transport, self._wire)
        self._driver.connection_made(self._framed)

    def _refuse(self, error: ProtocolError) -> None:
        """The peer does not speak WebSocket."""
        transport = self._transport
        hint = getattr(error, "event_hint", None)
        if transport is not None and not transport.is_closing():
            if hint is not None:
                transport.write(self._wire.send(hint))
            transport.close()

    def pause_writing(self) -> None:
        self._full = True
        if self._driver is not None:
            self._driver.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        ping, self._unanswered = self._unanswered, None
        if ping is not None and self._transport is not None:
            self._act(ping)
        if self._driver is not None:
            self._driver.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._lobby.leave(transport)
        if self._driver is not None:
            self._driver.connection_lost(exc)


def over_websocket(lobby: Lobby, makers: Mapping[str, Callable[..., Driver]]) -> Callable[..., WebSocket]:
    """What makes WebSockets, with what `makers` has for the subprotocol behind them."""
    return lambda *arguments, **more: WebSocket(
        lobby, {name: partial(make, *arguments, **more) for name, make in makers.items()}
    )
