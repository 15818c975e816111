"""What may be called of Artemis' beans of queues and addresses (`artemis`): a row each.

What is done to messages is done by a client without a socket (`view`), with the permissions of the user; what
is only looked at stays where it is (`looking`). The user and password of `sendMessage` do not count: who is
logged in sends. A queue that Artemis would have at another address of its own has no such address here.

Source: Artemis' `QueueControl` and `AddressControl`; its texts for what is wrong.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.deadletter import EXPIRED, REJECTED
from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.jms_destinations import numbers_of
from pillarbox.ops.activemq.artemis import MULTICAST
from pillarbox.ops.activemq.artemis_messages import (
    TEXT_TYPE,
    as_json,
    composite,
    is_called,
    told,
    wanted,
)
from pillarbox.ops.activemq.errors import ILLEGAL_ARGUMENT, ILLEGAL_STATE, JolokiaError
from pillarbox.ops.activemq.looking import LOOKED_AT_MAX, look
from pillarbox.ops.activemq.operations import (
    BOOL,
    INT,
    JMS_HEADERS,
    LONG,
    MAP,
    TEXT,
    Operation,
    back,
    died_in,
    number,
    pause,
    to_queue,
    truth,
)
from pillarbox.ops.messaging.seen import session_of, topic_key
from pillarbox.protocols.amqp091 import methods, wire

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.beans import Bean
    from pillarbox.ops.activemq.view import View, Wants

PAGE: Final = 200
"""Messages of `browse` and `listMessages`: Artemis' `management-browse-page-size`."""
PAGE_MAX: Final = 1_000


def queue_of(view: View, name: str) -> Queue:
    """A queue that is named. Raises JolokiaError."""
    queue = view.queues.get(name)
    if queue is None:
        raise JolokiaError(500, ILLEGAL_ARGUMENT, f"AMQ229017: Queue {name} does not exist")
    return queue


def _name(bean: Bean) -> str:
    name: str = bean.thing.queue.name
    return name


# --- looking -----------------------------------------------------------------------------------------------


async def _list(view: View, bean: Bean, text: str | None = None) -> list[dict[str, Any]]:
    seen = await view.look(_name(bean), wanted(text), PAGE)
    return [told(bean.thing.address, one) for one in seen]


async def _list_as_json(view: View, bean: Bean, text: str | None = None) -> str:
    return as_json(await _list(view, bean, text))


async def _browse(view: View, bean: Bean, text: str | None = None) -> list[dict[str, Any]]:
    return await _browse_page(view, bean, 1, PAGE, text)


async def _browse_page(
    view: View, bean: Bean, page: Any, size: Any, text: str | None = None
) -> list[dict[str, Any]]:
    """The first page is 1."""
    first, count = number(page), number(size)
    if first < 1 or not 0 < count <= PAGE_MAX:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"pages begin at 1 and have 1 to {PAGE_MAX} messages")
    seen, _ = await look(view, _name(bean), wanted(text), skip=(first - 1) * count, count_max=count)
    return [composite(bean.thing.address, one) for one in seen]


async def _peek(view: View, bean: Bean) -> str | None:
    seen = await view.look(_name(bean), wanted(None), 1)
    return as_json(told(bean.thing.address, seen[0])) if seen else None


async def _count(view: View, bean: Bean, text: str | None = None) -> int:
    """Of all messages the number that the queue knows; those of a filter are looked for."""
    if not text:
        return numbers_of(bean.thing.queue).pending
    _, count = await look(view, _name(bean), wanted(text), count_max=0)
    return count


async def _count_by(view: View, bean: Bean, text: str | None, name: str | None) -> str:
    """How many there are of each value of a property."""
    counts: Counter[str] = Counter()
    wants = wanted(text)

    def note(one: Any) -> bool:
        if wants(one):
            counts[str(one.said.headers.get(name or "", "null")) if name else "null"] += 1
        return False

    await look(view, _name(bean), note, count_max=0)
    return as_json(counts)


async def _count_out(view: View, bean: Bean, text: str | None = None) -> int:
    if text:
        raise JolokiaError(500, ILLEGAL_STATE, "those that are being delivered are counted without a filter")
    count: int = bean.thing.queue.unacked_count
    return count


def consumer_told(consumer: Consumer) -> dict[str, Any]:
    """A consumer in Artemis' words."""
    session = session_of(consumer)
    head = None if session is None else session.head
    connection = "" if head is None else head.client_facts().name
    out = (entry.stop - entry.start for entry in consumer.ledger.entries() if entry.consumer is consumer)
    return {
        "consumerID": consumer.tag,
        "connectionID": connection,
        "sessionID": connection,
        "queueName": consumer.queue.name,
        "browseOnly": False,
        "deliveringCount": sum(out),
    }


