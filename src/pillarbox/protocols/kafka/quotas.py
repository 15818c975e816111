"""Quotas: how much clients may produce, fetch, change and ask for, and from where they may connect how often.

A limit stands for an entity: a user, a client id, or both, each by name or for all that have no limit of
their own; or an address, which has one kind of limit alone: new connections (`ip_quotas`). Of the limits that
fit a client the most exact one counts. Clients that share a limit share a bucket, which holds what is allowed
in ten seconds: who takes more out than there is has to pause, and its connection is not read meanwhile. The
answer goes out at once and names the pause. Changes of topics are refused while something is missing, to
clients that know that answer (`mutations`).

The time of a request is that of its handler and of encoding its answer, in percent of a second, as
`Connection` measures it; what the disk and the socket do beside is nobody's.

Limits are kept by the head (`Core.keep`). Not here: requests and answers (`api`), what a pause does to a
connection (`connection`).

Source: KIP-13, KIP-55 (order of the entities), KIP-124 (time), KIP-219 (answers are not held back), KIP-546,
KIP-599, KIP-612 (connections); row K74.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from math import ceil, isfinite
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEPT: Final = "kafka/quota/"
PRODUCED: Final = "producer_byte_rate"
FETCHED: Final = "consumer_byte_rate"
MUTATIONS: Final = "controller_mutation_rate"
REQUESTS: Final = "request_percentage"
"""Of one second of this process, which has one thread for all requests: 100 is all of it."""
CONNECTIONS: Final = "connection_creation_rate"

NS_PER_PERCENT: Final = 10_000_000
"""Of a second."""


class Kind(NamedTuple):
    """What can be limited; `whole_max`: the largest of whole numbers, None: it need not be one."""

    whole_max: float | None = None
    type_name: str = ""
    window_s: int = 10
    """How much of a limit may be used at once, after a pause: the ten whole samples of a second each over
    which Kafka takes the mean by default."""
    pause_ms_max: int = 60_000
    """Of one pause: a client that has gone is not noticed in it. What is still missing then, the next request
    pays for."""


SECOND_MS: Final = 1000
"""The longest pause for time and connections, as in Kafka: one sample."""

USER_LIMITS: Final = {
    PRODUCED: Kind((1 << 63) - 1, "a LONG"),
    FETCHED: Kind((1 << 63) - 1, "a LONG"),
    MUTATIONS: Kind(window_s=11),  # Kafka's `controller.quota.window.num`
    REQUESTS: Kind(pause_ms_max=SECOND_MS),
}
"""Bytes a second, partitions made or deleted a second, percent of the time."""
IP_LIMITS: Final = {CONNECTIONS: Kind((1 << 31) - 1, "an INT", pause_ms_max=SECOND_MS)}
KINDS: Final = USER_LIMITS | IP_LIMITS

FRACTION: Final = 1e-6
"""Nearer to a whole number than this is whole, as in Kafka."""

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

    __slots__ = ("_left", "_most", "_now_ms", "_pause_ms_max", "_rate")

    def __init__(self, rate: float, now_ms: int, kind: Kind) -> None:
        self._rate = rate
        self._left = self._most = rate * kind.window_s
        self._now_ms = now_ms
        self._pause_ms_max = kind.pause_ms_max

    def take(self, size: float, now_ms: int) -> int:
        """Take out so much; return how many milliseconds it takes until nothing is missing."""
        passed_ms, self._now_ms = now_ms - self._now_ms, now_ms
        self._left = min(self._left + self._rate * passed_ms / 1000, self._most) - size
        return 0 if self._left >= 0 else ceil(min(-self._left * 1000 / self._rate, self._pause_ms_max))

    def give_back(self, size: float) -> None:
        """What was taken has not been used."""
        self._left += size


class Buckets:
    """Those that are not known to be full, by kind of limit and by who shares it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._found: dict[tuple[str, Hashable], Bucket] = {}

    def __len__(self) -> int:
        return len(self._found)

    def clear(self) -> None:
        self._found.clear()

    def take(self, what: str, sharing: Hashable, rate: float, size: float) -> int:
        """See `Bucket.take`."""
        return self.get(what, sharing, rate).take(size, self._core.changes.now_ms)

    def get(self, what: str, sharing: Hashable, rate: float) -> Bucket:
        found = self._found.get((what, sharing))
        if found is None:
            if len(self._found) >= BUCKETS_MAX:
                self._found.clear()
            found = self._found[what, sharing] = Bucket(rate, self._core.changes.now_ms, KINDS[what])
        return found


class Quotas:
    """See the module. `limits` is empty where nobody has set any: then nothing else is to be asked."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.limits: dict[Entity, Mapping[str, float]] = {}
        for key, value in core.kept(KEPT):
            user, client_id = msgspec.json.decode(key[len(KEPT) :])
            self.limits[user, client_id] = decode_limits(value)
        self._buckets = Buckets(core)
        self.times_requests = False
        """Somebody's time is limited, so everybody's is measured."""
        self._look()

    def __repr__(self) -> str:
        return f"<Quotas of {len(self.limits)}>"

    def __iter__(self) -> Iterator[tuple[Entity, Mapping[str, float]]]:
        return iter(self.limits.items())

    def change(self, entity: Entity, values: Mapping[str, float | None]) -> None:
        """Set limits of an entity, or (None) lift them."""
        limits = merged(self.limits, entity, values)
        self._core.keep(KEPT + key_of(*entity), encode_limits(limits) if limits else None)
        self._buckets.clear()
        self._look()

    def _look(self) -> None:
        self.times_requests = any(REQUESTS in limits for limits in self.limits.values())

    def charge(self, what: str, user: str, client_id: str, size: float) -> int:
        """A client has used so much of a limit; return how many milliseconds it has to pause."""
        for user_limit, client_limit in entities(user, client_id):
            rate = self.limits.get((user_limit, client_limit), {}).get(what)
            if rate is not None:
                sharing = None if user_limit is None else user, None if client_limit is None else client_id
                return self._buckets.take(what, sharing, rate, size)
        return 0


Key = TypeVar("Key")


def merged(
    kept: dict[Key, Mapping[str, float]], entity: Key, values: Mapping[str, float | None]
) -> dict[str, float]:
    """Change an entity's limits among `kept`; return what it has now."""
    changed = {**kept.pop(entity, {}), **values}
    limits = {name: value for name, value in changed.items() if value is not None}
    if limits:
        kept[entity] = limits
    return limits


def demand_limit(kinds: Mapping[str, Kind], name: str, value: float) -> None:
    """Raise Refused (INVALID_REQUEST) for a limit that cannot be."""
    kind = kinds.get(name)
    if kind is None:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Invalid configuration key {name}")
    if not value > 0:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Quota {name} must be greater than 0")
    if kind.whole_max is None:
        if not isfinite(value * kind.window_s):
            raise Refused(ErrorCode.INVALID_REQUEST, f"Proposed value for {name} is too large for a DOUBLE.")
    elif value > kind.whole_max:
        text = f"Proposed value for {name} is too large for {kind.type_name}."
        raise Refused(ErrorCode.INVALID_REQUEST, text)
    elif abs(value - round(value)) > FRACTION:
        raise Refused(ErrorCode.INVALID_REQUEST, f"{name} cannot be a fractional value.")


encode_limits: Final = msgspec.msgpack.Encoder().encode
decode_limits: Final = msgspec.msgpack.Decoder(dict[str, float]).decode
