"""Walking journal segments, barriers, the committer and the readers."""

from __future__ import annotations

import errno
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store import journal, readers
from pillarbox.store.batch import encode_batch
from pillarbox.store.committer import Committer, Entry
from pillarbox.store.files import StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, open_folder, segment_path
from pillarbox.store.journal import SegmentWalk, barrier_of
from pillarbox.store.readers import Readers
from pillarbox.testing.faults import FaultyFiles, Image, SimulatedFiles

PATH = segment_path("/data", JOURNAL, 0)
BARRIER = barrier_of("0123456789abcdef")


def group(offset: int, size: int = 20, *, barrier: bool = False) -> bytes:
    epoch = BARRIER if barrier else -1
    return b"".join(encode_batch([(b"k", bytes(size))], base_offset=offset, leader_epoch=epoch).chunks)


def walk(content: bytes) -> tuple[SegmentWalk, list[int]]:
    segment = SegmentWalk(SimulatedFiles(Image(frozenset({"/data/journal"}), {PATH: content})), PATH)
    return segment, [found.header.base_offset for found in segment]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(64, 400))
def test_groups_are_found_whatever_the_window(sizes: list[int], window: int) -> None:
    content = b"".join(group(i, size) for i, size in enumerate(sizes))
    before, journal.WINDOW = journal.WINDOW, window
    try:
        segment, offsets = walk(content + bytes(window))
    finally:
        journal.WINDOW = before
    assert offsets == list(range(len(sizes)))
    assert (segment.end, segment.trouble) == (len(content), None)


def test_a_walk_stops_where_a_group_is_cut_and_says_why() -> None:
    content = group(0) + group(1)
    # The first seven bytes of the second one are zeros, as reserved space is.
    for size in range(len(group(0)) + 8, len(content)):
        segment, offsets = walk(content[:size])
        assert offsets == [0]
        assert segment.end == len(group(0))
        assert segment.trouble


def test_zeros_between_groups_are_trouble_and_zeros_after_them_are_not() -> None:
    assert walk(group(0) + bytes(100))[0].trouble is None
    assert walk(group(0) + bytes(100) + group(1))[0].trouble


def test_a_barrier_counts_only_in_an_intact_later_group() -> None:
    first, second = group(0, barrier=True), group(1, barrier=True)
    torn = b"\xff" * 50

    def later(content: bytes, offset: int = 0) -> bool:
        segment, _ = walk(content)
        return segment.has_barrier_after(len(torn), offset, BARRIER)

    assert later(torn + second)
    assert later(torn + group(5, 9000) + second)
    assert not later(torn + group(1))
    assert not later(torn + second[:-1])
    assert not later(torn + second[:-1] + b"?")
    assert not later(torn + first)
    assert not later(torn + BARRIER.to_bytes(4, "big") + b"\2")


@given(st.integers(0, 300), st.integers(90, 150))
def test_a_barrier_is_found_across_window_borders(shift: int, window: int) -> None:
    before, journal.WINDOW = journal.WINDOW, window
    try:
        segment, _ = walk(b"\xff" * shift + group(7, barrier=True))
        assert segment.has_barrier_after(0, 3, BARRIER)
    finally:
        journal.WINDOW = before


def test_barriers_differ_between_folders_and_are_never_none() -> None:
    marks = {barrier_of(f"{number:016x}") for number in range(1000)}
    assert len(marks) > 990
    assert all(0 < mark < 2**31 for mark in marks)


# --- committer -------------------------------------------------------------------------------------------


class Commits:
    """A committer on simulated files with its answers collected."""

    def __init__(self, *, sync: bool = True) -> None:
        self.simulated = SimulatedFiles()
        open_folder(self.simulated, "/data")
        self.files = FaultyFiles(self.simulated)
        self.scheduler = InlineScheduler()
        self.done: list[int] = []
        self.failed: list[str] = []
        self.committer = Committer(
            self.files,
            "/data",
            self.scheduler.worker,
            self.done.append,
            self.failed.append,
            barrier=BARRIER,
            sync=sync,
        )
        self.position = 0
        self.serial = 0

    def submit(self, segment: int = 0, *, sync: bool = False, empty: bool = False) -> None:
        self.serial += 1
        chunks: list[bytes | bytearray] = (
            [] if empty else list(encode_batch([(b"k", b"v")], base_offset=self.serial).chunks)
        )
        self.committer.submit(Entry(self.serial, segment, self.position, chunks, sync))
        self.position += sum(map(len, chunks))

    def barriers(self, segment: int = 0) -> list[int]:
        found = SegmentWalk(self.simulated, segment_path("/data", JOURNAL, segment))
        return [one.header.base_offset for one in found if one.header.leader_epoch == BARRIER]

    def kinds(self) -> list[str]:
        return [operation.kind for operation in self.simulated.log if operation.kind in ("write", "sync")]


