"""What destinations bear, by pattern: how much, what happens beyond, what becomes of slow receivers (A40).

A `Policy` is all that counts for one destination. It is what an operator says for all of them, with what the
rows for patterns say that match, the most exact of them first: a name before `*`, and that before `>`. Each
setting is looked for by itself, as with Artemis' address settings.

Not here: how a row is written (`rules`), what is done by it (`flow`, `declaring`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.eviction import DROP_LOWEST_PRIORITY, DROP_SUPERSEDED
from pillarbox.broker.jms_destinations import matcher
from pillarbox.protocols.stomp.rules import (
    BLOCK,
    IGNORE,
    LOWEST_PRIORITY,
    OLDEST,
    PAGE,
    SUPERSEDED,
)

if TYPE_CHECKING:
    from pillarbox.protocols.stomp.rules import Bearing

KNOWN_MAX: Final = 4096
"""Destinations whose policies are kept."""


class Policy(NamedTuple):
    """What counts for a destination."""

    limit_bytes: int = 0
    """What it may hold before it is full; 0: as much as there is room for."""
    full: str = BLOCK
    """What becomes of messages for it then."""
    pending_max: int = -1
    """Messages that may wait for a subscription to a topic that is not durable; -1: any number."""
    evict: str = OLDEST
    """Which of them go beyond that."""
    evict_by: str = ""
    slow: str = IGNORE
    """What becomes of a receiver that is slow."""
    slow_after_ms: int = 30_000

    @property
    def is_limited(self) -> bool:
        """Is there anything to look at before a message is taken?"""
        return self.limit_bytes > 0 and self.full != PAGE

    def arguments(self, said: int) -> dict[str, Any]:
        """Arguments of the queue of a subscription whose client says such a limit, which may lower it."""
        limit = self.pending_max
        if said > 0 and (limit < 0 or said < limit):
            limit = said
        if limit < 0:
            return {}
        chosen = {"x-overflow": _OVERFLOW[self.evict], "x-overflow-property": self.evict_by}
        return {"x-max-length": limit} | {name: text for name, text in chosen.items() if text}


_OVERFLOW: Final = {OLDEST: "", LOWEST_PRIORITY: DROP_LOWEST_PRIORITY, SUPERSEDED: DROP_SUPERSEDED}


class Policies:
    """The policies of all destinations; `base` counts where no row says anything."""

    def __init__(self, base: Policy, rows: Iterable[Bearing] = ()) -> None:
        self.base = base
        inexact_first = sorted(rows, key=lambda row: _inexactness(row.place.name), reverse=True)
        self._rows = [(row.place.kind, matcher(row.place.name), row.says) for row in inexact_first]
        self._known: dict[tuple[str, str], Policy] = {}

    def __repr__(self) -> str:
        return f"<Policies rows={len(self._rows)} {self.base}>"

    def of(self, kind: str, name: str) -> Policy:
        """What counts for a queue or topic (see `rules`); others bear what all do."""
        if not self._rows:
            return self.base
        found = self._known.get((kind, name))
        if found is None:
            says: dict[str, Any] = {}
            for own, matches, more in self._rows:
                if own == kind and matches(name):
                    says |= more
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            found = self._known[kind, name] = self.base._replace(**says)
        return found

    @property
    def limit(self) -> bool:
        """May any destination be full?"""
        return self.base.is_limited or any(says.get("limit_bytes") for _, _, says in self._rows)

    @property
    def watch(self) -> bool:
        """May it matter that a receiver is slow?"""
        return self.base.slow != IGNORE or any(says.get("slow", IGNORE) != IGNORE for *_, says in self._rows)


def _inexactness(name: str) -> tuple[int, ...]:
    """Smaller for a pattern that says more."""
    return tuple({"*": 1, ">": 2}.get(word, 0) for word in name.split("."))
