"""Queues, topics and subscribers, as ActiveMQ tells them apart, read from the core.

A *subscriber* is a queue that is bound to `amq.topic`, where every protocol's topics are: a durable
subscription, the session of an MQTT client, a queue that goes with its connection. A *topic* is what
subscribers are bound by: it is there while somebody is subscribed, and what is published to it meanwhile is
counted where it arrives. All other queues are *queues*, but for partitions of logs, which are none of
ActiveMQ's; so are those of virtual topics (`Consumer.NAME.VirtualTopic.X`), whose consumers are their own.

Numbers are the core's counters, since the start, and lengths of the moment. Of a subscriber to several topics
nobody knows which message came by which, so the numbers of such topics are None: not known.

Source: ActiveMQ's management beans and web console, rows A20, A21, A82. Cost: O(1) for a queue or a
subscriber; O(subscriptions) for topics, in steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.jms_destinations import VIRTUAL_CONSUMER, Numbers, numbers_of
from pillarbox.broker.schedule_header import SCHEDULED_QUEUES
from pillarbox.broker.schedule_places import Places

if TYPE_CHECKING:
    from collections.abc import Generator

    from pillarbox.broker.client import ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

STEP_BINDINGS: Final = 200
"""Bindings that are looked at in one step: about a tenth of a millisecond."""
STEPS_WAITED: Final = 200_000
"""Steps in which others have their turns, before whoever asks hears nothing: about a second."""

_SESSION = re.compile(r"mqtt-subscription-(?P<client>.*)qos[01]", re.DOTALL)
_SHARED = re.compile(r"mqtt-shared-(?P<name>.*)", re.DOTALL)
_UNNAMED = re.compile(r"stomp-subscription-.*|amq\.gen-.*", re.DOTALL)
_SUBSCRIPTION = re.compile(r"(mqtt|stomp)-subscription-|mqtt-shared-")


def is_subscriber(vhost: VHost, queue: Queue) -> bool:
    """Does a queue stand for a subscription to topics?"""
    if queue.in_log or queue.name.startswith(VIRTUAL_CONSUMER):
        return False
    return _SUBSCRIPTION.match(queue.name) is not None or any(
        binding.source.name == TOPICS for binding in vhost.bindings_to(queue)
    )


def queues(vhost: VHost) -> Iterator[Queue]:
    """Those that are no subscriber, over a copy."""
    for queue in list(vhost.queues.values()):
        if not (queue.in_log or queue.deleted or is_subscriber(vhost, queue)):
            yield queue


def scheduled(vhost: VHost) -> Generator[None, None, Places | None]:
    """How many messages wait for their time that will go to each queue, by its name; None: that is not known
    yet. At first they are read, which some steps are waited for."""
    exchange = vhost.exchanges.get(SCHEDULED_QUEUES)
    schedule = None if exchange is None else exchange.schedule
    if schedule is None:
        return Places(0)
    for _ in range(STEPS_WAITED):
        found = schedule.destinations()
        if found is not None:
            return found
        yield
    return None


# --- topics ------------------------------------------------------------------------------------------------


class Topic(NamedTuple):
    """A topic, or a pattern of topics, that somebody is subscribed to. `key`: as it is bound."""

    vhost: VHost
    key: str
    subscribers: list[Queue]

    @property
    def name(self) -> str:
        return topic_name(self.key)

    @property
    def consumer_count(self) -> int:
        """Its subscribers, whether they are there or not, as with ActiveMQ."""
        return len(self.subscribers)

    @property
    def numbers(self) -> Numbers | None:
        """None: not known. `enqueued`: what came to the subscriber that got most, each message once; the
        others are sums over subscribers, as with ActiveMQ."""
        found = []
        for queue in self.subscribers:
            if sum(1 for binding in self.vhost.bindings_to(queue)) > 1:
                return None
            found.append(numbers_of(queue))
        return Numbers(
            sum(each.pending for each in found),
            sum(each.in_flight for each in found),
            max((each.enqueued for each in found), default=0),
            sum(each.dispatched for each in found),
            sum(each.dequeued for each in found),
            sum(each.expired for each in found),
            sum(each.killed for each in found),
        )


def topic_name(key: str) -> str:
    """A binding's key in ActiveMQ's words: `>` stands for any number of them."""
    return f"{key[:-1]}>" if key == "#" or key.endswith(".#") else key


def topic_key(name: str) -> str:
    """The other way round."""
    return f"{name[:-1]}#" if name == ">" or name.endswith(".>") else name


def topics(vhost: VHost) -> Generator[None, None, dict[str, Topic]]:
    """All topics, by key; a step for some of the bindings."""
    found: dict[str, Topic] = {}
    exchange = vhost.exchanges.get(TOPICS)
    bindings = [] if exchange is None else list(exchange.bindings.values())
    for at, binding in enumerate(bindings, 1):
        if at % STEP_BINDINGS == 0:
            yield
        queue = vhost.queues.get(binding.destination.name)
        if queue is not binding.destination:
            continue
        topic = found.setdefault(binding.key, Topic(vhost, binding.key, []))
        if is_subscriber(vhost, queue) and queue not in topic.subscribers[-1:]:
            topic.subscribers.append(queue)
    return found


def topic_of(vhost: VHost, name: str) -> Topic | None:
    """One of them, if it is there. Cost: as for all."""
    walk = topics(vhost)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            found: Topic | None = end.value.get(topic_key(name))
            return found


# --- subscribers -------------------------------------------------------------------------------------------


class Subscriber(NamedTuple):
    """Whoever hears topics. `consumer`: who receives for it now, the first one; None: it is offline."""

    vhost: VHost
    queue: Queue
    topics: tuple[str, ...]
    client_id: str
    name: str
    """Of a durable subscription; of others empty."""
    consumer: Consumer | None
    session: Session | None
    facts: ClientFacts | None

    @property
    def is_active(self) -> bool:
        return self.consumer is not None

    @property
    def is_durable(self) -> bool:
        """Does it outlive its connection?"""
        return self.queue.durable and self.queue.owner is None

    @property
    def destination(self) -> str:
        return ",".join(self.topics)

    @property
    def selector(self) -> str:
        return "" if self.consumer is None else str(self.consumer.arguments.get(SELECTOR, ""))


def subscribers(vhost: VHost) -> Iterator[Subscriber]:
    """All of them, over a copy."""
    for queue in list(vhost.queues.values()):
        if not queue.deleted and is_subscriber(vhost, queue):
            yield subscriber_of(vhost, queue)


def subscriber_of(vhost: VHost, queue: Queue) -> Subscriber:
    """What a queue of a subscriber says."""
    heard = tuple(
        dict.fromkeys(
            topic_name(binding.key) for binding in vhost.bindings_to(queue) if binding.source.name == TOPICS
        )
    )
    consumer = next(iter((*queue.consumers, *queue.standby)), None)
    session = session_of(consumer)
    head = None if session is None else session.head
    facts = None if head is None else head.client_facts()
    client, name = _named(queue, client_id_of(session))
    return Subscriber(vhost, queue, heard, client, name, consumer, session, facts)


def session_of(consumer: Consumer | None) -> Session | None:
    """Whose consumer that is: whoever receives is, in every head, also what it lists as its channel."""
    return None if consumer is None else consumer.sink.session  # type: ignore[attr-defined]


def client_id_of(session: Session | None) -> str:
    """What a client calls itself, where its protocol has a word for that."""
    return "" if session is None else session.client_id or ""


def _named(queue: Queue, client: str) -> tuple[str, str]:
    """Client id and name of a subscription. The queue of one of ActiveMQ's is called `CLIENT.NAME`: while
    nobody is there to say its id, the first dot counts."""
    if found := _SESSION.fullmatch(queue.name):
        return found["client"], ""
    if found := _SHARED.fullmatch(queue.name):
        return client, found["name"]
    if _UNNAMED.fullmatch(queue.name):
        return client, ""
    if client:
        return client, queue.name.removeprefix(f"{client}.")
    if queue.durable and "." in queue.name:
        client, _, name = queue.name.partition(".")
        return client, name
    return "", queue.name
