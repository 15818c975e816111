"""The partition log in operation: taking in, reading back, removing."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_tools import NOW, Owner, batch, records_of

from pillarbox.store.batch import BatchError, read_header
from pillarbox.store.files import DiskFiles
from pillarbox.store.log_base import NOT_FOUND, LogFailed, LogOptions, OffsetOutOfRange, Offsets
from pillarbox.store.segment import Slice
from pillarbox.store.tail import Tail, TailBudget

SMALL = LogOptions(segment_bytes=300, index_interval_bytes=100)
SYNCED = LogOptions(segment_bytes=300, index_interval_bytes=100, durability="fsync")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "orders-0")


def fill(owner: Owner, count: int, *, size: int = 1) -> list[tuple[int, bytes]]:
    """Store `count` batches of `size` records; return (offset, value) of all."""
    expected = []
    for i in range(count):
        values = [b"%d-%d" % (i, k) for k in range(size)]
        owner.now_ms = NOW + i
        first = owner.store(batch(*values, at=NOW + i))
        expected += [(first + k, value) for k, value in enumerate(values)]
    return expected


# --- taking in ----------------------------------------------------------------------------------------------


def test_append_returns_the_first_offset_and_places_batches_one_after_another(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    assert owner.append(batch(b"a", b"b")) == 0
    assert owner.append(batch(b"c"), batch(b"d", b"e")) == 2
    owner.drain()
    assert owner.read(0) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]


def test_a_batch_is_kept_as_it_came_but_for_base_offset_and_leader_epoch(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.store(batch(b"before"))
    sent = batch(b"a", b"b")
    owner.store(sent)
    kept = bytes(owner.read_slice(1).chunks[0])
    header = read_header(kept)
    assert (header.base_offset, header.leader_epoch) == (1, 0)
    assert kept[8:12] + kept[16:] == sent[8:12] + sent[16:]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "no batch"),
        (batch(b"a")[:50], "too few"),
        (batch(b"abc")[:-1], "has 70 of 71 bytes"),
        (batch(b"a") + b"rest", "too few"),
        (batch(b"a")[:16] + b"\x01" + batch(b"a")[17:], "magic is 1"),
        (batch(b"a")[:-2] + b"bb", "checksum"),
        (batch(b"a", b"b")[:60] + b"\x01" + batch(b"a", b"b")[61:], "one record for every offset"),
    ],
)
def test_bytes_that_are_no_intact_batches_are_refused_whole(folder: str, data: bytes, fault: str) -> None:
    """Kafka answers CORRUPT_MESSAGE or INVALID_RECORD; nothing of the request is taken in."""
    owner = Owner(DiskFiles(), folder)
    with pytest.raises(BatchError, match=fault):
        owner.append(batch(b"good"), data) if data else owner.append(data)
    owner.drain()
    assert owner.log.offsets() == Offsets(0, 0, 0, 0)
    assert owner.store(batch(b"next")) == 0


def test_offsets_advance_from_accepted_to_written_to_synced(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.append(batch(b"a", b"b"))
    owner.syncs.run()  # A new log makes its folder.
    assert owner.log.offsets() == Offsets(0, 0, 0, 2)
    assert owner.log.unwritten_bytes == len(batch(b"a", b"b"))
    owner.write.run()
    assert owner.log.offsets() == Offsets(0, 0, 2, 2)
    assert (owner.written_tickets, owner.synced_tickets) == ([1], [])
    owner.log.sync()
    owner.syncs.run()
    assert owner.log.offsets() == Offsets(0, 2, 2, 2)
    assert (owner.synced_tickets, owner.log.unsynced_bytes) == ([1], 0)


def test_log_without_records_leaves_the_disk_alone(folder: str) -> None:
    """Thousands of topics may be made at once, and many are never written to."""
    for _ in range(2):
        owner = Owner(DiskFiles(), folder)
        owner.log.tick(NOW + 60_000)
        owner.log.retain(NOW + 60_000)
        assert owner.read(0) == []
        owner.drain()
        owner.close()
        assert not Path(folder).exists()
    owner = Owner(DiskFiles(), folder)
    assert owner.store(batch(b"a")) == 0
    owner.close()
    again = Owner(DiskFiles(), folder)
    assert (again.read(0), again.log.leader_epoch) == ([(0, b"a")], 0)


def test_all_that_was_appended_while_a_write_ran_goes_into_the_next_one(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(durability="fsync"))
    owner.append(batch(b"a"))
    owner.syncs.run()  # A new log makes its folder.
    owner.write.strand.flush()
    for value in (b"b", b"c", b"d"):
        owner.append(batch(value))
    owner.drain()
    assert owner.written_tickets == [1, 4]
    assert owner.synced_tickets == [1, 4]


def test_readers_see_no_further_than_the_durability_promises(folder: str) -> None:
    """Kafka: what is written; with fsync: what is synced. Who asks sees all that was accepted."""
    owner = Owner(DiskFiles(), folder, options=LogOptions(durability="fsync"))
    owner.append(batch(b"a"))
    assert owner.read(0) == []
    assert owner.read(0, end=1) == [(0, b"a")]
    owner.drain()
    assert owner.read(0) == [(0, b"a")]


@pytest.mark.parametrize(
    ("options", "batches"), [(LogOptions(flush_messages=3), 3), (LogOptions(flush_messages=1), 1)]
)
def test_flush_messages_syncs_after_so_many_records(folder: str, options: LogOptions, batches: int) -> None:
    owner = Owner(DiskFiles(), folder, options=options)
    for _ in range(batches - 1):
        owner.store(batch(b"a"))
    assert owner.synced_tickets == []
    owner.store(batch(b"a"))
    assert owner.synced_tickets == [batches]


def test_flush_ms_syncs_once_the_oldest_unsynced_record_is_that_old(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(flush_ms=500))
    owner.store(batch(b"a"))
    owner.log.tick(NOW + 499)
    owner.drain()
    assert owner.synced_tickets == []
    owner.log.tick(NOW + 500)
    owner.drain()
    assert owner.synced_tickets == [1]


def test_an_idle_log_is_synced_and_holds_no_file(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.store(batch(b"a"))
    assert "open=[0]" in repr(owner.log._folder)
    for _ in range(2):
        owner.log.tick(NOW + 60_000)
        owner.drain()
    assert owner.synced_tickets == [1]
    assert "open=[]" in repr(owner.log._folder)
    assert owner.store(batch(b"b")) == 1


# --- segments -----------------------------------------------------------------------------------------------


def test_segments_roll_by_size_and_are_named_by_their_first_offset(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    fill(owner, 9)
    names = [name for name in DiskFiles().names(folder) if name.endswith(".log")]
    assert names == [f"{base:020d}.log" for base in (0, 4, 8)]


def test_segments_roll_by_time(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(segment_ms=1000))
    owner.store(batch(b"a"))
    owner.now_ms += 999
    owner.store(batch(b"b"))
    owner.now_ms += 1
    owner.store(batch(b"c"))
    assert len(owner.log.segments) == 2
    assert owner.read_all() == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_a_batch_larger_than_a_segment_has_one_of_its_own(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    for value in (b"small", b"x" * 1000, b"small"):
        owner.store(batch(value))
    assert [segment.base for segment in owner.log.segments] == [0, 1, 2]
    assert [value for _, value in owner.read_all()] == [b"small", b"x" * 1000, b"small"]


def test_a_full_segment_is_sealed_in_the_background(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    fill(owner, 5)
    assert [segment.sealed for segment in owner.log.segments] == [True, False]


# --- reading ------------------------------------------------------------------------------------------------


def test_options_may_change_while_a_log_is_in_use(folder: str) -> None:
    """Kafka's IncrementalAlterConfigs: the next append keeps to them."""
    owner = Owner(DiskFiles(), folder, options=SMALL)
    fill(owner, 9)
    owner.log.trim(5)
    owner.log.options = SYNCED
    owner.append(batch(b"a"))
    owner.drain()
    assert owner.log.offsets() == Offsets(5, 10, 10, 10)


