"""Runs: messages of one lane that stand, move and are settled together.

A run pairs sequences with messages. It is cut, never changed, except that its messages may be let go
(`messages` is None: cold) and brought back. Message lists are shared between the queues of a fan-out.

Three kinds: without a location a run is in memory only; with one it can be cold. A stored run outlives a
restart, and its settlement is a fact. A spilled one rests on disk only to save memory: it was written for
a shadow of its lane, which no definition names, so that a restart forgets it.

Invariant: `len(sequences) == len(messages)` while hot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from pillarbox.engine.base import Location, Message

if TYPE_CHECKING:
    from pillarbox.broker.lane import Lane

MESSAGE_BYTES = 150
"""Memory of a message beside its body and its properties: objects, as measured with CPython 3.11."""


def body_bytes_of(messages: list[Message]) -> int:
    """Sum of the body sizes."""
    if len(messages) == 1:
        return len(messages[0].body)
    return sum([len(message.body) for message in messages])


def message_bytes_of(messages: list[Message]) -> int:
    """About how much memory each of these takes beside its body, if each has its properties for itself."""
    return MESSAGE_BYTES + sum([len(message.properties) for message in messages]) // len(messages)


class Cold(Protocol):
    """Messages that are wanted back from one stored record."""

    @property
    def lane(self) -> Lane: ...

    @property
    def sequences(self) -> Sequence[int]:
        """Ascending."""

    @property
    def location(self) -> Location | None: ...

    @property
    def stored(self) -> bool: ...

    def arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        """Here they are, by sequence; what cannot be read is missing."""


class Run(msgspec.Struct, eq=False):
    """Messages with ascending sequences (contiguous, or striped over consumers) of one lane."""

    lane: Lane
    sequences: range
    messages: list[Message] | None
    body_bytes: int
    location: Location | None
    redelivered: bool
    accepted_ms: int
    stored: bool
    message_bytes: int = MESSAGE_BYTES
    """Memory of each message beside its body, on the average of those with which it came."""
    loading: bool = False
    counts: list[int] | None = None
    """How often each message came back, where the queue counts that and any did (R52)."""
    failures: list[int] | None = None
    """How often of these the delivery had failed: see `Outcome.MODIFIED`."""
    estimated: bool = False
    """Cold, and `body_bytes` is about right: what was settled of its record, or cut off, is not known."""

    def __len__(self) -> int:
        return len(self.sequences)

    def __lt__(self, other: Run) -> bool:
        """Order of the heap of released runs: original place."""
        return self.sequences.start < other.sequences.start

    def __repr__(self) -> str:
        state = "cold" if self.messages is None else "hot"
        return f"<Run {self.sequences} {state} bytes={self.body_bytes} redelivered={self.redelivered}>"

    @property
    def held_bytes(self) -> int:
        """About how much memory the messages take while they are in memory."""
        return self.body_bytes + len(self.sequences) * self.message_bytes

    def arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        """See `Cold`."""
        self.lane.loaded(self, pairs)

    def one(self, position: int) -> Run:
        """The message at this position, as a run of its own: `cut` for whoever takes one at a time."""
        assert self.messages is not None, "only what is in memory is handed out"
        message = self.messages[position]
        sequence = self.sequences[position]
        return Run(
            self.lane,
            range(sequence, sequence + 1),
            [message],
            len(message.body),
            self.location,
            self.redelivered,
            self.accepted_ms,
            self.stored,
            self.message_bytes,
        )

    def cut(self, selection: slice) -> Run:
        """The part at these positions, as a run of its own. Cost: O(part), or O(1) for the whole."""
        sequences = self.sequences[selection]
        if len(sequences) == len(self.sequences):
            return self
        messages = None
        if self.messages is None:
            part_bytes = self._estimate(selection)
        else:
            messages = self.messages[selection]
            part_bytes = body_bytes_of(messages)
        part = Run(
            self.lane,
            sequences,
            messages,
            part_bytes,
            self.location,
            self.redelivered,
            self.accepted_ms,
            self.stored,
            self.message_bytes,
        )
        part.estimated = messages is None
        if self.counts is not None:
            part.counts = self.counts[selection]
            if self.failures is not None:
                part.failures = self.failures[selection]
        return part

    def counts_at(self, start: int, stop: int) -> tuple[list[int] | None, list[int] | None]:
        """How often the messages at these positions came back, and how often of these as failed."""
        counts, failures = self.counts, self.failures
        return counts and counts[start:stop], failures and failures[start:stop]

    def part_bytes(self, start: int, stop: int) -> int:
        """Body bytes of the messages at these positions; those of all parts add up to the run's."""
        if self.messages is None:
            return self._estimate(slice(start, stop))
        return body_bytes_of(self.messages[start:stop])

    def _estimate(self, selection: slice) -> int:
        """About the body bytes of a part of what is cold; parts that follow one another add up exactly."""
        count = len(self.sequences)
        start, stop, step = selection.indices(count)
        if step == 1:
            return self.body_bytes * stop // count - self.body_bytes * start // count
        return self.body_bytes * len(self.sequences[selection]) // count
