"""/destinations, /subscribers and /scheduled: what there is in ActiveMQ's words, and sending a message.

Paths of our own, for the page and for `pillarbox monitor`. Who may look into a virtual host sees its
destinations and subscribers. Numbers that nobody knows are null (see `seen`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pillarbox.broker.jms_destinations import Numbers, numbers_of
from pillarbox.ops.management.fields import (
    BOOLEAN,
    INTEGER,
    STRING,
    Document,
    Field,
    Level,
    array,
    nullable,
)
from pillarbox.ops.management.listing import Listing, render, show
from pillarbox.ops.management.request import bad_request, not_found
from pillarbox.ops.management.routes import COLUMNS, ENTERS, LISTING, MANAGEMENT, SEES, Many, Parameter, Route
from pillarbox.ops.messaging import seen
from pillarbox.ops.messaging.sending import QUEUE, TOPIC, Destination, publish
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.wire_tables import WireError

if TYPE_CHECKING:
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

KINDS = (QUEUE, TOPIC)
ACTIVEMQ_HTTP = "http/activemq"
NEXT_MAX = 20
"""Messages of a schedule that are shown."""


# --- destinations ------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """A queue, or a topic."""

    vhost: VHost
    kind: str
    thing: Queue | seen.Topic
    numbers: Numbers | None

    @property
    def name(self) -> str:
        return self.thing.name


def _number(name: str) -> Callable[[Shown, Request], int | None]:
    return lambda shown, request: None if shown.numbers is None else getattr(shown.numbers, name)


def _is_temporary(shown: Shown, request: Request) -> bool:
    return not isinstance(shown.thing, seen.Topic) and shown.thing.owner is not None


def _is_durable(shown: Shown, request: Request) -> bool:
    thing = shown.thing
    if isinstance(thing, seen.Topic):
        return any(queue.durable for queue in thing.subscribers)
    return thing.durable


def _details(shown: Shown, request: Request) -> list[dict[str, Any]]:
    if not isinstance(shown.thing, seen.Topic):
        return []
    found = (seen.subscriber_of(shown.vhost, queue) for queue in shown.thing.subscribers)
    return [SUBSCRIBER.describe(each, request, frozenset({Level.BASIC})) for each in found]


def _of_subscriber(name: str) -> Callable[[seen.Subscriber, Request], int]:
    return lambda shown, request: getattr(numbers_of(shown.queue), name)


def _connection(shown: seen.Subscriber, request: Request) -> str | None:
    return None if shown.facts is None else shown.facts.name


def _protocol(shown: seen.Subscriber, request: Request) -> str | None:
    return None if shown.facts is None else shown.facts.protocol


def _user(shown: seen.Subscriber, request: Request) -> str | None:
    return None if shown.session is None else shown.session.user.name


# fmt: off
SUBSCRIBER = Document(
    "Subscriber",
    Field("name", STRING, lambda s, r: s.queue.name),
    Field("vhost", STRING, lambda s, r: s.vhost.name),
    Field("client_id", STRING, lambda s, r: s.client_id),
    Field("subscription", STRING, lambda s, r: s.name),
    Field("destination", STRING, lambda s, r: s.destination),
    Field("topics", array(STRING), lambda s, r: list(s.topics)),
    Field("selector", STRING, lambda s, r: s.selector),
    Field("durable", BOOLEAN, lambda s, r: s.is_durable),
    Field("active", BOOLEAN, lambda s, r: s.is_active),
    Field("consumers", INTEGER, lambda s, r: s.queue.consumer_count),
    Field("pending", INTEGER, lambda s, r: s.queue.ready_count),
    Field("in_flight", INTEGER, _of_subscriber("in_flight")),
    Field("enqueued", INTEGER, _of_subscriber("enqueued")),
    Field("dispatched", INTEGER, _of_subscriber("dispatched")),
    Field("dequeued", INTEGER, _of_subscriber("dequeued")),
    Field("protocol", nullable(STRING), _protocol),
    Field("connection", nullable(STRING), _connection),
    Field("user", nullable(STRING), _user),
)
"""`name` is its queue; `pending`, unlike a destination's, is what is not on its way yet, as with ActiveMQ."""

