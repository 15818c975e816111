"""What may be called of beans: a row each, by name and types of arguments.

What is done to messages is done by a client without a socket (`view`), with the permissions of the user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.exchange import TOPICS
from pillarbox.clock import iso_time
from pillarbox.ops.activemq.attributes import is_dead_letters
from pillarbox.ops.activemq.errors import (
    EXCEPTION,
    ILLEGAL_ARGUMENT,
    INVALID_DESTINATION,
    JMS,
    NO_SUCH_MESSAGE,
    JolokiaError,
)
from pillarbox.ops.activemq.view import LOOKED_AT_MAX, Found, has_id, meets
from pillarbox.ops.messaging import seen
from pillarbox.ops.messaging.seen import topic_key
from pillarbox.protocols.amqp091 import methods, wire

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.beans import Bean
    from pillarbox.ops.activemq.view import View

PREVIEW_BYTES: Final = 255
BROWSED_MAX: Final = 400
"""Messages of `browse`, as with ActiveMQ."""

TEXT, MAP, INT, BOOL = "java.lang.String", "java.util.Map", "int", "boolean"


class Operation(NamedTuple):
    """What may be called, by name and types of its arguments."""

    name: str
    types: tuple[str, ...]
    call: Callable[..., Awaitable[Any]]
    """It takes the view, the bean, and the arguments."""


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
    found = await view.look(_queue(bean), meets(selector), BROWSED_MAX)
    return [_shown(bean, one) for one in found]


async def _send(view: View, bean: Bean, body: str) -> str:
    return await view.send(*_address(bean), body, wire.Properties())


async def _send_as(view: View, bean: Bean, body: str, user: str, password: str) -> str:
    """The user is the one who is logged in."""
    return await _send(view, bean, body)


JMS_HEADERS: Final = {"JMSCorrelationID": "correlation_id", "JMSType": "type", "JMSReplyTo": "reply_to"}


async def _send_with(view: View, bean: Bean, headers: dict[str, Any], body: str) -> str:
    said = {JMS_HEADERS[name]: str(value) for name, value in headers.items() if name in JMS_HEADERS}
    others = {name: value for name, value in headers.items() if not name.startswith("JMS")}
    priority = _number(headers.get("JMSPriority", 4))
    properties = wire.Properties(headers=others or None, priority=priority, **said)  # type: ignore[arg-type]
    return await view.send(*_address(bean), body, properties)


async def _send_with_as(
    view: View, bean: Bean, headers: dict[str, Any], body: str, user: str, password: str
) -> str:
    return await _send_with(view, bean, headers, body)


async def _remove(view: View, bean: Bean, selector: str, count: Any = LOOKED_AT_MAX) -> int:
    return await view.take(_queue(bean), meets(selector), _number(count))


async def _move(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), meets(selector), _number(count), to=_to(to))


async def _copy(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), meets(selector), _number(count), to=_to(to), keep=True)


async def _remove_one(view: View, bean: Bean, identity: str) -> bool:
    return await view.take(_queue(bean), has_id(identity), 1) > 0


async def _move_one(view: View, bean: Bean, identity: str, to: str) -> bool:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), has_id(identity), 1, to=_to(to)) > 0


async def _copy_one(view: View, bean: Bean, identity: str, to: str) -> bool:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), has_id(identity), 1, to=_to(to), keep=True) > 0


async def _show_one(view: View, bean: Bean, identity: str) -> dict[str, Any]:
    found = await view.look(_queue(bean), has_id(identity), 1)
    if not found:
        raise JolokiaError(500, NO_SUCH_MESSAGE, f"no message {identity} among the first of {_queue(bean)}")
    return _shown(bean, found[0])


def _to(queue: str) -> Callable[[Found], tuple[str, str]]:
    """All go to this queue."""
    return lambda found: ("", queue)


# --- dead letters ------------------------------------------------------------------------------------------


async def _retry(view: View, bean: Bean) -> int:
    """Send what died back to where it was; what does not say where that was stays."""
    _demand_dead_letters(bean)
    queue = _queue(bean)
    return await view.take(
        queue, lambda said: _died_in(said, queue) is not None, LOOKED_AT_MAX, to=_back(queue)
    )


async def _retry_one(view: View, bean: Bean, identity: str) -> bool:
    _demand_dead_letters(bean)
    queue, is_it = _queue(bean), has_id(identity)
    wants = lambda said: is_it(said) and _died_in(said, queue) is not None  # noqa: E731
    return await view.take(queue, wants, 1, to=_back(queue)) > 0


def _demand_dead_letters(bean: Bean) -> None:
    if not is_dead_letters(bean.thing):
        raise JolokiaError(500, EXCEPTION, "Retry of message is only possible on Dead Letter Queues!")


def _back(queue: str) -> Callable[[Found], tuple[str, str]]:
    return lambda found: ("", str(_died_in(found.said, queue)))


def _died_in(said: Any, queue: str) -> str | None:
    """The queue in which a message died last; None: it does not say, or it is the queue where it is now."""
    deaths = said.headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        name = deaths[0].get("queue")
        if isinstance(name, str) and name != queue:
            return name
    return None


# --- pausing, and subscriptions ----------------------------------------------------------------------------


async def _pause(view: View, bean: Bean) -> None:
    """Hand out nothing until `resume`, or the next start."""
    queue: Queue = bean.thing
    if queue.in_log:
        raise JolokiaError(500, JMS, f"{queue.name} is a log: its readers are not paused")
    queue.pause()


async def _resume(view: View, bean: Bean) -> None:
    bean.thing.resume()
    view.core.wake()


async def _create_durable(
    view: View, bean: Bean, client: str, name: str, topic: str, selector: str | None
) -> dict[str, str]:
    if selector:
        raise JolokiaError(500, JMS, "a selector belongs to whoever subscribes, and is not kept without one")
    queue = f"{client}.{name}"
    await _add_queue(view, bean, queue)
    await view.call(
        methods.QUEUE_BIND, *(0, queue, TOPICS, topic_key(topic), False, {}), answer=methods.QUEUE_BIND_OK
    )
    return {"objectName": f"Durable({client}_{name})"}


async def _destroy_durable(view: View, bean: Bean, client: str, name: str) -> None:
    queue = view.queues.get(f"{client}.{name}")
    if queue is None or not seen.is_subscriber(view.core.vhosts[view.vhost], queue):
        text = f"No durable subscription exists for clientID: {client} and subscriptionName: {name}"
        raise JolokiaError(500, INVALID_DESTINATION, text)
    if queue.consumer_count:
        raise JolokiaError(500, JMS, "Durable consumer is in use")
    await _remove_queue(view, bean, queue.name)


async def _close(view: View, bean: Bean) -> None:
    """Close a connection."""
    head = bean.thing.session.head
    if head is not None:
        head.shut_down("Closed via Jolokia")


async def _cursor(view: View, bean: Bean) -> int:
    return 0


def _queue(bean: Bean) -> str:
    name: str = bean.thing.name
    return name


def _address(bean: Bean) -> tuple[str, str]:
    """Exchange and key of a queue or a topic."""
    return (TOPICS, bean.thing.key) if bean.kind == "Topic" else ("", bean.thing.name)


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
    Operation("createDurableSubscriber", (TEXT, TEXT, TEXT, TEXT), _create_durable),
    Operation("destroyDurableSubscriber", (TEXT, TEXT), _destroy_durable),
)

SENDING: Final = (
    Operation("sendTextMessage", (TEXT,), _send),
    Operation("sendTextMessage", (TEXT, TEXT, TEXT), _send_as),
    Operation("sendTextMessage", (MAP, TEXT, TEXT, TEXT), _send_with_as),
    Operation("sendTextMessage", (MAP, TEXT), _send_with),
)

QUEUE_OPERATIONS: Final = (
    Operation("purge", (), _purge),
    Operation("browse", (), _browse),
    Operation("browse", (TEXT,), _browse),
    *SENDING,
    Operation("getMessage", (TEXT,), _show_one),
    Operation("removeMessage", (TEXT,), _remove_one),
    Operation("moveMessageTo", (TEXT, TEXT), _move_one),
    Operation("copyMessageTo", (TEXT, TEXT), _copy_one),
    Operation("retryMessage", (TEXT,), _retry_one),
    Operation("retryMessages", (), _retry),
    Operation("pause", (), _pause),
    Operation("resume", (), _resume),
    Operation("removeMatchingMessages", (TEXT,), _remove),
    Operation("removeMatchingMessages", (TEXT, INT), _remove),
    Operation("moveMatchingMessagesTo", (TEXT, TEXT), _move),
    Operation("moveMatchingMessagesTo", (TEXT, TEXT, INT), _move),
    Operation("copyMatchingMessagesTo", (TEXT, TEXT), _copy),
    Operation("copyMatchingMessagesTo", (TEXT, TEXT, INT), _copy),
    Operation("cursorSize", (), _cursor),
)


OPERATIONS: Final[dict[str, tuple[Operation, ...]]] = {
    "Broker": BROKER_OPERATIONS,
    "Queue": QUEUE_OPERATIONS,
    "Topic": SENDING,
    "Connection": (Operation("stop", (), _close),),
}


def operations(bean: Bean) -> tuple[Operation, ...]:
    return OPERATIONS.get(bean.kind, ())


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
