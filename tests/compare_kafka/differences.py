"""Where Pillarbox answers Kafka's clients otherwise than Apache Kafka 4.2 does.

`DIFFERENCES` are meant to stay, each with the whole transcript that Pillarbox is to give and the reason.
`NOT_BUILT` are scenarios that Pillarbox does not pass yet, with what is missing: their tests are expected to
fail, and one that passes is an error, so that the table stays true.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.transcripts.case import Line
from tests.transcripts.report import Difference


def read_only(name: str, value: str | None) -> Line:
    """Say that a config of the broker has its default and cannot be altered."""
    return [name, value, 5, True, True, False, [[name, value, 5]] if value else []]


ELIGIBLE = (
    "A new Kafka cluster keeps eligible leader replicas, and so has min.insync.replicas as a config of the "
    "whole cluster. One node without replicas has neither."
)
UNSUPPORTED = (
    "GetTelemetrySubscriptions(71)",
    "PushTelemetry(72)",
    "InitializeShareGroupState(83)",
    "ReadShareGroupState(84)",
    "WriteShareGroupState(85)",
    "DeleteShareGroupState(86)",
    "ReadShareGroupStateSummary(87)",
)
SCRAM_TEXT = "Error while executing topic command : Authentication failed: invalid credentials"

DIFFERENCES = (
    Difference(
        "confluent_admin.configs_of_a_topic",
        ELIGIBLE,
        {
            21: ["min.insync.replicas", "1", 5, True, False, False, [["min.insync.replicas", "1", 5]]],
        },
    ),
    Difference(
        "java_console.topics",
        ELIGIBLE,
        {
            10: ["Topic: t TopicId: ID PartitionCount: 2 ReplicationFactor: 1 Configs: retention.ms=5000"],
        },
    ),
    Difference(
        "java_console.cluster",
        "What brokers tell each other of share groups (83-87) nobody tells one node; streams groups and "
        "eligible leader replicas are known and switched off.",
        {
            1: ["versions", [f"{key}: UNSUPPORTED," for key in UNSUPPORTED]],
            **{
                number: [
                    "feature",
                    f"Feature: {name} SupportedMinVersion: 0 SupportedMaxVersion: 1 FinalizedVersionLevel: 0",
                ]
                for number, name in ((2, "eligible.leader.replicas.version"), (7, "streams.version"))
            },
        },
    ),
    Difference(
        "confluent_admin.configs_of_the_broker",
        "Some of Kafka's broker configs can be altered while it runs; here they are options of the program.",
        {
            1: read_only("log.cleanup.policy", "delete"),
            2: read_only("log.retention.bytes", "-1"),
            4: read_only("log.retention.ms", None),
            5: read_only("log.segment.bytes", "1073741824"),
            6: read_only("message.max.bytes", "1048588"),
        },
    ),
    Difference(
        "confluent_sasl.plain_client_where_a_login_is_asked_for",
        "Kafka's listeners ask everybody for a login or nobody. Here one port takes both, unless "
        "kafka_anonymous_user is empty.",
        {0: ["without a login", "taken"]},
    ),
    Difference(
        "java_console.logins",
        "The text for a wrong SCRAM password; code and exception are the same.",
        {
            number: [name, "wrong", 1, [SCRAM_TEXT]]
            for number, name in ((3, "SCRAM-SHA-256"), (5, "SCRAM-SHA-512"))
        },
    ),
)

NOT_BUILT: dict[str, str] = {}
"""What is missing, by scenario."""


def in_words() -> Iterator[str]:
    """Yield the differences as docs/compatibility.md shows them."""
    for difference in DIFFERENCES:
        yield f"`{difference.scenario}`: {difference.reason}"
