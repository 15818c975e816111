"""Compaction (K34): the last record of each key stays, with its offset; what a crash in the midst leaves."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_tools import NOW, ManualStrand, Owner

from pillarbox.store.batch import (
    DELETE_HORIZON,
    HEADER_SIZE,
    TRANSACTIONAL,
    Record,
    decode_records,
    encode_records,
    read_header,
    repack,
)
from pillarbox.store.codecs import NAMES, compress, decompress
from pillarbox.store.files import ROOM_BYTES
from pillarbox.store.log_base import LogOptions
from pillarbox.store.log_compaction import RETRY_MS
from pillarbox.store.producers import Aborted, is_aborted
from pillarbox.testing.faults import FaultyFiles, Image, SimulatedFiles, crash_images

pytestmark = pytest.mark.row("K34")

FOLDER = "/logs/orders-0"
DAY = 24 * 3600 * 1000
COMPACT = LogOptions(
    segment_bytes=400,
    index_interval_bytes=100,
    retention_ms=-1,
    compact=True,
    min_cleanable_ratio=0.0,
)

Pair = tuple[bytes, bytes | None]
Found = tuple[int, bytes | None, bytes | None]


def keyed(*pairs: Pair, codec: int = 0, producer_id: int = -1, sequence: int = -1, at: int = NOW) -> bytes:
    """One batch of records with these keys and values; with a producer id it is of a transaction."""
    encoded = encode_records(
        [Record(0, at + n, key, value, [(b"h", b"1")]) for n, (key, value) in enumerate(pairs)],
        attributes=codec | (TRANSACTIONAL if producer_id >= 0 else 0),
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=sequence,
    )
    data = b"".join(encoded.chunks)
    header = read_header(data)
    payload = compress(codec, data[HEADER_SIZE:])
    return repack(header, payload, count=len(pairs), attributes=header.attributes)


def batches_of(owner: Owner, offset: int | None = None) -> list[bytes]:
    """Every batch of a log, one by one."""
    at = owner.log.offsets().start if offset is None else offset
    batches = []
    while (found := owner.read_slice(at, 1)).size:
        batches.append(b"".join(map(bytes, found.chunks)))
        at = found.offset_next
    assert at == owner.log.committed
    return batches


def records_of(batch: bytes) -> list[Record]:
    header = read_header(batch)
    payload = decompress(header.codec, batch[HEADER_SIZE:])
    return decode_records(payload, 0, len(payload), header)


def contents(owner: Owner) -> list[Found]:
    """(offset, key, value) of every record of no transaction's marker."""
    return [
        (record.offset, record.key, record.value)
        for batch in batches_of(owner)
        if not read_header(batch).is_control
        for record in records_of(batch)
    ]


def compact(owner: Owner, *, later_ms: int = 0) -> None:
    """Let a pass be made of all that is there but the segment that is being written."""
    owner.now_ms += later_ms
    owner.log.tick(owner.now_ms)
    owner.drain()
    assert not owner.log.busy
    assert owner.failures == []


def close_segment(owner: Owner) -> None:
    """Have the segment at the end closed: a batch that has no room in it follows."""
    owner.store(keyed((b"filler", bytes(500))))


# --- what stays --------------------------------------------------------------------------------------------


def test_the_last_record_of_each_key_stays_with_its_offset() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1"), (b"b", b"1"), (b"a", b"2")))
    owner.store(keyed((b"c", b"1"), (b"b", b"2")))
    owner.store(keyed((b"a", b"3")))
    close_segment(owner)
    compact(owner)
    kept = [(3, b"c", b"1"), (4, b"b", b"2"), (5, b"a", b"3")]
    assert contents(owner) == [*kept, (6, b"filler", bytes(500))]
    assert owner.log.offsets().accepted == 7
    # Readers may begin anywhere, in gaps as well.
    for offset in range(7):
        assert records_of(batches_of(owner, offset)[0])[-1].offset >= offset


def test_records_keep_their_times_and_headers() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1"), (b"b", b"1"), (b"a", None)))
    close_segment(owner)
    compact(owner)
    header = read_header(batches_of(owner)[0])
    assert header.attributes & DELETE_HORIZON
    assert records_of(batches_of(owner)[0]) == [
        Record(1, NOW + 1, b"b", b"1", [(b"h", b"1")]),
        Record(2, NOW + 2, b"a", None, [(b"h", b"1")]),
    ]
    assert header.max_timestamp == NOW + 2


