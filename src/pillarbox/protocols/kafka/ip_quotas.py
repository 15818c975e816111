"""How many connections a second each address may make: Kafka's `connection_creation_rate` of an `ip`.

An address without a limit of its own has that of all others, each for itself. Who makes more than ten seconds
allow is let in, not acted on and, when there would be room again, closed: a client that comes back at once
would only come back more often. A connection that was closed so does not count.

Not here: what that does to the connection (`Connection.turn_away`). Source: KIP-612; Kafka's
`ConnectionQuotas`, `ClientQuotaControlManager`; row K74.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.quotas import (
    CONNECTIONS,
    DEFAULT,
    Buckets,
    decode_limits,
    encode_limits,
    merged,
)

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEPT: Final = "kafka/ip-quota/"


class IpQuotas:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.limits: dict[str, Mapping[str, float]] = {}
        """By address as it was written, or `DEFAULT`."""
        for key, value in core.kept(KEPT):
            (name,) = msgspec.json.decode(key[len(KEPT) :])
            self.limits[name] = decode_limits(value)
        self._buckets = Buckets(core)
        self._rates: dict[str, float] = {}
        """The same by address in one form."""
        self._look()

    def __repr__(self) -> str:
        return f"<IpQuotas of {len(self.limits)}>"

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        return iter(self.limits.items())

    def change(self, name: str, values: Mapping[str, float | None]) -> None:
        """Set the limit of an address, or (None) lift it."""
        limits = merged(self.limits, name, values)
        self._core.keep(KEPT + key_of(name), encode_limits(limits) if limits else None)
        self._buckets.clear()
        self._look()

    def _look(self) -> None:
        self._rates = {
            plain(name) or name: limits[CONNECTIONS]
            for name, limits in self.limits.items()
            if CONNECTIONS in limits
        }

    def admit(self, host: str) -> int:
        """A client has connected from there; return for how many milliseconds there is no room for it."""
        address = plain(host) or host
        rate = self._rates.get(address, self._rates.get(DEFAULT))
        if rate is None:
            return 0
        bucket = self._buckets.get(CONNECTIONS, address, rate)
        pause_ms = bucket.take(1, self._core.changes.now_ms)
        if pause_ms:
            bucket.give_back(1)
        return pause_ms


def plain(text: str) -> str:
    """The one form of an address: IPv4 within IPv6 is IPv4. Nothing: it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
