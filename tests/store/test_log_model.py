"""The partition log against a list: any order of calls, strands that run when they like, stops and kills."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from log_tools import NOW, Owner, batch, records_of

from pillarbox.store.log_base import NOT_FOUND, LogOptions
from pillarbox.testing.faults import SimulatedFiles

FOLDER = "/logs/orders-0"

OPTIONS = st.builds(
    LogOptions,
    segment_bytes=st.sampled_from((1, 200, 500, 5000)),
    segment_ms=st.sampled_from((-1, 50)),
    index_interval_bytes=st.sampled_from((1, 150, 4096)),
    retention_ms=st.sampled_from((-1, 200)),
    retention_bytes=st.sampled_from((-1, 0, 700)),
    durability=st.sampled_from(("fsync", "os")),
    flush_messages=st.sampled_from((-1, 3)),
)

BATCHES = st.lists(
    st.tuples(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.integers(-30, 30)),
    min_size=1,
    max_size=3,
)
"""For each batch its values, and how far its timestamp is off the clock."""


class LogMachine(RuleBasedStateMachine):
    """`batches` holds (first offset, timestamp, values) of all that was accepted, removed or not."""

    @initialize(options=OPTIONS, tail_bytes=st.sampled_from((0, 300, 1 << 20)))
    def make(self, options: LogOptions, tail_bytes: int) -> None:
        self.files = SimulatedFiles()
        self.options = options
        self.tail_bytes = tail_bytes
        self.batches: list[tuple[int, int, list[bytes]]] = []
        self.now_ms = NOW
        self.start = self.end = 0
        self.open(clean=True)

    def open(self, *, clean: bool) -> None:
        self.owner = Owner(
            self.files,
            FOLDER,
            options=self.options,
            tail_bytes=self.tail_bytes,
            now_ms=self.now_ms,
            clean=clean,
        )
        assert self.owner.log.warnings == []
        self.tickets: list[int] = []
        """Of the appends since the opening; `tails[i]` is where the log ended after the i-th."""
        self.tails: list[int] = []

    # --- what happens --------------------------------------------------------------------------------------

    @rule(sent=BATCHES)
    def append(self, sent: list[tuple[list[bytes], int]]) -> None:
        self.owner.now_ms = self.now_ms
        data = [batch(*values, at=self.now_ms + skew) for values, skew in sent]
        assert self.owner.append(*data) == self.end
        for values, skew in sent:
            self.batches.append((self.end, self.now_ms + skew, values))
            self.end += len(values)
        self.tickets.append(self.owner.ticket)
        self.tails.append(self.end)

    @rule()
    def let_write(self) -> None:
        self.owner.write.run()

    @rule()
    def let_sync(self) -> None:
        self.owner.syncs.run()

    @rule()
    def begin_write(self) -> None:
        """The write is prepared, and more is appended before it is done."""
        self.owner.write.strand.flush()

    @rule()
    def begin_sync(self) -> None:
        self.owner.syncs.strand.flush()

    @rule()
    def ask_for_sync(self) -> None:
        self.owner.log.sync()

    @rule(elapsed_ms=st.sampled_from((1, 60, 300, 20_000)))
    def let_time_pass(self, elapsed_ms: int) -> None:
        self.now_ms += elapsed_ms
        self.owner.log.tick(self.now_ms)

    @rule(part=st.floats(0, 1))
    def trim(self, part: float) -> None:
        offset = self.start + int((self.owner.log.committed - self.start) * part)
        self.owner.log.trim(offset)
        self.start = max(self.start, offset)

    @rule()
    def retain(self) -> None:
        self.owner.log.retain(self.now_ms)
        start = self.owner.log.offsets().start
        assert self.start <= start <= self.owner.log.committed
        assert start in [first for first, _, _ in self.batches] or start in (self.start, self.end)
        self.start = start

    @rule()
    def stop_and_start(self) -> None:
        self.owner.close()
        assert self.owner.log.offsets().synced == self.end
        self.open(clean=True)

    @rule()
    def kill_and_start(self) -> None:
        """What was written is there; what was only accepted is not."""
        before = self.owner.log.offsets()
        self.open(clean=False)
        after = self.owner.log.offsets()
        assert before.written <= after.accepted <= before.accepted
        assert after.start <= before.start
        assert after.synced == after.accepted
        self.start, self.end = after.start, after.accepted
        self.batches = [stored for stored in self.batches if stored[0] < self.end]

    @precondition(lambda self: not self.tickets)
    @rule(part=st.floats(0, 1))
    def truncate(self, part: float) -> None:
        self.owner.drain()
        cut = self.start + int((self.end - self.start) * part)
        self.owner.log.truncate(cut)
        self.batches = [stored for stored in self.batches if stored[0] + len(stored[2]) <= cut]
        # A batch that reaches over the cut goes whole; a start within it stays where it is.
        kept = self.batches[-1][0] + len(self.batches[-1][2]) if self.batches else 0
        self.end = max(self.start, kept)

    # --- what must hold ------------------------------------------------------------------------------------

    def expected(self, offset: int, end: int) -> list[tuple[int, bytes]]:
        """All records of whole batches from the one that holds `offset`, up to `end`."""
        return [
            (first + k, value)
            for first, _, values in self.batches
            if first + len(values) > offset and first < end
            for k, value in enumerate(values)
        ]

    @rule(part=st.floats(0, 1), size_max=st.sampled_from((1, 150, 10_000)))
    def read(self, part: float, size_max: int) -> None:
        end = self.owner.log.committed
        offset = self.start + int((end - self.start) * part)
        found = self.owner.log.read(offset, size_max, 0)
        if found is None:
            self.owner.reads.run()
            found = self.owner.slices.pop(0)
        records = records_of(found)
        expected = self.expected(offset, end)
        assert records == expected[: len(records)]
        assert bool(records) == (offset < end)
        assert found.size <= size_max or len(found.chunks) == 1

    @rule()
    def read_what_is_accepted(self) -> None:
        """Records that are not written yet are in memory, whatever the budget."""
        committed = self.owner.log.committed
        if committed < self.end:
            found = self.owner.log.read(self.end - 1, 1, 0, offset_end=self.end)
            assert found is not None or self.owner.log.offsets().written == self.end
            if found is None:
                self.owner.reads.run()
                found = self.owner.slices.pop(0)
            assert records_of(found) == self.expected(self.end - 1, self.end)

    @rule(part=st.floats(0, 1), off=st.sampled_from((-1, 0, 1)))
    def find_time(self, part: float, off: int) -> None:
        moment = NOW + int((self.now_ms - NOW) * part) + off
        committed = self.owner.log.committed
        wanted = [
            max(first, self.start)
            for first, timestamp, values in self.batches
            if timestamp >= moment and first < committed and first + len(values) > self.start
        ]
        found = self.owner.log.find_time(moment, 0)
        if found is None:
            self.owner.reads.run()
            found = self.owner.times.pop(0)
        assert found == (wanted[0] if wanted else NOT_FOUND)

    @invariant()
    def offsets_are_in_order(self) -> None:
        if hasattr(self, "owner"):
            offsets = self.owner.log.offsets()
            assert offsets.start == self.start
            assert offsets.accepted == self.end
            assert offsets.synced <= offsets.written <= offsets.accepted
            assert self.start <= offsets.written
            assert self.owner.failures == []
            assert self.owner.errors == {}

    @invariant()
    def tickets_say_what_offsets_say(self) -> None:
        if hasattr(self, "owner"):
            owner, offsets = self.owner, self.owner.log.offsets()
            reported = [(owner.written_tickets, offsets.written), (owner.synced_tickets, offsets.synced)]
            for tickets, offset in reported:
                assert tickets == sorted(tickets)
                done = [
                    ticket for ticket, tail in zip(self.tickets, self.tails, strict=True) if tail <= offset
                ]
                assert (tickets or [0])[-1] == (done or [0])[-1]


LogMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLogAgainstAList = LogMachine.TestCase
