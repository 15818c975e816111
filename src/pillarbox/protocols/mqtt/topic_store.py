"""Topic names with some bytes each, sorted, in blocks: a million of them take a hundred bytes each and not
five hundred, as they would as objects, and what a checkpoint has to write is there already.

A block is bytes that never change, with up to `COUNT_MAX` topics; a change puts another block in its place.
So whoever has borrowed the list of blocks sees those of one moment, however long that takes. Layout,
little-endian: count u32 | bytes of all names u32 | count * end of a value u32, counted from the first value |
a NUL, and each name with a NUL behind it, which no topic can have | values.

What begins with the same levels stands together, whatever the order of characters, so a filter's wildcards
jump from one level's end to the next. Cost: of a name, one search among the blocks and one in a block; of a
filter, a step for each name that it takes and for each level that a `+` stands for.

Not here: what the bytes mean (`retained`), which filters are valid (`topics`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from struct import Struct, pack, unpack_from
from typing import Final

COUNT_MAX: Final = 64
"""Topics of a block. A change copies it: with 64 of 100 bytes that is a microsecond, and what each block
takes beside its contents, some 170 bytes, is 3 for each topic."""

BYTES_MAX: Final = 16 << 10
"""Of a block with more than one topic, so that large values stand alone and are not copied for others."""

MULTI: Final = b"#"
SINGLE: Final = b"+"

_HEAD = Struct("<II")
_PAIR = Struct("<II")
_LAST = Struct("<I")

Found = tuple[bytes, bytes]
"""A topic and its bytes."""


def pack_block(names: list[bytes], values: list[bytes]) -> bytes:
    """A block of sorted names."""
    said = b"\0%b\0" % b"\0".join(names)
    ends = accumulate(map(len, values))
    return b"".join((_HEAD.pack(len(names), len(said)), pack(f"<{len(names)}I", *ends), said, *values))


def names_of(block: bytes) -> list[bytes]:
    """The names of a block, sorted."""
    start, stop = _span(block)
    return block[start + 1 : stop - 1].split(b"\0")


def values_of(block: bytes) -> list[bytes]:
    """The values, in the order of the names."""
    _, stop = _span(block)
    ends = _ends(block)
    return [block[stop + first : stop + end] for first, end in zip((0, *ends), ends, strict=False)]


def value_of(block: bytes, index: int) -> bytes:
    """One value."""
    first, end = _place(block, index)
    return block[first:end]


def _span(block: bytes) -> tuple[int, int]:
    """Where the names begin, with a NUL, and where they end."""
    count, size = _HEAD.unpack_from(block)
    start = _HEAD.size + 4 * count
    return start, start + size


def _ends(block: bytes) -> tuple[int, ...]:
    (count, _) = _HEAD.unpack_from(block)
    return unpack_from(f"<{count}I", block, _HEAD.size)


def _place(block: bytes, index: int) -> tuple[int, int]:
    """Where a value begins and ends."""
    _, stop = _span(block)
    if not index:
        return stop, stop + _LAST.unpack_from(block, _HEAD.size)[0]
    first, end = _PAIR.unpack_from(block, _HEAD.size + 4 * (index - 1))
    return stop + first, stop + end


def _index(block: bytes, name: bytes) -> int:
    """Which of the names it is; -1: none."""
    start, stop = _span(block)
    at = block.find(b"\0%b\0" % name, start, stop)
    return -1 if at < 0 else block.count(b"\0", start, at)


def _with_value(block: bytes, index: int, value: bytes) -> bytes:
    """The block with another value of a name."""
    first, end = _place(block, index)
    more = len(value) - (end - first)
    if not more:
        return block[:first] + value + block[end:]
    ends = _ends(block)
    moved = pack(f"<{len(ends) - index}I", *[one + more for one in ends[index:]])
    start, _ = _span(block)
    return b"".join((block[: start - len(moved)], moved, block[start:first], value, block[end:]))


def _with(block: bytes, index: int, value: bytes, following: list[bytes], name: bytes) -> bytes:
    """The block with another name at this index, which stands before the following one, if there is one."""
    start, stop = _span(block)
    ends = _ends(block)
    size = len(value)
    before = ends[index - 1] if index else 0
    moved = pack(f"<{len(ends) - index + 1}I", before + size, *[one + size for one in ends[index:]])
    at = block.find(b"\0%b\0" % following[0], start, stop) if following else stop - 1
    return b"".join(
        (
            _HEAD.pack(len(ends) + 1, stop - start + len(name) + 1),
            block[_HEAD.size : _HEAD.size + 4 * index],
            moved,
            block[start : at + 1],
            name,
            block[at : stop + before],
            value,
            block[stop + before :],
        )
    )


class Topics:
    """See the module. Names are not empty and have no NUL."""

    def __init__(self) -> None:
        self.count = 0
        self._firsts: list[bytes] = []
        """The first name of each block."""
        self._blocks: list[bytes] = []
        self._lent = False
        """Somebody else has these very lists."""

    def __repr__(self) -> str:
        return f"<Topics count={self.count} blocks={len(self._blocks)}>"

    def get(self, name: bytes) -> bytes | None:
        """The bytes of a topic; None: it has none."""
        at = bisect_right(self._firsts, name) - 1
        if at < 0:
            return None
        block = self._blocks[at]
        index = _index(block, name)
        return None if index < 0 else value_of(block, index)

    def put(self, name: bytes, value: bytes) -> None:
        """Give a topic its bytes, in place of those that it had."""
        self._own()
        if not self._blocks:
            self._replace(0, 0, [name], [value])
            self.count += 1
            return
        at = max(0, bisect_right(self._firsts, name) - 1)
        block = self._blocks[at]
        index = _index(block, name)
        is_new = index < 0
        if is_new:
            self.count += 1
            names = names_of(block)
            index = bisect_left(names, name)
            if len(names) >= COUNT_MAX:
                if index == len(names):
                    # Whoever comes in order fills one block after the other.
                    self._replace(at + 1, at + 1, [name], [value])
                    return
                names.insert(index, name)
                values = values_of(block)
                values.insert(index, value)
                self._replace(at, at + 1, names, values)
                return
            block = _with(block, index, value, names[index : index + 1], name)
        else:
            block = _with_value(block, index, value)
        if len(block) > BYTES_MAX:
            self._replace(at, at + 1, names_of(block), values_of(block))
            return
        self._blocks[at] = block
        if not index:
            self._firsts[at] = name if is_new else self._firsts[at]

    def remove(self, name: bytes) -> bool:
        """Forget a topic; return whether it was there."""
        at = bisect_right(self._firsts, name) - 1
        index = _index(self._blocks[at], name) if at >= 0 else -1
        if index < 0:
            return False
        self._own()
        names, values = names_of(self._blocks[at]), values_of(self._blocks[at])
        del names[index], values[index]
        self.count -= 1
        after = at + 1
        if len(names) < COUNT_MAX // 4 and after < len(self._blocks):
            # What has hardly any left is joined with its neighbour, if that has not many either.
            neighbour = self._blocks[after]
            size = len(neighbour) + sum(map(len, values))
            if _HEAD.unpack_from(neighbour)[0] <= COUNT_MAX // 2 and size < BYTES_MAX // 2:
                names += names_of(neighbour)
                values += values_of(neighbour)
                after += 1
        self._replace(at, after, names, values)
        return True

    def append(self, block: bytes) -> None:
        """Take over a block as it is; its names come after all that are here, or are put one by one."""
        names = names_of(block)
        if self._blocks and names[0] <= names_of(self._blocks[-1])[-1]:
            for name, value in zip(names, values_of(block), strict=True):
                self.put(name, value)
            return
        self._own()
        self._firsts.append(names[0])
        self._blocks.append(block)
        self.count += len(names)

    def lend(self) -> tuple[list[bytes], list[bytes]]:
        """First names and blocks of this moment, which nobody will change."""
        self._lent = True
        return self._firsts, self._blocks

    def matching(self, pattern: str) -> Iterator[Found | None]:
        """What a filter takes of this moment, sorted; None is a step on the way that finds nothing.

        What begins with a `$` is not for wildcards at the beginning of a filter.
        """
        if SINGLE not in (raw := pattern.encode()) and MULTI not in raw:
            value = self.get(raw)
            return iter(() if value is None else ((raw, value),))
        return _walk(_Cursor(*self.lend()), b"", raw.split(b"/"))

    def _own(self) -> None:
        if self._lent:
            self._firsts, self._blocks, self._lent = self._firsts[:], self._blocks[:], False

    def _replace(self, first: int, after: int, names: list[bytes], values: list[bytes]) -> None:
        """Put blocks with these names in place of others."""
        made, begins = [], []
        for start, stop in _parts(values):
            begins.append(names[start])
            made.append(pack_block(names[start:stop], values[start:stop]))
        self._firsts[first:after] = begins
        self._blocks[first:after] = made


def _parts(values: list[bytes]) -> Iterator[tuple[int, int]]:
    """Where to cut values that are too many or too large for one block."""
    if len(values) <= COUNT_MAX and sum(map(len, values)) <= BYTES_MAX:
        if values:
            yield 0, len(values)
        return
    start = size = 0
    for stop, value in enumerate(values):
        if stop > start and (stop - start >= COUNT_MAX // 2 or size + len(value) > BYTES_MAX // 2):
            yield start, stop
            start, size = stop, 0
        size += len(value)
    yield start, len(values)


class _Cursor:
    """A place among sorted names, which only goes forward. `name` is None at the end."""

    __slots__ = ("_at", "_blocks", "_firsts", "_index", "_names", "name")

    def __init__(self, firsts: list[bytes], blocks: list[bytes]) -> None:
        self._firsts = firsts
        self._blocks = blocks
        self._at = 0
        self._index = 0
        self._names = names_of(blocks[0]) if blocks else []
        self.name: bytes | None = self._names[0] if blocks else None

    def value(self) -> bytes:
        """The bytes of the name."""
        return value_of(self._blocks[self._at], self._index)

    def next(self) -> None:
        """Go to the next name."""
        self._index += 1
        if self._index < len(self._names):
            self.name = self._names[self._index]
        else:
            self._enter(self._at + 1)

    def seek(self, name: bytes) -> None:
        """Go to the first name that is not before this one, unless that was passed already."""
        if self.name is None or self.name >= name:
            return
        if self._names[-1] >= name:
            self._index = bisect_left(self._names, name, self._index)
            self.name = self._names[self._index]
            return
        self._enter(bisect_right(self._firsts, name, self._at) - 1)
        self.seek_here(name)

    def seek_here(self, name: bytes) -> None:
        """The same within the block, or its end."""
        self._index = bisect_left(self._names, name)
        if self._index < len(self._names):
            self.name = self._names[self._index]
        else:
            self._enter(self._at + 1)

    def _enter(self, at: int) -> None:
        self._at, self._index = at, 0
        if at < len(self._blocks):
            self._names = names_of(self._blocks[at])
            self.name = self._names[0]
        else:
            self.name = None


def _walk(cursor: _Cursor, prefix: bytes, wanted: list[bytes]) -> Iterator[Found | None]:
    """What of the names that begin so has these levels behind that; the cursor is not beyond them."""
    depth = 0
    while depth < len(wanted) and wanted[depth] not in (SINGLE, MULTI):
        depth += 1
    prefix += b"/".join(wanted[:depth])
    if depth:
        whole = depth == len(wanted)
        # `a/#` takes `a` as well.
        if whole or wanted[depth] == MULTI:
            cursor.seek(prefix)
            yield (prefix, cursor.value()) if cursor.name == prefix else None
        if whole:
            return
        prefix += b"/"
    cursor.seek(prefix)
    rest = wanted[depth + 1 :]
    ends_here = not rest or rest == [MULTI]
    while (name := cursor.name) is not None and name.startswith(prefix):
        if not prefix and name.startswith(b"$"):
            cursor.seek(b"%")  # The character behind it.
            yield None
        elif wanted[depth] == MULTI:
            yield name, cursor.value()
            cursor.next()
        elif (cut := name.find(b"/", len(prefix))) < 0:
            yield (name, cursor.value()) if ends_here else None
            cursor.next()
        else:
            level = name[:cut]
            if rest:
                yield from _walk(cursor, level + b"/", rest)
            else:
                yield None
            cursor.seek(level + b"0")  # The character behind the slash.
