"""Virtual hosts: /vhosts. Source: RabbitMQ's management API; measured on 3.10.8. Rows R90, R115."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.administration import put_vhost, remove_vhost
from pillarbox.broker.auth import Permission
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import (
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    Document,
    Field,
    Level,
    array,
)
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.listing import show as show_one
from pillarbox.ops.management.request import CREATED, Answer, demand_name, not_found
from pillarbox.ops.management.resources.users import names_of
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, MANAGEMENT, SEES, Many, Route
from pillarbox.ops.management.samples import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

ALL = ".*"
UNDEFINED = "undefined"
"""How RabbitMQ says that no default queue type was chosen."""


class Shown:
    """A virtual host, with what is added up over it, once and only if it is asked for."""

    def __init__(self, vhost: VHost) -> None:
        self.vhost = vhost
        self._totals: dict[str, int] | None = None

    def totals(self, request: Request) -> dict[str, int]:
        if self._totals is None:
            self._totals = request.sampler.totals((self.vhost,))
        return self._totals


def _metadata(shown: Shown, request: Request) -> dict[str, Any]:
    vhost = shown.vhost
    words: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type:
        words["default_queue_type"] = vhost.default_queue_type
    return words


def _count(measure: stats.Measure) -> Callable[[Shown, Request], int]:
    return lambda shown, request: measure.of(shown.totals(request))


def _details(measure: stats.Measure, kind: str) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: stats.details(measure, (shown.vhost.past_channels,), kind, request)


def _message_stats(shown: Shown, request: Request) -> Any:
    values = {name: count for name, count in shown.totals(request).items() if name in CHANNEL}
    return stats.message_stats(stats.OF_CHANNEL, values, (shown.vhost.past_channels,), request)


_MEASURES = (
    *((measure, stats.LENGTHS) for measure in stats.QUEUE_TOTALS),
    *((measure, stats.DATA) for measure in stats.BYTES),
)
DOCUMENT = Document(
    "VHost",
    Field("name", STRING, lambda shown, request: shown.vhost.name),
    Field("description", STRING, lambda shown, request: shown.vhost.description),
    Field("tags", array(STRING), lambda shown, request: list(shown.vhost.tags)),
    Field("default_queue_type", STRING, lambda shown, request: shown.vhost.default_queue_type or UNDEFINED),
    Field("metadata", OBJECT, _metadata),
    Field("tracing", BOOLEAN, lambda shown, request: shown.vhost.tracing),
    Field("protected_from_deletion", BOOLEAN, lambda shown, request: shown.vhost.protected),
    Field("cluster_state", OBJECT, lambda shown, request: {request.node.name: "running"}),
    *(Field(one.name, INTEGER, _count(one), Level.STATS) for one, _ in _MEASURES),
    *(
        Field(f"{one.name}_details", stats.DETAILS, _details(one, kind), Level.STATS)
        for one, kind in _MEASURES
    ),
    Field("message_stats", stats.schema_of(*stats.OF_CHANNEL), _message_stats, Level.STATS),
)


class VHostBody(msgspec.Struct):
    """What may be said of a virtual host; what is left out stays as it is."""

    description: str | None = None
    tags: str | list[str] | None = None
    default_queue_type: str | None = None
    tracing: bool | None = None
    protected_from_deletion: bool | None = None


def show_all(request: Request) -> Listing:
    return Listing((Shown(vhost) for vhost in list(request.visible_vhosts())), DOCUMENT)


def show(request: Request) -> Iterator[bytes]:
    return show_one(Shown(request.vhost), DOCUMENT, request)


def put(request: Request) -> Answer | None:
    """Whoever makes a virtual host may do everything in it."""
    body: VHostBody = request.body
    core, name = request.core, demand_name(request.path["vhost"])
    new = name not in core.vhosts
    queue_type = "" if body.default_queue_type == UNDEFINED else body.default_queue_type
    put_vhost(
        core,
        name,
        description=body.description,
        tags=None if body.tags is None else names_of(body.tags),
        default_queue_type=queue_type,
        protected=body.protected_from_deletion,
    )
    if body.tracing is not None:
        core.set_tracing(name, body.tracing)
    if new and request.user.name in core.users.by_name:
        core.set_permission(Permission(request.user.name, name, ALL, ALL, ALL))
    return CREATED if new else None


async def remove(request: Request) -> None:
    if not remove_vhost(request.core, request.path["vhost"]):
        raise not_found()
    await request.work.done()


def start(request: Request) -> None:
    """A virtual host runs as long as the broker does: there is nothing to start, but it must be there."""
    if request.path["node"] != request.node.name or not request.vhost:
        raise not_found()


def protect(request: Request) -> None:
    put_vhost(request.core, request.vhost.name, protected=request.method == "POST")


_PROTECTION = "/vhosts/{vhost}/deletion/protection"

ROUTES = (
    Route("GET", "/vhosts", show_all, MANAGEMENT, "All virtual hosts.", Many(DOCUMENT), parameters=LISTING),
    Route("GET", "/vhosts/{vhost}", show, SEES, "A virtual host.", DOCUMENT),
    Route(
        "PUT",
        "/vhosts/{vhost}",
        put,
        ADMINISTRATOR,
        "Make or change a virtual host.",
        body=VHostBody,
        status=201,
    ),
    Route(
        "DELETE",
        "/vhosts/{vhost}",
        remove,
        ADMINISTRATOR,
        "Remove a virtual host with all that is in it.",
        status=204,
    ),
    Route("POST", "/vhosts/{vhost}/start/{node}", start, ADMINISTRATOR, "Start a virtual host.", status=204),
    Route("POST", _PROTECTION, protect, ADMINISTRATOR, "Protect a virtual host from removal.", status=204),
    Route("DELETE", _PROTECTION, protect, ADMINISTRATOR, "Let it be removed again.", status=204),
)
