"""The hot path in: one socket read, scanned in one loop.

Publishes whose method, header and single body frame lie together in the input are taken by slices and
handed to the core in runs; from the second of a kind on they are compared with the one before, and not read,
as long as they differ in nothing but their bodies. Acknowledgements that follow one another are settled as
one range. Everything else goes to `Connection.next_frame`, the slow and obvious path, which means the same (a
test compares).

Ugly inside on purpose: one function, local names, no call per message that can be avoided.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.amqp091.methods import BASIC_ACK, BASIC_PUBLISH

if TYPE_CHECKING:
    from pillarbox.protocols.amqp091.channel import Channel
    from pillarbox.protocols.amqp091.connection import Connection
    from pillarbox.protocols.amqp091.publishing import Facts, PublishRoute, Target

FRAME_END = 0xCE
FRAME_METHOD, FRAME_HEADER, FRAME_BODY = 1, 2, 3
BASIC_CLASS = 60

_method_frame = Struct(">BHII").unpack_from
_content_frame = Struct(">BHIHHQ").unpack_from
_body_frame = Struct(">BHI").unpack_from
_ack_arguments = Struct(">QB").unpack_from

_METHOD_FRAME_MIN = 12
_HEADER_FRAME_MIN = 22
_FRAME_OVERHEAD = 8
_ACK_BYTES = 13
_ACK_FRAME_BYTES = _ACK_BYTES + _FRAME_OVERHEAD

FORMS_MAX = 1024
"""Pairs of lengths for which the form of a publish is kept compiled; a publisher uses a few."""


@lru_cache(FORMS_MAX)
def _publish_form(before: int, after: int) -> Struct:
    """All of a publish that stands in front of its body: so many bytes, the size of the body, so many more,
    and the length of its frame."""
    return Struct(f">{before}sQ{after}sI")


def ingest(connection: Connection, data: bytes) -> int:
    """Process all whole frames of `data`; return how many bytes they took.

    Raises AmqpError with `connection.resume` set to where to go on, when everything before is done.
    """
    size = len(data)
    if size == _ACK_FRAME_BYTES and _acknowledge(connection, data):
        return size
    channels = connection.channels
    routes = connection.routes
    facts_of = connection.facts
    now_ms = connection.core.changes.now_ms
    limit = connection.frame_max
    size_max = connection.settings.message_size_max
    body_max = limit if limit < size_max else size_max
    position = 0

    # Either a run of publishes is being gathered: one channel, one target, one persistence.
    messages: list[Message] = []
    run_channel: Channel | None = None
    run_target: Target | None = None
    run_persistent = run_expiring = run_prioritized = False
    run_bytes = 0
    last_route: PublishRoute | None = None
    last_facts: Facts | None = None
    # Or a range of acknowledgements is; never both, so that all is done in the order in which it came.
    ack_channel: Channel | None = None
    ack_first = ack_last = 0

    def flush() -> bool:
        """Do what was gathered. False: the channel was closed over it, or waits until it is done: look
        again at what comes next."""
        nonlocal messages, run_channel, run_target, ack_channel
        if run_channel is not None:
            channel, target, gathered = run_channel, run_target, messages
            run_channel, run_target, messages = None, None, []
            assert target is not None
            message_bytes = MESSAGE_BYTES
            if connection.unshared_bytes:
                message_bytes += connection.unshared_bytes // len(gathered)
                connection.unshared_bytes = 0
            channel.publish_run(
                target, gathered, run_bytes, run_persistent, run_expiring, run_prioritized, message_bytes
            )
        elif ack_channel is not None:
            channel, ack_channel = ack_channel, None
            channel.acknowledge(ack_first, ack_last)
            return channel.plain
        return True

    # During an alarm publishes wait where they are, which only the slow path sees to.
    while size - position >= _METHOD_FRAME_MIN and connection.core.alarm is None:
        kind, number, length, method = _method_frame(data, position)
        end = position + 7 + length
        if kind == FRAME_METHOD and length <= limit and end < size and data[end] == FRAME_END:
            channel = channels.get(number)
            if channel is None or not channel.plain:
                pass
            elif method == BASIC_PUBLISH and size - end > _HEADER_FRAME_MIN:
                header = end + 1
                head_kind, head_number, head_length, class_id, _, body_size = _content_frame(data, header)
                body = header + 8 + head_length
                if (
                    head_kind == FRAME_HEADER
                    and head_number == number
                    and class_id == BASIC_CLASS
                    and 14 <= head_length <= limit
                    and 0 < body_size <= body_max
                    and size - body >= _FRAME_OVERHEAD
                ):
                    body_kind, body_number, body_length = _body_frame(data, body)
                    stop = body + 7 + body_length
                    if (
                        body_kind == FRAME_BODY
                        and body_number == number
                        and body_length == body_size
                        and stop < size
                        and data[stop] == data[body - 1] == FRAME_END
                    ):
                        key = data[position + 11 : end]
                        route = routes.get(key)
                        if route is None or not route.stamp.valid:
                            route = connection.find_route(key)
                        properties = data[header + 19 : body - 1]
                        facts = facts_of.get(properties) or connection.examine(properties)
                        if route is not None and not (route.special or facts.special):
                            target = route.target
                            persistent = facts.persistent
                            if (
                                target is not run_target
                                or channel is not run_channel
                                or persistent is not run_persistent
                            ):
                                connection.resume = position
                                if (messages or ack_channel is not None) and not flush():
                                    continue
                                run_channel, run_target, run_persistent = channel, target, persistent
                                run_expiring = run_prioritized = False
                                run_bytes = 0
                            expiration_ms = facts.expiration_ms
                            if expiration_ms != NO_EXPIRATION:
                                run_expiring = True
                            priority = facts.priority
                            if priority:
                                run_prioritized = True
                            address, properties = route.address, facts.properties
                            content = data[body + 7 : stop]
                            messages.append(
                                Message(
                                    address, properties, content, now_ms, expiration_ms, persistent, priority
                                )
                            )
                            run_bytes += body_length
                            if route is not last_route or facts is not last_facts:
                                last_route, last_facts = route, facts
                                position = stop + 1
                                continue
                            # The second of its kind: those that follow are compared, and not read, as long as
                            # they differ in nothing but their bodies.
                            before, after = data[position : header + 11], data[header + 19 : body + 3]
                            form = _publish_form(len(before), len(after))
                            read, head_bytes = form.unpack_from, form.size
                            position = stop + 1
                            while size - position > head_bytes:
                                its_before, body_size, its_after, body_length = read(data, position)
                                start = position + head_bytes
                                stop = start + body_length
                                if (
                                    its_before != before
                                    or its_after != after
                                    or body_length != body_size
                                    or not 0 < body_size <= body_max
                                    or stop >= size
                                    or data[stop] != FRAME_END
                                ):
                                    break
                                content = data[start:stop]
                                messages.append(
                                    Message(
                                        address,
                                        properties,
                                        content,
                                        now_ms,
                                        expiration_ms,
                                        persistent,
                                        priority,
                                    )
                                )
                                run_bytes += body_length
                                position = stop + 1
                            continue
            elif method == BASIC_ACK and length == _ACK_BYTES:
                tag, multiple = _ack_arguments(data, position + 11)
                if tag and not multiple & 1:
                    if channel is ack_channel and tag == ack_last + 1:
                        ack_last = tag
                    else:
                        connection.resume = position
                        if not flush():
                            continue
                        ack_channel = channel
                        ack_first = ack_last = tag
                    position = end + 1
                    continue
                if multiple & 1:
                    connection.resume = position
                    if not flush():
                        continue
                    channel.acknowledge_all(tag)
                    position = end + 1
                    continue
        connection.resume = position
        flush()
        used = connection.next_frame(data, position)
        if not used:
            return position
        position += used
        # The answer to connection.tune may just have been among it.
        limit = connection.frame_max
        body_max = limit if limit < size_max else size_max

    connection.resume = position
    flush()
    while position < size and (used := connection.next_frame(data, position)):
        position += used
    return position


def _acknowledge(connection: Connection, data: bytes) -> bool:
    """Take one basic.ack that came by itself, as with a small prefetch: there is nothing to gather."""
    kind, number, length, method = _method_frame(data, 0)
    channel = connection.channels.get(number)
    whole = kind == FRAME_METHOD and length == _ACK_BYTES and data[-1] == FRAME_END
    if method != BASIC_ACK or not whole or channel is None or not channel.plain:
        return False
    tag, multiple = _ack_arguments(data, 11)
    connection.resume = len(data)
    if multiple & 1:
        channel.acknowledge_all(tag)
    elif tag:
        channel.acknowledge(tag, tag)
    return bool(tag or multiple & 1)
