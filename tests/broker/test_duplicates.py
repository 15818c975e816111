"""Duplicate detection (A41): how much is known, for how long, and what a restart leaves of it."""

from __future__ import annotations

import pytest
from broker_tools import Domain, message

from pillarbox.broker import duplicates as module
from pillarbox.broker.duplicates import Duplicates

HERE = ("/", "", "q")


def add(duplicates: Duplicates, first: int, stop: int, *, durable: bool = True, name: str = "q") -> None:
    for number in range(first, stop):
        duplicates.add(("/", "", name), str(number), size=10, durable=durable)


def known(duplicates: Duplicates, count: int, name: str = "q") -> list[int]:
    return [number for number in range(count) if duplicates.knows(("/", "", name), str(number))]


@pytest.mark.row("A41")
def test_ids_of_an_address_are_bounded_and_the_oldest_give_way() -> None:
    domain = Domain()
    add(domain.core.duplicates, 0, 25)
    add(domain.core.duplicates, 0, 3, name="other")
    assert known(domain.core.duplicates, 30) == list(range(15, 25))
    assert known(domain.core.duplicates, 30, "other") == [0, 1, 2]
    assert domain.core.duplicates.count == 13


@pytest.mark.row("A41")
def test_restart_knows_those_of_persistent_messages_in_their_order() -> None:
    domain = Domain()
    add(domain.core.duplicates, 0, 12)
    add(domain.core.duplicates, 12, 14, durable=False)
    domain.run()
    domain.restart()
    assert known(domain.core.duplicates, 30) == list(range(4, 12))
    add(domain.core.duplicates, 20, 24)
    domain.run()
    domain.restart()
    assert known(domain.core.duplicates, 30) == [*range(6, 12), *range(20, 24)]
    assert len(list(domain.core.kept(module.PREFIX))) == 10


@pytest.mark.row("A41")
def test_address_that_was_used_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDS_MAX", 25)
    monkeypatch.setattr(module, "FORGET_IDS", 3)
    domain = Domain()
    for name in "ab":
        add(domain.core.duplicates, 0, 10, name=name)
    add(domain.core.duplicates, 10, 11, name="a")
    add(domain.core.duplicates, 0, 10, name="c")
    assert [len(known(domain.core.duplicates, 20, name)) for name in "abc"] == [10, 0, 10]
    # What of it is kept goes in parts, and it may be used again meanwhile.
    add(domain.core.duplicates, 0, 2, name="b")
    domain.run()
    domain.restart()
    assert [len(known(domain.core.duplicates, 20, name)) for name in "abc"] == [10, 2, 10]


@pytest.mark.row("A41")
def test_id_of_any_length_costs_the_same() -> None:
    domain = Domain()
    domain.core.duplicates.add(HERE, "x" * 100_000, size=10, durable=True)
    assert domain.core.duplicates.knows(HERE, "x" * 100_000)
    assert not domain.core.duplicates.knows(HERE, "x" * 100_001)
    assert sum(len(value) for _, value in domain.core.kept(module.PREFIX)) < 100


@pytest.mark.row("A41")
def test_crash_leaves_a_message_and_its_id_or_neither() -> None:
    """A41: they are in one group."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.run()
    for number in range(4):
        domain.publish((queue,), [message(number)], persistent=True)
        domain.core.duplicates.add(HERE, str(number), size=10, durable=True)
        domain.tick()
    for count in range(domain.journal.synced_count, len(domain.journal.groups) + 1):
        _, recovery = domain.journal.reopened(count)
        state = recovery.queues.get(queue.uid)
        there = sum(len(run.sequences) for run in state.runs) if state is not None else 0
        ids = [key for kind, key in recovery.definitions if key.startswith(module.PREFIX)]
        assert len(ids) == there