DESTINATION = Document(
    "Destination",
    Field("name", STRING, lambda s, r: s.name),
    Field("vhost", STRING, lambda s, r: s.vhost.name),
    Field("kind", STRING, lambda s, r: s.kind),
    Field("temporary", BOOLEAN, _is_temporary),
    Field("durable", BOOLEAN, _is_durable),
    Field("consumers", INTEGER, lambda s, r: s.thing.consumer_count),
    Field("pending", nullable(INTEGER), _number("pending")),
    Field("in_flight", nullable(INTEGER), _number("in_flight")),
    Field("enqueued", nullable(INTEGER), _number("enqueued")),
    Field("dispatched", nullable(INTEGER), _number("dispatched")),
    Field("dequeued", nullable(INTEGER), _number("dequeued")),
    Field("expired", nullable(INTEGER), _number("expired")),
    Field("killed", nullable(INTEGER), _number("killed")),
    Field("subscriber_details", array(SUBSCRIBER.schema()), _details, Level.DETAIL),
)
# fmt: on


def _queue(vhost: VHost, queue: Queue) -> Shown:
    return Shown(vhost, QUEUE, queue, numbers_of(queue))


def _topic(topic: seen.Topic) -> Shown:
    return Shown(topic.vhost, TOPIC, topic, topic.numbers)


def destinations(request: Request) -> Iterator[bytes]:
    """All queues and topics, or those of one kind."""
    wanted = request.query.get("kind")
    if wanted is not None and wanted not in KINDS:
        raise bad_request(f"kind '{wanted}': one of {', '.join(KINDS)}")
    return _render(request, list(request.visible_vhosts()), wanted)


def _render(request: Request, vhosts: list[VHost], wanted: str | None) -> Iterator[bytes]:
    topics: list[seen.Topic] = []
    for vhost in vhosts if wanted != QUEUE else ():
        walk = seen.topics(vhost)
        while True:
            try:
                next(walk)
            except StopIteration as end:
                topics += end.value.values()
                break
            yield b""

    def found() -> Iterator[Shown]:
        for vhost in vhosts if wanted != TOPIC else ():
            for queue in seen.queues(vhost):
                yield _queue(vhost, queue)
        for topic in topics:
            yield _topic(topic)

    yield from render(Listing(found(), DESTINATION, _order), request)


def _order(shown: Shown) -> tuple[str, str, str]:
    return shown.vhost.name, shown.kind, shown.name


def destination(request: Request) -> Iterator[bytes]:
    """One of them, with its subscribers."""
    vhost, name = request.vhost, request.path["destination"]
    if request.path["kind"] == TOPIC:
        topic = seen.topic_of(vhost, name)
        if topic is None:
            raise not_found()
        return show(_topic(topic), DESTINATION, request)
    queue = vhost.queues.get(name) if request.path["kind"] == QUEUE else None
    if queue is None or queue.in_log or seen.is_subscriber(vhost, queue):
        raise not_found()
    return show(_queue(vhost, queue), DESTINATION, request)


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """A message in JMS' words; times in milliseconds. `headers` may have ActiveMQ's for a schedule."""

    body: str = ""
    headers: dict[str, str | int | float | bool] = {}
    persistent: bool = True
    priority: int = 4
    time_to_live: int = 0
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None


async def send(request: Request) -> dict[str, bool]:
    """Answered when the message is safe; a queue that is missing is made."""
    kind, name, told = request.path["kind"], request.path["destination"], request.body
    if kind not in KINDS:
        raise not_found()
    if not 0 <= told.priority <= 9 or told.time_to_live < 0:
        raise bad_request("priority is 0 to 9, time_to_live a number of milliseconds")
    said = wire.Properties(
        headers=told.headers or None,
        delivery_mode=2 if told.persistent else 1,
        priority=told.priority,
        expiration=str(told.time_to_live) if told.time_to_live else None,
        correlation_id=told.correlation_id,
        reply_to=told.reply_to,
        type=told.type,
    )
    vhost = request.vhost
    with request.client(vhost.name) as client:
        try:
            routed = await publish(
                client, Destination(kind, name), said, told.body.encode(), exists=name in vhost.queues
            )
        except (WireError, OverflowError, ValueError) as error:
            raise bad_request(f"the message cannot be written: {error}") from None
    return {"routed": routed}


# --- subscribers -------------------------------------------------------------------------------------------


