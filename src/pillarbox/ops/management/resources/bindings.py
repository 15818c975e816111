"""Bindings: /bindings and what is below, to read (R113)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from pillarbox.broker.exchange import Exchange
from pillarbox.ops.management.fields import OBJECT, STRING, Document, Field, encode
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import not_found
from pillarbox.ops.management.routes import COLUMNS, LISTING, MANAGEMENT, SEES, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.exchange import Binding
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

NO_KEY = "~"
"""How paths write the properties of a binding with an empty key and no arguments."""


class Bound(NamedTuple):
    """A binding, the default ones of queues (to the exchange without a name) included."""

    vhost: str
    source: str
    destination: str
    to_exchange: bool
    key: str
    arguments: Mapping[str, Any]


def in_order(bound: Bound) -> tuple[str, ...]:
    """The order in which bindings are shown."""
    return bound.vhost, bound.source, bound.destination, bound.key


def properties_key(key: str, arguments: Mapping[str, Any]) -> str:
    """What tells a binding from others between the same two, for use in paths.

    RabbitMQ's has a hash of the arguments in Erlang's terms; this one has another, which nobody computes.
    """
    shown = quote(key, safe="").replace(NO_KEY, "%7E")
    if not arguments:
        return shown or NO_KEY
    digest = hashlib.md5(encode(sorted(arguments.items())), usedforsecurity=False).digest()
    return f"{shown}~{base64.urlsafe_b64encode(digest[:4]).decode().rstrip('=')}"


BINDING = Document(
    "Binding",
    Field("source", STRING, lambda bound, request: bound.source),
    Field("vhost", STRING, lambda bound, request: bound.vhost),
    Field("destination", STRING, lambda bound, request: bound.destination),
    Field("destination_type", STRING, lambda bound, request: "exchange" if bound.to_exchange else "queue"),
    Field("routing_key", STRING, lambda bound, request: bound.key),
    Field("arguments", OBJECT, lambda bound, request: bound.arguments),
    Field("properties_key", STRING, lambda bound, request: properties_key(bound.key, bound.arguments)),
)


def _shown(vhost: VHost, binding: Binding) -> Bound:
    return Bound(
        vhost.name,
        binding.source.name,
        binding.destination.name,
        isinstance(binding.destination, Exchange),
        binding.key,
        binding.arguments,
    )


def _default(vhost: VHost, queue: Queue) -> Bound:
    return Bound(vhost.name, "", queue.name, False, queue.name, {})


def bindings_of_queue(vhost: VHost, queue: Queue) -> Iterator[Bound]:
    """Those that lead to a queue, the default one first."""
    yield _default(vhost, queue)
    for binding in list(vhost.bindings_to(queue)):
        yield _shown(vhost, binding)


def bindings_from(vhost: VHost, source: Exchange | None) -> Iterator[Bound]:
    """Those that lead from an exchange; None is the default one."""
    if source is None:
        for queue in list(vhost.queues.values()):
            yield _default(vhost, queue)
        return
    for binding in list(source.bindings.values()):
        yield _shown(vhost, binding)


def bindings_to(vhost: VHost, destination: Exchange | None) -> Iterator[Bound]:
    """Those that lead to an exchange; none leads to the default one."""
    if destination is not None:
        for binding in list(vhost.bindings_to(destination)):
            yield _shown(vhost, binding)


def _all(request: Request) -> Iterator[Bound]:
    for vhost in list(request.visible_vhosts()):
        yield from bindings_from(vhost, None)
        for source in list(vhost.exchanges.values()):
            yield from bindings_from(vhost, source)


def bindings(request: Request) -> Listing:
    if "vhost" in request.path:
        assert request.vhost, "404 before anything is shown"
    return Listing(_all(request), BINDING, in_order)


def between(request: Request) -> list[Bound]:
    """The bindings between the two that the path names. Raises 404 for a missing one of these."""
    vhost, to_exchange = request.vhost, request.path["kind"] == "e"
    source = request.exchange_named(request.path["source"])
    name = request.path["destination"]
    if request.path["kind"] not in ("q", "e") or name not in (
        vhost.exchanges if to_exchange else vhost.queues
    ):
        raise not_found()
    if source is None:
        return [] if to_exchange else [_default(vhost, vhost.queues[name])]
    found = vhost.bindings_to(vhost.exchanges[name] if to_exchange else vhost.queues[name])
    return [_shown(vhost, binding) for binding in list(found) if binding.source is source]


def bindings_between(request: Request) -> Listing:
    return Listing(between(request), BINDING, in_order)


def binding_of(request: Request) -> Bound:
    """The binding that the path names. Raises 404."""
    wanted = request.path["properties"]
    keyed = [(properties_key(bound.key, bound.arguments), bound) for bound in between(request)]
    # Clients send it as it was shown, which is encoded, or encoded once more: which comes first, since it may
    # be what another one is without its encoding.
    for written in (str, unquote):
        for own, bound in keyed:
            if wanted == written(own):
                return bound
    raise not_found()


def binding(request: Request) -> Iterator[bytes]:
    return show(binding_of(request), BINDING, request)


_BETWEEN = "/bindings/{vhost}/e/{source}/{kind}/{destination}"
ROUTES = (
    Route("GET", "/bindings", bindings, MANAGEMENT, "All bindings.", Many(BINDING), parameters=LISTING),
    Route(
        "GET",
        "/bindings/{vhost}",
        bindings,
        SEES,
        "The bindings of a virtual host.",
        Many(BINDING),
        parameters=LISTING,
    ),
    Route(
        "GET",
        _BETWEEN,
        bindings_between,
        SEES,
        "The bindings between an exchange and a queue (kind q) or another exchange (e).",
        Many(BINDING),
        parameters=LISTING,
    ),
    Route(
        "GET",
        _BETWEEN + "/{properties}",
        binding,
        SEES,
        "One binding, by its `properties_key`.",
        BINDING,
        parameters=COLUMNS,
    ),
)
