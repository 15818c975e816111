"""Producers of a partition log: sequences, epochs, repetitions, and what a restart knows of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from log_tools import NOW, Owner, batch, produced

from pillarbox.store.batch import LOG_APPEND_TIME, BatchError, Record, decode_batch, encode_records
from pillarbox.store.files import DiskFiles, read_file
from pillarbox.store.log_base import LogOptions
from pillarbox.store.producers import (
    COMMIT,
    NO_OFFSET,
    SEQUENCE_MAX,
    Aborted,
    Producer,
    ProducerRefused,
    Refusal,
    decode_marker,
)
from pillarbox.testing.faults import Image, SimulatedFiles, crash_images

pytestmark = pytest.mark.row("K7")

FOLDER = "/logs/orders-0"
SMALL = LogOptions(segment_bytes=300, index_interval_bytes=100)


@pytest.fixture
def owner() -> Owner:
    return Owner(SimulatedFiles(), FOLDER)


def refused(owner: Owner, data: bytes) -> Refusal:
    """Why a batch is refused; also proves that nothing was taken in."""
    before = owner.log.offsets()
    with pytest.raises(ProducerRefused) as caught:
        owner.send(data)
    assert owner.log.offsets() == before
    return caught.value.reason


# --- sequences ---------------------------------------------------------------------------------------------


def test_batches_in_order_are_taken_in(owner: Owner) -> None:
    assert owner.send(produced(7, 0, b"a", b"b")).offset_first == 0
    assert owner.send(produced(8, 0, b"x")).offset_first == 2
    assert owner.send(produced(7, 2, b"c")).offset_first == 3
    assert owner.read(0) == [(0, b"a"), (1, b"b"), (2, b"x"), (3, b"c")]


def test_a_repetition_of_one_of_the_last_five_gets_its_old_offsets(owner: Owner) -> None:
    for sequence in range(7):
        owner.send(produced(7, sequence, b"%d" % sequence, at=NOW + sequence))
    for sequence in range(2, 7):
        again = owner.send(produced(7, sequence, b"%d" % sequence, at=NOW + sequence))
        assert again == (sequence, sequence + 1, NOW + sequence, True)
    assert owner.log.offsets().accepted == 7
    assert refused(owner, produced(7, 1, b"1")) == Refusal.OUT_OF_ORDER


def test_a_repetition_before_the_first_is_written_says_what_to_wait_for(owner: Owner) -> None:
    owner.append(produced(7, 0, b"a"))
    again = owner.log.append(produced(7, 0, b"a"), 2, now_ms=NOW)
    assert again.is_repeated
    assert again.offset_next > owner.log.committed
    owner.drain()
    assert again.offset_next == owner.log.committed
    assert owner.written_tickets == [1]


def test_a_part_of_a_batch_is_no_repetition(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", b"b"))
    assert refused(owner, produced(7, 0, b"a")) == Refusal.OUT_OF_ORDER
    assert refused(owner, produced(7, 1, b"b")) == Refusal.OUT_OF_ORDER


def test_a_gap_is_out_of_order(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a"))
    assert refused(owner, produced(7, 2, b"c")) == Refusal.OUT_OF_ORDER
    assert not owner.send(produced(7, 1, b"b")).is_repeated


def test_sequences_go_on_at_zero_after_the_highest(owner: Owner) -> None:
    owner.send(produced(7, SEQUENCE_MAX - 1, b"a", b"b", b"c"))
    assert refused(owner, produced(7, 0, b"d")) == Refusal.OUT_OF_ORDER
    assert owner.send(produced(7, 1, b"d")).offset_first == 3
    assert owner.send(produced(7, SEQUENCE_MAX - 1, b"a", b"b", b"c")).is_repeated


def test_an_unknown_producer_may_begin_anywhere(owner: Owner) -> None:
    """KIP-360: what it sent before may have been removed."""
    assert owner.send(produced(7, 41, b"a")).offset_first == 0
    assert refused(owner, produced(7, 43, b"c")) == Refusal.OUT_OF_ORDER


def test_an_old_epoch_is_refused_and_a_new_one_begins_at_zero(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", epoch=3))
    assert refused(owner, produced(7, 1, b"b", epoch=2)) == Refusal.OLD_EPOCH
    assert refused(owner, produced(7, 1, b"b", epoch=4)) == Refusal.OUT_OF_ORDER
    assert not owner.send(produced(7, 0, b"a", epoch=4)).is_repeated
    assert refused(owner, produced(7, 1, b"b", epoch=3)) == Refusal.OLD_EPOCH


def test_a_batch_of_a_producer_comes_alone(owner: Owner) -> None:
    with pytest.raises(BatchError, match="came with others"):
        owner.append(batch(b"a"), produced(7, 0, b"b"))
    assert owner.log.offsets().accepted == 0


def test_no_producer_sends_control_batches(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", transactional=True))
    marker = owner.end(7, commit=True)
    data = b"".join(map(bytes, owner.read_slice(marker).chunks))
    with pytest.raises(BatchError, match="control batch"):
        owner.append(data)


def test_batches_without_a_producer_leave_no_trace(owner: Owner) -> None:
    owner.store(batch(b"a"))
    owner.close()
    files = owner.log._folder.files
    assert b'"version":1' in read_file(files, f"{FOLDER}/state")
    assert not [name for name in files.names(FOLDER) if name.endswith(".producers")]


# --- expiry ------------------------------------------------------------------------------------------------


def test_a_silent_producer_is_forgotten_unless_its_transaction_is_open() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=LogOptions(producer_expiry_ms=1000))
    owner.send(produced(7, 0, b"a"))
    owner.send(produced(8, 0, b"b", transactional=True))
    owner.now_ms += 600
    owner.send(produced(9, 0, b"c"))
    owner.log.tick(NOW + 1001)
    assert refused(owner, produced(8, 5, b"x", transactional=True)) == Refusal.OUT_OF_ORDER
    assert refused(owner, produced(9, 5, b"x")) == Refusal.OUT_OF_ORDER
    assert owner.send(produced(7, 5, b"x")).offset_first == 3


# --- time of arrival ---------------------------------------------------------------------------------------


@pytest.mark.row("K6")
def test_the_time_of_arrival_takes_the_place_of_what_the_producer_wrote() -> None:
    owner = Owner(SimulatedFiles(), FOLDER)
    log = owner.log
    sent = produced(7, 0, b"a", b"b", at=1)
    assert log.append(sent, 1, now_ms=NOW + 5, append_time=True).timestamp_ms == NOW + 5
    two = batch(b"c", at=2) + batch(b"d", at=3)
    assert log.append(two, 2, now_ms=NOW + 6, append_time=True).offset_first == 2
    owner.drain()
    assert log.max_timestamp() == (NOW + 6, 2)
    times = []
    for offset in (0, 2, 3):
        header, records = decode_batch(bytes(owner.read_slice(offset, 1).chunks[0]))
        assert header.attributes & LOG_APPEND_TIME
        times += [record.timestamp_ms for record in records]
    assert times == [NOW + 5, NOW + 5, NOW + 6, NOW + 6]
    assert log.append(sent, 3, now_ms=NOW + 9, append_time=True) == (0, 2, NOW + 5, True)


@pytest.mark.row("K2", "K6")
def test_a_damaged_batch_is_refused_before_its_checksum_is_renewed(owner: Owner) -> None:
    with pytest.raises(BatchError, match="checksum"):
        owner.log.append(batch(b"ab")[:-2] + b"xx", 1, now_ms=NOW, append_time=True)


# --- transactions ------------------------------------------------------------------------------------------


@pytest.mark.row("K60", "K10")
def test_readers_of_committed_records_see_up_to_the_earliest_open_transaction(owner: Owner) -> None:
    log = owner.log
    owner.store(batch(b"a"))
    assert log.last_stable == 1
    owner.send(produced(7, 0, b"b", transactional=True))
    owner.send(produced(8, 0, b"c", transactional=True))
    owner.send(produced(7, 1, b"d", transactional=True))
    assert log.last_stable == 1
    assert owner.end(7, commit=True) == 4
    assert log.last_stable == 2
    assert owner.end(8, commit=False) == 5
    assert log.last_stable == 6
    assert log.aborted_between(0, 6) == [Aborted(8, 2, 5, 6)]


@pytest.mark.row("K60")
def test_a_transaction_has_ended_when_its_marker_is_committed(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", transactional=True))
    owner.log.append_marker(7, 0, 0, 9, commit=True, now_ms=NOW)
    assert owner.log.last_stable == 0
    owner.drain()
    assert owner.log.last_stable == 2


@pytest.mark.row("K60")
def test_what_was_aborted_is_told_where_it_lies_in_the_way(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", transactional=True))
    owner.send(produced(8, 0, b"b", transactional=True))
    owner.end(8, commit=False)
    owner.send(produced(8, 1, b"c", transactional=True))
    owner.end(7, commit=False)
    owner.end(8, commit=True)
    owner.send(produced(9, 0, b"d", transactional=True))
    owner.end(9, commit=False)
    first, second, third = Aborted(8, 1, 2, 0), Aborted(7, 0, 4, 3), Aborted(9, 6, 7, 8)
    log = owner.log
    assert log.aborted_between(0, 8) == [first, second, third]
    assert log.aborted_between(0, 1) == [second]
    assert log.aborted_between(3, 6) == [second]
    assert log.aborted_between(5, 6) == []
    assert log.aborted_between(5, 8) == [third]


@pytest.mark.row("K60")
def test_nothing_else_comes_from_a_producer_whose_transaction_is_open(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", transactional=True))
    assert refused(owner, produced(7, 1, b"b")) == Refusal.IN_TRANSACTION
    owner.end(7, commit=True)
    assert owner.send(produced(7, 1, b"b")).offset_first == 2


@pytest.mark.row("K60", "K61")
def test_a_marker_fences(owner: Owner) -> None:
    """A coordinator raises the epoch with the marker: what the producer sends later is of an old one."""
    owner.send(produced(7, 0, b"a", transactional=True, epoch=1))
    owner.end(7, commit=False, epoch=2, coordinator_epoch=5)
    assert refused(owner, produced(7, 1, b"b", transactional=True, epoch=1)) == Refusal.OLD_EPOCH
    for epoch, coordinator_epoch, reason in ((1, 5, Refusal.OLD_EPOCH), (2, 4, Refusal.OLD_COORDINATOR)):
        with pytest.raises(ProducerRefused) as caught:
            owner.end(7, commit=True, epoch=epoch, coordinator_epoch=coordinator_epoch)
        assert caught.value.reason == reason
    assert owner.send(produced(7, 0, b"b", transactional=True, epoch=2)).offset_first == 2


@pytest.mark.row("K60")
def test_a_producer_goes_on_of_whom_retention_has_left_the_marker_alone() -> None:
    """A restart finds nothing else of it; Kafka Streams has repartition topics cut so."""
    owner = Owner(SimulatedFiles(), FOLDER, options=LogOptions(segment_bytes=120))
    owner.send(produced(7, 0, b"x" * 100, transactional=True))
    owner.log.trim(owner.end(7, commit=True))
    owner.drain()
    again = Owner(owner.files, FOLDER, options=LogOptions(segment_bytes=120), clean=False)
    assert (again.log.offsets().start, again.log.producers[7].sent) == (1, ())
    assert again.send(produced(7, 1, b"y", transactional=True)).offset_first == 2


@pytest.mark.row("K60")
def test_a_marker_without_a_transaction_changes_nothing_for_readers(owner: Owner) -> None:
    assert owner.end(7, commit=False) == 0
    assert owner.log.last_stable == 1
    assert owner.log.aborted_between(0, 1) == []


@pytest.mark.row("K60")
def test_a_marker_is_the_control_batch_that_clients_know(owner: Owner) -> None:
    owner.send(produced(7, 0, b"a", transactional=True))
    marker = owner.read_slice(owner.end(7, commit=True, coordinator_epoch=3))
    header, records = decode_batch(bytes(marker.chunks[0]))
    assert (header.is_control, header.is_transactional) == (True, True)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 0, -1)
    assert (records[0].key, records[0].value) == (b"\0\0\0\1", b"\0\0\0\0\0\3")
    assert decode_marker(records[0]) == (COMMIT, 3)


# --- restarts ----------------------------------------------------------------------------------------------


def live(owner: Owner, chance: random.Random, steps: int) -> None:
    """Let some producers do what they may, and one batch in between come from nobody."""
    log = owner.log
    for _ in range(steps):
        producer_id = chance.randint(1, 4)
        known = log._producers.table.get(producer_id, Producer(0))
        sequence = known.sent[-1].sequence_last + 1 if known.sent else 0
        values = [bytes(chance.randint(0, 60)) for _ in range(chance.randint(1, 3))]
        action = chance.random()
        owner.ticket += 1
        if action < 0.15:
            owner.append(batch(*values))
        elif action < 0.4 and known.transaction_first != NO_OFFSET:
            epoch = known.epoch + chance.randint(0, 1)
            log.append_marker(
                producer_id, epoch, 0, owner.ticket, commit=chance.random() < 0.5, now_ms=owner.now_ms
            )
        else:
            transactional = known.transaction_first != NO_OFFSET or chance.random() < 0.4
            data = produced(producer_id, sequence, *values, epoch=known.epoch, transactional=transactional)
            log.append(data, owner.ticket, now_ms=owner.now_ms)


def batches(owner: Owner) -> Iterator[tuple[int, bytes]]:
    """Every batch of the log, and its first offset."""
    offset = owner.log.offsets().start
    while (found := owner.read_slice(offset, 1)).size:
        yield found.offset_first, b"".join(map(bytes, found.chunks))
        offset = found.offset_next


def slow_twin(owner: Owner) -> tuple[dict[int, tuple[object, ...]], list[Aborted]]:
    """Producers and aborted transactions, straight from the records of a log that was never trimmed."""
    table: dict[int, tuple[int, list[tuple[int, int]], int]] = {}
    aborted: list[Aborted] = []
    for offset, data in batches(owner):
        header, records = decode_batch(data)
        if header.producer_id < 0:
            continue
        epoch, sent, first = table.get(header.producer_id, (header.producer_epoch, [], NO_OFFSET))
        if epoch != header.producer_epoch:
            sent = []
        if header.is_control:
            table[header.producer_id] = header.producer_epoch, sent, NO_OFFSET
            if records[0].key == b"\0\0\0\0" and first != NO_OFFSET:
                stable = min([f for _, _, f in table.values() if f != NO_OFFSET] or [offset + 1])
                aborted.append(Aborted(header.producer_id, first, offset, stable))
        else:
            if first == NO_OFFSET and header.is_transactional:
                first = offset
            sent = [*sent, (header.base_sequence, offset)][-5:]
            table[header.producer_id] = header.producer_epoch, sent, first
    flat = {producer_id: (epoch, *sent, first) for producer_id, (epoch, sent, first) in table.items()}
    return flat, aborted


def check_restored(owner: Owner) -> None:
    """What the log knows is what its records say."""
    table, aborted = slow_twin(owner)
    log = owner.log
    assert {
        producer_id: (
            known.epoch,
            *((sent.sequence_first, sent.offset_first) for sent in known.sent),
            known.transaction_first,
        )
        for producer_id, known in log._producers.table.items()
    } == table
    end = log.offsets().accepted
    assert [entry for segment in log.segments for entry in segment.aborted] == aborted
    opened = [known.transaction_first for known in log._producers.table.values()]
    assert log.last_stable == min([first for first in opened if first != NO_OFFSET], default=end)


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_knows_what_was_known(seed: int) -> None:
    """After stops in order, after kills, and over several lives."""
    chance = random.Random(seed)
    files = SimulatedFiles()
    for _ in range(6):
        owner = Owner(files, FOLDER, options=SMALL, clean=False)
        check_restored(owner)
        live(owner, chance, chance.randint(0, 20))
        if chance.random() < 0.5:
            owner.close()
        else:
            owner.drain()


@pytest.mark.parametrize("seed", range(2))
def test_every_state_that_a_crash_may_leave_knows_what_its_records_say(seed: int) -> None:
    """No sequence is known whose records are lost: its repetition would be taken for stored."""
    chance = random.Random(seed)
    files = SimulatedFiles()
    durability = "fsync" if seed % 2 else "os"
    options = LogOptions(segment_bytes=500, index_interval_bytes=100, durability=durability)
    for _ in range(2):
        owner = Owner(files, FOLDER, options=options, clean=False)
        for _ in range(4):
            live(owner, chance, chance.randint(1, 4))
            chance.choice((owner.drain, owner.write.run, owner.syncs.run, owner.log.sync))()
        if chance.random() < 0.5:
            owner.close()
    for _, image in crash_images(Image(), files.log, seed=seed, mixtures=1):
        check_restored(Owner(SimulatedFiles(image), FOLDER, options=options, clean=False))


def test_after_a_stop_in_order_no_batch_is_read_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "orders-0")
    owner = Owner(DiskFiles(), folder, options=SMALL)
    live(owner, random.Random(1), 30)
    owner.close()
    opened: list[str] = []

    class Watched(DiskFiles):
        def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
            opened.append(path)
            return super().open(path, create=create, write=write)

    again = Owner(Watched(), folder, options=SMALL)
    assert again.log._producers.table == owner.log._producers.table
    for segment in owner.log.segments:
        # For the batch that its index ends with, and the newest once more for when it was begun.
        times = sum(path.endswith(f"{segment.base:020d}.log") for path in opened)
        assert times == (2 if segment is owner.log.segments[-1] else 1)


@pytest.mark.parametrize("damage", [b"", b"no JSON", b'{"end":0,"table":{},"aborted":[],"version":9}'])
def test_a_damaged_file_is_made_anew(damage: bytes) -> None:
    files = SimulatedFiles()
    owner = Owner(files, FOLDER, options=SMALL)
    live(owner, random.Random(3), 30)
    owner.close()
    image = files.image()
    paths = sorted(path for path in image.files if path.endswith(".producers"))
    assert len(paths) == len(owner.log.segments) > 3
    before = image.files[paths[1]].split(b"\n")[0]
    image.files[paths[1]] = damage
    left = SimulatedFiles(image)
    check_restored(Owner(left, FOLDER, options=SMALL))
    made = left.image().files[paths[1]].split(b"\n")[0]
    assert msgspec.json.decode(made)["end"] == msgspec.json.decode(before)["end"]


def test_files_go_with_their_segments() -> None:
    owner = Owner(SimulatedFiles(), FOLDER, options=SMALL)
    live(owner, random.Random(5), 40)
    owner.drain()
    owner.log.trim(owner.log.committed)
    owner.drain()
    names = owner.files.names(FOLDER)
    bases = [name.removesuffix(".log") for name in names if name.endswith(".log")]
    assert {name.split(".")[0] for name in names if name.endswith(".producers")} <= set(bases)
    assert owner.log._endings == {}


@pytest.mark.parametrize("offset", range(0, 24, 3))
def test_truncate_forgets_what_it_removes(offset: int) -> None:
    files = SimulatedFiles()
    owner = Owner(files, FOLDER, options=SMALL)
    live(owner, random.Random(7), 30)
    owner.close()
    again = Owner(files, FOLDER, options=SMALL)
    again.log.truncate(offset)
    check_restored(again)
    live(again, random.Random(8), 10)
    again.drain()
    check_restored(Owner(files, FOLDER, options=SMALL, clean=False))


def test_a_batch_without_a_sequence_is_asked_for_its_epoch_alone(owner: Owner) -> None:
    """What a group's coordinator stores for a transaction has none (KIP-98)."""
    owner.send(produced(7, 0, b"a", epoch=2))
    offsets = encode_records(
        [Record(0, NOW, b"group", b"1", [])], producer_id=7, producer_epoch=2, base_sequence=-1
    )
    data = b"".join(offsets.chunks)
    assert owner.send(data).offset_first == 1
    assert owner.send(data).offset_first == 2
    assert not owner.send(produced(7, 1, b"b", epoch=2)).is_repeated
