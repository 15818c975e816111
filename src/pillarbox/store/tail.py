"""The hot end of partition logs in memory: what was written last is read without the disk.

Purpose: keep the batches that are not in a file yet, and beyond them as many of the last written ones as
one budget for all logs allows. Not here: files, offsets of a log as a whole.

Invariants: a tail is a run of batches without a gap up to the log's end. Batches that are not written yet
are never evicted; they do not count against the budget (publishers are slowed by them elsewhere).
"""

from __future__ import annotations

from bisect import bisect_right

from pillarbox.store.segment import Buffer, Slice, empty_slice

CHUNK_OVERHEAD = 200
"""Bytes that a batch in memory costs beside its own: two ints, a bytes object, list slots. Keeps many tiny
batches from costing several times what the budget says."""

COMPACT_MIN = 256
"""Evicted places at the front of a tail's lists are removed in bulk, once they are this many and half."""


class Tail:
    """The hot end of one log."""

    __slots__ = ("_budget", "_chunks", "_firsts", "_head", "_nexts", "_written")

    def __init__(self, budget: TailBudget) -> None:
        self._budget = budget
        self._chunks: list[Buffer] = []
        self._firsts: list[int] = []
        self._nexts: list[int] = []
        self._head = 0
        """Places before are evicted."""
        self._written = 0
        """Places before are in the file."""

    def __repr__(self) -> str:
        return f"<Tail from={self.offset_first} batches={len(self._chunks) - self._head}>"

    @property
    def offset_first(self) -> int | None:
        """First offset that is in memory; None if there is none."""
        return self._firsts[self._head] if self._head < len(self._firsts) else None

    def append(self, chunk: Buffer, offset_first: int, offset_next: int) -> None:
        self._chunks.append(chunk)
        self._firsts.append(offset_first)
        self._nexts.append(offset_next)

    def read(self, offset: int, size_max: int, offset_end: int) -> Slice | None:
        """Whole batches from the one that holds `offset`, none that begins at `offset_end` or beyond.

        None if that one is not in memory. The first one comes even if it is larger than `size_max`.
        """
        first = self.offset_first
        if first is None or offset < first:
            return None
        chunks, firsts = self._chunks, self._firsts
        start = index = bisect_right(self._nexts, offset, self._head)
        size = 0
        while index < len(chunks) and firsts[index] < offset_end:
            if size and size + len(chunks[index]) > size_max:
                break
            size += len(chunks[index])
            index += 1
        if index == start:
            return empty_slice(offset)
        return Slice(firsts[start], self._nexts[index - 1], chunks[start:index], size)

    def mark_written(self, offset: int) -> None:
        """Batches below `offset` are in the file: they may be evicted from now on."""
        index = bisect_right(self._nexts, offset, self._written)
        if index > self._written:
            size = sum(map(len, self._chunks[self._written : index]))
            size += CHUNK_OVERHEAD * (index - self._written)
            self._written = index
            self._budget.offer(self, size)

    def evict(self, size_min: int) -> tuple[int, bool]:
        """Drop the oldest written batches until `size_min` bytes are freed, if so many can be.

        Return the bytes freed, and whether more could go.
        """
        freed = 0
        while self._head < self._written and freed < size_min:
            freed += len(self._chunks[self._head]) + CHUNK_OVERHEAD
            self._chunks[self._head] = b""
            self._head += 1
        if self._head >= COMPACT_MIN and self._head * 2 >= len(self._chunks):
            self._compact()
        return freed, self._head < self._written

    def drop_below(self, offset: int) -> None:
        """Drop what is written and ends at or before `offset`: the file holds something else there by now."""
        stop = min(bisect_right(self._nexts, offset, self._head), self._written)
        size = sum(len(chunk) + CHUNK_OVERHEAD for chunk in self._chunks[self._head : stop])
        if size:
            self._budget.shrink(self, size)

    def clear(self) -> None:
        """Drop everything that is written."""
        self._budget.withdraw(self)

    def _compact(self) -> None:
        for places in (self._chunks, self._firsts, self._nexts):
            del places[: self._head]
        self._written -= self._head
        self._head = 0


class TailBudget:
    """Bytes that the written part of all tails together may take; who was written longest ago goes first."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_used = 0
        self._tails: dict[Tail, None] = {}
        """Tails with something to evict, the one written longest ago first."""

    def __repr__(self) -> str:
        return f"<TailBudget {self.bytes_used} of {self.bytes_max} bytes in {len(self._tails)} tails>"

    def offer(self, tail: Tail, size: int) -> None:
        """So many bytes of the tail became evictable. Cost: O(1) a batch, spread over all."""
        self._tails.pop(tail, None)
        self._tails[tail] = None
        self.bytes_used += size
        while self.bytes_used > self.bytes_max and self._tails:
            oldest = next(iter(self._tails))
            freed, more = oldest.evict(self.bytes_used - self.bytes_max)
            self.bytes_used -= freed
            if not more:
                del self._tails[oldest]

    def shrink(self, tail: Tail, size: int) -> None:
        """Evict so many bytes from the front of a tail."""
        freed, more = tail.evict(size)
        self.bytes_used -= freed
        if not more:
            self._tails.pop(tail, None)

    def withdraw(self, tail: Tail) -> None:
        """Evict all that is written of a tail: its log is closed, cut or deleted."""
        freed, _ = tail.evict(self.bytes_used)
        self.bytes_used -= freed
        self._tails.pop(tail, None)
