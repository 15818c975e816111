"""Work in parts: purging and deleting queues with very many messages. Rows R56, R57."""

from __future__ import annotations

import pytest
from broker_tools import Domain, message

from pillarbox.broker import lane
from pillarbox.broker.chores import Chores, Parts
from pillarbox.broker.ledger import Ledger


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Domain:
    monkeypatch.setattr(lane, "RUNS_AT_ONCE", 10)
    return Domain()


def parts(count: int, log: list[int]) -> Parts:
    for number in range(count):
        log.append(number)
        yield


def test_chore_begins_at_once_and_goes_on_with_each_step() -> None:
    log: list[int] = []
    chores = Chores()
    chores.begin(parts(3, log))
    assert log == [0]
    done: list[str] = []
    chores.when_done(lambda: done.append("done"))
    while chores.under_way:
        assert not done
        chores.step()
    assert (log, done) == ([0, 1, 2], ["done"])


def test_chores_that_are_added_wait_for_those_before() -> None:
    first: list[int] = []
    second: list[int] = []
    chores = Chores()
    chores.begin(parts(2, first))
    chores.add(parts(2, second))
    assert not second
    while chores.under_way:
        assert not second or first == [0, 1]
        chores.step()
    assert second == [0, 1]


@pytest.mark.row("R57")
def test_queue_that_is_purged_in_parts_is_empty_at_once_and_settles_everything(domain: Domain) -> None:
    queue = domain.session().declare_queue("q", durable=True)
    for number in range(95):
        domain.publish([queue], [message(number)], persistent=True)
    domain.run()
    assert queue.purge() == 95
    assert queue.ready_count == 0
    domain.publish([queue], [message("new")], persistent=True)
    ticks = 0
    while domain.core.chores.under_way:
        domain.tick()
        ticks += 1
    assert ticks == 9
    domain.run()
    run = queue.take(10)
    assert run is not None
    assert [one.body for one in run.messages or ()] == [b"new"]
    settled = [each for group in domain.journal.groups for fact in group.settled for each in fact.sequences]
    assert sorted(number for each in settled for number in each) == list(range(95))


@pytest.mark.row("R56")
def test_queue_that_is_deleted_in_parts_gives_all_its_memory_back(domain: Domain) -> None:
    session = domain.session()
    queue, ledger = session.declare_queue("q"), Ledger()
    for number in range(95):
        domain.publish([queue], [message(number)], persistent=False)
    for _ in range(45):
        session.get("q", ledger, no_ack=False)
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert domain.core.changes.resident_bytes > 0
    while domain.core.chores.under_way:
        domain.tick()
    assert domain.core.changes.resident_bytes == 0
