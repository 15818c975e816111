"""Kafka's messages: a module for each key, imported when it is first needed, and their table.

Each module has the request's and the response's classes, `DECODERS` of requests and `ENCODERS` of responses
by version. What all have in common: fields have Kafka's names and defaults, so a response is made of what
differs from them. A field that a version does not have is not sent, nor is a tagged struct that is None; null
where a version has none is sent empty. UUIDs are 16 bytes, records are bytes that nobody has opened.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Api(NamedTuple):
    """One API key. Versions are first and last, both included."""

    name: str
    module: str
    flexible: int
    """The first version with compact types and tagged fields; beyond the last if there is none."""
    versions: tuple[int, int]
    """Those of Kafka 4.2.1."""
    versions_old: tuple[int, int] | None
    """Those of Kafka 3.9.1 on a broker without ZooKeeper; None if it does not have the key.

    A module has the versions of both."""


APIS: Final = {
    0: Api("Produce", "produce", 9, (3, 13), (0, 11)),
    1: Api("Fetch", "fetch", 12, (4, 18), (0, 17)),
    2: Api("ListOffsets", "list_offsets", 6, (1, 11), (0, 9)),
    3: Api("Metadata", "metadata", 9, (0, 13), (0, 12)),
    8: Api("OffsetCommit", "offset_commit", 8, (2, 10), (0, 9)),
    9: Api("OffsetFetch", "offset_fetch", 6, (1, 10), (0, 9)),
    10: Api("FindCoordinator", "find_coordinator", 3, (0, 6), (0, 6)),
    11: Api("JoinGroup", "join_group", 6, (0, 9), (0, 9)),
    12: Api("Heartbeat", "heartbeat", 4, (0, 4), (0, 4)),
    13: Api("LeaveGroup", "leave_group", 4, (0, 5), (0, 5)),
    14: Api("SyncGroup", "sync_group", 4, (0, 5), (0, 5)),
    15: Api("DescribeGroups", "describe_groups", 5, (0, 6), (0, 5)),
    16: Api("ListGroups", "list_groups", 3, (0, 5), (0, 5)),
    17: Api("SaslHandshake", "sasl_handshake", 2, (0, 1), (0, 1)),
    18: Api("ApiVersions", "api_versions", 3, (0, 4), (0, 4)),
    19: Api("CreateTopics", "create_topics", 5, (2, 7), (0, 7)),
    20: Api("DeleteTopics", "delete_topics", 4, (1, 6), (0, 6)),
    21: Api("DeleteRecords", "delete_records", 2, (0, 2), (0, 2)),
    22: Api("InitProducerId", "init_producer_id", 2, (0, 5), (0, 5)),
    23: Api("OffsetForLeaderEpoch", "offset_for_leader_epoch", 4, (2, 4), (0, 4)),
    24: Api("AddPartitionsToTxn", "add_partitions_to_txn", 3, (0, 5), (0, 5)),
    25: Api("AddOffsetsToTxn", "add_offsets_to_txn", 3, (0, 4), (0, 4)),
    26: Api("EndTxn", "end_txn", 3, (0, 5), (0, 4)),
    27: Api("WriteTxnMarkers", "write_txn_markers", 1, (1, 2), (0, 1)),
    28: Api("TxnOffsetCommit", "txn_offset_commit", 3, (0, 5), (0, 4)),
    29: Api("DescribeAcls", "describe_acls", 2, (1, 3), (0, 3)),
    30: Api("CreateAcls", "create_acls", 2, (1, 3), (0, 3)),
    31: Api("DeleteAcls", "delete_acls", 2, (1, 3), (0, 3)),
    32: Api("DescribeConfigs", "describe_configs", 4, (1, 4), (0, 4)),
    33: Api("AlterConfigs", "alter_configs", 2, (0, 2), (0, 2)),
    34: Api("AlterReplicaLogDirs", "alter_replica_log_dirs", 2, (1, 2), (0, 2)),
    35: Api("DescribeLogDirs", "describe_log_dirs", 2, (1, 4), (0, 4)),
    36: Api("SaslAuthenticate", "sasl_authenticate", 2, (0, 2), (0, 2)),
    37: Api("CreatePartitions", "create_partitions", 2, (0, 3), (0, 3)),
    38: Api("CreateDelegationToken", "create_delegation_token", 2, (1, 3), (0, 3)),
    39: Api("RenewDelegationToken", "renew_delegation_token", 2, (1, 2), (0, 2)),
    40: Api("ExpireDelegationToken", "expire_delegation_token", 2, (1, 2), (0, 2)),
    41: Api("DescribeDelegationToken", "describe_delegation_token", 2, (1, 3), (0, 3)),
    42: Api("DeleteGroups", "delete_groups", 2, (0, 2), (0, 2)),
    43: Api("ElectLeaders", "elect_leaders", 2, (0, 2), (0, 2)),
    44: Api("IncrementalAlterConfigs", "incremental_alter_configs", 1, (0, 1), (0, 1)),
    45: Api("AlterPartitionReassignments", "alter_partition_reassignments", 0, (0, 1), (0, 0)),
    46: Api("ListPartitionReassignments", "list_partition_reassignments", 0, (0, 0), (0, 0)),
    47: Api("OffsetDelete", "offset_delete", 1, (0, 0), (0, 0)),
    48: Api("DescribeClientQuotas", "describe_client_quotas", 1, (0, 1), (0, 1)),
    49: Api("AlterClientQuotas", "alter_client_quotas", 1, (0, 1), (0, 1)),
    50: Api("DescribeUserScramCredentials", "describe_user_scram_credentials", 0, (0, 0), (0, 0)),
    51: Api("AlterUserScramCredentials", "alter_user_scram_credentials", 0, (0, 0), (0, 0)),
    55: Api("DescribeQuorum", "describe_quorum", 0, (0, 2), (0, 2)),
    57: Api("UpdateFeatures", "update_features", 0, (0, 2), (0, 1)),
    60: Api("DescribeCluster", "describe_cluster", 0, (0, 2), (0, 1)),
    61: Api("DescribeProducers", "describe_producers", 0, (0, 0), (0, 0)),
    64: Api("UnregisterBroker", "unregister_broker", 0, (0, 0), (0, 0)),
    65: Api("DescribeTransactions", "describe_transactions", 0, (0, 0), (0, 0)),
    66: Api("ListTransactions", "list_transactions", 0, (0, 2), (0, 1)),
    68: Api("ConsumerGroupHeartbeat", "consumer_group_heartbeat", 0, (0, 1), (0, 0)),
    69: Api("ConsumerGroupDescribe", "consumer_group_describe", 0, (0, 1), (0, 0)),
    71: Api("GetTelemetrySubscriptions", "get_telemetry_subscriptions", 0, (0, 0), (0, 0)),
    72: Api("PushTelemetry", "push_telemetry", 0, (0, 0), (0, 0)),
    74: Api("ListConfigResources", "list_config_resources", 0, (0, 1), (0, 0)),
    75: Api("DescribeTopicPartitions", "describe_topic_partitions", 0, (0, 0), (0, 0)),
    76: Api("ShareGroupHeartbeat", "share_group_heartbeat", 0, (1, 1), None),
    77: Api("ShareGroupDescribe", "share_group_describe", 0, (1, 1), None),
    78: Api("ShareFetch", "share_fetch", 0, (1, 2), None),
    79: Api("ShareAcknowledge", "share_acknowledge", 0, (1, 2), None),
    80: Api("AddRaftVoter", "add_raft_voter", 0, (0, 1), (0, 0)),
    81: Api("RemoveRaftVoter", "remove_raft_voter", 0, (0, 0), (0, 0)),
    88: Api("StreamsGroupHeartbeat", "streams_group_heartbeat", 0, (0, 0), None),
    89: Api("StreamsGroupDescribe", "streams_group_describe", 0, (0, 0), None),
    90: Api("DescribeShareGroupOffsets", "describe_share_group_offsets", 0, (0, 1), None),
    91: Api("AlterShareGroupOffsets", "alter_share_group_offsets", 0, (0, 0), None),
    92: Api("DeleteShareGroupOffsets", "delete_share_group_offsets", 0, (0, 0), None),
}
