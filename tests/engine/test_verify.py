"""`pillarbox check`: everything unsettled is read, nothing is changed."""

from __future__ import annotations

import pytest

from pillarbox.engine.base import DUE_SEQUENCE_BITS, QueueState
from pillarbox.engine.checkpoint_file import pack_keys
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.logs import LogOptions
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.engine.verify import TROUBLES_MAX, verify
from pillarbox.store.batch import encode_batch
from pillarbox.store.folder import FORMAT_NAME
from pillarbox.store.segment import Slice
from pillarbox.testing.faults import Image, SimulatedFiles
from pillarbox.testing.journal import ModelDomain


def folder(*, clean: bool, groups: int = 4) -> SimulatedFiles:
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
    engine.open()
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    for _ in range(groups):
        domain.publish([1], 300)
        domain.commit()
        scheduler.run_until_idle()
    engine.close(domain.snapshot if clean else None)
    return files


class Listener:
    """Of a log; nothing is asked of it."""

    def written(self, ticket: int) -> None: ...
    def synced(self, ticket: int) -> None: ...
    def loaded(self, ticket: int, found: Slice) -> None: ...
    def found(self, ticket: int, offset: int) -> None: ...
    def load_failed(self, ticket: int, error: Exception) -> None: ...
    def failed(self, reason: str) -> None: ...


def changed(files: SimulatedFiles, part: str, change) -> SimulatedFiles:  # type: ignore[no-untyped-def]
    image = files.image()
    (path,) = [path for path in image.files if part in path]
    return SimulatedFiles(Image(image.folders, {**image.files, path: change(image.files[path])}))


def test_a_good_folder_is_described() -> None:
    report = verify("/data", folder(clean=True))
    assert report.ok
    assert report.lines == [
        "checkpoint 1 is good",
        "the journal holds 0 records (0 bytes) in 0 segments since then",
        "1 definition, 1 queue with 1200 stored messages (about 12000 bytes)",
        "all 4 records with unsettled messages are intact",
    ]
    report = verify("/data", folder(clean=False))
    assert report.ok
    assert report.lines[0] == "there is no checkpoint"


def test_checking_changes_nothing() -> None:
    files = changed(folder(clean=False), "/journal/", lambda content: content[:-7])
    before = files.image()
    report = verify("/data", files)
    assert report.ok
    assert any("cut" in line for line in report.lines)
    assert files.image() == before
    assert not files.log


def test_damaged_backlog_is_found_message_by_message() -> None:
    def damage(content: bytes) -> bytes:
        return content[:100] + b"\0?\0?" + content[104:]

    report = verify("/data", changed(folder(clean=True), "/backlog/", damage))
    (problem,) = report.problems
    assert "a stored record is damaged" in problem


def test_much_damage_is_summed_up() -> None:
    files = changed(folder(clean=True, groups=30), "/backlog/", lambda content: bytes(len(content)))
    report = verify("/data", files)
    assert len(report.problems) == TROUBLES_MAX + 1
    assert report.problems[-1] == "and 10 more like these"


@pytest.mark.row("R28")
def test_damaged_due_times_are_named() -> None:
    """R28: the section of a checkpoint that says when delayed messages are due."""
    key = 1_700_000_000_000 << DUE_SEQUENCE_BITS
    packed = pack_keys([key])

    class Delayed:
        """A snapshot of one schedule with one key."""

        def definitions(self) -> list[tuple[str, str, bytes]]:
            return [("schedule", "1", b"")]

        def queues(self) -> list[QueueState]:
            return [QueueState(1, 1, -1, [], due=[key], due_below=1)]

    files = SimulatedFiles()
    engine = LocalEngine("/data", files, InlineScheduler(), allocate_bytes=0)
    engine.open()
    engine.attach(ModelDomain(engine))
    engine.close(Delayed())
    assert verify("/data", files).ok
    report = verify(
        "/data", changed(files, "checkpoint-", lambda content: content.replace(packed, bytes(12)))
    )
    (problem,) = report.problems
    assert problem.endswith("is damaged: a checksum does not hold (due times)")


@pytest.mark.row("R80")
def test_streams_are_read_as_well() -> None:
    """A log that belongs to no queue is what a crash has kept from being removed."""
    files, scheduler = SimulatedFiles(), InlineScheduler()
    engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
    engine.open()
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(7)
    domain.commit()
    for uid in (7, 8):
        log = engine.logs.open_log(uid, LogOptions(), Listener(), now_ms=0)
        for _ in range(3):
            log.append(b"".join(encode_batch([(None, b"value" * 20)]).chunks), 1, now_ms=0)
    scheduler.run_until_idle()
    engine.close(domain.snapshot)
    report = verify("/data", files)
    assert (report.ok, report.lines[-1]) == (True, "all 3 records of 1 stream are intact")
    assert verify("/data", changed(files, "/8/00000000000000000000.log", lambda content: content[:-1])).ok
    torn = verify("/data", changed(files, "/7/00000000000000000000.log", lambda content: content[:-1]))
    assert len(torn.problems) == 1
    assert "records up to offset 2 were stored safely" in torn.problems[0]


def test_damage_in_the_middle_of_the_journal_is_reported() -> None:
    def damage(content: bytes) -> bytes:
        return content[:100] + b"????" + content[104:]

    report = verify("/data", changed(folder(clean=False), "/journal/", damage))
    assert not report.ok
    assert "confirmed groups follow" in report.problems[0]


def test_a_running_broker_is_not_disturbed() -> None:
    files = SimulatedFiles()
    LocalEngine("/data", files, InlineScheduler()).open()
    report = verify("/data", files)
    assert report.problems == ["the data folder /data is in use by another process"]


def test_other_folders_are_reported_in_words() -> None:
    report = verify("/data", SimulatedFiles(Image(frozenset({"/data"}))))
    assert report.problems == [f"/data is not a Pillarbox data folder: it has no file {FORMAT_NAME}"]
    newer = Image(frozenset({"/data"}), {"/data/FORMAT": b"pillarbox 2 abc\n"})
    assert "use a newer one" in verify("/data", SimulatedFiles(newer)).problems[0]
