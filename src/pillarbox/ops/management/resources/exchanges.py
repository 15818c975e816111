"""Exchanges: /exchanges and what is below, to read (R112)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import (
    ABSENT,
    ANY,
    BOOLEAN,
    OBJECT,
    STRING,
    Absent,
    Document,
    Field,
    Level,
    array,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.resources.bindings import BINDING, bindings_from, bindings_to, in_order
from pillarbox.ops.management.routes import COLUMNS, LISTING, MANAGEMENT, SAMPLES, SEES, STATS, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.counters import ExchangeCounters
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

_NO_ARGUMENTS: dict[str, Any] = {}
OWN = "amq."
"""Names that begin so are the broker's; so is the empty one."""


class Shown(NamedTuple):
    """An exchange and where it is; None is the default one."""

    vhost: VHost
    exchange: Exchange | None

    @property
    def name(self) -> str:
        return "" if self.exchange is None else self.exchange.name

    @property
    def counters(self) -> ExchangeCounters:
        return self.vhost.default_exchange if self.exchange is None else self.exchange.counters


def _policy(shown: Shown, request: Request) -> str | Absent:
    policy = None if shown.exchange is None else shown.exchange.applied.policy
    return ABSENT if policy is None else policy.name


def _message_stats(shown: Shown, request: Request) -> Any:
    counters = shown.counters
    return stats.message_stats(stats.OF_EXCHANGE, stats.values_of(counters), (counters,), request)


def _maker(shown: Shown, request: Request) -> str:
    """Who made it is not kept; the broker's own are."""
    is_own = shown.exchange is None or shown.name.startswith(OWN)
    return "rmq-internal" if is_own else "unknown"


# fmt: off
EXCHANGE = Document(
    "Exchange",
    Field("name", STRING, lambda s, r: s.name),
    Field("vhost", STRING, lambda s, r: s.vhost.name),
    Field("type", STRING, lambda s, r: "direct" if s.exchange is None else s.exchange.kind),
    Field("durable", BOOLEAN, lambda s, r: s.exchange is None or s.exchange.durable),
    Field("auto_delete", BOOLEAN, lambda s, r: s.exchange is not None and s.exchange.auto_delete),
    Field("internal", BOOLEAN, lambda s, r: s.exchange is not None and s.exchange.internal),
    Field("arguments", OBJECT, lambda s, r: _NO_ARGUMENTS if s.exchange is None else s.exchange.arguments),
    Field("policy", STRING, _policy),
    Field("user_who_performed_action", STRING, _maker),
    Field("message_stats", stats.schema_of(*stats.OF_EXCHANGE), _message_stats, Level.STATS),
    Field("incoming", array(ANY), lambda s, r: [], Level.DETAIL),
    Field("outgoing", array(ANY), lambda s, r: [], Level.DETAIL),
)
# fmt: on


def _all(request: Request) -> Iterator[Shown]:
    for vhost in list(request.visible_vhosts()):
        yield Shown(vhost, None)
        for exchange in list(vhost.exchanges.values()):
            yield Shown(vhost, exchange)


def exchanges(request: Request) -> Listing:
    if "vhost" in request.path:
        assert request.vhost, "404 before anything is shown"
    return Listing(_all(request), EXCHANGE, lambda shown: (shown.vhost.name, shown.name))


def exchange(request: Request) -> Iterator[bytes]:
    return show(Shown(request.vhost, request.exchange), EXCHANGE, request)


def bindings_of_source(request: Request) -> Listing:
    return Listing(bindings_from(request.vhost, request.exchange), BINDING, in_order)


def bindings_of_destination(request: Request) -> Listing:
    return Listing(bindings_to(request.vhost, request.exchange), BINDING, in_order)


_LISTED = (*LISTING, *STATS, *SAMPLES)
ROUTES = (
    Route("GET", "/exchanges", exchanges, MANAGEMENT, "All exchanges.", Many(EXCHANGE), parameters=_LISTED),
    Route(
        "GET",
        "/exchanges/{vhost}",
        exchanges,
        SEES,
        "The exchanges of a virtual host.",
        Many(EXCHANGE),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/exchanges/{vhost}/{exchange}",
        exchange,
        SEES,
        "An exchange; the default one is called amq.default.",
        EXCHANGE,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route(
        "GET",
        "/exchanges/{vhost}/{exchange}/bindings/source",
        bindings_of_source,
        SEES,
        "The bindings from an exchange.",
        Many(BINDING),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/exchanges/{vhost}/{exchange}/bindings/destination",
        bindings_of_destination,
        SEES,
        "The bindings to an exchange.",
        Many(BINDING),
        parameters=LISTING,
    ),
)
