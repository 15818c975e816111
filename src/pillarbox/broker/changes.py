"""What the current tick has changed, collected until the tick ends.

Queues write here, the broker empties it: queues to dispatch, facts for the journal, bytes in memory.
The time of the tick stands here too, so that nothing in the core asks a clock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pillarbox.broker.chores import Chores
from pillarbox.broker.fence import Fence
from pillarbox.engine.base import (
    DefinitionFact,
    DeliveredFact,
    Group,
    MessagesFact,
    ReturnedFact,
    SettledFact,
)

if TYPE_CHECKING:
    from pillarbox.broker.deadletter import Dying
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Cold
    from pillarbox.broker.scheduler import Timed


class Changes:
    """One per broker; see the module."""

    def __init__(self, *, journaled: bool, fence: Fence | None = None) -> None:
        self.journaled = journaled
        """Durable things are kept; otherwise no fact is ever collected."""
        self.fence = fence or Fence()
        """Where connections end that have failed in the middle of it."""
        self.now_ms = 0
        self.resident_bytes = 0
        """Memory that messages take, counted once per queue or history that holds them."""
        self.dirty: list[Queue] = []
        """Queues that may have something to deliver; each stands here at most once."""
        self.cold: list[Cold] = []
        """Runs whose messages are wanted back from the engine."""
        self.timed: list[tuple[int, Timed]] = []
        """Who wants to be told when a time has come, with the time: queues, for one."""
        self.dying: deque[Dying] = deque()
        """Messages that wait for being forwarded as dead letters, in the order in which they died."""
        self.deaths: dict[tuple[str, str, str], int] = {}
        """How many messages ever died, by type of queue, strategy and reason (see `deadletter`)."""
        self.chores = Chores()
        """What goes on over the ticks to come."""
        self.logs_grown = False
        """Streams took messages, which wait for their logs."""
        self.passed_on = False
        """Somebody has published further what was published (see `interception`), and it is to be stored."""
        self.moved_to_logs = False
        """Some of them were moved there: what settles them waits for the logs, too."""
        self.definitions: list[DefinitionFact] = []
        self.messages: list[MessagesFact] = []
        self.message_count = 0
        """How many these are, each once, however many queues have it."""
        self.delivered: dict[int, int] = {}
        self.returned: list[ReturnedFact] = []
        self.settled: dict[int, list[range]] = {}

    def hold(self, size: int) -> None:
        """Count so many bytes more (or fewer) as held in memory."""
        self.resident_bytes += size

    def define(self, kind: str, key: str, value: bytes | None) -> None:
        """Note that a durable definition was made (or, with None, removed)."""
        if self.journaled:
            self.definitions.append(DefinitionFact(kind, key, value))

    def settle(self, uid: int, sequences: range) -> None:
        """Note settled sequences, joining them to the last range where they follow it."""
        ranges = self.settled.get(uid)
        if ranges is None:
            self.settled[uid] = [sequences]
            return
        last = ranges[-1]
        if last.stop == sequences.start and last.step == sequences.step == 1:
            ranges[-1] = range(last.start, sequences.stop)
        else:
            ranges.append(sequences)

    def count_deaths(self, kind: str, strategy: str, reason: str, count: int) -> None:
        """Count messages that died."""
        key = (kind, strategy, reason)
        self.deaths[key] = self.deaths.get(key, 0) + count

    def note_move(self) -> None:
        """Note that messages are settled because they went elsewhere, just now, maybe to streams."""
        if self.logs_grown:
            self.moved_to_logs = True

    @property
    def has_facts(self) -> bool:
        """Is there anything for the journal?"""
        return bool(self.messages or self.settled or self.delivered or self.definitions or self.returned)

    def take_group(self, ticket: int, *, lone: bool, waited: bool) -> Group | None:
        """All facts since the last call, as one group; None if there are none."""
        if not self.has_facts:
            return None
        delivered, settled = self.delivered, self.settled
        group = Group(
            ticket,
            self.definitions,
            self.messages,
            [DeliveredFact(uid, sequence) for uid, sequence in delivered.items()] if delivered else [],
            [SettledFact(uid, ranges) for uid, ranges in settled.items()] if settled else [],
            lone,
            waited or bool(self.definitions),
            self.returned,
        )
        self.definitions, self.messages, self.delivered, self.settled = [], [], {}, {}
        self.returned = []
        self.message_count = 0
        return group
