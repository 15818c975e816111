"""Messages that wait for a time: the schedule of one exchange (R28).

A schedule is a hidden queue, so its messages are stored, spilled, confirmed and recovered as those of any
queue; in no listing, without consumers, and known to the journal by a definition of kind `schedule`. Its lane
(`schedule_lane`) knows them by due time; those of one moment fire as they came.

Firing routes messages from the schedule's exchange, and settles them here at the same moment: both stand in
one group of the journal, so a crash neither loses nor doubles them.

When a message is due, and what it is when it fires, its protocol knows: a head enters a `Timetable` for its
origin. A delay counts from when the message has arrived, not from when the turn began that read it: nothing
fires before its sender can expect it. Source: the plugin rabbitmq_delayed_message_exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.index import NO_ENVELOPE, Envelope
from pillarbox.broker.lane import SHADOW
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import body_bytes_of, message_bytes_of
from pillarbox.broker.schedule_lane import ScheduleLane
from pillarbox.broker.schedule_places import Places
from pillarbox.broker.schedule_walk import Walk, Walks, by_place
from pillarbox.engine.base import NO_EXPIRATION, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.vhost import VHost
    from pillarbox.engine.base import Recovery

FIRE_MESSAGES = 200
"""Messages that fire before a tick lets sockets be read again: about two milliseconds' work."""


class Fired(NamedTuple):
    """A message as it goes on when its time has come."""

    message: Message
    keys: tuple[str, ...]
    envelope: Envelope


class Timetable(NamedTuple):
    """What a protocol knows of its delayed messages."""

    delay_ms: Callable[[Message], int]
    """Counted from the moment at which the message was accepted."""
    fire: Callable[[Message, int], Fired]
    """What it is when it fires at this time."""
    again: Callable[[Message, int], list[Message]]
    """What waits after it, if it is to come again."""


class ScheduleQueue(Queue):
    """The hidden queue of a schedule."""

    def unload(self, memory_budget: int) -> None:
        """Let go of messages that the disk holds: see `ScheduleLane.tidy`."""
        for lane in self.lanes:
            assert isinstance(lane, ScheduleLane)
            lane.tidy(memory_budget)


