"""SUBSCRIBE and UNSUBSCRIBE: bindings of the session's queue to `amq.topic`, and what was retained.

Source: MQTT 5.0, 3.8 to 3.11, 4.8.2; rows R141, R90, R93.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

from pillarbox.broker.outside import Undecided
from pillarbox.broker.run import body_bytes_of, message_bytes_of
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.mqtt import packets, stored, topics
from pillarbox.protocols.mqtt.errors import reason_of
from pillarbox.protocols.mqtt.packets import Subscribe, Subscription, Unsubscribe
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.reasons import SUBSCRIPTION_FAILED, ReasonCode
from pillarbox.protocols.mqtt.sessions import Subscribed, shared_queue_name

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.queue import Queue
    from pillarbox.protocols.mqtt.connection import Connection
    from pillarbox.protocols.mqtt.head import Head
    from pillarbox.protocols.mqtt.retained import Retained

ALWAYS, WHEN_NEW, NEVER = range(3)
"""Retain handling (3.8.3.1): when a subscriber is told what was retained."""

CLASSIC: Final = {"x-queue-type": "classic"}

FILTERS_AT_ONCE: Final = 20
"""Filters of one packet that are dealt with in a turn: less than two milliseconds' work."""

Item = TypeVar("Item")


def subscribe(connection: Connection, packet: Subscribe) -> None:
    """Answer SUBSCRIBE; each filter has its own answer."""
    identifier = packet.properties.get("subscription_identifier", [0])[0]

    def answer(reasons: list[int]) -> None:
        connection.outbound.attend()
        connection.reply_when_durable(packets.suback(packet.packet_id, connection.version, reasons))

    made: set[str] = set()

    def act(options: Subscription) -> int:
        return _subscribe(connection, options, identifier, made)

    _one_by_one(connection, packet.subscriptions, act, [], answer)


def _one_by_one(
    connection: Connection,
    asked: Sequence[Item],
    act: Callable[[Item], int],
    reasons: list[int],
    answer: Callable[[list[int]], None],
) -> None:
    """Do what is asked for and answer all, so many in a turn; what has to wait for somebody outside is gone
    on with then."""
    try:
        for item in asked[len(reasons) : len(reasons) + FILTERS_AT_ONCE]:
            reasons.append(act(item))
            connection.core.users.outside.over()
        if len(reasons) < len(asked):
            connection.go_on_later(lambda: _one_by_one(connection, asked, act, reasons, answer))
        else:
            answer(reasons)
    except Undecided as undecided:
        connection.ask(undecided, lambda: _one_by_one(connection, asked, act, reasons, answer))


def _subscribe(connection: Connection, options: Subscription, identifier: int, made: set[str]) -> int:
    """Subscribe to one filter; return the granted quality, or why not. `made`: see `_bind`."""
    try:
        parsed = topics.parse_filter(options.filter)
        if parsed.group and options.no_local:
            raise WireError(ReasonCode.PROTOCOL_ERROR, "no local in a shared subscription")
    except WireError as error:
        if error.reason is ReasonCode.PROTOCOL_ERROR:
            raise
        return error.reason if connection.version >= packets.V5 else SUBSCRIPTION_FAILED
    subscribed = Subscribed(options, identifier)
    try:
        _bind(connection, parsed, made)
    except BrokerError as error:
        return reason_of(error) if connection.version >= packets.V5 else SUBSCRIPTION_FAILED
    assert connection.state is not None
    is_new = connection.state.subscribe(subscribed)
    connection.inbound.forget_routes()
    if parsed.pattern.startswith(topics.READ_ONLY):
        connection.head.sys_topics.watch(connection.state)
    if parsed.group:
        if is_new:
            connection.head.sessions.join_shared(connection.state.vhost, options.filter)
        connection.outbound.attend_shared(subscribed)
    elif options.retain_handling == ALWAYS or (options.retain_handling == WHEN_NEW and is_new):
        _tell_retained(connection, parsed.pattern)
    return options.qos


