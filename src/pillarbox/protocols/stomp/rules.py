"""Rules that an operator writes for destinations of ActiveMQ: texts into what they say.

A composite destination is `FROM = TO, TO`: what is sent to FROM goes to each TO instead; with `+=` it stays
in FROM as well. A TO may end with a selector in brackets, which messages for it have to meet:
`/queue/orders += /queue/large [total > 100], /topic/audit`. What topics keep for subscriptions that are
retroactive is `TOPIC = last`, `TOPIC = 100` (messages), `TOPIC = 64KiB` or `TOPIC = 60s`; with `always`
behind it every new subscription is. What a destination bears is `PLACE = WORD VALUE, WORD VALUE`, with the
words of `SETTINGS`. Names may have ActiveMQ's wildcards, but for those of TO.

Not here: what is done by them (`intercepting`, `policies`). Invariant: this module knows nothing of the
broker, since a configuration is read before there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pillarbox.clock import duration_ms
from pillarbox.config_values import parse_size

QUEUE, TOPIC = "queue", "topic"
ALWAYS = "always"
MESSAGES_MAX = 10_000
"""Messages that a topic may be told to keep, as `broker.recovery` has it."""

BLOCK, FAIL, DROP, PAGE = "block", "fail", "drop", "page"
"""What becomes of a message for a destination that is full: its sender waits, or is refused, or the message
is lost without a word, or it is taken all the same."""
FULL: Final = (BLOCK, FAIL, DROP, PAGE)

OLDEST, LOWEST_PRIORITY, SUPERSEDED = "oldest", "lowest-priority", "superseded"
"""Which messages a subscription loses for which too many wait."""

IGNORE, WARN, ABORT = "ignore", "warn", "abort"
"""What becomes of receivers that are slow."""
SLOW: Final = (IGNORE, WARN, ABORT)

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


class Bearing(NamedTuple):
    """What is said of destinations: some of the fields of a `policies.Policy`."""

    place: Place
    says: dict[str, Any]


class Kept(NamedTuple):
    """What is kept of topics: so many messages, or bytes, or those of so long; None: that is no limit."""

    topic: str
    messages_max: int | None = None
    duration_ms: int | None = None
    bytes_max: int | None = None
    always: bool = False
    """For all new subscriptions, and not only those that ask."""


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
    before, space, last = what.rpartition(" ")
    always = bool(space) and last == ALWAYS
    if always:
        what = before.strip()
    limits = _limits(what)
    if limits is None:
        known = f"last, a number from 1 to {MESSAGES_MAX}, a size such as 64KiB, or a time such as 60s"
        raise ValueError(f"'{what}' is none of {known}")
    return Kept(place.name, *limits, always)


def _limits(text: str) -> tuple[int | None, int | None, int | None] | None:
    """Messages, milliseconds, and bytes; None: it says none of them."""
    if text == "last":
        return 1, None, None
    if text.isascii() and text.isdigit():
        return (int(text), None, None) if 0 < int(text[:10]) <= MESSAGES_MAX else None
    # A size ends with its B: `1m` is a minute.
    is_size = text.lower().endswith("b")
    try:
        found = parse_size(text) if is_size else duration_ms(text)
    except ValueError:
        return None
    if found <= 0:
        return None
    return (None, None, found) if is_size else (None, found, None)


# --- what destinations bear --------------------------------------------------------------------------------


def _one_of(field: str, words: tuple[str, ...]) -> Callable[[str], dict[str, Any]]:
    def read(value: str) -> dict[str, Any]:
        if value not in words:
            raise ValueError(f"'{value}' is none of {', '.join(words)}")
        return {field: value}

    return read


def _limit(value: str) -> dict[str, Any]:
    try:
        return {"limit_bytes": parse_size(value)}
    except ValueError:
        raise ValueError(f"'{value}' is no size such as 64MiB") from None


def _pending(value: str) -> dict[str, Any]:
    if value == "any":
        return {"pending_max": -1}
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise ValueError(f"'{value}' is no number of messages, nor 'any'")
    return {"pending_max": int(value)}


def _evict(value: str) -> dict[str, Any]:
    word, _, name = value.partition(" ")
    name = name.strip()
    if word == SUPERSEDED and not name:
        raise ValueError(f"behind '{SUPERSEDED}' there has to be the name of a header")
    if word not in (OLDEST, LOWEST_PRIORITY, SUPERSEDED) or (name and word != SUPERSEDED):
        raise ValueError(f"'{value}' is none of {OLDEST}, {LOWEST_PRIORITY}, {SUPERSEDED} HEADER")
    return {"evict": word, "evict_by": name}


def _slow_after(value: str) -> dict[str, Any]:
    try:
        span_ms = duration_ms(value)
    except ValueError:
        span_ms = 0
    if span_ms < 1000:
        raise ValueError(f"'{value}' is no time of at least 1s")
    return {"slow_after_ms": span_ms}


SETTINGS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "limit": _limit,
    "full": _one_of("full", FULL),
    "pending": _pending,
    "evict": _evict,
    "slow": _one_of("slow", SLOW),
    "slow-after": _slow_after,
}
OF_TOPICS: Final = ("pending", "evict")


def read_bearing(text: str) -> Bearing:
    """What a row of destination policies says. Raises ValueError with what is wrong."""
    place, at = _place(text, 0)
    if not text.startswith("=", at):
        raise ValueError("behind the destination there has to be =")
    says: dict[str, Any] = {}
    for part in map(str.strip, text[at + 1 :].split(",")):
        word, _, value = part.partition(" ")
        read = SETTINGS.get(word)
        if read is None:
            raise ValueError(f"'{part}' does not begin with one of {', '.join(SETTINGS)}")
        if word in OF_TOPICS and place.kind != TOPIC:
            raise ValueError(f"'{word}' is for subscriptions to topics")
        says |= read(value.strip())
    return Bearing(place, says)
