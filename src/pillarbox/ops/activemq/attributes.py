"""What can be read of beans: a row each. A row that has much to count works in steps.

What nobody knows is null. Producers are those of STOMP's kind, bound to no destination, so `ProducerCount` of
destinations is 0, as with ActiveMQ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.advisories import DEAD_LETTERS
from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.jms_destinations import numbers_of
from pillarbox.clock import iso_time
from pillarbox.ops.activemq import artemis, beans
from pillarbox.ops.activemq.beans import BROKER, NOT_SET, Bean, Receiver, Sender, Steps
from pillarbox.ops.activemq.names import BeanName
from pillarbox.ops.messaging import seen

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.beans import Acceptor, Connected
    from pillarbox.ops.activemq.view import View

DEAD_LETTERS_OF: Final = "DLQ."
"""How the name of a dead-letter queue begins that a queue has for itself."""
STEP_QUEUES: Final = 100
"""Queues that are counted in one step."""


def is_dead_letters(queue: Queue) -> bool:
    return queue.name == DEAD_LETTERS or queue.name.startswith(DEAD_LETTERS_OF)


def _bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes


def _percent(part: int, whole: int) -> int:
    return min(100, part * 100 // whole) if whole > 0 else 0


def _memory_max(view: View) -> int:
    return view.node.config.memory_budget


def _average(queue: Queue) -> int:
    return _bytes(queue) // max(1, numbers_of(queue).pending)


# --- destinations ------------------------------------------------------------------------------------------


def _subscriptions(view: View, queue: Queue) -> list[dict[str, str]]:
    return [{"objectName": beans.receiver_name(one).canonical} for one in beans.receivers_of(view, queue)]


OF_QUEUE: Final[dict[str, Callable[[View, Queue], Any]]] = {
    "Name": lambda view, queue: queue.name,
    "QueueSize": lambda view, queue: numbers_of(queue).pending,
    "EnqueueCount": lambda view, queue: queue.counters.publish,
    "DequeueCount": lambda view, queue: numbers_of(queue).dequeued,
    "DispatchCount": lambda view, queue: numbers_of(queue).dispatched,
    "InFlightCount": lambda view, queue: queue.unacked_count,
    "ConsumerCount": lambda view, queue: queue.consumer_count,
    "ProducerCount": lambda view, queue: 0,
    "ExpiredCount": lambda view, queue: queue.counters.expired,
    "MemoryUsageByteCount": lambda view, queue: _bytes(queue),
    "MemoryPercentUsage": lambda view, queue: _percent(_bytes(queue), _memory_max(view)),
    "MemoryLimit": lambda view, queue: _memory_max(view),
    "MemoryUsagePortion": lambda view, queue: 1.0,
    "CursorPercentUsage": lambda view, queue: 0,
    "CursorFull": lambda view, queue: False,
    "TempUsagePercentUsage": lambda view, queue: 0,
    "StoreMessageSize": lambda view, queue: _bytes(queue),
    "AverageMessageSize": lambda view, queue: _average(queue),
    "BlockedSends": lambda view, queue: 0,
    "DLQ": lambda view, queue: is_dead_letters(queue),
    "Paused": lambda view, queue: queue.paused,
    "PrioritizedMessages": lambda view, queue: len(queue.lanes) > 1,
    "ProducerFlowControl": lambda view, queue: True,
    "Options": lambda view, queue: "",
    "Subscriptions": _subscriptions,
}


def _topic_number(name: str) -> Callable[[View, seen.Topic], int | None]:
    def read(view: View, topic: seen.Topic) -> int | None:
        numbers = topic.numbers
        return None if numbers is None else getattr(numbers, name)

    return read


def _topic_bytes(view: View, topic: seen.Topic) -> int:
    return sum(map(_bytes, topic.subscribers))


def _topic_subscriptions(view: View, topic: seen.Topic) -> list[dict[str, str]]:
    return [told for queue in topic.subscribers for told in _subscriptions(view, queue)]


OF_TOPIC: Final[dict[str, Callable[[View, seen.Topic], Any]]] = {
    "Name": lambda view, topic: topic.name,
    "QueueSize": _topic_number("pending"),
    "EnqueueCount": _topic_number("enqueued"),
    "DequeueCount": _topic_number("dequeued"),
    "DispatchCount": _topic_number("dispatched"),
    "InFlightCount": _topic_number("in_flight"),
    "ConsumerCount": lambda view, topic: topic.consumer_count,
    "ProducerCount": lambda view, topic: 0,
    "ExpiredCount": _topic_number("expired"),
    "MemoryUsageByteCount": _topic_bytes,
    "MemoryPercentUsage": lambda view, topic: _percent(_topic_bytes(view, topic), _memory_max(view)),
    "MemoryLimit": lambda view, topic: _memory_max(view),
    "MemoryUsagePortion": lambda view, topic: 1.0,
    "TempUsagePercentUsage": lambda view, topic: 0,
    "BlockedSends": lambda view, topic: 0,
    "DLQ": lambda view, topic: False,
    "PrioritizedMessages": lambda view, topic: False,
    "ProducerFlowControl": lambda view, topic: True,
    "Options": lambda view, topic: "",
    "Subscriptions": _topic_subscriptions,
}


# --- clients -----------------------------------------------------------------------------------------------


def _subscriber(read: Callable[[seen.Subscriber], Any], other: Any) -> Callable[[View, Receiver], Any]:
    return lambda view, one: other if one.subscriber is None else read(one.subscriber)


def _own(name: str) -> Callable[[View, Receiver], int | None]:
    """A number of a consumer; where several share a queue, only their channel counts by itself."""

    def read(view: View, one: Receiver) -> int | None:
        if one.consumer is None or one.queue.consumer_count == 1:
            return getattr(numbers_of(one.queue), name)  # type: ignore[no-any-return]
        return None

    return read


def _connection_name(view: View, one: Receiver | Sender) -> dict[str, str] | None:
    if one.session is None or one.facts is None:
        return None
    name, _ = beans.connection_names(view, beans.Connected(one.session, one.facts, one.client))
    return {"objectName": name.canonical}


def _unanswered(view: View, one: Receiver) -> int:
    """Deliveries of this consumer that are out."""
    consumer = one.consumer
    if consumer is None:
        return 0
    if one.queue.consumer_count == 1:
        return one.queue.unacked_count
    return sum(entry.stop - entry.start for entry in consumer.ledger.entries() if entry.consumer is consumer)


OF_CONSUMER: Final[dict[str, Callable[[View, Receiver], Any]]] = {
    "ClientId": lambda view, one: one.client,
    "SubscriptionName": _subscriber(lambda told: told.name or None, None),
    "DestinationName": lambda view, one: (
        one.queue.name if one.subscriber is None else one.subscriber.destination
    ),
    "DestinationQueue": lambda view, one: one.subscriber is None,
    "DestinationTopic": lambda view, one: one.subscriber is not None,
    "DestinationTemporary": lambda view, one: one.subscriber is None and one.queue.owner is not None,
    "Active": lambda view, one: one.consumer is not None,
    "Durable": lambda view, one: (
        one.consumer is not None and one.subscriber is not None and one.subscriber.is_durable
    ),
    "Selector": lambda view, one: (
        None if one.consumer is None else one.consumer.arguments.get(SELECTOR) or None
    ),
    "Connection": _connection_name,
    "ConnectionId": lambda view, one: NOT_SET if one.facts is None else one.facts.name,
    "UserName": lambda view, one: None if one.session is None else one.session.user.name,
    "PrefetchSize": lambda view, one: 0 if one.consumer is None else one.consumer.prefetch,
    "Priority": lambda view, one: 0 if one.consumer is None else one.consumer.priority,
    "Exclusive": lambda view, one: one.consumer is not None and (one.consumer.exclusive or one.consumer.sole),
    "PendingQueueSize": lambda view, one: 0 if one.subscriber is None else one.queue.ready_count,
    "DispatchedQueueSize": _unanswered,
    "MessageCountAwaitingAcknowledge": _unanswered,
    "EnqueueCounter": _own("enqueued"),
    "DispatchedCounter": _own("dispatched"),
    "DequeueCounter": _own("dequeued"),
    "Network": lambda view, one: False,
    "Retroactive": lambda view, one: False,
    "SlowConsumer": lambda view, one: False,
    "DispatchAsync": lambda view, one: True,
}
"""An offline subscription is not `Durable` with ActiveMQ either."""


OF_PRODUCER: Final[dict[str, Callable[[View, Sender], Any]]] = {
    "ClientId": lambda view, one: one.client,
    "ConnectionId": lambda view, one: one.facts.name,
    "ProducerId": lambda view, one: f"{one.client}:{one.channel.number}",
    "DestinationName": lambda view, one: NOT_SET,
    "DestinationQueue": lambda view, one: False,
    "DestinationTopic": lambda view, one: False,
    "DestinationTemporary": lambda view, one: False,
    "SentCount": lambda view, one: one.channel.counters.publish,
    "UserName": lambda view, one: one.session.user.name,
    "ProducerWindowSize": lambda view, one: 0,
    "ProducerBlocked": lambda view, one: (
        one.session.head is not None and one.session.head.flow_state == "blocked"
    ),
}


def _consumers_of(view: View, one: Connected) -> list[dict[str, str]]:
    return [
        {"objectName": beans.receiver_name(beans.receiver_of(view, consumer)).canonical}
        for channel in list(one.session.channels)
        for consumer in list(channel.consumers.values())
    ]


OF_CONNECTION: Final[dict[str, Callable[[View, Connected], Any]]] = {
    "ClientId": lambda view, one: one.client,
    "RemoteAddress": lambda view, one: beans.address_of(one.facts),
    "UserName": lambda view, one: one.session.user.name,
    "Connected": lambda view, one: True,
    "Active": lambda view, one: True,
    "Blocked": lambda view, one: one.session.head is not None and one.session.head.flow_state == "blocked",
    "Slow": lambda view, one: False,
    "DispatchQueueSize": lambda view, one: 0,
    "ActiveTransactionCount": lambda view, one: sum(
        1 for channel in one.session.channels if channel.messages_uncommitted or channel.acks_uncommitted
    ),
    "Consumers": _consumers_of,
    "Producers": lambda view, one: [],
}
OF_CONNECTOR: Final[dict[str, Callable[[View, Acceptor], Any]]] = {
    "StatisticsEnabled": lambda view, one: True,
    "AllowLinkStealingEnabled": lambda view, one: one.protocol.startswith("mqtt"),
    "RebalanceClusterClients": lambda view, one: False,
    "UpdateClusterClients": lambda view, one: False,
    "UpdateClusterClientsOnRemove": lambda view, one: False,
    "UpdateClusterFilter": lambda view, one: None,
}


# --- the broker --------------------------------------------------------------------------------------------


def _total(of: Callable[[Queue], int]) -> Callable[[View], Steps[int]]:
    def count(view: View) -> Steps[int]:
        total = 0
        for at, queue in enumerate(list(view.queues.values())):
            total += of(queue)
            if at % STEP_QUEUES == 0:
                yield
        return total

    return count


def _waiting_count(view: View) -> Steps[int]:
    """Messages in queues; what waits for subscribers does not count, as with ActiveMQ."""
    host = view.core.vhosts.get(view.vhost)
    total = 0
    for queue in () if host is None else seen.queues(host):
        total += numbers_of(queue).pending
        yield
    return total


def _consumer_count(view: View) -> Steps[int]:
    """Consumers, and durable subscriptions that wait for theirs."""
    host = view.core.vhosts.get(view.vhost)
    total = 0
    if host is None:
        return total
    for queue in list(host.queues.values()):
        lasting = queue.durable and not queue.consumer_count and seen.is_subscriber(host, queue)
        total += queue.consumer_count + lasting
        yield
    return total


def _queue_names(*, temporary: bool) -> Callable[[View], Iterator[BeanName]]:
    def names(view: View) -> Iterator[BeanName]:
        host = view.core.vhosts.get(view.vhost)
        for queue in () if host is None else seen.queues(host):
            if (queue.owner is not None) == temporary:
                yield beans.name_of(queue.name)

    return names


def _topic_names(view: View) -> Steps[list[dict[str, str]]]:
    host = view.core.vhosts.get(view.vhost)
    if host is None:
        return []
    topics = yield from seen.topics(host)
    return [{"objectName": beans.name_of(one.name, "Topic").canonical} for one in topics.values()]


def _receiver_names(wanted: Callable[[Receiver], bool]) -> Callable[[View], Iterator[BeanName]]:
    return lambda view: (beans.receiver_name(one) for one in beans.receivers(view) if wanted(one))


def _is_of_queue(one: Receiver) -> bool:
    return one.subscriber is None


def _is_durable(one: Receiver) -> bool:
    return one.subscriber is not None and one.subscriber.is_durable and one.consumer is not None


def _is_inactive(one: Receiver) -> bool:
    return one.subscriber is not None and one.subscriber.is_durable and one.consumer is None


def _is_passing(one: Receiver) -> bool:
    return one.subscriber is not None and not one.subscriber.is_durable


def _average_of_all(view: View) -> Steps[int]:
    size = yield from _total(_bytes)(view)
    count = yield from _total(lambda queue: numbers_of(queue).pending)(view)
    return size // max(1, count)


def _store_used(view: View) -> Steps[int]:
    size = yield from _total(_bytes)(view)
    return _percent(size, view.node.watch.disk_free)


def _uptime_ms(view: View) -> int:
    return view.core.changes.now_ms - view.node.started_ms


def _acceptors(view: View) -> dict[str, str]:
    return {one.uri: one.uri for one in beans.acceptors(view)}


OF_BROKER: Final[dict[str, Callable[[View], Any]]] = {
    "BrokerName": lambda view: BROKER,
    "BrokerId": lambda view: view.node.name,
    "BrokerVersion": lambda view: beans.VERSION,
    "Uptime": lambda view: f"{_uptime_ms(view) / 1000:.3f} seconds",
    "UptimeMillis": _uptime_ms,
    "TotalMessageCount": _waiting_count,
    "TotalEnqueueCount": _total(lambda queue: queue.counters.publish),
    "TotalDequeueCount": _total(lambda queue: numbers_of(queue).dequeued),
    "TotalConsumerCount": _consumer_count,
    "TotalProducerCount": lambda view: 0,
    "TotalConnectionsCount": lambda view: view.core.churn.connection_created,
    "CurrentConnectionsCount": lambda view: len(view.core.sessions),
    "AverageMessageSize": _average_of_all,
    "MemoryPercentUsage": lambda view: _percent(view.core.changes.resident_bytes, _memory_max(view)),
    "MemoryLimit": lambda view: _memory_max(view),
    "StorePercentUsage": _store_used,
    "StoreLimit": lambda view: view.node.watch.disk_free,
    "TempPercentUsage": lambda view: 0,
    "TempLimit": lambda view: view.node.watch.disk_free,
    "JobSchedulerStorePercentUsage": lambda view: 0,
    "JobSchedulerStoreLimit": lambda view: view.node.watch.disk_free,
    "JMSJobScheduler": lambda view: {"objectName": BeanName(beans.DOMAIN, beans.SCHEDULER).canonical},
    "Persistent": lambda view: not view.node.config.memory,
    "Slave": lambda view: False,
    "StatisticsEnabled": lambda view: True,
    "DataDirectory": lambda view: view.node.data,
    "VMURL": lambda view: f"vm://{BROKER}",
    "TransportConnectors": _acceptors,
    "Queues": beans.names_of(_queue_names(temporary=False)),
    "Topics": _topic_names,
    "TemporaryQueues": beans.names_of(_queue_names(temporary=True)),
    "TemporaryTopics": lambda view: [],
    "QueueSubscribers": beans.names_of(_receiver_names(_is_of_queue)),
    "TopicSubscribers": beans.names_of(_receiver_names(_is_passing)),
    "DurableTopicSubscribers": beans.names_of(_receiver_names(_is_durable)),
    "InactiveDurableTopicSubscribers": beans.names_of(_receiver_names(_is_inactive)),
    "TemporaryQueueSubscribers": lambda view: [],
    "TemporaryTopicSubscribers": lambda view: [],
    "QueueProducers": lambda view: [],
    "TopicProducers": lambda view: [],
    "DynamicDestinationProducers": beans.names_of(lambda view: map(beans.sender_name, beans.senders(view))),
}


def _health(view: View) -> str:
    """ActiveMQ's word, or what is wrong."""
    if view.core.failure is not None:
        return f"[Pillarbox: {view.core.failure}]"
    return "Good" if view.core.alarm is None else f"[Pillarbox: alarm: {view.core.alarm}]"


