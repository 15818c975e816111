"""Transcripts written by hand: one function each, marked with the rows that it shows.

The function's name is the recording's, its docstring the rule. It returns the operations; what RabbitMQ
answers is not written here but recorded. `ALL` holds them all, by name.
"""

from __future__ import annotations

from tests.compare.written import (
    confirms,
    consumers,
    copies,
    deadletters,
    delivery,
    errors,
    exchange_types,
    exchanges,
    limits,
    policies,
    priorities,
    protocol,
    queue_types,
    queues,
    quorum,
    security,
    single_active,
    streams,
    topic_permissions,
    transactions,
)
from tests.compare.written.registry import ALL, Transcript

__all__ = ["ALL", "Transcript"]

MODULES = (
    confirms,
    consumers,
    copies,
    deadletters,
    delivery,
    errors,
    exchange_types,
    exchanges,
    limits,
    policies,
    priorities,
    protocol,
    queues,
    queue_types,
    quorum,
    security,
    single_active,
    streams,
    topic_permissions,
    transactions,
)
