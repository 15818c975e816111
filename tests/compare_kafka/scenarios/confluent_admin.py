"""confluent-kafka's administrator: topics, configs, partitions, records, the cluster."""

from __future__ import annotations

from typing import Any

from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    WAIT_S,
    admin,
    answer,
    answers,
    commit,
    consumer,
    producer,
    read_all,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario


def partitions_of(case: Case, name: str) -> int:
    """Return how many partitions a topic has; 0 if it is not there."""
    found = admin(case).list_topics(timeout=WAIT_S).topics.get(name)
    return len(found.partitions) if found else 0


@scenario("K31", "K75")
def create_topics(case: Case) -> None:
    """What is wrong with one of several does not keep the others from being made."""
    there = topic(case, "there", 3)
    asked = {
        "usual": NewTopic(case.name("usual"), 2, 1),
        "defaults": NewTopic(case.name("defaults")),
        "there": NewTopic(there, 1),
        "no partitions": NewTopic(case.name("none"), 0),
        "two replicas": NewTopic(case.name("replicas"), 1, 2),
        "assigned": NewTopic(case.name("assigned"), 2, replica_assignment=[[1], [1]]),
        "assigned elsewhere": NewTopic(case.name("elsewhere"), 1, replica_assignment=[[7]]),
        "unknown config": NewTopic(case.name("config"), 1, config={"no.such.config": "1"}),
        "wrong value": NewTopic(case.name("value"), 1, config={"retention.ms": "soon"}),
        "a space": NewTopic(f"a {case.name('space')}", 1),
        "a dot": NewTopic(".", 1),
        "two dots": NewTopic("..", 1),
        "250 characters": NewTopic("x" * 250, 1),
        "no name": NewTopic("", 1),
    }
    for kind, new in asked.items():
        case.saw(kind, answer(admin(case).create_topics([new], operation_timeout=1)))
    both = [NewTopic(case.name("good"), 1), NewTopic(there, 1)]
    case.saw("one of two", answers(admin(case).create_topics(both)))
    for word in ("usual", "defaults", "assigned", "good"):
        case.saw("partitions", word, partitions_of(case, case.name(word)))


@scenario("K31", "K75")
def names_that_collide(case: Case) -> None:
    """Dots and underscores are the same in metrics' names."""
    case.saw("dot", answer(admin(case).create_topics([NewTopic(case.name("a.b"), 1)])))
    case.saw("underscore", answer(admin(case).create_topics([NewTopic(case.name("a_b"), 1)])))


@scenario("K31")
def validate_only(case: Case) -> None:
    """Everything is checked and nothing made."""
    there = topic(case, "there")
    for kind, new in {
        "good": NewTopic(case.name("good"), 2),
        "there": NewTopic(there, 1),
        "two replicas": NewTopic(case.name("replicas"), 1, 2),
    }.items():
        case.saw(kind, answer(admin(case).create_topics([new], validate_only=True)))
    case.saw("partitions", partitions_of(case, case.name("good")))


@scenario("K31", "K75")
def delete_topics(case: Case) -> None:
    name = topic(case, "t")
    send(producer(case), name, values("old"))
    case.saw("deleted", answers(admin(case).delete_topics([name, case.name("gone")])))
    case.saw("again", answer(admin(case).delete_topics([name])))
    topic(case, "t")
    case.saw("a new one is empty", [message.value() for message in read_all(case, name)])


@scenario("K31", "K12")
def describe_topics(case: Case) -> None:
    name = topic(case, "t", 2)
    found = answers(admin(case).describe_topics(TopicCollection([name, case.name("gone")])))
    for key, each in found.items():
        if isinstance(each, str):
            case.saw("refused", key, each)
            continue
        case.saw("topic", each.name, each.is_internal, str(each.topic_id) != "")
        for part in each.partitions:
            nodes = [[node.id for node in some] for some in (part.replicas, part.isr)]
            case.saw("partition", part.id, part.leader.id, *nodes)


@scenario("K37")
def describe_cluster(case: Case) -> None:
    found = admin(case).describe_cluster().result(WAIT_S)
    case.saw("nodes", [[node.id, node.rack] for node in found.nodes], found.controller.id)
    case.saw("cluster id", len(found.cluster_id))
    case.saw("its address", f"{found.nodes[0].host}:{found.nodes[0].port}" == case.bootstrap)


def described(case: Case, resource: ConfigResource) -> dict[str, ConfigEntry]:
    found: dict[str, ConfigEntry] = answer(admin(case).describe_configs([resource]))
    return found


def source(entry: ConfigEntry) -> list[Any]:
    """Return a config as a line shows it."""
    synonyms = [[each.name, each.value, each.source] for each in entry.synonyms.values()]
    return [entry.value, entry.source, entry.is_default, entry.is_read_only, entry.is_sensitive, synonyms]


