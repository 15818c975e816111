"""Messages over HTTP: publish one, get some, move all of a queue to another.

For a look and for small tools: whoever has many messages uses a client. Source: RabbitMQ's management API,
texts measured on 3.10.8; /move is ours. Rows R111, R112.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.export_definitions import plain
from pillarbox.ops.management.fields import BOOLEAN, INTEGER, array, encode
from pillarbox.ops.management.listing import in_steps
from pillarbox.ops.management.request import Answer, HttpError, bad_request, demand_name, table_of
from pillarbox.ops.management.routes import DOCUMENT, ENTERS, Route
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.wire_tables import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillarbox.ops.management.local_client import Got, LocalClient
    from pillarbox.ops.management.request import Request

GET_BYTES_MAX = 32 << 20
"""Of one answer: what goes beyond stays in the queue."""
STEP_MESSAGES = 100
"""Messages of a step of an answer."""
MOVE_MESSAGES = 100
"""Messages moved at a stretch, before they are confirmed and leave their queue."""

REQUEUES = {
    "ack_requeue_true": True,
    "ack_requeue_false": None,
    "reject_requeue_true": True,
    "reject_requeue_false": False,
}
"""What becomes of the messages: back to their place, acknowledged (None), or rejected."""


class PublishBody(msgspec.Struct):
    """A message, and where it goes."""

    properties: dict[str, Any] | list[Any]
    routing_key: str
    payload: str
    payload_encoding: str


class GetBody(msgspec.Struct):
    """How many messages to get, in which form, and what becomes of them."""

    count: int
    ackmode: str
    encoding: str
    truncate: int | None = None


class MoveBody(msgspec.Struct):
    """Which queue of the same virtual host takes the messages."""

    destination: str


def _client(request: Request) -> LocalClient:
    return request.client(request.vhost.name)


def _properties(given: dict[str, Any] | list[Any]) -> bytes:
    """Raises 400. What is no property is ignored, as RabbitMQ does."""
    known = {name: value for name, value in table_of(given).items() if name in wire.Properties._fields}
    if known.get("headers") == []:
        del known["headers"]
    try:
        return wire.encode_properties(wire.Properties(**known))
    except (WireError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise bad_request(f"properties: {error}") from None


def _payload(text: str, encoding: str) -> bytes:
    if encoding == "string":
        return text.encode()
    if encoding != "base64":
        raise bad_request(f"unsupported payload_encoding '{encoding}': string or base64")
    try:
        # With line ends, which base64 has by default in many a shell and library, as RabbitMQ takes it.
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise bad_request("payload is not base64") from None


async def publish(request: Request) -> dict[str, Any]:
    """Answered when the message is safe; `routed`: a queue has taken it."""
    body: PublishBody = request.body
    properties = _properties(body.properties)
    payload = _payload(body.payload, body.payload_encoding)
    exchange = request.path["exchange"]
    demand_name(body.routing_key, "routing key")
    with _client(request) as client:
        await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
        try:
            client.publish(
                "" if exchange == "amq.default" else exchange, body.routing_key, properties, payload
            )
            return {"routed": await client.confirmed()}
        except HttpError as error:
            if error.status == 404:
                raise bad_request(f"404 {error.document['reason']}") from None
            raise


async def get(request: Request) -> Answer:
    """Some messages from the head of the queue."""
    body: GetBody = request.body
    if body.encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    if body.ackmode not in REQUEUES:
        raise bad_request(f"unsupported ackmode '{body.ackmode}': one of {', '.join(REQUEUES)}")
    queue = request.queue.name
    # As they will be sent, which takes a fifth of the memory: there may be a hundred thousand.
    found: list[bytes] = []
    size = 0
    with _client(request) as client:
        tag = 0
        while len(found) < body.count and size < GET_BYTES_MAX:
            got = await client.get(queue)
            if got is None:
                break
            found.append(encode(_shown(got, body)))
            tag, size = got.tag, size + len(found[-1])
        requeue = REQUEUES[body.ackmode]
        if tag and requeue is None:
            client.cast(methods.BASIC_ACK, tag, True)
        elif tag:
            client.cast(methods.BASIC_NACK, tag, True, requeue)
    return Answer(200, _rendered(found))


def _rendered(found: list[bytes]) -> Iterator[bytes]:
    yield b"["
    separator = b""
    for step in in_steps(found, STEP_MESSAGES):
        yield separator + b",".join(step)
        separator = b","
    yield b"]"


def _shown(got: Got, body: GetBody) -> dict[str, Any]:
    payload = got.body[: body.truncate] if body.truncate is not None else got.body
    text: str | None = None
    if body.encoding == "auto":
        with contextlib.suppress(UnicodeDecodeError):
            text = payload.decode()
    properties = {
        name: plain(value)
        for name, value in wire.decode_properties(got.properties)._asdict().items()
        if value is not None
    }
    return {
        "payload_bytes": len(got.body),
        "redelivered": got.redelivered,
        "exchange": got.exchange,
        "routing_key": got.routing_key,
        "message_count": got.left,
        "properties": properties or [],
        "payload": base64.b64encode(payload).decode() if text is None else text,
        "payload_encoding": "base64" if text is None else "string",
    }


async def move(request: Request) -> dict[str, int]:
    """Move what is ready now, in order, to another queue; a message leaves when the other one has it safe."""
    source, destination = request.queue, request.body.destination
    if destination not in request.vhost.queues:
        raise HttpError(404, "not_found", f"no queue '{destination}' in vhost '{request.vhost.name}'")
    if destination == source.name:
        raise bad_request("a queue cannot be moved to itself")
    left, moved = source.ready_count, 0
    with _client(request) as client:
        await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
        while left:
            # Each is published once, so the number of its confirm is the tag under which it was got.
            tags: list[int] = []
            while len(tags) < min(left, MOVE_MESSAGES) and (got := await client.get(source.name)) is not None:
                tags.append(got.tag)
                client.publish("", destination, got.properties, got.body)
            if not tags:
                break
            refused = await client.refused()
            for tag in tags if refused else ():
                if tag not in refused:
                    client.cast(methods.BASIC_ACK, tag, False)
            left, moved = left - len(tags), moved + len(tags) - len(refused)
            if refused:
                # What is not answered goes back to its place.
                raise bad_request(f"queue '{destination}' refused some of the messages; {moved} were moved")
            client.cast(methods.BASIC_ACK, tags[-1], True)
    return {"moved": moved}


ROUTES = (
    Route(
        "POST",
        "/exchanges/{vhost}/{exchange}/publish",
        publish,
        ENTERS,
        "Publish a message.",
        {"type": "object", "properties": {"routed": BOOLEAN}},
        body=PublishBody,
    ),
    Route(
        "POST",
        "/queues/{vhost}/{queue}/get",
        get,
        ENTERS,
        "Get messages from a queue.",
        array(DOCUMENT),
        body=GetBody,
    ),
    Route(
        "POST",
        "/queues/{vhost}/{queue}/move",
        move,
        ENTERS,
        "Move the messages of a queue to another.",
        {"type": "object", "properties": {"moved": INTEGER}},
        body=MoveBody,
    ),
)
