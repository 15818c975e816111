"""The local engine over a simulated or a real folder: order of answers, loads, checkpoints, life."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from pillarbox.engine import local
from pillarbox.engine.base import Address, Group, Location, Message, MessagesFact, QueueState
from pillarbox.engine.local import COMMIT_HERE_BYTES, LocalEngine
from pillarbox.engine.logs import LogOptions
from pillarbox.engine.schedulers import InlineScheduler, LoopScheduler
from pillarbox.errors import StartupError
from pillarbox.store.batch import encode_batch
from pillarbox.store.files import DiskFiles, StoreError
from pillarbox.store.segment import Slice
from pillarbox.testing.faults import SimulatedFiles
from pillarbox.testing.journal import ModelDomain


class Bench:
    """An engine on simulated files with a model domain, everything inline."""

    def __init__(self, files: SimulatedFiles | None = None, **options: object) -> None:
        self.files = files or SimulatedFiles()
        self.scheduler = InlineScheduler()
        self.engine = LocalEngine(
            "/data",
            self.files,
            self.scheduler,
            **{"allocate_bytes": 0, **options},  # type: ignore[arg-type]
        )
        self.recovery = self.engine.open()
        self.domain = ModelDomain(self.engine)
        self.engine.attach(self.domain)

    def idle(self) -> None:
        self.scheduler.run_until_idle()

    def publish(self, count: int = 1, uid: int = 1) -> None:
        if uid not in self.domain.queues:
            self.domain.make_queue(uid)
        self.domain.publish([uid], count)
        self.domain.commit()

    def checkpoint(self) -> None:
        self.engine.checkpoint(self.domain.snapshot)
        self.idle()

    def syncs(self) -> int:
        return sum(operation.kind == "sync" for operation in self.files.log)

    def segments(self, kind: str) -> list[str]:
        return self.files.names(f"/data/{kind}")

    def bodies(self, uid: int = 1) -> dict[int, bytes]:
        ticket = self.domain.load(uid)
        self.idle()
        return {s: body for record in self.domain.answers.pop(ticket) for s, body in record.items()}


# --- commits ---------------------------------------------------------------------------------------------


def test_groups_that_pile_up_share_one_write_and_one_sync() -> None:
    bench = Bench()
    before = len(bench.files.log)
    for _ in range(50):
        bench.publish()
    bench.idle()
    kinds = [operation.kind for operation in bench.files.log[before:]]
    assert kinds == ["create", "sync_folder", "write", "sync"]
    assert bench.domain.confirmed == 50


def test_synced_is_not_said_before_the_sync() -> None:
    bench = Bench()
    bench.publish()
    before = bench.syncs()
    while not bench.domain.confirmed:
        synced = bench.syncs()
        assert bench.scheduler.step()
    assert synced > before


def test_a_held_group_waits_for_its_release_and_all_behind_it_wait_too() -> None:
    """Also a lone publisher's, which would be committed at once; and loads of what is held."""
    bench = Bench()
    location = Location()
    message = Message(Address("p", "", "q"), b"", b"moved", 0)
    held = Group(5, [], [MessagesFact([(1, 0)], [message], location)], [], [], held=True)
    behind = Group(6, [], [MessagesFact([(1, 1)], [message], Location())], [], [], lone=True)
    bench.domain.ticket = 6
    bench.domain._expected[1] = [{0: b"moved"}]
    bench.engine.append(held)
    bench.engine.append(behind)
    ticket = 1
    bench.engine.load(ticket, [(1, range(1), location)])
    bench.engine.release(4)
    bench.idle()
    assert bench.domain.confirmed == 0
    assert ticket not in bench.domain.answers
    assert not [operation for operation in bench.files.log if b"moved" in operation.data]
    bench.engine.release(5)
    bench.idle()
    assert bench.domain.confirmed == 6
    assert bench.domain.answers[ticket] == [{0: b"moved"}]


def test_durability_os_answers_without_a_sync() -> None:
    bench = Bench(durability="os")
    before = bench.syncs()
    bench.publish()
    bench.idle()
    assert bench.domain.confirmed == 1
    assert bench.syncs() == before


