"""Headers of SEND in the words that all protocols share, and these words as headers of MESSAGE.

`FIELDS` is the table of those that have a field of their own. All others are headers of the message: texts
when STOMP sends, numbers and truth as text when STOMP gets them from others, bytes if they are UTF-8; lists,
tables and nulls have no form in STOMP and are left out.

Source: rows A6, A7; RabbitMQ's mapping of STOMP to AMQP. Invariant: what SEND said, MESSAGE says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pillarbox.broker.dialects import Neutral
from pillarbox.broker.interception import ORIGINAL
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.stomp.destinations import TOPICS, VIRTUAL_CONSUMER, shown
from pillarbox.protocols.stomp.errors import StompError

PRIORITY_MAX = 255


def _text(text: str) -> str:
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it must be a whole number")
    return int(text[:40])


def _priority(text: str) -> int:
    value = _number(text)
    if value > PRIORITY_MAX:
        raise ValueError(f"it must be at most {PRIORITY_MAX}")
    return value


def _timestamp(text: str) -> int:
    value = _number(text)
    if value >> 63:
        raise ValueError("it is too large")
    return value


def _is_true(text: str) -> bool:
    return text == "true"


def _shown_truth(value: bool) -> str:
    return "true" if value else ""


class Field(NamedTuple):
    """One row."""

    name: str
    """The field of `Neutral`."""
    read: Callable[[str], Any]
    """Raises ValueError."""
    show: Callable[[Any], str] = str
    """An empty text is not shown."""


FIELDS: Final[dict[str, Field]] = {
    "content-type": Field("content_type", _text),
    "content-encoding": Field("content_encoding", _text),
    "persistent": Field("persistent", _is_true, _shown_truth),
    "priority": Field("priority", _priority),
    "correlation-id": Field("correlation_id", _text),
    "reply-to": Field("reply_to", _text),
    "amqp-message-id": Field("message_id", _text),
    "timestamp": Field("timestamp_s", _timestamp),
    "type": Field("type", _text),
    "user-id": Field("user_id", _text),
    "app-id": Field("app_id", _text),
}

EXPIRATION: Final = "expiration"
"""Milliseconds to live: of the message itself, and not among what is said of it."""

OF_THE_FRAME: Final = frozenset(("destination", "receipt", "transaction", "content-length", EXPIRATION))
"""Headers of SEND that are none of the message."""

KIND: Final = "x-jms-body"
"""What a body is in JMS's words, where a SEND, or the broker itself, has said it (see `transforming`)."""

OF_THE_DELIVERY: Final = frozenset(
    ("subscription", "destination", "message-id", "ack", "redelivered", "content-length", EXPIRATION, KIND)
)
"""Headers of MESSAGE that the broker writes: a message's own of these names would not be seen."""


def to_neutral(headers: Mapping[str, str]) -> Neutral:
    """What the headers of SEND say of the message. Raises StompError."""
    fields: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in headers.items():
        field = FIELDS.get(name)
        if field is None:
            if name not in OF_THE_FRAME:
                own[name] = value
            continue
        try:
            fields[field.name] = field.read(value)
        except ValueError as fault:
            raise StompError("Invalid header", f"header '{name}' is '{value}': {fault}") from None
    return Neutral(headers=own, **fields)


def from_neutral(said: Neutral, expiration_ms: int = NO_EXPIRATION) -> Iterator[tuple[str, str]]:
    """The headers of MESSAGE that tell of the message itself."""
    for name, field in FIELDS.items():
        value = getattr(said, field.name)
        if value is not None:
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else field.show(value)
            if text:
                yield name, text
    if said.reply_to is None and said.reply_topic is not None:
        yield "reply-to", shown(TOPICS, said.reply_topic)
    if expiration_ms != NO_EXPIRATION:
        yield EXPIRATION, str(expiration_ms)
    for name, value in said.headers.items():
        form = _shown(value)
        if form is not None and name and name not in FIELDS and name not in OF_THE_DELIVERY:
            yield name, form


ORIGIN: Final = "original-destination"
"""Where a message that was sent elsewhere was sent first."""
STAMP: Final = "timestamp_in_ms"
"""The header that keeps a timestamp in milliseconds, under RabbitMQ's name; a field of AMQP has seconds."""
ADVISORY: Final = "Advisory"
"""The type of what the broker itself tells, and shows of what waits in schedules."""
PRIORITY_OF_JMS: Final = "4"

CAUSES: Final = {
    "expired": "Message Expired.",
    "delivery_limit": "Exceeded redelivery policy max redelivery limit.",
}
"""What ActiveMQ says of why a message died; of one that a STOMP client has refused it says nothing."""


def keep_milliseconds(headers: dict[str, str]) -> None:
    """Let the timestamp of a SEND be in milliseconds, as with ActiveMQ. What is no number is none."""
    text = headers.get("timestamp", "")
    if text.isascii() and text.isdigit() and len(text) < 18:
        headers[STAMP] = text
        headers["timestamp"] = str(int(text) // 1000)


def as_activemq(
    pairs: Iterator[tuple[str, str]], said: Neutral, original: str = ""
) -> Iterator[tuple[str, str]]:
    """The same headers of MESSAGE as ActiveMQ has them, but for those that differ from message to message.

    `original`: where it was sent to, if it was passed on from there.
    """
    stamp = said.headers.get(STAMP)
    for name, text in pairs:
        if name == "timestamp":
            yield name, str(stamp) if stamp is not None else f"{text}000"
        elif name not in (STAMP, ORIGINAL, ORIGIN, "expires"):
            yield name, text
    if said.priority is None:
        yield "priority", PRIORITY_OF_JMS
    passed_on = original or said.headers.get(ORIGINAL)
    if isinstance(passed_on, str) and "x-first-death-queue" not in said.headers:
        yield "original-destination", passed_on
    origin = said.headers.get("x-first-death-queue")
    if isinstance(origin, str):
        yield ORIGIN, _sent_to(said.headers, origin)
        cause = CAUSES.get(str(said.headers.get("x-first-death-reason")))
        if cause is not None:
            yield "dlqDeliveryFailureCause", cause
    elif said.type == ADVISORY and isinstance(sent_to := said.headers.get(ORIGIN), str):
        yield ORIGIN, sent_to


def _sent_to(headers: Mapping[str, Any], queue: str) -> str:
    """Where a dead letter was sent that died first in this queue: to a topic, if that is a subscription's."""
    deaths = headers.get("x-death")
    first = deaths[-1] if isinstance(deaths, list) and deaths else None
    if isinstance(first, dict) and first.get("exchange") == TOPICS and not queue.startswith(VIRTUAL_CONSUMER):
        keys = first.get("routing-keys")
        if isinstance(keys, list) and keys and isinstance(keys[0], str):
            return shown(TOPICS, keys[0], slashes=True)
    return shown("", queue, slashes=True)


def moments(message: Message, head: bytes) -> bytes:
    """Headers of ActiveMQ's MESSAGE that differ from message to message; `head`: those that do not."""
    expires = 0 if message.expiration_ms == NO_EXPIRATION else message.accepted_ms + message.expiration_ms
    if head.startswith(b"timestamp:") or b"\ntimestamp:" in head:
        return b"expires:%d\n" % expires
    return b"timestamp:%d\nexpires:%d\n" % (message.accepted_ms, expires)


def _shown(value: Any) -> str | None:
    """The text of a header's value; None if there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value)) if isinstance(value, int) else repr(float(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None
