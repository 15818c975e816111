"""What may be called of Classic's beans: a row each, by name and types of arguments.

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
from pillarbox.ops.activemq.looking import LOOKED_AT_MAX, Seen
from pillarbox.ops.activemq.view import Found, has_id, id_of, is_met
from pillarbox.ops.messaging import seen
from pillarbox.ops.messaging.seen import topic_key
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.registry import dead_letters

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.beans import Bean
    from pillarbox.ops.activemq.view import View

PREVIEW_BYTES: Final = 255
BROWSED_MAX: Final = 400
"""Messages of `browse`, as with ActiveMQ."""

TEXT, MAP, INT, LONG, BOOL = "java.lang.String", "java.util.Map", "int", "long", "boolean"


class Operation(NamedTuple):
    """What may be called, by name and types of its arguments."""

    name: str
    types: tuple[str, ...]
    call: Callable[..., Awaitable[Any]]
    """It takes the view, the bean, and the arguments."""
    nulls: bool = False
    """Arguments may be null."""


async def _add_queue(view: View, bean: Bean, name: str) -> None:
    if name not in view.queues:
        await declare(view, name, {})


async def declare(
    view: View, name: str, arguments: dict[str, Any], *, durable: bool = True, auto_delete: bool = False
) -> None:
    """Make a queue, with ActiveMQ's queue for its dead letters where its dialect counts."""
    found = dead_letters(view.node.config)
    if found is not None and name != found[0] and not _has_place_for_the_dead(view, name):
        queue, choice = found
        if queue not in view.queues:
            await declare(view, queue, {})
        place = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
        arguments = place | choice | arguments
    await view.call(
        methods.QUEUE_DECLARE,
        *(0, name, False, durable, False, auto_delete, False, arguments),
        answer=methods.QUEUE_DECLARE_OK,
    )


def _has_place_for_the_dead(view: View, name: str) -> bool:
    host = view.core.vhosts.get(view.vhost)
    return host is not None and host.has_dead_letter_policy(name)


async def _remove_queue(view: View, bean: Bean, name: str) -> None:
    await view.call(methods.QUEUE_DELETE, 0, name, False, False, False, answer=methods.QUEUE_DELETE_OK)


async def _nothing(view: View, bean: Bean, name: str) -> None:
    """Topics are there when somebody uses them."""


async def _purge(view: View, bean: Bean) -> None:
    await view.call(methods.QUEUE_PURGE, 0, _queue(bean), False, answer=methods.QUEUE_PURGE_OK)


async def _browse(view: View, bean: Bean, selector: str = "") -> list[dict[str, Any]]:
    found = await view.look(_queue(bean), is_met(selector), BROWSED_MAX)
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
    priority = number(headers.get("JMSPriority", 4))
    properties = wire.Properties(headers=others or None, priority=priority, **said)  # type: ignore[arg-type]
    return await view.send(*_address(bean), body, properties)


async def _send_with_as(
    view: View, bean: Bean, headers: dict[str, Any], body: str, user: str, password: str
) -> str:
    return await _send_with(view, bean, headers, body)


async def _remove(view: View, bean: Bean, selector: str, count: Any = LOOKED_AT_MAX) -> int:
    return await view.take(_queue(bean), is_met(selector), number(count))


async def _move(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), is_met(selector), number(count), to=to_queue(to))


async def _copy(view: View, bean: Bean, selector: str, to: str, count: Any = LOOKED_AT_MAX) -> int:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), is_met(selector), number(count), to=to_queue(to), keep=True)


async def _remove_one(view: View, bean: Bean, identity: str) -> bool:
    return await view.take(_queue(bean), has_id(identity), 1) > 0


async def _move_one(view: View, bean: Bean, identity: str, to: str) -> bool:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), has_id(identity), 1, to=to_queue(to)) > 0


async def _copy_one(view: View, bean: Bean, identity: str, to: str) -> bool:
    await _add_queue(view, bean, to)
    return await view.take(_queue(bean), has_id(identity), 1, to=to_queue(to), keep=True) > 0


async def _show_one(view: View, bean: Bean, identity: str) -> dict[str, Any]:
    found = await view.look(_queue(bean), has_id(identity), 1)
    if not found:
        raise JolokiaError(500, NO_SUCH_MESSAGE, f"no message {identity} among the first of {_queue(bean)}")
    return _shown(bean, found[0])


def to_queue(queue: str) -> Callable[[Found], tuple[str, str]]:
    """All go to this queue."""
    return lambda found: ("", queue)


# --- dead letters ------------------------------------------------------------------------------------------


async def _retry(view: View, bean: Bean) -> int:
    """Send what died back to where it was; what does not say where that was stays."""
    _demand_dead_letters(bean)
    queue = _queue(bean)
    return await view.take(
        queue, lambda found: died_in(found, queue) is not None, LOOKED_AT_MAX, to=back(queue)
    )


async def _retry_one(view: View, bean: Bean, identity: str) -> bool:
    _demand_dead_letters(bean)
    queue, is_it = _queue(bean), has_id(identity)
    wants = lambda found: is_it(found) and died_in(found, queue) is not None  # noqa: E731
    return await view.take(queue, wants, 1, to=back(queue)) > 0


def _demand_dead_letters(bean: Bean) -> None:
    if not is_dead_letters(bean.thing):
        raise JolokiaError(500, EXCEPTION, "Retry of message is only possible on Dead Letter Queues!")


def back(queue: str) -> Callable[[Found], tuple[str, str]]:
    """Each goes back to where it died."""
    return lambda found: ("", str(died_in(found, queue)))


def died_in(found: Found | Seen, queue: str) -> str | None:
    """The queue in which a message died last; None: it does not say, or it is the queue where it is now."""
    deaths = found.said.headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        name = deaths[0].get("queue")
        if isinstance(name, str) and name != queue:
            return name
    return None


# --- pausing, and subscriptions ----------------------------------------------------------------------------


async def _pause(view: View, bean: Bean) -> None:
    pause(bean.thing)


def pause(queue: Queue) -> None:
    """Hand out nothing until it is resumed, or the next start. Raises JolokiaError."""
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


def truth(value: Any) -> bool:
    """An argument that is true or false; as Java reads it, any other text is false."""
    return value if isinstance(value, bool) else str(value).lower() == "true"


def number(value: Any) -> int:
    """An argument that is a whole number. Raises JolokiaError."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Cannot convert {value} to int") from None


def _shown(bean: Bean, found: Seen) -> dict[str, Any]:
    """A message as `browse` tells it."""
    said, body = found.said, bytes(found.message.body)
    texts = {name: str(value) for name, value in said.headers.items() if isinstance(value, str | int | float)}
    return {
        "JMSMessageID": id_of(found),
        "JMSDestination": f"queue://{_queue(bean)}",
        "JMSDeliveryMode": "PERSISTENT" if said.persistent else "NON-PERSISTENT",
        "JMSPriority": 4 if said.priority is None else said.priority,
        "JMSRedelivered": found.redelivered,
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

CONNECTION_OPERATIONS: Final = (Operation("stop", (), _close),)
