"""Rules that an operator writes for destinations of ActiveMQ: texts into what they say.

A composite destination is `FROM = TO, TO`: what is sent to FROM goes to each TO instead; with `+=` it stays
in FROM as well. A TO may end with a selector in brackets, which messages for it have to meet:
`/queue/orders += /queue/large [total > 100], /topic/audit`. What topics keep for subscriptions that are
retroactive is `TOPIC = last`, `TOPIC = 100` (messages) or `TOPIC = 60s`. Names may have ActiveMQ's wildcards,
but for those of TO.

Not here: what is done by them (`intercepting`). Invariant: this module knows nothing of the broker, since a
configuration is read before there is one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pillarbox.clock import duration_ms

QUEUE, TOPIC = "queue", "topic"

_PLACE = re.compile(r"(?:/(queue|topic)/|(queue|topic)://)([^\s,=\[\];]+?)(?=\s*(?:$|\+?=|[,\[]))")
_SELECTOR = re.compile(r"\[((?:[^\]']|'[^']*')*)\]")
_SPACE = re.compile(r"\s*")


class Place(NamedTuple):
    """A queue or a topic, or several."""

    kind: str
    name: str


class Way(NamedTuple):
    """Where messages go."""

    place: Place
    selector: str


class Composite(NamedTuple):
    """A composite destination."""

    source: Place
    ways: tuple[Way, ...]
    only: bool


class Kept(NamedTuple):
    """What is kept of topics: so many messages, or those of so long; None: that is no limit."""

    topic: str
    messages_max: int | None
    duration_ms: int | None


def read_composite(text: str) -> Composite:
    """What a row of composite destinations says. Raises ValueError with what is wrong."""
    found, at = _place(text, 0)
    only = text.startswith("=", at)
    if not only and not text.startswith("+=", at):
        raise ValueError("behind the first destination there has to be = or +=")
    at += 1 if only else 2
    ways = []
    while True:
        goal, at = _place(text, at)
        if _is_pattern(goal.name):
            raise ValueError(f"'{goal.name}' has wildcards, and messages go to one destination")
        selector = _SELECTOR.match(text, at)
        if selector is not None:
            at = _skip(text, selector.end())
        ways.append(Way(goal, "" if selector is None else selector[1].strip()))
        if at == len(text):
            return Composite(found, tuple(ways), only)
        if text[at] != ",":
            raise ValueError(f"'{text[at:][:20]}' is not understood")
        at += 1


def _place(text: str, at: int) -> tuple[Place, int]:
    at = _skip(text, at)
    found = _PLACE.match(text, at)
    if found is None:
        raise ValueError(f"'{text[at:][:40]}' does not begin with /queue/NAME or /topic/NAME")
    return Place(found[1] or found[2], found[3]), _skip(text, found.end())


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "nothing is a match as well"
    return found.end()


def _is_pattern(name: str) -> bool:
    words = name.split(".")
    return "*" in words or ">" in words


def read_kept(text: str) -> Kept:
    """What a row of topics that keep messages says. Raises ValueError with what is wrong."""
    place, at = _place(text, 0)
    if place.kind != TOPIC:
        raise ValueError("it has to be a topic")
    if not text.startswith("=", at):
        raise ValueError("behind the topic there has to be =")
    what = text[at + 1 :].strip()
    if what == "last":
        return Kept(place.name, 1, None)
    if what.isascii() and what.isdigit() and 0 < int(what[:10]) <= 10_000:
        return Kept(place.name, int(what), None)
    try:
        span_ms = 0 if what.isdigit() else duration_ms(what)
    except ValueError:
        span_ms = 0
    if span_ms <= 0:
        raise ValueError(f"'{what}' is none of last, a number from 1 to 10000, or a time such as 60s")
    return Kept(place.name, None, span_ms)
