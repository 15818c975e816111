"""The ASGI application of the schema registry: who asks, which route that is, and the answer.

Users are those of the broker, by name and password or token; who says nothing acts as the user whom the
configuration has for that. Rights are those of the virtual host `default_vhost` (see `resources`).

Invariants: nothing is answered that a crash could take back, whether one has changed it oneself or only seen
it: records with an id of the schema may be elsewhere by then. Every refusal is a document with a code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.routing import Route as PathRoute

from pillarbox.errors import BrokerError, Reason
from pillarbox.ops.management import access
from pillarbox.ops.management.application import SAFE, GoneError, caller_of, is_loopback, log_in, read_body
from pillarbox.ops.management.deciding import Deciding
from pillarbox.ops.management.request import Answer, HttpError
from pillarbox.ops.management.sending import Receive, Scope, Send, send_answer
from pillarbox.ops.registry import errors, names
from pillarbox.ops.registry.errors import RegistryError, refused
from pillarbox.ops.registry.request import Asked, Right, Route
from pillarbox.ops.registry.routes import ROUTES
from pillarbox.protocols.strangers import anonymous_user

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.pace import Pace
    from pillarbox.ops.registry.desk import Desk

log = logging.getLogger("pillarbox")

JSON: Final = "application/vnd.schemaregistry.v1+json"
PLAIN_JSON: Final = "application/json"
CHALLENGE: Final = {"www-authenticate": 'Basic realm="SchemaRegistry"'}
ADMINISTRATOR: Final = "administrator"
SETTINGS: Final = ("/config", "/mode")
"""Where whole contexts are named as well as subjects, and an alias stands for itself."""
INSIDE: Final = "registry_context"
"""What the scope of a request has beside ASGI's words: the context that its path begins with."""

STATUS_OF: Final = {
    Reason.ACCESS_REFUSED: 403,
    Reason.NOT_ALLOWED: 403,
    Reason.INTERNAL_ERROR: 50001,
}
"""Codes for what the broker itself refuses."""


class SchemaRegistry:
    """See the module. All ports have one desk."""

    def __init__(self, core: Core, node: Node, desk: Desk, pace: Pace) -> None:
        self._core = core
        self._node = node
        self._desk = desk
        self._begin = desk.begin
        self._pace = pace
        self._anonymous = anonymous_user(node.config.schema_registry_anonymous_user)
        self._deciding = Deciding(core, desk.begin)
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        self._app = Starlette(
            routes=[PathRoute(path, _Endpoint(self, routes)) for path, routes in by_path.items()]
        )
        self._app.router.redirect_slashes = False
        self._app.router.default = _Endpoint(self, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # As it came: what is encoded within a part is no separator. A slash at the end says nothing.
            path = scope["raw_path"].decode("ascii", "replace").rstrip("/") or "/"
            match path.split("/", 3):
                case ["", "contexts", context, rest]:
                    scope[INSIDE], path = unquote(context), "/" + rest
            scope["path"] = path
            await self._app(scope, receive, send)

    async def answer(self, routes: Mapping[str, Route], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a path that has these routes, by method; none: there is no such path."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        more: Mapping[str, str] = {}
        try:
            found: Any = await self._handle(routes, scope, receive, headers)
            status = 200
            if isinstance(found, Answer):
                status, found = found.status, found.body
        except GoneError:
            return
        except RegistryError as error:
            found, status = error.document, error.status
        except HttpError as error:
            found = {"error_code": error.status, "message": str(error)}
            status, more = error.status, CHALLENGE if error.status == 401 else error.headers
        except BrokerError as error:
            refusal = RegistryError(STATUS_OF.get(error.reason, 500), error.text)
            found, status = refusal.document, refusal.status
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            found, status = {"error_code": 500, "message": "see the broker's log"}, 500
        content_type = _content_type(headers.get("accept", ""))
        await send_answer(scope, send, Answer(status, found, more, content_type), self._pace)

    async def _handle(
        self, routes: Mapping[str, Route], scope: Scope, receive: Receive, headers: Mapping[str, str]
    ) -> Any:
        method = scope["method"]
        if not routes:
            raise RegistryError(404, "HTTP 404 Not Found")
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise HttpError(405, "", "HTTP 405 Method Not Allowed", {"allow": ", ".join(routes)})
        inside = _context(scope)
        path = {name: unquote(value) for name, value in scope["path_params"].items()}
        if "subject" in path:
            path["subject"] = self._subject(path["subject"], inside, route)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = Asked(path, query, b"", inside)
        self._begin()
        user = await self._deciding.do(lambda: self._user(scope, headers, route, asked))
        if method not in SAFE and access.is_cross_site(headers):
            raise HttpError(403, "", "a page of another site may not do this")
        body = b"" if method in SAFE else bytes(await read_body(receive, headers))
        # Reading may have taken many turns.
        self._begin()
        asked = asked._replace(body=body)
        if not route.writes:
            found = await route.handler(self._desk, asked)
            if self._core.failure is None:
                await self._desk.stored()
            return found
        async with self._desk.turn:
            self._begin()
            self._core.events.acting = user.name
            found = await route.handler(self._desk, asked)
        await self._desk.stored()
        return found

    def _subject(self, name: str, inside: str | None, route: Route) -> str:
        """The subject that is meant by a name in a context. Raises 42208."""
        subject = names.qualified(name, inside or names.DEFAULT_CONTEXT)
        is_set = route.path.startswith(SETTINGS)
        if not name or not names.is_subject(subject, may_be_context=is_set):
            raise refused(errors.INVALID_SUBJECT, name)
        return subject if is_set else self._desk.registry.actual(subject)

    def _user(self, scope: Scope, headers: Mapping[str, str], route: Route, asked: Asked) -> Principal:
        """Who asks, if they may. Raises 401, BrokerError and Undecided."""
        users, vhost = self._core.users, self._node.config.default_vhost
        said = headers.get("authorization", "")
        # Clients that were given no name and no password may send both of them empty.
        if self._anonymous and (not said or access.credentials(said) == ("", b"")):
            user = self._stranger(scope, vhost)
        else:
            user = log_in(self._core, self._node, scope, headers, vhost)
        right = route.right
        if right is Right.CHANGE and not names.split(asked.subject)[1]:
            right = Right.RULE
        if right is Right.RULE:
            if ADMINISTRATOR not in user.tags:
                raise HttpError(403, "", f"user '{user.name}' has not the tag {ADMINISTRATOR}")
        else:
            self._core.demand_entry(user, vhost)
            if right.value:
                users.demand(user, vhost, right.value, "queue", asked.subject)
        return user

    def _stranger(self, scope: Scope, vhost: str) -> Principal:
        name = self._anonymous
        user = self._core.users.authenticate(name, None, caller_of(scope, vhost))
        if user is None or (name in self._node.loopback_users and not is_loopback(scope)):
            raise access.login_failed()
        return user


class _Endpoint:
    """An ASGI application for one path: starlette calls what is no function as it is, for every method."""

    def __init__(self, registry: SchemaRegistry, routes: Mapping[str, Route]) -> None:
        self._registry = registry
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._registry.answer(self._routes, scope, receive, send)


def _context(scope: Scope) -> str | None:
    """The context that the path begins with. Raises 400."""
    try:
        return names.context(scope[INSIDE]) if INSIDE in scope else None
    except ValueError as error:
        raise RegistryError(400, str(error)) from None


def _content_type(accept: str) -> str:
    """That of the registry, unless somebody wants plain JSON and nothing else that would do."""
    wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
    return PLAIN_JSON if PLAIN_JSON in wanted and JSON not in wanted and "*/*" not in wanted else JSON
