"""The ASGI application of ActiveMQ's port: who asks, and whether Jolokia, a message or a feed is meant.

Users are those of the broker. Whoever has the tag `administrator` or `monitoring` may read beans, the first
one may call operations; messages are for whoever may enter the virtual host, by its permissions. A browser
that asks on behalf of a page of another site is refused, for reads too, because an `exec` may be one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from pillarbox.errors import BrokerError
from pillarbox.ops.activemq import jolokia, messages
from pillarbox.ops.activemq.errors import JolokiaError
from pillarbox.ops.activemq.feeds import FEEDS, XML, feed
from pillarbox.ops.activemq.readers import Readers
from pillarbox.ops.activemq.view import View
from pillarbox.ops.management.application import log_in, read_body
from pillarbox.ops.management.deciding import Deciding
from pillarbox.ops.management.request import Answer, HttpError, decode, not_found
from pillarbox.ops.management.sending import Receive, Scope, Send, send_answer
from pillarbox.ops.pace import Pace

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.ops.management.node import Node

log = logging.getLogger("pillarbox")

JOLOKIAS = ("/api/jolokia", "/console/jolokia")
"""Where ActiveMQ Classic has it, and where Artemis."""
MESSAGE = "/api/message"
READERS = frozenset(("administrator", "monitoring"))
SAME_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Origins that ActiveMQ's own access file allows, which scripts send for that reason."""
CHALLENGE = {"www-authenticate": 'Basic realm="ActiveMQRealm"'}
TEXT = "text/plain; charset=utf-8"


class ActiveMq:
    """See the module. `begin` starts a turn of the broker, so that it knows the time."""

    def __init__(
        self, core: Core, node: Node, begin: Callable[[], None], pace: Pace, stopping: asyncio.Event
    ) -> None:
        self._core = core
        self._node = node
        self._begin = begin
        self._pace = pace
        self._stopping = stopping
        self._deciding = Deciding(core, begin)
        self._readers = Readers(stopping)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except _GoneError:
            return
        except HttpError as error:
            headers = CHALLENGE if error.status == 401 else error.headers
            answer = Answer(error.status, f"{error}\n".encode(), headers, TEXT)
        except BrokerError as error:
            answer = Answer(403, f"{error.text}\n".encode(), content_type=TEXT)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = Answer(500, b"see the broker's log\n", content_type=TEXT)
        await send_answer(scope, send, answer, self._pace)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = unquote(scope["raw_path"].decode("ascii", "replace"))
        self._begin()
        user = await self._deciding.do(lambda: log_in(self._core, self._node, scope, headers))
        if _is_cross_site(headers):
            raise HttpError(403, "forbidden", "a page of another site may not do this")
        view = View(self._core, self._node, self._begin, self._pace, user)
        body = b"" if scope["method"] in ("GET", "HEAD") else bytes(await read_body(receive, headers))
        self._begin()
        place = next((one for one in JOLOKIAS if (path + "/").startswith(one + "/")), None)
        if place is not None:
            demand_reader(user)
            asked = scope["method"], path.removeprefix(place), body
            found: Answer = await self._deciding.run(lambda: self._jolokia(view, *asked), user)
            return found
        if (path + "/").startswith(MESSAGE + "/"):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            wanted = scope["method"], path.removeprefix(MESSAGE), query, headers, body
            work = self._deciding.run(lambda: _message(view, self._readers, *wanted), user)
            return await self._unless_gone(work, receive)
        if path in FEEDS:
            demand_reader(user)
            if scope["method"] not in ("GET", "HEAD"):
                raise HttpError(405, "method_not_allowed", "Method Not Allowed", {"allow": "GET, HEAD"})
            return Answer(200, feed(path, self._core.vhosts.get(view.vhost)), content_type=XML)
        raise not_found()

    async def _unless_gone(self, work: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
        """Do something that may wait long; whoever has gone meanwhile takes no message with it."""
        task = asyncio.ensure_future(work)
        others = [asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _GoneError
            return task.result()
        finally:
            for each in (task, *others):
                each.cancel()

    async def _jolokia(self, view: View, method: str, path: str, body: bytes) -> Answer:
        try:
            asked: Any = decode(body) if method == "POST" else jolokia.by_path(path)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(400, "bad_request", f"no JSON: {error}") from None
        except JolokiaError as error:
            return Answer(200, error.document, content_type=TEXT)
        return Answer(200, jolokia.rendered(await jolokia.answer(view, asked)), content_type=TEXT)


def demand_reader(user: Principal) -> None:
    """Raise 403 unless the user may see everything."""
    if not READERS.intersection(user.tags):
        raise HttpError(403, "forbidden", "the user has neither the tag administrator nor monitoring")


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _message(
    view: View,
    readers: Readers,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    if method == "POST":
        return await messages.send(view, readers, path, query, headers, body)
    if method in ("GET", "DELETE"):
        return await messages.take(view, readers, path, query, headers)
    raise HttpError(405, "method_not_allowed", "Method Not Allowed", {"allow": "GET, POST, DELETE"})


def _is_cross_site(headers: Mapping[str, str]) -> bool:
    """Has a page of another site caused this? Scripts name `http://localhost`, which ActiveMQ wants."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    host = urlsplit(f"//{headers.get('host', '')}").hostname
    return urlsplit(origin).hostname not in (host, *SAME_MACHINE)
