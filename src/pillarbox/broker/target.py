"""Targets: where what a client publishes goes, resolved once and used while nothing changes on the way.

For heads that keep them by their own names. Source: rows R60, R90.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.broker.counters import SIZE_BOUNDS
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Address, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.counters import ExchangeCounters
    from pillarbox.broker.exchange import Route
    from pillarbox.broker.session import Session


class Target(NamedTuple):
    """Good while `is_valid`. `counters`: those of the exchange."""

    address: Address
    counters: ExchangeCounters
    route: Route

    @property
    def is_valid(self) -> bool:
        return self.route.stamp.valid and not self.route.per_message

    def publish(self, core: Core, message: Message) -> tuple[bool, Sequence[int]]:
        """Publish one message; see `Core.publish`."""
        return self.publish_all(
            core,
            [message],
            len(message.body),
            persistent=message.persistent,
            expiring=message.expiration_ms != NO_EXPIRATION,
            prioritized=message.priority > 0,
            message_bytes=MESSAGE_BYTES + len(message.properties),
        )

    def publish_all(
        self,
        core: Core,
        messages: list[Message],
        body_bytes: int,
        *,
        persistent: bool,
        expiring: bool,
        prioritized: bool,
        message_bytes: int,
    ) -> tuple[bool, Sequence[int]]:
        """Publish messages that are alike; see `Core.publish`."""
        queues = self.route.queues
        stored, refused = core.publish(
            queues,
            messages,
            body_bytes,
            persistent=persistent,
            expiring=expiring,
            prioritized=prioritized,
            message_bytes=message_bytes,
        )
        count = len(messages)
        self.counters.publish_in += count
        self.counters.publish_out += count * len(queues)
        core.sizes.counts[bisect_left(SIZE_BOUNDS, body_bytes // count)] += count
        core.sizes.body_bytes += body_bytes
        return stored, refused


def find_target(session: Session, origin: str, exchange: str, key: str) -> Target:
    """Resolve it for whoever has this session. Raises BrokerError."""
    found, route = session.route(exchange, (key,))
    counters = session.vhost.default_exchange if found is None else found.counters
    return Target(Address(origin, exchange, key), counters, route)
