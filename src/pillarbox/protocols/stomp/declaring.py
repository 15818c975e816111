"""What has to be there for a destination: its queue, the queue of a subscription, its bindings.

A queue `/queue/NAME` is made when somebody first sends to it or subscribes: durable, with the `x-` arguments
and the attributes that the headers of that frame name. A subscription to a topic or an exchange has a queue
of its own: exclusive and gone with the subscription, or durable, if the client asks for that. Whatever is
there already is used as it is.

With ActiveMQ's dialect queues have a dead-letter queue, and those of virtual topics are bound to their topic.

Source: rows A20, A21, A25, A33, A36, R142; RabbitMQ's "STOMP Plugin".
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Container, Mapping
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker import advisories, anycast
from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.cron import read_cron
from pillarbox.broker.exchange import ANYCAST
from pillarbox.broker.jms_destinations import matcher, name_of
from pillarbox.broker.schedule_header import (
    DELAY_HEADER,
    PERIOD_HEADER,
    REPEAT_HEADER,
    SCHEDULED_ANYCAST,
    SCHEDULED_QUEUES,
    SCHEDULED_TOPICS,
    SCHEDULES,
    number_of,
)
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp import destinations
from pillarbox.protocols.stomp.destinations import (
    ADVISORIES,
    AMQ_QUEUE,
    EXCHANGE,
    QUEUE,
    REPLY_QUEUE,
    TEMP_QUEUE,
    TEMP_TOPIC,
    TOPIC,
    VIRTUAL_CONSUMER,
    Destination,
)
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.subscription import AUTO, Subscription

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.recovery import Recovery
    from pillarbox.broker.target import Target
    from pillarbox.protocols.stomp.channel import Channel

VIRTUAL_TOPIC: Final = "VirtualTopic."
"""How the name of a virtual topic begins; its queues are `Consumer.NAME.VirtualTopic.X`."""

SUBSCRIPTION_NAMES: Final = (
    "activemq.subscriptionName",
    "durable-subscription-name",
    "durable-subscriber-name",
)
PENDING: Final = "activemq.maximumPendingMessageLimit"
"""How many messages may wait for a subscription to a topic, beside those that it has."""

RETAIN: Final = "ActiveMQ.Retain"
"""Of a message to a topic: `true` if it is to stand for those before it."""
DISCARDED: Final = "ActiveMQ.Discarded"
"""An exchange that nobody makes: what goes there is gone, but advisories tell of it (A38)."""

COMPOSED_MAX: Final = 100
"""Destinations in one SEND, each of which is published to by itself."""

DELAY, PERIOD, REPEAT, CRON = SCHEDULES
"""ActiveMQ's words for when a message comes."""
MOMENT: Final = "_AMQ_SCHED_DELIVERY"
"""Artemis' word for when a message comes: a moment in milliseconds."""
SCHEDULED: Final = {
    "": (SCHEDULED_QUEUES, "direct"),
    destinations.TOPICS: (SCHEDULED_TOPICS, "topic"),
    ANYCAST: (SCHEDULED_ANYCAST, "topic"),
}
"""In which exchange messages wait that will go to this one, and how it routes."""
JOB: Final = "scheduledJobId"
"""By which a message that waits is known; a message that comes again keeps it."""


def _truth(text: str) -> bool:
    return text == "true"


ARGUMENTS: Final[dict[str, Callable[[str], Any]]] = {
    "x-dead-letter-exchange": str,
    "x-dead-letter-routing-key": str,
    "x-dead-letter-expired": _truth,
    "x-dead-letter-dropped": _truth,
    "x-dead-letter-transient": _truth,
    "x-expires": int,
    "x-max-length": int,
    "x-max-length-bytes": int,
    "x-max-priority": int,
    "x-message-ttl": int,
    "x-overflow": str,
    "x-overflow-property": str,
    "x-queue-type": str,
    "x-redelivery-max": int,
    "x-redelivery-delay": int,
    "x-redelivery-delay-max": int,
    "x-redelivery-multiplier": float,
    "x-single-active-consumer": _truth,
    "x-last-value-key": str,
    "x-non-destructive": _truth,
    "x-max-age": str,
    "x-stream-max-segment-size-bytes": int,
}
"""Headers of SEND and SUBSCRIBE that are arguments of the queue, with how they are read."""


