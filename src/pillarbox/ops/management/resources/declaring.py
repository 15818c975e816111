"""Making and removing queues, exchanges and bindings, and emptying queues.

What is shown of them: `queues`, `exchanges`, `bindings`. Source: RabbitMQ's management API; texts measured
on 3.10.8. Rows R111-R113.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from pillarbox.ops.management.fields import BOOLEAN
from pillarbox.ops.management.request import (
    CREATED,
    DEFAULT_EXCHANGE_SHOWN,
    Answer,
    bad_request,
    demand_name,
    not_found,
    table_of,
)
from pillarbox.ops.management.resources.bindings import Bound, binding_of, properties_key
from pillarbox.ops.management.routes import ENTERS, Parameter, Route
from pillarbox.ops.management.visit import visit

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

ACTIONS = ("sync", "cancel_sync")
"""What was to be done to mirrors; there are none, so it is done at once."""


class QueueBody(msgspec.Struct):
    """How a queue is declared."""

    durable: bool = False
    auto_delete: bool = False
    exclusive: bool = False
    arguments: dict[str, Any] | list[Any] = {}


class ExchangeBody(msgspec.Struct):
    """How an exchange is declared."""

    type: str = "direct"
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: dict[str, Any] | list[Any] = {}


class BindingBody(msgspec.Struct):
    """Which messages a binding is for."""

    routing_key: str = ""
    arguments: dict[str, Any] | list[Any] = {}


class Action(msgspec.Struct):
    """What is to be done to a queue."""

    action: str


def _new(made: bool) -> Answer | None:
    return CREATED if made else None


def put_queue(request: Request) -> Answer | None:
    body: QueueBody = request.body
    name = demand_name(request.path["queue"], "queue")
    new = name not in request.vhost.queues
    with visit(request) as session:
        session.declare_queue(
            name,
            durable=body.durable,
            exclusive=body.exclusive,
            auto_delete=body.auto_delete,
            arguments=table_of(body.arguments),
        )
    return _new(new)


def remove_queue(request: Request) -> None:
    name = request.queue.name
    with visit(request) as session:
        session.delete_queue(name, if_unused=request.flag("if-unused"), if_empty=request.flag("if-empty"))


async def purge(request: Request) -> None:
    name = request.queue.name
    with visit(request) as session:
        session.purge_queue(name)
    await request.work.done()


def act(request: Request) -> None:
    if request.queue and request.body.action not in ACTIONS:
        raise bad_request(f"unknown action '{request.body.action}': one of {', '.join(ACTIONS)}")


def put_exchange(request: Request) -> Answer | None:
    body: ExchangeBody = request.body
    name = demand_name(request.path["exchange"], "exchange")
    new = not request.vhost.has_exchange(name)
    with visit(request) as session:
        session.declare_exchange(
            _named(name),
            body.type,
            durable=body.durable,
            auto_delete=body.auto_delete,
            internal=body.internal,
            arguments=table_of(body.arguments),
        )
    return _new(new)


def remove_exchange(request: Request) -> None:
    exchange = request.exchange
    with visit(request) as session:
        session.delete_exchange(exchange.name if exchange else "", if_unused=request.flag("if-unused"))


def _bind(request: Request, bound: Bound, *, add: bool) -> None:
    with visit(request) as session:
        change = session.bind_exchange if bound.to_exchange else session.bind_queue
        change(bound.destination, bound.source, bound.key, bound.arguments, add=add)


def add_binding(request: Request) -> Answer:
    body: BindingBody = request.body
    path = request.path
    if path["kind"] not in ("q", "e"):
        raise not_found()
    source, destination = _named(path["source"]), path["destination"]
    demand_name(body.routing_key, "routing key")
    arguments = table_of(body.arguments)
    bound = Bound(request.vhost.name, source, destination, path["kind"] == "e", body.routing_key, arguments)
    _bind(request, bound, add=True)
    parts = destination, properties_key(body.routing_key, arguments)
    return Answer(201, b"", {"location": "/".join([quote(part, safe="") for part in parts])})


def remove_binding(request: Request) -> None:
    _bind(request, binding_of(request), add=False)


def _named(name: str) -> str:
    return "" if name == DEFAULT_EXCHANGE_SHOWN else name


_QUEUE = "/queues/{vhost}/{queue}"
_EXCHANGE = "/exchanges/{vhost}/{exchange}"
_BETWEEN = "/bindings/{vhost}/e/{source}/{kind}/{destination}"
_IF_UNUSED = Parameter("if-unused", BOOLEAN, "Only if nobody uses it.")
_IF_EMPTY = Parameter("if-empty", BOOLEAN, "Only if it has no message.")

ROUTES = (
    Route("PUT", _QUEUE, put_queue, ENTERS, "Declare a queue.", body=QueueBody, status=201),
    Route(
        "DELETE",
        _QUEUE,
        remove_queue,
        ENTERS,
        "Delete a queue.",
        parameters=(_IF_UNUSED, _IF_EMPTY),
        status=204,
    ),
    Route("DELETE", f"{_QUEUE}/contents", purge, ENTERS, "Remove all ready messages of a queue.", status=204),
    Route("POST", f"{_QUEUE}/actions", act, ENTERS, "Do something to a queue.", body=Action, status=204),
    Route("PUT", _EXCHANGE, put_exchange, ENTERS, "Declare an exchange.", body=ExchangeBody, status=201),
    Route(
        "DELETE",
        _EXCHANGE,
        remove_exchange,
        ENTERS,
        "Delete an exchange.",
        parameters=(_IF_UNUSED,),
        status=204,
    ),
    Route("POST", _BETWEEN, add_binding, ENTERS, "Bind the two.", body=BindingBody, status=201),
    Route("DELETE", f"{_BETWEEN}/{{properties}}", remove_binding, ENTERS, "Remove a binding.", status=204),
)
