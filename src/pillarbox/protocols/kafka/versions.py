"""Which versions of which key a broker tells its clients: exactly those of one release of Kafka.

Clients choose what they do by this table, and some infer the release from it, so a mixture of two releases
would lead them where nobody has been (T8). What Kafka's own definitions say is in `messages.APIS`; here is
what they do not say.

Source: spec rows 2.1; traps T4 (KAFKA-18659), T6 (KAFKA-19444), T7, T8.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from pillarbox.protocols.kafka.messages import APIS

PRODUCE: Final = 0
FETCH: Final = 1
SHARE_FETCH: Final = 78
PROFILES: Final = ("kafka:3.9", "kafka:4.2")
DEFAULT: Final = "kafka:4.2"


def offered(profile: str) -> dict[int, tuple[int, int]]:
    """Return first and last version by key, as a broker of this release answers ApiVersions.

    Kafka 4 says that it takes Produce from version 0 and takes it from 3, because older releases of
    librdkafka look for version 0 there and send everything uncompressed where it is missing.
    """
    if profile == "kafka:3.9":
        return {key: api.versions_old for key, api in APIS.items() if api.versions_old is not None}
    table = {key: api.versions for key, api in APIS.items()}
    table[PRODUCE] = (0, table[PRODUCE][1])
    return table


class Feature(NamedTuple):
    """What clients and tools look for beside keys and versions (KIP-584)."""

    name: str
    levels: dict[str, tuple[int, int]]
    """First and last by release; the last one is that of a new cluster."""
    key: int
    """Offered where this key is."""


FEATURES: Final = (
    Feature("metadata.version", {"kafka:3.9": (1, 21), "kafka:4.2": (7, 29)}, 18),
    Feature("kraft.version", {"kafka:3.9": (0, 1), "kafka:4.2": (0, 1)}, 18),
    Feature("transaction.version", {"kafka:4.2": (0, 2)}, 26),
    Feature("group.version", {"kafka:4.2": (0, 1)}, 68),
    Feature("share.version", {"kafka:4.2": (0, 1)}, 78),
    Feature("streams.version", {"kafka:4.2": (0, 1)}, 88),
)


def features(profile: str, served: Container[int]) -> dict[str, tuple[int, int]]:
    """First and last level by the name of the feature, as a broker of this release has them."""
    return {
        feature.name: feature.levels[profile]
        for feature in FEATURES
        if profile in feature.levels and feature.key in served
    }
