"""The journal against dicts: any sequence of facts, checkpoints, kills, power cuts and clean restarts."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.engine.base import ReturnedFact
from pillarbox.engine.local import LocalEngine
from pillarbox.testing.faults import Medium, SimulatedFiles
from pillarbox.testing.journal import ModelDomain, ShuffledScheduler


class JournalMachine(RuleBasedStateMachine):
    """Whatever happens, a restart finds the state after some group that was not yet lost."""

    @initialize(seed=st.integers(0, 2**32), adopt=st.booleans(), allocate=st.sampled_from((0, 3000)))
    def start(self, seed: int, adopt: bool, allocate: int) -> None:
        self.chance = random.Random(seed)
        self.adopt = adopt
        self.allocate = allocate
        self.files = SimulatedFiles()
        self.uid = 0
        self.open()
        self.make_queue()

    def open(self) -> None:
        """A new engine on the same files; the model goes on from what it recovered."""
        self.scheduler = ShuffledScheduler(self.chance)
        self.engine = LocalEngine(
            "/data", self.files, self.scheduler, segment_bytes=2000, allocate_bytes=self.allocate
        )
        recovery = self.engine.open()
        self.domain = ModelDomain(self.engine)
        self.domain.adopt_merged = self.adopt
        self.engine.attach(self.domain)
        self.domain.restore(recovery)
        for uid in self.domain.queues:
            ticket = self.domain.load(uid)
            self.scheduler.run_until(lambda ticket=ticket: ticket in self.domain.answers)
            self.domain.adopt(uid, ticket)

    def uid_of(self, number: int) -> int:
        uids = list(self.domain.queues)
        return uids[number % len(uids)]

    # --- the domain --------------------------------------------------------------------------------

    @rule()
    def make_queue(self) -> None:
        self.uid += 1
        self.domain.make_queue(self.uid)

    @precondition(lambda self: len(self.domain.queues) > 2)
    @rule(number=st.integers(0, 9))
    def delete_queue(self, number: int) -> None:
        self.domain.delete_queue(self.uid_of(number))

    @precondition(lambda self: self.domain.queues)
    @rule(
        numbers=st.lists(st.integers(0, 9), min_size=1, max_size=3),
        count=st.sampled_from((1, 1, 2, 7, 300)),
        commit=st.booleans(),
    )
    def publish(self, numbers: list[int], count: int, commit: bool) -> None:
        self.domain.publish(list(dict.fromkeys(map(self.uid_of, numbers))), count)
        if commit:
            self.domain.commit()

    @precondition(lambda self: self.domain.queues)
    @rule(number=st.integers(0, 9), share=st.floats(0, 1), step=st.sampled_from((1, 1, 2)))
    def deliver_and_settle(self, number: int, share: float, step: int) -> None:
        uid = self.uid_of(number)
        waiting = sorted(self.domain.queues[uid].bodies)[: 1 + int(share * 400)]
        if waiting:
            self.domain.deliver(uid, waiting[-1])
            for sequence in waiting[::step]:
                self.domain.settle(uid, range(sequence, sequence + 1))

    @precondition(lambda self: self.domain.queues)
    @rule(
        number=st.integers(0, 9),
        span=st.builds(slice, st.integers(0, 9), st.integers(10, 400), st.integers(1, 3)),
        numbers=st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 9)),
    )
    def come_back(self, number: int, span: slice, numbers: tuple[int, int, int]) -> None:
        """Facts about messages that are gone mean nothing."""
        uid = self.uid_of(number)
        if sequences := range(self.domain.queues[uid].sequence_next)[span]:
            self.domain.come_back(ReturnedFact(uid, sequences, *numbers))

    @precondition(lambda self: len(self.domain.queues) > 1)
    @rule(number=st.integers(0, 9))
    def move(self, number: int) -> None:
        self.domain.move(self.uid_of(number), self.uid_of(number + 1))

    @precondition(lambda self: self.domain.queues)
    @rule(number=st.integers(0, 9))
    def skip(self, number: int) -> None:
        self.domain.skip(self.uid_of(number), 2)

    @rule(key=st.sampled_from("ab"), value=st.none() | st.binary(max_size=3))
    def define(self, key: str, value: bytes | None) -> None:
        self.domain.define("exchange", key, value)

    @rule()
    def commit(self) -> None:
        self.domain.commit()

    # --- the engine --------------------------------------------------------------------------------

    @rule(steps=st.integers(1, 30))
    def let_the_disk_work(self, steps: int) -> None:
        for _ in range(steps):
            self.scheduler.step()

    @rule()
    def checkpoint(self) -> None:
        self.engine.checkpoint(self.domain.snapshot)

    @precondition(lambda self: self.domain.queues)
    @rule(number=st.integers(0, 9))
    def load(self, number: int) -> None:
        uid = self.uid_of(number)
        known = dict(self.domain.queues[uid].bodies)
        ticket = self.domain.load(uid)
        self.scheduler.run_until_idle()
        found = {s: body for record in self.domain.answers.pop(ticket) for s, body in record.items()}
        assert found == known

    # --- restarts ----------------------------------------------------------------------------------

    @rule()
    def stop_cleanly(self) -> None:
        self.domain.commit()
        before = self.domain.state()
        self.engine.close(self.domain.snapshot)
        self.open()
        self.check({self.domain_key(before)})

    @rule()
    def kill(self) -> None:
        """What was written is in the page cache."""
        states = self.domain.history[self.domain.confirmed :]
        self.files.release_locks()
        self.open()
        self.check({self.domain_key(state) for state in states})

    @rule()
    def cut_the_power(self) -> None:
        states = self.domain.history[self.domain.confirmed :]
        medium = Medium(self.files.start)
        for operation in self.files.log:
            medium.apply(operation)
        image = self.chance.choice(list(medium.images(self.chance, 3)))
        self.files = SimulatedFiles(image)
        self.open()
        self.check({self.domain_key(state) for state in states})

    def check(self, allowed: set[object]) -> None:
        assert self.domain_key(self.domain.state()) in allowed

    @staticmethod
    def domain_key(state) -> object:  # type: ignore[no-untyped-def]
        """All but the next sequences, which transient messages raise without a trace."""
        return (
            tuple(state.definitions.items()),
            tuple(
                sorted(
                    (
                        uid,
                        view.delivered_through,
                        tuple(sorted(view.bodies.items())),
                        tuple(sorted(view.returned.items())),
                    )
                    for uid, view in state.queues.items()
                )
            ),
        )

    @invariant()
    def nothing_failed(self) -> None:
        assert not self.domain.failures

    def teardown(self) -> None:
        if hasattr(self, "domain"):
            self.scheduler.run_until_idle()
            assert self.domain.confirmed == self.domain.ticket


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
