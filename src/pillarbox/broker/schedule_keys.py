"""The keys of a schedule's messages, first ones first, packed but for the newest (R28).

A key is a number, due time and sequence in one (see `DUE_SEQUENCE_BITS`), and as an object takes some fifty
bytes. So only a few thousand are objects, in a heap; whenever there are `CHUNK_KEYS` of them they become a
*chunk*: sorted, and packed in twelve bytes each. A heap of the chunks says which has the first key. What is
left of a chunk that is mostly gone joins the newest again, so packed bytes are never mostly waste.

No step takes longer with the number of keys. Chunks never change, so a checkpoint that takes many turns sees
the keys of one moment (`pieces`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace, merge, nsmallest
from itertools import count

KEY_BYTES = 12
CHUNK_KEYS = 2000
"""Sorting and packing them takes about half a millisecond."""
LEFT_SHARE = 4
"""A chunk of which no more than this part is left is given up."""


class Keys:
    """See the module."""

    __slots__ = ("_chunks", "_newest", "_serials")

    def __init__(self) -> None:
        self._newest: list[int] = []
        """A heap."""
        self._chunks: list[tuple[int, int, bytes, int]] = []
        """A heap of (first key left, serial, packed keys, position of the next key)."""
        self._serials = count()

    def __len__(self) -> int:
        left = sum(1 + (len(packed) - position) // KEY_BYTES for _, _, packed, position in self._chunks)
        return len(self._newest) + left

    @property
    def first(self) -> int | None:
        """The smallest key."""
        newest, chunks = self._newest, self._chunks
        if chunks and not (newest and newest[0] < chunks[0][0]):
            return chunks[0][0]
        return newest[0] if newest else None

    def smallest(self, count: int) -> list[int]:
        """The first so many keys, in order; they stay. For a look: it takes the square of the count."""
        found = nsmallest(count, self._newest)
        for first, _, packed, position in nsmallest(count, self._chunks):
            found += [first, *_unpacked(packed[: position + (count - 1) * KEY_BYTES], position)]
        return sorted(found)[:count]

    def add(self, keys: Iterable[int]) -> None:
        """Take some keys in."""
        newest = self._newest
        for key in keys:
            heappush(newest, key)
        if len(newest) >= CHUNK_KEYS:
            self.add_packed(newest)
            newest.clear()

    def add_packed(self, keys: list[int]) -> None:
        """Take many keys in, those of a restart, which will rest for a while."""
        for start in range(0, len(keys), CHUNK_KEYS):
            part = sorted(keys[start : start + CHUNK_KEYS])
            heappush(self._chunks, (part[0], next(self._serials), _packed(part), KEY_BYTES))

    def pop(self) -> int:
        """Take the smallest key out; there must be one."""
        newest, chunks = self._newest, self._chunks
        if not chunks or (newest and newest[0] < chunks[0][0]):
            return heappop(newest)
        key, serial, packed, position = chunks[0]
        stop = position + KEY_BYTES
        if (len(packed) - position) * LEFT_SHARE > len(packed):
            following = int.from_bytes(packed[position:stop], "big")
            heapreplace(chunks, (following, serial, packed, stop))
        else:
            heappop(chunks)
            self.add(_unpacked(packed, position))
        return key

    def pieces(self) -> Iterator[list[int]]:
        """All keys of this moment, at most `CHUNK_KEYS` or so at a time."""
        newest, chunks = self._newest.copy(), self._chunks.copy()
        return _pieces(newest, chunks)

    def ascending(self) -> Iterator[int]:
        """All keys of this moment, the first ones first. Cost: a heap of the chunks for each."""
        return merge(sorted(self._newest), *map(_each, self._chunks))

    def sift(self, lives: Callable[[int], bool]) -> Iterator[None]:
        """Forget keys that do not live, those of a chunk in each step; keys may come and go in between.

        The first key of a chunk stays, dead or alive, since the heap stands on it.
        """
        self._newest = [key for key in self._newest if lives(key)]
        heapify(self._newest)
        chunks = self._chunks
        for serial in [serial for _, serial, _, _ in chunks]:
            yield
            place = next((place for place, chunk in enumerate(chunks) if chunk[1] == serial), None)
            if place is None:
                continue
            first, _, packed, position = chunks[place]
            left = [key for key in _unpacked(packed, position) if lives(key)]
            if len(left) * LEFT_SHARE > CHUNK_KEYS:
                chunks[place] = (first, serial, _packed([first, *left]), KEY_BYTES)
            else:
                del chunks[place]
                heapify(chunks)
                self.add([first, *left])


def _pieces(newest: list[int], chunks: list[tuple[int, int, bytes, int]]) -> Iterator[list[int]]:
    if newest:
        yield newest
    for first, _, packed, position in chunks:
        yield [first, *_unpacked(packed, position)]


def _each(chunk: tuple[int, int, bytes, int]) -> Iterator[int]:
    """The keys of a chunk, one by one: of many chunks at a time no more than that is unpacked."""
    first, _, packed, position = chunk
    yield first
    for at in range(position, len(packed), KEY_BYTES):
        yield int.from_bytes(packed[at : at + KEY_BYTES], "big")


def _packed(keys: list[int]) -> bytes:
    return b"".join([key.to_bytes(KEY_BYTES, "big") for key in keys])


def _unpacked(packed: bytes, position: int) -> list[int]:
    from_bytes = int.from_bytes
    return [from_bytes(packed[at : at + KEY_BYTES], "big") for at in range(position, len(packed), KEY_BYTES)]