@pytest.mark.parametrize("tail_bytes", [1 << 20, 0], ids=["hot", "cold"])
def test_every_offset_is_read_from_its_batch_on(folder: str, tail_bytes: int) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL, tail_bytes=tail_bytes)
    expected = fill(owner, 20, size=3)
    assert owner.read_all() == expected
    for offset in range(60):
        records = owner.read(offset, 1)
        assert records == expected[offset // 3 * 3 : offset // 3 * 3 + 3]


@pytest.mark.parametrize("tail_bytes", [1 << 20, 0], ids=["hot", "cold"])
def test_a_slice_holds_whole_batches_within_its_size_and_at_least_one(folder: str, tail_bytes: int) -> None:
    owner = Owner(DiskFiles(), folder, tail_bytes=tail_bytes)
    owner.store(batch(b"x" * 1000))
    owner.store(batch(b"a"))
    owner.store(batch(b"b"))
    large, small = len(batch(b"x" * 1000)), len(batch(b"a"))
    assert owner.read_slice(0, 1).size == large
    assert owner.read_slice(0, large + 2 * small - 1).size == large + small
    assert owner.read_slice(1, 2 * small).size == 2 * small


@pytest.mark.parametrize("tail_bytes", [1 << 20, 0], ids=["hot", "cold"])
def test_no_batch_is_read_that_begins_at_the_given_end(folder: str, tail_bytes: int) -> None:
    """Kafka's read_committed: nothing from the last stable offset on."""
    owner = Owner(DiskFiles(), folder, tail_bytes=tail_bytes)
    fill(owner, 4, size=2)
    assert [offset for offset, _ in owner.read(0, end=4)] == [0, 1, 2, 3]
    assert owner.read(4, end=4) == []


def test_reading_at_the_end_is_empty_and_beyond_is_out_of_range(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.store(batch(b"a"))
    found = owner.read_slice(1)
    assert (found.size, found.offset_next) == (0, 1)
    with pytest.raises(OffsetOutOfRange, match="offset 2 is not within 0\\.\\.1"):
        owner.read(2)
    with pytest.raises(OffsetOutOfRange):
        owner.read(-1)


def test_cold_data_is_loaded_and_answered_later(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, tail_bytes=0)
    owner.store(batch(b"a"))
    assert owner.log.read(0, 100, 77) is None
    assert owner.slices == {}
    owner.drain()
    assert records_of(owner.slices[77]) == [(0, b"a")]


def test_a_sequential_cold_reader_does_not_search_the_index_each_time(folder: str) -> None:
    files = CountingFiles()
    owner = Owner(files, folder, options=LogOptions(index_interval_bytes=1), tail_bytes=0)
    fill(owner, 300)
    owner.log.sync()
    owner.drain()
    offset = owner.read_slice(100, 1).offset_next
    opened = files.opened.count(".index")
    for _ in range(10):
        offset = owner.read_slice(offset, 1).offset_next
    assert files.opened.count(".index") == opened


def test_data_removed_while_it_is_loaded_is_answered_as_out_of_range(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL, tail_bytes=0)
    fill(owner, 9)
    assert owner.log.read(0, 100, 77) is None
    owner.log.trim(8)
    while owner.syncs.run():
        pass
    owner.drain()
    assert isinstance(owner.errors[77], OffsetOutOfRange)


def test_the_budget_for_the_hot_end_is_kept_and_the_newest_stay(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, tail_bytes=3000)
    for _ in range(50):
        owner.store(batch(b"x" * 100))
    assert owner.log._tail._budget.bytes_used <= 3000
    assert owner.log.read(49, 1000, 1) is not None
    assert owner.log.read(0, 1000, 1) is None
    owner.drain()


def test_batches_that_are_not_written_stay_in_memory_whatever_other_logs_need() -> None:
    budget = TailBudget(1000)
    first, second = Tail(budget), Tail(budget)
    for offset in range(4):
        first.append(b"%d" % offset * 100, offset, offset + 1)
    first.mark_written(2)
    for offset in range(20):
        second.append(b"x" * 100, offset, offset + 1)
    second.mark_written(20)
    assert budget.bytes_used <= 1000
    assert first.offset_first == 2, "who was written longest ago goes first"
    assert first.read(2, 1000, 4) == Slice(2, 4, [b"2" * 100, b"3" * 100], 200)
    second.clear()
    assert (second.offset_first, budget.bytes_used) == (None, 0)


# --- times --------------------------------------------------------------------------------------------------


def test_a_time_is_found_in_every_segment(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    fill(owner, 20, size=2)
    for i in range(20):
        assert owner.find_time(NOW + i) == 2 * i
    assert owner.find_time(0) == 0
    assert owner.find_time(NOW + 20) == NOT_FOUND


def test_times_out_of_order_find_the_first_batch_that_is_not_older(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    times = [50, 10, 70, 20, 60, 70, 90, 5, 5, 80, 95, 1]
    for time in times:
        owner.store(batch(b"a", at=time))
    for wanted in range(96):
        assert owner.find_time(wanted) == next(i for i, time in enumerate(times) if time >= wanted)
    assert owner.log.max_timestamp() == (95, 10)


def test_a_time_before_the_start_is_found_at_the_start(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.store(batch(b"a", b"b", b"c", at=10))
    owner.store(batch(b"d", at=20))
    owner.log.trim(2)
    assert owner.find_time(5) == 2
    owner.log.trim(3)
    assert owner.find_time(5) == 3


# --- removing -----------------------------------------------------------------------------------------------


def test_trim_moves_the_start_and_removes_whole_segments_only(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=SMALL)
    fill(owner, 10)
    owner.log.trim(6)
    owner.drain()
    assert owner.log.offsets().start == 6
    assert [name for name in DiskFiles().names(folder) if name.endswith(".log")] == [
        f"{base:020d}.log" for base in (4, 8)
    ]
    with pytest.raises(OffsetOutOfRange):
        owner.read(5)
    assert owner.read_all()[0][0] == 6
    owner.log.trim(3)
    assert owner.log.offsets().start == 6


def test_trim_beyond_what_is_committed_is_refused(folder: str) -> None:
    owner = Owner(DiskFiles(), folder)
    owner.append(batch(b"a"))
    with pytest.raises(OffsetOutOfRange):
        owner.log.trim(1)
    owner.drain()
    owner.log.trim(1)
    assert owner.log.offsets().start == 1


def test_retention_by_size_removes_the_oldest_segments(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(segment_bytes=300, retention_bytes=500))
    fill(owner, 12)
    assert owner.log.retain(NOW) == 1
    owner.drain()
    assert owner.log.offsets().start == 4
    assert owner.log.size >= 500


def test_retention_by_time_removes_segments_whose_newest_record_is_too_old(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(segment_bytes=300, retention_ms=1000))
    fill(owner, 12)
    assert owner.log.retain(NOW + 1003) == 0
    assert owner.log.retain(NOW + 1004) == 1
    assert owner.log.offsets().start == 4


def test_retention_by_time_empties_an_idle_log_and_offsets_go_on(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(retention_ms=1000))
    fill(owner, 3)
    assert owner.log.retain(NOW + 5000) == 1
    owner.drain()
    assert owner.log.offsets() == Offsets(3, 3, 3, 3)
    assert owner.store(batch(b"next")) == 3
    owner.close()
    again = Owner(DiskFiles(), folder)
    assert again.read_all() == [(3, b"next")]


def test_retention_waits_for_records_that_are_not_committed(folder: str) -> None:
    owner = Owner(DiskFiles(), folder, options=LogOptions(retention_ms=1000))
    owner.append(batch(b"a"))
    assert owner.log.retain(NOW + 5000) == 0
    owner.drain()
    assert owner.read(0) == [(0, b"a")]


def test_a_record_from_the_future_does_not_pin_its_segment(folder: str) -> None:
    """A producer that sends seconds or microseconds must not keep segments for ever."""
    owner = Owner(DiskFiles(), folder, options=LogOptions(retention_ms=1000))
    owner.store(batch(b"a", at=NOW * 1000))
    assert owner.log.retain(NOW + 1001) == 1


# --- failures -----------------------------------------------------------------------------------------------


def test_after_a_failed_write_nothing_is_reported_and_appends_are_refused(folder: str) -> None:
    files = CountingFiles()
    owner = Owner(files, folder)
    owner.store(batch(b"a"))
    files.write_error = OSError(28, "No space left on device")
    owner.append(batch(b"b"))
    owner.drain()
    assert owner.failures == [f"writing the log {folder} failed: No space left on device"]
    assert owner.log.offsets().written == 1
    files.write_error = None
    with pytest.raises(LogFailed, match="No space left"):
        owner.append(batch(b"c"))
    owner.drain()
    assert owner.written_tickets == [1]
    assert owner.read_all() == [(0, b"a")]
    owner.close()
    assert Owner(files, folder).read_all() == [(0, b"a")]


def test_after_a_failed_sync_nothing_is_reported_as_synced(folder: str) -> None:
    files = CountingFiles()
    owner = Owner(files, folder, options=LogOptions(durability="fsync"))
    owner.store(batch(b"a"))
    files.sync_error = OSError(5, "Input/output error")
    owner.append(batch(b"b"))
    owner.drain()
    files.sync_error = None
    owner.log.tick(NOW + 60_000)
    owner.drain()
    assert len(owner.failures) == 1
    assert owner.synced_tickets == [1]
    assert owner.log.offsets().synced == 1


class CountingFiles(DiskFiles):
    """The real file system, which counts opens and fails on demand."""

    def __init__(self) -> None:
        self.suffixes: list[str] = []
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None

    @property
    def opened(self) -> list[str]:
        return self.suffixes

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        self.suffixes.append(Path(path).suffix)
        return super().open(path, create=create, write=write)

    def write(self, handle: int, position: int, chunks: object) -> int:
        if self.write_error is not None:
            raise self.write_error
        return super().write(handle, position, chunks)  # type: ignore[arg-type]

    def sync(self, handle: int) -> None:
        if self.sync_error is not None:
            raise self.sync_error
        super().sync(handle)