def _schedules(view: View) -> list[Any]:
    host = view.core.vhosts.get(view.vhost)
    exchanges = [] if host is None else list(host.exchanges.values())
    return [one.schedule for one in exchanges if one.schedule is not None]


def _next_time(view: View) -> str | None:
    due = [due_ms for one in _schedules(view) for due_ms, _ in one.lane.first_due(1)]
    return iso_time(min(due)) if due else None


def _waiting(view: View) -> int:
    return sum(one.waiting_count for one in _schedules(view))


OF_HEALTH: Final[dict[str, Callable[[View], Any]]] = {"CurrentStatus": _health}
OF_SCHEDULER: Final[dict[str, Callable[[View], Any]]] = {
    "ScheduledMessageCount": _waiting,
    "DelayedMessageCount": _waiting,
    "NextScheduleTime": _next_time,
}

OF_ITSELF: Final = {
    "ArtemisBroker": artemis.OF_BROKER,
    "Broker": OF_BROKER,
    "Health": OF_HEALTH,
    "JobScheduler": OF_SCHEDULER,
}
"""Kinds of which there is one: attributes are read of the view."""
OF_THINGS: Final[dict[str, dict[str, Callable[[View, Any], Any]]]] = {
    "Queue": OF_QUEUE,
    "Topic": OF_TOPIC,
    "Consumer": OF_CONSUMER,
    "Producer": OF_PRODUCER,
    "Connection": OF_CONNECTION,
    "Connector": OF_CONNECTOR,
    "ArtemisQueue": artemis.OF_QUEUE,
    "ArtemisAddress": artemis.OF_ADDRESS,
}


def attributes(view: View, bean: Bean) -> dict[str, Callable[[], Any]]:
    """What can be read of a bean, by name; nothing is computed that is not asked for. A generator that comes
    back is work in steps (`beans.in_steps`)."""
    if bean.kind in OF_ITSELF:
        return {name: lambda of=of: of(view) for name, of in OF_ITSELF[bean.kind].items()}  # type: ignore[misc]
    thing = bean.thing
    return {name: lambda of=of: of(view, thing) for name, of in OF_THINGS[bean.kind].items()}  # type: ignore[misc]
