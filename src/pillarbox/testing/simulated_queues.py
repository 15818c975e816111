"""What the simulator knows of queues: every letter by its place, and what may have become of it.

A place is a number that says in which order the letters of a queue come: by priority, then by sequence. In a
queue without priorities it is the sequence.

The model is fed by what clients do and are told, never by what the broker's queues hold; those are
compared with it. `ticket` is the number of the journal group that carries a change: what happened in a
group that is durable must have survived a crash, what happened later may have.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping

NEVER = 1 << 62
"""A ticket that no group ever has."""
SEQUENCE_BITS = 40


def place_of(priority_max: int, level: int, sequence: int) -> int:
    """Where the message with this sequence of this priority stands in a queue with that maximum."""
    return (priority_max - level) << SEQUENCE_BITS | sequence


class Where(enum.Enum):
    """Where a letter is."""

    READY = enum.auto()
    OUT = enum.auto()
    GONE = enum.auto()


class Letter:
    """One message in one queue."""

    __slots__ = (
        "confirmed",
        "delivered_ticket",
        "due_ms",
        "gone_ticket",
        "handed_out",
        "level",
        "number",
        "place",
        "redelivered",
        "sequence",
        "stored",
        "ticket",
        "where",
    )

    def __init__(
        self,
        number: int,
        place: int,
        level: int,
        sequence: int,
        ticket: int,
        *,
        stored: bool,
        due_ms: int | None,
    ) -> None:
        self.number = number
        self.place = place
        self.level = level
        """The priority that it has in its queue."""
        self.sequence = sequence
        self.ticket = ticket
        self.stored = stored
        self.due_ms = due_ms
        self.where = Where.READY
        self.redelivered = False
        self.handed_out = False
        self.confirmed = False
        self.gone_ticket = NEVER
        self.delivered_ticket = NEVER

    def __repr__(self) -> str:
        return f"<Letter {self.number} at {self.level}/{self.sequence} {self.where.name}>"


class SimulatedQueue:
    """One queue, by uid: a queue declared again under the same name is another one."""

    def __init__(
        self,
        name: str,
        uid: int,
        ticket: int,
        *,
        durable: bool,
        auto_delete: bool = False,
        exclusive: bool = False,
        ttl_ms: int | None = None,
        priority_max: int = 0,
        length_max: int | None = None,
        mourned: bool = False,
    ) -> None:
        self.name = name
        self.uid = uid
        self.ticket = ticket
        self.durable = durable
        self.auto_delete = auto_delete
        self.exclusive = exclusive
        self.ttl_ms = ttl_ms
        self.deleted_ticket = NEVER
        self.priority_max = priority_max
        self.length_max = length_max
        """Beyond it the oldest that are ready are dropped."""
        self.mourned = mourned
        """What dies in it is forwarded; until that is durable, a crash may bring it back."""
        self.sequences_next = {0: 0}
        """By priority."""
        self.letters: dict[int, Letter] = {}
        """By place, as they arrived; letters that are gone stay while a crash may bring them back."""
        self.consumers = 0
        self.had_consumers = False

    def __repr__(self) -> str:
        return f"<SimulatedQueue {self.name} letters={len(self.letters)}>"

    @property
    def deleted(self) -> bool:
        return self.deleted_ticket != NEVER

    def ready(self) -> Iterator[Letter]:
        return (letter for letter in self._in_order() if letter.where is Where.READY)

    def out(self) -> Iterator[Letter]:
        return (letter for letter in self._in_order() if letter.where is Where.OUT)

    def _in_order(self) -> Iterable[Letter]:
        # Without priorities they stand in the order in which they arrived.
        letters = self.letters
        return [letters[place] for place in sorted(letters)] if self.priority_max else letters.values()

    def add(
        self, number: int, ticket: int, *, persistent: bool, due_ms: int | None, priority: int = 0
    ) -> Letter:
        """A message that was published to it."""
        stored = persistent and self.durable and not self.exclusive
        level = min(priority, self.priority_max)
        sequence = self.sequences_next.get(level, 0)
        self.sequences_next[level] = sequence + 1
        place = place_of(self.priority_max, level, sequence)
        letter = Letter(number, place, level, sequence, ticket, stored=stored, due_ms=due_ms)
        self.letters[place] = letter
        return letter

    def remove(self, letter: Letter, ticket: int) -> None:
        """A letter was settled, dropped, purged or has expired."""
        assert letter.where is not Where.GONE
        letter.where = Where.GONE
        letter.gone_ticket = ticket
        if not letter.stored:
            self.letters.pop(letter.place, None)

    def release(self, letter: Letter) -> None:
        """A letter that was out is ready again, at its old place."""
        if letter.where is Where.OUT:
            letter.where = Where.READY
            letter.redelivered = True

    def forget_gone(self, synced: int) -> None:
        """Drop what no crash can bring back."""
        for letter in [letter for letter in self.letters.values() if letter.gone_ticket <= synced]:
            del self.letters[letter.place]

    # --- restart -----------------------------------------------------------------------------------

    def recovered(self, places: list[int], delivered_through: Mapping[int, int], synced: int) -> None:
        """Compare with what a restart brought back, and take that over.

        `delivered_through`: by priority; `synced`: groups up to this ticket had to survive.
        """
        assert places == sorted(set(places)), f"{self}: out of order or twice"
        present = set(places)
        for place in places:
            letter = self.letters.get(place)
            assert letter is not None, f"{self}: what is at {place} was settled for good, or invented"
            assert letter.stored, f"{self}: {letter} was transient"
            assert letter.gone_ticket > synced, f"{self}: {letter} was settled for good and came back"
        for letter in list(self.letters.values()):
            if letter.place in present:
                letter.where = Where.READY
                letter.gone_ticket = NEVER
                letter.redelivered = letter.sequence <= delivered_through[letter.level]
                if letter.redelivered:
                    # What died at the head is settled after those behind it were delivered.
                    assert letter.handed_out or self.mourned, f"{self}: {letter} was never delivered"
                else:
                    assert letter.delivered_ticket > synced, f"{self}: {letter} was delivered before"
                continue
            must = letter.stored and (letter.ticket <= synced or letter.confirmed)
            assert not must or letter.where is Where.GONE, f"{self}: {letter} was lost"
            del self.letters[letter.place]
        self.consumers = 0
        self.deleted_ticket = NEVER
