"""Replies: what the broker itself sends where a client has asked for it, perhaps some ticks later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.index import NO_ENVELOPE

if TYPE_CHECKING:
    from pillarbox.broker.target import Target
    from pillarbox.engine.base import Message
    from pillarbox.protocols.stomp.channel import Channel


def send(channel: Channel, target: Target, message: Message) -> None:
    """Send a message to where the client was allowed to have it sent when it asked."""
    if not target.is_valid:
        vhost, address = channel.session.vhost, target.address
        if address.exchange and not vhost.has_exchange(address.exchange):
            return
        route = vhost.route(address.exchange, (address.routing_key,), NO_ENVELOPE)
        target = target._replace(route=route)
    target.publish(channel.core, message)
