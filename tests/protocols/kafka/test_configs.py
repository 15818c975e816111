"""Configs of topics and of the broker: what is valid, what it means to logs, how it is shown and altered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.protocols.kafka.broker_configs import BROKER_CONFIGS
from pillarbox.protocols.kafka.config_table import TOPIC_CONFIGS, Kind, plain
from pillarbox.protocols.kafka.configs import APPEND, REMOVE, SET, SUBTRACT, options_of
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.store.log_base import LogOptions
from tests.protocols.kafka.asking import Asking

pytestmark = pytest.mark.row("K32")

TOPIC, BROKER, GROUP = 2, 4, 32
OF_TOPIC, OF_BROKER, BY_DEFAULT = 1, 4, 5
LONG_MAX = str((1 << 63) - 1)


@pytest.fixture
def topic(client: Asking, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    name = f"t{abs(hash(request.node.name))}"
    made = client.ask(
        "CreateTopics", 7, topics=[{"name": name, "num_partitions": 2, "replication_factor": 1}]
    )
    assert made.topics[0].error_code.value == Code.NONE
    return name


def show(client: Asking, kind: int, name: str, version: int = 4, **more: Any) -> Any:
    resource = {"resource_type": kind, "resource_name": name, "configuration_keys": None}
    return client.ask("DescribeConfigs", version, resources=[resource], **more).results[0]


def values(client: Asking, name: str) -> dict[str, str]:
    """What a topic was given."""
    return {
        config.name: config.value
        for config in show(client, TOPIC, name).configs
        if config.config_source == OF_TOPIC
    }


def alter(client: Asking, name: str, *changes: tuple[str, int, str | None], kind: int = TOPIC) -> Any:
    configs = [
        {"name": key, "config_operation": operation, "value": value} for key, operation, value in changes
    ]
    resource = {"resource_type": kind, "resource_name": name, "configs": configs}
    return client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses[0]


def replace(client: Asking, name: str, *, kind: int = TOPIC, version: int = 2, **configs: str | None) -> Any:
    given = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    resource = {"resource_type": kind, "resource_name": name, "configs": given}
    return client.ask("AlterConfigs", version, resources=[resource]).responses[0]


def options(broker: Broker, name: str) -> LogOptions:
    def look(server: Any) -> LogOptions:
        (found,) = {stream.log.options for stream in server.core.vhosts["/"].topics.get(name).partitions}
        return found

    return broker.call(look)


# --- the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TOPIC_CONFIGS.values(), ids=lambda row: row.name)
def test_the_default_of_a_config_is_valid_and_its_synonyms_are_the_brokers(row: Any) -> None:
    if not row.hidden:
        assert plain(row, row.default) == row.default
    assert set(row.synonyms) <= set(BROKER_CONFIGS)
    assert row.text.endswith(".")


WRONG = [
    ("cleanup.policy", "shred"),
    ("cleanup.policy", "delete,shred"),
    ("compression.gzip.level", "0"),
    ("compression.gzip.level", "10"),
    ("compression.lz4.level", "18"),
    ("compression.type", "rar"),
    ("compression.zstd.level", "23"),
    ("follower.replication.throttled.replicas", "all"),
    ("leader.replication.throttled.replicas", "1:2,3"),
    ("max.message.bytes", "-1"),
    ("max.message.bytes", "2147483648"),
    ("message.timestamp.type", "Yesterday"),
    ("min.cleanable.dirty.ratio", "1.1"),
    ("min.cleanable.dirty.ratio", "half"),
    ("min.cleanable.dirty.ratio", "NaN"),
    ("min.cleanable.dirty.ratio", "Infinity"),
    ("min.insync.replicas", "0"),
    ("preallocate", "maybe"),
    ("retention.ms", "1.5"),
    ("retention.ms", "9223372036854775808"),
    ("segment.bytes", "1048575"),
    ("internal.segment.bytes", "13"),
    ("segment.ms", "0"),
    pytest.param("remote.storage.enable", "true", marks=pytest.mark.row("K39")),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_is_not_valid_is_refused_and_changes_nothing(
    client: Asking, topic: str, name: str, value: str
) -> None:
    refused = alter(client, topic, ("retention.ms", SET, "1"), (name, SET, value))
    if name == "retention.ms":
        assert refused.error_code.value == Code.INVALID_REQUEST
        refused = alter(client, topic, (name, SET, value))
    assert refused.error_code.value == Code.INVALID_CONFIG
    assert name in refused.error_message
    assert values(client, topic) == {}


RIGHT = [
    ("cleanup.policy", " compact , delete", "compact,delete"),
    ("cleanup.policy", "", ""),
    ("compression.gzip.level", "-1", "-1"),
    ("leader.replication.throttled.replicas", "*", "*"),
    ("leader.replication.throttled.replicas", "0:1,1:1", "0:1,1:1"),
    ("min.cleanable.dirty.ratio", "1", "1.0"),
    ("min.cleanable.dirty.ratio", "0.00001", "1e-05"),
    ("preallocate", "TRUE", "true"),
    ("retention.ms", " 07 ", "7"),
    pytest.param("local.retention.ms", "-2", "-2", marks=pytest.mark.row("K39")),
    pytest.param("remote.storage.enable", "false", "false", marks=pytest.mark.row("K39")),
]


@pytest.mark.parametrize(("name", "given", "kept"), RIGHT)
def test_a_valid_value_is_kept_in_its_plain_form(
    client: Asking, topic: str, name: str, given: str, kept: str
) -> None:
    assert alter(client, topic, (name, SET, given)).error_code.value == Code.NONE
    assert values(client, topic) == {name: kept}


def test_a_record_cannot_be_sure_to_stay_for_longer_than_it_may(client: Asking, topic: str) -> None:
    refused = alter(client, topic, ("min.compaction.lag.ms", SET, "2"), ("max.compaction.lag.ms", SET, "1"))
    assert refused.error_code.value == Code.INVALID_CONFIG


# --- what it means to logs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"durability": "os", "retention_ms": 604_800_000, "segment_bytes": 1 << 30, "flush_ms": -1}),
        ({"flush.messages": "1"}, {"durability": "os", "flush_messages": 1}),
        ({"retention.ms": "-1", "retention.bytes": "5"}, {"retention_ms": -1, "retention_bytes": 5}),
        ({"retention.bytes": "-7"}, {"retention_bytes": -1}),
        ({"segment.ms": LONG_MAX}, {"segment_ms": -1}),
        ({"internal.segment.bytes": "100"}, {"segment_bytes": 100}),
        (
            {"cleanup.policy": "compact", "retention.bytes": "5"},
            {"retention_ms": -1, "retention_bytes": -1, "compact": True},
        ),
        ({"cleanup.policy": "compact,delete"}, {"retention_ms": 604_800_000, "compact": True}),
        ({}, {"compact": False, "min_cleanable_ratio": 0.5, "max_compaction_lag_ms": -1}),
        ({"delete.retention.ms": "7", "min.compaction.lag.ms": "8"}, {"delete_retention_ms": 7}),
        ({"cleanup.policy": ""}, {"retention_ms": -1}),
    ],
)
def test_settings_become_options_of_logs(settings: dict[str, str], expected: dict[str, Any]) -> None:
    made = options_of(settings)
    LogOptions(**made)
    assert {name: made[name] for name in expected} == expected


@pytest.mark.row("K33")
def test_every_log_of_a_topic_goes_by_its_settings_from_then_on(
    broker: Broker, client: Asking, topic: str
) -> None:
    assert options(broker, topic).retention_ms == 604_800_000
    alter(client, topic, ("retention.ms", SET, "1000"), ("segment.ms", SET, "500"))
    assert (options(broker, topic).retention_ms, options(broker, topic).segment_ms) == (1000, 500)
    client.ask("CreatePartitions", 3, topics=[{"name": topic, "count": 4, "assignments": None}])
    assert options(broker, topic).retention_ms == 1000
    alter(client, topic, ("retention.ms", REMOVE, None))
    assert options(broker, topic).retention_ms == 604_800_000


def test_writes_are_synced_one_by_one_where_the_topic_says_so(
    broker: Broker, client: Asking, topic: str
) -> None:
    assert not options(broker, topic).syncs_each_write
    alter(client, topic, ("flush.messages", SET, "1"))
    assert options(broker, topic).syncs_each_write


# --- altering ------------------------------------------------------------------------------------------


def test_lists_are_made_longer_and_shorter(client: Asking, topic: str) -> None:
    key = "cleanup.policy"
    for operation, word, left in (
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "delete", "compact"),
    ):
        assert alter(client, topic, (key, operation, word)).error_code.value == Code.NONE
        assert values(client, topic) == {key: left}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("retention.ms", APPEND, "1"), Code.INVALID_CONFIG),
        (("retention.ms", SUBTRACT, "1"), Code.INVALID_CONFIG),
        (("no.such.config", SET, "1"), Code.INVALID_CONFIG),
        (("no.such.config", APPEND, "1"), Code.INVALID_CONFIG),
        (("retention.ms", 4, "1"), Code.INVALID_REQUEST),
        (("retention.ms", SET, None), Code.INVALID_REQUEST),
        (("retention.ms", REMOVE, None), Code.NONE),
    ],
)
def test_what_cannot_be_done_to_a_config_is_refused(
    client: Asking, topic: str, change: tuple[str, int, str | None], code: Code
) -> None:
    assert alter(client, topic, change).error_code.value == code
    assert values(client, topic) == {}


@pytest.mark.parametrize("version", range(3))
def test_altering_all_configs_forgets_those_that_are_not_named(
    client: Asking, topic: str, version: int
) -> None:
    assert replace(client, topic, retention_ms="1", segment_ms="2").error_code.value == Code.NONE
    assert replace(client, topic, version=version, segment_ms="3").error_code.value == Code.NONE
    assert values(client, topic) == {"segment.ms": "3"}
    assert replace(client, topic, segment_ms=None).error_code.value == Code.INVALID_REQUEST
    assert replace(client, topic, nothing="1").error_code.value == Code.INVALID_CONFIG
    assert values(client, topic) == {"segment.ms": "3"}


def test_nothing_is_altered_where_it_is_only_tried(client: Asking, topic: str) -> None:
    configs = [{"name": "retention.ms", "value": "1"}]
    resource = {"resource_type": TOPIC, "resource_name": topic, "configs": configs}
    for api, version in (("AlterConfigs", 2), ("IncrementalAlterConfigs", 1)):
        (answer,) = client.ask(api, version, resources=[resource], validate_only=True).responses
        assert answer.error_code.value == Code.NONE
    assert values(client, topic) == {}


@pytest.mark.parametrize("api", ["AlterConfigs", "IncrementalAlterConfigs"])
@pytest.mark.parametrize(
    ("kind", "name", "configs", "code"),
    [
        (TOPIC, "nowhere", 1, Code.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "no way", 1, Code.INVALID_TOPIC_EXCEPTION),
        (BROKER, "1", 1, Code.INVALID_REQUEST),
        (BROKER, "", 1, Code.INVALID_REQUEST),
        (BROKER, "7", 1, Code.INVALID_REQUEST),
        (BROKER, "", 0, Code.NONE),
        (GROUP, "g", 1, Code.INVALID_CONFIG),
        (GROUP, "", 1, Code.INVALID_REQUEST),
        (99, "x", 1, Code.INVALID_REQUEST),
        (TOPIC, "nowhere", 2, Code.INVALID_REQUEST),
    ],
)
def test_only_what_has_configs_is_altered(
    client: Asking, api: str, kind: int, name: str, configs: int, code: Code
) -> None:
    given = [{"name": "retention.ms", "value": "1"}] * configs
    resource = {"resource_type": kind, "resource_name": name, "configs": given}
    (answer,) = client.ask(api, 1, resources=[resource]).responses
    assert answer.error_code.value == code


def test_a_resource_twice_in_a_request_is_refused_both_times(client: Asking, topic: str) -> None:
    resource = {"resource_type": TOPIC, "resource_name": topic, "configs": []}
    answers = client.ask("IncrementalAlterConfigs", 1, resources=[resource] * 2).responses
    assert [answer.error_code.value for answer in answers] == [Code.INVALID_REQUEST] * 2


# --- showing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 5))
def test_a_value_is_shown_with_its_source_and_what_stands_behind_it(
    client: Asking, topic: str, version: int
) -> None:
    alter(client, topic, ("retention.ms", SET, "1"))
    more = {"include_documentation": True} if version >= 3 else {}
    shown = show(client, TOPIC, topic, version, include_synonyms=True, **more)
    by_name = {config.name: config for config in shown.configs}
    retention = by_name["retention.ms"]
    assert (retention.value, retention.config_source, retention.read_only) == ("1", OF_TOPIC, False)
    assert [(each.name, each.value, each.source) for each in retention.synonyms] == [
        ("retention.ms", "1", OF_TOPIC),
    ]  # Kafka does not show log.retention.hours.
    assert by_name["segment.bytes"].config_source == BY_DEFAULT
    assert "internal.segment.bytes" not in by_name
    if version >= 3:
        assert retention.config_type == Kind.LONG
        assert all(config.documentation for config in shown.configs)


def test_without_asking_there_are_neither_synonyms_nor_texts(client: Asking, topic: str) -> None:
    for config in show(client, TOPIC, topic).configs:
        assert (config.synonyms, config.documentation) == ((), None)


def test_only_the_configs_that_are_asked_for_are_shown(client: Asking, topic: str) -> None:
    names = ["retention.ms", "no.such.config"]
    resource = {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": names}
    (shown,) = client.ask("DescribeConfigs", 4, resources=[resource]).results
    assert [config.name for config in shown.configs] == ["retention.ms"]


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nowhere", Code.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", Code.INVALID_TOPIC_EXCEPTION),
        (BROKER, "7", Code.INVALID_REQUEST),
        (99, "x", Code.INVALID_REQUEST),
    ],
)
def test_what_has_no_configs_is_told_so(client: Asking, kind: int, name: str, code: Code) -> None:
    shown = show(client, kind, name)
    assert (shown.error_code.value, shown.configs) == (code, ())
    assert (shown.resource_type, shown.resource_name) == (kind, name)


def test_the_brokers_configs_are_read_only_and_say_what_it_was_given() -> None:
    with (
        Broker(kafka_port=0, kafka_partitions=3, kafka_auto_create_topics=False) as broker,
        Asking(broker.kafka_bootstrap) as client,
    ):
        shown = {config.name: config for config in show(client, BROKER, "1", include_synonyms=True).configs}
        assert set(shown) == set(BROKER_CONFIGS)
        assert all(config.read_only for config in shown.values())
        partitions = shown["num.partitions"]
        assert (partitions.value, partitions.config_source) == ("3", OF_BROKER)
        assert [(each.value, each.source) for each in partitions.synonyms] == [
            ("3", OF_BROKER),
            ("1", BY_DEFAULT),
        ]
        assert shown["auto.create.topics.enable"].value == "false"
        assert show(client, BROKER, "").configs == ()


def test_the_broker_is_shown_to_administrators_alone() -> None:
    with Broker(kafka_port=0, kafka_anonymous_user="jane") as other:
        other.call(lambda server: server.core.add_user("jane", "secret"))
        rights = Permission("jane", "/", configure=".*", write=".*", read=".*")
        other.call(lambda server: server.core.set_permission(rights))
        with Asking(other.kafka_bootstrap) as client:
            assert show(client, BROKER, "1").error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED
            refused = alter(client, "1", ("log.retention.ms", SET, "1"), kind=BROKER)
            assert refused.error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED


# --- streams of other protocols ------------------------------------------------------------------------


def declare_stream(broker: Broker, name: str, **arguments: Any) -> None:
    given = {key.replace("_", "-"): value for key, value in arguments.items()}
    broker.call(
        lambda server: server.core.vhosts["/"].declare_queue(
            None, name, durable=True, arguments={"x-queue-type": "stream", **given}
        )
    )


def test_a_stream_of_another_protocol_shows_what_its_arguments_say(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as durable, Asking(durable.kafka_bootstrap) as client:
        declare_stream(durable, "by-amqp", x_max_age="1h", x_max_length_bytes=5000)
        assert values(client, "by-amqp") == {
            "flush.messages": "1",
            "retention.bytes": "5000",
            "retention.ms": "3600000",
            "segment.bytes": "500000000",
            "segment.ms": LONG_MAX,
        }


def test_a_stream_of_another_protocol_keeps_the_rest_when_something_is_altered(
    broker: Broker, client: Asking
) -> None:
    declare_stream(broker, "altered", x_max_age="1h", x_stream_max_segment_size_bytes=1000)
    before = options(broker, "altered")
    assert alter(client, "altered", ("retention.bytes", SET, "9")).error_code.value == Code.NONE
    after = options(broker, "altered")
    assert (after.retention_bytes, after.retention_ms) == (9, 3_600_000)
    assert (after.segment_bytes, after.syncs_each_write) == (before.segment_bytes, before.syncs_each_write)
    assert values(client, "altered")["internal.segment.bytes"] == "1000"
