"""Which versions of which key a broker tells its clients: exactly those of one release of Kafka.

Clients choose what they do by this table, and some infer the release from it, so a mixture of two releases
would lead them where nobody has been (T8). What Kafka's own definitions say is in `messages.APIS`; here is
what they do not say.

Source: spec rows 2.1; traps T4 (KAFKA-18659), T6 (KAFKA-19444), T7, T8.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.messages import APIS

PRODUCE: Final = 0
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
