"""Properties of AMQP 0-9-1 in the words that all protocols share (see `broker.dialects`)."""

from __future__ import annotations

from typing import Any, Final

from pillarbox.broker.dialects import Neutral
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.amqp091 import wire

REPLY_TOPIC: Final = "x-reply-to-topic"
"""The header in which a topic for answers is named, as RabbitMQ has it for messages of MQTT."""
CORRELATION: Final = "x-correlation-id"
"""The header for a correlation that is no short text."""
SHORT_MAX: Final = 255


class AmqpDialect:
    """See the module."""

    def read(self, message: Message) -> Neutral:
        """What the properties say."""
        found = wire.decode_properties(message.properties)
        headers = dict(found.headers or {})
        reply_topic = headers.pop(REPLY_TOPIC, None)
        correlation = found.correlation_id
        if correlation is None and isinstance(headers.get(CORRELATION), (str, bytes)):
            correlation = headers.pop(CORRELATION)
        return Neutral(
            content_type=_text(found.content_type),
            content_encoding=_text(found.content_encoding),
            headers=headers,
            persistent=found.delivery_mode == 2,
            priority=found.priority,
            correlation_id=correlation,
            reply_to=_text(found.reply_to),
            reply_topic=reply_topic if isinstance(reply_topic, str) else None,
            message_id=_text(found.message_id),
            timestamp_s=found.timestamp,
            type=_text(found.type),
            user_id=_text(found.user_id),
            app_id=_text(found.app_id),
        )

    def write(self, said: Neutral, message: Message) -> bytes:
        """Properties that say this. A text that is too long for its field goes without saying."""
        headers: dict[str, Any] = dict(said.headers)
        if said.long_numbers:
            headers = _long(headers)
        if said.reply_topic is not None:
            headers[REPLY_TOPIC] = said.reply_topic
        correlation = said.correlation_id
        if correlation is not None and len(_bytes(correlation)) > SHORT_MAX:
            headers[CORRELATION] = correlation
            correlation = None
        expiration = None if message.expiration_ms == NO_EXPIRATION else str(message.expiration_ms)
        return wire.encode_properties(
            wire.Properties(
                content_type=_short(said.content_type),
                content_encoding=_short(said.content_encoding),
                headers=headers or None,
                delivery_mode=2 if said.persistent else None,
                priority=said.priority,
                correlation_id=correlation,
                reply_to=_short(said.reply_to),
                expiration=expiration,
                message_id=_short(said.message_id),
                timestamp=said.timestamp_s,
                type=_short(said.type),
                user_id=_short(said.user_id),
                app_id=_short(said.app_id),
            )
        )


def _long(value: Any) -> Any:
    """The same, with each integer as one of 64 bits; a fraction is a `float`, as RabbitMQ writes both."""
    if isinstance(value, dict):
        return {key: _long(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_long(each) for each in value]
    kind = _LONG.get(type(value))
    return value if kind is None else kind(value)


_LONG: Final[dict[type, type]] = {int: wire.Long, float: wire.Float}


def _text(value: str | bytes | None) -> str | None:
    """A field that is text, as it should be."""
    return value if isinstance(value, str) else None


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _short(value: str | None) -> str | None:
    return value if value is not None and len(value.encode()) <= SHORT_MAX else None


DIALECT: Final = AmqpDialect()