async def _consumers(view: View, bean: Bean) -> str:
    queue = bean.thing.queue
    return as_json([consumer_told(one) for one in (*queue.consumers, *queue.standby)])


# --- removing, moving, dying -------------------------------------------------------------------------------


async def _remove_one(view: View, bean: Bean, identity: Any) -> bool:
    return await view.take(_name(bean), is_called(identity), 1) > 0


async def _remove(view: View, bean: Bean, text: str | None) -> int:
    if not text:
        return await _remove_all(view, bean)
    return await view.take(_name(bean), wanted(text), LOOKED_AT_MAX)


async def _remove_in_steps(view: View, bean: Bean, flush_limit: Any, text: str | None) -> int:
    return await _remove(view, bean, text)


async def _remove_all(view: View, bean: Bean) -> int:
    said = await view.call(methods.QUEUE_PURGE, 0, _name(bean), False, answer=methods.QUEUE_PURGE_OK)
    return 0 if said is None else int(said[0])


async def _move_one(view: View, bean: Bean, identity: Any, to: str, once: Any = False) -> bool:
    return await _move_some(view, bean, is_called(identity), to, 1) > 0


async def _move(view: View, bean: Bean, text: str | None, to: str, once: Any = False) -> int:
    return await _move_some(view, bean, wanted(text), to, LOOKED_AT_MAX)


async def _move_in_steps(
    view: View,
    bean: Bean,
    flush_limit: Any,
    text: str | None,
    to: str,
    once: Any = False,
    count: Any = -1,
) -> int:
    most = number(count)
    return await _move_some(view, bean, wanted(text), to, most if most > 0 else LOOKED_AT_MAX)


async def _move_some(view: View, bean: Bean, wants: Wants, to: str, count: int) -> int:
    queue_of(view, to)
    return await view.take(_name(bean), wants, count, to=to_queue(to))


async def _copy_one(view: View, bean: Bean, identity: Any, to: str) -> bool:
    queue_of(view, to)
    return await view.take(_name(bean), is_called(identity), 1, to=to_queue(to), keep=True) > 0


async def _expire_one(view: View, bean: Bean, identity: Any) -> bool:
    return await view.take(_name(bean), is_called(identity), 1, dies_of=EXPIRED) > 0


async def _expire(view: View, bean: Bean, text: str | None) -> int:
    return await view.take(_name(bean), wanted(text), LOOKED_AT_MAX, dies_of=EXPIRED)


async def _kill_one(view: View, bean: Bean, identity: Any) -> bool:
    _demand_dead_letters(bean)
    return await view.take(_name(bean), is_called(identity), 1, dies_of=REJECTED) > 0


async def _kill(view: View, bean: Bean, text: str | None) -> int:
    _demand_dead_letters(bean)
    return await view.take(_name(bean), wanted(text), LOOKED_AT_MAX, dies_of=REJECTED)


def _demand_dead_letters(bean: Bean) -> None:
    """Artemis drops what has no dead-letter address; nobody who calls this wants that."""
    queue = bean.thing.queue
    if queue.dead_letters is None:
        raise JolokiaError(500, ILLEGAL_STATE, f"queue {queue.name} has no dead-letter address")


async def _retry_one(view: View, bean: Bean, identity: Any) -> bool:
    return await _retry_some(view, bean, is_called(identity), 1) > 0


async def _retry(view: View, bean: Bean, text: str | None = None) -> int:
    return await _retry_some(view, bean, wanted(text), LOOKED_AT_MAX)


async def _retry_some(view: View, bean: Bean, wants: Wants, count: int) -> int:
    """Send what died back to where it was; what does not say where that was stays."""
    queue = _name(bean)
    return await view.take(
        queue, lambda one: wants(one) and died_in(one, queue) is not None, count, to=back(queue)
    )


# --- sending -----------------------------------------------------------------------------------------------


