"""Management by message, as with Artemis: a SEND to `activemq.management` is an order to the broker (A86).

What its headers and body ask for is carried out elsewhere (`broker.orders`). The reply goes to `reply-to`,
with the `correlation-id` of the SEND; without a `reply-to` there is none. What the client sends next, and the
receipt, wait until it is done. Within a transaction it is refused, since it cannot be undone.

Source: Artemis' manual, "Using Management Message API".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.dialects import Neutral
from pillarbox.broker.index import NO_ENVELOPE
from pillarbox.broker.orders import MANAGEMENT, Order
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp.declaring import reply_to
from pillarbox.protocols.stomp.errors import StompError, from_broker_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillarbox.broker.orders import Answer, TakeOrder
    from pillarbox.broker.target import Target
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.channel import Channel

REPLY_TO, CORRELATION = "reply-to", "correlation-id"


def is_order(channel: Channel, text: str) -> bool:
    """Is a SEND to this destination an order, and nothing that is delivered?"""
    return text.endswith(MANAGEMENT) and channel.settings.is_artemis and _taker(channel, text) is not None


def _taker(channel: Channel, text: str) -> TakeOrder | None:
    settings = channel.settings
    prefixes = ("", *settings.anycast_prefixes, *settings.multicast_prefixes)
    if not any(text == prefix + MANAGEMENT for prefix in prefixes):
        return None
    return channel.core.orders.get(MANAGEMENT)


def order(channel: Channel, text: str, headers: Mapping[str, str], body: Body, receipt: bytes | None) -> None:
    """Have done what a message asks for. Raises StompError, before anything is done."""
    take = _taker(channel, text)
    assert take is not None, "it is an order"
    if "transaction" in headers:
        raise StompError("Bad transaction", "what a message to the management does cannot be undone")
    session, connection = channel.session, channel.connection
    target = _target(channel, headers[REPLY_TO]) if REPLY_TO in headers else None

    def answered(answer: Answer) -> None:
        if connection.session is None:
            return
        if target is not None:
            _reply(channel, target, headers.get(CORRELATION), answer)
        channel.receipts.ask(receipt)
        connection.go_on()

    try:
        take(Order(session.user, session.vhost.name, headers, body), answered)
    except BrokerError as error:
        raise from_broker_error(error) from None
    connection.stall()


def _target(channel: Channel, text: str) -> Target:
    """Where a reply is to go, if the client may send there. Raises StompError."""
    try:
        return channel.publishing.target(channel.publishing.address(reply_to(channel, text), {}), {})
    except BrokerError as error:
        raise from_broker_error(error) from None


def _reply(channel: Channel, target: Target, correlation: str | None, answer: Answer) -> None:
    core, vhost, address = channel.core, channel.session.vhost, target.address
    if not target.is_valid:
        # The client was allowed to have it sent there when it asked.
        if address.exchange and not vhost.has_exchange(address.exchange):
            return
        route = vhost.route(address.exchange, (address.routing_key,), NO_ENVELOPE)
        target = target._replace(route=route)
    said = Neutral(headers=dict(answer.headers), content_type="text/plain", correlation_id=correlation)
    plain = Message(address, b"", answer.text.encode(), core.changes.now_ms)
    target.publish(core, msgspec.structs.replace(plain, properties=channel.dialect.write(said, plain)))
    core.wake()