@pytest.mark.row("K4")
@pytest.mark.parametrize("codec", range(len(NAMES)), ids=NAMES)
def test_batches_keep_their_codec(codec: int) -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1"), (b"b", b"1"), codec=codec))
    owner.store(keyed((b"a", b"2"), codec=codec))
    close_segment(owner)
    compact(owner)
    assert contents(owner)[:2] == [(1, b"b", b"1"), (2, b"a", b"2")]
    assert {read_header(batch).codec for batch in batches_of(owner)[:2]} == {codec}


@pytest.mark.row("K17")
def test_a_tombstone_stays_for_its_time() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1")))
    owner.store(keyed((b"a", None)))
    close_segment(owner)
    compact(owner)
    assert contents(owner)[0] == (1, b"a", None)
    for later_ms, gone in ((DAY - 1, False), (1, True)):
        close_segment(owner)
        compact(owner, later_ms=later_ms)
        assert (b"a" not in [key for _, key, _ in contents(owner)]) == gone


def test_the_segment_that_is_written_is_not_touched() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1")))
    owner.store(keyed((b"a", b"2")))
    compact(owner)
    assert contents(owner) == [(0, b"a", b"1"), (1, b"a", b"2")]


def test_closed_segments_become_few() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    for n in range(60):
        owner.store(keyed((b"a", b"%d" % n * 20)))
    assert len(owner.log.segments) > 15
    before = owner.log.size
    compact(owner)
    for n in range(10):
        owner.store(keyed((b"a", b"%d" % n * 20)))
    compact(owner)
    assert len(owner.log.segments) <= 7
    assert owner.log.size < before / 5
    assert contents(owner)[-1] == (69, b"a", b"9" * 20)
    names = owner.files.names(FOLDER)
    assert len([name for name in names if name.endswith(".log")]) == len(owner.log.segments)


def test_readers_at_the_end_see_no_record_from_memory_that_is_gone() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT, tail_bytes=1 << 20)
    owner.store(keyed((b"a", b"1"), (b"a", b"2")))
    close_segment(owner)
    assert owner.log.read(0, 1, 0) is not None
    compact(owner)
    assert owner.log.read(0, 1, 0) is None


# --- when --------------------------------------------------------------------------------------------------


def fresh(owner: Owner) -> None:
    owner.store(keyed((b"a", b"1"), (b"a", b"2")))
    close_segment(owner)


def was_compacted(owner: Owner) -> bool:
    return contents(owner)[0][0] == 1


def with_options(**settings: float) -> Owner:
    base = {name: getattr(COMPACT, name) for name in COMPACT.__struct_fields__}
    return Owner(SimulatedFiles(), FOLDER, options=LogOptions(**{**base, **settings}))


def test_a_log_without_the_option_is_left_alone() -> None:
    owner = with_options(compact=False)
    fresh(owner)
    compact(owner)
    assert not was_compacted(owner)


def test_records_are_left_alone_for_the_least_lag() -> None:
    owner = with_options(min_compaction_lag_ms=1000)
    fresh(owner)
    compact(owner, later_ms=999)
    assert not was_compacted(owner)
    compact(owner, later_ms=2)
    assert was_compacted(owner)


def test_a_pass_waits_until_enough_is_new() -> None:
    owner = with_options(min_cleanable_ratio=0.5)
    fresh(owner)
    compact(owner)
    assert was_compacted(owner)
    for n in range(2, 20):
        owner.store(keyed((b"%d" % n, bytes(300))))
    compact(owner)
    sizes = [segment.size for segment in owner.log.segments]
    owner.store(keyed((b"2", bytes(300))))
    owner.store(keyed((b"3", bytes(300))))
    compact(owner)
    assert [segment.size for segment in owner.log.segments][: len(sizes)] == sizes


def test_the_greatest_lag_overrides_how_much_is_new() -> None:
    owner = with_options(min_cleanable_ratio=1.0, max_compaction_lag_ms=5000)
    fresh(owner)
    compact(owner, later_ms=5000)
    assert not was_compacted(owner)
    compact(owner, later_ms=2)
    assert was_compacted(owner)


def test_compact_and_delete_go_together() -> None:
    owner = with_options(retention_ms=1000)
    fresh(owner)
    compact(owner)
    owner.log.retain(NOW + 2000)
    owner.drain()
    assert owner.log.offsets().start == owner.log.offsets().accepted


