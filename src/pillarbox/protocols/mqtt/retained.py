"""Retained messages: the last one of each topic, which whoever subscribes is told first.

They are held as bytes, a few beside topic and payload (`topic_store`), and nowhere else: the journal is told
of each change, under the topic's name, and a checkpoint has the blocks as they are held. After a restart
what changed since the checkpoint goes on top of its blocks; so a message that is retained no more is told as
an empty one.

Source: MQTT 5.0, 3.3.1.3; row R141.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.protocols.mqtt.primitives import Reader
from pillarbox.protocols.mqtt.topic_store import Topics, names_of, values_of

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.core import Core

PREFIX: Final = '["mqtt","retained'
CHANGE: Final = "retained"
"""Of keys with a topic: its message, or nothing."""
BLOCK: Final = "retained-block"
"""Of keys with the number of a block."""

FOUND_AT_ONCE: Final = 100
"""Messages that a filter finds in one part."""
STEPS_AT_ONCE: Final = 500
"""Steps on the way to them: a fraction of a millisecond."""

LOOK_MS: Final = 600_000
"""How long what is over may take memory at most, beyond its time."""
EFFORT_AT_ONCE: Final = 40
"""How many of them are forgotten in one part, a millisecond's work."""
BLOCK_EFFORT: Final = 2
"""As how many of these it counts that a block is looked through."""

_QOS: Final = 3
_EXPIRING: Final = 4
_HEAD = Struct(">BQ")
_EXPIRATION = Struct(">Q")


class Retained(msgspec.Struct, frozen=True, array_like=True):
    """One message, and how a change is kept."""

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


def packed(message: Retained) -> bytes:
    """A message as it is held: flags, times, properties, which say their size, and payload."""
    if message.expiration_ms == NO_EXPIRATION:
        head = _HEAD.pack(message.qos, message.accepted_ms)
    else:
        head = _HEAD.pack(message.qos | _EXPIRING, message.accepted_ms)
        head += _EXPIRATION.pack(message.expiration_ms)
    return head + message.properties + message.payload


def unpacked(topic: bytes, held: bytes) -> Retained:
    """The message of a topic."""
    flags, accepted_ms = _HEAD.unpack_from(held)
    at, expiration_ms = _HEAD.size, NO_EXPIRATION
    if flags & _EXPIRING:
        (expiration_ms,) = _EXPIRATION.unpack_from(held, at)
        at += _EXPIRATION.size
    if not held[at]:
        end = at + 1
    else:
        reader = Reader(held, at)
        size = reader.integer()
        end = reader.at + size
    return Retained(topic.decode(), held[end:], held[at:end], flags & _QOS, accepted_ms, expiration_ms)


class RetainedMessages:
    """See the module: those of all virtual hosts."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._topics: dict[str, Topics] = {}
        self._listings: list[set[tuple[str, bytes]]] = []
        """For everybody who is being told, what has changed since that began."""
        self._is_timed = False
        """What is over is looked for when the time has come."""
        for key, value in core.take_kept(PREFIX):
            self._restore(key, value)
        core.holders.append(self._rows)
        if self.count:
            self._look_later()

    def __repr__(self) -> str:
        return f"<RetainedMessages count={self.count}>"

    @property
    def count(self) -> int:
        """How many there are; some may be over."""
        return sum(topics.count for topics in self._topics.values())

    def put(self, vhost: str, message: Retained) -> None:
        """Retain a message in place of the last one of its topic; an empty one only takes that away."""
        key = key_of("mqtt", CHANGE, vhost, message.topic)
        name = message.topic.encode()
        topics = self._of(vhost)
        if message.payload:
            topics.put(name, packed(message))
            self._core.note(key, msgspec.msgpack.encode(message))
            if message.expiration_ms != NO_EXPIRATION:
                self._look_later()
        else:
            self._remove(vhost, topics, name)
        for changed in self._listings:
            changed.add((vhost, name))

    def _remove(self, vhost: str, topics: Topics, name: bytes) -> None:
        if topics.remove(name):
            self._core.note(key_of("mqtt", CHANGE, vhost, name.decode()), b"")

    def forget_vhost(self, vhost: str) -> Parts:
        """Retain nothing of a virtual host any more."""
        topics = self._topics.get(vhost)
        if topics is None:
            return
        for block in topics.lend()[1]:
            for name in names_of(block):
                self._remove(vhost, topics, name)
            yield
        del self._topics[vhost]

    # --- what is over --------------------------------------------------------------------------------

    def _look_later(self) -> None:
        if not self._is_timed:
            self._is_timed = True
            self._core.scheduler.at(self._core.changes.now_ms + LOOK_MS, self)

    def on_timer(self, now_ms: int) -> None:
        """Forget what is over, in parts: nobody is told of it any more, but it takes memory."""
        self._core.chores.begin(self._sweep())

    def _sweep(self) -> Parts:
        is_left = False
        effort = 0
        for vhost, topics in list(self._topics.items()):
            for block in topics.lend()[1]:
                for name, held in zip(names_of(block), values_of(block), strict=True):
                    if not held[0] & _EXPIRING:
                        continue
                    if not unpacked(name, held).is_over(self._core.changes.now_ms):
                        is_left = True
                    elif topics.get(name) == held:
                        self._remove(vhost, topics, name)
                        effort += 1
                effort += BLOCK_EFFORT
                if effort >= EFFORT_AT_ONCE:
                    effort = 0
                    yield
        self._is_timed = False
        if is_left:
            self._look_later()

    def matching(self, vhost: str, pattern: str) -> Iterator[list[Retained]]:
        """All whose topics a filter takes now, in parts of a fraction of a millisecond; some may be empty.

        What changes meanwhile is left out: it was published to whoever has subscribed.
        """
        topics = self._topics.get(vhost)
        if topics is None:
            return
        changed: set[tuple[str, bytes]] = set()
        self._listings.append(changed)
        part: list[Retained] = []
        try:
            for steps, found in enumerate(topics.matching(pattern), 1):
                if found is not None and (not changed or (vhost, found[0]) not in changed):
                    message = unpacked(*found)
                    if not message.is_over(self._core.changes.now_ms):
                        part.append(message)
                if len(part) >= FOUND_AT_ONCE or steps % STEPS_AT_ONCE == 0:
                    yield part
                    # Of those that were found before the others were told, none has changed since.
                    part = []
            yield part
        finally:
            self._listings = [one for one in self._listings if one is not changed]

    def _of(self, vhost: str) -> Topics:
        topics = self._topics.get(vhost)
        if topics is None:
            topics = self._topics[vhost] = Topics()
        return topics

    # --- what is kept ------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        """All blocks of this moment."""
        lent = {vhost: topics.lend()[1] for vhost, topics in self._topics.items()}
        return (
            (key_of("mqtt", BLOCK, vhost, number), block)
            for vhost, blocks in lent.items()
            for number, block in enumerate(blocks)
        )

    def _restore(self, key: str, value: bytes) -> None:
        _, what, vhost, which = msgspec.json.decode(key, type=tuple[str, str, str, str | int])
        topics = self._of(vhost)
        if what == BLOCK:
            topics.append(value)
        elif value:
            message = msgspec.msgpack.decode(value, type=Retained)
            topics.put(message.topic.encode(), packed(message))
        else:
            topics.remove(str(which).encode())