def subscribers(request: Request) -> Listing:
    found = (one for vhost in list(request.visible_vhosts()) for one in seen.subscribers(vhost))
    return Listing(found, SUBSCRIBER, lambda one: (one.vhost.name, one.queue.name))


# --- what is scheduled -------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """An exchange in which messages wait until they are due."""

    vhost: VHost
    exchange: Exchange


def _lane(shown: Waiting) -> Any:
    assert shown.exchange.schedule is not None
    return shown.exchange.schedule.lane


def _next_at(shown: Waiting, request: Request) -> int | None:
    return next((due_ms for due_ms, _ in _lane(shown).first_due(1)), None)


def _next(shown: Waiting, request: Request) -> list[dict[str, Any]]:
    return [
        {
            "due": due_ms,
            "destination": None if message is None else message.address.routing_key,
            "size": None if message is None else len(message.body),
            "persistent": None if message is None else message.persistent,
        }
        for due_ms, message in _lane(shown).first_due(NEXT_MAX)
    ]


_NEXT = {
    "type": "object",
    "properties": {
        "due": INTEGER,
        "destination": nullable(STRING),
        "size": nullable(INTEGER),
        "persistent": nullable(BOOLEAN),
    },
}
# fmt: off
SCHEDULE = Document(
    "Schedule",
    Field("name", STRING, lambda s, r: s.exchange.name),
    Field("vhost", STRING, lambda s, r: s.vhost.name),
    Field("waiting", INTEGER, lambda s, r: s.exchange.schedule.waiting_count),
    Field("bytes", INTEGER, lambda s, r: s.exchange.schedule.queue.ready_bytes),
    Field("next_due", nullable(INTEGER), _next_at),
    Field("next", array(_NEXT), _next),
)
"""`next`: the first of them; of those that only the disk holds nothing is known but when they are due."""
# fmt: on


def scheduled(request: Request) -> Listing:
    found = (
        Waiting(vhost, exchange)
        for vhost in list(request.visible_vhosts())
        for exchange in list(vhost.exchanges.values())
        if exchange.schedule is not None
    )
    return Listing(found, SCHEDULE, lambda one: (one.vhost.name, one.exchange.name))


# --- who is served -----------------------------------------------------------------------------------------


def protocols(request: Request) -> list[str]:
    """Also ActiveMQ's API over HTTP, which is none of clients' protocols."""
    http = [one.protocol for one in request.node.listeners if one.protocol == ACTIVEMQ_HTTP]
    return [*request.node.spoken, *dict.fromkeys(http)]


_KIND = Parameter("kind", STRING, "Only `queue` or only `topic`.")
ROUTES = (
    Route(
        "GET",
        "/protocols",
        protocols,
        MANAGEMENT,
        "The protocols that clients may speak here.",
        array(STRING),
    ),
    Route(
        "GET",
        "/destinations",
        destinations,
        MANAGEMENT,
        "All queues and topics, as ActiveMQ tells them apart.",
        Many(DESTINATION),
        parameters=(*LISTING, _KIND),
    ),
    Route(
        "GET",
        "/destinations/{vhost}",
        destinations,
        SEES,
        "The queues and topics of a virtual host.",
        Many(DESTINATION),
        parameters=(*LISTING, _KIND),
    ),
    Route(
        "GET",
        "/destinations/{vhost}/{kind}/{destination}",
        destination,
        SEES,
        "A queue or a topic, with its subscribers.",
        DESTINATION,
        parameters=COLUMNS,
    ),
    Route(
        "POST",
        "/destinations/{vhost}/{kind}/{destination}",
        send,
        ENTERS,
        "Send a message to a queue or a topic.",
        {"type": "object", "properties": {"routed": BOOLEAN}},
        body=MessageBody,
    ),
    Route(
        "GET",
        "/subscribers",
        subscribers,
        MANAGEMENT,
        "Whoever is subscribed to topics, or was and will be again.",
        Many(SUBSCRIBER),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/subscribers/{vhost}",
        subscribers,
        SEES,
        "The subscribers of a virtual host.",
        Many(SUBSCRIBER),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/scheduled",
        scheduled,
        MANAGEMENT,
        "Exchanges in which messages wait for their time, and what comes next.",
        Many(SCHEDULE),
        parameters=LISTING,
    ),
)
