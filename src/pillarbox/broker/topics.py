"""Topics: the streams of a virtual host as those see them who know topics and partitions.

A topic is a view and no object of its own: a stream queue is a topic with one partition under its name, a
super stream one with as many partitions as it has streams, which are no topics themselves. So whatever
protocol makes or removes them, all see the same. Kept beside it are only the settings that the topic was
given, and what they mean to its logs.

Not here: which settings there are (a head's matter), records, groups. Source: Kafka's topics; R80, R84, K12,
K31. Invariant: a topic found before is good as long as its stamp is valid.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Generator, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.chores import at_once
from pillarbox.broker.exchange import Binding, Stamp
from pillarbox.broker.stream import StreamQueue
from pillarbox.broker.super_stream import (
    ORDER,
    adding_super_stream,
    deleting_super_stream,
    demand_there,
    is_partition_binding,
    is_super_stream,
    mark_super_stream,
    partitions_of,
)
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.vhost import VHost

KIND = "topic"
STREAM: Mapping[str, Any] = {"x-queue-type": "stream"}
ID_BYTES = 16


class Topic(msgspec.Struct, frozen=True, eq=False):
    """A topic as it is while `stamp` is valid."""

    name: str
    id: bytes
    """16 bytes, of its first stream: a topic that is made anew has another."""
    partitions: list[StreamQueue]
    stamp: Stamp

    @property
    def exists(self) -> bool:
        return self.stamp.valid


class Topics:
    """The topics of one virtual host."""

    def __init__(self, core: Core, vhost: VHost) -> None:
        self._core = core
        self._vhost = vhost
        self._settings: dict[str, kept.TopicDefinition] = {}
        self._found: dict[str, Topic] = {}
        """What was looked up before; at most as many as there were topics."""
        self._names: dict[bytes, str] = {}
        """By id."""
        self._listed: list[str] = []
        """The names of all, sorted."""
        self._hidden: set[str] = set()
        """Names of which there is a part only: nobody sees them, as their partitions have wrong numbers."""

    def __repr__(self) -> str:
        return f"<Topics of {self._vhost.name!r}>"

    # --- looking up ----------------------------------------------------------------------------------

    def get(self, name: str) -> Topic | None:
        """The topic of this name. Cost: a look into a dictionary, as a rule."""
        known = self._found.get(name)
        if known is not None and known.stamp.valid:
            return known
        if name in self._hidden:
            return None
        streams, stamp = self._streams(name)
        if not streams:
            self._found.pop(name, None)
            return None
        topic = self._found[name] = Topic(name, _id_of(streams[0]), streams, stamp)
        self._names[topic.id] = name
        return topic

    def _streams(self, name: str) -> tuple[list[StreamQueue], Stamp]:
        vhost = self._vhost
        exchange = vhost.exchanges.get(name)
        if exchange is not None and is_super_stream(exchange):
            return partitions_of(exchange), exchange.stamp
        queue = vhost.queues.get(name)
        if isinstance(queue, StreamQueue) and not self._is_partition(queue):
            return [queue], queue.stamp
        return [], Stamp()

    def _is_partition(self, stream: StreamQueue) -> bool:
        """Is it part of a super stream? Such a stream is no topic beside. Cost: that of `bindings_to`."""
        return any(map(is_partition_binding, self._vhost.bindings_to(stream)))

    def by_id(self, identity: bytes) -> Topic | None:
        """The topic with this id. Cost: that of `all` where nobody has looked it up by name before."""
        if identity not in self._names:
            for each in self.all():
                self._names[each.id] = each.name
        topic = self.get(self._names.get(identity, ""))
        if topic is None or topic.id != identity:
            self._names.pop(identity, None)
            return None
        return topic

    def all(self) -> Iterator[Topic]:
        """Every topic, by name, as it is when its turn comes: this may be taken in slices."""
        return filter(None, map(self.get, tuple(self._listed)))

    def settings(self, topic: Topic) -> Mapping[str, str]:
        """What the topic was given, in the words of the head that gave it."""
        known = self._settings.get(topic.name)
        return {} if known is None else known.settings

    def is_hidden(self, name: str) -> bool:
        """Whether a topic of this name is being made or removed."""
        return name in self._hidden

    @contextmanager
    def hiding(self, name: str) -> Iterator[None]:
        """Let nobody see a topic of this name meanwhile."""
        self._hidden.add(name)
        self._found.pop(name, None)
        try:
            yield
        finally:
            self._hidden.discard(name)

    # --- changing ------------------------------------------------------------------------------------

    def create(
        self, name: str, partitions: int, settings: Mapping[str, str], options: Mapping[str, Any]
    ) -> Topic:
        """Do all of `creating` at once."""
        return at_once(self.creating(name, partitions, settings, options))

    def creating(
        self, name: str, partitions: int, settings: Mapping[str, str], options: Mapping[str, Any]
    ) -> Generator[None, None, Topic]:
        """Make a topic, a partition in each step; it is there when it is whole.

        `options`: what its settings mean to its logs (fields of `LogOptions`). Raises PRECONDITION_FAILED,
        and makes nothing, where one of its names is taken; NOT_FOUND where somebody deletes it meanwhile.
        """
        self.demand_free(name, partitions)
        vhost = self._vhost
        if partitions == 1:
            vhost.declare_queue(None, name, durable=True, arguments=STREAM)
        else:
            with self.hiding(name):
                yield from adding_super_stream(vhost, name, partitions)
        topic = self.get(name)
        if topic is None:
            raise BrokerError(Reason.NOT_FOUND, f"no topic '{name}' in vhost '{vhost.name}'")
        self.configure(topic, settings, options)
        return topic

    def demand_free(self, name: str, partitions: int) -> None:
        """Raise PRECONDITION_FAILED where a new topic would have a name that something has."""
        self._demand_free(name, self._vhost.exchanges, self._vhost.queues)
        if partitions > 1:
            self._demand_free_partitions(name, range(partitions))

    def demand_room(self, topic: Topic, partitions: int) -> None:
        """Raise PRECONDITION_FAILED where a topic cannot have so many partitions, for such a name."""
        exchange = self._vhost.exchanges.get(topic.name)
        if exchange is not None and not is_super_stream(exchange):
            self._demand_free(topic.name, self._vhost.exchanges)
        self._demand_free_partitions(topic.name, range(len(topic.partitions), partitions))

    def _demand_free_partitions(self, name: str, numbers: range) -> None:
        for number in numbers:
            self._demand_free(f"{name}-{number}", self._vhost.queues)

    def _demand_free(self, name: str, *taken: Container[str]) -> None:
        if any(name in names for names in taken):
            text = f"there is already something named '{name}' in vhost '{self._vhost.name}'"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)

    def configure(self, topic: Topic, settings: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Give a topic other settings; see `create`."""
        definition = kept.TopicDefinition(self._vhost.name, topic.name, dict(settings), dict(options))
        self._settings[topic.name] = definition
        self._core.define(KIND, self._key(topic.name), definition)
        self._apply(topic, options)

    def grow(self, topic: Topic, partitions: int) -> Topic:
        """Do all of `growing` at once."""
        return at_once(self.growing(topic, partitions))

    def growing(self, topic: Topic, partitions: int) -> Generator[None, None, Topic]:
        """Let a topic have so many partitions, which is more than it has, one more in each step. The first
        ones stay as they are.

        Raises PRECONDITION_FAILED, and makes nothing, where one of the new names is taken; NOT_FOUND where
        somebody deletes it meanwhile.
        """
        self.demand_room(topic, partitions)
        vhost, name = self._vhost, topic.name
        exchange = vhost.exchanges.get(name)
        if exchange is None:
            exchange = mark_super_stream(vhost, name)
            vhost.bind(exchange, topic.partitions[0], "0", {ORDER: 0})
        for number in range(len(topic.partitions), partitions):
            demand_there(vhost, exchange)
            stream = vhost.declare_queue(None, f"{name}-{number}", durable=True, arguments=STREAM)
            vhost.bind(exchange, stream, str(number), {ORDER: number})
            yield
        demand_there(vhost, exchange)
        self._found.pop(name, None)
        grown = self.get(name)
        assert grown is not None, f"{name!r} is there"
        if name in self._settings:
            self._apply(grown, self._settings[name].options)
        return grown

    def delete(self, topic: Topic) -> None:
        """Do all of `deleting` at once."""
        at_once(self.deleting(topic))

    def deleting(self, topic: Topic) -> Generator[None, None, None]:
        """Remove a topic with all its records, a partition in each step; it is gone from the first on."""
        vhost, name = self._vhost, topic.name
        exchange = vhost.exchanges.get(name)
        if exchange is not None and is_super_stream(exchange):
            with self.hiding(name):
                yield from deleting_super_stream(vhost, name)
        else:
            vhost.remove_queue(topic.partitions[0], asked=True)

    def clearing(self, name: str) -> Generator[None, None, None]:
        """Remove what a crash has left of a topic that was being made or removed."""
        exchange = self._vhost.exchanges.get(name)
        if exchange is not None and is_super_stream(exchange):
            with self.hiding(name):
                yield from deleting_super_stream(self._vhost, name)

    def look_at(self, name: str) -> None:
        """A stream or a super stream of this name has come or gone, or is bound otherwise."""
        position = bisect_left(self._listed, name)
        listed = self._listed[position : position + 1] == [name]
        if self._is_topic(name) != listed:
            self._found.pop(name, None)
            self._listed[position : position + listed] = [] if listed else [name]

    def rebound(self, binding: Binding) -> None:
        """A binding has come or gone."""
        if is_partition_binding(binding):
            self.look_at(binding.destination.name)
            self.look_at(binding.source.name)

    def _is_topic(self, name: str) -> bool:
        exchange = self._vhost.exchanges.get(name)
        if exchange is not None and is_super_stream(exchange):
            return any(map(is_partition_binding, exchange.bindings.values()))
        queue = self._vhost.queues.get(name)
        return isinstance(queue, StreamQueue) and not self._is_partition(queue)

    def forget(self, name: str) -> None:
        """A stream or super stream of this name is gone, and with it what was kept of the topic."""
        self.look_at(name)
        if self._settings.pop(name, None) is not None:
            self._core.undefine(KIND, self._key(name))

    def restore(self, definition: kept.TopicDefinition) -> None:
        """After a restart, when queues, exchanges and bindings are there."""
        self._settings[definition.name] = definition
        topic = self.get(definition.name)
        if topic is not None:
            self._apply(topic, definition.options)

    def _apply(self, topic: Topic, options: Mapping[str, Any]) -> None:
        for stream in topic.partitions:
            stream.set_log_options(options)

    def _key(self, name: str) -> str:
        return kept.key_of(self._vhost.name, name)


def _id_of(stream: StreamQueue) -> bytes:
    return sha256(b"topic %d" % stream.uid).digest()[:ID_BYTES]
