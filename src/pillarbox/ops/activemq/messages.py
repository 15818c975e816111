"""ActiveMQ's API for messages over HTTP: POST sends one, GET and DELETE take one (A80).

    POST   /api/message/orders?type=queue          body=hello, or the body as it is
    GET    /api/message/orders?type=queue&readTimeout=1000
    DELETE /api/message?destination=queue://orders

A message is gone when it has been taken: the answer may be lost behind it, as with ActiveMQ. A topic is heard
for as long as a request waits, and no longer. Source: ActiveMQ's documentation, "REST"; row A80.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from pillarbox.ops.activemq.view import View
from pillarbox.ops.management.local_client import Got
from pillarbox.ops.management.request import Answer, HttpError, bad_request
from pillarbox.ops.messaging.seen import TOPICS
from pillarbox.protocols.amqp091 import methods, wire

READ_TIMEOUT_MS: Final = 20_000
"""Where the client says nothing, as with ActiveMQ."""
READ_TIMEOUT_MAX_MS: Final = 300_000
FORM: Final = "application/x-www-form-urlencoded"
PLAIN: Final = "text/plain; charset=utf-8"
OF_THE_REQUEST: Final = frozenset(
    ("body", "type", "destination", "clientId", "oneShot", "readTimeout", "sync")
)
"""Parameters that are none of the message."""


class Place(NamedTuple):
    """Where messages go and come from."""

    is_topic: bool
    name: str


def place(path: str, query: Mapping[str, str]) -> Place:
    """What a request names. Raises 400."""
    kind, name = query.get("type", "queue"), path.strip("/").replace("/", ".")
    if destination := query.get("destination"):
        kind, scheme, name = destination.partition("://")
        if not scheme:
            kind, name = query.get("type", "queue"), destination
    if not name or kind not in ("queue", "topic"):
        raise bad_request("No destination: say /api/message/NAME?type=queue, or destination=queue://NAME")
    return Place(kind == "topic", name)


async def send(
    view: View, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Answer:
    """Answered when the message is safe."""
    to = place(path, query)
    said = dict(query)
    if headers.get("content-type", FORM).partition(";")[0].strip() == FORM:
        said |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        body = said.get("body", "").encode()
    name = f"ID:pillarbox-{secrets.token_hex(8)}"
    others = {key: value for key, value in said.items() if key not in OF_THE_REQUEST and key[:3] != "JMS"}
    live_ms = said.get("JMSTimeToLive", "")
    priority = said.get("JMSPriority", "")
    properties = wire.Properties(
        headers=others or None,
        delivery_mode=1 if said.get("JMSDeliveryMode", "").lower() in ("1", "non_persistent") else 2,
        correlation_id=said.get("JMSCorrelationID"),
        reply_to=said.get("JMSReplyTo"),
        type=said.get("JMSType"),
        priority=int(priority) if priority.isdecimal() and len(priority) < 3 else None,
        expiration=live_ms if live_ms.isdecimal() and int(live_ms) else None,
        message_id=name,
    )
    with view.client() as client:
        await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
        if not to.is_topic:
            await _declare(view, to.name)
        client.publish(TOPICS if to.is_topic else "", to.name, wire.encode_properties(properties), body)
        taken = await client.confirmed()
    if not taken and not to.is_topic:
        raise HttpError(503, "service_unavailable", "the queue has refused the message")
    return Answer(200, b"Message sent", {"messageID": name}, PLAIN)


async def take(view: View, path: str, query: Mapping[str, str]) -> Answer:
    """The next message, or 204 when none has come in time."""
    source = place(path, query)
    text = query.get("readTimeout", str(READ_TIMEOUT_MS))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad_request("readTimeout must be a number of milliseconds")
    timeout_ms = int(text)
    with view.client() as client:
        if source.is_topic:
            (queue, *_) = await client.call(
                methods.QUEUE_DECLARE,
                *(0, "", False, False, True, True, False, {}),
                answer=methods.QUEUE_DECLARE_OK,
            )
            await client.call(
                methods.QUEUE_BIND, *(0, queue, TOPICS, source.name, False, {}), answer=methods.QUEUE_BIND_OK
            )
        else:
            queue = source.name
            await _declare(view, queue)
        await client.call(methods.BASIC_QOS, 0, 1, False, answer=methods.BASIC_QOS_OK)
        client.cast(methods.BASIC_CONSUME, 0, queue, "http", False, False, False, True, {})
        try:
            async with asyncio.timeout(min(timeout_ms, READ_TIMEOUT_MAX_MS) / 1000):
                got = await client.delivered()
        except TimeoutError:
            return Answer(204)
        client.cast(methods.BASIC_ACK, got.tag, False)
    return _told(got)


async def _declare(view: View, queue: str) -> None:
    """Make a queue if it is missing, as ActiveMQ does."""
    if queue not in view.queues:
        with view.client() as client:
            await client.call(
                methods.QUEUE_DECLARE,
                *(0, queue, False, True, False, False, False, {}),
                answer=methods.QUEUE_DECLARE_OK,
            )


def _told(got: Got) -> Answer:
    said = wire.decode_properties(got.properties)
    headers = {
        "destination": f"queue://{got.routing_key}" if not got.exchange else f"topic://{got.routing_key}",
        "id": _text(said.message_id),
        "redelivered": str(got.redelivered).lower(),
    }
    return Answer(
        200, got.body, {name: value for name, value in headers.items() if value}, _kind(said.content_type)
    )


def _text(value: str | bytes | None) -> str:
    """What may stand in a header of HTTP."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    return "".join(char for char in text if " " <= char < "\x7f")


def _kind(content_type: str | bytes | None) -> str:
    """A page of a browser must not be made of somebody's message."""
    text = _text(content_type)
    return text if text in ("application/json", "text/xml", "application/octet-stream") else PLAIN
