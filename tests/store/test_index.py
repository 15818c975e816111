"""The sparse index of a segment: what an entry says, and searching without loading."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.store.files import DiskFiles
from pillarbox.store.index import (
    ENTRY_SIZE,
    POSITION_MAX,
    RELATIVE_MAX,
    Entry,
    IndexBuilder,
    decode_entries,
    decode_entry,
    encode_entries,
    search_offset,
    search_time,
)

BASE = 7_000_000_000


def make_entries(count: int, *, step: int = 10) -> list[Entry]:
    """Entries whose batches have `step` records and 100 bytes each; the time stands still for pairs."""
    return [Entry(BASE + step * (i + 1) - 1, 100 * i, 1000 + i // 2, BASE + step * i) for i in range(count)]


@given(
    last=st.integers(0, RELATIVE_MAX),
    position=st.integers(0, POSITION_MAX),
    timestamp=st.integers(-1, 2**63 - 1),
    offset=st.integers(0, RELATIVE_MAX),
    final=st.booleans(),
)
def test_an_entry_comes_back_as_it_was(
    last: int, position: int, timestamp: int, offset: int, final: bool
) -> None:
    entry = Entry(BASE + last, position, timestamp, BASE + offset, final)
    data = encode_entries(BASE, [entry])
    assert len(data) == ENTRY_SIZE
    assert decode_entry(BASE, data) == entry


@given(st.integers(0, ENTRY_SIZE * 8 - 1))
def test_an_entry_with_any_bit_changed_is_refused(bit: int) -> None:
    data = bytearray(encode_entries(BASE, [Entry(BASE + 9, 100, 1000, BASE)]))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_entry(BASE, bytes(data)) is None


def test_an_entry_of_another_segment_is_refused() -> None:
    data = encode_entries(BASE, [Entry(BASE + 9, 100, 1000, BASE)])
    assert decode_entry(BASE + 1, data) is None


def test_entries_are_read_up_to_the_first_broken_one() -> None:
    entries = make_entries(5)
    data = encode_entries(BASE, entries)
    assert decode_entries(BASE, data) == entries
    assert decode_entries(BASE, data[:-1]) == entries[:4]
    assert (
        decode_entries(BASE, data[: 2 * ENTRY_SIZE] + bytes(ENTRY_SIZE) + data[3 * ENTRY_SIZE :])
        == entries[:2]
    )
    assert decode_entries(BASE, data + data) == entries, "entries go forward only"


def test_a_batch_becomes_an_entry_once_the_interval_has_passed() -> None:
    index = IndexBuilder(BASE)
    entries = make_entries(10)
    for entry in entries:
        index.add(entry, 100, interval_bytes=250)
    assert index.unsaved == [entries[3], entries[6], entries[9]]


def test_only_entries_that_a_sync_covers_are_offered_for_saving() -> None:
    index = IndexBuilder(BASE)
    entries = make_entries(4)
    for entry in entries:
        index.add(entry, 100, interval_bytes=0)
    assert index.covered(BASE + 19) == entries[:1], "a batch that ends at the offset is not all below it"
    assert index.covered(BASE + 20) == entries[:2]
    index.mark_saved(2, finals=1)
    assert (index.saved, index.unsaved) == (3, entries[2:])


def test_unsaved_entries_answer_for_what_they_cover_alone() -> None:
    index = IndexBuilder(BASE)
    index.unsaved = make_entries(10)[4:]
    assert index.near_offset(BASE + 48) is None
    assert index.near_offset(BASE + 49) == index.unsaved[0]
    assert index.near_offset(BASE + 1000) == index.unsaved[-1]
    assert index.near_time(1002) is None
    assert index.near_time(1003) == index.unsaved[1]


@given(count=st.integers(0, 40), wanted=st.integers(-5, 450))
def test_searching_the_file_finds_what_a_walk_finds(count: int, wanted: int) -> None:
    entries = make_entries(count)
    files = MemoryFile(encode_entries(BASE, entries))
    at_or_before = [entry.position for entry in entries if entry.last_offset <= BASE + wanted]
    assert search_offset(files, 0, BASE, count, BASE + wanted) == (at_or_before or [0])[-1]
    older = [entry.position for entry in entries if entry.max_timestamp < 1000 + wanted]
    assert search_time(files, 0, BASE, count, 1000 + wanted) == (older or [0])[-1]


def test_a_search_that_meets_a_broken_entry_begins_at_the_beginning(tmp_path: Path) -> None:
    data = bytearray(encode_entries(BASE, make_entries(9)))
    data[4 * ENTRY_SIZE] ^= 1
    (tmp_path / "index").write_bytes(data)
    files = DiskFiles()
    handle = files.open(str(tmp_path / "index"))
    assert search_offset(files, handle, BASE, 9, BASE + 70) == 0
    files.close(handle)


class MemoryFile(DiskFiles):
    """Bytes that are read as a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, handle: int, position: int, size: int) -> bytes:
        return self._data[position : position + size]
