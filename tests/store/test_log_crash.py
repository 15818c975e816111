"""The partition log after a power cut at any moment, and after a killed process.

Every file operation of a run is recorded; every state that a crash may leave is rebuilt and opened. Whatever
was reported as synced is there, nothing is there that was not appended, offsets go on where the records end.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import pytest
from log_tools import NOW, Owner, batch

from pillarbox.store.batch import read_header
from pillarbox.store.crc import crc32c
from pillarbox.store.files import StoreError
from pillarbox.store.log_base import LogFailed, LogOptions
from pillarbox.testing.faults import FaultyFiles, Image, SimulatedFiles, crash_images

FOLDER = "/logs/orders-0"


class Promise(NamedTuple):
    """What the owner had been told, or had asked for, at some moment."""

    written: int
    synced: int
    start: int
    epoch: int
    """The last one in which records were written."""
    life: int
    """Which of `Run.lives` it belongs to."""


@dataclass
class Run:
    """A random life of one log, all of whose file operations are recorded."""

    seed: int
    options: LogOptions
    image: Image = field(default_factory=Image)
    clean: bool = True
    appended: list[bytes] = field(default_factory=list)
    """The value of every record by offset, from before the run, too."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.files = SimulatedFiles(self.image)
        self.promises: list[tuple[int, Promise]] = []
        self.lives = [self.appended]
        """What was appended, as it was when a process was killed, and last as it is."""
        self.open()

    def open(self) -> None:
        self.owner = Owner(
            self.files, FOLDER, options=self.options, clean=self.clean, tail_bytes=500, now_ms=NOW
        )
        self.clean = True
        self.opened_at = self.owner.log.offsets().accepted
        self.promise()

    def promise(self) -> None:
        offsets = self.owner.log.offsets()
        epoch = self.owner.log.leader_epoch
        used = epoch if offsets.written > self.opened_at else epoch - 1
        promise = Promise(offsets.written, offsets.synced, offsets.start, used, len(self.lives) - 1)
        self.promises.append((len(self.files.log), promise))

    def step(self) -> None:
        owner, chance = self.owner, self.chance
        action = chance.choices(
            ("append", "write", "sync_strand", "sync", "trim", "idle", "reopen", "kill"),
            (8, 6, 4, 1, 1, 0.5, 0.7, 0.4),
        )[0]
        if action == "append":
            for _ in range(chance.randint(1, 3)):
                values = [bytes(chance.randint(0, 250)) for _ in range(chance.randint(1, 3))]
                values = [b"%d " % (len(self.appended) + k) + value for k, value in enumerate(values)]
                self.appended += values
                owner.append(batch(*values))
        elif action == "write":
            owner.write.run()
        elif action == "sync_strand":
            owner.syncs.run()
        elif action == "sync":
            owner.log.sync()
        elif action == "trim":
            owner.log.trim(chance.randint(owner.log.offsets().start, owner.log.committed))
        elif action == "idle":
            owner.log.tick(owner.now_ms + 60_000)
        elif action == "reopen":
            owner.close()
            self.promise()
            self.open()
        else:
            # A killed process: what it had written is in the page cache, and the next one goes on there.
            self.clean = False
            self.open()
            self.appended = self.appended[: self.owner.log.offsets().accepted]
            self.lives.append(self.appended)
        self.promise()

    def at(self, done: int) -> Promise:
        """The last promise that was made when `done` operations were done: what they must bear out."""
        made = (promise for count, promise in reversed(self.promises) if count <= done)
        return next(made, Promise(0, 0, 0, -1, 0))


def check(run: Run, image: Image, promise: Promise, *, killed: bool) -> Owner:
    """Open what a crash left and compare it with what was promised."""
    owner = Owner(SimulatedFiles(image), FOLDER, options=run.options, clean=False, tail_bytes=500)
    offsets = owner.log.offsets()
    records = owner.read_all()
    assert offsets.synced == offsets.accepted
    assert offsets.accepted >= (promise.written if killed else promise.synced)
    assert offsets.start <= run.owner.log.offsets().start
    first = records[0][0] if records else offsets.accepted
    assert first <= offsets.start
    assert records == list(enumerate(run.lives[promise.life][first : offsets.accepted], first))
    assert owner.log.leader_epoch > promise.epoch
    return owner


OPTIONS = [
    LogOptions(segment_bytes=400, index_interval_bytes=100, durability="fsync"),
    LogOptions(segment_bytes=1500, index_interval_bytes=1, flush_messages=4),
    LogOptions(segment_bytes=900, index_interval_bytes=300),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["fsync", "flush-4", "os"])
