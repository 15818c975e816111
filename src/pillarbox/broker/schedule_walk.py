"""Walks: looking at everything that waits in schedules, to show it or to drop some of it (A35).

A walk does a part in a turn of the loop, and reads back what rests on the disk, a few megabytes at a time. Of
all walks of a broker one is under way, the others wait: so they take no more memory than one, however many
clients ask. What fires while a walk goes on is passed over.

Not here: who may look, what is made of what is found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.schedule_lane import SEQUENCE_MASK, ScheduleLane
from pillarbox.engine.base import DUE_SEQUENCE_BITS, Location, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.schedule import Schedule
    from pillarbox.broker.schedule_lane import Block

PART_STEPS = 1000
"""Places looked at in one turn: less than a millisecond's work."""
PART_MESSAGES = 200
"""Messages handed on in one turn, and read back for it at most."""
PART_BYTES = 4 << 20
"""Bytes of records that are read back for it: behind these no further record is."""

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
    """One of them. `places` is asked for when it begins; `end` is called when it is over."""

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
        self._part: list[Place] = []
        self._read: dict[Place, Message] = {}
        self._expected = 0
        """Records that are on their way."""

    def __repr__(self) -> str:
        return f"<Walk part={len(self._part)} expected={self._expected}>"

    def stop(self) -> None:
        """Go no further, and tell nobody."""
        self._stopped = True

    def step(self) -> None:
        """Do a part, now or when what it needs has come from the disk."""
        if self._stopped:
            self._over()
            return
        unknown = next((one for one in self._schedules if not one.lane.knows_all), None)
        if unknown is not None:
            # After a restart: when everything is due has to be known first.
            unknown.queue.when_loaded(self._go_on)
            return
        if self._going is None:
            self._going = self._places()
        missing, more = self._gather(self._going)
        if not more:
            self._going = iter(())
        for (lane, block), sequences in missing.items():
            self._expected += 1
            sequences.sort()
            self._core.changes.cold.append(Borrowed(self, lane, sequences, block.location, block.stored))
        if self._expected:
            self._core.wake()
        else:
            self._show(more)

    def _gather(self, going: Iterator[Place | None]) -> tuple[Missing, bool]:
        """Take the next part: what of it rests on the disk, and whether there may be more."""
        missing: Missing = {}
        read_bytes = 0
        for _ in range(PART_STEPS):
            if len(self._part) >= PART_MESSAGES or read_bytes >= PART_BYTES:
                return missing, True
            try:
                place = next(going)
            except StopIteration:
                return missing, False
            if place is None:
                continue
            lane, sequence = place
            if not lane.has(sequence):
                continue
            self._part.append(place)
            if not self._reads:
                continue
            message = lane.in_memory(sequence)
            if message is not None:
                self._read[place] = message
            elif (block := lane.on_disk(sequence)) is not None:
                if (lane, block) not in missing:
                    read_bytes += block.location.size
                missing.setdefault((lane, block), []).append(sequence)
        return missing, True

    def arrived(self, lane: ScheduleLane, pairs: Sequence[tuple[int, Message]]) -> None:
        """A record has been read, or cannot be."""
        for sequence, message in pairs:
            self._read[lane, sequence] = message
        self._expected -= 1
        if not self._expected:
            self._show(more=True)

    def _show(self, more: bool) -> None:
        part, self._part = self._part, []
        read, self._read = self._read, {}
        if not self._stopped:
            for lane, sequence in part:
                if lane.has(sequence):
                    self._see(lane, sequence, read.get((lane, sequence)))
        if more:
            self._go_on()
        else:
            self._over()

    def _go_on(self) -> None:
        self._core.chores.in_turn(self.step)

    def _over(self) -> None:
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
