"""Walks: looking at everything that waits in schedules, to show it or to drop some of it (A35).

A walk does some of it in a turn of the loop, and reads back what rests on the disk, some megabytes before it
hands them on. Of all walks of a broker one is under way, the others wait: so they take no more memory than
one, however many clients ask. What fires while a walk goes on is passed over.

Not here: who may look, what is made of what is found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.schedule_lane import SEQUENCE_MASK, ScheduleLane
from pillarbox.engine.base import DUE_SEQUENCE_BITS, Location, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.schedule import Schedule
    from pillarbox.broker.schedule_lane import Block

PART_STEPS = 1000
"""Places looked at in one turn: less than a millisecond's work."""
PART_MESSAGES = 200
"""Messages handed on in one turn."""
READ_BYTES = 1 << 20
"""Bytes of records that are asked for at a time: behind these no further record is."""
HELD_MESSAGES = 20_000
HELD_BYTES = 16 << 20
"""What is read back before any of it is handed on, by the average size: by due time every record has some of
it, so each is read once for so many."""

Place = tuple[ScheduleLane, int]
"""Where something waits, or did: its lane and sequence."""
Missing = dict[tuple[ScheduleLane, "Block"], list[int]]
"""Sequences by the records in which they rest."""
See = Callable[[ScheduleLane, int, Message | None], None]
"""What is to be done with each. None: the walk does not read, or it cannot be read."""


def by_due_time(schedules: Sequence[Schedule], first_ms: int, last_ms: int) -> Iterator[Place | None]:
    """What is due between these moments, the first due first; None: a step that found nothing."""
    lanes = [schedule.lane for schedule in schedules]
    keys = merge(*(_keys(lane, number) for number, lane in enumerate(lanes)))
    for key, number in keys:
        due_ms = key >> DUE_SEQUENCE_BITS
        if due_ms > last_ms:
            return
        yield (lanes[number], key & SEQUENCE_MASK) if due_ms >= first_ms else None


def _keys(lane: ScheduleLane, number: int) -> Iterator[tuple[int, int]]:
    for key in lane.by_due_time():
        yield key, number


def by_place(schedules: Sequence[Schedule]) -> Iterator[Place | None]:
    """All that waits, as the disk holds it: each record is read once."""
    for schedule in schedules:
        for sequence in schedule.lane.by_place():
            yield schedule.lane, sequence


END: Final[Any] = object()
"""Behind the last place."""


class Borrowed(msgspec.Struct, eq=False):
    """Messages of one record that a walk asked for: see `run.Cold`."""

    walk: Walk
    lane: ScheduleLane
    sequences: Sequence[int]
    location: Location
    stored: bool

    def arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        self.walk.arrived(self.lane, pairs)


