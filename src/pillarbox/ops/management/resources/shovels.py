"""What shovels do: /shovels. They are set as parameters (`parameters`). Row R143.

Source: RabbitMQ's plugin rabbitmq_shovel_management, measured on 3.10.8; what it shows of one that does not
run is less, and its path of one shovel answers with all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pillarbox.clock import iso_time
from pillarbox.ops.management.fields import ABSENT, STRING, Document, Field
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import not_found
from pillarbox.ops.management.routes import LISTING, MONITORING, POLICIES, Many, Route
from pillarbox.ops.shovel.shovels import COMPONENT

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request
    from pillarbox.ops.shovel.worker import Worker

PROTOCOL = "amqp091"


def _timestamp(worker: Worker, request: Request) -> str:
    """As RabbitMQ writes it: `2026-11-29 8:15:51`."""
    date, _, time = iso_time(worker.changed_ms).partition("T")
    return f"{date} {time.partition('.')[0].removeprefix('0')}"


def _end(name: str) -> Callable[[Worker, Request], Any]:
    key = name.replace("_", "-")
    return lambda worker, request: worker.ends().get(key, ABSENT)


SHOVEL = Document(
    "Shovel",
    Field("node", STRING, lambda worker, request: request.node.name),
    Field("timestamp", STRING, _timestamp),
    Field("name", STRING, lambda worker, request: worker.name),
    Field("vhost", STRING, lambda worker, request: worker.vhost),
    Field("type", STRING, lambda worker, request: "dynamic"),
    Field("state", STRING, lambda worker, request: worker.state),
    Field("reason", STRING, lambda worker, request: worker.reason or ABSENT),
    Field("src_protocol", STRING, lambda worker, request: PROTOCOL),
    Field("dest_protocol", STRING, lambda worker, request: PROTOCOL),
    *(
        Field(name, STRING, _end(name))
        for side in ("src", "dest")
        for name in (f"{side}_uri", f"{side}_queue", f"{side}_exchange", f"{side}_exchange_key")
    ),
)


def _found(request: Request) -> list[Worker]:
    visible = {vhost.name for vhost in request.visible_vhosts()}
    return [worker for (vhost, _), worker in request.node.shovels.workers.items() if vhost in visible]


def show_all(request: Request) -> Listing:
    return Listing(_found(request), SHOVEL, lambda worker: (worker.vhost, worker.name))


def show_one(request: Request) -> Iterator[bytes]:
    for worker in _found(request):
        if worker.name == request.path["name"]:
            return show(worker, SHOVEL, request)
    raise not_found()


def remove(request: Request) -> None:
    """The parameter goes, so it does not come back."""
    if not request.core.parameters.remove(request.vhost, COMPONENT, request.path["name"]):
        raise not_found()


def restart(request: Request) -> None:
    if not request.node.shovels.restart(request.vhost.name, request.path["name"]):
        raise not_found()


_ONE = "/shovels/vhost/{vhost}/{name}"

ROUTES = (
    Route("GET", "/shovels", show_all, MONITORING, "All shovels.", Many(SHOVEL), parameters=LISTING),
    Route(
        "GET",
        "/shovels/{vhost}",
        show_all,
        MONITORING,
        "The shovels of a virtual host.",
        Many(SHOVEL),
        parameters=LISTING,
    ),
    Route("GET", _ONE, show_one, MONITORING, "A shovel.", SHOVEL),
    Route("DELETE", _ONE, remove, POLICIES, "End a shovel and remove its parameter.", status=204),
    Route("DELETE", f"{_ONE}/restart", restart, POLICIES, "Let a shovel begin anew.", status=204),
)
