"""What every table has: subjects with columns, sorting, filtering, and lines of what has been. Pure.

A `Subject` says what is watched: which documents of the management API, what is read of each, how it is
shown. Rates are those that the broker has measured over its last interval, so they are the same for whoever
asks, whenever this program asked before. What says nothing of a rate has none: 0.

Not here: the subjects (`queues`, `kafka`). Invariant: rows that a filter hides count in the totals all the
same, because these are the broker's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

HISTORY = 24
"""Samples of a sparkline."""
BLOCKS = "▁▂▃▄▅▆▇█"

Document = Mapping[str, Any]


class Column(NamedTuple):
    """How a field of a row is shown. `numeric` ones stand to the right, and sort from the largest."""

    field: str
    title: str
    numeric: bool = False
    show: Callable[[Any], str] = str


class Row(Protocol):
    """One thing that is watched: a named tuple with a field for each column."""

    @property
    def name(self) -> str: ...
    def _asdict(self) -> dict[str, Any]: ...


class Totals(Protocol):
    """What stands above the rows: of everything, whatever is filtered."""

    def parts(self) -> list[str]:
        """In words; the first says who was asked."""

    def _asdict(self) -> dict[str, Any]: ...


class Subject(NamedTuple):
    """What is watched."""

    name: str
    """In the plural."""
    overview: str
    """The path of the document with totals."""
    path: str
    path_in_vhost: str
    """Where they are listed; empty: they are in no virtual host that could be chosen."""
    fields: str
    """The `columns` to ask for: all that `row_of` reads."""
    columns: tuple[Column, ...]
    row_of: Callable[[Document], Any]
    totals_of: Callable[[Document, Sequence[Any]], Totals]
    history: str
    """The field whose course is drawn."""
    history_title: str

    def column(self, field: str) -> Column:
        return next(column for column in self.columns if column.field == field)

    def key(self, row: Row) -> tuple[str, ...]:
        """What tells a row from others."""
        return getattr(row, "vhost", ""), row.name


def count(value: int) -> str:
    return f"{value:,}"


def rate(value: float) -> str:
    """A rate in three digits or so; nothing for nothing."""
    if not value:
        return "0"
    if value >= 100_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def arranged(
    subject: Subject, rows: Iterable[Any], *, sort: str, reverse: bool = False, contains: str = ""
) -> list[Any]:
    """Those with this in their name, by a field: numbers from the largest, texts from A; or reversed."""
    found = [row for row in rows if contains.lower() in row.name.lower()]
    found.sort(key=subject.key)
    found.sort(key=lambda row: _order(getattr(row, sort)), reverse=subject.column(sort).numeric != reverse)
    return found


def _order(value: Any) -> tuple[bool, Any]:
    """What nobody knows is less than nothing."""
    return value is not None, value


class History:
    """The last values of each row, for sparklines. Bound: `HISTORY` numbers for each that exists."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._seen: dict[tuple[str, ...], deque[int]] = {}

    def add(self, rows: Iterable[Any]) -> None:
        """Note what there is now, and forget what is gone."""
        seen = {}
        for row in rows:
            key = self._subject.key(row)
            seen[key] = self._seen.get(key) or deque(maxlen=HISTORY)
            seen[key].append(getattr(row, self._subject.history) or 0)
        self._seen = seen

    def sparkline(self, row: Any) -> str:
        """How it went, the newest last."""
        return sparkline(self._seen.get(self._subject.key(row), ()))


def sparkline(values: Iterable[int]) -> str:
    """Numbers as a line of blocks; the highest block is the largest of them."""
    found = list(values)
    most = max(found, default=0)
    if most <= 0:
        return BLOCKS[0] * len(found)
    return "".join(BLOCKS[max(0, value) * (len(BLOCKS) - 1) // most] for value in found)


# --- reading documents, whoever has written them ------------------------------------------------------------


def number_of(value: Any) -> int:
    return value if isinstance(value, int) else 0


def rate_of(document: Any, name: str) -> float:
    """The rate in `NAME_details` of an object."""
    details = document.get(f"{name}_details") if isinstance(document, Mapping) else None
    found = details.get("rate") if isinstance(details, Mapping) else None
    return float(found) if isinstance(found, int | float) else 0.0
