"""Sending one message to a queue or a topic, as clients of ActiveMQ do: a queue that is missing is made.

By a client without a socket, so permissions, limits and confirms are those of any client. What is to come
later waits in the exchanges in which messages of STOMP's clients wait (A35).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.schedule_header import (
    CRON_HEADER,
    DELAY_HEADER,
    PERIOD_HEADER,
    SCHEDULED_QUEUES,
    SCHEDULED_TOPICS,
    SCHEDULES,
)
from pillarbox.protocols.amqp091 import methods, wire

if TYPE_CHECKING:
    from pillarbox.ops.management.local_client import LocalClient

QUEUE, TOPIC = "queue", "topic"
SCHEDULED: Final = {QUEUE: SCHEDULED_QUEUES, TOPIC: SCHEDULED_TOPICS}
DELAYED_AS: Final = {QUEUE: "direct", TOPIC: "topic"}


class Destination(NamedTuple):
    """A queue or a topic, by its name."""

    kind: str
    name: str

    @property
    def address(self) -> tuple[str, str]:
        """Exchange and routing key."""
        return (TOPICS if self.kind == TOPIC else "", self.name)


def with_schedule(headers: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The headers with the domain's words for a delay; and whether there is any."""
    found = {SCHEDULES.get(name, name): value for name, value in headers.items()}
    period = found.get(PERIOD_HEADER)
    if period is not None and DELAY_HEADER not in found:
        # As with ActiveMQ, what comes periodically comes a period later for the first time.
        found[DELAY_HEADER] = period
    return found, DELAY_HEADER in found or CRON_HEADER in found


async def declare(client: LocalClient, queue: str) -> None:
    """Make a queue as clients of ActiveMQ have it. Raises HttpError, also where there is another one."""
    await client.call(
        methods.QUEUE_DECLARE,
        *(0, queue, False, True, False, False, False, {}),
        answer=methods.QUEUE_DECLARE_OK,
    )


async def publish(
    client: LocalClient, to: Destination, said: wire.Properties, body: bytes, *, exists: bool
) -> bool:
    """Send a message; has somebody taken it? Answered when it is safe. Raises HttpError.

    `exists`: the queue is there. The client must not have published yet.
    """
    headers, waits = with_schedule(said.headers or {})
    properties = wire.encode_properties(said._replace(headers=headers or None))
    await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
    if to.kind == QUEUE and not exists:
        await declare(client, to.name)
    exchange, key = to.address
    if waits:
        exchange = SCHEDULED[to.kind]
        await _provide_schedule(client, to, exchange)
    client.publish(exchange, key, properties, body)
    return await client.confirmed()


async def _provide_schedule(client: LocalClient, to: Destination, exchange: str) -> None:
    """Make the exchange in which messages to this destination wait, and what leads on from it."""
    await client.call(
        methods.EXCHANGE_DECLARE,
        *(0, exchange, "x-delayed-message", False, True, False, False, False),
        {"x-delayed-type": DELAYED_AS[to.kind]},
        answer=methods.EXCHANGE_DECLARE_OK,
    )
    if to.kind == QUEUE:
        await client.call(
            methods.QUEUE_BIND, *(0, to.name, exchange, to.name, False, {}), answer=methods.QUEUE_BIND_OK
        )
    else:
        await client.call(
            methods.EXCHANGE_BIND, *(0, TOPICS, exchange, "#", False, {}), answer=methods.EXCHANGE_BIND_OK
        )
