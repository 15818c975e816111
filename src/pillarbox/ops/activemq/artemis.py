"""Artemis' management beans, as far as scalers and monitors read them: broker, addresses, queues (A81).

At /console/jolokia, where Artemis has Jolokia, and where KEDA's scaler asks:

    read/org.apache.activemq.artemis:broker="0.0.0.0",component=addresses,address="orders",
        subcomponent=queues,routing-type="anycast",queue="orders"/MessageCount

A queue is anycast, at the address that it was given or one of its own name, a subscription is multicast at
the address of its topic. Any name of the broker is taken, since a client has to have one; lists say
`0.0.0.0`. Not here: operations (`artemis_operations`, `artemis_server`).

Source: Artemis' manual, "Management"; the queries of KEDA's scaler `artemis-queue` and of Datadog's check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.anycast import address_of
from pillarbox.broker.jms_destinations import numbers_of
from pillarbox.broker.schedule_header import SCHEDULED_QUEUES
from pillarbox.ops.activemq.names import BeanName
from pillarbox.ops.messaging import seen

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.beans import Bean, Steps
    from pillarbox.ops.activemq.view import View

DOMAIN: Final = "org.apache.activemq.artemis"
BROKER: Final = "0.0.0.0"
VERSION: Final = "2.28.0"
"""What is told: names and attributes are those of these releases."""
ANYCAST, MULTICAST = "anycast", "multicast"
_ESCAPED = str.maketrans({each: f"\\{each}" for each in '"\\*?'} | {"\n": "\\n"})


class AtAddress(NamedTuple):
    """A queue at its address."""

    address: str
    routing: str
    queue: Queue


class Address(NamedTuple):
    """An address, and the queues there."""

    name: str
    routing: str
    queues: list[Queue]


def quoted(text: str) -> str:
    """A value of a name, as Artemis writes it."""
    return f'"{text.translate(_ESCAPED)}"'


def _name(**keys: str) -> BeanName:
    return BeanName(DOMAIN, {"broker": quoted(BROKER), **keys})


def address_name(one: Address) -> BeanName:
    return _name(component="addresses", address=quoted(one.name))


def queue_name(one: AtAddress) -> BeanName:
    keys = {"component": "addresses", "address": quoted(one.address), "subcomponent": "queues"}
    return _name(**keys, **{"routing-type": quoted(one.routing), "queue": quoted(one.queue.name)})


def is_same(asked: BeanName, name: BeanName) -> bool:
    """Whatever the broker is called."""
    return {**asked.keys, "broker": ""} == {**name.keys, "broker": ""} and "broker" in asked.keys


def everything(view: View) -> Steps[list[Bean]]:
    """All of them, in steps."""
    from pillarbox.ops.activemq.beans import Bean

    found = [Bean(_name(), "ArtemisBroker")]
    host = view.core.vhosts.get(view.vhost)
    if host is None:
        return found
    anycast: dict[str, Address] = {}
    for queue in seen.queues(host):
        name = address_of(host, queue) or queue.name
        anycast.setdefault(name, Address(name, ANYCAST, [])).queues.append(queue)
        yield
    topics = yield from seen.topics(host)
    addresses = list(anycast.values())
    addresses += (Address(topic.name, MULTICAST, topic.subscribers) for topic in topics.values())
    for address in addresses:
        found.append(Bean(address_name(address), "ArtemisAddress", address))
        for queue in address.queues:
            at = AtAddress(address.name, address.routing, queue)
            found.append(Bean(queue_name(at), "ArtemisQueue", at))
        yield
    return found


def find(view: View, name: BeanName) -> Bean | None:
    """An anycast queue, which scalers ask for, without looking at all of them."""
    from pillarbox.ops.activemq.beans import Bean

    text = name.keys.get("queue", "")
    queue = view.queues.get(_unquoted(text))
    if queue is not None:
        address = address_of(view.core.vhosts[view.vhost], queue) or queue.name
        at = AtAddress(address, ANYCAST, queue)
        if is_same(name, queue_name(at)):
            return Bean(name, "ArtemisQueue", at)
    return Bean(name, "ArtemisBroker") if is_same(name, _name()) else None


def _unquoted(text: str) -> str:
    """Without escapes; good for names that have none."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes


