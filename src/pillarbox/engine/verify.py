"""Checking a data folder without changing it: what `pillarbox check` prints.

Reads all that a start would read, and besides every unsettled message and every record of streams and topics,
whose checksums a start leaves for later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from pillarbox.engine import record
from pillarbox.engine.base import Location, Recovery
from pillarbox.engine.logs import LOGS
from pillarbox.engine.replay import Replay, Replayed
from pillarbox.errors import StartupError
from pillarbox.store.files import Files, StoreError
from pillarbox.store.folder import LOCK_NAME, read_format
from pillarbox.store.journal import barrier_of
from pillarbox.store.log_verify import verify_log
from pillarbox.store.readers import Readers


class Report(msgspec.Struct):
    """What was found: sentences, and those among them that say that something is wrong."""

    lines: list[str] = []
    problems: list[str] = []

    @property
    def ok(self) -> bool:
        return not self.problems

    def problem(self, text: str) -> None:
        self.lines.append(text)
        self.problems.append(text)


def verify(path: str, files: Files) -> Report:
    """Check a data folder that no broker has open. Never raises for what it finds, never changes a file.

    Cost: everything unsettled is read once; memory as a start takes it.
    """
    report = Report()
    try:
        folder_id = read_format(files, path)
        lock = _lock(files, path)
    except (OSError, StartupError) as error:
        report.problem(str(error))
        return report
    try:
        replayed = Replay(files, path, barrier_of(folder_id)).run()
        _describe(report, replayed)
        _check_messages(report, replayed.recovery, Readers(files, path))
        _check_logs(report, replayed.recovery, files, path)
    except (OSError, StartupError) as error:
        report.problem(str(error))
    finally:
        if lock is not None:
            files.close(lock)
    return report


def _lock(files: Files, path: str) -> int | None:
    """Keep a broker from opening the folder meanwhile; StoreError if one has it open."""
    lock = os.path.join(path, LOCK_NAME)
    if not files.exists(lock):
        return None
    try:
        return files.lock(lock)
    except OSError:
        # A folder that cannot be written to can still be checked.
        return None


def _describe(report: Report, replayed: Replayed) -> None:
    recovery = replayed.recovery
    queues = sum(kind == "queue" for kind, _ in recovery.definitions)
    messages = sum(len(run.sequences) for queue in recovery.queues.values() for run in queue.runs)
    size = sum(run.body_bytes for queue in recovery.queues.values() for run in queue.runs)
    if replayed.checkpoint is None:
        report.lines.append("there is no checkpoint")
    else:
        report.lines.append(f"checkpoint {replayed.checkpoint.number} is good")
    report.lines.append(
        f"the journal holds {_count(replayed.records, 'record')} ({_count(replayed.bytes, 'byte')}) in "
        f"{_count(len(replayed.segments), 'segment')} since then"
    )
    report.lines.append(
        f"{_count(len(recovery.definitions), 'definition')}, {_count(queues, 'queue')} with "
        f"{_count(messages, 'stored message')} (about {_count(size, 'byte')})"
    )
    report.lines += recovery.warnings


def _check_messages(report: Report, recovery: Recovery, readers: Readers) -> None:
    """Read every stored message that is still wanted."""
    wanted: dict[int, tuple[Location, list[tuple[int, range]]]] = {}
    for uid, queue in recovery.queues.items():
        for run in queue.runs:
            wanted.setdefault(id(run.location), (run.location, []))[1].append((uid, run.sequences))
    damaged = 0
    for location, users in sorted(wanted.values(), key=lambda item: (item[0].segment, item[0].position)):
        for trouble in _check_record(readers, location, users):
            damaged += 1
            if damaged <= TROUBLES_MAX:
                report.problem(trouble)
    if damaged > TROUBLES_MAX:
        report.problem(f"and {damaged - TROUBLES_MAX} more like these")
    if not damaged:
        report.lines.append(_intact(len(wanted)))
    readers.close()


def _check_logs(report: Report, recovery: Recovery, files: Files, path: str) -> None:
    """Read every log that belongs to a queue; others are what a crash has kept from being removed."""
    folder = os.path.join(path, LOGS)
    logs = records = damaged = 0
    for name in files.names(folder):
        if ("queue", name) not in recovery.definitions:
            continue
        logs += 1
        try:
            found = verify_log(files, os.path.join(folder, name))
        except (OSError, StoreError) as error:
            report.problem(str(error))
            damaged += 1
            continue
        records += found.records
        damaged += bool(found.problems)
        for problem in found.problems:
            report.problem(problem)
    if logs and not damaged:
        report.lines.append(f"all {_count(records, 'record')} of {_count(logs, 'stream')} are intact")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _intact(records: int) -> str:
    if records == 1:
        return "the one record with unsettled messages is intact"
    return (
        f"all {records} records with unsettled messages are intact" if records else "no message is unsettled"
    )


TROUBLES_MAX = 20
"""Damaged records that are named one by one; more would say nothing new."""


def _check_record(readers: Readers, location: Location, users: list[tuple[int, range]]) -> Iterator[str]:
    where = f"segment {location.segment} at byte {location.position}"
    try:
        value = readers.read(location.segment, location.position, location.size)
        head = record.read_head(value)
        record.check_value(value, head)
        targets = record.read_targets(value, head)
    except (OSError, StoreError) as error:
        yield f"{where}: {error}"
        return
    for uid, sequences in users:
        found = len(record.find_messages(targets, uid, sequences))
        if found != len(sequences):
            yield f"{where}: {len(sequences) - found} messages of queue {uid} are missing"
