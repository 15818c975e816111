"""Delayed messages (R28): how long one waits, and what it is when its time has come.

Its `x-delay` is negated then, so that no exchange delays it once more and receivers see that it was late on
purpose. Its time to live begins anew. What asks for repetition is not told; it stands in its successor.

Source: the plugin rabbitmq_delayed_message_exchange.
"""

from __future__ import annotations

import msgspec

from pillarbox.broker.index import Envelope
from pillarbox.broker.schedule import Fired, Timetable
from pillarbox.broker.schedule_header import (
    CRON_HEADER,
    DELAY_HEADER,
    REPEAT_HEADER,
    REPETITION,
    delay_of,
    successors,
    wait_of,
)
from pillarbox.engine.base import Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.publishing import headers_of


def delay_ms(message: Message) -> int:
    """How long a message of this protocol waits."""
    return wait_of(headers_of(message.properties), message.accepted_ms)


def fire(message: Message, now_ms: int) -> Fired:
    """The message as it is published when its time has come."""
    found = wire.decode_properties(message.properties)
    headers = dict(found.headers or {})
    headers[DELAY_HEADER] = wire.Long(-delay_of(headers))
    for name in REPETITION:
        headers.pop(name, None)
    changed = found._replace(headers=headers)
    properties = wire.encode_properties(changed)
    selected = headers.get("CC")
    copies = [key for key in selected if isinstance(key, str)] if isinstance(selected, list) else []
    address = message.address
    keys = (address.routing_key, *copies, *address.hidden_keys)
    envelope = Envelope(headers, lambda name: getattr(changed, name))
    fired = msgspec.structs.replace(
        message, properties=properties, accepted_ms=now_ms, priority=found.priority or 0
    )
    return Fired(fired, keys, envelope)


def again(message: Message, now_ms: int) -> list[Message]:
    """What waits after the message has come."""
    headers = headers_of(message.properties)
    if CRON_HEADER not in headers and REPEAT_HEADER not in headers:
        return []
    found = wire.decode_properties(message.properties)
    return [
        msgspec.structs.replace(
            message,
            properties=wire.encode_properties(found._replace(headers=later)),
            accepted_ms=now_ms,
            priority=found.priority or 0,
        )
        for later in successors(headers, now_ms)
    ]


TIMETABLE = Timetable(delay_ms, fire, again)