async def _send(
    view: View,
    bean: Bean,
    headers: dict[str, Any] | None,
    kind: Any,
    body: str | None,
    durable: Any,
    user: str | None,
    password: str | None,
    with_id: Any = True,
) -> str:
    """To the queue itself, or to all queues of an address."""
    thing = bean.thing
    if bean.kind == "ArtemisQueue":
        exchange, key = "", thing.queue.name
    else:
        exchange, key = (TOPICS, topic_key(thing.name)) if thing.routing == MULTICAST else ("", thing.name)
    data = (body or "").encode()
    if number(kind) != TEXT_TYPE:
        try:
            data = b64decode(data, validate=True)
        except NotBase64:
            text = f"a body of a type other than {TEXT_TYPE} (text) has to be in Base64"
            raise JolokiaError(400, ILLEGAL_ARGUMENT, text) from None
    said = {name: str(value) for name, value in (headers or {}).items()}
    named = {JMS_HEADERS[name]: value for name, value in said.items() if name in JMS_HEADERS}
    others = {name: value for name, value in said.items() if name not in JMS_HEADERS}
    properties = wire.Properties(headers=others or None, **named)  # type: ignore[arg-type]
    return await view.send(exchange, key, data, properties, persistent=truth(durable))


# --- pausing -----------------------------------------------------------------------------------------------


def _queues(bean: Bean) -> list[Queue]:
    return [bean.thing.queue] if bean.kind == "ArtemisQueue" else list(bean.thing.queues)


async def _pause(view: View, bean: Bean, persist: Any = False) -> None:
    if truth(persist):
        raise JolokiaError(500, ILLEGAL_STATE, "a pause ends with the broker: it cannot be kept")
    for queue in _queues(bean):
        pause(queue)


async def _resume(view: View, bean: Bean) -> None:
    for queue in _queues(bean):
        queue.resume()
    view.core.wake()


async def _purge(view: View, bean: Bean) -> int:
    """All messages of an address."""
    removed = 0
    for queue in _queues(bean):
        said = await view.call(methods.QUEUE_PURGE, 0, queue.name, False, answer=methods.QUEUE_PURGE_OK)
        removed += 0 if said is None else int(said[0])
    return removed


async def _nothing(view: View, bean: Bean) -> None:
    """What is asked for is so at any time."""


# --- the table ---------------------------------------------------------------------------------------------


SENDING: Final = (
    Operation("sendMessage", (MAP, INT, TEXT, BOOL, TEXT, TEXT), _send, True),
    Operation("sendMessage", (MAP, INT, TEXT, BOOL, TEXT, TEXT, BOOL), _send, True),
)
PAUSING: Final = (
    Operation("pause", (), _pause),
    Operation("pause", (BOOL,), _pause),
    Operation("resume", (), _resume),
)
QUEUE_OPERATIONS: Final = (
    Operation("listMessages", (TEXT,), _list, True),
    Operation("listMessagesAsJSON", (TEXT,), _list_as_json, True),
    Operation("browse", (), _browse),
    Operation("browse", (TEXT,), _browse, True),
    Operation("browse", (INT, INT), _browse_page),
    Operation("browse", (INT, INT, TEXT), _browse_page, True),
    Operation("peekFirstMessageAsJSON", (), _peek),
    Operation("getFirstMessageAsJSON", (), _peek),
    Operation("countMessages", (), _count),
    Operation("countMessages", (TEXT,), _count, True),
    Operation("countMessages", (TEXT, TEXT), _count_by, True),
    Operation("countDeliveringMessages", (TEXT,), _count_out, True),
    Operation("listConsumersAsJSON", (), _consumers),
    Operation("removeMessage", (LONG,), _remove_one),
    Operation("removeMessages", (TEXT,), _remove, True),
    Operation("removeMessages", (INT, TEXT), _remove_in_steps, True),
    Operation("removeAllMessages", (), _remove_all),
    Operation("moveMessage", (LONG, TEXT), _move_one),
    Operation("moveMessage", (LONG, TEXT, BOOL), _move_one),
    Operation("moveMessages", (TEXT, TEXT), _move, True),
    Operation("moveMessages", (TEXT, TEXT, BOOL), _move, True),
    Operation("moveMessages", (INT, TEXT, TEXT, BOOL), _move_in_steps, True),
    Operation("moveMessages", (INT, TEXT, TEXT, BOOL, INT), _move_in_steps, True),
    Operation("copyMessage", (LONG, TEXT), _copy_one),
    Operation("expireMessage", (LONG,), _expire_one),
    Operation("expireMessages", (TEXT,), _expire, True),
    Operation("sendMessageToDeadLetterAddress", (LONG,), _kill_one),
    Operation("sendMessagesToDeadLetterAddress", (TEXT,), _kill, True),
    Operation("retryMessage", (LONG,), _retry_one),
    Operation("retryMessages", (), _retry),
    Operation("retryMessages", (TEXT,), _retry, True),
    Operation("flushExecutor", (), _nothing),
    *SENDING,
    *PAUSING,
)
ADDRESS_OPERATIONS: Final = (*SENDING, *PAUSING, Operation("purge", (), _purge))
