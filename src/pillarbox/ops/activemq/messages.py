"""ActiveMQ's API for messages over HTTP: POST sends one, GET and DELETE take one (A80).

    POST   /api/message/orders?type=queue          body=hello, or the body as it is
    GET    /api/message/orders?type=queue&readTimeout=1000
    DELETE /api/message?destination=queue://orders

    POST   /api/message?clientId=me&action=unsubscribe

A message is gone when it has been taken: the answer may be lost behind it, as with ActiveMQ. With a
`clientId` the subscription stays between requests (`readers`), without one a topic is heard for as long as a
request waits. Source: ActiveMQ's documentation, "REST"; row A80.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from pillarbox.ops.activemq.readers import Key
from pillarbox.ops.management.request import Answer, HttpError, bad_request
from pillarbox.ops.messaging.sending import QUEUE, TOPIC, Destination, publish
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.wire_tables import WireError

if TYPE_CHECKING:
    from pillarbox.ops.activemq.readers import Readers
    from pillarbox.ops.activemq.view import View
    from pillarbox.ops.management.local_client import Got

READ_TIMEOUT_MS: Final = 20_000
"""Where the client says nothing, as with ActiveMQ."""
READ_TIMEOUT_MAX_MS: Final = 300_000
CLIENT_ID_MAX: Final = 255
PROPERTIES_MAX: Final = 100
"""Properties that are told as headers of the answer."""
ASKED_KINDS: Final = {"json": "application/json", "xml": "application/xml"}
"""Parameters by which a client says what the body is."""
SAFE: Final = {
    "cache-control": "no-cache, no-store, must-revalidate",
    "content-security-policy": "default-src 'none'; sandbox",
}
"""Of answers with a message: nobody keeps it, and no browser runs what is in it."""
MEANT: Final = frozenset(
    ("destination", "id", "redelivered", "location", "refresh", "link", "upgrade", "connection", "trailer")
).union(
    ("server", "date", "expires", "pragma", "vary", "etag", "age", "allow", "nel", "sourcemap", "warning"),
    ("via", "cookie", "te", "range", "status", "authorization", "host", "referer"),
)
"""Names of one word that mean something as headers, so that none of a message's properties may have them."""
FORM: Final = "application/x-www-form-urlencoded"
PLAIN: Final = "text/plain; charset=utf-8"
OF_THE_REQUEST: Final = frozenset(
    ("body", "type", "destination", "clientId", "oneShot", "readTimeout", "sync", "action", "json", "xml")
)
"""Parameters that are none of the message."""


def place(path: str, query: Mapping[str, str]) -> Destination:
    """What a request names. Raises 400."""
    kind, name = query.get("type", "queue"), path.strip("/").replace("/", ".")
    if destination := query.get("destination"):
        kind, scheme, name = destination.partition("://")
        if not scheme:
            kind, name = query.get("type", "queue"), destination
    if not name or kind not in (QUEUE, TOPIC):
        raise bad_request("No destination: say /api/message/NAME?type=queue, or destination=queue://NAME")
    return Destination(kind, name)


async def send(
    view: View,
    readers: Readers,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    """Answered when the message is safe; or close what a client has kept."""
    said = dict(query)
    if headers.get("content-type", FORM).partition(";")[0].strip() == FORM:
        said |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        body = said.get("body", "").encode()
    name = f"ID:pillarbox-{secrets.token_hex(8)}"
    others = {key: value for key, value in said.items() if key not in OF_THE_REQUEST and key[:3] != "JMS"}
    live_ms = said.get("JMSTimeToLive", "")
    priority = said.get("JMSPriority", "")
    if said.get("action") == "unsubscribe" and (client := said.get("clientId")):
        readers.unsubscribe(view.user.name, client)
        return Answer(200, b"", content_type=PLAIN)
    to = place(path, said)
    properties = wire.Properties(
        headers=others or None,
        delivery_mode=1 if said.get("JMSDeliveryMode", "").lower() in ("1", "non_persistent") else 2,
        correlation_id=said.get("JMSCorrelationID"),
        reply_to=said.get("JMSReplyTo"),
        type=said.get("JMSType"),
        priority=int(priority) if priority.isdecimal() and len(priority) < 3 else None,
        expiration=live_ms if live_ms.strip("0") and live_ms.isdecimal() else None,
        message_id=name,
    )
    with view.client() as sender:
        try:
            taken = await publish(sender, to, properties, body, exists=to.name in view.queues)
        except (WireError, ValueError, OverflowError) as error:
            raise bad_request(f"the message cannot be written: {error}") from None
    if not taken and to.kind != TOPIC:
        raise HttpError(503, "service_unavailable", "the queue has refused the message")
    return Answer(200, b"Message sent", {"messageID": name}, PLAIN)


async def take(
    view: View, readers: Readers, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> Answer:
    """The next message, or 204 when none has come in time."""
    source = place(path, query)
    text = query.get("readTimeout", str(READ_TIMEOUT_MS))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad_request("readTimeout must be a number of milliseconds")
    client = query.get("clientId", "")
    if len(client) > CLIENT_ID_MAX:
        raise bad_request(f"clientId has more than {CLIENT_ID_MAX} characters")
    got = await readers.take(
        view,
        Key(view.user.name, client, source),
        headers.get("selector", ""),
        min(int(text), READ_TIMEOUT_MAX_MS) / 1000,
        one_shot=query.get("oneShot", "").lower() == "true",
    )
    return Answer(204) if got is None else _told(got, query)


def _told(got: Got, query: Mapping[str, str]) -> Answer:
    said = wire.decode_properties(got.properties)
    headers = {
        "destination": f"queue://{got.routing_key}" if not got.exchange else f"topic://{got.routing_key}",
        "id": _text(said.message_id),
        "redelivered": str(got.redelivered).lower(),
        **_properties(said.headers or {}),
    }
    kinds = (kind for name, kind in ASKED_KINDS.items() if query.get(name, "").lower() == "true")
    kind = next(kinds, None) or _kind(said.content_type)
    return Answer(200, got.body, {**{name: value for name, value in headers.items() if value}, **SAFE}, kind)


def _properties(headers: Mapping[str, Any]) -> dict[str, str]:
    """Properties of the message that may be headers of HTTP: those with names as JMS wants them."""
    return {
        name: _text(str(value))
        for name, value in list(headers.items())[:PROPERTIES_MAX]
        if name.isascii()
        and name.isidentifier()
        and name.lower() not in MEANT
        and isinstance(value, str | int | float)
    }


def _text(value: str | bytes | None) -> str:
    """What may stand in a header of HTTP."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    return "".join(char for char in text if " " <= char < "\x7f")


def _kind(content_type: str | bytes | None) -> str:
    """A page of a browser must not be made of somebody's message."""
    text = _text(content_type)
    return text if text in ("application/json", "text/xml", "application/octet-stream") else PLAIN
