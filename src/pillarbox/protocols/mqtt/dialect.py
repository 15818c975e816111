"""Messages of MQTT in the words that all protocols share (see `broker.dialects`).

User properties are headers; of several with one name the last counts. Other headers come as user properties
where they are text, numbers or truth, and their names do not begin with `x-`, which are the broker's own.

Source: docs/bridging.md; RabbitMQ's MQTT plugin (`x-mqtt-publish-qos`); row R141.
"""

from __future__ import annotations

from typing import Any, Final

from pillarbox.broker.dialects import Neutral
from pillarbox.engine.base import Message
from pillarbox.protocols.mqtt import properties as table
from pillarbox.protocols.mqtt import stored, topics
from pillarbox.protocols.mqtt.primitives import Reader
from pillarbox.protocols.mqtt.properties import PUBLISH, Properties

QOS: Final = "x-mqtt-publish-qos"
NAME_MAX: Final = 255
"""Bytes of the name of a user property that others can say: as many as AMQP allows for that of a header."""
NAMES_MAX: Final = 100
"""User properties that are made of headers; what is more goes without saying."""


class MqttDialect:
    """See the module."""

    def read(self, message: Message) -> Neutral:
        """What a message of MQTT says."""
        facts = stored.facts(message)
        said = table.decode(Reader(facts.properties), PUBLISH)
        reply_topic = said.get("response_topic")
        pairs = [pair for pair in said.get("user_property", ()) if len(pair[0].encode()) <= NAME_MAX]
        return Neutral(
            content_type=said.get("content_type"),
            headers=dict(pairs) | {QOS: facts.qos},
            persistent=facts.qos > 0,
            correlation_id=_text_or_bytes(said.get("correlation_data")),
            reply_topic=topics.routing_key(reply_topic) if reply_topic else None,
        )

    def write(self, said: Neutral, message: Message) -> bytes:
        """A message of QoS 1 if it is to survive, else of QoS 0."""
        properties: Properties = {}
        if _fits(said.content_type):
            properties["content_type"] = said.content_type
        reply_topic = topics.topic_of(said.reply_topic or "")
        if topics.is_name(reply_topic) and _fits(reply_topic):
            properties["response_topic"] = reply_topic
        correlation = said.correlation_id
        if correlation is not None:
            properties["correlation_data"] = (
                correlation if isinstance(correlation, bytes) else correlation.encode()
            )[: topics.TEXT_MAX]
        pairs = [
            (name, shown)
            for name, value in said.headers.items()
            if not name.startswith("x-") and _fits(name) and _fits(shown := _shown(value))
        ]
        if pairs:
            properties["user_property"] = pairs[:NAMES_MAX]
        return stored.pack(int(said.persistent), table.encode(properties))


def _shown(value: Any) -> str | None:
    """A header's value as text; None: it has none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _fits(text: str | None) -> bool:
    """Can it be a text of MQTT?"""
    return text is not None and "\0" not in text and len(text.encode("utf-8", "replace")) <= topics.TEXT_MAX


def _text_or_bytes(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


DIALECT: Final = MqttDialect()
