"""One end of a shovel: a client's connection to a broker elsewhere or to this one, for somebody who waits.

Opens it, calls methods, sees to heartbeats, closes it. What comes by itself (messages, confirms) goes to the
owner. Everything that waits raises `Refused` or OSError, and gives up after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from pillarbox.ops.shovel.uri import Uri, server_name, tls_context
from pillarbox.protocols.amqp091 import methods
from pillarbox.protocols.amqp091.client import Answer, Client, Login, Owner, Refused

if TYPE_CHECKING:
    import ssl

    from pillarbox.broker.auth import Principal

CALL_TIMEOUT_S = 60
"""How long an answer may take: a queue with much in it may have to be looked at."""
CLOSE_TIMEOUT_S = 5
"""The same for the answer to a close, after which nothing depends on it."""
CLIENT = {
    "product": "Pillarbox",
    "platform": "Python",
    "information": "Licensed under the Apache License 2.0",
}


class Link(Protocol):
    """A socket, as `net.outgoing` has it."""

    def send(self, data: bytes) -> None: ...

    def hold(self, held: bool) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Network(Protocol):
    """What opens links."""

    async def dial(
        self, host: str, port: int, context: ssl.SSLContext | None, name: str, head: Any
    ) -> Link: ...

    async def join(self, user: Any, name: str, head: Any) -> Link: ...


class Host(Owner, Protocol):
    """Who owns an end."""

    def full(self, full: bool) -> None:
        """The socket takes no more for now; or it takes more again."""


class End:
    """See the module. `title` is what the other side is told that the connection is for; `name` is its own on
    this broker."""

    def __init__(self, host: Host, title: str, name: str) -> None:
        self._host = host
        self._title = title
        self._name = name
        self._link: Link | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._held = False
        self.client: Client

    # --- opening and closing -----------------------------------------------------------------------------

    async def open(
        self, network: Network, uri: Uri, vhost: str, who: Callable[[Uri], Awaitable[Principal | None]]
    ) -> None:
        """Connect and log in; `vhost`: the one of this broker unless the URI names another; `who`: whom a URI
        of this broker is for."""
        said = {**CLIENT, "connection_name": self._title}
        async with asyncio.timeout(uri.connect_timeout_s):
            if uri.is_here:
                user = await who(uri)
                if user is None:
                    raise Refused(403, "login was refused")
                login = Login("EXTERNAL", b"", uri.vhost or vhost, said, heartbeat_s=0)
                self.client = Client(login, self.send, self._host)
                self._link = await network.join(user, self._name, self)
            else:
                mechanism, response = uri.login()
                login = Login(mechanism, response, uri.vhost or "/", said, uri.heartbeat_s)
                if uri.frame_max:
                    login = login._replace(frame_max=uri.frame_max)
                self.client = Client(login, self.send, self._host)
                self._link = await network.dial(uri.host, uri.port, tls_context(uri), server_name(uri), self)
            await self._answer(self.client.begin)
        if self.client.heartbeat_s:
            self._next_beat(False)

    async def close(self) -> None:
        """Close the connection when everything that was sent has been acted on, or after a while."""
        try:
            if self._link is not None and not self.client.over:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._answer(self.client.close)
        except (Refused, OSError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        link, self._link = self._link, None
        if link is not None:
            self.client.over = True
            link.abort()

    # --- calls ---------------------------------------------------------------------------------------------

    async def call(self, method: int, *arguments: Any, answer: int) -> tuple[Any, ...]:
        """Call a method and return the arguments of its answer."""
        return await self._answer(lambda then: self.client.ask(method, *arguments, answer=answer, then=then))

    async def ensure_queue(self, name: str, arguments: Any, *, predeclared: bool) -> int:
        """See that there is a queue, of whatever kind if it is there; return how many messages it has."""
        try:
            found = await self._declare(name, True, {})
        except Refused as refused:
            if refused.code != 404 or predeclared:
                raise
            await self._answer(self.client.reopen)
            found = await self._declare(name, False, arguments)
        count: int = found[1]
        return count

    async def _declare(self, name: str, passive: bool, arguments: Any) -> tuple[Any, ...]:
        return await self.call(
            methods.QUEUE_DECLARE,
            *(0, name, passive, True, False, False, False, arguments),
            answer=methods.QUEUE_DECLARE_OK,
        )

    async def temporary_queue(self, exchange: str, key: str, arguments: Any) -> str:
        """Make a queue that ends with this connection and gets what an exchange routes with this key."""
        found = await self.call(
            methods.QUEUE_DECLARE,
            *(0, "", False, False, True, False, False, arguments),
            answer=methods.QUEUE_DECLARE_OK,
        )
        name: str = found[0]
        await self.call(
            methods.QUEUE_BIND, *(0, name, exchange, key, False, {}), answer=methods.QUEUE_BIND_OK
        )
        return name

    async def _answer(self, start: Callable[[Answer], None]) -> tuple[Any, ...]:
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def then(found: tuple[Any, ...] | Refused) -> None:
            if answer.done():
                return
            if isinstance(found, Refused):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        if self.client.over:
            raise ConnectionError("the connection was closed")
        start(then)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await answer

    def send(self, data: bytes) -> None:
        """Write bytes."""
        if self._link is not None:
            self._link.send(data)

    def hold(self, held: bool) -> None:
        """Read nothing, or go on."""
        self._held = held
        if self._link is not None:
            self._link.hold(held)

    # --- the link's head -----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self.client.receive(data)

    def full(self, full: bool) -> None:
        self._host.full(full)

    def lost(self, reason: str) -> None:
        self.client.lost(reason)

    def _next_beat(self, again: bool = True) -> None:
        """Twice in an interval: say that we are there; after two intervals without a word it is over."""
        interval_s = self.client.heartbeat_s
        if again:
            self.client.beat()
            if self.client.heard or self._held:
                self._silences = 0
            else:
                self._silences += 1
            self.client.heard = False
            if self._silences > 4:
                self.client.lost(f"no heartbeat came for {2 * interval_s} s")
                return
        else:
            self._silences = 0
        self._beat = asyncio.get_running_loop().call_later(interval_s / 2, self._next_beat)
