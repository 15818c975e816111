"""The two brokers of a comparison, each as a process with the same users."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.kafka_peer import USERS, Kafka
from bench.peers import HOST, Pillarbox, free_ports
from tests.compare_kafka.case import Broker

KAFKA_CONFIG = {
    # Kafka looks for transactions that have taken too long every ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # A group of the new protocol learns of a rebalance with its next heartbeat, which is every five seconds.
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "200",
    "group.share.min.heartbeat.interval.ms": "100",
    "group.share.heartbeat.interval.ms": "200",
    # The shortest that Kafka lets an operator permit.
    "group.share.min.record.lock.duration.ms": "1000",
}

PERMISSIONS = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
DEFINITIONS = {
    "users": [{"name": name, "password": password, "tags": []} for name, password in USERS.items()],
    "permissions": [{"user": name, **PERMISSIONS} for name in USERS],
}


@contextlib.contextmanager
def kafka() -> Iterator[Broker]:
    """Run a private Kafka node."""
    with Kafka(config=KAFKA_CONFIG) as peer:
        name = f"{peer.name} {peer.version}"
        yield Broker(name, peer.bootstrap, peer.sasl_bootstrap, peer.restart, peer.printed)


@contextlib.contextmanager
def pillarbox() -> Iterator[Broker]:
    """Run `pillarbox serve` on a data folder. Clients that log in and those that do not come to one port."""
    (port,) = free_ports(1)  # One that is the same after a restart.
    with tempfile.TemporaryDirectory() as folder:
        definitions = Path(folder) / "definitions.json"
        definitions.write_text(json.dumps(DEFINITIONS))
        env = {
            "PILLARBOX_LOAD_DEFINITIONS": str(definitions),
            "PILLARBOX_KAFKA_PORT": str(port),
            "PILLARBOX_KAFKA_AUTHORIZER": "acl",
            "PILLARBOX_KAFKA_ALLOW_EVERYONE_IF_NO_ACL": "true",
            "PILLARBOX_KAFKA_CONSUMER_HEARTBEAT": "1s",
        }
        with Pillarbox(options=["--port", "off"], env=env) as peer:
            address = f"{HOST}:{port}"
            yield Broker(f"Pillarbox {peer.version}", address, address, peer.restart, peer.printed)