def test_a_log_that_is_trimmed_during_a_pass_stays_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.store.log_compaction.SLICE_BYTES", 1)
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    for n in range(40):
        owner.store(keyed((b"%d" % (n % 3), b"%d" % n * 10)))
    owner.log.tick(owner.now_ms)
    trims = 0
    while owner.log.busy:
        owner.reads.run()
        if trims < 8:
            trims += 1
            owner.log.trim(4 * trims)
        owner.write.run()
        owner.syncs.run()
    owner.drain()
    assert trims > 3
    assert owner.failures == []
    assert owner.log.offsets().start == 4 * trims
    compact(owner)
    assert len(contents(owner)) < 12
    again = Owner(owner.files, FOLDER, options=COMPACT, clean=False)
    assert contents(again) == contents(owner)
    assert [name for name in owner.files.names(FOLDER) if name.endswith(".clean")] == []


@pytest.mark.parametrize("slices", range(0, 40, 3))
def test_a_log_that_is_closed_during_a_pass_stays_in_order(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox.store.log_compaction.SLICE_BYTES", 1)
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    pairs = [(b"%d" % (n % 3), b"%d" % n * 10) for n in range(20)]
    for pair in pairs:
        owner.store(keyed(pair))
    owner.log.tick(owner.now_ms)
    for _ in range(slices):
        owner.reads.run()
        owner.syncs.run()
    owner.log.stop_compacting()
    owner.drain()
    assert not owner.log.busy
    owner.close()
    again = Owner(owner.files, FOLDER, options=COMPACT)
    assert again.log.warnings == []
    check(again, pairs)
    compact(again)
    check(again, pairs)


# --- transactions ------------------------------------------------------------------------------------------


@pytest.mark.row("K60")
def test_what_was_aborted_goes_and_its_marker_later() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1")))
    owner.send(keyed((b"a", b"aborted"), producer_id=7, sequence=0))
    owner.end(7, commit=False)
    owner.send(keyed((b"b", b"kept"), producer_id=7, sequence=1))
    owner.end(7, commit=True)
    close_segment(owner)
    compact(owner)
    assert contents(owner)[:2] == [(0, b"a", b"1"), (3, b"b", b"kept")]
    assert owner.log.aborted_between(0, 6) == [Aborted(7, 1, 2, 3)]
    assert [read_header(batch).is_control for batch in batches_of(owner)[:4]] == [False, True, False, True]
    close_segment(owner)
    compact(owner, later_ms=DAY)
    assert owner.log.aborted_between(0, 6) == []
    assert [read_header(batch).is_control for batch in batches_of(owner)[:3]] == [False, False, True]
    again = Owner(owner.files, FOLDER, options=COMPACT, clean=False)
    assert again.log.aborted_between(0, 6) == []
    assert again.log.last_stable == again.log.offsets().accepted
    assert again.send(keyed((b"b", b"kept"), producer_id=7, sequence=1)).is_repeated


@pytest.mark.row("K60")
def test_what_was_aborted_supersedes_nothing_wherever_its_marker_is() -> None:
    """The marker is in a segment that no pass may touch yet."""
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1")))
    owner.send(keyed((b"a", b"aborted"), producer_id=7, sequence=0))
    close_segment(owner)
    owner.end(7, commit=False)
    compact(owner)
    assert contents(owner)[0] == (0, b"a", b"1")
    assert b"aborted" not in [value for _, _, value in contents(owner)]


@pytest.mark.row("K7", "K60")
def test_a_producer_goes_on_after_a_restart_where_nobody_but_files_knows_its_sequence() -> None:
    """The first segment was closed before there was one, and of the second only the marker is left."""
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.store(keyed((b"a", b"1")), keyed((b"a", b"2")))
    close_segment(owner)
    owner.send(keyed((b"b", b"1"), producer_id=7, sequence=0))
    owner.end(7, commit=True)
    owner.store(keyed((b"b", b"2")))
    close_segment(owner)
    compact(owner)
    assert [key for _, key, _ in contents(owner)].count(b"b") == 1
    again = Owner(owner.files, FOLDER, options=COMPACT, clean=False)
    assert again.send(keyed((b"b", b"1"), producer_id=7, sequence=0)).is_repeated
    assert not again.send(keyed((b"b", b"3"), producer_id=7, sequence=1)).is_repeated


@pytest.mark.row("K60")
def test_an_open_transaction_is_a_boundary() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    owner.send(keyed((b"a", b"1"), producer_id=7, sequence=0))
    owner.store(keyed((b"a", b"2")))
    close_segment(owner)
    compact(owner)
    assert contents(owner)[0] == (0, b"a", b"1")
    owner.end(7, commit=False)
    close_segment(owner)
    compact(owner)
    assert contents(owner)[0] == (1, b"a", b"2")


# --- what the pass does not trip over ----------------------------------------------------------------------


def test_a_batch_that_cannot_be_read_stays() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    header = read_header(keyed((b"a", b"1")))
    broken = repack(header, b"\xff" * 20, count=1, attributes=4)
    owner.store(broken)
    owner.store(keyed((b"a", b"1"), (b"a", b"2")))
    close_segment(owner)
    compact(owner)
    assert batches_of(owner)[0][HEADER_SIZE:] == b"\xff" * 20
    assert records_of(batches_of(owner)[1])[0].offset == 2


def test_more_keys_than_one_pass_remembers_wait_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.store.compaction.Cleaning.__init__.__kwdefaults__", {"keys_max": 3})
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT)
    for n in range(40):
        owner.store(keyed((b"%d" % (n % 10), b"%d" % n * 10)))
    for _ in range(40):
        compact(owner)
    values = {key: value for _, key, value in contents(owner)}
    assert values == {b"%d" % (n % 10): b"%d" % n * 10 for n in range(40)}
    assert len(contents(owner)) < 20


