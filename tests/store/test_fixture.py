"""A data folder that was written by format 1 opens, whatever this version writes itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from make_fixture import DEFINITIONS, QUEUES, message

from pillarbox.engine.base import Message
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.engine.verify import verify
from pillarbox.store.files import DiskFiles
from pillarbox.testing.journal import ModelDomain

FIXTURE = Path(__file__).parent / "fixtures" / "format-1"


def fields(message: Message) -> tuple[object, ...]:
    address = message.address
    return (
        (address.origin, address.exchange, address.routing_key),
        message.properties,
        message.body,
        message.accepted_ms,
        message.expiration_ms,
        message.persistent,
    )


def test_a_folder_of_format_1_opens_with_everything_in_it(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    shutil.copytree(FIXTURE, folder)
    scheduler = InlineScheduler()
    engine = LocalEngine(folder, DiskFiles(), scheduler)
    recovery = engine.open()
    assert recovery.definitions == DEFINITIONS
    assert recovery.warnings == []
    domain = ModelDomain(engine)
    engine.attach(domain)
    for uid, (sequence_next, delivered_through, numbers) in QUEUES.items():
        state = recovery.queues[uid]
        assert (state.sequence_next, state.delivered_through) == (sequence_next, delivered_through)
        found: dict[int, tuple[object, ...]] = {}
        domain.loaded = lambda ticket, records, found=found: found.update(  # type: ignore[method-assign, misc]
            {sequence: fields(message) for record in records for sequence, message in record}
        )
        engine.load(uid, [(uid, run.sequences, run.location) for run in state.runs])
        scheduler.run_until_idle()
        assert found == {sequence: fields(message(number)) for sequence, number in numbers.items()}
    engine.close()


def test_a_folder_of_format_1_is_found_good_without_being_changed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(FIXTURE, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    report = verify(str(folder), DiskFiles())
    assert report.ok, report.problems
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
