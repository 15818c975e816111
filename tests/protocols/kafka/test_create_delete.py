"""CreateTopics, CreatePartitions and DeleteTopics: every refusal, and what is there afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from tests.protocols.kafka.asking import Asking

pytestmark = pytest.mark.row("K31")


def wanted(name: str, partitions: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "num_partitions": partitions, "replication_factor": -1, **more}


def create(client: Asking, *topics: dict[str, Any], version: int = 7, validate_only: bool = False) -> Any:
    return client.ask("CreateTopics", version, topics=topics, validate_only=validate_only).topics


def code_of(client: Asking, *topics: dict[str, Any], validate_only: bool = False) -> int:
    return create(client, *topics, validate_only=validate_only)[0].error_code.value


def partitions_of(broker: Broker, name: str) -> int | None:
    def look(server: Any) -> int | None:
        topic = server.core.vhosts["/"].topics.get(name)
        return None if topic is None else len(topic.partitions)

    return broker.call(look)


@pytest.mark.parametrize("version", range(2, 8))
def test_a_topic_is_made_by_every_version(broker: Broker, client: Asking, version: int) -> None:
    name = f"made-{version}"
    (made,) = create(client, wanted(name, 3), version=version)
    assert made.error_code.value == Code.NONE
    assert partitions_of(broker, name) == 3
    if version >= 5:
        assert (made.num_partitions, made.replication_factor) == (3, 1)
        assert {config.name: config.value for config in made.configs}["retention.ms"] == "604800000"


def test_the_answer_has_the_id_by_which_the_topic_is_found(broker: Broker, client: Asking) -> None:
    (made,) = create(client, wanted("with-id"))
    name = broker.call(lambda server: server.core.vhosts["/"].topics.by_id(made.topic_id.bytes).name)
    assert name == "with-id"


@pytest.mark.row("R84")
def test_a_partition_of_a_topic_is_no_topic_and_is_not_deleted_as_one(broker: Broker, client: Asking) -> None:
    """Its stream has a name of its own, which no new topic may have; the topic stays whole."""
    assert code_of(client, wanted("whole", 2)) == Code.NONE
    (deleted,) = client.ask("DeleteTopics", 6, topics=[{"name": "whole-0", "topic_id": None}]).responses
    assert deleted.error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION
    (shown,) = client.ask("Metadata", 12, topics=[{"name": "whole-0"}], allow_auto_topic_creation=True).topics
    assert shown.error_code.value == Code.INVALID_TOPIC_EXCEPTION
    assert partitions_of(broker, "whole") == 2


def test_partitions_are_as_many_as_the_broker_says_where_nobody_does() -> None:
    with Broker(kafka_port=0, kafka_partitions=4) as broker, Asking(broker.kafka_bootstrap) as client:
        assert create(client, wanted("many", -1))[0].num_partitions == 4


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250, "__cluster_metadata"], ids=lambda name: name[:5]
)
def test_a_name_that_no_topic_may_have_is_refused(client: Asking, name: str) -> None:
    assert code_of(client, wanted(name)) == Code.INVALID_TOPIC_EXCEPTION


def test_the_longest_name_is_allowed(client: Asking) -> None:
    assert code_of(client, wanted("x" * 249)) == Code.NONE


def test_a_name_that_differs_in_dots_and_underscores_alone_is_refused(client: Asking) -> None:
    assert code_of(client, wanted("col.li_de")) == Code.NONE
    (refused,) = create(client, wanted("col_li.de"))
    assert refused.error_code.value == Code.INVALID_TOPIC_EXCEPTION
    assert "col.li_de" in refused.error_message


def test_a_topic_that_is_there_is_not_made_again(client: Asking) -> None:
    create(client, wanted("twice"))
    assert code_of(client, wanted("twice")) == Code.TOPIC_ALREADY_EXISTS


def test_the_name_of_something_else_is_refused(broker: Broker, client: Asking) -> None:
    broker.call(lambda server: server.core.vhosts["/"].declare_queue(None, "taken-1", durable=True))
    assert code_of(client, wanted("taken-1")) == Code.INVALID_TOPIC_EXCEPTION
    for validate_only in (True, False):
        assert (
            code_of(client, wanted("taken", 3), validate_only=validate_only) == Code.INVALID_TOPIC_EXCEPTION
        )
    assert partitions_of(broker, "taken") is None


@pytest.mark.parametrize("partitions", [0, -2, 1001])
def test_a_number_of_partitions_that_cannot_be_is_refused(client: Asking, partitions: int) -> None:
    assert code_of(client, wanted("partitions", partitions)) == Code.INVALID_PARTITIONS


@pytest.mark.parametrize(
    ("factor", "code"),
    [
        (-1, Code.NONE),
        (1, Code.NONE),
        (0, Code.INVALID_REPLICATION_FACTOR),
        (-2, Code.INVALID_REPLICATION_FACTOR),
        (2, Code.INVALID_REPLICATION_FACTOR),
    ],
)
def test_replicas_are_one_or_the_default(client: Asking, factor: int, code: Code) -> None:
    topic = {"name": f"replicas{factor}", "num_partitions": 1, "replication_factor": factor}
    assert code_of(client, topic) == code


def placed(*brokers: list[int], first: int = 0) -> list[dict[str, Any]]:
    return [{"partition_index": first + index, "broker_ids": nodes} for index, nodes in enumerate(brokers)]


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (wanted("a", -1, assignments=placed([1], [1])), Code.NONE),
        (wanted("b", 2, assignments=placed([1], [1])), Code.INVALID_REQUEST),
        (wanted("c", -1, assignments=placed([1]), replication_factor=1), Code.INVALID_REQUEST),
        (wanted("d", -1, assignments=placed([2])), Code.INVALID_REPLICA_ASSIGNMENT),
        (wanted("e", -1, assignments=placed([1, 1])), Code.INVALID_REPLICA_ASSIGNMENT),
        (wanted("f", -1, assignments=placed([])), Code.INVALID_REPLICA_ASSIGNMENT),
        (wanted("g", -1, assignments=placed([1], first=1)), Code.INVALID_REPLICA_ASSIGNMENT),
        (wanted("h", -1, assignments=placed([1]) * 2), Code.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_partitions_can_be_placed_on_this_node_alone(
    broker: Broker, client: Asking, topic: dict[str, Any], code: Code
) -> None:
    topic = {**topic, "name": f"placed-{topic['name']}"}
    assert code_of(client, topic) == code
    assert partitions_of(broker, topic["name"]) == (2 if code == Code.NONE else None)


@pytest.mark.parametrize(
    ("config", "value"),
    [("no.such.config", "1"), ("retention.ms", "soon"), ("retention.ms", "-2"), ("retention.ms", None)],
)
def test_a_config_that_is_not_valid_is_refused(
    broker: Broker, client: Asking, config: str, value: str | None
) -> None:
    (refused,) = create(client, wanted("configured", configs=[{"name": config, "value": value}]))
    assert refused.error_code.value == Code.INVALID_CONFIG
    assert config in refused.error_message
    assert partitions_of(broker, "configured") is None


def test_one_topic_twice_in_a_request_is_refused_and_answered_once(client: Asking) -> None:
    """As Kafka does it: see `compare_kafka.scenarios.raw_errors`."""
    codes = [made.error_code.value for made in create(client, wanted("dup"), wanted("dup"), wanted("undup"))]
    assert codes == [Code.INVALID_REQUEST, Code.NONE]


def test_validate_only_makes_nothing(broker: Broker, client: Asking) -> None:
    (made,) = create(client, wanted("only", 2), validate_only=True)
    assert (made.error_code.value, made.num_partitions) == (Code.NONE, 2)
    assert partitions_of(broker, "only") is None


# --- more partitions -----------------------------------------------------------------------------------


def grow(client: Asking, name: str, count: int, *, version: int = 3, **more: Any) -> Any:
    topics = [{"name": name, "count": count, "assignments": None, **more}]
    return client.ask("CreatePartitions", version, topics=topics).results[0]


@pytest.mark.parametrize("version", range(4))
def test_a_topic_gets_more_partitions_by_every_version(broker: Broker, client: Asking, version: int) -> None:
    name = f"grows-{version}"
    create(client, wanted(name))
    assert grow(client, name, 4, version=version).error_code.value == Code.NONE
    assert partitions_of(broker, name) == 4


@pytest.mark.parametrize(
    ("count", "assignments", "code"),
    [
        (2, None, Code.INVALID_PARTITIONS),
        (1, None, Code.INVALID_PARTITIONS),
        (-1, None, Code.INVALID_PARTITIONS),
        (1001, None, Code.INVALID_PARTITIONS),
        (4, [[1]], Code.INVALID_REPLICA_ASSIGNMENT),
        (4, [[1], [2]], Code.INVALID_REPLICA_ASSIGNMENT),
        (4, [[1], []], Code.INVALID_REPLICA_ASSIGNMENT),
        (4, [[1], [1]], Code.NONE),
    ],
)
def test_growth_that_cannot_be_is_refused(
    broker: Broker, client: Asking, count: int, assignments: list[list[int]] | None, code: Code
) -> None:
    create(client, wanted("two", 2))
    nodes = None if assignments is None else [{"broker_ids": each} for each in assignments]
    assert grow(client, "two", count, assignments=nodes).error_code.value == code
    assert partitions_of(broker, "two") == (4 if code == Code.NONE else 2)
    client.ask("DeleteTopics", 6, topics=[{"name": "two"}])


def test_growth_onto_a_name_that_is_taken_is_refused_as_a_whole(broker: Broker, client: Asking) -> None:
    create(client, wanted("narrow"))
    broker.call(lambda server: server.core.vhosts["/"].declare_queue(None, "narrow-2", durable=True))
    assert grow(client, "narrow", 3).error_code.value == Code.INVALID_PARTITIONS
    assert partitions_of(broker, "narrow") == 1
    assert broker.call(lambda server: "narrow-1" in server.core.vhosts["/"].queues) is False


def test_growth_of_what_is_missing_or_named_twice_is_refused(client: Asking) -> None:
    assert grow(client, "nowhere", 2).error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION
    create(client, wanted("grow-twice"))
    topics = [{"name": "grow-twice", "count": 2}] * 2
    results = client.ask("CreatePartitions", 3, topics=topics).results
    assert [result.error_code.value for result in results] == [Code.INVALID_REQUEST] * 2


def test_growth_is_tried_without_being_done(broker: Broker, client: Asking) -> None:
    create(client, wanted("try-to-grow"))
    topics = [{"name": "try-to-grow", "count": 2, "assignments": None}]
    (result,) = client.ask("CreatePartitions", 3, topics=topics, validate_only=True).results
    assert result.error_code.value == Code.NONE
    assert partitions_of(broker, "try-to-grow") == 1


# --- deleting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 7))
def test_a_topic_is_deleted_by_every_version(broker: Broker, client: Asking, version: int) -> None:
    name = f"goes-{version}"
    create(client, wanted(name, 2))
    asked = {"topics": [{"name": name}]} if version >= 6 else {"topic_names": [name]}
    (gone,) = client.ask("DeleteTopics", version, timeout=1000, **asked).responses
    assert (gone.name, gone.error_code.value) == (name, Code.NONE)
    assert partitions_of(broker, name) is None


@pytest.mark.row("K12")
def test_a_topic_is_deleted_by_its_id(broker: Broker, client: Asking) -> None:
    (made,) = create(client, wanted("goes-by-id"))
    identity = made.topic_id.bytes
    (gone,) = client.ask("DeleteTopics", 6, topics=[{"topic_id": identity}]).responses
    assert (gone.name, gone.error_code.value) == ("goes-by-id", Code.NONE)
    (again,) = client.ask("DeleteTopics", 6, topics=[{"topic_id": identity}]).responses
    assert again.error_code.value == Code.UNKNOWN_TOPIC_ID
    assert partitions_of(broker, "goes-by-id") is None


def test_deletions_that_make_no_sense_are_refused(client: Asking) -> None:
    asked: list[dict[str, Any]] = [
        {"name": "nowhere"},
        {},
        {"name": "both", "topic_id": b"x" * 16},
        {"name": "dup"},
        {"name": "dup"},
        {"topic_id": b"y" * 16},
        {"topic_id": b"y" * 16},
    ]
    answers = client.ask("DeleteTopics", 6, topics=asked).responses
    assert [answer.error_code.value for answer in answers] == [
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        *[Code.INVALID_REQUEST] * 6,
    ]


def test_a_topic_that_is_made_anew_has_another_id(client: Asking) -> None:
    (first,) = create(client, wanted("anew"))
    client.ask("DeleteTopics", 6, topics=[{"name": "anew"}])
    (second,) = create(client, wanted("anew"))
    assert first.topic_id != second.topic_id


# --- permissions and restarts --------------------------------------------------------------------------


def test_who_may_not_configure_a_name_neither_makes_nor_alters_nor_deletes_it() -> None:
    with Broker(kafka_port=0) as broker:
        with Asking(broker.kafka_bootstrap) as client:
            create(client, wanted("theirs"), wanted("hidden"))
            (hidden,) = create(client, wanted("hidden-id"))
        rights = Permission("guest", "/", configure="^mine", write="", read="^theirs")
        broker.call(lambda server: server.core.set_permission(rights))
        with Asking(broker.kafka_bootstrap) as client:
            assert code_of(client, wanted("mine")) == Code.NONE
            assert code_of(client, wanted("other")) == Code.TOPIC_AUTHORIZATION_FAILED
            assert grow(client, "theirs", 2).error_code.value == Code.TOPIC_AUTHORIZATION_FAILED
            asked = [{"name": "theirs"}, {"name": "hidden"}, {"topic_id": hidden.topic_id.bytes}]
            answers = client.ask("DeleteTopics", 6, topics=asked).responses
            assert {answer.error_code.value for answer in answers} == {Code.TOPIC_AUTHORIZATION_FAILED}
            assert answers[2].name is None
            kinds = [(2, "theirs"), (2, "hidden")]
            resources = [{"resource_type": kind, "resource_name": name} for kind, name in kinds]
            shown = client.ask("DescribeConfigs", 4, resources=resources).results
            assert [each.error_code.value for each in shown] == [Code.NONE, Code.TOPIC_AUTHORIZATION_FAILED]
            altered = client.ask("AlterConfigs", 2, resources=resources).responses
            assert {each.error_code.value for each in altered} == {Code.TOPIC_AUTHORIZATION_FAILED}


def test_topics_and_their_settings_outlive_a_restart(tmp_path: Path) -> None:
    config = [{"name": "retention.ms", "value": "1000"}]
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        (made,) = create(client, wanted("stays", 2, configs=config))
        create(client, wanted("gone"))
        client.ask("DeleteTopics", 6, topics=[{"name": "gone"}])
        grow(client, "stays", 3)
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert partitions_of(broker, "stays") == 3
        assert partitions_of(broker, "gone") is None

        def look(server: Any) -> Any:
            topic = server.core.vhosts["/"].topics.get("stays")
            return topic.id, {stream.log.options.retention_ms for stream in topic.partitions}

        assert broker.call(look) == (made.topic_id.bytes, {1000})
