"""Command line of the tables; see the package."""

from __future__ import annotations

from bench.kafka_peer import Kafka
from tests.compare_kafka.tables import RELEASES, save, told

for release in RELEASES.values():
    with Kafka(release=release) as peer:
        save(release, told(peer.bootstrap))
    print(f"{release}: recorded", flush=True)
