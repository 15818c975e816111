"""What the simulator knows of queues: every letter by sequence, and what may have become of it.

The model is fed by what clients do and are told, never by what the broker's queues hold; those are
compared with it. `ticket` is the number of the journal group that carries a change: what happened in a
group that is durable must have survived a crash, what happened later may have.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

NEVER = 1 << 62
"""A ticket that no group ever has."""


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
        "number",
        "redelivered",
        "sequence",
        "stored",
        "ticket",
        "where",
    )

    def __init__(self, number: int, sequence: int, ticket: int, *, stored: bool, due_ms: int | None) -> None:
        self.number = number
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
        return f"<Letter {self.number} at {self.sequence} {self.where.name}>"


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
    ) -> None:
        self.name = name
        self.uid = uid
        self.ticket = ticket
        self.durable = durable
        self.auto_delete = auto_delete
        self.exclusive = exclusive
        self.ttl_ms = ttl_ms
        self.deleted_ticket = NEVER
        self.sequence_next = 0
        self.letters: dict[int, Letter] = {}
        """By sequence; letters that are gone stay while a crash may bring them back."""
        self.consumers = 0
        self.had_consumers = False

    def __repr__(self) -> str:
        return f"<SimulatedQueue {self.name} letters={len(self.letters)}>"

    @property
    def deleted(self) -> bool:
        return self.deleted_ticket != NEVER

    def ready(self) -> Iterator[Letter]:
        return (letter for letter in self.letters.values() if letter.where is Where.READY)

    def out(self) -> Iterator[Letter]:
        return (letter for letter in self.letters.values() if letter.where is Where.OUT)

    def add(self, number: int, ticket: int, *, persistent: bool, due_ms: int | None) -> Letter:
        """A message that was published to it."""
        stored = persistent and self.durable and not self.exclusive
        letter = Letter(number, self.sequence_next, ticket, stored=stored, due_ms=due_ms)
        self.letters[letter.sequence] = letter
        self.sequence_next += 1
        return letter

    def remove(self, letter: Letter, ticket: int) -> None:
        """A letter was settled, dropped, purged or has expired."""
        assert letter.where is not Where.GONE
        letter.where = Where.GONE
        letter.gone_ticket = ticket
        if not letter.stored:
            self.letters.pop(letter.sequence, None)

    def release(self, letter: Letter) -> None:
        """A letter that was out is ready again, at its old place."""
        if letter.where is Where.OUT:
            letter.where = Where.READY
            letter.redelivered = True

    def forget_gone(self, synced: int) -> None:
        """Drop what no crash can bring back."""
        for letter in [letter for letter in self.letters.values() if letter.gone_ticket <= synced]:
            del self.letters[letter.sequence]

    # --- restart -----------------------------------------------------------------------------------

    def recovered(self, sequences: list[int], delivered_through: int, synced: int) -> None:
        """Compare with what a restart brought back, and take that over.

        `synced`: groups up to this ticket had to survive.
        """
        assert sequences == sorted(set(sequences)), f"{self}: out of order or twice"
        present = set(sequences)
        for sequence in sequences:
            letter = self.letters.get(sequence)
            assert letter is not None, f"{self}: sequence {sequence} was settled for good, or invented"
            assert letter.stored, f"{self}: {letter} was transient"
            assert letter.gone_ticket > synced, f"{self}: {letter} was settled for good and came back"
        for letter in list(self.letters.values()):
            if letter.sequence in present:
                letter.where = Where.READY
                letter.gone_ticket = NEVER
                letter.redelivered = letter.sequence <= delivered_through
                if letter.redelivered:
                    assert letter.handed_out, f"{self}: {letter} was never delivered"
                else:
                    assert letter.delivered_ticket > synced, f"{self}: {letter} was delivered before"
                continue
            must = letter.stored and (letter.ticket <= synced or letter.confirmed)
            assert not must or letter.where is Where.GONE, f"{self}: {letter} was lost"
            del self.letters[letter.sequence]
        self.consumers = 0
        self.deleted_ticket = NEVER