class Walk:
    """One of them. `places` is asked for when it begins; `end` is called when it is over.

    Over and over it gathers places, reads what rests on the disk of them, and hands all on, each over as many
    turns as that takes.
    """

    def __init__(
        self,
        core: Core,
        schedules: Sequence[Schedule],
        places: Callable[[], Iterator[Place | None]],
        see: See,
        *,
        reads: bool,
        end: Callable[[], None],
    ) -> None:
        self._core = core
        self._schedules = schedules
        self._places = places
        self._going: Iterator[Place | None] | None = None
        self._see = see
        self._reads = reads
        self._end = end
        self._stopped = False
        self._more = True
        """Places may come after those of this part."""
        self._part: deque[Place] = deque()
        self._part_max = 0
        self._read: dict[Place, Message] = {}
        self._missing: Missing = {}
        self._expected = 0
        """Records that are on their way."""

    def __repr__(self) -> str:
        return f"<Walk part={len(self._part)} missing={len(self._missing)} expected={self._expected}>"

    def stop(self) -> None:
        """Go no further, and tell nobody."""
        self._stopped = True

    def step(self) -> None:
        """Begin a part, now or when it is known when everything is due."""
        if self._stopped:
            self._over()
            return
        unknown = next((one for one in self._schedules if not one.lane.knows_all), None)
        if unknown is not None:
            # After a restart.
            unknown.queue.when_loaded(self._go_on)
            return
        if self._going is None:
            self._going = self._places()
        self._part_max = self._held_max()
        self._gather()

    def _held_max(self) -> int:
        """How many messages may be read back for a part."""
        count = sum(schedule.queue.ready_count for schedule in self._schedules)
        size = sum(schedule.queue.ready_bytes for schedule in self._schedules) // max(1, count)
        return max(1, min(HELD_MESSAGES, HELD_BYTES // (size + MESSAGE_BYTES)))

    def _gather(self) -> None:
        """Take more places into this part, and begin to read when there are enough."""
        assert self._going is not None
        for _ in range(PART_STEPS):
            place = next(self._going, END)
            if place is END:
                self._more = False
                break
            if place is not None:
                self._take(place)
            if len(self._part) >= self._part_max:
                break
        else:
            self._in_turn(self._gather)
            return
        self._ask()

    def _take(self, place: Place) -> None:
        lane, sequence = place
        if not lane.has(sequence):
            return
        self._part.append(place)
        if not self._reads:
            return
        message = lane.in_memory(sequence)
        if message is not None:
            # It may leave the memory before it is handed on.
            self._read[place] = message
            return
        block = lane.on_disk(sequence)
        assert block is not None, "what waits is in memory or on the disk"
        self._missing.setdefault((lane, block), []).append(sequence)

    def _ask(self) -> None:
        """Ask for the next records of this part; if none is left, hand it on."""
        asked_bytes = 0
        while self._missing and asked_bytes < READ_BYTES:
            (lane, _), sequences = self._missing.popitem()
            left = sorted(each for each in sequences if lane.on_disk(each) is not None)
            if left:
                # Its block may have become part of another one meanwhile, and its record rest elsewhere.
                block = lane.on_disk(left[0])
                assert block is not None
                asked_bytes += block.location.size
                self._expected += 1
                self._core.changes.cold.append(Borrowed(self, lane, left, block.location, block.stored))
        if self._expected:
            self._core.wake()
        else:
            self._show()

    def arrived(self, lane: ScheduleLane, pairs: Sequence[tuple[int, Message]]) -> None:
        """A record has been read, or cannot be."""
        for sequence, message in pairs:
            self._read[lane, sequence] = message
        self._expected -= 1
        if not self._expected:
            self._in_turn(self._ask)

    def _show(self) -> None:
        """Hand on some of this part; behind its end is the next one."""
        part = self._part
        for _ in range(min(PART_MESSAGES, len(part))):
            lane, sequence = place = part.popleft()
            if not self._stopped and lane.has(sequence):
                self._see(lane, sequence, self._read.get(place))
        if part and not self._stopped:
            self._in_turn(self._show)
            return
        self._read.clear()
        if self._more:
            self._go_on()
        else:
            self._over()

    def _go_on(self) -> None:
        self._in_turn(self.step)

    def _in_turn(self, then: Callable[[], None]) -> None:
        self._core.chores.in_turn(then)

    def _over(self) -> None:
        self._part.clear()
        self._read.clear()
        for schedule in self._schedules:
            self._core.chores.begin(schedule.lane.tidy_keys())
        self._core.schedules.walks.over(self)
        if not self._stopped:
            self._end()


class Walks:
    """All walks of one broker, in the order in which they were asked for: the first is under way."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: deque[Walk] = deque()

    def __repr__(self) -> str:
        return f"<Walks waiting={len(self._waiting)}>"

    def begin(self, walk: Walk) -> None:
        """Go, in a turn to come, when those before are over."""
        self._waiting.append(walk)
        if len(self._waiting) == 1:
            self._core.chores.in_turn(walk.step)

    def over(self, walk: Walk) -> None:
        """This one is; the next may go."""
        self._waiting.remove(walk)
        if self._waiting:
            self._core.chores.in_turn(self._waiting[0].step)
