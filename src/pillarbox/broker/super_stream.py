"""Super streams: one name for several streams, its partitions (R84).

A super stream is an exchange of the name, marked with `x-super-stream`, and streams `name-0`, `name-1` and
so on, bound to it with a routing key each and their order, just as `rabbitmq-streams add_super_stream` and
clients of the stream protocol make them: nothing else knows of it. Not here: which partition a message
belongs to, which its publisher says by the routing key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pillarbox.broker.stream import StreamQueue
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.vhost import VHost

MARK = "x-super-stream"
ORDER = "x-stream-partition-order"

PARTITIONS_MAX = 1000
"""More are refused, as by RabbitMQ since 4.2.9: each is a stream with files of its own."""

Permit = Callable[[str, str, str], None]
"""Refuses an action on a thing of a kind and a name, by raising."""


def _anybody(action: str, kind: str, name: str) -> None:
    pass


def add_super_stream(
    vhost: VHost,
    name: str,
    partitions: int | None = None,
    *,
    routing_keys: Sequence[str] = (),
    arguments: Mapping[str, Any] | None = None,
    permit: Permit = _anybody,
) -> list[str]:
    """Make a super stream with so many partitions, or one for each routing key; return their names.

    `arguments` are those of each stream. Raises PRECONDITION_FAILED, and makes nothing, if something of one
    of the names is there already; nothing is left of it where a stream cannot be made either.
    """
    count = len(routing_keys) if partitions is None else partitions
    if not 0 < count <= PARTITIONS_MAX:
        text = f"a super stream has 1 to {PARTITIONS_MAX} partitions, not {count}"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    keys = list(routing_keys) if partitions is None else [str(number) for number in range(partitions)]
    if len(set(keys)) < count:
        text = "each partition of a super stream needs a key of its own"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    names = [f"{name}-{key}" for key in keys]
    _demand_all(permit, name, names, {"exchange": ("configure", "read"), "queue": ("configure", "write")})
    for kind, taken, wanted in (("exchange", vhost.exchanges, [name]), ("queue", vhost.queues, names)):
        for one in wanted:
            if one in taken:
                text = f"there is already a {kind} '{one}' in vhost '{vhost.name}'"
                raise BrokerError(Reason.PRECONDITION_FAILED, text)
    exchange = mark_super_stream(vhost, name)
    try:
        for order, (key, partition) in enumerate(zip(keys, names, strict=True)):
            queue = vhost.declare_queue(
                None, partition, durable=True, arguments={**(arguments or {}), "x-queue-type": "stream"}
            )
            vhost.bind(exchange, queue, key, {ORDER: order})
    except BrokerError:
        delete_super_stream(vhost, name)
        raise
    return names


def mark_super_stream(vhost: VHost, name: str) -> Exchange:
    """Make the exchange that makes streams a super stream, without any yet."""
    return vhost.declare_exchange(name, "direct", durable=True, arguments={MARK: True})


def is_super_stream(exchange: Exchange) -> bool:
    return exchange.arguments.get(MARK) is True


def partitions_of(exchange: Exchange) -> list[StreamQueue]:
    """The partitions of a super stream, in their order: the streams whose bindings say one."""
    ordered = [
        (binding.arguments[ORDER], binding.destination)
        for binding in exchange.bindings.values()
        if isinstance(binding.destination, StreamQueue) and isinstance(binding.arguments.get(ORDER), int)
    ]
    return [stream for _, stream in sorted(ordered, key=lambda pair: pair[0])]


def delete_super_stream(vhost: VHost, name: str, *, permit: Permit = _anybody) -> None:
    """Delete a super stream with all its partitions. Raises NOT_FOUND if there is none of the name."""
    exchange = vhost.exchange(name)
    if not is_super_stream(exchange):
        raise BrokerError(Reason.NOT_FOUND, f"no super stream '{name}' in vhost '{vhost.name}'")
    partitions = partitions_of(exchange)
    names = [partition.name for partition in partitions]
    _demand_all(permit, name, names, {"exchange": ("configure",), "queue": ("configure",)})
    for partition in partitions:
        vhost.remove_queue(partition)
    vhost.delete_exchange(name)


def _demand_all(
    permit: Permit, name: str, partitions: Sequence[str], actions: Mapping[str, Sequence[str]]
) -> None:
    for kind, names in (("exchange", [name]), ("queue", partitions)):
        for one in names:
            for action in actions[kind]:
                permit(action, kind, one)
