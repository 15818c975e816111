"""What a queue without messages takes in memory: a broker may have very many of them."""

from __future__ import annotations

import gc
import tracemalloc

from broker_tools import Domain

QUEUES = 500
BYTES_MAX = 2000
"""1.7 KB with CPython 3.11, of which some is the queue's definition."""


def test_an_empty_queue_takes_little_memory() -> None:
    """DESIGN, section 11: features that a queue does not use cost it nothing."""
    domain = Domain(journaled=False)
    session = domain.session()
    session.declare_queue("first", durable=True)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(QUEUES):
            session.declare_queue(f"queue-{number}", durable=True)
        domain.tick()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / QUEUES < BYTES_MAX, taken / QUEUES
