"""Interceptors: what the broker writes into every message before it is routed (R76), if it is told to.

`timestamp_in_ms` (a header) and the property `timestamp`: when a message came, in ms and in seconds;
`x-routed-by`: the node that took it. What the publisher has put there is kept or overwritten, each by itself.

Without interceptors a message is not looked at: with them, `Connection.examine` marks all as special.

Source: RabbitMQ 3.13, `message_interceptors.incoming.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pillarbox.protocols.amqp091 import wire

KEEP, OVERWRITE = "keep", "overwrite"
"""What becomes of a publisher's own value."""

TIMESTAMP, ROUTED_BY = "timestamp_in_ms", "x-routed-by"

Interceptor = Callable[[wire.Properties, int], wire.Properties]
"""(properties, time in milliseconds) → the properties with which the message goes on."""


def stamp_time(overwrite: bool) -> Interceptor:
    """Write down when messages came."""

    def stamp(found: wire.Properties, now_ms: int) -> wire.Properties:
        headers = found.headers or {}
        if overwrite or TIMESTAMP not in headers:
            found = found._replace(headers={**headers, TIMESTAMP: wire.Long(now_ms)})
        if overwrite or found.timestamp is None:
            found = found._replace(timestamp=now_ms // 1000)
        return found

    return stamp


def stamp_node(overwrite: bool, node: str) -> Interceptor:
    """Write down which node took messages."""

    def stamp(found: wire.Properties, now_ms: int) -> wire.Properties:
        headers = found.headers or {}
        if overwrite or ROUTED_BY not in headers:
            found = found._replace(headers={**headers, ROUTED_BY: node})
        return found

    return stamp


def interceptors_of(timestamp: str, routing_node: str, node: str) -> tuple[Interceptor, ...]:
    """The interceptors that a configuration asks for; anything but `keep` and `overwrite` asks for none."""
    found: list[Interceptor] = []
    if timestamp in (KEEP, OVERWRITE):
        found.append(stamp_time(timestamp == OVERWRITE))
    if routing_node in (KEEP, OVERWRITE):
        found.append(stamp_node(routing_node == OVERWRITE, node))
    return tuple(found)


def intercept(properties: bytes, interceptors: Sequence[Interceptor], now_ms: int) -> bytes:
    """The property list with which a message goes on."""
    found = wire.decode_properties(properties)
    for interceptor in interceptors:
        found = interceptor(found, now_ms)
    return wire.encode_properties(found)
