"""Retained messages: the last one of each topic, which whoever subscribes is told first.

A tree by the levels of topics, so that a filter costs as much as what it finds. Each is kept as a definition
and so survives a restart; the tree has the very bytes of that, which are read when somebody is told. Where a
topic is the only one below some level, the rest of it is no branch but one text: half of the memory.

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
WORDS_MAX: Final = 10_000
"""Different ones; further levels of topics have texts of their own."""


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


Leaf = tuple[str | None, bytes]
"""The rest of a topic that stands alone here, or None if it ends here, and its message as it is kept."""


class Node:
    """One level of topics: the message of the one that ends here, and what is below."""

    __slots__ = ("below", "value")

    def __init__(self) -> None:
        self.value: bytes | None = None
        self.below: dict[str, Node | Leaf] = {}


class RetainedMessages:
    """See the module: those of all virtual hosts."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._roots: dict[str, Node] = {}
        self._words: dict[str, str] = {}
        """Levels, and ends of topics, that come again and again: one text for all of them."""
        self.count = 0
        for key, value in core.kept(PREFIX):
            _, _, vhost, topic = msgspec.json.decode(key, type=list[str])
            self._put(vhost, topic, value)

    def __repr__(self) -> str:
        return f"<RetainedMessages count={self.count}>"

    def put(self, vhost: str, message: Retained) -> None:
        """Retain a message in place of the last one of its topic; an empty one only takes that away."""
        key = key_of("mqtt", "retained", vhost, message.topic)
        if message.payload:
            value = msgspec.msgpack.encode(message)
            self._core.keep(key, value)
            self._put(vhost, message.topic, value)
        else:
            self._core.keep(key, None)
            self._remove(vhost, message.topic)

    def _put(self, vhost: str, topic: str, value: bytes) -> None:
        node = self._roots.setdefault(vhost, Node())
        rest: str | None = topic
        while rest is not None:
            level, rest = _cut(rest)
            below = node.below.get(level)
            if below is None:
                node.below[self._word(level)] = (rest and self._word(rest), value)
                self.count += 1
                return
            if isinstance(below, tuple):
                if below[0] == rest:
                    node.below[level] = (rest, value)
                    return
                below = node.below[level] = _opened(below)
            node = below
        self.count += node.value is None
        node.value = value

    def _word(self, text: str) -> str:
        words = self._words
        return words.setdefault(text, text) if len(words) < WORDS_MAX else words.get(text, text)

    def _remove(self, vhost: str, topic: str) -> None:
        node = self._roots.get(vhost)
        rest: str | None = topic
        way: list[tuple[Node, str]] = []
        while rest is not None:
            if node is None:
                return
            level, rest = _cut(rest)
            way.append((node, level))
            below = node.below.get(level)
            if isinstance(below, tuple):
                if below[0] != rest:
                    return
                node = None
                break
            node = below
            if node is None:
                return
        if node is not None:
            if node.value is None:
                return
            node.value = None
        self.count -= 1
        for above, level in reversed(way):
            if node is not None and (node.value is not None or node.below):
                break
            del above.below[level]
            node = above

    def matching(self, vhost: str, pattern: str) -> Iterator[bytes]:
        """All whose topics a filter takes, as they are kept: `read` them. Some may be over."""
        root = self._roots.get(vhost)
        if root is None:
            return
        wanted = pattern.split("/")
        stack: list[tuple[Node | Leaf, int]] = [(root, 0)]
        while stack:
            node, depth = stack.pop()
            if isinstance(node, tuple):
                if _takes(wanted[depth:], node[0]):
                    yield node[1]
                continue
            if depth == len(wanted) or wanted[depth] == "#":
                if node.value is not None:
                    yield node.value
                if depth == len(wanted):
                    continue
            want = wanted[depth]
            if want not in ("+", "#"):
                below = node.below.get(want)
                if below is not None:
                    stack.append((below, depth + 1))
                continue
            following = depth + (want == "+")
            # What begins with a $ is not for wildcards.
            stack += [
                (below, following)
                for level, below in node.below.items()
                if node is not root or not level.startswith("$")
            ]


def read(value: bytes) -> Retained:
    """A message as it is kept."""
    return msgspec.msgpack.decode(value, type=Retained)


def _cut(topic: str) -> tuple[str, str | None]:
    """The first level of a topic, and the rest, if there is any: it may be the empty text."""
    level, more, rest = topic.partition("/")
    return level, rest if more else None


def _opened(leaf: Leaf) -> Node:
    """A node in place of a leaf, for another topic that comes to stand beside it."""
    node = Node()
    rest, value = leaf
    if rest is None:
        node.value = value
    else:
        level, more = _cut(rest)
        node.below[level] = (more, value)
    return node


def _takes(wanted: list[str], rest: str | None) -> bool:
    """Does what is left of a filter take what is left of a topic?"""
    levels = [] if rest is None else rest.split("/")
    if wanted and wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        want in ("+", level) for want, level in zip(wanted, levels, strict=True)
    )
