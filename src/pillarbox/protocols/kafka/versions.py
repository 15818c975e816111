"""Which versions of which key a broker tells its clients: exactly those of one release of Kafka.

Clients choose what they do by this table, and some infer the release from it, so a mixture of two releases
would lead them where nobody has been (T8). What Kafka's own definitions say is in `messages.APIS`; here is
what they do not say, and what else differs from release to release.

Source: spec rows 2.1; traps T4 (KAFKA-18659), T6 (KAFKA-19444), T7, T8.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from pillarbox.protocols.kafka.messages import APIS

PRODUCE: Final = 0
FETCH: Final = 1
WRITE_TXN_MARKERS: Final = 27
SHARE_FETCH: Final = 78
CLIENT_TELEMETRY: Final = frozenset((71, 72))
"""Keys that a broker has only with a plugin that takes metrics of clients."""


class Release(NamedTuple):
    """How one release behaves, where releases differ for clients."""

    after_ms_max: int
    """`message.timestamp.after.max.ms`: how far in the future a record may be (KIP-1030)."""
    consumer_groups: bool
    """Does it take part in the protocol in which brokers assign, as far as it is switched on by default?"""


RELEASES: Final = {
    "kafka:3.9": Release(after_ms_max=2**63 - 1, consumer_groups=False),
    "kafka:4.2": Release(after_ms_max=3_600_000, consumer_groups=True),
}


def offered(profile: str) -> dict[int, tuple[int, int]]:
    """Return first and last version by key, as a broker of this release answers ApiVersions.

    Kafka 4 says that it takes Produce from version 0 and takes it from 3, because older releases of
    librdkafka look for version 0 there and send everything uncompressed where it is missing.
    """
    table = taken(profile)
    table[PRODUCE] = (0, table[PRODUCE][1])
    return table


def taken(profile: str) -> dict[int, tuple[int, int]]:
    """Return first and last version by key that a broker of this release takes; a client that sends another
    one is cut off."""
    spans = {
        key: api.versions_old if profile == "kafka:3.9" else api.versions
        for key, api in APIS.items()
        if key not in CLIENT_TELEMETRY
    }
    return {key: span for key, span in spans.items() if span is not None}


class Feature(NamedTuple):
    """What clients and tools look for beside keys and versions (KIP-584)."""

    name: str
    levels: dict[str, tuple[int, int]]
    """First and last by release; the last one is that of a new cluster."""
    key: int
    """Offered where this key is."""
    is_on: bool = True
    """Its last level counts; else it is known and off."""


FEATURES: Final = (
    Feature("metadata.version", {"kafka:3.9": (1, 21), "kafka:4.2": (7, 29)}, 18),
    Feature("kraft.version", {"kafka:3.9": (0, 1), "kafka:4.2": (0, 1)}, 18),
    Feature("transaction.version", {"kafka:4.2": (0, 2)}, 26),
    Feature("group.version", {"kafka:4.2": (0, 1)}, 68),
    Feature("share.version", {"kafka:4.2": (0, 1)}, 78),
    Feature("streams.version", {"kafka:4.2": (0, 1)}, 88, is_on=False),
    Feature("eligible.leader.replicas.version", {"kafka:4.2": (0, 1)}, 18, is_on=False),
)


def features(profile: str, served: Container[int]) -> dict[str, tuple[int, int, int]]:
    """First and last level and the one that counts, by the name of the feature, as this release has them."""
    return {
        feature.name: (*feature.levels[profile], feature.levels[profile][1] if feature.is_on else 0)
        for feature in FEATURES
        if profile in feature.levels and feature.key in served
    }
