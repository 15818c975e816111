"""Super streams: one name for several streams, its partitions (R84).

A super stream is an exchange of the name, marked with `x-super-stream`, and streams `name-0`, `name-1` and
so on, bound to it with a routing key each and their order, just as `rabbitmq-streams add_super_stream` and
clients of the stream protocol make them: nothing else knows of it. Not here: which partition a message
belongs to, which its publisher says by the routing key.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pillarbox.broker.chores import at_once
from pillarbox.broker.stream import StreamQueue
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.exchange import Binding, Exchange
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost

MARK = "x-super-stream"
ORDER = "x-stream-partition-order"

PARTITIONS_MAX = 1000
"""More are refused, as by RabbitMQ since 4.2.9: each is a stream with files of its own."""

PERMITTED_AT_ONCE = 100
"""Names that are looked at in one step: a millisecond at most."""

Permit = Callable[[str, str, str], None]
"""Refuses an action on a thing of a kind and a name, by raising."""


def _anybody(action: str, kind: str, name: str) -> None:
    pass


def adding_super_stream(
    vhost: VHost,
    name: str,
    partitions: int | None = None,
    *,
    routing_keys: Sequence[str] = (),
    arguments: Mapping[str, Any] | None = None,
    permit: Permit = _anybody,
) -> Generator[None, None, list[str]]:
    """Make a super stream with so many partitions, or one for each routing key; return their names.

    A step for each partition, which takes some syncs of the disk. `arguments` are those of each stream.
    Raises PRECONDITION_FAILED, and makes nothing, if something of one of the names is there already; nothing
    is left of it where a stream cannot be made either, or somebody deletes the exchange (NOT_FOUND).
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
    actions = {"exchange": ("configure", "read"), "queue": ("configure", "write")}
    yield from _demand_all(permit, name, names, actions)
    if vhost.closing:
        raise BrokerError(Reason.NOT_FOUND, f"no vhost '{vhost.name}'")
    for kind, taken, wanted in (("exchange", vhost.exchanges, [name]), ("queue", vhost.queues, names)):
        for one in wanted:
            if one in taken:
                text = f"there is already a {kind} '{one}' in vhost '{vhost.name}'"
                raise BrokerError(Reason.PRECONDITION_FAILED, text)
    exchange = mark_super_stream(vhost, name)
    made: list[Queue] = []
    try:
        for order, (key, partition) in enumerate(zip(keys, names, strict=True)):
            demand_there(vhost, exchange)
            queue = vhost.declare_queue(
                None, partition, durable=True, arguments={**(arguments or {}), "x-queue-type": "stream"}
            )
            made.append(queue)
            vhost.bind(exchange, queue, key, {ORDER: order})
            yield
    except BrokerError:
        yield from _removal(vhost, exchange, made)
        raise
    return names


def add_super_stream(
    vhost: VHost, name: str, partitions: int, *, arguments: Mapping[str, Any] | None = None
) -> list[str]:
    """Do all of `adding_super_stream` at once."""
    return at_once(adding_super_stream(vhost, name, partitions, arguments=arguments))


def mark_super_stream(vhost: VHost, name: str) -> Exchange:
    """Make the exchange that makes streams a super stream, without any yet."""
    return vhost.declare_exchange(name, "direct", durable=True, arguments={MARK: True})


def demand_there(vhost: VHost, exchange: Exchange) -> None:
    """Raise NOT_FOUND if the exchange was deleted, or the virtual host is."""
    if vhost.closing or vhost.exchanges.get(exchange.name) is not exchange:
        text = f"no exchange '{exchange.name}' in vhost '{vhost.name}'"
        raise BrokerError(Reason.NOT_FOUND, text)


def _removal(vhost: VHost, exchange: Exchange, partitions: Sequence[Queue]) -> Generator[None, None, None]:
    """Remove what is still there of them, a step each; the exchange last."""
    for partition in partitions:
        if vhost.queues.get(partition.name) is partition:
            vhost.remove_queue(partition, asked=True)
            yield
    if vhost.exchanges.get(exchange.name) is exchange:
        vhost.delete_exchange(exchange.name)


def is_super_stream(exchange: Exchange) -> bool:
    return exchange.arguments.get(MARK) is True


def is_partition_binding(binding: Binding) -> bool:
    """Does it make a stream a partition of a super stream?"""
    return (
        is_super_stream(binding.source)
        and isinstance(binding.destination, StreamQueue)
        and isinstance(binding.arguments.get(ORDER), int)
    )


def partitions_of(exchange: Exchange) -> list[StreamQueue]:
    """The partitions of a super stream, in their order: the streams whose bindings say one."""
    ordered = [
        (binding.arguments[ORDER], binding.destination)
        for binding in exchange.bindings.values()
        if isinstance(binding.destination, StreamQueue) and isinstance(binding.arguments.get(ORDER), int)
    ]
    return [stream for _, stream in sorted(ordered, key=lambda pair: pair[0])]


def deleting_super_stream(
    vhost: VHost, name: str, *, permit: Permit = _anybody
) -> Generator[None, None, None]:
    """Delete a super stream with all its partitions, a step each. Raises NOT_FOUND if there is none of the
    name."""
    exchange = vhost.exchange(name)
    if not is_super_stream(exchange):
        raise BrokerError(Reason.NOT_FOUND, f"no super stream '{name}' in vhost '{vhost.name}'")
    partitions = partitions_of(exchange)
    names = [partition.name for partition in partitions]
    yield from _demand_all(permit, name, names, {"exchange": ("configure",), "queue": ("configure",)})
    yield from _removal(vhost, exchange, partitions)


def delete_super_stream(vhost: VHost, name: str) -> None:
    """Do all of `deleting_super_stream` at once."""
    at_once(deleting_super_stream(vhost, name))


def _demand_all(
    permit: Permit, name: str, partitions: Sequence[str], actions: Mapping[str, Sequence[str]]
) -> Generator[None, None, None]:
    """Refuse what is not permitted, before anything is done; some names a step."""
    for action in actions["exchange"]:
        permit(action, "exchange", name)
    for position, partition in enumerate(partitions, 1):
        for action in actions["queue"]:
            permit(action, "queue", partition)
        if position % PERMITTED_AT_ONCE == 0:
            yield
