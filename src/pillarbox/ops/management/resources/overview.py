"""The broker as a whole: /overview, /cluster-name, /extensions, /version (R110)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pillarbox.broker.client import NODE_NAME
from pillarbox.broker.counters import ChurnCounters
from pillarbox.broker.routing import KINDS
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import ABSENT, BOOLEAN, INTEGER, OBJECT, STRING, Document, Field, array
from pillarbox.ops.management.listing import show
from pillarbox.ops.management.routes import COLUMNS, DOCUMENT, MANAGEMENT, SAMPLES, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pillarbox.broker.counters import Counters
    from pillarbox.ops.management.request import Request

CHURN = tuple(stats.Measure(name) for name in ChurnCounters.NAMES)
RETENTION = {"basic": [600], "detailed": [600], "global": [600, 3600, 28800, 86400]}
"""How long samples are kept, in seconds: of things, and of the broker and its virtual hosts."""


class Totals:
    """What is added up over the virtual hosts that a user may see, once per request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.vhosts = list(request.visible_vhosts())
        # Of all together the broker has samples of its own, which also know virtual hosts that are gone.
        self._all = len(self.vhosts) == len(request.core.vhosts)
        self.counters: list[Counters] = (
            [request.core.churn] if self._all else [vhost.past_channels for vhost in self.vhosts]
        )

    @cached_property
    def values(self) -> dict[str, int]:
        sampler = self._request.sampler
        return sampler.totals_of_all() if self._all else sampler.totals(self.vhosts)


def exchange_types() -> list[dict[str, Any]]:
    return [
        {"name": name, "description": f"AMQP exchange of type {name}", "enabled": True}
        for name in sorted(KINDS)
    ]


def contexts(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "description": "Pillarbox management",
            "path": "/",
            "ip": bound.host,
            "port": str(bound.port),
            "cowboy_opts": "[]",
        }
        for bound in request.node.listeners
        if bound.protocol == "http"
    ]


def _contexts_here(request: Request) -> list[dict[str, Any]]:
    return [{**context, "node": request.node.name, "ssl_opts": []} for context in contexts(request)]


def listeners(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "node": request.node.name,
            "protocol": bound.protocol,
            "ip_address": bound.host,
            "port": bound.port,
            "socket_opts": {},
        }
        for bound in request.node.listeners
    ]


def cluster_name(request: Request) -> str:
    name = request.core.global_parameters.get("cluster_name")
    return name if isinstance(name, str) else NODE_NAME


def _message_stats(totals: Totals, request: Request) -> Any:
    found = stats.message_stats(stats.OF_CHANNEL, totals.values, totals.counters, request)
    return {} if found is ABSENT else found


def _queue_totals(totals: Totals, request: Request) -> Any:
    return stats.measured(stats.QUEUE_TOTALS, totals.values, totals.counters, stats.LENGTHS, request)


def _churn(totals: Totals, request: Request) -> Any:
    churn = request.core.churn
    return stats.measured(CHURN, stats.values_of(churn), (churn,), stats.DATA, request)


def _object_totals(totals: Totals, request: Request) -> dict[str, int]:
    sessions = [one for one in request.core.sessions if request.sees_session(one)]
    return {
        "connections": len(sessions),
        "channels": sum([len(one.channels) for one in sessions]),
        "consumers": sum([len(channel.consumers) for one in sessions for channel in one.channels]),
        # The default exchange is one of them, as it is in lists.
        "exchanges": sum([len(vhost.exchanges) + 1 for vhost in totals.vhosts]),
        "queues": sum([len(vhost.queues) for vhost in totals.vhosts]),
    }


def _for_monitors(get: Callable[[Request], Any]) -> Callable[[Totals, Request], Any]:
    return lambda totals, request: get(request) if request.monitors else ABSENT


# fmt: off
OVERVIEW = Document(
    "Overview",
    Field("product_name", STRING, lambda t, r: "RabbitMQ"),
    Field("product_version", STRING, lambda t, r: r.node.version),
    Field("rabbitmq_version", STRING, lambda t, r: r.node.version),
    Field("management_version", STRING, lambda t, r: r.node.version),
    Field("erlang_version", STRING, lambda t, r: r.node.runtime.partition(" ")[2]),
    Field("erlang_full_version", STRING, lambda t, r: r.node.runtime),
    Field("release_series_support_status", STRING, lambda t, r: "supported"),
    Field("cluster_name", STRING, lambda t, r: cluster_name(r)),
    Field("rates_mode", STRING, lambda t, r: "basic"),
    Field("sample_retention_policies", OBJECT, lambda t, r: RETENTION),
    Field("exchange_types", array(OBJECT), lambda t, r: exchange_types()),
    Field("disable_stats", BOOLEAN, lambda t, r: r.flag("disable_stats")),
    Field("enable_queue_totals", BOOLEAN, lambda t, r: r.flag("enable_queue_totals")),
    Field("message_stats", stats.schema_of(*stats.OF_CHANNEL), _message_stats),
    Field("churn_rates", stats.schema_of(CHURN), _churn),
    Field("queue_totals", stats.schema_of(stats.QUEUE_TOTALS), _queue_totals),
    Field("object_totals", OBJECT, _object_totals),
    Field("statistics_db_event_queue", INTEGER, lambda t, r: 0),
    Field("node", STRING, _for_monitors(lambda r: r.node.name)),
    Field("listeners", array(OBJECT), _for_monitors(listeners)),
    Field("contexts", array(OBJECT), _for_monitors(_contexts_here)),
)
# fmt: on


def overview(request: Request) -> Iterator[bytes]:
    return show(Totals(request), OVERVIEW, request)


def name(request: Request) -> dict[str, Any]:
    return {"name": cluster_name(request)}


def extensions(request: Request) -> list[Any]:
    """Of RabbitMQ's own page: what draws it, and nothing besides."""
    return [{"javascript": "dispatcher.js"}]


def version(request: Request) -> str:
    return request.node.version


_NAME = {"type": "object", "properties": {"name": STRING}}
ROUTES = (
    Route(
        "GET",
        "/overview",
        overview,
        MANAGEMENT,
        "The broker at a glance.",
        OVERVIEW,
        parameters=(*COLUMNS, *SAMPLES),
    ),
    Route("GET", "/cluster-name", name, MANAGEMENT, "The name that clients are told.", _NAME),
    Route("GET", "/extensions", extensions, MANAGEMENT, "Extensions of the page.", array(DOCUMENT)),
    Route("GET", "/version", version, MANAGEMENT, "The release that the broker stands in for.", STRING),
)
