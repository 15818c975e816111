"""Which records a checkpoint moves, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.engine import compaction, facts, record
from pillarbox.engine.base import Address, Location, Message, StoredRun
from pillarbox.engine.compaction import (
    LIVE_SHARE_MIN,
    MERGE_BYTES_MAX,
    MERGE_MESSAGES_MAX,
    TIER_SEGMENTS,
    Copier,
    Survey,
    choose_segments,
    slimmed,
    stretches,
)
from pillarbox.store.files import StoreError

ADDRESS = Address("amqp091", "", "q")
CODEC = facts.Codec()


class Store:
    """Records in one segment, and a second one into which a copier writes."""

    def __init__(self) -> None:
        self.segments = {1: bytearray(), 2: bytearray()}

    def put(self, targets: list[tuple[int, int]], bodies: list[bytes]) -> Location:
        messages = [Message(ADDRESS, b"p", body, 5, -1, True) for body in bodies]
        value = CODEC.encode_messages(targets, messages)
        location = Location(1, len(self.segments[1]), len(value), len(bodies))
        self.segments[1] += value
        return location

    def read(self, segment: int, position: int, size: int) -> bytes:
        return bytes(self.segments[segment][position : position + size])

    def write(self, chunks: list[bytes | bytearray]) -> None:
        for chunk in chunks:
            self.segments[2] += chunk

    def copy(self, survey: Survey) -> Copier:
        copier = Copier(survey, lambda segment: segment == 1, self.read, self.write)
        assert copier.needed
        for job in copier.steps():
            if job is not None:
                job()
        assert copier.position == len(self.segments[2])
        for moved in survey.moves:
            for location in (survey.locations[moved], *survey.aliases.get(moved, ())):
                location.segment, location.position = 2, survey.new_positions[moved]
                location.size, location.messages = survey.new_sizes[moved], survey.new_messages[moved]
        return copier

    def load(self, uid: int, run: StoredRun) -> dict[int, bytes]:
        location = run.location
        value = self.read(location.segment, location.position, location.size)
        return {
            sequence: message.body for sequence, message in CODEC.decode_messages(value, uid, run.sequences)
        }


def surveyed(queues: dict[int, list[StoredRun]]) -> Survey:
    survey = Survey()
    for uid, runs in queues.items():
        survey.add_runs(uid, runs)
        survey.end_queue(uid, 100, -1)
    return survey


def run(location: Location, sequences: range) -> StoredRun:
    return StoredRun(sequences, location, 0, 5)


def test_single_messages_of_a_queue_are_merged_into_one_record() -> None:
    store = Store()
    runs = [run(store.put([(1, i)], [b"%d" % i]), range(i, i + 1)) for i in range(10)]
    copier = store.copy(surveyed({1: runs}))
    assert len({one.location.position for one in runs}) == 1
    assert (runs[0].location.segment, runs[0].location.messages) == (2, 10)
    (merge,) = copier.merges
    assert (merge.uid, merge.sequence_first, merge.sequence_last) == (1, 0, 9)
    assert [store.load(1, one) for one in runs] == [{i: b"%d" % i} for i in range(10)]


def test_merged_records_keep_to_their_bounds() -> None:
    store = Store()
    many = [run(store.put([(1, i)], [b"x"]), range(i, i + 1)) for i in range(2 * MERGE_MESSAGES_MAX + 1)]
    large = [run(store.put([(2, i)], [bytes(MERGE_BYTES_MAX // 3)]), range(i, i + 1)) for i in range(4)]
    store.copy(surveyed({1: many, 2: large}))
    assert sorted({(one.location.position, one.location.messages) for one in many}) == sorted(
        {(one.location.position, one.location.messages) for one in many}
    )
    assert sorted(
        messages for _, messages in {(one.location.position, one.location.messages) for one in many}
    ) == [1, MERGE_MESSAGES_MAX, MERGE_MESSAGES_MAX]
    assert [one.location.messages for one in large] == [2, 2, 2, 2]


def test_a_record_of_many_queues_is_copied_once_and_verbatim() -> None:
    store = Store()
    location = store.put([(uid, uid * 10) for uid in range(100)], [b"a", b"b"])
    before = store.read(1, 0, location.size)
    queues = {uid: [run(location, range(uid * 10, uid * 10 + 2))] for uid in range(100)}
    survey = surveyed(queues)
    copier = store.copy(survey)
    assert bytes(store.segments[2]) == before
    assert list(survey.moves) == [0]
    assert not copier.merges


def test_a_record_whose_queues_are_mostly_drained_loses_them() -> None:
    store = Store()
    location = store.put([(uid, 0) for uid in range(1000)], [b"a"])
    queues = {uid: [run(location, range(1))] for uid in (3, 500)}
    store.copy(surveyed(queues))
    assert location.size < 200
    assert [store.load(uid, queues[uid][0]) for uid in (3, 500)] == [{0: b"a"}, {0: b"a"}]


def test_a_record_that_is_less_than_half_live_is_slimmed() -> None:
    store = Store()
    location = store.put([(1, 50)], [b"%d" % i * 10 for i in range(900)])
    other = store.put([(1, 2000)], [b"y" * 10] * 500)
    live = [run(location, range(60, 360)), run(location, range(490, 549, 2)), run(other, range(2000, 2260))]
    size = other.size
    store.copy(surveyed({1: live}))
    assert (location.messages, other.messages, other.size) == (330, 500, size)
    assert store.load(1, live[0]) == {s: b"%d" % (s - 50) * 10 for s in range(60, 360)}
    assert store.load(1, live[1]) == {s: b"%d" % (s - 50) * 10 for s in range(490, 549, 2)}


def test_a_large_record_is_never_merged_with_its_neighbours() -> None:
    store = Store()
    runs = [
        run(store.put([(1, 0)], [b"a"]), range(1)),
        run(store.put([(1, 1)], [b"b"] * 600), range(1, 601)),
        run(store.put([(1, 601)], [b"c"]), range(601, 602)),
        run(store.put([(1, 602)], [b"d"]), range(602, 603)),
    ]
    copier = store.copy(surveyed({1: runs}))
    assert [one.location.messages for one in runs] == [1, 600, 2, 2]
    assert [(merge.sequence_first, merge.sequence_last) for merge in copier.merges] == [(601, 602)]


def test_records_that_stay_part_those_that_are_merged() -> None:
    """`merged` says that all stored messages in between rest in the new record."""
    store = Store()
    stays = Location(7, 0, 10, 1)
    runs = [
        run(store.put([(1, 0)], [b"a"]), range(1)),
        run(store.put([(1, 1)], [b"b"]), range(1, 2)),
        run(stays, range(2, 3)),
        run(store.put([(1, 3)], [b"c"]), range(3, 4)),
        run(store.put([(1, 4)], [b"d"]), range(4, 5)),
    ]
    copier = store.copy(surveyed({1: runs}))
    assert [(merge.sequence_first, merge.sequence_last) for merge in copier.merges] == [(0, 1), (3, 4)]
    assert (stays.segment, stays.position) == (7, 0)


def test_sources_are_read_in_blocks_and_only_so_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records across block borders and larger than a block, taken in an order that thrashes the cache."""
    monkeypatch.setattr(compaction, "BLOCK_BYTES", 300)
    monkeypatch.setattr(compaction, "BLOCKS_MAX", 2)
    store = Store()
    queues: dict[int, list[StoredRun]] = {1: [], 2: [], 3: []}
    for number in range(60):
        uid = 1 + number % 3
        size = 700 if number % 7 == 0 else number
        queues[uid].append(
            run(store.put([(uid, number)], [b"%d." % number * size]), range(number, number + 1))
        )
    reads = 0
    read = store.read

    def counting(segment: int, position: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(segment, position, size)

    store.read = counting  # type: ignore[method-assign]
    store.copy(surveyed(queues))
    assert reads > 60
    store.read = read  # type: ignore[method-assign]
    for uid, runs in queues.items():
        for one in runs:
            number = one.sequences.start
            assert store.load(uid, one) == {number: b"%d." % number * (700 if number % 7 == 0 else number)}


def test_a_damaged_record_is_not_copied_on() -> None:
    store = Store()
    one = run(store.put([(1, 0)], [b"abc"]), range(1))
    store.segments[1][-1] ^= 1
    with pytest.raises(StoreError, match="damaged"):
        store.copy(surveyed({1: [one]}))


@settings(deadline=None)
@given(st.data())
def test_whatever_is_live_is_found_after_copying_and_again_after_that(data: st.DataObject) -> None:
    """Any mixture of shared, small, large and partly settled records, copied twice, aliases included."""
    store = Store()
    nexts = {1: 0, 2: 0, 3: 0}
    bodies: dict[int, dict[int, bytes]] = {1: {}, 2: {}, 3: {}}
    records: list[tuple[Location, list[tuple[int, int]], int]] = []
    for number in range(data.draw(st.integers(1, 12))):
        uids = data.draw(st.lists(st.sampled_from((1, 1, 1, 2, 3)), min_size=1, max_size=3, unique=True))
        count = data.draw(st.sampled_from((1, 1, 2, 5, 300)))
        targets = [(uid, nexts[uid]) for uid in uids]
        location = store.put(targets, [b"%d.%d" % (number, i) for i in range(count)])
        for uid, first in targets:
            nexts[uid] += count + data.draw(st.integers(0, 2))
            for i in range(count):
                bodies[uid][first + i] = b"%d.%d" % (number, i)
        records.append((location, targets, count))
    for _ in range(2):
        queues: dict[int, list[StoredRun]] = {1: [], 2: [], 3: []}
        for location, targets, count in records:
            for uid, first in targets:
                live = [s for s in range(first, first + count) if s in bodies[uid]]
                keep = data.draw(st.sampled_from((1, 1, 2, 4, 1000)))
                for sequence in live:
                    if sequence % keep:
                        del bodies[uid][sequence]
                live = [s for s in live if s in bodies[uid]]
                for sequence, _, length in stretches(live, live):
                    queues[uid].append(run(location, range(sequence, sequence + length)))
        if not any(queues.values()):
            return
        store.segments[1], store.segments[2] = store.segments[1] + store.segments[2], bytearray()
        survey = surveyed({uid: runs for uid, runs in queues.items() if runs})
        assert sum(survey.live_bytes.values()) > 0
        store.copy(survey)
        for uid, runs in queues.items():
            found: dict[int, bytes] = {}
            for one in runs:
                found |= store.load(uid, one)
            assert found == bodies[uid]
        # The copies become the source of the second round.
        store.segments = {1: store.segments[2], 2: bytearray()}
        for location, _, _ in records:
            location.segment = 1


def test_slimming_keeps_each_queues_sequences() -> None:
    value = bytes(
        CODEC.encode_messages([(1, 10), (2, 20)], [Message(ADDRESS, b"", b"%d" % i, 5) for i in range(6)])
    )
    slim = bytes(slimmed(value, record.read_head(value), [(1, range(11, 12)), (2, range(24, 25))]))
    assert record.read_head(slim).messages == 2
    found = [(s, m.body) for s, m in CODEC.decode_messages(slim, 1, range(100))]
    assert found == [(11, b"1"), (14, b"4")]
    assert [(s, m.body) for s, m in CODEC.decode_messages(slim, 2, range(100))] == [(21, b"1"), (24, b"4")]


# --- which segments --------------------------------------------------------------------------------------


def test_hardly_live_segments_are_chosen_and_dead_ones_are_not_copied() -> None:
    sizes = {1: 100_000, 2: 100_000, 3: 100_000}
    live = {1: int(100_000 * LIVE_SHARE_MIN) - 1, 2: int(100_000 * LIVE_SHARE_MIN) + 1}
    assert choose_segments(live, sizes) == {1}


def test_many_small_segments_are_joined() -> None:
    """One stuck message per checkpoint must not leave a file each."""
    few = dict.fromkeys(range(TIER_SEGMENTS - 1), 100)
    many = dict.fromkeys(range(TIER_SEGMENTS), 100)
    large = {100: 30 << 20}
    assert choose_segments(few | large, few | large) == set()
    assert choose_segments(many | large, many | large) == set(many)


def test_live_bytes_follow_the_queue_that_has_most_left() -> None:
    store = Store()
    location = store.put([(1, 0), (2, 0)], [b"x" * 100] * 10)
    survey = surveyed(
        {1: [run(location, range(2))], 2: [run(location, range(3)), run(location, range(5, 7))]}
    )
    assert location.size // 2 - 2 <= survey.live_bytes[1] <= location.size // 2
    assert (list(survey.live), list(survey.users)) == ([5], [2])


def test_a_snapshot_that_shows_what_was_never_appended_is_our_own_error() -> None:
    with pytest.raises(AssertionError, match="never appended"):
        surveyed({1: [run(Location(), range(1))]})
