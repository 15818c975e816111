"""One port for several protocols: which of them a client speaks is told by its first bytes (A67).

A `Sniffer` is the asyncio protocol of the accepted socket until that is known; then what the choice makes
takes its place, gets what was read, and nothing of this is left on the way of its bytes. It reads no more
than `FIRST_BYTES_MAX`, and the lobby bounds its time. Bytes of no choice close the socket, without an answer,
since nobody knows in which words.

Not here: how a protocol's clients begin (`begins` of its row), TLS, PROXY headers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

from pillarbox.errors import RemoteProtocolError
from pillarbox.net.driver import shown
from pillarbox.net.lobby import Lobby, name_of
from pillarbox.protocols.beginnings import FIRST_BYTES_MAX

SHOWN_BYTES = 8
"""Of what was not understood, in the log: enough to tell what it is, too little for a password."""

log = logging.getLogger("pillarbox")


class Successor(Protocol):
    """What goes on with a socket: a driver, or something that reads bytes for one."""

    def take_over(self, transport: asyncio.BaseTransport, first: bytes) -> None: ...


class Choice(NamedTuple):
    """Something that may be spoken."""

    name: str
    begins: Callable[[bytes], bool | None]
    """Whether first bytes are those of its clients; None: more are needed."""
    make: Callable[..., Successor]


def recognise(first: bytes, choices: Sequence[Choice]) -> Choice | None:
    """What is spoken by who begins so; None: more bytes are needed. Raises RemoteProtocolError: nothing."""
    open_choices = 0
    for choice in choices:
        begins = choice.begins(first)
        if begins:
            return choice
        open_choices += begins is None
    if not open_choices or len(first) >= FIRST_BYTES_MAX:
        raise RemoteProtocolError(f"it begins with {first[:SHOWN_BYTES]!r}, which is spoken by nobody here")
    return None


class Sniffer(asyncio.BufferedProtocol):
    """See the module. `told`: what `Choice.make` is given, beside the address of a PROXY header (`peer`)."""

    def __init__(
        self, lobby: Lobby, choices: Sequence[Choice], peer: tuple[str, int] | None = None, **told: Any
    ) -> None:
        self._lobby = lobby
        self._choices = choices
        self._peer = peer
        self._told = told
        self._space = memoryview(bytearray(FIRST_BYTES_MAX))
        self._count = 0
        self._transport: asyncio.Transport | None = None

    def __repr__(self) -> str:
        return f"<Sniffer first={bytes(self._space[: self._count])!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lobby.enter(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._space[self._count :]

    def buffer_updated(self, nbytes: int) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._count += nbytes
        try:
            choice = recognise(bytes(self._space[: self._count]), self._choices)
        except RemoteProtocolError as error:
            name = shown(self._peer) if self._peer else name_of(transport)
            log.warning("connection from %s closed: %s", name, error)
            transport.abort()
            return
        if choice is not None:
            self._hand_over(transport, choice)

    def _hand_over(self, transport: asyncio.Transport, choice: Choice) -> None:
        chosen = choice.make(self._peer, **self._told)
        self._lobby.leave(transport)
        # Stopped and begun again, since loops look at the kind of protocol when they begin to read.
        transport.pause_reading()
        transport.set_protocol(cast(asyncio.BaseProtocol, chosen))
        transport.resume_reading()
        chosen.take_over(transport, bytes(self._space[: self._count]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._lobby.leave(self._transport)
            self._transport = None
