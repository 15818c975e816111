"""Statistics by message: who sends to `ActiveMQ.Statistics.*` gets numbers as map messages (A39).

`ActiveMQ.Statistics.Broker` asks for one message about all, `ActiveMQ.Statistics.Destination.NAME` for one
about each queue of that name, or topic if it is sent to one, wildcards included, and
`ActiveMQ.Statistics.Subscription` for one about each consumer. They come to `reply-to`; without that header
it is a message like any other. With `END_OF_LIST` in the name an empty map comes last. All is of the client's
virtual host. What the client sends next, and the receipt, wait until it is done.

Numbers are the core's counters since the start, and lengths of the moment. Departures: what is not measured
here is 0 (times of enqueueing, the store), and what is not known is null (the counters of a consumer that
shares its queue).

Source: ActiveMQ, "StatisticsPlugin"; names measured on 5.17.2 by `tests/compare_messaging`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.advisories import BROKER
from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.jms_destinations import destinations_of, is_queue, matcher, name_of, numbers_of
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp import destinations, structures
from pillarbox.protocols.stomp.declaring import reply_to
from pillarbox.protocols.stomp.destinations import QUEUE, TOPIC
from pillarbox.protocols.stomp.errors import from_broker_error
from pillarbox.protocols.stomp.headers import ADVISORY, KIND
from pillarbox.protocols.stomp.replies import send
from pillarbox.protocols.stomp.transforming import MAP, TRANSFORMATION

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.target import Target
    from pillarbox.broker.vhost import VHost
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.channel import Channel
    from pillarbox.protocols.stomp.structures import Scalar

PREFIX: Final = "ActiveMQ.Statistics."
OF_BROKER, OF_DESTINATION, OF_SUBSCRIPTION = (
    PREFIX + name for name in ("Broker", "Destination", "Subscription")
)
RIGHT: Final = "ActiveMQ.Statistics"
"""The exchange that a user has to have the right to read; there is none."""
END_OF_LIST: Final = f"{OF_DESTINATION}.List.End.With.Null"

STEP_QUEUES: Final = 20
"""Queues that are looked at in one part of the work, of which each may be a message."""

Values = dict[str, "Scalar"]


def _parsed(text: str) -> destinations.Destination | None:
    found = destinations.queue_or_topic(text)
    return found if found is not None and found.key.startswith(PREFIX) else None


def _asked(found: destinations.Destination) -> str:
    return next(
        (one for one in (OF_BROKER, OF_DESTINATION, OF_SUBSCRIPTION) if found.key.startswith(one)), ""
    )


def is_question(text: str) -> bool:
    """Is this destination one that answers?"""
    found = _parsed(text)
    return found is not None and _asked(found) != ""


def answer(
    channel: Channel, text: str, headers: Mapping[str, str], _body: Body, receipt: bytes | None
) -> None:
    """Answer a message to that destination. Raises StompError, before anything is done."""
    found = _parsed(text)
    assert found is not None
    try:
        channel.session.route(found.exchange, (found.key,))
        channel.session.demand_exchange("read", RIGHT)
    except BrokerError as error:
        raise from_broker_error(error) from None
    target = channel.publishing.target(reply_to(channel, headers["reply-to"]), {})
    answers = _Answers(channel, target, headers.get("correlation-id"))
    channel.work(answers.parts(found), receipt)


# --- what is told --------------------------------------------------------------------------------------


class Standing:
    """How some queues stand together, in ActiveMQ's words."""

    def __init__(self) -> None:
        self.size = self.enqueued = self.dispatched = self.dequeued = self.in_flight = 0
        self.bytes = self.consumers = self.expired = 0

    def add(self, queue: Queue) -> None:
        """Count a queue as well."""
        numbers = numbers_of(queue)
        self.size += numbers.pending
        self.enqueued += numbers.enqueued
        self.dispatched += numbers.dispatched
        self.dequeued += numbers.dequeued
        self.in_flight += numbers.in_flight
        self.expired += numbers.expired
        self.bytes += queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes
        self.consumers += queue.consumer_count

    def values(self, memory_max: int) -> Values:
        """What is told of destinations, and of the broker as well."""
        return {
            "size": self.size,
            "enqueueCount": self.enqueued,
            "dequeueCount": self.dequeued,
            "dispatchCount": self.dispatched,
            "expiredCount": self.expired,
            "inflightCount": self.in_flight,
            "messagesCached": 0,
            "averageMessageSize": self.bytes // max(1, self.size),
            "memoryPercentUsage": min(100, self.bytes * 100 // max(1, memory_max)),
            "memoryUsage": self.bytes,
            "memoryLimit": memory_max,
            "averageEnqueueTime": 0.0,
            "maxEnqueueTime": 0.0,
            "minEnqueueTime": 0.0,
            "consumerCount": self.consumers,
            # STOMP's producers are bound to no destination.
            "producerCount": 0,
        }


INTEGERS: Final = dict.fromkeys(
    (
        "memoryPercentUsage",
        "storePercentUsage",
        "tempPercentUsage",
        "prefetchSize",
        "maximumPendingMessageLimit",
    ),
    "int",
)
"""What is not a `long`."""


NOT_MEASURED: Final = (
    "storePercentUsage",
    "storeUsage",
    "storeLimit",
    "tempPercentUsage",
    "tempUsage",
    "tempLimit",
)
NOT_TOLD: Final = ("openwire", "ssl", "stomp+ssl", "dataDirectory")
"""Where else it is, which a client does not have to know."""


class Shown(NamedTuple):
    """A destination that is told of. A topic has several queues."""

    name: str
    queues: list[Queue]


def _shown_queues(vhost: VHost) -> Iterator[Shown]:
    for queue in list(vhost.queues.values()):
        if not (queue.in_log or queue.deleted) and is_queue(vhost, queue):
            yield Shown(queue.name, [queue])


def _shown_topics(vhost: VHost) -> Iterator[Shown]:
    topics: dict[str, Shown] = {}
    for binding in list(vhost.exchanges[TOPICS].bindings.values()):
        queue = vhost.queues.get(binding.destination.name)
        if queue is binding.destination and not is_queue(vhost, queue):
            name = name_of(binding.key)
            topics.setdefault(name, Shown(name, [])).queues.append(queue)
    yield from topics.values()


DESTINATIONS: Final[dict[str, Callable[[VHost], Iterable[Shown]]]] = {
    QUEUE: _shown_queues,
    TOPIC: _shown_topics,
}


class _Answers:
    """The answers to one question; see the module."""

    def __init__(self, channel: Channel, target: Target, correlation: str | None) -> None:
        self._channel = channel
        self._target = target
        self._correlation = correlation
        self._core = channel.core
        self._vhost = channel.session.vhost

    def parts(self, found: destinations.Destination) -> Parts:
        """Send them, in parts."""
        asked = _asked(found)
        if asked == OF_BROKER:
            yield from self._of_broker()
        elif asked == OF_SUBSCRIPTION:
            yield from self._of_subscriptions()
        else:
            yield from self._of_destinations(found)

    def _of_broker(self) -> Parts:
        standing = Standing()
        for at, queue in enumerate(list(self._vhost.queues.values()), 1):
            if not (queue.in_log or queue.deleted):
                standing.add(queue)
            if at % STEP_QUEUES == 0:
                yield
        facts = self._channel.connection.client_facts()
        told: Values = {
            **standing.values(self._core.memory_budget),
            **dict.fromkeys(NOT_MEASURED, 0),
            **dict.fromkeys(NOT_TOLD, ""),
            "stomp": f"stomp://{facts.host}:{facts.port}",
            "vm": f"vm://{BROKER}",
        }
        self._send(told, self._correlation)

    def _of_destinations(self, found: destinations.Destination) -> Parts:
        asked = name_of(found.key).removeprefix(OF_DESTINATION)
        name = asked.replace(END_OF_LIST, "").removeprefix(".")
        matches = matcher(name)
        for at, shown in enumerate(DESTINATIONS[found.kind](self._vhost), 1):
            if shown.name == name or matches(shown.name):
                standing = Standing()
                for queue in shown.queues:
                    standing.add(queue)
                told: Values = {"destinationName": f"{found.kind}://{shown.name}"}
                self._send(told | standing.values(self._core.memory_budget), self._correlation)
            if at % STEP_QUEUES == 0:
                yield
        if END_OF_LIST in asked:
            self._send(None, self._correlation)

    def _of_subscriptions(self) -> Parts:
        """Of those to queues, and then of those to topics that are not durable; as with ActiveMQ they do not
        say what they answer."""
        vhost = self._vhost
        for is_wanted in (_is_lasting_queue, _is_passing_subscription):
            for at, queue in enumerate(list(vhost.queues.values()), 1):
                if not queue.deleted and is_wanted(vhost, queue):
                    for consumer in (*queue.consumers, *queue.standby):
                        for _, name in destinations_of(vhost, queue):
                            self._send(self._of_consumer(consumer, name), None)
                if at % STEP_QUEUES == 0:
                    yield

    def _of_consumer(self, consumer: Consumer, name: str) -> Values:
        queue, standing = consumer.queue, Standing()
        standing.add(queue)
        is_alone = queue.consumer_count == 1
        client, connection = self._core.advisories.names_of(consumer)
        return {
            "destinationName": name,
            "clientId": client,
            "connectionId": connection,
            "sessionId": -1,
            "selector": consumer.arguments.get(SELECTOR) or None,
            "enqueueCounter": standing.enqueued if is_alone else None,
            "dequeueCounter": standing.dequeued if is_alone else None,
            "dispatchedCounter": standing.dispatched if is_alone else None,
            "dispatchedQueueSize": standing.in_flight if is_alone else None,
            "prefetchSize": consumer.prefetch,
            "maximumPendingMessageLimit": 0,
            "exclusive": consumer.exclusive or consumer.sole,
            "retroactive": False,
            "slowConsumer": False,
        }

    def _send(self, told: Values | None, correlation: str | None) -> None:
        """Send a map; None: an empty one."""
        channel, core = self._channel, self._core
        own: Values = {"brokerName": BROKER, "brokerId": core.advisories.broker_id}
        said = Neutral(
            headers={TRANSFORMATION: "jms-map-xml", KIND: MAP},
            type=ADVISORY,
            correlation_id=correlation,
        )
        body = structures.write_xml(structures.map_of({} if told is None else own | told, INTEGERS))
        plain = Message(self._target.address, b"", body, core.changes.now_ms)
        properties = channel.dialect.write(said, plain)
        send(channel, self._target, Message(plain.address, properties, body, plain.accepted_ms))


def _is_lasting_queue(vhost: VHost, queue: Queue) -> bool:
    return queue.owner is None and is_queue(vhost, queue)


def _is_passing_subscription(vhost: VHost, queue: Queue) -> bool:
    return not (queue.durable or is_queue(vhost, queue))