@pytest.mark.parametrize("seed", range(6))
def test_every_state_that_a_crash_may_leave_opens_with_all_that_was_promised(
    seed: int, options: LogOptions
) -> None:
    """Start, prefixes, dropped and torn writes, late names: no synced record lost, none invented."""
    run = Run(seed, options)
    for _ in range(40):
        run.step()
    moment = -1
    for done, image in crash_images(Image(), run.files.log, seed=seed):
        # The first state of each moment is what a killed process leaves behind.
        owner = check(run, image, run.at(done), killed=done != moment) if done else None
        moment = done
        if owner is not None and done % 7 == 0:
            go_on(owner)


def go_on(owner: Owner) -> None:
    """The recovered log takes records in, and gives them back after a clean stop without reading anything."""
    end = owner.log.offsets().accepted
    before = owner.read_all()
    assert owner.store(batch(b"next")) == end
    epochs = [read_header(bytes(chunk)).leader_epoch for chunk in owner.read_slice(end).chunks]
    assert epochs == [owner.log.leader_epoch]
    owner.close()
    files = owner.files
    again = Owner(files, FOLDER, options=owner.log.options)
    assert again.log.warnings == []
    assert again.read_all() == [*before, (end, b"next")]


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_during_recovery_or_in_the_life_after_it_loses_no_more(seed: int) -> None:
    """A state left by a crash is opened, used, and crashed again at every moment of that."""
    options = OPTIONS[seed % len(OPTIONS)]
    first = Run(seed, options)
    for _ in range(30):
        first.step()
    states = list(crash_images(Image(), first.files.log, seed=seed))
    for done, image in random.Random(seed).sample(states[len(states) // 2 :], 12):
        kept = check(first, image, first.at(done), killed=False).log.offsets().accepted
        before = first.lives[first.at(done).life][:kept]
        second = Run(seed + done, options, image, clean=False, appended=before)
        for _ in range(6):
            second.step()
        for later, state in crash_images(image, second.files.log, seed=seed, mixtures=1):
            promise = second.at(later)
            owner = Owner(SimulatedFiles(state), FOLDER, options=options, clean=False)
            offsets = owner.log.offsets()
            assert offsets.accepted >= max(promise.synced, first.at(done).synced)
            values = second.lives[promise.life]
            assert all(value == values[offset] for offset, value in owner.read_all())


def test_a_torn_tail_is_cut_with_a_sentence_that_says_where() -> None:
    files = SimulatedFiles()
    owner = Owner(files, FOLDER)
    owner.store(batch(b"a"))
    owner.store(batch(b"b"))
    path = f"{FOLDER}/{0:020d}.log"
    image = files.image()
    image.files[path] = image.files[path][:-1]
    again = Owner(SimulatedFiles(image), FOLDER)
    size = len(batch(b"a"))
    assert again.log.warnings == [
        f"the log {FOLDER} was cut at offset 1: at byte {size} of {0:020d}.log there was an unfinished "
        f"batch; {size - 1} bytes were removed"
    ]
    assert again.read_all() == [(0, b"a")]
    assert again.log.leader_epoch == 1, "clients must be able to tell the new records from the lost ones"


def sealed_log() -> tuple[SimulatedFiles, list[tuple[int, bytes]]]:
    """A log of three segments, stopped in order."""
    files = SimulatedFiles()
    owner = Owner(files, FOLDER, options=LogOptions(segment_bytes=300, index_interval_bytes=1))
    for i in range(10):
        owner.store(batch(b"%d" % i, at=NOW + i))
    expected = owner.read_all()
    owner.close()
    return files, expected


@pytest.mark.parametrize("base", [0, 4, 8])
@pytest.mark.parametrize("harm", ["missing", "torn", "empty", "changed"])
def test_an_index_that_is_missing_or_torn_is_made_anew(base: int, harm: str) -> None:
    files, expected = sealed_log()
    image = files.image()
    path = f"{FOLDER}/{base:020d}.index"
    whole = image.files.pop(path)
    if harm != "missing":
        image.files[path] = {"torn": whole[:-10], "empty": b"", "changed": b"\xff" + whole[1:]}[harm]
    owner = Owner(SimulatedFiles(image), FOLDER, tail_bytes=0)
    if harm in ("missing", "torn"):
        assert owner.log.warnings == [
            f"the log {FOLDER} had a {harm} index, which was made anew: {base:020d}.index"
        ]
    assert owner.read_all() == expected
    assert [owner.find_time(NOW + i) for i in range(10)] == list(range(10))
    unfinished = base == 8 and harm != "changed"
    assert owner.log.leader_epoch == unfinished, "nothing was lost, as far as the others tell"


@pytest.mark.parametrize("where", [0, 100, 250])
def test_damage_before_records_that_were_stored_safely_is_refused_in_words(where: int) -> None:
    """No crash does that: cutting there would throw away records that were acknowledged."""
    files, _ = sealed_log()
    image = files.image()
    path = f"{FOLDER}/{0:020d}.log"
    changed = bytearray(image.files[path])
    changed[where] ^= 1
    image.files[path] = bytes(changed)
    del image.files[f"{FOLDER}/{0:020d}.index"]
    with pytest.raises(StoreError, match=r"is damaged at byte .* and records after it were stored safely"):
        Owner(SimulatedFiles(image), FOLDER)


def test_a_missing_segment_is_refused_in_words() -> None:
    files, _ = sealed_log()
    image = files.image()
    del image.files[f"{FOLDER}/{4:020d}.log"]
    with pytest.raises(StoreError, match="nothing between offset 4 and the next segment"):
        Owner(SimulatedFiles(image), FOLDER)


@pytest.mark.parametrize("size", [0, 1, 70, 100])
def test_a_file_shorter_than_its_index_says_is_refused_in_words(size: int) -> None:
    files, expected = sealed_log()
    image = files.image()
    path = f"{FOLDER}/{8:020d}.log"
    image.files[path] = image.files[path][:size]
    with pytest.raises(
        StoreError, match=r"up to offset 9 were stored safely; restore the file, or remove 0+8\."
    ):
        Owner(SimulatedFiles(image), FOLDER)
    del image.files[f"{FOLDER}/{8:020d}.index"]
    owner = Owner(SimulatedFiles(image), FOLDER)
    assert owner.read_all() == expected[: 8 + size // 70]


def test_a_clean_stop_leaves_nothing_to_read_at_the_next_start() -> None:
    files, _ = sealed_log()
    files.log.clear()
    owner = Owner(files, FOLDER)
    assert files.log == [], "opening a log that was closed in order changes nothing"
    assert owner.log.leader_epoch == 0


def test_an_unclean_start_begins_a_new_leader_epoch_even_if_nothing_seems_lost() -> None:
    """KIP-101: records that a client read may be gone with the power, without a trace."""
    files, _ = sealed_log()
    owner = Owner(files, FOLDER, clean=False)
    assert owner.log.leader_epoch == 1
    assert owner.store(batch(b"new")) == 10
    assert owner.log.end_of_epoch(0) == (0, 10)
    assert owner.log.end_of_epoch(1) == (1, 11)
    assert owner.log.end_of_epoch(2) == (-1, -1)
    owner.close()
    again = Owner(files, FOLDER)
    assert (again.log.leader_epoch, again.log.end_of_epoch(0)) == (1, (0, 10))


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_an_end_that_is_lost_without_a_trace_is_of_an_epoch_before(kept: int) -> None:
    """A power cut may leave any beginning of what was not synced; the log was not closed, which tells it."""
    owner = Owner(SimulatedFiles(), FOLDER)
    owner.store(batch(b"a"), batch(b"b"))
    assert isinstance(owner.files, SimulatedFiles)
    image = owner.files.image()
    path = f"{FOLDER}/{0:020d}.log"
    image.files[path] = image.files[path][: kept * len(batch(b"a"))]
    again = Owner(SimulatedFiles(image), FOLDER)
    assert (again.log.warnings, again.log.offsets().start) == ([], 0)
    assert again.log.leader_epoch == 1
    assert again.log.end_of_epoch(0) == (0, kept)


def test_an_epoch_that_clients_saw_does_not_come_down_again() -> None:
    files, _ = sealed_log()
    owner = Owner(files, FOLDER, clean=False)
    owner.close()
    assert Owner(files, FOLDER).log.leader_epoch == 1


def test_a_log_whose_state_was_lost_goes_on_above_its_last_epoch() -> None:
    files, expected = sealed_log()
    image = files.image()
    image.files[f"{FOLDER}/state"] = b"{}\n"
    owner = Owner(SimulatedFiles(image), FOLDER)
    assert "has lost its file `state`" in owner.log.warnings[0]
    assert owner.log.leader_epoch == 1
    assert owner.read_all() == expected


def test_a_state_of_a_newer_version_is_refused_in_words() -> None:
    files, _ = sealed_log()
    image = files.image()
    line = b'{"version":3,"start":"elsewhere"}'
    image.files[f"{FOLDER}/state"] = line + b"\n%08x\n" % crc32c(line)
    with pytest.raises(StoreError, match="has version 3; this version of Pillarbox reads versions up to 2"):
        Owner(SimulatedFiles(image), FOLDER)


@pytest.mark.parametrize("offset", range(11))
def test_truncate_removes_every_batch_that_reaches_the_offset(offset: int) -> None:
    files, expected = sealed_log()
    owner = Owner(files, FOLDER, options=LogOptions(segment_bytes=300, index_interval_bytes=1))
    owner.log.truncate(offset)
    assert owner.read_all() == expected[:offset]
    assert owner.log.offsets().accepted == offset
    assert owner.store(batch(b"new")) == offset
    owner.close()
    again = Owner(files, FOLDER)
    assert again.read_all() == [*expected[:offset], (offset, b"new")]
    assert again.log.warnings == []


def test_truncate_within_a_batch_removes_the_whole_batch() -> None:
    owner = Owner(SimulatedFiles(), FOLDER)
    owner.store(batch(b"a"))
    owner.store(batch(b"b", b"c", b"d"))
    owner.log.truncate(2)
    assert owner.read_all() == [(0, b"a")]
    assert owner.store(batch(b"next")) == 1


@pytest.mark.parametrize("offset", [0, 2, 4, 5, 9])
def test_a_crash_during_truncate_leaves_a_log_that_is_in_order(offset: int) -> None:
    """It is as long as it was, as short as it should be, or between; the same cut can be made again."""
    files, expected = sealed_log()
    before = files.image()
    files = SimulatedFiles(before)
    owner = Owner(files, FOLDER)
    owner.log.truncate(offset)
    for _, image in crash_images(before, files.log):
        again = Owner(SimulatedFiles(image), FOLDER)
        end = again.log.offsets().accepted
        assert offset <= end
        assert again.read_all() == expected[:end]
        again.log.truncate(offset)
        assert again.read_all() == expected[:offset]


class FaultyLife(NamedTuple):
    """What a log went through before the disk was well again."""

    appended: list[bytes]
    reported: int
    """How many of them were reported as synced."""
    failed: bool


def live_with(files: FaultyFiles, fault: Callable[[], None]) -> FaultyLife:
    """Use a log on files that `fault` makes fail sooner or later; then make them well."""
    owner = Owner(files, FOLDER, options=LogOptions(segment_bytes=400, durability="fsync"))
    fault()
    appended = []
    for i in range(12):
        value = b"%d" % i
        try:
            owner.append(batch(value))
        except LogFailed:
            break
        appended.append(value)
        owner.drain()
        if i == 8 and not owner.failures:
            owner.log.trim(4)
            owner.drain()
    reported = len(owner.synced_tickets)
    assert len(owner.failures) <= 1
    assert owner.failures or reported == len(appended)
    owner.log.close()
    files.heal()
    return FaultyLife(appended, reported, bool(owner.failures))


@pytest.mark.parametrize("operation", ["open_to_write", "write", "sync", "sync_folder", "rename", "remove"])
def test_whatever_operation_fails_nothing_unsafe_is_reported(operation: str) -> None:
    """Every operation of each kind fails once, with all that follow; then the disk is well again."""
    for after in range(100):
        files = FaultyFiles(SimulatedFiles())
        life = live_with(files, partial(files.fail, operation, errno.EIO, after=after))
        owner = Owner(files, FOLDER, clean=False)
        end = owner.log.offsets().accepted
        assert end >= life.reported
        records = owner.read_all()
        assert records == list(enumerate(life.appended))[end - len(records) : end]
        assert owner.store(batch(b"next")) == end
        if not life.failed:
            assert life.reported == len(life.appended) == 12
            return
    pytest.fail(f"{operation} was still failing after {after} times")


@pytest.mark.parametrize("room", range(0, 900, 37))
def test_a_full_disk_loses_nothing_that_was_reported(room: int) -> None:
    files = FaultyFiles(SimulatedFiles())
    life = live_with(files, partial(files.disk_full_after, room))
    assert life.failed
    owner = Owner(files, FOLDER, clean=False)
    start, _, _, end = owner.log.offsets()
    assert life.reported <= end
    assert owner.read_all() == list(enumerate(life.appended))[start:end]
