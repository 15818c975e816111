"""The management beans that there are, with their attributes and operations: a row each.

What nobody counts here, such as producers and what has expired, is 0 where monitors ask for it. To add one: a
row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.clock import iso_time
from pillarbox.ops.activemq.errors import ILLEGAL_ARGUMENT, JolokiaError
from pillarbox.ops.activemq.names import BeanName
from pillarbox.ops.activemq.view import LOOKED_AT_MAX, Found, View
from pillarbox.protocols.amqp091 import methods, wire

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue

DOMAIN: Final = "org.apache.activemq"
BROKER: Final = "localhost"
VERSION: Final = "5.17.2"
"""The release that answers were measured on."""
DEAD_LETTERS: Final = "ActiveMQ.DLQ"
PREVIEW_BYTES: Final = 255
BROWSED_MAX: Final = 400
"""Messages of `browse`, as with ActiveMQ."""

TEXT, MAP, INT = "java.lang.String", "java.util.Map", "int"


class Bean(NamedTuple):
    """The broker, or a queue of it."""

    name: BeanName
    queue: Queue | None = None


class Operation(NamedTuple):
    """What may be called, by name and types of its arguments."""

    name: str
    types: tuple[str, ...]
    call: Callable[..., Awaitable[Any]]
    """It takes the view, the bean, and the arguments."""


OF_ALL: Final = {"type": "Broker", "brokerName": BROKER}


def name_of(queue: str) -> BeanName:
    """What the bean of a queue is called."""
    return BeanName(DOMAIN, OF_ALL | {"destinationType": "Queue", "destinationName": queue})


def find(view: View, name: BeanName) -> Bean | None:
    """The bean of a name, if there is one."""
    if name.domain != DOMAIN:
        return None
    if name.keys == OF_ALL:
        return Bean(name)
    queue = view.queues.get(name.keys.get("destinationName", ""))
    return Bean(name, queue) if queue is not None and name.keys == name_of(queue.name).keys else None


async def paced(view: View) -> AsyncIterator[Bean]:
    """All of them, in slices, as there may be many queues."""
    yield Bean(BeanName(DOMAIN, OF_ALL))
    pace = view.pace
    await pace.begin()
    for queue in list(view.queues.values()):
        if not queue.deleted:
            yield Bean(name_of(queue.name), queue)
        if pace.is_over:
            await pace.begin()
            view.begin()


# --- attributes ------------------------------------------------------------------------------------------


def _size(queue: Queue) -> int:
    return queue.ready_count + queue.unacked_count + queue.dead_count


def _bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes


def _dequeued(queue: Queue) -> int:
    counters = queue.counters
    return counters.ack + counters.deliver_no_ack + counters.get_no_ack


def _dispatched(queue: Queue) -> int:
    counters = queue.counters
    return counters.deliver + counters.deliver_no_ack + counters.get + counters.get_no_ack


def _percent(part: int, whole: int) -> int:
    return min(100, part * 100 // whole) if whole > 0 else 0


def _memory_max(view: View) -> int:
    return view.node.config.memory_budget


def _average(queue: Queue) -> int:
    return _bytes(queue) // max(1, _size(queue))


OF_QUEUE: Final[dict[str, Callable[[View, Queue], Any]]] = {
    "Name": lambda view, queue: queue.name,
    "QueueSize": lambda view, queue: _size(queue),
    "EnqueueCount": lambda view, queue: queue.counters.publish,
    "DequeueCount": lambda view, queue: _dequeued(queue),
    "DispatchCount": lambda view, queue: _dispatched(queue),
    "InFlightCount": lambda view, queue: queue.unacked_count,
    "ConsumerCount": lambda view, queue: queue.consumer_count,
    "ProducerCount": lambda view, queue: 0,
    "ExpiredCount": lambda view, queue: 0,
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
    "DLQ": lambda view, queue: queue.name == DEAD_LETTERS,
    "Paused": lambda view, queue: False,
    "PrioritizedMessages": lambda view, queue: len(queue.lanes) > 1,
    "ProducerFlowControl": lambda view, queue: True,
    "Options": lambda view, queue: "",
    "Subscriptions": lambda view, queue: [],
}


def _total(of: Callable[[Queue], int]) -> Callable[[View], int]:
    return lambda view: sum(of(queue) for queue in view.queues.values())


def _uptime_ms(view: View) -> int:
    return view.core.changes.now_ms - view.node.started_ms


def _queue_names(view: View) -> list[dict[str, str]]:
    return [{"objectName": name_of(name).canonical} for name in view.queues]


def _store_used(view: View) -> int:
    return _percent(sum(map(_bytes, view.queues.values())), view.node.watch.disk_free)


OF_BROKER: Final[dict[str, Callable[[View], Any]]] = {
    "BrokerName": lambda view: BROKER,
    "BrokerId": lambda view: view.node.name,
    "BrokerVersion": lambda view: VERSION,
    "Uptime": lambda view: f"{_uptime_ms(view) / 1000:.3f} seconds",
    "UptimeMillis": _uptime_ms,
    "TotalMessageCount": _total(_size),
    "TotalEnqueueCount": _total(lambda queue: queue.counters.publish),
    "TotalDequeueCount": _total(_dequeued),
    "TotalConsumerCount": _total(lambda queue: queue.consumer_count),
    "TotalProducerCount": lambda view: 0,
    "CurrentConnectionsCount": lambda view: len(view.core.sessions),
    "MemoryPercentUsage": lambda view: _percent(view.core.changes.resident_bytes, _memory_max(view)),
    "MemoryLimit": lambda view: _memory_max(view),
    "StorePercentUsage": _store_used,
    "StoreLimit": lambda view: view.node.watch.disk_free,
    "TempPercentUsage": lambda view: 0,
    "TempLimit": lambda view: view.node.watch.disk_free,
    "JobSchedulerStorePercentUsage": lambda view: 0,
    "Persistent": lambda view: not view.node.config.memory,
    "Slave": lambda view: False,
    "StatisticsEnabled": lambda view: True,
    "DataDirectory": lambda view: view.node.data,
    "VMURL": lambda view: f"vm://{BROKER}",
    "Queues": _queue_names,
    "Topics": lambda view: [],
    "TemporaryQueues": lambda view: [],
    "TemporaryTopics": lambda view: [],
}


def attributes(view: View, bean: Bean) -> dict[str, Callable[[], Any]]:
    """What can be read of a bean, by name; nothing is computed that is not asked for."""
    queue = bean.queue
    if queue is None:
        return {name: lambda of=of: of(view) for name, of in OF_BROKER.items()}  # type: ignore[misc]
    return {name: lambda of=of: of(view, queue) for name, of in OF_QUEUE.items()}  # type: ignore[misc]


# --- operations ------------------------------------------------------------------------------------------


async def _add_queue(view: View, bean: Bean, name: str) -> None:
    await view.call(
        methods.QUEUE_DECLARE,
        *(0, name, name in view.queues, True, False, False, False, {}),
        answer=methods.QUEUE_DECLARE_OK,
    )


async def _remove_queue(view: View, bean: Bean, name: str) -> None:
    await view.call(methods.QUEUE_DELETE, 0, name, False, False, False, answer=methods.QUEUE_DELETE_OK)


async def _nothing(view: View, bean: Bean, name: str) -> None:
    """Topics are there when somebody uses them."""


async def _purge(view: View, bean: Bean) -> None:
    await view.call(methods.QUEUE_PURGE, 0, _queue(bean), False, answer=methods.QUEUE_PURGE_OK)


async def _browse(view: View, bean: Bean, selector: str = "") -> list[dict[str, Any]]:
    found = await view.look(_queue(bean), selector, BROWSED_MAX)
    return [_shown(bean, one) for one in found]


async def _send(view: View, bean: Bean, body: str) -> str:
    return await view.send(_queue(bean), body, wire.Properties())


async def _send_as(view: View, bean: Bean, body: str, user: str, password: str) -> str:
    """The user is the one who is logged in."""
    return await _send(view, bean, body)


JMS_HEADERS: Final = {"JMSCorrelationID": "correlation_id", "JMSType": "type", "JMSReplyTo": "reply_to"}


async def _send_with(view: View, bean: Bean, headers: dict[str, Any], body: str) -> str:
    said = {JMS_HEADERS[name]: str(value) for name, value in headers.items() if name in JMS_HEADERS}
    others = {name: value for name, value in headers.items() if not name.startswith("JMS")}
    priority = _number(headers.get("JMSPriority", 4))
    properties = wire.Properties(headers=others or None, priority=priority, **said)  # type: ignore[arg-type]
    return await view.send(_queue(bean), body, properties)


async def _send_with_as(
    view: View, bean: Bean, headers: dict[str, Any], body: str, user: str, password: str
) -> str:
    return await _send_with(view, bean, headers, body)


async def _remove(view: View, bean: Bean, selector: str, count: Any = LOOKED_AT_MAX) -> int:
    return await view.take(_queue(bean), selector, _number(count))


async def _move(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), selector, _number(count), to=to)


async def _copy(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), selector, _number(count), to=to, keep=True)


async def _cursor(view: View, bean: Bean) -> int:
    return 0


def _queue(bean: Bean) -> str:
    assert bean.queue is not None
    return bean.queue.name


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Cannot convert {value} to int") from None


def _shown(bean: Bean, found: Found) -> dict[str, Any]:
    """A message as `browse` tells it."""
    said, body = found.said, found.got.body
    texts = {name: str(value) for name, value in said.headers.items() if isinstance(value, str | int | float)}
    return {
        "JMSMessageID": said.message_id or f"ID:pillarbox-{found.got.tag}",
        "JMSDestination": f"queue://{_queue(bean)}",
        "JMSDeliveryMode": "PERSISTENT" if said.persistent else "NON-PERSISTENT",
        "JMSPriority": 4 if said.priority is None else said.priority,
        "JMSRedelivered": found.got.redelivered,
        "JMSCorrelationID": said.correlation_id,
        "JMSReplyTo": said.reply_to,
        "JMSType": said.type,
        "JMSExpiration": 0,
        "JMSTimestamp": None if said.timestamp_s is None else iso_time(said.timestamp_s * 1000),
        "JMSXGroupID": texts.get("JMSXGroupID"),
        "PropertiesText": "{" + ", ".join(f"{name}={value}" for name, value in texts.items()) + "}",
        "StringProperties": texts,
        "BodyLength": len(body),
        "BodyPreview": [byte - 256 if byte > 127 else byte for byte in body[:PREVIEW_BYTES]],
        "Text": body.decode("utf-8", "replace"),
    }


BROKER_OPERATIONS: Final = (
    Operation("addQueue", (TEXT,), _add_queue),
    Operation("removeQueue", (TEXT,), _remove_queue),
    Operation("addTopic", (TEXT,), _nothing),
    Operation("removeTopic", (TEXT,), _nothing),
)

QUEUE_OPERATIONS: Final = (
    Operation("purge", (), _purge),
    Operation("browse", (), _browse),
    Operation("browse", (TEXT,), _browse),
    Operation("sendTextMessage", (TEXT,), _send),
    Operation("sendTextMessage", (TEXT, TEXT, TEXT), _send_as),
    Operation("sendTextMessage", (MAP, TEXT, TEXT, TEXT), _send_with_as),
    Operation("sendTextMessage", (MAP, TEXT), _send_with),
    Operation("removeMatchingMessages", (TEXT,), _remove),
    Operation("removeMatchingMessages", (TEXT, INT), _remove),
    Operation("moveMatchingMessagesTo", (TEXT, TEXT), _move),
    Operation("moveMatchingMessagesTo", (TEXT, TEXT, INT), _move),
    Operation("copyMatchingMessagesTo", (TEXT, TEXT), _copy),
    Operation("copyMatchingMessagesTo", (TEXT, TEXT, INT), _copy),
    Operation("cursorSize", (), _cursor),
)


def operations(bean: Bean) -> tuple[Operation, ...]:
    return BROKER_OPERATIONS if bean.queue is None else QUEUE_OPERATIONS


def operation(bean: Bean, written: str, arguments: list[Any]) -> Operation:
    """The one that a request means: its name, or its name with types where there are several.

    Raises JolokiaError with Jolokia's words.
    """
    name, bracket, signature = written.partition("(")
    named = [each for each in operations(bean) if each.name == name]
    if bracket:
        types = tuple(filter(None, signature.removesuffix(")").replace(" ", "").split(",")))
        named = [each for each in named if each.types == types]
    where = f"MBean {bean.name.canonical}"
    if not named:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"No operation {written} found on {where}")
    if len(named) > 1:
        found = ",".join(f"({','.join(each.types)})" for each in named)
        raise JolokiaError(
            400,
            ILLEGAL_ARGUMENT,
            f"Operation {name} on {where} is overloaded. Signatures found: {found}. "
            "Use a signature when specifying the operation.",
        )
    (one,) = named
    if len(arguments) != len(one.types):
        raise JolokiaError(
            400,
            ILLEGAL_ARGUMENT,
            f"Invalid number of operation arguments. Operation {written} on {bean.name.plain} requires "
            f"{len(one.types)} parameters, not {len(arguments)} as given",
        )
    for argument, kind in zip(arguments, one.types, strict=True):
        if (kind == MAP) != isinstance(argument, dict) or (kind == TEXT and not isinstance(argument, str)):
            raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Cannot convert {argument} to {kind}")
    return one