# --- against a list ----------------------------------------------------------------------------------------

PAIRS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", b"a long key " * 3]), st.none() | st.binary(max_size=60)),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(PAIRS | st.sampled_from(["compact", "reopen", "later"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_readers_see_the_last_value_of_each_key(steps: list[object]) -> None:
    files = SimulatedFiles()
    owner = Owner(files, FOLDER, options=COMPACT)
    appended: list[Pair] = []
    for step in steps:
        if step == "compact":
            compact(owner)
        elif step == "later":
            compact(owner, later_ms=DAY)
        elif step == "reopen":
            owner.close()
            owner = Owner(files, FOLDER, options=COMPACT, now_ms=owner.now_ms)
        else:
            assert isinstance(step, list)
            owner.store(keyed(*step, at=owner.now_ms))
            appended += step
    check(owner, appended)


def check(owner: Owner, appended: list[Pair]) -> None:
    """What a log holds is of what was appended, and says the same about every key."""
    assert owner.log.offsets().accepted == len(appended)
    found = contents(owner)
    offsets = [offset for offset, _, _ in found]
    assert offsets == sorted(set(offsets))
    assert all(appended[offset] == (key, value) for offset, key, value in found)
    last: dict[bytes, bytes | None] = dict(appended)
    seen = {key: value for _, key, value in found}
    for key, value in last.items():
        assert seen.get(key) == value, f"{key!r} should be {value!r}"


def committed(owner: Owner) -> list[Found]:
    """(offset, key, value) of what readers of committed records see."""
    log = owner.log
    seen: list[Found] = []
    for batch in batches_of(owner):
        header = read_header(batch)
        aborted = log.aborted_between(header.base_offset, header.next_offset)
        if header.base_offset < log.last_stable and not header.is_control and not is_aborted(header, aborted):
            seen += [(record.offset, record.key, record.value) for record in records_of(batch)]
    return seen