@scenario("K32", "K39")
def configs_of_a_topic(case: Case) -> None:
    """All that a topic has, each with its value, where that comes from, and what else it might be."""
    name = topic(case, "t", config={"retention.ms": "1000", "cleanup.policy": "compact,delete"})
    for config, entry in sorted(described(case, ConfigResource(ResourceType.TOPIC, name)).items()):
        case.saw(config, *source(entry))


BROKER_CONFIGS = (
    "auto.create.topics.enable",
    "log.cleanup.policy",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "node.id",
    "num.partitions",
    "offsets.retention.minutes",
    "transaction.max.timeout.ms",
)


@scenario("K32")
def configs_of_the_broker(case: Case) -> None:
    found = described(case, ConfigResource(ResourceType.BROKER, "1"))
    for config in BROKER_CONFIGS:
        case.saw(config, *(source(found[config]) if config in found else ["not there"]))


@scenario("K32", "K75")
def configs_of_no_topic(case: Case) -> None:
    gone = ConfigResource(ResourceType.TOPIC, case.name("gone"))
    case.saw("no such topic", answer(admin(case).describe_configs([gone])))


SHOWN = ("retention.ms", "max.message.bytes", "cleanup.policy")


@scenario("K32", "K75")
def altered_configs(case: Case) -> None:
    """Incrementally: what is not named stays. As a whole: what is not named goes back to its default."""
    name = topic(case, "t", config={"retention.ms": "1000"})
    client = admin(case)

    def show(kind: str, result: Any) -> None:
        found = described(case, ConfigResource(ResourceType.TOPIC, name))
        case.saw(kind, result, {config: [found[config].value, found[config].source] for config in SHOWN})

    def incremental(*entries: tuple[str, str | None, AlterConfigOpType]) -> Any:
        changes = [ConfigEntry(config, value, incremental_operation=kind) for config, value, kind in entries]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
        return answer(client.incremental_alter_configs([resource]))

    kind = AlterConfigOpType
    show("set", incremental(("max.message.bytes", "5000", kind.SET)))
    show("append", incremental(("cleanup.policy", "compact", kind.APPEND)))
    show("subtract", incremental(("cleanup.policy", "delete", kind.SUBTRACT)))
    show("delete", incremental(("retention.ms", None, kind.DELETE)))
    show("append to what is no list", incremental(("retention.ms", "7", kind.APPEND)))
    show("wrong value", incremental(("retention.ms", "soon", kind.SET)))
    show("out of range", incremental(("max.message.bytes", "-5", kind.SET)))
    show("unknown", incremental(("no.such.config", "1", kind.SET)))
    show("one of two is wrong", incremental(("retention.ms", "9", kind.SET), ("no.such", "1", kind.SET)))
    whole = ConfigResource(ResourceType.TOPIC, name, set_config={"retention.ms": "2000"})
    show("as a whole", answer(client.alter_configs([whole])))
    gone = ConfigResource(ResourceType.TOPIC, case.name("gone"), set_config={"retention.ms": "2000"})
    case.saw("no such topic", answer(client.alter_configs([gone])))


@scenario("K31", "K75")
def more_partitions(case: Case) -> None:
    name = topic(case, "t", 2)
    for kind, new in {
        "more": NewPartitions(name, 4),
        "fewer": NewPartitions(name, 3),
        "as many": NewPartitions(name, 4),
        "no such topic": NewPartitions(case.name("gone"), 4),
    }.items():
        case.saw(kind, answer(admin(case).create_partitions([new])))
    only = admin(case).create_partitions([NewPartitions(name, 6)], validate_only=True)
    case.saw("validated only", answer(only), partitions_of(case, name))
    case.saw("delivered", send(producer(case), name, [{"value": "x", "partition": 3}]))


@scenario("K35", "K75")
def delete_records(case: Case) -> None:
    """What stands before an offset is gone; -1 means all."""
    name = topic(case, "t")
    send(producer(case), name, values(*range(10)))
    for before in (3, 2, 11, -1):
        found = answer(admin(case).delete_records([TopicPartition(name, 0, before)]))
        case.saw(f"before {before}", getattr(found, "low_watermark", found))
        case.saw("left", [message.offset() for message in read_all(case, name)])
    gone = TopicPartition(case.name("gone"), 0, 1)
    case.saw("no such topic", answer(admin(case).delete_records([gone], request_timeout=1)))


@scenario("K38")
def internal_topics(case: Case) -> None:
    """Offsets of groups are in a topic that is listed as internal; nobody may write to it."""
    name = topic(case, "t")
    client = consumer(case)
    commit(client, TopicPartition(name, 0, 0))  # The topic is there from the first offset on.
    client.close()
    offsets = "__consumer_offsets"
    case.saw("made", answer(admin(case).create_topics([NewTopic(offsets, 1)])))
    case.saw("internal", answer(admin(case).describe_topics(TopicCollection([offsets]))).is_internal)
    case.saw("listed", offsets in admin(case).list_topics(timeout=WAIT_S).topics)
    case.saw("written", send(producer(case, {"message.timeout.ms": 2000}), offsets, values("x")))
