"""Producer flow control, and subscriptions that are slow (A40).

Where a destination has a limit (`policies`) what becomes of a SEND to it, while it holds more than that, is
its policy's: it waits unread until there is room, or is refused, or is dropped without a word, or taken all
the same. Looked at is what the queue of a `/queue/` holds, and those of all subscriptions that would get the
message of a `/topic/`: one that is slow holds its publishers up, as with ActiveMQ. A client whose SEND waits
is not read, so what reads and writes at once over one connection may stop for good; that is ActiveMQ's rule
as well.

A subscription is *slow* while messages wait for it that it could have had, but for answers that it owes or
bytes that it does not read. After some time of that without any progress the operator is told, and perhaps
its connection is ended, as the policy of its destination has it.

Others hear of both as events that RabbitMQ does not have (`Events.read`): `destination.full` with virtual
host, queue, the bytes that it holds, the sender's session and what becomes of the message, each time;
`consumer.slow` with virtual host and consumer, once for each time it became so.

Connections without any limit are plain `Publishing` and take no step for any of this. Not here: what is too
much for the whole broker (`broker.alarms`), which messages a slow subscription loses (`declaring`).

Source: ActiveMQ, "Producer Flow Control", "Slow Consumer Handling"; Artemis' `address-full-policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.jms_destinations import name_of
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.slowness import Slowness
from pillarbox.protocols.stomp.declaring import composed
from pillarbox.protocols.stomp.destinations import parse, shown
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.orders import find_order
from pillarbox.protocols.stomp.publishing import Publishing
from pillarbox.protocols.stomp.rules import ABORT, BLOCK, DROP, IGNORE, QUEUE, TOPIC
from pillarbox.protocols.stomp.wire import RECEIPT, cut_receipt, read_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.target import Target
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.connection import Connection
    from pillarbox.protocols.stomp.policies import Policy

ROOM_MS: Final = 20
"""How often a connection that waits looks whether there is room. Queues tell nobody when they get some: each
settlement of each queue would have to look who waits."""

KINDS: Final = {"": QUEUE, TOPICS: TOPIC}
"""What a destination is, by the exchange to which it leads; others bear what all do."""


class Full(Exception):
    """There is no room for a message; nothing was done."""

    def __init__(self, queue: Queue, limit_bytes: int) -> None:
        super().__init__(queue.name)
        self.queue = queue
        self.limit_bytes = limit_bytes


class FlowPublishing(Publishing):
    """SENDs that look for room; see the module."""

    def send(self, head: bytes, body: Body) -> bool:
        """See `Publishing`; each is looked at by itself. Raises Full as well, where it is to wait."""
        bare, receipt = cut_receipt(head) if RECEIPT in head else (head, None)
        if self._is_lost(bare):
            self.flush()
            self._channel.receipts.ask(receipt)
        else:
            super().send(head, body)
        return False

    def _is_lost(self, head: bytes) -> bool:
        """Is there a destination that drops the message? Raises StompError or Full if there is no room."""
        known = self._prepared.get(head)
        if known is not None and known.target.is_valid:
            return self._drops(known.target)
        headers = read_head(head, self._connection.version)[1]
        text = headers.get("destination")
        if text is None or find_order(self._channel, text, headers) is not None:
            return False
        if self._settings.is_artemis:
            text = self.address(text, headers)
        return any(self._drops(self.target(part, headers)) for part in composed(self._channel, text))

    def _drops(self, target: Target) -> bool:
        """Is what goes there dropped now?"""
        address = target.address
        policies = self._settings.policies
        kind = KINDS.get(address.exchange)
        policy = policies.base if kind is None else policies.of(kind, address.routing_key)
        if not policy.is_limited:
            return False
        return any(self._is_full(queue, policy) for queue in target.route.queues)

    def _is_full(self, queue: Queue, policy: Policy) -> bool:
        if queue.in_log:
            # What a stream holds, its own limits say.
            return False
        if held_bytes(queue) + self._gathered_bytes(queue) < policy.limit_bytes:
            return False
        # What was gathered for it may be delivered at once.
        self.flush()
        if queue.queued:
            queue.dispatcher(queue)
        self._core.attend(queue)
        if held_bytes(queue) < policy.limit_bytes:
            return False
        said = (held_bytes(queue), self._session, policy.full)
        self._core.events.mention("destination.full", self._session.vhost, queue, *said)
        if policy.full == DROP:
            return True
        if policy.full == BLOCK:
            raise Full(queue, policy.limit_bytes)
        where = shown("", queue.name, slashes=True)
        text = f"Usage Manager Memory Limit reached. Stopping producer to prevent flooding {where}."
        if self._settings.is_artemis:
            text = f'AMQ229102: Address "{queue.name}" is full.'
        raise StompError(text, "The queue has to be read before more can be sent there.")

    def _gathered_bytes(self, queue: Queue) -> int:
        """What goes there and is not handed on yet."""
        batch = self._batch
        if batch is None or queue not in batch.last.target.route.queues:
            return 0
        return batch.body_bytes + MESSAGE_BYTES * len(batch.messages)


def held_bytes(queue: Queue) -> int:
    """What counts for the limit: all that is ready or out, on disk or not."""
    count = queue.ready_count + queue.unacked_count
    return int(queue.ready_bytes + queue.unacked_bytes + count * MESSAGE_BYTES)


class Room:
    """Waits until a queue has room, and lets a connection go on then.

    `again` is done first, and may have to wait once more.
    """

    def __init__(self, connection: Connection, full: Full, again: Callable[[], None] | None = None) -> None:
        self._connection = connection
        self._queue = full.queue
        self._limit_bytes = full.limit_bytes
        self._again = again
        connection.stall()
        self._look_again()

    def _look_again(self) -> None:
        core = self._connection.core
        core.scheduler.at(core.changes.now_ms + ROOM_MS, self)

    def on_timer(self, now_ms: int) -> None:
        """Look again."""
        connection = self._connection
        if connection.want_close:
            return
        if not self._queue.deleted and held_bytes(self._queue) >= self._limit_bytes:
            self._look_again()
            return
        connection.room = None
        if self._again is not None:
            self._again()
        if connection.room is None:
            connection.go_on()


class SlowSubscriptions:
    """Watches the subscriptions of one connection; asked once a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._slowness = Slowness()

    def look(self, now_ms: int) -> None:
        """Do what is to be done with who has been slow for too long."""
        consumers = self._connection.consumers()
        self._slowness.keep(set(consumers))
        for consumer in consumers:
            policy = self._policy(consumer)
            if policy.slow != IGNORE and self._slowness.is_news(consumer, now_ms, policy.slow_after_ms):
                self._act(consumer, policy)
                if policy.slow == ABORT:
                    return

    def _policy(self, consumer: Consumer) -> Policy:
        """What counts for the destination of a subscription; one of all queues of a pattern has theirs."""
        settings = self._connection.settings
        found = parse(consumer.head.destination, slashes=settings.is_activemq)
        if found.kind == TOPIC:
            return settings.policies.of(TOPIC, name_of(found.key))
        if found.exchange:
            return settings.policies.base
        return settings.policies.of(QUEUE, consumer.queue.name)

    def _act(self, consumer: Consumer, policy: Policy) -> None:
        core, seconds = self._connection.core, policy.slow_after_ms // 1000
        session = self._connection.session
        assert session is not None
        core.events.mention("consumer.slow", session.vhost, consumer)
        where = consumer.head.destination
        text = f"the subscription to {where} has been slow for more than {seconds} s"
        core.warn(f"STOMP connection {self._connection.peer}: {text}")
        if policy.slow == ABORT:
            self._connection.fail(StompError("Slow consumer", text))