def test_the_first_group_of_each_synced_write_carries_the_barrier() -> None:
    commits = Commits()
    for pile in (1, 3, 2):
        for _ in range(pile):
            commits.submit()
        commits.scheduler.run_until_idle()
    assert commits.barriers() == [1, 2, 5]
    assert commits.done == [1, 4, 6]


def test_without_sync_only_the_first_group_after_a_sync_carries_the_barrier() -> None:
    commits = Commits(sync=False)
    for number in range(6):
        commits.submit(sync=number == 3)
        commits.scheduler.run_until_idle()
    assert commits.barriers() == [1, 5]
    assert commits.kinds().count("sync") == 2  # The other one was for FORMAT.


def test_a_sync_that_was_asked_for_covers_segments_that_were_left() -> None:
    commits = Commits(sync=False)
    commits.submit(0)
    commits.scheduler.run_until_idle()
    commits.position = 0
    commits.submit(1)
    commits.submit(1, sync=True, empty=True)
    commits.scheduler.run_until_idle()
    assert commits.kinds()[-4:] == ["write", "write", "sync", "sync"]
    assert commits.done == [1, 3]


def test_a_pile_over_two_segments_syncs_the_first_before_it_writes_the_second() -> None:
    commits = Commits()
    commits.submit(0)
    commits.position = 0
    commits.submit(1)
    commits.scheduler.run_until_idle()
    assert commits.kinds()[-4:] == ["write", "sync", "write", "sync"]
    assert commits.barriers(1) == [2]
    assert commits.done == [2]


def test_nothing_is_written_after_a_failure() -> None:
    commits = Commits()
    commits.files.fail("sync", errno.EIO)
    commits.submit()
    commits.scheduler.run_until_idle()
    commits.files.heal()
    before = commits.kinds()
    commits.submit()
    commits.scheduler.run_until_idle()
    commits.committer.stop()
    assert (commits.done, commits.failed) == ([], ["writing the journal failed: Input/output error"])
    assert commits.kinds() == before


# --- readers ---------------------------------------------------------------------------------------------


def segments(count: int) -> SimulatedFiles:
    files = SimulatedFiles()
    open_folder(files, "/data")
    for segment in range(count):
        kind = BACKLOG if segment % 2 else JOURNAL
        handle = files.open(segment_path("/data", kind, segment), create=True)
        files.write(handle, 0, [b"segment %d" % segment])
        files.close(handle)
    return files


def test_readers_find_a_segment_by_its_id_in_either_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "HANDLES_MAX", 3)
    files = segments(10)
    reader = Readers(files, "/data")
    for segment in [*range(10), 0, 9, 5]:
        assert reader.read(segment, 8, 1) == b"%d" % segment
    assert len(files._handles) == 1 + 3, "the lock and the three that were read last"
    reader.close()
    assert len(files._handles) == 1


def test_readers_say_what_is_missing() -> None:
    reader = Readers(segments(2), "/data")
    with pytest.raises(StoreError, match="segment 7 is missing"):
        reader.read(7, 0, 1)
    with pytest.raises(StoreError, match="segment 1 ends before byte 100"):
        reader.read(1, 0, 100)


def test_a_segment_dropped_while_it_is_read_is_closed_afterwards() -> None:
    files = segments(1)
    reading, go_on = threading.Event(), threading.Event()

    class Slow(FaultyFiles):
        def read(self, handle: int, position: int, size: int) -> bytes:
            reading.set()
            assert go_on.wait(10)
            return super().read(handle, position, size)

    reader = Readers(Slow(files), "/data")
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(reader.read(0, 0, 7)))
    thread.start()
    assert reading.wait(10)
    reader.drop(0)
    files.remove(segment_path("/data", JOURNAL, 0))
    assert len(files._handles) == 2
    go_on.set()
    thread.join(10)
    assert found == [b"segment"]
    assert len(files._handles) == 1
