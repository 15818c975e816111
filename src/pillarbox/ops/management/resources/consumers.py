"""Consumers: /consumers and what is below (R114)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pillarbox.ops.management.fields import Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.resources.parts import CONSUMER_PROPERTIES, consumer_document
from pillarbox.ops.management.routes import LISTING, MANAGEMENT, SEES, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request


def _part(name: str) -> Callable[[dict[str, Any], Request], Any]:
    return lambda shown, request: shown[name]


CONSUMER = Document(
    "Consumer", *(Field(name, schema, _part(name)) for name, schema in CONSUMER_PROPERTIES.items())
)


def _all(request: Request) -> Iterator[dict[str, Any]]:
    vhost = request.vhost if "vhost" in request.path else None
    for session in list(request.core.sessions):
        if (vhost is None or session.vhost is vhost) and request.sees_session(session):
            for channel in list(session.channels):
                for consumer in list(channel.consumers.values()):
                    yield consumer_document(consumer, session.vhost.name, request)


def consumers(request: Request) -> Listing:
    return Listing(_all(request), CONSUMER)


ROUTES = (
    Route(
        "GET",
        "/consumers",
        consumers,
        MANAGEMENT,
        "All consumers that the user may see.",
        Many(CONSUMER),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/consumers/{vhost}",
        consumers,
        SEES,
        "The consumers in a virtual host.",
        Many(CONSUMER),
        parameters=LISTING,
    ),
)
