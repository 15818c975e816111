"""What operators see of Kafka's side, and do to it: routes under /kafka, metrics, and why a group is stuck.

The only door to the protocol is its `View`, which a request gets by `seeing.view_of`: 404 in words where no
Kafka port is open. One file for each resource; who may see or do what follows the permissions of topics and
groups, as for Kafka's own clients, and whoever monitors sees everything.

Named by the protocol's row (`protocols.registry`): without that row nothing here is imported.
"""

from __future__ import annotations

from pillarbox.ops.kafka import cluster, groups, records, topics, transactions
from pillarbox.ops.kafka.families import families, totals
from pillarbox.ops.management.routes import Resource

__all__ = ["RESOURCES", "families", "totals"]

RESOURCES = (
    Resource("Kafka: topics", (*topics.ROUTES, *records.ROUTES)),
    Resource("Kafka: groups", groups.ROUTES),
    Resource("Kafka: transactions", transactions.ROUTES),
    Resource("Kafka: cluster and connections", cluster.ROUTES),
)
