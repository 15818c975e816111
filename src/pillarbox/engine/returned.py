"""Facts about messages that came back to their queue, as bytes: for groups and for checkpoints.

A value is the format byte, the number of facts, and then columns: uids, starts, stops and steps of the
sequences, counts, failures, times until which they are held. Not here: what a queue does with them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

from pillarbox.engine.base import ReturnedFact
from pillarbox.engine.record import FORMAT
from pillarbox.store.files import StoreError

_COUNT = struct.Struct(">BI")
COLUMNS = 7

FACTS_MAX = 65536
"""Facts that a queue collects while it is replayed before those about settled messages are left out."""


def encode_returned(facts: Sequence[ReturnedFact]) -> bytes:
    rows = [
        (
            fact.uid,
            fact.sequences.start,
            fact.sequences.stop,
            fact.sequences.step,
            fact.count,
            fact.failures,
            fact.held_until_ms,
        )
        for fact in facts
    ]
    columns = [number for column in zip(*rows, strict=True) for number in column]
    return _COUNT.pack(FORMAT, len(rows)) + struct.pack(f">{len(columns)}q", *columns)


def decode_returned(value: bytes) -> Iterator[ReturnedFact]:
    """The facts, in their order; StoreError for anything else."""
    if not value or value[0] != FORMAT:
        raise StoreError(f"a stored fact has format {value[:1].hex() or 'none'}, this version reads {FORMAT}")
    rows = (len(value) - _COUNT.size) // (8 * COLUMNS)
    if len(value) != _COUNT.size + 8 * COLUMNS * rows or _COUNT.unpack_from(value) != (FORMAT, rows):
        raise StoreError("a stored list of returned messages is damaged")
    columns = struct.unpack_from(f">{COLUMNS * rows}q", value, _COUNT.size)
    uids, starts, stops, steps, counts, failures, held = (
        columns[rows * number : rows * (number + 1)] for number in range(COLUMNS)
    )
    if not all(start < stop and step > 0 for start, stop, step in zip(starts, stops, steps, strict=True)):
        raise StoreError("a stored list of returned messages has none in it")
    return map(ReturnedFact, uids, map(range, starts, stops, steps), counts, failures, held)


class Returns:
    """What the facts of one queue amount to while it is replayed: of each message, the last one counts."""

    def __init__(self) -> None:
        self._facts: dict[range, ReturnedFact] = {}
        self._limit = FACTS_MAX

    @property
    def is_full(self) -> bool:
        """Will the next one have those left out that speak of nothing that is left?"""
        return len(self._facts) >= self._limit

    def add(self, fact: ReturnedFact, is_gone: Callable[[range], bool]) -> None:
        """Take one more; `is_gone` says whether nothing of a range is left, and is asked seldom."""
        if self.is_full:
            self._facts = {known.sequences: known for known in self.left(is_gone)}
            self._limit = 2 * len(self._facts) + FACTS_MAX
        # Behind those that speak of some of the same messages.
        self._facts.pop(fact.sequences, None)
        self._facts[fact.sequences] = fact

    def left(self, is_gone: Callable[[range], bool]) -> list[ReturnedFact]:
        """The facts that speak of anything that is left, in their order."""
        return [fact for fact in self._facts.values() if not is_gone(fact.sequences)]
