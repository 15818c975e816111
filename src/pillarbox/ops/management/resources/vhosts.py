"""Virtual hosts: /vhosts. Source: RabbitMQ's management API; measured on 3.10.8. Rows R90, R115."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.administration import put_vhost, remove_vhost
from pillarbox.broker.auth import Permission
from pillarbox.ops.management.fields import (
    BOOLEAN,
    EVERYTHING,
    INTEGER,
    OBJECT,
    STRING,
    Document,
    Field,
    Level,
    array,
)
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.request import CREATED, Answer, not_found
from pillarbox.ops.management.resources.users import names_of
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, MANAGEMENT, SEES, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

ALL = ".*"
UNDEFINED = "undefined"
"""How RabbitMQ says that no default queue type was chosen."""


def _metadata(vhost: VHost, request: Request) -> dict[str, Any]:
    words: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type:
        words["default_queue_type"] = vhost.default_queue_type
    return words


def _ready(queue: Queue) -> int:
    return queue.ready_count


def _unacknowledged(queue: Queue) -> int:
    return queue.unacked_count


DOCUMENT = Document(
    "VHost",
    Field("name", STRING, lambda vhost, request: vhost.name),
    Field("description", STRING, lambda vhost, request: vhost.description),
    Field("tags", array(STRING), lambda vhost, request: list(vhost.tags)),
    Field("default_queue_type", STRING, lambda vhost, request: vhost.default_queue_type or UNDEFINED),
    Field("metadata", OBJECT, _metadata),
    Field("tracing", BOOLEAN, lambda vhost, request: vhost.tracing),
    Field("protected_from_deletion", BOOLEAN, lambda vhost, request: vhost.protected),
    Field("cluster_state", OBJECT, lambda vhost, request: {request.node.name: "running"}),
    Field(
        "messages_ready",
        INTEGER,
        lambda vhost, request: sum(map(_ready, vhost.queues.values())),
        Level.STATS,
    ),
    Field(
        "messages_unacknowledged",
        INTEGER,
        lambda vhost, request: sum(map(_unacknowledged, vhost.queues.values())),
        Level.STATS,
    ),
    Field(
        "messages",
        INTEGER,
        lambda vhost, request: sum(_ready(one) + _unacknowledged(one) for one in vhost.queues.values()),
        Level.STATS,
    ),
)


class VHostBody(msgspec.Struct):
    """What may be said of a virtual host; what is left out stays as it is."""

    description: str | None = None
    tags: str | list[str] | None = None
    default_queue_type: str | None = None
    tracing: bool | None = None
    protected_from_deletion: bool | None = None


def show_all(request: Request) -> Listing:
    return Listing(list(request.visible_vhosts()), DOCUMENT)


def show(request: Request) -> dict[str, Any]:
    return DOCUMENT.describe(request.vhost, request, EVERYTHING)


def put(request: Request) -> Answer | None:
    """Whoever makes a virtual host may do everything in it."""
    body: VHostBody = request.body
    core, name = request.core, request.path["vhost"]
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
    if new:
        core.set_permission(Permission(request.user.name, name, ALL, ALL, ALL))
    return CREATED if new else None


def remove(request: Request) -> None:
    if not remove_vhost(request.core, request.path["vhost"]):
        raise not_found()


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
