"""Disk full, a failing sync, a read-only folder: refused loudly, and nothing that was confirmed is lost.

DESIGN 7: after a failed fsync nothing more is acknowledged until a reopen has verified the files.
"""

from __future__ import annotations

import errno

import pytest
from crash_tools import FOLDER, Workload, assert_recovered, moments, open_engine, recovered_state

from pillarbox.engine.checkpoint import SPARE_BYTES
from pillarbox.engine.checkpoint_file import checkpoint_numbers, checkpoint_path
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store.files import ROOM_BYTES, StoreError
from pillarbox.testing.faults import FaultyFiles, Image, SimulatedFiles
from pillarbox.testing.journal import ModelDomain


class Faulty:
    """A model domain on an engine whose files can be made to fail."""

    def __init__(self, **options: object) -> None:
        self.simulated = SimulatedFiles()
        self.files = FaultyFiles(self.simulated)
        self.scheduler = InlineScheduler()
        self.engine, _, _ = open_engine(self.files, self.scheduler, **options)
        self.domain = ModelDomain(self.engine, self.simulated.note)
        self.engine.attach(self.domain)
        self.domain.make_queue(1)
        self.publish(3)

    def publish(self, count: int = 1) -> None:
        self.domain.publish([1], count, size=50)
        self.domain.commit()
        self.scheduler.run_until_idle()

    def reopened(self) -> None:
        """A restart on the healed disk finds what was confirmed, perhaps more, and nothing else."""
        self.files.heal()
        self.simulated.release_locks()
        found = recovered_state(self.files)
        assert_recovered(found, self.domain, self.domain.confirmed, self.domain.ticket)


@pytest.mark.parametrize("room", [0, 1, 30, 100])
def test_disk_full_is_said_once_and_nothing_is_confirmed_after_it(room: int) -> None:
    work = Faulty()
    work.files.disk_full_after(room)
    work.publish()
    work.files.heal()
    work.publish()
    assert work.domain.failures == ["writing the journal failed: No space left on device"]
    assert work.domain.confirmed == 1
    assert not work.engine.checkpoint_due or work.domain.failures
    work.reopened()


def test_a_failed_sync_is_never_tried_again() -> None:
    """A second fsync that succeeds would prove nothing: the kernel may have dropped the pages."""
    work = Faulty()
    work.files.fail("sync", errno.EIO)
    work.publish()
    work.files.heal()
    before = len(work.simulated.log)
    work.publish()
    work.publish()
    assert work.domain.failures == ["writing the journal failed: Input/output error"]
    assert work.domain.confirmed == 1
    assert not [one for one in work.simulated.log[before:] if one.kind in ("write", "sync")]
    work.reopened()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_segment_that_cannot_be_reserved_grows_as_it_is_written(error: int) -> None:
    """The disk has room for what is written, but not for 64 MiB, or the file system knows no reserving."""
    work = Faulty(allocate_bytes=5000, segment_bytes=400)
    work.files.fail("allocate", error)
    for _ in range(6):
        work.publish()
    assert work.domain.failures == []
    assert work.domain.confirmed == 7
    sizes = [len(content) for path, content in work.simulated.image().files.items() if "/journal/" in path]
    assert len(sizes) > 2
    assert max(sizes[1:]) < 500
    work.reopened()


def test_a_segment_whose_name_cannot_be_synced_confirms_nothing() -> None:
    work = Faulty(segment_bytes=100)
    work.files.fail("sync_folder", errno.EIO)
    work.publish()
    assert len(work.domain.failures) == 1
    assert work.domain.confirmed == 1
    work.reopened()


def test_loads_still_answer_after_a_failure() -> None:
    work = Faulty()
    work.files.fail("write", errno.ENOSPC)
    work.domain.publish([1], 1)
    work.domain.commit()
    ticket = work.domain.load(1)
    work.scheduler.run_until_idle()
    assert [len(record) for record in work.domain.answers[ticket]] == [3, 0]
    work.engine.close(work.domain.snapshot)
    work.reopened()


@pytest.mark.parametrize("path", ["/backlog/", "checkpoint-"])
@pytest.mark.parametrize("operation", ["open_to_write", "rename"])
def test_a_checkpoint_that_cannot_be_written_is_given_up_and_the_journal_goes_on(
    operation: str, path: str
) -> None:
    if operation == "rename" and path == "/backlog/":
        operation, path = "sync_folder", "/backlog"
    work = Faulty()
    work.files.fail(operation, errno.ENOSPC, path=path)
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert work.engine.checkpoint_error == "a checkpoint failed: No space left on device"
    assert not work.domain.failures
    assert [name for name in work.simulated.names(FOLDER) if name.startswith("checkpoint")] == []
    work.publish()
    assert work.domain.confirmed == 2
    work.files.heal()
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert work.engine.checkpoint_error is None
    assert len(work.simulated.names(f"{FOLDER}/backlog")) == 1
    work.reopened()