def test_unsynced_bytes_rise_with_an_append_and_fall_with_its_answer() -> None:
    bench = Bench()
    assert bench.engine.unsynced_bytes == 0
    bench.publish(10)
    waiting = bench.engine.unsynced_bytes
    assert waiting > 100
    bench.publish(10)
    assert bench.engine.unsynced_bytes > waiting
    bench.idle()
    assert bench.engine.unsynced_bytes == 0


def test_a_group_without_facts_is_answered_in_its_order_and_writes_nothing() -> None:
    bench = Bench()
    before = len(bench.files.log)
    bench.domain.ticket = 1
    bench.engine.append(Group(1, [], [], [], []))
    bench.idle()
    assert bench.domain.confirmed == 1
    assert len(bench.files.log) == before


def test_the_journal_goes_on_in_a_new_segment_at_its_size() -> None:
    bench = Bench(segment_bytes=1000)
    for _ in range(30):
        bench.publish()
        bench.idle()
    assert len(bench.segments("journal")) > 3
    assert len(bench.bodies()) == 30
    assert len(Bench(SimulatedFiles(bench.files.image())).recovery.queues[1].runs) == 30


def test_reserved_space_is_given_back_when_a_segment_is_left() -> None:
    bench = Bench(segment_bytes=1000, allocate_bytes=5000)
    for _ in range(12):
        bench.publish()
        bench.idle()
    sizes = [
        len(content) for path, content in sorted(bench.files.image().files.items()) if "/journal/" in path
    ]
    assert sizes[-1] == 5000
    assert all(size <= 1000 for size in sizes[:-1])
    assert len(Bench(SimulatedFiles(bench.files.image())).recovery.queues[1].runs) == 12


# --- loads -----------------------------------------------------------------------------------------------


def test_a_load_of_what_is_not_written_yet_waits_for_the_write() -> None:
    bench = Bench()
    bench.publish(3)
    ticket = bench.domain.load(1)
    assert ticket not in bench.domain.answers
    bench.idle()
    assert [len(record) for record in bench.domain.answers[ticket]] == [3]


def test_a_load_answers_each_request_in_order_with_just_what_was_asked() -> None:
    bench = Bench()
    bench.publish(10)
    bench.publish(2)
    bench.idle()
    first, second = bench.domain.queues[1].locations[0], bench.domain.queues[1].locations[11]
    answers = {}
    bench.domain.loaded = lambda ticket, records: answers.update({ticket: records})  # type: ignore[method-assign]
    bench.engine.load(
        7,
        [
            (1, range(11, 12), second),
            (1, range(2, 9, 3), first),
            (1, range(50, 60), first),
            (9, range(3), first),
        ],
    )
    bench.idle()
    assert [[s for s, _ in record] for record in answers[7]] == [[11], [2, 5, 8], [], []]


def test_a_load_of_many_messages_is_decoded_in_slices() -> None:
    """DESIGN 11.1: no unit on the loop is long, however much is asked for."""
    bench = Bench()
    for _ in range(20):
        bench.publish(100)
    bench.idle()
    ticket = bench.domain.load(1)
    steps = 0
    while ticket not in bench.domain.answers:
        assert bench.scheduler.step()
        steps += 1
    assert steps >= 2000 // 500 + 1


def test_a_damaged_record_fails_loudly_and_is_missing_from_the_answer() -> None:
    bench = Bench()
    bench.publish(1)
    bench.publish(1)
    bench.idle()
    location = bench.domain.queues[1].locations[0]
    handle = bench.files.open("/data/journal/000000000000.log", write=True)
    bench.files.write(handle, location.position + location.size - 1, [b"?"])
    ticket = bench.domain.load(1)
    bench.idle()
    assert bench.domain.failures == ["a stored record is damaged: its checksum does not hold"]
    assert [list(record) for record in bench.domain.answers[ticket]] == [[], [1]]


