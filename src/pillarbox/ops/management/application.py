"""The ASGI application: from a request to the handler of its route, and from what that returns to the answer.

Starlette finds the route. Here: decoding paths (a virtual host may have a slash in its name, so paths are
taken apart before they are decoded), logging in, rights, bodies and errors; `sending` sends. Handlers run
to completion on the broker's loop, within a turn, like a socket's input.

Invariant: nothing is changed before the request has passed all checks, and every refusal is a JSON document.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route as PathRoute

from pillarbox.broker.auth import Principal
from pillarbox.broker.core import Core
from pillarbox.broker.outside import Caller
from pillarbox.errors import BrokerError
from pillarbox.ops.management import access, listing
from pillarbox.ops.management.deciding import Deciding
from pillarbox.ops.management.node import Node
from pillarbox.ops.management.openapi import openapi
from pillarbox.ops.management.request import (
    NO_CONTENT,
    Answer,
    HttpError,
    Request,
    bad_request,
    decode,
    not_found,
    refusal,
)
from pillarbox.ops.management.resources import RESOURCES
from pillarbox.ops.management.routes import PUBLIC, Route
from pillarbox.ops.management.samples import Sampler
from pillarbox.ops.management.sending import Receive, Scope, Send, send_answer
from pillarbox.ops.management.work import Work
from pillarbox.ops.pace import Pace

log = logging.getLogger("pillarbox.management")

PREFIX = "/api"
BODY_BYTES_MAX = 20_000_000
"""As in RabbitMQ: definitions of some ten thousand queues."""
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
NOBODY: Any = None


class Api:
    """One broker's API. `begin` starts a turn of the broker, so that the core knows the time and acts on what
    handlers have changed. Long answers keep to the `pace`."""

    def __init__(
        self, core: Core, node: Node, sampler: Sampler, begin: Callable[[], None], pace: Pace
    ) -> None:
        self._core = core
        self._node = node
        self._sampler = sampler
        self._begin = begin
        self._pace = pace
        self._work = Work(core, begin, pace)
        self._deciding = Deciding(core, begin)
        by_path: dict[str, dict[str, Route]] = {}
        for resource in RESOURCES:
            for route in resource.routes:
                by_path.setdefault(route.path, {})[route.method] = route
        self._openapi = openapi(RESOURCES, node.version)
        paths = [
            PathRoute(PREFIX + path, _Endpoint(self, routes), include_in_schema=False)
            for path, routes in by_path.items()
        ]
        paths.insert(0, PathRoute(f"{PREFIX}/openapi.json", self._send_openapi))
        self._app = Starlette(routes=paths)
        self._app.router.redirect_slashes = False
        self._app.router.default = self._nowhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # As it came: what is encoded within a part is no separator. A slash at the end says nothing.
            scope["path"] = scope["raw_path"].decode("ascii", "replace").removesuffix("/")
            await self._app(scope, receive, send)

    async def _nowhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(scope, send, _refused(not_found()), self._pace)

    async def _send_openapi(self, request: Any) -> Any:
        from starlette.responses import Response

        return Response(self._openapi, media_type="application/json")

    async def answer(self, routes: Mapping[str, Route], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a path that has these routes, by method."""
        started = False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            answer = await self._handle(routes, scope, receive)
            await send_answer(scope, noted, answer, self._pace)
        except HttpError as error:
            await send_answer(scope, send, _refused(error), self._pace)
        except BrokerError as error:
            await send_answer(scope, send, _refused(refusal(error)), self._pace)
        except GoneError:
            pass
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                fault = HttpError(500, "internal_server_error", "see the broker's log")
                await send_answer(scope, send, _refused(fault), self._pace)

    async def _handle(self, routes: Mapping[str, Route], scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if method == "OPTIONS":
            return Answer(200, b"", {"allow": _allowed(routes)})
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise HttpError(405, "method_not_allowed", "Method Not Allowed", {"allow": _allowed(routes)})
        path = {name: unquote(value) for name, value in scope["path_params"].items()}
        self._begin()
        user = NOBODY
        if route.right is not PUBLIC:
            user = await self._deciding.do(lambda: self._user(scope, headers, route, path))
        if method not in SAFE and access.is_cross_site(headers):
            raise HttpError(403, "forbidden", "a page of another site may not do this")
        body = None
        if method not in SAFE:
            body = _decoded(route, await read_body(receive, headers))

        def begin() -> None:
            self._begin()
            if user is not NOBODY:
                self._core.events.acting = user.name

        # Reading may have taken many turns.
        begin()
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        request = Request(
            self._core,
            self._node,
            self._sampler,
            begin,
            Work(self._core, begin, self._pace),
            user,
            method,
            path,
            query,
            headers,
            body,
        )
        found = await self._deciding.run(lambda: route.handler(request), user)
        return _answer_of(route, found, request)

    def _user(
        self, scope: Scope, headers: Mapping[str, str], route: Route, path: Mapping[str, str]
    ) -> Principal:
        """Who asks, if they may. Raises 401, and Undecided."""
        user = log_in(self._core, self._node, scope, headers, path.get("vhost", ""))
        access.demand(self._core, user, route.right, path)
        if route.method == "GET" and "vhost" not in path:
            self._deciding.look_around(user)
        return user


class _Endpoint:
    """An ASGI application for one path: starlette calls what is no function as it is, for every method."""

    def __init__(self, api: Api, routes: Mapping[str, Route]) -> None:
        self._api = api
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api.answer(self._routes, scope, receive, send)


class GoneError(Exception):
    """The client has gone before its request was whole."""


def _allowed(routes: Mapping[str, Route]) -> str:
    also = ("HEAD", "OPTIONS") if "GET" in routes else ("OPTIONS",)
    return ", ".join((*also, *routes))


def log_in(core: Core, node: Node, scope: Scope, headers: Mapping[str, str], vhost: str = "") -> Principal:
    """The user of a request, on its way to this virtual host if to any. Raises 401, and Undecided."""
    return access.log_in(
        core,
        headers.get("authorization"),
        loopback=is_loopback(scope),
        loopback_users=node.loopback_users,
        caller=caller_of(scope, vhost),
    )


def caller_of(scope: Scope, vhost: str = "") -> Caller:
    """Where a request comes from, for whoever decides about its user."""
    return Caller(_host(scope), vhost)


def _host(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def is_loopback(scope: Scope) -> bool:
    """Does a request come from this machine?"""
    host = _host(scope)
    return not host or host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes | bytearray:
    """The whole body, not copied once more.

    Raises 413 as soon as it is known to be too large; the server sees to its time.
    """
    announced = headers.get("content-length", "0")
    body = bytearray()
    size = int(announced) if announced.isdecimal() else 0
    while True:
        if max(size, len(body)) > BODY_BYTES_MAX:
            raise HttpError(
                413, "payload_too_large", f"more than {BODY_BYTES_MAX} bytes", {"connection": "close"}
            )
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _decoded(route: Route, body: bytes | bytearray) -> Any:
    """The body as the type of the route. Raises 400. Nothing stands for an empty object, as in RabbitMQ."""
    if route.body is None:
        return None
    if route.body is bytes:
        return body
    try:
        # Not strict: RabbitMQ takes "true" and "10" as well, and clients send them.
        return msgspec.convert(decode(body or b"{}"), route.body, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"not_json: {error}") from None


def _answer_of(route: Route, found: Any, request: Request) -> Answer:
    """What a handler's result means; see the package."""
    if isinstance(found, Answer):
        return found
    if found is None:
        return NO_CONTENT
    if isinstance(found, listing.Listing):
        return Answer(route.status, listing.render(found, request))
    return Answer(route.status, found)


def _refused(error: HttpError) -> Answer:
    return Answer(error.status, error.document, error.headers)
