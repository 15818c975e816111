"""The one voter of a cluster of one node: what there is against adding and removing others (KIP-853, K37)."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def demand_cluster(call: Call, cluster_id: str | None) -> None:
    """Raise Refused unless the client may alter the cluster, and means this one if it says which."""
    call.demand(ALTER_CLUSTER)
    ours = call.head.cluster_id
    if cluster_id is not None and cluster_id != ours:
        text = f'The given id "{cluster_id}" doesn\'t match the cluster id "{ours}"'
        raise Refused(ErrorCode.INCONSISTENT_CLUSTER_ID, text)