def arguments_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a queue. Raises StompError."""
    found = {}
    for name, read in ARGUMENTS.items():
        if name in headers:
            try:
                found[name] = read(headers[name])
            except ValueError:
                text = f"header '{name}' is '{headers[name]}': it must be a number"
                raise StompError("Invalid header", text) from None
    return found


def _flag(headers: Mapping[str, str], name: str, default: bool) -> bool:
    return _truth(headers[name]) if name in headers else default


# --- queues ------------------------------------------------------------------------------------------


def ensure_queue(channel: Channel, name: str, headers: Mapping[str, str]) -> None:
    """Make the queue of a `/queue/` destination, if it is not there. Raises BrokerError or StompError."""
    vhost = channel.session.vhost
    if name not in vhost.queues:
        arguments = arguments_of(headers)
        settings = channel.settings
        dead_letters = settings.dead_letter_queue
        if settings.is_activemq and name != dead_letters and not vhost.has_dead_letter_policy(name):
            ensure_queue(channel, dead_letters, {})
            arguments = settings.dead_letter_arguments | arguments
        channel.session.declare_queue(
            name,
            durable=_flag(headers, "durable", True),
            exclusive=_flag(headers, "exclusive", False),
            auto_delete=_flag(headers, "auto-delete", False),
            arguments=arguments,
        )
    topic = _virtual_topic(name) if channel.settings.is_activemq else ""
    if topic:
        channel.session.bind_queue(name, destinations.TOPICS, destinations.pattern(topic), {}, add=True)


def _virtual_topic(name: str) -> str:
    """The virtual topic, or pattern of some, whose messages a queue of this name gets; empty: none."""
    consumer, found, topic = name.partition(f".{VIRTUAL_TOPIC}")
    is_one = bool(found and topic) and name.startswith(VIRTUAL_CONSUMER) and "*" not in consumer.split(".")
    return VIRTUAL_TOPIC + topic if is_one else ""


def ensure_temporary(channel: Channel, name: str) -> str:
    """The queue behind the client's own name of a temporary one, made when it is first used."""
    real = channel.temporary.get(name)
    if real is None or real not in channel.session.vhost.queues:
        real = channel.temporary[name] = channel.core.unique_name("stomp-temp-")
        channel.session.declare_queue(real, exclusive=True, auto_delete=False)
    return real


def _temporary_topic(channel: Channel, found: Destination) -> Destination:
    """The topic behind the client's own name of a temporary one: nobody else has its key."""
    own = f"topic {found.key}"
    key = channel.temporary.get(own)
    if key is None:
        key = channel.temporary[own] = channel.core.unique_name("stomp-temp-")
        channel.core.events.mention("topic.used", channel.session.vhost, key, channel.session)
    return Destination(TOPIC, found.exchange, key)


# --- sending -----------------------------------------------------------------------------------------


def for_sending(channel: Channel, text: str, headers: Mapping[str, str]) -> Destination:
    """Where SEND publishes to, with what it needs made. Raises BrokerError or StompError."""
    found = destinations.parse(text, slashes=channel.settings.is_activemq)
    if found.kind == QUEUE:
        ensure_queue(channel, found.key, headers)
        if channel.settings.is_artemis and anycast.take_part(channel.session.vhost, found.key):
            found = found._replace(exchange=ANYCAST)
    elif found.kind == TEMP_QUEUE:
        found = found._replace(key=ensure_temporary(channel, found.key))
    elif found.kind == TEMP_TOPIC:
        found = _temporary_topic(channel, found)
    elif found.kind == TOPIC and channel.settings.is_activemq:
        channel.core.events.mention("topic.used", channel.session.vhost, found.key, None)
    return _scheduled(channel, found) if JOB in headers and DELAY_HEADER in headers else found


