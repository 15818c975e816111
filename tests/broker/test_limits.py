"""Limits of queues and dead letters (R46, R47, R48) against an obvious model: two lists, message by message.

The model takes each message on its own and knows nothing of runs, batches, places on disk or turns. Whatever
is dropped or rejected must then be in the dead-letter queue, in that order and with its reason; and after a
crash at any group of the journal every message is in exactly one of the two queues, or was settled for good.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

import pytest
from broker_tools import Domain, demand_counts, message, resident_bytes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome
from pillarbox.broker.limits import Limits, limits_of
from pillarbox.broker.queue import Queue
from pillarbox.engine.base import Message
from pillarbox.protocols.amqp091 import wire

LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
OVERFLOWS = (None, "drop-head", "reject-publish", "reject-publish-dlx")
SIZES = st.sampled_from([8, 8, 8, 12, 30])


def number_of(one: Message) -> int:
    return int(one.body.rstrip(b"."))


def deaths_of(one: Message) -> list[tuple[str, str, int]]:
    """(queue, reason, count), the latest first."""
    headers = wire.decode_properties(one.properties).headers or {}
    return [(death["queue"], death["reason"], death["count"]) for death in headers.get("x-death", [])]


def waiting(queue: Queue) -> list[Message]:
    """What is ready, loaded if need be; the queue keeps it."""
    return [one for run in queue.ready_runs() for one in run.messages or []]


@dataclass(frozen=True, order=True)
class Kept:
    number: int
    size: int
    stored: bool


class LimitMachine(RuleBasedStateMachine):
    """A queue with limits whose dead letters go to a second one; nobody consumes, some get and settle."""

    @initialize(
        length=st.none() | st.integers(0, 5),
        body_bytes=st.none() | st.integers(0, 60),
        overflow=st.sampled_from(OVERFLOWS),
        budget=st.sampled_from([0, 400, 1 << 30]),
        forwards=st.booleans(),
    )
    def begin(
        self, length: int | None, body_bytes: int | None, overflow: str | None, budget: int, forwards: bool
    ) -> None:
        arguments = {"x-max-length": length, "x-max-length-bytes": body_bytes, "x-overflow": overflow}
        arguments = {key: value for key, value in arguments.items() if value is not None}
        self.limits = limits_of(arguments) or Limits()
        self.forwards = forwards
        self.domain = Domain(memory_budget=budget)
        declare = self.domain.vhost.declare_queue
        declare(None, "q", durable=True, arguments={**arguments, **(LETTERS if forwards else {})})
        declare(None, "dead", durable=True)
        self.domain.run()
        self.ready: list[Kept] = []
        self.out: dict[int, Kept] = {}
        """By delivery tag."""
        self.dead: list[tuple[Kept, str]] = []
        self.ledger = Ledger()
        self.count = 0
        self.confirmed: set[int] = set()
        self.gone: dict[int, int] = {}
        """Number → groups that were appended when it was settled for good."""

    # --- the model ---------------------------------------------------------------------------------------

    def _fits(self, more: list[Kept]) -> bool:
        everything = [*self.ready, *more]
        return (
            len(everything) <= self.limits.length
            and sum(one.size for one in everything) <= self.limits.body_bytes
        )

    def _die(self, one: Kept, reason: str) -> None:
        if self.forwards:
            self.dead.append((one, reason))
        else:
            self.gone.setdefault(one.number, len(self.domain.journal.groups))

    def _trim(self) -> None:
        while not self.limits.rejects and not self._fits([]):
            self._die(self.ready.pop(0), "maxlen")

    # --- rules -------------------------------------------------------------------------------------------

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=6), persistent=st.booleans())
    def publish(self, sizes: list[int], persistent: bool) -> None:
        """One batch, of which the queue refuses exactly what the model refuses."""
        messages = []
        refused = []
        for position, size in enumerate(sizes):
            self.count += 1
            one = Kept(self.count, size, persistent)
            body = str(one.number).encode().ljust(size, b".")
            messages.append(message(body, persistent=persistent, now_ms=self.domain.now_ms))
            if self.limits.rejects and not self._fits([one]):
                refused.append(position)
                if self.limits.dead_letters_refused:
                    self._die(one, "maxlen")
                else:
                    self.gone.setdefault(one.number, -1)
                continue
            self.ready.append(one)
            self._trim()
        self.domain.publish([self.domain.queue("q")], messages, persistent=persistent)
        assert list(self.domain.refused) == refused

    @rule(count=st.integers(1, 5))
    def get(self, count: int) -> None:
        """From the head; afterwards there is room."""
        self.settle_down()
        run = self.domain.queue("q").take(count)
        if run is None:
            assert not self.ready or next(self.domain.queue("q").ready_runs()).messages is None
            return
        taken, self.ready = self.ready[: len(run)], self.ready[len(run) :]
        assert [number_of(one) for one in run.messages or []] == [one.number for one in taken]
        tag = self.ledger.add(None, run)
        run.lane.delivered(run)
        self.out.update(enumerate(taken, tag))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)), multiple=st.booleans())
    def settle(self, data: st.DataObject, outcome: Outcome, multiple: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.out)))
        self.ledger.settle(tag, multiple, outcome)
        tags = [each for each in sorted(self.out) if each <= tag] if multiple else [tag]
        for one in [self.out.pop(each) for each in tags]:
            if outcome in GIVEN_BACK:
                insort(self.ready, one)
            elif outcome is Outcome.REJECTED:
                self._die(one, "rejected")
            else:
                self.gone[one.number] = len(self.domain.journal.groups)
        self._trim()

    @rule()
    def purge(self) -> None:
        self.settle_down()
        assert self.domain.queue("q").purge() == len(self.ready)
        for one in self.ready:
            self.gone[one.number] = len(self.domain.journal.groups)
        self.ready = []

    @rule()
    def tick(self) -> None:
        self.domain.tick()

    @rule()
    def checkpoint(self) -> None:
        self.domain.tick()
        self.domain.journal.finish_checkpoint(CoreSnapshot(self.domain.core))

    @rule()
    def settle_down(self) -> None:
        """When nothing is on its way any more, both queues are as in the model."""
        self.domain.run()
        queue, dead = self.domain.queue("q"), self.domain.queue("dead")
        assert queue.ready_count == len(self.ready)
        assert dead.ready_count == len(self.dead)
        demand_counts(queue)
        demand_counts(dead)
        assert not queue.lanes[0].dying
        letters = waiting(dead)
        if len(letters) == dead.ready_count:
            assert [number_of(one) for one in letters] == [one.number for one, _ in self.dead]
            assert [deaths_of(one) for one in letters] == [[("q", why, 1)] for _, why in self.dead]
        assert self.domain.core.changes.resident_bytes == resident_bytes([queue, dead])

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """At any group: no message is in both queues, and none is missing that was kept."""
        self.domain.tick()
        journal = self.domain.journal
        count = data.draw(st.integers(journal.synced_count, len(journal.groups)))
        synced = set(self.confirmed)
        self.domain.restart(count)
        found: dict[str, list[int]] = {}
        for name in ("q", "dead"):
            queue = self.domain.queue(name)
            found[name] = []
            while queue.ready_count:
                run = queue.take(100)
                if run is None:
                    self.domain.tick()
                    self.domain.journal.answer_load()
                    continue
                found[name] += [number_of(one) for one in run.messages or []]
                run.lane.settle_unanswered(run)
        there = [*found["q"], *found["dead"]]
        assert len(there) == len(set(there)), "a message is in both queues"
        assert found["q"] == sorted(found["q"])
        kept = [*self.ready, *self.out.values(), *(one for one, _ in self.dead)]
        must = {one.number for one in kept if one.stored and one.number in synced}
        missing = must - set(there)
        if self.limits.rejects or self.forwards or self._fits(list(self.out.values())):
            assert not missing, "a message was lost"
        # Else what was out stands in the queue again, which is too long then.
        assert all(number < min(found["q"], default=number + 1) for number in missing), "not the oldest"
        alive = {number for number, groups in self.gone.items() if groups >= journal.synced_count}
        assert set(there) <= {one.number for one in kept if one.stored} | alive, "a message came back"
        self.domain.run()
        self.ready, self.out, self.dead = [], {}, []
        self.ledger = Ledger()
        self.gone.clear()
        self.confirmed.clear()

    @invariant()
    def what_is_durable_is_known(self) -> None:
        if not hasattr(self, "domain"):
            return
        changes = self.domain.core.changes
        if changes.messages or changes.settled or changes.dying:
            return
        if self.domain.journal.synced_count == len(self.domain.journal.groups):
            kept = [*self.ready, *self.out.values(), *(one for one, _ in self.dead)]
            self.confirmed = {one.number for one in kept if one.stored}


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLimitMachine.pytestmark = [pytest.mark.row("R46", "R47", "R48")]
