"""Fields for what is counted, with rates and samples: the same of topics and of the whole cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import INTEGER, Field, Level
from pillarbox.ops.management.stats import Measure

if TYPE_CHECKING:
    from pillarbox.broker.counters import Counters
    from pillarbox.ops.management.request import Request

Read = Callable[[Any], "tuple[dict[str, int], Counters]"]
"""Gives the values of a thing, and what has the samples."""

KINDS = {
    "messages_in": stats.MESSAGES,
    "produce": stats.MESSAGES,
    "fetch": stats.MESSAGES,
    "bytes_in": stats.DATA,
    "bytes_out": stats.DATA,
}
"""Counter → which parameters of the query ask for its samples."""


def fields_of(read: Read) -> Iterator[Field]:
    """Two for each counter: its total, and `..._details`."""
    for name, kind in KINDS.items():
        yield Field(name, INTEGER, partial(_value, read, name), Level.STATS)
        yield details(name, kind, lambda item: read(item)[1])


def _value(read: Read, name: str, item: Any, request: Request) -> int:
    return read(item)[0][name]


def details(name: str, kind: str, counters: Callable[[Any], Counters]) -> Field:
    """The rate of one counter, and its samples."""
    measure = Measure(name)
    return Field(
        f"{name}_details",
        stats.DETAILS,
        lambda item, request: stats.details(measure, (counters(item),), kind, request),
        Level.STATS,
    )