def composed(channel: Channel, text: str) -> list[str]:
    """The destinations that ActiveMQ sees in one, with commas between them.

    Those that name no kind are of the first one's. Raises StompError.
    """
    if not channel.settings.is_activemq or channel.settings.is_artemis or "," not in text:
        return [text]
    first, *others = text.split(",")
    if len(others) >= COMPOSED_MAX:
        raise StompError("Invalid destination", f"more than {COMPOSED_MAX} destinations in one")
    prefix = first[: first.index("/", 1) + 1] if first.startswith("/") and "/" in first[1:] else f"/{QUEUE}/"
    whole = [
        each if each.startswith("/") or "://" in each else prefix + each for each in map(str.strip, others)
    ]
    return [first.strip(), *whole]


def keep_groups(channel: Channel, target: Target) -> None:
    """Let the group of a message count where it goes, or will go when its time has come (A28)."""
    vhost = channel.session.vhost
    names = [queue.name for queue in target.route.queues]
    exchange, key = target.address.exchange, target.address.routing_key
    if exchange == SCHEDULED_QUEUES:
        names = [key]
    elif exchange == SCHEDULED_ANYCAST:
        names = [queue.name for queue in anycast.queues_of(vhost, key)]
    for name in names:
        queue = vhost.queues.get(name)
        if queue is not None and queue.owner is None and not queue.in_log:
            vhost.keep_groups(queue)


def reply_to(channel: Channel, text: str) -> str:
    """What others are told where to send a reply; a temporary queue is made, and read if RabbitMQ does."""
    if not text.startswith((f"/{TEMP_QUEUE}/", f"{TEMP_QUEUE}://")):
        return text
    real = ensure_temporary(channel, destinations.parse(text, slashes=True).key)
    if not channel.settings.is_activemq and text not in channel.replies:
        # Replies carry the name under which the client asked for them.
        channel.read(Subscription(f"T_{text}", text, text, AUTO), real)
        channel.replies.add(text)
    return f"/{REPLY_QUEUE}/{real}"


def read_schedule(channel: Channel, headers: dict[str, str]) -> None:
    """Put ActiveMQ's words for a delay and for repetition into those of the domain. Raises StompError."""
    if MOMENT in headers:
        read_moment(channel, headers)
    if not headers.keys() & SCHEDULES.keys():
        # Of a message that was passed on.
        headers.pop(JOB, None)
        return
    for name, own in SCHEDULES.items():
        text = headers.pop(name, None)
        if text is None:
            continue
        try:
            if name == CRON:
                read_cron(text)
            elif not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 18:
                raise ValueError("it must be a number")
        except ValueError as fault:
            raise StompError("Invalid header", f"header '{name}' is '{text}': {fault}") from None
        headers[own] = text
    period = headers.get(PERIOD_HEADER, "0")
    if headers.get(REPEAT_HEADER, "0") != "0" and number_of(period) < 1:
        raise StompError("Invalid header", f"header '{REPEAT}' needs a '{PERIOD}' of at least a millisecond")
    if number_of(headers.get(DELAY_HEADER)) < 1:
        # As with ActiveMQ, what comes periodically comes a period later for the first time.
        headers[DELAY_HEADER] = period
    headers[JOB] = channel.core.unique_name("ID:")


def read_moment(channel: Channel, headers: dict[str, str]) -> None:
    """Put Artemis' moment at which a message comes into ActiveMQ's words. Raises StompError."""
    text = headers.pop(MOMENT)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise StompError("Invalid header", f"header '{MOMENT}' is '{text}': it must be in milliseconds")
    delay_ms = int(text) - channel.core.changes.now_ms
    if delay_ms > 0:
        headers[DELAY] = str(delay_ms)