def test_a_checkpoint_whose_name_is_in_doubt_stops_confirms() -> None:
    """After the rename nobody knows which checkpoint a restart finds."""
    work = Faulty()
    work.files.fail("sync_folder", errno.EIO, path=FOLDER, after=1)
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert work.domain.failures == ["a checkpoint failed: Input/output error"]
    work.publish()
    assert work.domain.confirmed == 1
    work.reopened()


def test_a_checkpoint_without_room_for_its_copies_is_given_up_before_it_writes() -> None:
    """The room that is left is for the journal, which cannot wait."""
    work = Faulty()
    work.publish(20)
    work.files.disk_full_after(SPARE_BYTES)
    before = len(work.simulated.log)
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert work.engine.checkpoint_error == "a checkpoint failed: No space left on device"
    assert [one for one in work.simulated.log[before:] if one.kind in ("write", "create")] == []
    work.publish()
    assert (work.domain.failures, work.domain.confirmed) == ([], 3)
    work.domain.settle(1, range(24))
    work.domain.commit()
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert work.engine.checkpoint_error is None, "nothing is left to be copied"
    work.reopened()


def test_a_checkpoint_copies_what_need_not_be_copied_only_where_there_is_room() -> None:
    """Nine segments, each of which is kept by one message."""
    work = Faulty()
    for _ in range(9):
        first = work.domain.queues[1].sequence_next
        work.publish(8)
        work.domain.settle(1, range(first, first + 7))
        work.domain.commit()
        work.files.disk_full_after(ROOM_BYTES)
        work.engine.checkpoint(work.domain.snapshot)
        work.scheduler.run_until_idle()
    backlog = f"{FOLDER}/backlog"
    assert work.engine.checkpoint_error is None
    assert len(work.simulated.names(backlog)) == 9
    work.files.heal()
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert len(work.simulated.names(backlog)) == 1
    work.reopened()


def test_a_checkpoint_that_a_crash_kept_from_being_removed_is_never_gone_back_to() -> None:
    """Its journal went when the next one was recovered: without it, it is an old state that looks whole."""
    work = Faulty()
    work.domain.settle(1, range(3))
    work.domain.commit()
    work.scheduler.run_until_idle()
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    work.publish(3)
    work.files.fail("remove", errno.EIO)
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert checkpoint_numbers(work.simulated, FOLDER) == [1, 2]
    work.reopened()
    work.simulated.release_locks()
    image = work.simulated.image()
    path = checkpoint_path(FOLDER, 2)
    damaged = {**image.files, path: image.files[path][:-1] + b"?"}
    with pytest.raises(StoreError, match="damaged"):
        recovered_state(SimulatedFiles(Image(image.folders, damaged)))


def test_an_unfinished_checkpoint_of_before_a_crash_goes_at_the_start() -> None:
    work = Faulty()
    work.files.fail("rename", errno.EIO, path="checkpoint-")
    work.files.fail("remove", errno.EIO)
    work.engine.checkpoint(work.domain.snapshot)
    work.scheduler.run_until_idle()
    assert [name for name in work.simulated.names(FOLDER) if name.startswith("checkpoint")]
    work.reopened()
    assert [name for name in work.simulated.names(FOLDER) if name.startswith("checkpoint")] == []


@pytest.mark.parametrize("operation", ["write", "sync", "sync_folder", "rename", "remove", "truncate"])
@pytest.mark.parametrize("after", [1, 7, 20])
def test_power_cuts_around_a_fault_keep_all_that_was_confirmed(operation: str, after: int) -> None:
    """The fault comes in the middle of a workload with checkpoints, the power cut at any moment of it."""
    faulty: list[FaultyFiles] = []

    def wrap(files: SimulatedFiles) -> FaultyFiles:
        faulty.append(FaultyFiles(files))
        return faulty[0]

    work = Workload(after, wrap=wrap)
    faulty[0].fail(operation, errno.EIO, after=after)
    try:
        work.run(60)
    except AssertionError:
        # `run` ends with the demand that nothing failed.
        assert work.domain.failures
    for _, confirmed, appended, image in moments(work.simulated, seed=after, mixtures=1):
        assert_recovered(recovered_state(SimulatedFiles(image)), work.domain, confirmed, appended)


def test_a_read_only_folder_is_refused_in_words() -> None:
    work = Faulty()
    work.engine.close()
    work.files.read_only()
    with pytest.raises(StoreError, match="the data folder /data cannot be used: Read-only file system"):
        open_engine(work.files)
    new = FaultyFiles(SimulatedFiles())
    new.read_only()
    with pytest.raises(StoreError, match="cannot be used: Read-only file system"):
        open_engine(new)


def test_a_folder_that_cannot_be_read_is_refused_in_words() -> None:
    work = Faulty()
    work.engine.close()
    work.files.fail("read", errno.EIO, after=1)
    with pytest.raises(StoreError, match="Input/output error"):
        open_engine(work.files)
    # The lock was let go: a healed folder opens.
    work.files.heal()
    open_engine(work.files)
