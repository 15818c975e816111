"""Retained messages: the last one of each topic, which whoever subscribes is told first.

A tree by the levels of topics, so that a filter costs as much as what it finds. Each is kept as a definition
and so survives a restart.

Source: MQTT 5.0, 3.3.1.3; row R141.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.engine.base import NO_EXPIRATION

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

PREFIX: Final = '["mqtt","retained",'


class Retained(msgspec.Struct, frozen=True, array_like=True):
    """One message."""

    topic: str
    payload: bytes
    properties: bytes
    """As receivers get them (see `stored.kept`)."""
    qos: int
    accepted_ms: int
    expiration_ms: int = NO_EXPIRATION

    def is_over(self, now_ms: int) -> bool:
        """Has its time gone by?"""
        return self.expiration_ms != NO_EXPIRATION and now_ms >= self.accepted_ms + self.expiration_ms


class Node:
    """One level of a topic: the message that ends here, and the levels below."""

    __slots__ = ("below", "message")

    def __init__(self) -> None:
        self.message: Retained | None = None
        self.below: dict[str, Node] = {}


class RetainedMessages:
    """See the module: those of all virtual hosts."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._roots: dict[str, Node] = {}
        self.count = 0
        for key, value in core.kept(PREFIX):
            vhost = msgspec.json.decode(key, type=list[str])[2]
            self._put(vhost, msgspec.msgpack.decode(value, type=Retained))

    def __repr__(self) -> str:
        return f"<RetainedMessages count={self.count}>"

    def put(self, vhost: str, message: Retained) -> None:
        """Retain a message in place of the last one of its topic; an empty one only takes that away."""
        key = key_of("mqtt", "retained", vhost, message.topic)
        if message.payload:
            self._core.keep(key, msgspec.msgpack.encode(message))
            self._put(vhost, message)
        else:
            self._core.keep(key, None)
            self._remove(vhost, message.topic)

    def _put(self, vhost: str, message: Retained) -> None:
        node = self._roots.setdefault(vhost, Node())
        for level in message.topic.split("/"):
            below = node.below.get(level)
            if below is None:
                below = node.below[level] = Node()
            node = below
        self.count += node.message is None
        node.message = message

    def _remove(self, vhost: str, topic: str) -> None:
        levels = topic.split("/")
        way = [self._roots.get(vhost)]
        for level in levels:
            node = way[-1]
            way.append(None if node is None else node.below.get(level))
        last = way[-1]
        if last is None or last.message is None:
            return
        last.message = None
        self.count -= 1
        for node, level in zip(reversed(way[:-1]), reversed(levels), strict=True):
            assert node is not None
            below = node.below[level]
            if below.message is not None or below.below:
                break
            del node.below[level]

    def matching(self, vhost: str, pattern: str, now_ms: int) -> Iterator[Retained]:
        """All whose topics a filter takes, by what is there when each is asked for."""
        root = self._roots.get(vhost)
        if root is None:
            return
        stack = [(root, pattern.split("/"), 0)]
        while stack:
            node, wanted, depth = stack.pop()
            if depth == len(wanted) or wanted[depth] == "#":
                if node.message is not None and not node.message.is_over(now_ms):
                    yield node.message
                if depth == len(wanted):
                    continue
            want = wanted[depth]
            if want not in ("+", "#"):
                below = node.below.get(want)
                if below is not None:
                    stack.append((below, wanted, depth + 1))
                continue
            following = depth + (want == "+")
            # What begins with a $ is not for wildcards.
            stack += [
                (below, wanted, following)
                for level, below in node.below.items()
                if depth or node is not root or not level.startswith("$")
            ]
