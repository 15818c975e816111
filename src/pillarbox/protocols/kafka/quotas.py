"""Quotas: how many bytes a second clients may produce and fetch, and how many partitions make and delete.

A limit stands for an entity: a user, a client id, or both, each by name or for all that have no limit of
their own. Of the limits that fit a client the most exact one counts. Clients that share a limit share a
bucket, which holds what is allowed in ten seconds: who takes more out than there is has to pause, and its
connection is not read meanwhile. The answer goes out at once and names the pause. Changes of topics are
refused while something is missing, to clients that know that answer (`mutations`).

Limits are kept by the head (`Core.keep`). Not here: requests and answers (`api`), what a pause does to a
connection (`connection`).

Source: KIP-13, KIP-55 (order of the entities), KIP-219 (answers are not held back), KIP-546, KIP-599; row
K74.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEPT: Final = "kafka/quota/"
PRODUCED: Final = "producer_byte_rate"
FETCHED: Final = "consumer_byte_rate"
MUTATIONS: Final = "controller_mutation_rate"
RATES: Final = (PRODUCED, FETCHED, MUTATIONS)
"""What can be limited: bytes a second, and partitions made or deleted a second."""

NOT_MEASURED: Final = ("request_percentage", "connection_creation_rate")
"""Kafka's other limits: one that nobody keeps would be a lie."""

WINDOW_S: Final = 10
"""How much of a limit may be used at once, after a pause: the ten whole samples of a second each over which
Kafka takes the mean by default."""

MUTATIONS_WINDOW_S: Final = 11
"""The same of changes of topics: Kafka's `controller.quota.window.num`."""

PAUSE_MS_MAX: Final = 60_000
"""Of one pause: a client that has gone is not noticed in it. What is still missing then, the next request
pays for."""

BUCKETS_MAX: Final = 10_000
"""Clients choose their ids; beyond so many all buckets are full again."""

DEFAULT: Final = ""
"""Stands for every user, or every client id, that has no limit of its own."""

Name = str | None
"""Of a user or client id; `DEFAULT`; None: the limit is not about it."""
Entity = tuple[Name, Name]
"""User and client id."""


def entities(user: str, client_id: str) -> tuple[Entity, ...]:
    """Those that fit a client, the most exact one first (KIP-55)."""
    return (
        (user, client_id),
        (user, DEFAULT),
        (user, None),
        (DEFAULT, client_id),
        (DEFAULT, DEFAULT),
        (DEFAULT, None),
        (None, client_id),
        (None, DEFAULT),
    )


class Bucket:
    """What may still be used of a limit. Invariant: never more than that of its window."""

    __slots__ = ("_left", "_most", "_now_ms", "_rate")

    def __init__(self, rate: float, now_ms: int, *, window_s: int = WINDOW_S) -> None:
        self._rate = rate
        self._left = self._most = rate * window_s
        self._now_ms = now_ms

    def take(self, size: int, now_ms: int) -> int:
        """Take out so many bytes; return how many milliseconds it takes until nothing is missing."""
        passed_ms, self._now_ms = now_ms - self._now_ms, now_ms
        self._left = min(self._left + self._rate * passed_ms / 1000, self._most) - size
        return max(0, ceil(-self._left * 1000 / self._rate))


class Quotas:
    """See the module. `limits` is empty where nobody has set any: then nothing else is to be asked."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.limits: dict[Entity, Mapping[str, float]] = {}
        for key, value in core.kept(KEPT):
            user, client_id = msgspec.json.decode(key[len(KEPT) :])
            self.limits[user, client_id] = _decode(value)
        self._buckets: dict[tuple[str, Entity], Bucket] = {}

    def __repr__(self) -> str:
        return f"<Quotas of {len(self.limits)}>"

    def __iter__(self) -> Iterator[tuple[Entity, Mapping[str, float]]]:
        return iter(self.limits.items())

    def change(self, entity: Entity, values: Mapping[str, float | None]) -> None:
        """Set limits of an entity, or (None) lift them."""
        merged = {**self.limits.get(entity, {}), **values}
        limits = {name: value for name, value in merged.items() if value is not None}
        self.limits.pop(entity, None)
        if limits:
            self.limits[entity] = limits
        self._core.keep(KEPT + key_of(*entity), _encode(limits) if limits else None)
        self._buckets.clear()

    def charge(self, what: str, user: str, client_id: str, size: int) -> int:
        """A client has used so much of a limit; return how many milliseconds it has to pause."""
        for user_limit, client_limit in entities(user, client_id):
            rate = self.limits.get((user_limit, client_limit), {}).get(what)
            if rate is not None:
                sharing = None if user_limit is None else user, None if client_limit is None else client_id
                pause_ms = self._bucket(what, sharing, rate).take(size, self._core.changes.now_ms)
                return min(pause_ms, PAUSE_MS_MAX)
        return 0

    def _bucket(self, what: str, sharing: Entity, rate: float) -> Bucket:
        bucket = self._buckets.get((what, sharing))
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._buckets.clear()
            window_s = MUTATIONS_WINDOW_S if what == MUTATIONS else WINDOW_S
            bucket = self._buckets[what, sharing] = Bucket(rate, self._core.changes.now_ms, window_s=window_s)
        return bucket


def demand_limit(name: str, value: float) -> None:
    """Raise Refused (INVALID_REQUEST) for a limit that cannot be."""
    if name in NOT_MEASURED:
        raise Refused(ErrorCode.INVALID_REQUEST, f"This broker does not limit {name}.")
    if name not in RATES:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Invalid configuration key {name}")
    if not value > 0:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Quota {name} must be greater than 0")
    if name != MUTATIONS and (value >= 1 << 63 or value != int(value)):
        raise Refused(ErrorCode.INVALID_REQUEST, f"Quota {name} must be a whole number of bytes")


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, float]).decode
