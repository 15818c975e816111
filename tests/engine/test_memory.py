"""The engine that keeps nothing."""

from __future__ import annotations

import pytest

from pillarbox.engine.memory import MemoryEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.testing.journal import ModelDomain


def test_groups_are_synced_on_the_next_turn_and_together() -> None:
    scheduler = InlineScheduler()
    engine = MemoryEngine(scheduler)
    recovery = engine.open()
    assert (recovery.definitions, recovery.queues) == ({}, {})
    events: list[tuple[str, int]] = []
    domain = ModelDomain(engine, events.append)
    engine.attach(domain)
    domain.make_queue(1)
    for _ in range(3):
        domain.publish([1], 1)
        domain.commit()
    assert domain.confirmed == 0
    scheduler.run_until_idle()
    assert events == [("appended", 1), ("appended", 2), ("appended", 3), ("confirmed", 3)]
    assert not engine.checkpoint_due
    assert engine.unsynced_bytes == 0


def test_locations_stay_unfilled_and_cannot_be_loaded() -> None:
    engine = MemoryEngine(InlineScheduler())
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    domain.publish([1], 1)
    domain.commit()
    assert domain.queues[1].locations[0].segment == -1
    with pytest.raises(AssertionError):
        domain.load(1)


def test_close_answers_what_is_owed() -> None:
    engine = MemoryEngine(InlineScheduler())
    domain = ModelDomain(engine)
    engine.attach(domain)
    domain.make_queue(1)
    domain.commit()
    engine.close()
    assert domain.confirmed == 1
