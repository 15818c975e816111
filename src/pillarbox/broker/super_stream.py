"""Super streams: one name for several streams, its partitions (R84).

A super stream is an exchange of the name, marked with `x-super-stream`, and streams `name-0`, `name-1` and
so on, bound to it with a routing key each and their order, just as `rabbitmq-streams add_super_stream` and
clients of the stream protocol make them: nothing else knows of it. Not here: which partition a message
belongs to, which its publisher says by the routing key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.vhost import VHost

MARK = "x-super-stream"
ORDER = "x-stream-partition-order"


def add_super_stream(
    vhost: VHost,
    name: str,
    partitions: int | None = None,
    *,
    routing_keys: Sequence[str] = (),
    arguments: Mapping[str, Any] | None = None,
) -> list[str]:
    """Make a super stream with so many partitions, or one for each routing key; return their names.

    `arguments` are those of each stream. Raises PRECONDITION_FAILED, and makes nothing, if something of one
    of the names is there already.
    """
    keys = [str(number) for number in range(partitions or 0)] or list(routing_keys)
    names = [f"{name}-{key}" for key in keys]
    if not keys or len(set(keys)) < len(keys):
        raise BrokerError(
            Reason.PRECONDITION_FAILED, "a super stream needs partitions, each with its own key"
        )
    for taken, kind in ((vhost.exchanges, "exchange"), (vhost.queues, "queue")):
        for one in (name,) if kind == "exchange" else names:
            if one in taken:
                text = f"there is already a {kind} '{one}' in vhost '{vhost.name}'"
                raise BrokerError(Reason.PRECONDITION_FAILED, text)
    exchange = vhost.declare_exchange(name, "direct", durable=True, arguments={MARK: True})
    for order, (key, partition) in enumerate(zip(keys, names, strict=True)):
        queue = vhost.declare_queue(
            None, partition, durable=True, arguments={**(arguments or {}), "x-queue-type": "stream"}
        )
        vhost.bind(exchange, queue, key, {ORDER: order})
    return names


def partitions_of(vhost: VHost, name: str) -> list[str]:
    """The partitions of a super stream, in their order."""
    exchange = vhost.exchange(name)
    bindings = [binding for binding in exchange.bindings.values() if ORDER in binding.arguments]
    return [binding.destination.name for binding in sorted(bindings, key=lambda one: one.arguments[ORDER])]


def delete_super_stream(vhost: VHost, name: str) -> None:
    """Delete a super stream with all its partitions."""
    for partition in partitions_of(vhost, name):
        vhost.remove_queue(vhost.queue(partition))
    vhost.delete_exchange(name)