def test_a_load_in_flight_keeps_the_segment_that_it_reads() -> None:
    """A checkpoint moves the record and removes the segment between the request and the read."""
    bench = Bench()
    for _ in range(5):
        bench.publish(2)
    bench.idle()
    held: list[object] = []
    run_in_thread = bench.scheduler.run_in_thread

    def hold(work, done, *, background=False):  # type: ignore[no-untyped-def]
        if background:
            run_in_thread(work, done, background=True)
        else:
            held.append((work, done))

    bench.scheduler.run_in_thread = hold  # type: ignore[method-assign]
    ticket = bench.domain.load(1)
    bench.checkpoint()
    bench.publish()
    bench.idle()
    bench.checkpoint()
    assert {location.segment for location in bench.domain.queues[1].locations.values()} != {0}
    assert "000000000000.log" in bench.segments("journal")
    bench.scheduler.run_in_thread = run_in_thread  # type: ignore[method-assign]
    ((work, done),) = held  # type: ignore[misc]
    run_in_thread(work, done)
    bench.idle()
    assert sum(map(len, bench.domain.answers[ticket])) == 10
    assert not bench.domain.failures
    assert "000000000000.log" not in bench.segments("journal")


# --- checkpoints -----------------------------------------------------------------------------------------


def test_a_checkpoint_is_due_after_enough_bytes_or_records() -> None:
    bench = Bench(checkpoint_bytes=2000, checkpoint_records=1000)
    assert not bench.engine.checkpoint_due
    bench.publish(100)
    assert bench.engine.checkpoint_due
    bench.checkpoint()
    assert not bench.engine.checkpoint_due
    bench = Bench(checkpoint_records=5)
    for _ in range(5):
        bench.publish()
    assert bench.engine.checkpoint_due


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("how", ["settled", "deleted"])
def test_a_checkpoint_is_due_when_much_of_what_rests_on_the_disk_is_gone(
    how: str, anew: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who drains or deletes a large queue appends next to nothing, and wants the disk back all the same."""
    monkeypatch.setattr(local, "CHECKPOINT_FREED_BYTES", 3 << 20)
    bench = Bench()
    for uid in (1, 2):
        bench.domain.make_queue(uid)
        bench.domain.publish([uid], 40, size=100_000)
        bench.domain.commit()
        bench.checkpoint()
    if anew:
        bench.engine.close(bench.domain.snapshot)
        domain = bench.domain
        bench = Bench(bench.files)
        bench.domain.restore(bench.recovery)
        for uid, queue in bench.domain.queues.items():
            queue.bodies.update(domain.queues[uid].bodies)
    for sequence in range(0, 40, 2):
        bench.domain.settle(1, range(sequence, sequence + 1))
    bench.domain.commit()
    bench.idle()
    assert not bench.engine.checkpoint_due
    if how == "settled":
        bench.domain.settle(1, range(1, 40, 2))
        bench.domain.commit()
    else:
        bench.domain.delete_queue(1)
        bench.domain.commit()
    bench.idle()
    assert bench.engine.checkpoint_due
    before = sum(len(content) for content in bench.files.image().files.values())
    bench.checkpoint()
    after = sum(len(content) for content in bench.files.image().files.values())
    assert before - after > 3_000_000
    assert not bench.engine.checkpoint_due


def test_a_checkpoint_under_way_makes_another_a_no_op() -> None:
    bench = Bench(checkpoint_records=1)
    bench.publish()
    bench.engine.checkpoint(bench.domain.snapshot)
    bench.publish()
    assert not bench.engine.checkpoint_due
    bench.engine.checkpoint(bench.domain.snapshot)
    bench.idle()
    assert [name for name in bench.files.names("/data") if "checkpoint" in name] == [
        "checkpoint-000000000001"
    ]


def test_a_drained_queue_leaves_no_segment_behind() -> None:
    bench = Bench()
    bench.publish(10)
    bench.checkpoint()
    assert (bench.segments("journal"), len(bench.segments("backlog"))) == ([], 1)
    bench.domain.settle(1, range(10))
    bench.domain.commit()
    bench.checkpoint()
    assert bench.segments("backlog") == []


def test_one_stuck_message_never_pins_much() -> None:
    """DESIGN 7: a message that is never acknowledged under many that are."""
    bench = Bench(segment_bytes=50_000)
    bench.publish(1)
    for _ in range(20):
        for _ in range(5):
            first = bench.domain.queues[1].sequence_next
            bench.publish(200)
            bench.domain.settle(1, range(first, first + 200))
        bench.domain.commit()
        bench.idle()
        bench.checkpoint()
        on_disk = sum(len(content) for content in bench.files.image().files.values())
        assert on_disk < 20_000
    assert bench.bodies() == {0: b"1.########"}


def test_small_records_are_merged_and_the_domain_is_told_once_per_record() -> None:
    bench = Bench()
    told = []
    bench.domain.merged = lambda uid, sequences, location: told.append((uid, sequences, location))  # type: ignore[method-assign]
    for _ in range(25):
        bench.publish()
    bench.checkpoint()
    ((uid, sequences, location),) = told
    assert (uid, sequences, location.messages) == (1, range(25), 25)
    assert all(
        (one.segment, one.position) == (location.segment, location.position)
        for one in bench.domain.queues[1].locations.values()
    )
    (run,) = Bench(SimulatedFiles(bench.files.image())).recovery.queues[1].runs
    assert run.sequences == range(25)


def test_segments_of_stuck_messages_are_joined_when_they_are_many() -> None:
    bench = Bench()
    for _ in range(30):
        bench.publish(1)
        bench.checkpoint()
    assert len(bench.segments("backlog")) <= 8
    assert len(bench.bodies()) == 30


def test_a_checkpoint_runs_in_many_short_turns() -> None:
    bench = Bench()
    for uid in range(1, 400):
        bench.publish(1, uid)
    bench.idle()
    bench.engine.checkpoint(bench.domain.snapshot)
    turns = 0
    while bench.scheduler.step():
        turns += 1
    assert turns > 20


def test_a_snapshot_that_raises_gives_the_checkpoint_up_loudly() -> None:
    bench = Bench()
    bench.publish()
    bench.idle()

    class Broken:
        def definitions(self) -> list[tuple[str, str, bytes]]:
            return []

        def queues(self) -> list[QueueState]:
            raise_it = [1 // 0]
            return raise_it  # type: ignore[return-value]

    with pytest.raises(ZeroDivisionError):
        bench.engine.checkpoint(Broken())
    bench.idle()


# --- life ------------------------------------------------------------------------------------------------


def test_close_with_a_snapshot_leaves_a_clean_folder() -> None:
    bench = Bench()
    bench.publish(5)
    bench.engine.close(bench.domain.snapshot)
    assert bench.domain.confirmed == 1
    assert bench.segments("journal") == []
    again = Bench(bench.files)
    assert again.recovery.warnings == []
    assert [run.sequences for run in again.recovery.queues[1].runs] == [range(5)]
    again.engine.close()


def test_close_without_a_snapshot_keeps_the_journal() -> None:
    bench = Bench()
    bench.publish(5)
    bench.engine.close()
    assert [run.sequences for run in Bench(bench.files).recovery.queues[1].runs] == [range(5)]


def test_a_folder_that_is_open_is_refused() -> None:
    bench = Bench()
    with pytest.raises(StoreError, match="the data folder /data is in use by another process"):
        Bench(bench.files)
    assert issubclass(StoreError, StartupError)


def test_definitions_come_back_before_and_after_a_checkpoint() -> None:
    bench = Bench()
    bench.domain.define("user", "guest", b"hash")
    bench.domain.define("exchange", "e", b"1")
    bench.checkpoint()
    bench.domain.define("exchange", "e", b"2")
    bench.domain.define("user", "guest", None)
    bench.domain.commit()
    bench.idle()
    assert Bench(SimulatedFiles(bench.files.image())).recovery.definitions == {("exchange", "e"): b"2"}


# --- over a real loop, threads and folder ----------------------------------------------------------------


class Listener:
    """Collects what the engine says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.tickets: list[int] = []
        self.records: dict[int, object] = {}
        self.reasons: list[str] = []
        self.event = asyncio.Event()
        self.threads: set[int] = set()

    def _seen(self) -> None:
        self.threads.add(threading.get_ident())
        self.event.set()

    def synced(self, ticket: int) -> None:
        self.tickets.append(ticket)
        self._seen()

    def loaded(self, ticket: int, records: object) -> None:
        self.records[ticket] = records
        self._seen()

    def checkpointed(self) -> None:
        pass

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        self._seen()

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)
        self._seen()

    async def until(self, condition) -> None:  # type: ignore[no-untyped-def]
        async with asyncio.timeout(20):
            while not condition():
                self.event.clear()
                await self.event.wait()