def _bind(connection: Connection, parsed: topics.Filter, made: set[str]) -> None:
    """Make the queue that the filter fills, if need be, and bind it. Raises BrokerError.

    `made`: names of queues that were for filters of the same packet.
    """
    session, state = connection.session, connection.state
    assert session is not None
    assert state is not None
    # What queues become of which nobody says it is for others: this one knows no global credit.
    arguments = CLASSIC if session.vhost.default_queue_type else {}
    is_kept = state.is_kept or bool(parsed.group)
    queue = shared_queue_name(parsed) if parsed.group else state.queue_name
    if queue not in made:
        session.demand_queue("read", queue)
        session.declare_queue(queue, durable=is_kept, exclusive=not is_kept, arguments=arguments)
        made.add(queue)
    session.bind_queue(queue, topics.EXCHANGE, topics.binding_key(parsed.pattern), {}, add=True)


def unsubscribe(connection: Connection, packet: Unsubscribe) -> None:
    """Answer UNSUBSCRIBE."""

    def answer(reasons: list[int]) -> None:
        connection.reply_when_durable(packets.unsuback(packet.packet_id, connection.version, reasons))

    _one_by_one(connection, packet.filters, lambda raw: _unsubscribe(connection, raw), [], answer)


def _unsubscribe(connection: Connection, raw: str) -> int:
    session, state = connection.session, connection.state
    assert session is not None
    assert state is not None
    subscribed = state.subscriptions.get(raw)
    if subscribed is None:
        return ReasonCode.NO_SUBSCRIPTION_EXISTED
    parsed = subscribed.parsed
    if parsed.group:
        state.unsubscribe(raw)
        connection.outbound.leave_shared(raw)
        connection.head.sessions.leave_shared(state.vhost, parsed)
        return ReasonCode.SUCCESS
    reason = ReasonCode.SUCCESS
    key = topics.binding_key(parsed.pattern)
    # Two filters may have one key: a `*` is nothing special in a topic.
    is_shared = "*" in key and any(
        topics.binding_key(other) == key for other in state.subscriptions if other != raw
    )
    if not is_shared:
        try:
            session.bind_queue(state.queue_name, topics.EXCHANGE, key, {}, add=False)
        except BrokerError as error:
            reason = reason_of(error)
    state.unsubscribe(raw)
    return reason


# --- retained messages -----------------------------------------------------------------------------------


def _tell_retained(connection: Connection, pattern: str) -> None:
    """Put what was retained into the session's queue, so that it is answered like any message."""
    session, state = connection.session, connection.state
    assert session is not None
    assert state is not None
    queue = session.vhost.queues[state.queue_name]
    connection.core.chores.begin(_retained_parts(connection.head, session.vhost.name, queue, pattern))
    connection.head.sys_topics.tell(state, pattern)


def _retained_parts(head: Head, vhost: str, queue: Queue, pattern: str) -> Parts:
    core = head.core
    for part in head.retained.matching(vhost, pattern):
        if queue.deleted or core.failure is not None:
            return
        for is_persistent, same in groupby(map(_message_of, part), _is_persistent):
            messages = list(same)
            core.publish(
                (queue,),
                messages,
                body_bytes_of(messages),
                persistent=is_persistent,
                expiring=any(one.expiration_ms != NO_EXPIRATION for one in messages),
                prioritized=False,
                message_bytes=message_bytes_of(messages),
            )
        yield


_is_persistent = attrgetter("persistent")


def _message_of(one: Retained) -> Message:
    """What is put into the queue of whoever is told."""
    return Message(
        Address(stored.ORIGIN, topics.EXCHANGE, topics.routing_key(one.topic)),
        stored.pack(one.qos, one.properties, retained=True),
        one.payload,
        one.accepted_ms,
        one.expiration_ms,
        one.qos > 0,
    )
