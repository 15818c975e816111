"""Is the broker well? /health/checks, /aliveness-test, /healthchecks.

200 with `"status": "ok"`, or 503 with `"status": "failed"` and a reason. What asks about nodes that a cluster
would miss is answered for the one node that there is.

Source: RabbitMQ's management API; measured on 3.10.8, checks of later releases from their manual. Row R117.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pillarbox.broker.alarms import DISK, MEMORY
from pillarbox.certificates import ends_s
from pillarbox.config import TLS_PAIRS
from pillarbox.ops.management.request import Answer, bad_request
from pillarbox.ops.management.routes import DOCUMENT, ENTERS, MANAGEMENT, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

OK: Mapping[str, Any] = {"status": "ok"}
SINGLE: Mapping[str, Any] = {"status": "ok", "reason": "single node cluster"}

DAY_MS = 86_400_000
DAYS = {"days": 1, "weeks": 7, "months": 30, "years": 365}
"""Units of time in which certificates are asked about, as RabbitMQ counts them."""

ALIVENESS_QUEUE = "aliveness-test"


def _failed(reason: str, **more: Any) -> Answer:
    return Answer(503, {"status": "failed", "reason": reason, **more})


def alarms(request: Request) -> Any:
    """No resource is short, and what is stored can be stored."""
    core = request.core
    if core.failure is not None:
        return _failed(core.failure, alarms=[])
    if core.alarm is not None:
        found = [
            {"node": request.node.name, "resource": resource}
            for resource in (DISK, MEMORY)
            if resource in core.alarms
        ]
        return _failed(f"There are alarms in effect in the cluster: {core.alarm}", alarms=found)
    return OK


def certificates(request: Request) -> Any:
    """No certificate of a listener is over within this time."""
    try:
        within, unit = int(request.path["within"]), DAYS[request.path["unit"]]
    except (ValueError, KeyError):
        raise bad_request("Invalid expiration value.") from None
    expired = []
    for path in filter(None, (getattr(request.node.config, each) for each, _ in TLS_PAIRS)):
        left = _days_left(path, request.now_ms)
        if left < within * unit:
            expired.append({"cert": str(path), "days_left": left})
    return _failed("Certificates expiring", expired=expired) if expired else OK


def _days_left(path: str, now_ms: int) -> int:
    """Whole days until a certificate is over; below 0: it is. So is one that is not there any more: whoever
    starts again with it would find out."""
    try:
        return (ends_s(Path(path).read_text("latin-1")) * 1000 - now_ms) // DAY_MS
    except (OSError, ValueError):
        return -1


def port_listener(request: Request) -> Any:
    """Something listens on this port."""
    ports = [bound.port for bound in request.node.listeners]
    try:
        wanted = int(request.path["port"])
    except ValueError:
        raise bad_request("Invalid port") from None
    if wanted not in ports:
        return _failed("No active listener", missing=wanted, ports=ports)
    return {**OK, "port": wanted}


def protocol_listener(request: Request) -> Any:
    """Something speaks this protocol."""
    protocols = list(dict.fromkeys(bound.protocol for bound in request.node.listeners))
    wanted = request.path["protocol"]
    if wanted not in protocols:
        return _failed("No active listener", missing=wanted, protocols=protocols)
    return {**OK, "protocol": wanted}


def aliveness(request: Request) -> Any:
    """Queues can be declared. Leaves the queue `aliveness-test`, as RabbitMQ does."""
    request.vhost.declare_queue(None, ALIVENESS_QUEUE, durable=False, auto_delete=False, arguments={})
    return alarms(request)


def connections(request: Request) -> Any:
    """One more client would be let in."""
    limit, open_ = request.node.config.connection_max, len(request.core.sessions)
    told = {"limit": limit or "infinity", "connections": open_}
    if limit and open_ >= limit:
        return _failed("node connection limit is reached", **told)
    return {**OK, **told}


def _constant(answer: Mapping[str, Any]) -> Callable[[Request], Any]:
    return lambda request: answer


_CHECKS: tuple[tuple[str, Callable[[Request], Any], str], ...] = (
    ("alarms", alarms, "No resource is short."),
    ("local-alarms", alarms, "No resource is short on this node."),
    ("certificate-expiration/{within}/{unit}", certificates, "No certificate is over soon."),
    ("port-listener/{port}", port_listener, "Something listens on this port."),
    ("protocol-listener/{protocol}", protocol_listener, "Something speaks this protocol."),
    ("virtual-hosts", _constant(OK), "All virtual hosts run."),
    ("node-is-quorum-critical", _constant(SINGLE), "Queues would do without this node: there is no other."),
    (
        "node-is-mirror-sync-critical",
        _constant(SINGLE),
        "Mirrors would do without this node: there are none.",
    ),
    ("ready-to-serve-clients", alarms, "Clients can work."),
    ("is-in-service", _constant(OK), "The node is not in maintenance."),
    ("below-node-connection-limit", connections, "One more connection would be accepted."),
    ("metadata-store/initialized", _constant(OK), "Definitions are there."),
    ("metadata-store/initialized/with-data", _constant(OK), "Definitions are there."),
    ("quorum-queues-without-elected-leaders/all-vhosts", _constant(OK), "Every quorum queue works."),
    ("quorum-queues-without-elected-leaders/vhost/{vhost}", _constant(OK), "Every quorum queue works."),
)

ROUTES = (
    *(
        Route("GET", f"/health/checks/{path}", handler, MANAGEMENT, summary, DOCUMENT)
        for path, handler, summary in _CHECKS
    ),
    Route(
        "GET", "/aliveness-test/{vhost}", aliveness, ENTERS, "A queue of this virtual host works.", DOCUMENT
    ),
    Route("GET", "/healthchecks/node", alarms, MANAGEMENT, "The node is well.", DOCUMENT),
    Route("GET", "/healthchecks/node/{node}", alarms, MANAGEMENT, "The node is well.", DOCUMENT),
)