def _scheduled(channel: Channel, found: Destination) -> Destination:
    """The exchange in which messages to this destination wait, made when it is first used."""
    if found.exchange not in SCHEDULED:
        raise StompError("not_implemented", f"{DELAY} works with queues and topics alone")
    channel.session.route(found.exchange, (found.key,))  # Whoever may not send there may not do so later.
    vhost = channel.session.vhost
    name, kind = SCHEDULED[found.exchange]
    exchange = vhost.declare_exchange(
        name, "x-delayed-message", durable=True, arguments={"x-delayed-type": kind}
    )
    if found.exchange == "":
        vhost.bind(exchange, vhost.queue_for(channel.session, found.key), found.key, {})
        if vhost.interception is not None:
            vhost.interception.stand_before(exchange)
    else:
        vhost.bind(exchange, vhost.exchange(found.exchange), "#", {})
    return found._replace(exchange=name)


# --- subscribing -------------------------------------------------------------------------------------


def for_subscribing(channel: Channel, text: str, headers: Mapping[str, str]) -> str:
    """The queue that a subscription reads, with what it needs made. Raises BrokerError or StompError."""
    found = destinations.parse(text, slashes=channel.settings.is_activemq)
    if found.kind == REPLY_QUEUE:
        raise StompError("Invalid destination", f"'{text}' is not a valid destination for 'SUBSCRIBE'")
    if found.kind in (QUEUE, AMQ_QUEUE, TEMP_QUEUE) and subscription_name(headers) is not None:
        raise StompError("Invalid Subscription", "cannot durably subscribe to a Queue destination!")
    if found.kind == QUEUE:
        ensure_queue(channel, found.key, headers)
        if channel.settings.is_artemis:
            anycast.take_part(channel.session.vhost, found.key)
    if found.kind == TEMP_QUEUE:
        return ensure_temporary(channel, found.key)
    if found.kind in (QUEUE, AMQ_QUEUE):
        return found.key
    if found.kind == TEMP_TOPIC:
        found = _temporary_topic(channel, found)
    assert found.kind in (TOPIC, EXCHANGE)
    return _subscription_queue(channel, text, found, headers)


def queues_of(channel: Channel, text: str, headers: Mapping[str, str]) -> Callable[[str], object] | None:
    """Which queues a subscription reads that is to several with ActiveMQ, by wildcards or with commas between
    them (A24, A26); None: it is to one, or to topics. Raises BrokerError or StompError.
    """
    if not channel.settings.is_activemq:
        return None
    parts = [destinations.parse(part, slashes=True) for part in composed(channel, text)]
    kinds = {part.kind for part in parts}
    if len(kinds) > 1 or (len(parts) > 1 and not kinds & {QUEUE, TOPIC}):
        raise StompError("not_implemented", f"a subscription is to queues or to topics: '{text}'")
    if kinds != {QUEUE} or (len(parts) == 1 and not _is_pattern(parts[0].key)):
        return None
    for part in parts:
        if not _is_pattern(part.key):
            ensure_queue(channel, part.key, headers)
    wanted = [matcher(part.key) if _is_pattern(part.key) else part.key.__eq__ for part in parts]
    return lambda name: any(matches(name) for matches in wanted)


def _is_pattern(name: str) -> bool:
    return destinations.is_pattern(name) and not _virtual_topic(name)


def is_of_a_topic(channel: Channel, queue: Queue) -> bool:
    """Is it the queue of a subscription to a topic, which others do not know as a queue?"""
    if queue.name.startswith(VIRTUAL_CONSUMER):
        return False
    bindings = channel.session.vhost.bindings_to(queue)
    return any(binding.source.name in (destinations.TOPICS, ADVISORIES) for binding in bindings)


def has_queue_of_its_own(channel: Channel, text: str) -> bool:
    """Does a subscription to this destination read a queue that nobody else reads?"""
    found = destinations.parse(text, slashes=channel.settings.is_activemq)
    return found.kind in (TOPIC, TEMP_TOPIC, EXCHANGE)


