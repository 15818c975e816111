"""Artemis' destinations: addresses, their routing types, and queues of them (A2, A22).

With `--as activemq:artemis` the destination of a frame is an *address*. What is sent to an anycast one goes
to one of its queues, most often the only one, that of its name; what is sent to a multicast one to all queues
of the address, which are those of its subscriptions. Which of the two is meant, the header `destination-type`
of SEND or `subscription-type` of SUBSCRIBE says, or else a prefix (`stomp_anycast_prefixes`,
`stomp_multicast_prefixes`), or else a queue of this name, or of this anycast address, that is there, or else
`stomp_default_routing_type`.

`ADDRESS::QUEUE` is one queue of an address, made when it is first named, durable. Of a multicast address it
is a subscription that several clients share, of an anycast one it gets its share (`broker.anycast`). A SEND
to it reaches that queue alone.

Everything is put into the words of `destinations` here, so little behind it knows addresses: an anycast
address is a queue, a multicast one a topic. Source: Artemis' manual, "STOMP", "Addressing Model".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pillarbox.broker import exchange
from pillarbox.broker.anycast import address_of, demand_joining, is_shared, join
from pillarbox.protocols.stomp.declaring import ensure_queue, recover
from pillarbox.protocols.stomp.destinations import (
    AMQ_QUEUE,
    EXCHANGE,
    QUEUE,
    REPLY_QUEUE,
    TEMP_QUEUE,
    TEMP_TOPIC,
    TOPIC,
    TOPICS,
    pattern,
)
from pillarbox.protocols.stomp.errors import StompError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillarbox.protocols.stomp.channel import Channel

ANYCAST, MULTICAST = "ANYCAST", "MULTICAST"
KINDS: Final = {ANYCAST: QUEUE, MULTICAST: TOPIC}
"""What a routing type is here."""
DESTINATION_TYPE, SUBSCRIPTION_TYPE = "destination-type", "subscription-type"
SEPARATOR: Final = "::"
"""Between an address and one of its queues."""
NOT_ADDRESSES: Final = tuple(
    form.format(kind) for kind in (TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE) for form in ("/{}/", "{}://")
)
"""How destinations begin that a connection has for itself."""

WINDOW: Final = "consumer-window-size"
WINDOW_MESSAGE_BYTES: Final = 1024
"""What a message counts in a window, which Artemis has in bytes and deliveries here have in messages."""


def destination_of(channel: Channel, text: str, headers: Mapping[str, str], header: str) -> str:
    """An address in the words of `destinations`, with its queue made if it names one.

    `header`: which may say the routing type. Raises StompError or BrokerError.
    """
    if text.startswith(NOT_ADDRESSES):
        return text
    settings = channel.settings
    kind = headers.get(header)
    for prefixes, prefix_kind in (
        (settings.anycast_prefixes, ANYCAST),
        (settings.multicast_prefixes, MULTICAST),
    ):
        prefix = next((each for each in prefixes if text.startswith(each)), None)
        if prefix is not None:
            kind, text = kind or prefix_kind, text.removeprefix(prefix)
            break
    if kind is not None and kind not in KINDS:
        raise StompError(
            "Invalid header", f"header '{header}' is '{kind}': it must be {ANYCAST} or {MULTICAST}"
        )
    address, separator, queue = text.partition(SEPARATOR)
    if not address or (separator and not queue):
        raise StompError("Invalid destination", f"'{text}' is not a valid address")
    if separator:
        return _queue_of(channel, address, queue, kind, headers)
    if kind is None:
        vhost = channel.session.vhost
        is_queue = address in vhost.queues and not _keys(channel, address)
        if not is_queue and settings.routing_type == MULTICAST and is_shared(vhost, address):
            # Nobody says that it is to have a queue of its name.
            if header == DESTINATION_TYPE:
                return f"/{EXCHANGE}/{exchange.ANYCAST}/{quote(address, safe='')}"
            is_queue = True
        kind = ANYCAST if is_queue else settings.routing_type
    return f"{KINDS[kind]}://{address}"


def _keys(channel: Channel, name: str) -> list[str]:
    """The multicast addresses of which a queue that is there is one."""
    vhost = channel.session.vhost
    return [each.key for each in vhost.bindings_to(vhost.queues[name]) if each.source.name == TOPICS]


def _queue_of(
    channel: Channel, address: str, queue: str, kind: str | None, headers: Mapping[str, str]
) -> str:
    """One queue of an address, made and bound if it is not there; behind it no name counts but its own."""
    session, key = channel.session, pattern(address)
    vhost = session.vhost
    found = vhost.queues.get(queue)
    keys = [] if found is None else _keys(channel, queue)
    if kind is None and found is None:
        kind = ANYCAST if is_shared(vhost, address) else channel.settings.routing_type
    elif kind is None:
        kind = MULTICAST if keys else ANYCAST
    at = None if found is None else address_of(vhost, found)
    is_elsewhere = (at or address) != address or bool(keys)
    if found is not None and (key not in keys if kind == MULTICAST else is_elsewhere):
        raise StompError(
            "Invalid destination", f"queue '{queue}' is there and is no {kind.lower()} queue of '{address}'"
        )
    joins = kind == ANYCAST and queue != address and at is None
    if joins:
        demand_joining(session, address)
    ensure_queue(channel, queue, headers)
    if joins:
        join(session, address, queue)
    elif kind == MULTICAST and found is None:
        session.bind_queue(queue, TOPICS, key, {}, add=True)
        recover(channel, f"{TOPIC}://{address}", queue, asks=False, is_new=True)
    return f"/{AMQ_QUEUE}/{queue}"


def prefetch_of(window_bytes: int) -> int:
    """How many messages may be out with a window of so many bytes; 0: any number."""
    return 0 if window_bytes < 0 else max(1, window_bytes // WINDOW_MESSAGE_BYTES)