class Schedule:
    """The messages that wait in one exchange; see the module."""

    def __init__(self, core: Core, exchange: Exchange, uid: int) -> None:
        self._core = core
        self._exchange = exchange
        self._timer_ms: int | None = None
        self.places: Places | None = None
        """Where what waits will go, once somebody has asked."""
        self.queue: Queue = ScheduleQueue(
            core.changes, uid, f"amq.delayed.{exchange.name}", durable=exchange.durable
        )
        self.lane = ScheduleLane(self, self.queue, core.changes, uid)
        self.queue.lanes[:] = [self.lane]

    def __repr__(self) -> str:
        return f"<Schedule of {self._exchange.name!r} waiting={self.waiting_count}>"

    @property
    def waiting_count(self) -> int:
        """How many messages wait."""
        return self.queue.ready_count

    def destinations(self) -> Places | None:
        """How many messages wait for each destination; None: whoever asks again later may hear it.

        Cost: at first everything is read that rests on the disk, in parts; then O(destinations).
        """
        if self.places is None:
            places = self.places = Places(self.lane.sequence_next)
            walk = Walk(
                self._core,
                (self,),
                lambda: by_place((self,)),
                places.see,
                reads=True,
                end=places.learned,
            )
            self._core.schedules.walks.begin(walk)
        return self.places if self.places.complete else None

    def due_ms(self, message: Message) -> int:
        """When a message is due; one that no head knows any more, at once."""
        timetable = self._core.schedules.timetables.get(message.address.origin)
        return message.accepted_ms + (timetable.delay_ms(message) if timetable is not None else 0)

    def look_at(self, due_ms: int) -> None:
        """Have a look when this time has come."""
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._core.scheduler.at(due_ms, self)

    def on_timer(self, now_ms: int) -> None:
        """The time asked for has come."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
            self.rouse()

    def rouse(self) -> None:
        """Have what is due fire in the next tick, and wait for what comes after that."""
        if not self.queue.deleted:
            self._core.schedules.due[self] = None
            self._core.wake()

    @property
    def memory_budget(self) -> int:
        """Bytes that all messages of the broker may take in memory."""
        return self._core.memory_budget

    def stamp(self, messages: list[Message]) -> None:
        """Let delays count from this moment: these messages have just been read."""
        arrived_ms = self._core.arrived_ms()
        if arrived_ms > self._core.changes.now_ms:
            messages[:] = [msgspec.structs.replace(one, accepted_ms=arrived_ms) for one in messages]

    def grown(self) -> None:
        """Messages came in: tidy up when they are appended."""
        self._core.grown(self.queue)

    def fire(self, count_max: int) -> int:
        """Let at most `count_max` messages go that are due; return how many."""
        core = self._core
        now_ms = core.changes.now_ms
        taken, more = self.lane.take_due(now_ms, count_max)
        if taken:
            messages = [message for _, message in taken]
            self._publish(messages, now_ms)
            self._wait_again(messages, now_ms)
            core.changes.note_move()
            self.lane.settle_fired(taken)
        if more:
            self.rouse()
        elif (next_ms := self.lane.next_look_ms(now_ms)) is not None:
            self.look_at(next_ms)
        return len(taken)

    def _publish(self, messages: list[Message], now_ms: int) -> None:
        """Publish messages that have become due, those that go to the same queues together."""
        core = self._core
        routed: list[tuple[tuple[Queue, ...], bool, bool, Message]] = []
        for message in messages:
            timetable = core.schedules.timetables.get(message.address.origin)
            fired, keys, envelope = (
                Fired(message, (message.address.routing_key,), NO_ENVELOPE)
                if timetable is None
                else timetable.fire(message, now_ms)
            )
            route = self._exchange.resolve(keys, envelope)
            route.remember(keys, envelope, fired)
            self._exchange.counters.publish_out += len(route.queues)
            if route.queues:
                expiring = fired.expiration_ms != NO_EXPIRATION
                routed.append((route.queues, fired.persistent, expiring, fired))
        for (queues, persistent, expiring), group in groupby(routed, lambda one: one[:3]):
            batch = [message for _, _, _, message in group]
            core.publish(
                queues,
                batch,
                body_bytes_of(batch),
                persistent=persistent,
                expiring=expiring,
                prioritized=any(message.priority for message in batch),
                message_bytes=message_bytes_of(batch),
            )

    def _wait_again(self, messages: list[Message], now_ms: int) -> None:
        """Have those wait once more that are to come again: in the group in which they have come."""
        core = self._core
        later = [
            one
            for message in messages
            if (timetable := core.schedules.timetables.get(message.address.origin)) is not None
            for one in timetable.again(message, now_ms)
        ]
        for persistent, group in groupby(later, lambda one: one.persistent):
            batch = list(group)
            core.publish(
                (self.queue,),
                batch,
                body_bytes_of(batch),
                persistent=persistent,
                expiring=False,
                prioritized=False,
                message_bytes=message_bytes_of(batch),
            )


class Schedules:
    """All schedules of one broker."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.timetables: dict[str, Timetable] = {}
        """By the origin of messages (see `Address`)."""
        self.due: dict[Schedule, None] = {}
        """Schedules that may have something to fire."""
        self.walks = Walks(core)
        """Looks at what waits, for whoever asks."""
        self._by_uid: dict[int, Schedule] = {}

    def __repr__(self) -> str:
        return f"<Schedules due={len(self.due)}>"

    def add(self, vhost: VHost, exchange: Exchange) -> None:
        """Give a new exchange its schedule, if it delays messages."""
        if not exchange.row.delays:
            return
        schedule = exchange.schedule = Schedule(self._core, exchange, self._core.take_uid())
        self._by_uid[schedule.queue.uid] = schedule
        if exchange.durable:
            definition = kept.ScheduleDefinition(vhost.name, exchange.name)
            self._core.define("schedule", str(schedule.queue.uid), definition)

    def restore(self, uid: int, definition: kept.ScheduleDefinition, recovery: Recovery) -> None:
        """Give an exchange its schedule and the messages that an engine found."""
        vhost = self._core.vhosts[definition.vhost]
        exchange = vhost.exchanges[definition.exchange]
        schedule = exchange.schedule = self._by_uid[uid] = Schedule(self._core, exchange, uid)
        state = recovery.queues.get(uid)
        if state is not None:
            schedule.lane.restore(state)
            schedule.rouse()

    def merged(self, uid: int, sequences: range) -> None:
        """Small records of a queue, if it is a schedule, have become one."""
        schedule = self._by_uid.get(uid & ~SHADOW)
        if schedule is not None:
            schedule.lane.merged(sequences)

    def remove(self, exchange: Exchange) -> None:
        """Drop the schedule of an exchange that is being deleted, with all that waits."""
        schedule = exchange.schedule
        if schedule is None:
            return
        exchange.schedule = None
        self.due.pop(schedule, None)
        del self._by_uid[schedule.queue.uid]
        if exchange.durable:
            self._core.undefine("schedule", str(schedule.queue.uid))
        schedule.queue.close()

    def fire(self) -> None:
        """Let what is due fire, a bounded number of messages."""
        if self._core.failure is not None:
            # It cannot be stored elsewhere; a restart finds it where it was.
            return
        due, self.due = self.due, {}
        left = FIRE_MESSAGES
        for schedule in due:
            if left > 0:
                left -= schedule.fire(left)
            else:
                schedule.rouse()
