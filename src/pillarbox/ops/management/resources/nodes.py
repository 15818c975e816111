"""The one node: /nodes and what is below (R110).

What RabbitMQ tells of Erlang, its database and its message stores is left out: there is nothing like it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pillarbox.broker.alarms import DISK, MEMORY
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import BOOLEAN, INTEGER, OBJECT, STRING, Document, Field, array
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import not_found
from pillarbox.ops.management.resources.overview import CHURN, contexts, exchange_types
from pillarbox.ops.management.routes import COLUMNS, DOCUMENT, LISTING, MONITORING, SAMPLES, Many, Route
from pillarbox.ops.resources import process_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pillarbox.ops.management.node import Node
    from pillarbox.ops.management.request import Request

_HOW = {
    "PLAIN": "SASL PLAIN authentication mechanism",
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "EXTERNAL": "SASL EXTERNAL authentication mechanism",
    "ANONYMOUS": "SASL ANONYMOUS authentication mechanism",
}


def _mechanisms(node: Node, request: Request) -> list[dict[str, Any]]:
    offered = node.config.auth_mechanisms or request.core.profile.mechanisms
    return [{"name": name, "description": text, "enabled": name in offered} for name, text in _HOW.items()]


def _applications(node: Node, request: Request) -> list[dict[str, Any]]:
    return [
        {"name": "rabbit", "description": "RabbitMQ", "version": node.version},
        {"name": "rabbitmq_management", "description": "Pillarbox management", "version": node.version},
    ]


def _gauge_rate(name: str) -> Callable[[Node, Request], Any]:
    measure = stats.Measure(name)
    return lambda node, request: stats.details(measure, (node.gauges,), stats.DATA, request)


def _churned(measure: stats.Measure) -> Callable[[Node, Request], int]:
    return lambda node, request: getattr(request.core.churn, measure.name)


def _churn_rate(measure: stats.Measure) -> Callable[[Node, Request], Any]:
    return lambda node, request: stats.details(measure, (request.core.churn,), stats.DATA, request)


# fmt: off
NODE = Document(
    "Node",
    Field("name", STRING, lambda n, r: n.name),
    Field("type", STRING, lambda n, r: "disc"),
    Field("running", BOOLEAN, lambda n, r: True),
    Field("uptime", INTEGER, lambda n, r: r.now_ms - n.started_ms),
    Field("os_pid", STRING, lambda n, r: str(os.getpid())),
    Field("processors", INTEGER, lambda n, r: os.cpu_count() or 1),
    Field("run_queue", INTEGER, lambda n, r: 0),
    Field("rates_mode", STRING, lambda n, r: "basic"),
    Field("partitions", array(STRING), lambda n, r: []),
    Field("cluster_links", array(OBJECT), lambda n, r: []),
    Field("net_ticktime", INTEGER, lambda n, r: 60),
    Field("mem_used", INTEGER, lambda n, r: process_bytes()),
    Field("mem_used_details", stats.DETAILS, _gauge_rate("mem_used")),
    Field("mem_limit", INTEGER, lambda n, r: n.watch.memory_max),
    Field("mem_alarm", BOOLEAN, lambda n, r: MEMORY in r.core.alarms),
    Field("mem_calculation_strategy", STRING, lambda n, r: "rss"),
    Field("disk_free", INTEGER, lambda n, r: n.watch.disk_free),
    Field("disk_free_details", stats.DETAILS, _gauge_rate("disk_free")),
    Field("disk_free_limit", INTEGER, lambda n, r: n.watch.disk_free_min),
    Field("disk_free_alarm", BOOLEAN, lambda n, r: DISK in r.core.alarms),
    Field("fd_used", INTEGER, lambda n, r: n.files_open),
    Field("fd_used_details", stats.DETAILS, _gauge_rate("fd_used")),
    Field("fd_total", INTEGER, lambda n, r: n.files_max),
    Field("sockets_used", INTEGER, lambda n, r: len(r.core.sessions)),
    Field("sockets_used_details", stats.DETAILS, _gauge_rate("sockets_used")),
    Field("sockets_total", INTEGER, lambda n, r: n.files_max),
    Field("proc_used", INTEGER, lambda n, r: 1),
    Field("proc_used_details", stats.DETAILS, lambda n, r: stats.no_rate(r)),
    Field("proc_total", INTEGER, lambda n, r: 1),
    Field("db_dir", STRING, lambda n, r: n.data),
    Field("config_files", array(STRING), lambda n, r: []),
    Field("log_files", array(STRING), lambda n, r: [n.config.log_file or "<stderr>"]),
    Field("enabled_plugins", array(STRING), lambda n, r: ["rabbitmq_management"]),
    Field("applications", array(OBJECT), _applications),
    Field("auth_mechanisms", array(OBJECT), _mechanisms),
    Field("exchange_types", array(OBJECT), lambda n, r: exchange_types()),
    Field("contexts", array(OBJECT), lambda n, r: contexts(r)),
    *(Field(one.name, INTEGER, _churned(one)) for one in CHURN),
    *(Field(f"{one.name}_details", stats.DETAILS, _churn_rate(one)) for one in CHURN),
)
# fmt: on


def _node(request: Request) -> Node:
    if request.path["node"] != request.node.name:
        raise not_found()
    return request.node


def nodes(request: Request) -> Listing:
    return Listing((request.node,), NODE)


def node(request: Request) -> Iterator[bytes]:
    return show(_node(request), NODE, request)


def memory(request: Request) -> dict[str, Any]:
    """What takes the memory, as far as that is counted."""
    _node(request)
    resident = process_bytes()
    messages = request.core.changes.resident_bytes
    return {
        "memory": {
            "binary": messages,
            "other_system": max(0, resident - messages),
            "strategy": "rss",
            "total": {"allocated": resident, "erlang": resident, "rss": resident},
        }
    }


ROUTES = (
    Route("GET", "/nodes", nodes, MONITORING, "The nodes: one.", Many(NODE), parameters=(*LISTING, *SAMPLES)),
    Route("GET", "/nodes/{node}", node, MONITORING, "The node.", NODE, parameters=(*COLUMNS, *SAMPLES)),
    Route("GET", "/nodes/{node}/memory", memory, MONITORING, "What takes the memory.", DOCUMENT),
)