def _subscription_queue(channel: Channel, text: str, found: Destination, headers: Mapping[str, str]) -> str:
    """The queue of a subscription to a topic or an exchange, bound there."""
    session = channel.session
    parts = composed(channel, text) if found.kind == TOPIC else []
    every = [destinations.parse(part, slashes=True) for part in parts] if len(parts) > 1 else [found]
    places = [(source, one.key) for one in every for source in _sources(channel, one)]
    sources = [source for source, _ in places]
    session.vhost.exchange(sources[-1])  # Before anything is made: there may be none.
    durable = durable_name(channel, text, headers)
    name = headers.get("x-queue-name") or durable or channel.core.unique_name("stomp-subscription-")
    if durable and _selects_otherwise(channel, name, headers):
        session.delete_queue(name, if_unused=True, if_empty=False)
    if name not in session.vhost.queues:
        arguments = arguments_of(headers)
        if durable and channel.settings.is_activemq:
            arguments[SELECTOR] = headers.get("selector", "")
        if not durable:
            arguments = _pending(channel, found, headers) | arguments
        elif sources[-1] == destinations.TOPICS:
            arguments = _dead_letters(channel, name) | arguments
        session.declare_queue(
            name,
            durable=bool(durable),
            exclusive=_flag(headers, "exclusive", not durable),
            auto_delete=_flag(headers, "auto-delete", not durable),
            arguments=arguments,
        )
    else:
        _leave_other_topics(channel, name, places)
    for source, key in places:
        # Whoever asks for all topics gets those that it may read.
        is_beside = source == ADVISORIES and (found.exchange, key) in places
        with contextlib.suppress(*((BrokerError,) if is_beside else ())):
            session.bind_queue(name, source, key, {}, add=True)
    return name


def _sources(channel: Channel, found: Destination) -> tuple[str, ...]:
    """The exchanges on which the topics of a subscription are: ActiveMQ's own have another (A38)."""
    name = name_of(found.key)
    if not channel.settings.is_activemq or found.kind != TOPIC or not advisories.may_be_told(name):
        return (found.exchange,)
    channel.core.advisories.provide(channel.session.vhost)
    return (ADVISORIES,) if name.startswith(advisories.PREFIX) else (ADVISORIES, found.exchange)


def recovery_of(channel: Channel) -> Recovery | None:
    """What is kept of topics where this client is."""
    settings = channel.settings
    return settings.recovery if channel.session.vhost.name == settings.vhost else None


def is_there(channel: Channel, text: str, headers: Mapping[str, str]) -> bool:
    """Is there the queue of a subscription to a topic or an exchange already?"""
    name = headers.get("x-queue-name") or durable_name(channel, text, headers)
    return name in channel.session.vhost.queues


def recover(channel: Channel, text: str, queue: str, *, asks: bool, is_new: bool) -> None:
    """Give a subscription to a topic what that has kept for it (A27)."""
    recovery = recovery_of(channel)
    found = destinations.parse(text, slashes=True)
    if recovery is not None and found.kind == TOPIC:
        matches = matcher(name_of(found.key))
        recovery.recover(matches, channel.session.vhost.queue(queue), asks=asks, is_new=is_new)


def retained(channel: Channel, target: Target) -> Target | None:
    """The target of a message that is to be retained (A27); None: it goes to no topic."""
    recovery = recovery_of(channel)
    exchange, topic = target.address.exchange, target.address.routing_key
    if recovery is None or channel.settings.is_artemis or exchange != destinations.TOPICS:
        return None
    queues = (*target.route.queues, recovery.retaining(topic))
    return target._replace(route=msgspec.structs.replace(target.route, queues=queues))


def tell_what_there_is(channel: Channel, text: str, queue: str) -> None:
    """Tell a new subscription to ActiveMQ's own topics of what has been before it."""
    found = destinations.parse(text, slashes=True)
    name = name_of(found.key)
    if channel.settings.is_activemq and found.kind == TOPIC and name.startswith(advisories.PREFIX):
        vhost = channel.session.vhost
        channel.core.advisories.tell_all_to(vhost, vhost.queue(queue), name)