@pytest.mark.row("K60")
@pytest.mark.parametrize("seed", range(40))
def test_whatever_ends_how_the_last_committed_value_of_each_key_is_seen(seed: int) -> None:
    """Three producers, whose transactions cross each other and the ends of segments."""
    chance = random.Random(seed)
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT, tail_bytes=chance.choice((0, 1 << 20)))
    sequences = dict.fromkeys((7, 8, 9), 0)
    under_way: dict[int, list[Found]] = {}
    written: list[Found] = []
    for number in range(50):
        pairs = [(b"%d" % chance.randint(0, 4), b"%d" % number) for _ in range(chance.randint(1, 3))]
        producer_id = chance.choice((-1, *sequences))
        step = chance.choice(("send", "send", "end", "compact", "reopen"))
        if step == "send":
            sequence = sequences.get(producer_id, -1)
            first = owner.send(keyed(*pairs, producer_id=producer_id, sequence=sequence)).offset_first
            found = [(first + position, *pair) for position, pair in enumerate(pairs)]
            if producer_id < 0:
                written += found
            else:
                sequences[producer_id] += len(pairs)
                under_way.setdefault(producer_id, []).extend(found)
        elif step == "end" and producer_id in under_way:
            found, commit = under_way.pop(producer_id), chance.random() < 0.5
            owner.end(producer_id, commit=commit)
            written += found if commit else []
        elif step == "compact":
            compact(owner, later_ms=chance.choice((0, DAY // 2)))
        elif step == "reopen":
            owner.log.sync()
            owner.drain()
            owner = Owner(owner.files, FOLDER, options=COMPACT, now_ms=owner.now_ms, clean=False)
        stable = owner.log.last_stable
        wanted = {key: (offset, value) for offset, key, value in sorted(written) if offset < stable}
        seen = committed(owner)
        assert set(seen) <= set(written)
        assert {key: (offset, value) for offset, key, value in seen} == wanted


@pytest.mark.parametrize(("seed", "durability"), [(0, "fsync"), (1, "os")])
def test_a_crash_at_any_moment_of_a_pass_loses_nothing(seed: int, durability: str) -> None:
    """Every state that a power cut may leave, also in the midst of a swap, opens with the same contents."""
    chance = random.Random(seed)
    files = SimulatedFiles()
    fields = {name: getattr(COMPACT, name) for name in COMPACT.__struct_fields__}
    options = LogOptions(**{**fields, "durability": durability})
    owner = Owner(files, FOLDER, options=options, tail_bytes=300)
    appended: list[Pair] = []
    promises = [(0, 0)]
    for n in range(14):
        pairs = [(b"%d" % chance.randint(0, 4), b"%d " % n * chance.randint(1, 20)) for _ in range(2)]
        owner.append(keyed(*pairs))
        appended += pairs
        if chance.random() < 0.3:
            owner.log.sync()
        if chance.random() < 0.2:
            owner.log.tick(owner.now_ms)
        for strand in (owner.write, owner.syncs, owner.reads):
            if chance.random() < 0.7:
                strand.run()
                promises.append((len(files.log), owner.log.offsets().synced))
    compact(owner)
    promises.append((len(files.log), owner.log.offsets().synced))
    assert any(operation.kind == "rename" and ".clean" in operation.path for operation in files.log)
    for done, image in crash_images(Image(), files.log, seed=seed, mixtures=1):
        left = Owner(SimulatedFiles(image), FOLDER, options=options, clean=False)
        end = left.log.offsets().accepted
        assert end >= max(synced for count, synced in promises if count <= done)
        check(left, appended[:end])
        if done % 16 == 0:
            compact(left)
            check(left, appended[:end])


@pytest.mark.parametrize("operation", ["open_to_write", "write", "sync", "sync_folder", "rename", "remove"])
def test_a_disk_that_fails_in_the_midst_loses_nothing(operation: str) -> None:
    for after in range(0, 40, 3):
        files = FaultyFiles(SimulatedFiles())
        owner = Owner(files, FOLDER, options=COMPACT, tail_bytes=0)
        pairs = [(b"%d" % (n % 3), b"%d" % n * 20) for n in range(12)]
        for pair in pairs:
            owner.store(keyed(pair))
        files.fail(operation, errno.EIO, after=after)
        owner.log.tick(owner.now_ms)
        owner.drain()
        files.heal()
        assert not owner.log.busy
        owner.log.close()
        check(Owner(files, FOLDER, options=COMPACT, clean=False), pairs)


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_a_full_disk_ends_a_pass_that_leaves_nothing_behind_and_is_made_again(
    after: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Who makes room on the disk need not start the broker anew. What is left is for what cannot wait."""
    files = FaultyFiles(SimulatedFiles())
    owner = Owner(files, FOLDER, options=COMPACT, tail_bytes=0)
    pairs = [(b"%d" % (n % 3), b"%d" % n * 20) for n in range(12)]
    for pair in pairs:
        owner.store(keyed(pair))
    size = owner.log.size
    if after < 0:
        files.disk_full_after(ROOM_BYTES)
    else:
        files.fail("write", errno.ENOSPC, after=after)
    for _ in range(2):
        owner.log.tick(owner.now_ms)
        owner.drain()
    assert not owner.log.busy
    assert [name for name in files.names(FOLDER) if name.endswith(".clean")] == []
    assert [record.message for record in caplog.records] == [
        f"compacting the log {FOLDER} failed: No space left on device"
    ]
    files.heal()
    owner.log.tick(owner.now_ms + 1)
    owner.drain()
    assert owner.log.size == size
    compact(owner, later_ms=RETRY_MS)
    assert owner.log.size < size
    check(owner, pairs)


def test_a_state_of_a_log_that_is_not_compacted_is_what_it_was() -> None:
    files = SimulatedFiles()
    owner = Owner(files, FOLDER)
    owner.store(keyed((b"a", b"1")))
    owner.close()
    assert b'"version":1' in files.image().files[f"{FOLDER}/state"]


@pytest.mark.parametrize(
    ("segment_ms", "lag_ms", "roll_ms"),
    [(-1, -1, -1), (50, -1, 50), (-1, 70, 70), (50, 70, 50), (90, 70, 70)],
)
def test_a_segment_is_closed_in_time_for_the_greatest_lag(segment_ms: int, lag_ms: int, roll_ms: int) -> None:
    assert LogOptions(segment_ms=segment_ms, max_compaction_lag_ms=lag_ms, compact=True).roll_ms == roll_ms
    assert LogOptions(segment_ms=segment_ms, max_compaction_lag_ms=lag_ms).roll_ms == segment_ms


# --- two strands that do not wait for each other -----------------------------------------------------------


def filled(count: int, keys: int, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """A log with so many records of so many keys, and a pass that takes many slices."""
    monkeypatch.setattr("pillarbox.store.log_compaction.SLICE_BYTES", 1)
    chance = random.Random(5)
    owner = Owner(SimulatedFiles(), FOLDER, options=COMPACT, tail_bytes=300)
    for n in range(count):
        owner.store(keyed((b"%d" % (chance.randrange(keys) if n > 8 else 0), b"%d" % n * 30)))
    return owner


def land(strand: ManualStrand) -> None:
    """Run and finish what was prepared."""
    strand.worker.work()
    while strand.posted:
        strand.posted.pop(0)()


def test_a_swap_waits_for_its_own_note_and_not_for_one_of_the_swap_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trim is saved slowly, with a state that still speaks of the first swap; the second comes."""
    owner = filled(60, 13, monkeypatch)
    log = owner.log
    log.tick(owner.now_ms)
    compactor = log._compactor
    assert compactor is not None
    while compactor.swapping is None:
        owner.reads.run()
    owner.syncs.run()
    log.trim(log.offsets().start + 1)
    owner.syncs.strand.flush()
    assert log.state.swap is not None
    first = log.state.swap
    while log.state.swap in (first, None):
        owner.reads.run()
    files = owner.files
    assert isinstance(files, SimulatedFiles)
    since = len(files.log)
    land(owner.syncs)
    owner.reads.run()
    for done, image in crash_images(Image(), list(files.log), seed=1, mixtures=2):
        if done >= since:
            left = contents(Owner(SimulatedFiles(image), FOLDER, options=COMPACT, clean=False))
            assert {key for _, key, _ in left} == {b"%d" % n for n in range(13)}
    owner.drain()
    assert owner.failures == []
    assert not log.busy


def test_a_pass_waits_until_no_swap_of_the_one_before_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its unfinished file would take the place of a segment after a crash."""
    monkeypatch.setattr("pillarbox.store.compaction.Cleaning.__init__.__kwdefaults__", {"keys_max": 3})
    owner = filled(60, 13, monkeypatch)
    log = owner.log
    log.tick(owner.now_ms)
    compactor = log._compactor
    assert compactor is not None
    swaps = 0
    while compactor.busy:
        owner.reads.run()
        if compactor.swapping is not None and not compactor._working:
            owner.syncs.run()
            swaps += 1
    assert swaps
    # The sync strand is busy with other logs: that there is no swap any more is not noted yet.
    held = contents_of_files(owner)
    log.tick(owner.now_ms)
    for _ in range(10):
        owner.reads.run()
        assert contents_of_files(owner) == held
    owner.drain()
    compact(owner)
    assert owner.failures == []


def contents_of_files(owner: Owner) -> list[Found]:
    """What a restart finds now."""
    assert isinstance(owner.files, SimulatedFiles)
    return contents(Owner(SimulatedFiles(owner.files.image()), FOLDER, options=COMPACT, clean=False))