@pytest.mark.parametrize(("size", "at_once"), [(1000, True), (COMMIT_HERE_BYTES, False)])
def test_small_group_that_all_wait_for_is_durable_before_append_returns(size: int, at_once: bool) -> None:
    """And a large one when the writer has had its turn."""
    bench = Bench()
    bench.domain.make_queue(1)
    bench.domain.commit()
    bench.idle()
    before = bench.syncs()
    message = Message(Address("o", "", "q"), b"", bytes(size), 1)
    fact = MessagesFact([(1, 1)], [message], Location())
    bench.domain.ticket += 1
    bench.engine.append(Group(bench.domain.ticket, [], [fact], [], [], lone=True))
    assert bench.syncs() == before + at_once
    assert (bench.engine.unsynced_bytes == 0) is at_once
    bench.idle()
    assert bench.syncs() == before + 1
    assert bench.engine.unsynced_bytes == 0


def test_threads_answer_on_the_loops_thread_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        engine = LocalEngine(str(tmp_path / "data"), DiskFiles(), LoopScheduler(asyncio.get_running_loop()))
        engine.open()
        listener = Listener()
        engine.attach(listener)
        address = Address("o", "", "q")
        locations = []
        for ticket in range(1, 201):
            fact = MessagesFact([(1, ticket)], [Message(address, b"", b"%d" % ticket, 1)], Location())
            locations.append(fact.location)
            engine.append(Group(ticket, [], [fact], [], []))
            if ticket % 10 == 0:
                await asyncio.sleep(0)
        engine.load(5, [(1, range(200, 201), locations[199])])
        await listener.until(lambda: 5 in listener.records and listener.tickets[-1] == 200)
        assert listener.tickets == sorted(listener.tickets)
        ((sequence, message),) = listener.records[5][0]  # type: ignore[index]
        assert (sequence, message.body) == (200, b"200")
        assert listener.threads == {threading.get_ident()}
        # What is still under way is finished, and answered, by close itself.
        engine.append(Group(201, [], [MessagesFact([(1, 201)], [message], Location())], [], []))
        engine.close()
        assert listener.tickets[-1] == 201
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("pillarbox-")]

    asyncio.run(run())


