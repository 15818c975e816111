"""The firehose (R75): while tracing is on in a virtual host, copies of all that goes in and out.

Every publish is copied to the exchange `amq.rabbitmq.trace` with the key `publish.<exchange>`, every delivery
with `deliver.<queue>`; body as it was, the rest in headers. What comes from there is not copied again.

It costs nothing while it is off: a channel becomes a `TracedChannel` when tracing is turned on, and an
ordinary one again when it is turned off.

Source: RabbitMQ, "Firehose Tracer"; order and types of headers asked of 3.10.8.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.session import REPLY_TO
from pillarbox.broker.vhost import DEFAULT_EXCHANGE, TRACE_EXCHANGE
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.channel import Channel
from pillarbox.protocols.amqp091.publishing import ORIGIN, Target

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run


class TracedChannel(Channel):
    """A channel that tells the firehose; it has no state of its own, so that any channel can become one."""

    def publish_run(
        self,
        target: Target,
        messages: list[Message],
        body_bytes: int,
        persistent: bool,
        expiring: bool,
        prioritized: bool,
        message_bytes: int,
    ) -> None:
        """See `Channel`."""
        replies = self.session.vhost.reply_queues
        names = [queue.name for queue in target.queues if queue.name not in replies]
        for message in messages:
            about = self._about({"routed_queues": _named_by_default(message) or names})
            self._trace(f"publish.{message.address.exchange}", message, about)
        super().publish_run(target, messages, body_bytes, persistent, expiring, prioritized, message_bytes)

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        """See `Sink`."""
        super().deliver(consumer, run, tag_first)
        for message in run.messages or ():
            self._trace_delivery(consumer.queue, message, run.redelivered)

    def answer_get(self, queue: Queue, message: Message, tag: int, redelivered: bool) -> None:
        """See `Channel`."""
        super().answer_get(queue, message, tag, redelivered)
        self._trace_delivery(queue, message, redelivered)

    def _trace_delivery(self, queue: Queue, message: Message, redelivered: bool) -> None:
        if queue.name in self.session.vhost.reply_queues:
            return
        about = {"redelivered": int(redelivered), **self._about({})}
        self._trace(f"deliver.{queue.name}", message, about)

    def _about(self, more: dict[str, Any]) -> dict[str, Any]:
        """What the headers say of the channel, and more."""
        connection = self.connection
        return {
            "vhost": self.session.vhost.name,
            "connection": connection.name,
            "channel": self.number,
            "user": self.session.user.name,
            **more,
        }

    def _trace(self, key: str, message: Message, about: dict[str, Any]) -> None:
        address = message.address
        if address.exchange == TRACE_EXCHANGE:
            return
        route = self.session.vhost.exchange(TRACE_EXCHANGE).resolve((key,))
        if not route.queues:
            return
        found = wire.decode_properties(self.native(message).properties)
        headers: dict[str, Any] = {
            "exchange_name": address.exchange,
            "routing_keys": _routing_keys(address, found.headers or {}),
            "properties": _properties_table(found),
            "node": self.connection.settings.node,
            **about,
        }
        try:
            properties = wire.encode_properties(wire.Properties(headers=headers))
        except ValueError:
            possible = {name: value for name, value in headers["properties"].items() if _fits(value)}
            properties = wire.encode_properties(wire.Properties(headers=headers | {"properties": possible}))
        copy = Message(
            Address(ORIGIN, TRACE_EXCHANGE, key), properties, message.body, self.core.changes.now_ms
        )
        self.core.publish(
            route.queues,
            [copy],
            len(copy.body),
            persistent=False,
            expiring=False,
            prioritized=False,
            message_bytes=MESSAGE_BYTES + len(properties),
        )


def class_of(channel: Channel, on: bool) -> type[Channel]:
    """What a channel becomes when tracing is turned on or off; one with transactions keeps them."""
    if not channel.transactional:
        return TracedChannel if on else Channel
    # Loaded by the first who wants transactions, so it is there.
    from pillarbox.protocols.amqp091.transactional import TransactionalChannel

    return _traced_transactional() if on else TransactionalChannel


@cache
def _traced_transactional() -> type[Channel]:
    from pillarbox.protocols.amqp091.transactional import TransactionalChannel

    class TracedTransactionalChannel(TracedChannel, TransactionalChannel):
        """Tells of a message when it is published, as RabbitMQ does, whatever becomes of the transaction."""

    return TracedTransactionalChannel


def _routing_keys(address: Address, headers: dict[str, Any]) -> list[str]:
    """All keys of a message: its own, and those that it selects (R26)."""
    copies = headers.get("CC")
    selected = [key for key in copies if isinstance(key, str)] if isinstance(copies, list) else []
    return [address.routing_key, *selected, *address.hidden_keys]


def _named_by_default(message: Message) -> list[str]:
    """As RabbitMQ has it, the default exchange routes to names, whether there are such queues or not."""
    address = message.address
    if address.exchange != DEFAULT_EXCHANGE:
        return []
    headers = wire.decode_properties(message.properties).headers or {}
    return [name for name in dict.fromkeys(_routing_keys(address, headers)) if not name.startswith(REPLY_TO)]


def _fits(value: Any) -> bool:
    """Can a header tell of a property? Not of a time beyond 63 bits, nor of headers as deep as may be."""
    try:
        wire.encode_table({"": {"": value}})
    except ValueError:
        return False
    return True


def _properties_table(found: wire.Properties) -> dict[str, Any]:
    """The properties that a message has, the last one first; numbers are integers of 32 bits."""
    present = {name: value for name, value in found._asdict().items() if value is not None}
    return dict(reversed(present.items()))
