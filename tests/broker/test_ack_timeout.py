"""Deliveries that are not answered in time. Row R54."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from broker_tools import Domain, Receiver, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.ack_timeout import AckTimeout, own_timeout_ms
from pillarbox.broker.ledger import Entry, Ledger, Outcome
from pillarbox.broker.policy import Policy


class Watched:
    """A ledger under watch, with queues that have a limit of their own or none."""

    def __init__(self, default_ms: int = 0, **own: object) -> None:
        self.domain = Domain()
        self.session = self.domain.session()
        self.ledger = Ledger()
        self.overdue: list[tuple[str, int, int]] = []
        self.timeout = AckTimeout(self.domain.core.scheduler, self.ledger, default_ms, self._on_overdue)
        for name, limit in own.items():
            arguments = {} if limit is None else {"x-consumer-timeout": limit}
            self.session.declare_queue(name, arguments=arguments)

    def _on_overdue(self, entry: Entry, limit_ms: int) -> None:
        self.overdue.append((entry.lane.queue.name, entry.tag_first, limit_ms))

    def deliver(self, name: str) -> None:
        queue = self.domain.queue(name)
        self.domain.publish([queue], [message("x")], persistent=False)
        assert self.session.get(name, self.ledger, no_ack=False) is not None
        self.timeout.watch(queue, self.domain.now_ms)

    def advance(self, duration_ms: int) -> None:
        """Let the time pass as the loop does: from timer to timer."""
        end_ms = self.domain.now_ms + duration_ms
        while (due_ms := self.domain.core.scheduler.next_ms) is not None and due_ms <= end_ms:
            self.domain.advance(due_ms - self.domain.now_ms)
            self.domain.tick()
        self.domain.advance(end_ms - self.domain.now_ms)


@pytest.mark.row("R54")
@given(
    limit_ms=st.integers(4, 500_000),
    ages=st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 400_000)), min_size=1, max_size=6),
)
def test_delivery_is_overdue_never_too_early_and_hardly_too_late(
    limit_ms: int, ages: list[tuple[int, int]]
) -> None:
    """Deliveries at any times, answered after any times (or not): the first that stayed too long is told."""
    watched = Watched(limit_ms, q=None)
    start_ms = watched.domain.now_ms
    events: list[tuple[int, int, int]] = []
    at_ms = 0
    for tag, (pause_ms, age_ms) in enumerate(ages, 1):
        at_ms += pause_ms
        events += [(at_ms, 0, tag), (at_ms + age_ms, 1, tag)]
    out: dict[int, int] = {}
    for when_ms, answered, tag in sorted(events):
        watched.advance(start_ms + when_ms - watched.domain.now_ms)
        if watched.overdue:
            break
        assert all(watched.domain.now_ms - since < limit_ms * 1.5 + 60_001 for since in out.values())
        if answered:
            watched.ledger.settle(tag, False, Outcome.ACCEPTED)
            del out[tag]
        else:
            watched.deliver("q")
            out[tag] = watched.domain.now_ms
    if watched.overdue:
        [(_, tag, told_ms)] = watched.overdue
        assert told_ms == limit_ms
        assert watched.domain.now_ms - out[tag] >= limit_ms


@pytest.mark.row("R54")
def test_queue_without_limit_is_not_watched() -> None:
    watched = Watched(q=None, never=0)
    watched.deliver("q")
    watched.deliver("never")
    assert watched.domain.core.scheduler.next_ms is None


@pytest.mark.row("R54")
@pytest.mark.parametrize(("limit", "told_ms"), [(600_000, 600_000), (4000, 4000), (0, None), (None, 60_000)])
def test_limit_of_a_queue_counts_instead_of_that_of_the_broker(
    limit: int | None, told_ms: int | None
) -> None:
    """Longer, shorter or none; without one that of the broker."""
    watched = Watched(60_000, q=limit)
    watched.deliver("q")
    watched.advance((told_ms or 1_000_000) - 1)
    assert watched.overdue == []
    watched.advance(150_000)
    assert watched.overdue == ([] if told_ms is None else [("q", 1, told_ms)])


@pytest.mark.row("R54")
def test_only_the_oldest_delivery_is_looked_at() -> None:
    """As RabbitMQ: one that may stay for ever hides those behind it, until it is answered."""
    watched = Watched(q=4000, never=0)
    watched.deliver("never")
    watched.deliver("q")
    watched.advance(100_000)
    assert watched.overdue == []
    watched.ledger.settle(1, False, Outcome.ACCEPTED)
    watched.advance(1000)
    assert watched.overdue == [("q", 2, 4000)]


@pytest.mark.row("R54")
def test_look_costs_the_same_however_many_deliveries_are_out(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(4000, q=None)
    for _ in range(50):
        watched.deliver("q")
    seen: list[Entry] = []

    def entries(ledger: Ledger) -> Iterator[Entry]:
        for entry in ledger._entries:
            seen.append(entry)
            yield entry

    monkeypatch.setattr(Ledger, "entries", entries)
    watched.advance(2000)
    assert len(seen) == 2, "one for each look"


@pytest.mark.row("R54", "R95")
def test_limit_that_comes_later_counts_for_consumers_that_are_there() -> None:
    """As a policy sets it, and takes it away again."""
    domain = Domain()
    session, receiver, ledger = domain.session(), Receiver(), Ledger()
    queue = session.declare_queue("q")
    domain.consume(session, "q", receiver, ledger=ledger, tag="c")
    domain.vhost.put_policy(Policy("/", "p", "q", {"max-length": 5}))
    assert receiver.timed == []
    domain.vhost.put_policy(Policy("/", "p", "q", {"consumer-timeout": 4000}))
    assert receiver.timed == ["q"]
    assert queue.ack_timeout_ms == 4000
    domain.vhost.remove_policy("p")
    assert queue.ack_timeout_ms is None


@pytest.mark.row("R54")
def test_delivery_of_a_quiet_queue_is_overdue_at_the_first_look() -> None:
    """Also when time moves in one leap, as a test's clock does."""
    watched = Watched(1_800_000, q=None)
    watched.deliver("q")
    watched.domain.advance(1_800_000)
    watched.domain.tick()
    assert watched.overdue == [("q", 1, 1_800_000)]


@pytest.mark.row("R54")
def test_answered_deliveries_are_never_overdue() -> None:
    watched = Watched(4000, q=None)
    for tag in range(1, 30):
        watched.deliver("q")
        watched.advance(3000)
        watched.ledger.settle(tag, False, Outcome.ACCEPTED)
    watched.advance(100_000)
    assert watched.overdue == []


@pytest.mark.row("R54")
@pytest.mark.parametrize("value", ["1000", True, 1.5, -1, None])
def test_limit_that_is_no_number_is_not_looked_at(value: object) -> None:
    """As RabbitMQ 3.13, which does not check this argument."""
    assert own_timeout_ms({"x-consumer-timeout": value}) is None