def test_a_new_folder_is_made_and_a_closed_one_opens_again(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "data")
    for generation in range(3):
        scheduler = InlineScheduler()
        engine = LocalEngine(path, DiskFiles(), scheduler)
        recovery = engine.open()
        domain = ModelDomain(engine)
        engine.attach(domain)
        domain.restore(recovery)
        assert sum(len(run.sequences) for q in recovery.queues.values() for run in q.runs) == generation * 3
        if not domain.queues:
            domain.make_queue(1)
        domain.publish([1], 3)
        domain.commit()
        engine.close(domain.snapshot if generation else None)
    assert sorted(os.listdir(path)) == ["FORMAT", "LOCK", "backlog", "checkpoint-000000000002", "journal"]


def test_publishers_are_to_be_slowed_when_a_checkpoint_falls_far_behind() -> None:
    bench = Bench(checkpoint_records=5)
    bench.publish()
    bench.engine.checkpoint(bench.domain.snapshot)
    for number in range(30):
        assert bench.engine.checkpoint_behind == (number >= 20)
        bench.publish()
    bench.idle()
    assert bench.engine.checkpoint_due
    bench.checkpoint()
    assert not bench.engine.checkpoint_behind


class LogOwner:
    """Of a log: notes why it failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def written(self, ticket: int) -> None: ...
    def synced(self, ticket: int) -> None: ...
    def loaded(self, ticket: int, found: Slice) -> None: ...
    def found(self, ticket: int, offset: int) -> None: ...
    def load_failed(self, ticket: int, error: Exception) -> None: ...

    def failed(self, reason: str) -> None:
        self.failures.append(reason)


@pytest.mark.row("R80")
def test_a_log_that_is_removed_is_not_synced_before() -> None:
    """It would take its time of the loop's, and an error of the disk would end all storing."""
    bench = Bench()
    owner = LogOwner()
    log = bench.engine.logs.open_log(7, LogOptions(durability="os"), owner, now_ms=0)
    log.append(b"".join(encode_batch([(None, b"value")]).chunks), 1, now_ms=0)
    bench.idle()
    assert bench.files.names("/data/logs/7")
    before = len(bench.files.log)
    bench.engine.logs.remove(7)
    bench.idle()
    assert {one.kind for one in bench.files.log[before:]} == {"remove", "remove_folder"}
    assert owner.failures == []
