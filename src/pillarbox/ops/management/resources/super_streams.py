"""Super streams: /stream/super-streams and what is below (R84).

Making one is as in RabbitMQ 4 (its plugin for streams), which has no route for deleting one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.super_stream import (
    adding_super_stream,
    deleting_super_stream,
    is_super_stream,
    partitions_of,
)
from pillarbox.ops.management.fields import STRING, Document, Field, array
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.request import bad_request, demand_name, table_of
from pillarbox.ops.management.routes import ENTERS, LISTING, MANAGEMENT, SEES, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.super_stream import Permit
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

Found = tuple["VHost", "Exchange"]

SUPER_STREAM = Document(
    "SuperStream",
    Field("vhost", STRING, lambda found, request: found[0].name),
    Field("name", STRING, lambda found, request: found[1].name),
    Field(
        "partitions",
        array(STRING),
        lambda found, request: [stream.name for stream in partitions_of(found[1])],
    ),
)


class SuperStreamBody(msgspec.Struct, rename="kebab"):
    """How many partitions, or for which keys: text with commas between them, or a list."""

    partitions: int | None = None
    binding_keys: str | list[str] | None = None
    arguments: dict[str, Any] | list[Any] = {}


def _all(request: Request) -> Iterator[Found]:
    for vhost in request.visible_vhosts():
        for exchange in list(vhost.exchanges.values()):
            if is_super_stream(exchange):
                yield vhost, exchange


def super_streams(request: Request) -> Listing:
    return Listing(_all(request), SUPER_STREAM)


def _permit(request: Request) -> Permit:
    vhost = request.vhost.name

    def permit(action: str, kind: str, name: str) -> None:
        request.core.users.demand(request.user, vhost, action, kind, name)

    return permit


async def put(request: Request) -> None:
    body: SuperStreamBody = request.body
    keys = body.binding_keys
    if (body.partitions is None) == (keys is None):
        raise bad_request("partitions or binding-keys: one of them")
    if isinstance(keys, str):
        keys = [key.strip() for key in keys.split(",") if key.strip()]
    for key in (keys or ()) if body.partitions is None else (str(body.partitions),):
        demand_name(f"{request.path['name']}-{key}")
    steps = adding_super_stream(
        request.vhost,
        request.path["name"],
        body.partitions,
        routing_keys=keys or (),
        arguments=_arguments(table_of(body.arguments)),
        permit=_permit(request),
    )
    await request.work.in_slices(steps)


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """RabbitMQ has them without `x-` here."""
    return {name if name.startswith("x-") else f"x-{name}": value for name, value in given.items()}


async def remove(request: Request) -> None:
    steps = deleting_super_stream(request.vhost, request.path["name"], permit=_permit(request))
    await request.work.in_slices(steps)


_LIST = "/stream/super-streams"
_ONE = f"{_LIST}/{{vhost}}/{{name}}"

ROUTES = (
    Route(
        "GET",
        _LIST,
        super_streams,
        MANAGEMENT,
        "All super streams that the user may see.",
        Many(SUPER_STREAM),
        parameters=LISTING,
    ),
    Route(
        "GET",
        f"{_LIST}/{{vhost}}",
        super_streams,
        SEES,
        "The super streams in a virtual host.",
        Many(SUPER_STREAM),
        parameters=LISTING,
    ),
    Route("PUT", _ONE, put, ENTERS, "Make a super stream.", body=SuperStreamBody, status=204),
    Route("DELETE", _ONE, remove, ENTERS, "Delete a super stream and its partitions.", status=204),
)