def _scheduled(view: View, at: AtAddress) -> Steps[int]:
    """What came back and waits, and what senders have scheduled, once that is known."""
    yield from seen.scheduled(view.core.vhosts[view.vhost])
    return scheduled_now(view, at)


def scheduled_now(view: View, at: AtAddress) -> int:
    """The same, as far as it is known."""
    exchange = view.core.vhosts[view.vhost].exchanges.get(SCHEDULED_QUEUES)
    places = None if exchange is None or exchange.schedule is None else exchange.schedule.destinations()
    return at.queue.delayed_count + (0 if places is None else places.count_of(at.queue.name))


OF_QUEUE: Final[dict[str, Callable[[View, AtAddress], Any]]] = {
    "Name": lambda view, at: at.queue.name,
    "Address": lambda view, at: at.address,
    "RoutingType": lambda view, at: at.routing.upper(),
    "ID": lambda view, at: at.queue.uid,
    "Durable": lambda view, at: at.queue.durable,
    "Temporary": lambda view, at: at.queue.owner is not None,
    "AutoDelete": lambda view, at: at.queue.auto_delete,
    "Paused": lambda view, at: at.queue.paused,
    "MessageCount": lambda view, at: numbers_of(at.queue).pending,
    "DeliveringCount": lambda view, at: at.queue.unacked_count,
    "ConsumerCount": lambda view, at: at.queue.consumer_count,
    "MessagesAdded": lambda view, at: at.queue.counters.publish,
    "MessagesAcknowledged": lambda view, at: numbers_of(at.queue).dequeued,
    "MessagesExpired": lambda view, at: at.queue.counters.expired,
    "MessagesKilled": lambda view, at: at.queue.counters.killed,
    "ScheduledCount": _scheduled,
    "PersistentSize": lambda view, at: _bytes(at.queue),
    "DeliveringSize": lambda view, at: at.queue.unacked_bytes,
    "MaxConsumers": lambda view, at: -1,
}
OF_ADDRESS: Final[dict[str, Callable[[View, Address], Any]]] = {
    "Address": lambda view, one: one.name,
    "RoutingTypes": lambda view, one: [one.routing.upper()],
    "QueueNames": lambda view, one: [queue.name for queue in one.queues],
    "QueueCount": lambda view, one: len(one.queues),
    "MessageCount": lambda view, one: sum(numbers_of(queue).pending for queue in one.queues),
    "AddressSize": lambda view, one: sum(map(_bytes, one.queues)),
    "Paused": lambda view, one: all(queue.paused for queue in one.queues) and bool(one.queues),
    "NumberOfPages": lambda view, one: 0,
    "Paging": lambda view, one: False,
}


def _total(of: Callable[[Queue], int]) -> Callable[[View], Steps[int]]:
    def count(view: View) -> Steps[int]:
        total = 0
        for queue in list(view.queues.values()):
            total += of(queue)
            yield
        return total

    return count


def _addresses(view: View) -> Steps[list[str]]:
    beans = yield from everything(view)
    return [bean.thing.name for bean in beans if bean.kind == "ArtemisAddress"]


OF_BROKER: Final[dict[str, Callable[[View], Any]]] = {
    "Name": lambda view: BROKER,
    "Version": lambda view: VERSION,
    "Started": lambda view: True,
    "Active": lambda view: True,
    "Backup": lambda view: False,
    "UptimeMillis": lambda view: view.core.changes.now_ms - view.node.started_ms,
    "ConnectionCount": lambda view: len(view.core.sessions),
    "TotalConnectionCount": lambda view: view.core.churn.connection_created,
    "TotalMessageCount": _total(lambda queue: numbers_of(queue).pending),
    "TotalMessagesAdded": _total(lambda queue: queue.counters.publish),
    "TotalMessagesAcknowledged": _total(lambda queue: numbers_of(queue).dequeued),
    "TotalConsumerCount": _total(lambda queue: queue.consumer_count),
    "AddressMemoryUsage": lambda view: view.core.changes.resident_bytes,
    "AddressMemoryUsagePercentage": lambda view: (
        100 * view.core.changes.resident_bytes // view.node.config.memory_budget
    ),
    "GlobalMaxSize": lambda view: view.node.config.memory_budget,
    "AddressNames": _addresses,
    "QueueNames": lambda view: [queue.name for queue in list(view.queues.values()) if not queue.in_log],
    "PersistenceEnabled": lambda view: not view.node.config.memory,
}
