"""Interval arithmetic, and what a folder amounts to when its files are damaged, torn or foreign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.engine import replay
from pillarbox.engine.base import (
    Address,
    DefinitionFact,
    DeliveredFact,
    Group,
    Location,
    Message,
    MessagesFact,
    SettledFact,
)
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.replay import Intervals
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store.batch import encode_batch
from pillarbox.store.files import StoreError
from pillarbox.store.folder import JOURNAL, segment_path
from pillarbox.store.journal import SegmentWalk
from pillarbox.testing.faults import Image, SimulatedFiles
from pillarbox.testing.journal import ModelDomain

RANGES = st.builds(
    lambda start, count, step: range(start, start + count * step, step),
    st.integers(0, 60),
    st.integers(0, 12),
    st.integers(1, 4),
)


@given(st.lists(RANGES, max_size=12), RANGES, st.integers(0, 5))
def test_intervals_subtract_like_a_set(added: list[range], sequences: range, limit: int) -> None:
    intervals = Intervals()
    intervals._limit = limit
    known: set[int] = set()
    for one in added:
        intervals.add(one)
        known.update(one)
    intervals.normalise()
    parts = list(intervals.missing_from(sequences))
    assert [sequence for part in parts for sequence in part] == [s for s in sequences if s not in known]
    assert all(parts)


def test_intervals_of_one_stuck_message_stay_two() -> None:
    """DESIGN 7: one stuck message under many acknowledgements."""
    intervals = Intervals()
    for sequence in range(1, 300_000):
        intervals.add(range(sequence, sequence + 1))
    intervals.add(range(0))
    assert len(intervals.starts) == 1
    assert list(intervals.missing_from(range(300_001))) == [range(1), range(300_000, 300_001)]


def test_intervals_in_random_order_are_normalised_as_they_grow() -> None:
    intervals = Intervals()
    for sequence in range(0, 400_000, 2):
        intervals.add(range(sequence, sequence + 1))
        intervals.add(range(399_999 - sequence, 400_000 - sequence))
    intervals.normalise()
    assert list(zip(intervals.starts, intervals.stops, strict=True)) == [(0, 400_000)]


def test_intervals_given_again_and_again_take_no_more_room() -> None:
    intervals = Intervals()
    for number in range(300_000):
        intervals.add(range(number % 100 * 2, number % 100 * 2 + 1))
        assert len(intervals.starts) <= replay.PILE_MAX + 201
    intervals.normalise()
    assert len(intervals.starts) == 100


# --- folders ---------------------------------------------------------------------------------------------


def written(groups: int = 6, *, commits: int = 3) -> tuple[SimulatedFiles, ModelDomain]:
    """A journal of one queue with a message per group, two groups to a commit."""
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
    engine.open()
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    for number in range(groups):
        domain.publish([1], 1)
        domain.commit()
        if number % (groups // commits) == 1:
            scheduler.run_until_idle()
    scheduler.run_until_idle()
    return files, domain


JOURNAL_PATH = segment_path("/data", JOURNAL, 0)


def reopened(files: SimulatedFiles, change: bytes | None = None) -> replay.Recovery:
    image = files.image()
    if change is not None:
        image = Image(image.folders, {**image.files, JOURNAL_PATH: change})
    return LocalEngine("/data", SimulatedFiles(image), InlineScheduler()).open()


def test_a_new_folder_has_nothing() -> None:
    recovery = LocalEngine("/data", SimulatedFiles(), InlineScheduler()).open()
    assert (recovery.definitions, recovery.queues, recovery.warnings) == ({}, {}, [])


def test_a_torn_last_write_is_cut_with_a_sentence() -> None:
    files, _ = written()
    journal = files.image().files[JOURNAL_PATH]
    recovery = reopened(files, journal[:-5])
    assert [run.sequences for run in recovery.queues[1].runs] == [range(i, i + 1) for i in range(5)]
    (warning,) = recovery.warnings
    assert "ends in the middle of a write that was never confirmed" in warning
    assert JOURNAL_PATH in warning


def test_zeros_after_the_last_group_are_no_damage() -> None:
    """Space that was reserved and never written."""
    files, _ = written()
    recovery = reopened(files, files.image().files[JOURNAL_PATH] + bytes(9_000_000))
    assert len(recovery.queues[1].runs) == 6
    assert recovery.warnings == []


def test_damage_before_confirmed_groups_is_refused_and_changes_nothing() -> None:
    files, _ = written()
    journal = bytearray(files.image().files[JOURNAL_PATH])
    journal[150] ^= 1
    image = files.image()
    image.files[JOURNAL_PATH] = bytes(journal)
    damaged = SimulatedFiles(image)
    with pytest.raises(
        StoreError, match=r"is damaged at byte \d+ .* confirmed groups follow; nothing was changed"
    ):
        LocalEngine("/data", damaged, InlineScheduler()).open()
    assert damaged.image() == image
    assert not [operation for operation in damaged.log if operation.kind in ("write", "resize", "remove")]


def test_damage_in_the_last_write_only_is_a_torn_tail() -> None:
    """Groups of one write are synced together: without a barrier behind, none of them was confirmed."""
    files, _ = written(commits=3)
    journal = bytearray(files.image().files[JOURNAL_PATH])
    positions = [group.position for group in SegmentWalk(files, JOURNAL_PATH)]
    journal[positions[4] + 80] ^= 1
    recovery = reopened(files, bytes(journal))
    assert len(recovery.queues[1].runs) == 4
    assert recovery.warnings


def test_a_missing_segment_is_refused() -> None:
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, segment_bytes=300, allocate_bytes=0)
    engine.open()
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    for _ in range(6):
        domain.publish([1], 1)
        domain.commit()
        scheduler.run_until_idle()
    image = files.image()
    del image.files[segment_path("/data", JOURNAL, 1)]
    with pytest.raises(StoreError, match=r"group \d+ is missing before group \d+"):
        LocalEngine("/data", SimulatedFiles(image), InlineScheduler()).open()


def test_a_missing_backlog_segment_is_refused() -> None:
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
    engine.open()
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    domain.publish([1], 3)
    domain.commit()
    engine.checkpoint(domain.snapshot)
    scheduler.run_until_idle()
    image = files.image()
    (backlog,) = [path for path in image.files if "/backlog/" in path]
    short = {**image.files, backlog: image.files[backlog][:-1]}
    with pytest.raises(StoreError, match="unsettled messages rest up to byte"):
        LocalEngine("/data", SimulatedFiles(Image(image.folders, short)), InlineScheduler()).open()
    del image.files[backlog]
    with pytest.raises(StoreError, match="is missing, and unsettled messages rest in it"):
        LocalEngine("/data", SimulatedFiles(image), InlineScheduler()).open()


def test_a_fact_of_an_unknown_kind_is_refused_as_newer() -> None:
    files, _ = written()
    journal = files.image().files[JOURNAL_PATH]
    unknown = b"".join(encode_batch([(b"?", b"\1")], base_offset=7).chunks)
    with pytest.raises(StoreError, match="written by a newer version"):
        reopened(files, journal + unknown)


def groups_recovered(*groups: Group) -> replay.Recovery:
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
    engine.open()
    for group in groups:
        engine.append(group)
    scheduler.run_until_idle()
    return reopened(files)


def messages(uid: int, first: int, count: int) -> MessagesFact:
    return MessagesFact([(uid, first)], [Message(Address("", "", ""), b"", b"12", 5)] * count, Location())


def queue(uid: int, value: bytes | None = b"") -> DefinitionFact:
    return DefinitionFact("queue", str(uid), value)


def test_the_next_sequence_is_the_highest_of_any_fact_plus_one() -> None:
    """DESIGN 7: gaps are legal; settlements and deliveries count as well as messages."""
    recovery = groups_recovered(
        Group(1, [queue(1), queue(2), queue(3), queue(4)], [messages(1, 7, 3)], [], []),
        Group(2, [], [], [DeliveredFact(2, 11)], [SettledFact(3, [range(20, 30, 3), range(5, 6)])]),
    )
    assert [recovery.queues[uid].sequence_next for uid in (1, 2, 3, 4)] == [10, 12, 30, 0]
    assert [recovery.queues[uid].delivered_through for uid in (1, 2, 3, 4)] == [-1, 11, -1, -1]


def test_a_deleted_queue_leaves_nothing_and_its_uid_inherits_nothing() -> None:
    recovery = groups_recovered(
        Group(1, [queue(1), queue(2)], [messages(1, 0, 3), messages(2, 0, 1)], [DeliveredFact(1, 1)], []),
        Group(2, [queue(1, None)], [], [], [SettledFact(1, [range(1)])]),
    )
    assert list(recovery.queues) == [2]
    assert recovery.definitions == {("queue", "2"): b""}


def test_lane_is_known_by_a_definition_of_its_own() -> None:
    """R50: its messages come back with it and go with it, whatever becomes of others."""
    lanes = [DefinitionFact("lane", str(uid), b"") for uid in (2, 3)]
    recovery = groups_recovered(
        Group(1, [queue(1), *lanes], [messages(uid, 0, 3) for uid in (1, 2, 3, 4)], [], []),
        Group(2, [DefinitionFact("lane", "3", None)], [], [DeliveredFact(2, 1)], []),
    )
    assert list(recovery.queues) == [1, 2]
    assert recovery.queues[2].delivered_through == 1
    assert [len(run.sequences) for run in recovery.queues[2].runs] == [3]


def test_body_bytes_and_location_come_back_with_each_run() -> None:
    recovery = groups_recovered(
        Group(1, [queue(1)], [messages(1, 0, 10)], [], []),
        Group(2, [], [], [], [SettledFact(1, [range(3, 5)])]),
    )
    first, second = recovery.queues[1].runs
    assert (first.sequences, second.sequences) == (range(3), range(5, 10))
    assert (first.body_bytes, second.body_bytes, first.accepted_ms) == (6, 10, 5)
    assert first.location is second.location
    assert first.location.messages == 10


def test_definitions_keep_their_order_and_their_last_value() -> None:
    def define(key: str, value: bytes | None) -> DefinitionFact:
        return DefinitionFact("exchange", key, value)

    recovery = groups_recovered(
        Group(1, [define("a", b"1"), define("b", b"2"), define("c", b"3")], [], [], []),
        Group(2, [define("a", b"4"), define("b", None), define("b", b"5")], [], [], []),
    )
    assert list(recovery.definitions.items()) == [
        (("exchange", "a"), b"4"),
        (("exchange", "c"), b"3"),
        (("exchange", "b"), b"5"),
    ]