def _pending(channel: Channel, found: Destination, headers: Mapping[str, str]) -> dict[str, Any]:
    """How many messages may wait for a subscription that could not have them yet, and which go (A40).

    What a client says lowers what the operator says; 0 and less say nothing, as with ActiveMQ. Raises
    StompError.
    """
    text = headers.get(PENDING, "-1")
    if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 9:
        raise StompError("Invalid header", f"header '{PENDING}' is '{text}': it must be a whole number")
    policies = channel.settings.policies
    is_topic = found.exchange == destinations.TOPICS
    policy = policies.of(TOPIC, name_of(found.key)) if is_topic else policies.base
    arguments = policy.arguments(int(text))
    if arguments and "MessageDiscarded" in channel.settings.advisories:
        # Of those that may not name the exchange nothing is told.
        with contextlib.suppress(BrokerError):
            channel.session.demand_exchange("write", DISCARDED)
            arguments |= {"x-dead-letter-exchange": DISCARDED}
    return arguments


def _dead_letters(channel: Channel, name: str) -> dict[str, Any]:
    """Where messages go that die in the queue of a durable subscription: with ActiveMQ one of each (A33)."""
    settings, session = channel.settings, channel.session
    if not settings.is_activemq or settings.is_artemis or session.vhost.has_dead_letter_policy(name):
        return {}
    # Who may not do this subscribes all the same.
    with contextlib.suppress(BrokerError):
        session.demand_queue("read", name)
        session.demand_exchange("write", "")
        ensure_queue(channel, settings.dead_letter_queue, {})
        return settings.dead_letter_arguments | {"x-dead-letter-once": True}
    return {}


def _selects_otherwise(channel: Channel, name: str, headers: Mapping[str, str]) -> bool:
    """Was the durable subscription of this queue made with another selector? With ActiveMQ it begins anew."""
    queue = channel.session.vhost.queues.get(name)
    if queue is None or not channel.settings.is_activemq or channel.settings.is_artemis:
        return False
    said = headers.get("selector", "")
    return bool(queue.arguments.get(SELECTOR, said) != said)


def _leave_other_topics(channel: Channel, name: str, places: Container[tuple[str, str]]) -> None:
    """A durable subscription of ActiveMQ that is made for another topic is a new one: what it has goes."""
    vhost = channel.session.vhost
    if not channel.settings.is_activemq:
        return
    others = [
        binding
        for binding in vhost.bindings_to(vhost.queue_for(channel.session, name))
        if (binding.source.name, binding.key) not in places
    ]
    if others:
        channel.session.purge_queue(name)
    for binding in others:
        channel.session.bind_queue(name, binding.source.name, binding.key, binding.arguments, add=False)


def subscription_name(headers: Mapping[str, str]) -> str | None:
    """The name of a durable subscription, as ActiveMQ's clients give one, and Artemis's."""
    return next((headers[name] for name in SUBSCRIPTION_NAMES if headers.get(name)), None)


def durable_name(channel: Channel, text: str, headers: Mapping[str, str]) -> str | None:
    """The name of the queue of a durable subscription; None: it is not to be durable. Raises StompError.

    ActiveMQ's are known by the client's id and a name, RabbitMQ's by destination and id.
    """
    named = subscription_name(headers)
    if named is not None:
        if not channel.connection.client_id:
            text = "a durable subscription needs a client-id in the CONNECT frame"
            raise StompError("Invalid Subscription", text)
        return f"{channel.connection.client_id}.{named}"
    if "true" not in (headers.get("durable"), headers.get("persistent")):
        return None
    identity = headers.get("id")
    if identity is None:
        raise StompError("Missing Header", "Header 'id' is required for durable subscriptions")
    digest = md5(f"{text}\0{identity}".encode(), usedforsecurity=False).digest()
    return f"stomp-subscription-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
