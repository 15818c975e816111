"""confluent-kafka: ACLs as an administrator makes them, and what they leave to a user who is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from bench.kafka_peer import USERS
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    COMMON,
    WAIT_S,
    admin,
    answer,
    answers,
    attempt,
    consumer,
    producer,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario

ALLOW, DENY = AclPermissionType.ALLOW, AclPermissionType.DENY
LITERAL, PREFIXED = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.BROKER
DO = AclOperation
ALICE = "User:alice"
LOGIN = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "alice",
    "sasl.password": USERS["alice"],
}


def alice(case: Case) -> dict[str, Any]:
    return {**LOGIN, "bootstrap.servers": case.sasl_bootstrap}


def rule(
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    effect: AclPermissionType = ALLOW,
    pattern: ResourcePatternType = LITERAL,
    who: str = ALICE,
    host: str = "*",
) -> AclBinding:
    return AclBinding(kind, name, pattern, who, host, operation, effect)


def filter_of(
    kind: ResourceType = ResourceType.ANY,
    name: str | None = None,
    pattern: ResourcePatternType = ResourcePatternType.ANY,
    who: str | None = None,
) -> AclBindingFilter:
    return AclBindingFilter(kind, name, pattern, who, None, AclOperation.ANY, AclPermissionType.ANY)


def shown(case: Case, acl: AclBinding) -> list[Any]:
    parts = (acl.restype, acl.name, acl.resource_pattern_type, acl.principal, acl.host)
    return [*parts, acl.operation, acl.permission_type]


def listed(case: Case, wanted: AclBindingFilter) -> list[list[Any]]:
    found = admin(case).describe_acls(wanted).result(WAIT_S)
    return sorted((shown(case, acl) for acl in found), key=str)


def add(case: Case, *acls: AclBinding) -> None:
    """Make ACLs and wait until the broker goes by them."""
    made = answers(admin(case).create_acls(list(acls)))
    assert set(made.values()) == {None}, made
    for acl in acls:
        one = AclBindingFilter(
            acl.restype,
            acl.name,
            acl.resource_pattern_type,
            acl.principal,
            acl.host,
            acl.operation,
            acl.permission_type,
        )
        until(lambda one=one: admin(case).describe_acls(one).result(WAIT_S))  # type: ignore[misc]


def until(is_so: Callable[[], Any]) -> None:
    """Ask until it is so; a broker of a cluster hears of a change a moment after it was made."""
    deadline = time.monotonic() + WAIT_S
    while not is_so() and time.monotonic() < deadline:
        pass


def sent(case: Case, name: str, text: str) -> Any:
    """What becomes of a record of alice."""
    client = producer(case, {**alice(case), "message.timeout.ms": 3000})
    return attempt(lambda: send(client, name, values(text)))


def fetched(case: Case, name: str) -> Any:
    """What alice gets who reads a topic from its beginning, without a group.

    A connection that was lost is no answer: the library makes another one, and says so for the log's sake.
    """
    errors: list[Any] = []

    def note(error: KafkaError) -> None:
        if error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            errors.append(error)

    settings = {**alice(case), "enable.partition.eof": False, "error_cb": note}
    client = consumer(case, settings)
    client.assign([TopicPartition(name, 0, 0)])
    deadline = time.monotonic() + WAIT_S
    message = None
    while message is None and not errors and time.monotonic() < deadline:
        message = client.poll(0.1)
    client.close()
    error = errors[0] if errors else message and message.error()
    return error.name() if error else message and message.value()


@scenario("K73")
def listed_and_removed(case: Case) -> None:
    """By exact names, by whatever concerns a name, by user; filters say which are gone."""
    name, other = case.name("orders"), case.name("stock")
    acls = [
        rule(TOPIC, name, DO.READ),
        rule(TOPIC, name, DO.READ, DENY, who="User:mallory", host="10.0.0.7"),
        rule(TOPIC, name[:4], DO.WRITE, pattern=PREFIXED, who=f"User:{name}"),
        rule(GROUP, other, DO.ALL),
    ]
    add(case, *acls)
    add(case, acls[0])
    for pattern in (LITERAL, PREFIXED, ResourcePatternType.ANY, ResourcePatternType.MATCH):
        case.saw(pattern.name, [each[:4] for each in listed(case, filter_of(TOPIC, name, pattern))])
    case.saw("of alice", len(listed(case, filter_of(GROUP, other, who=ALICE))))
    case.saw("of nobody", listed(case, filter_of(TOPIC, name, who="User:nobody")))
    gone = answer(admin(case).delete_acls([filter_of(TOPIC, name)]))
    case.saw("gone", sorted((shown(case, acl) for acl in gone), key=str))
    until(lambda: not listed(case, filter_of(TOPIC, name)))
    case.saw("left", listed(case, filter_of(TOPIC, name, ResourcePatternType.MATCH)))
    answer(admin(case).delete_acls([filter_of(who=f"User:{name}"), filter_of(GROUP, other)][:1]))
    case.saw("again", answer(admin(case).delete_acls([filter_of(TOPIC, name)])))


@scenario("K73")
def invalid(case: Case) -> None:
    for kind, name, who in (
        (CLUSTER, case.name("cluster"), ALICE),
        (TOPIC, case.name("t"), "alice"),
        (TOPIC, "", ALICE),
    ):
        made = attempt(lambda it=(kind, name, who): create(case, *it))  # type: ignore[misc]
        case.saw(kind.name, who, made)


def create(case: Case, kind: ResourceType, name: str, who: str) -> Any:
    return answer(admin(case).create_acls([rule(kind, name, DO.READ, who=who)]))


@scenario("K73", "K75")
def produce_and_fetch(case: Case) -> None:
    """A topic that no ACL is about is for all; then for those who are allowed; a refusal counts more."""
    name = topic(case, "t")
    case.saw("free", sent(case, name, "a"), fetched(case, name))
    add(case, rule(TOPIC, name, DO.WRITE, who="User:bob"))
    case.saw("bob's", sent(case, name, "b"))
    add(case, rule(TOPIC, name, DO.WRITE))
    case.saw("writes", sent(case, name, "c"), fetched(case, name))
    add(case, rule(TOPIC, name[:-1], DO.READ, pattern=PREFIXED), rule(TOPIC, name, DO.READ))
    case.saw("reads", fetched(case, name))
    add(case, rule(TOPIC, name, DO.READ, DENY, host="127.0.0.1"))
    case.saw("not from here", fetched(case, name), sent(case, name, "d"))


@scenario("K73", "K31", "K32", "K75")
def administer(case: Case) -> None:
    """What a right to one topic lets a user do to it, and to the cluster."""
    mine, hers = case.name("mine"), topic(case, "hers")
    client = AdminClient({**COMMON, **alice(case)})
    add(
        case,
        rule(CLUSTER, "kafka-cluster", DO.DESCRIBE, who="User:bob"),
        rule(TOPIC, mine, DO.CREATE),
        rule(TOPIC, hers, DO.ALTER_CONFIGS, who="User:bob"),
    )
    case.saw("made", answer(client.create_topics([NewTopic(mine, 1)])))
    case.saw("seen", mine in client.list_topics(timeout=WAIT_S).topics)
    case.saw("removed", answer(client.delete_topics([mine], operation_timeout=WAIT_S)))
    case.saw("hers removed", answer(client.delete_topics([hers])))
    case.saw("hers grown", answer(client.create_topics([NewTopic(hers, 1)])))
    case.saw("hers seen", hers in client.list_topics(timeout=WAIT_S).topics)
    add(case, rule(TOPIC, mine, DO.DELETE))
    case.saw("seen now", mine in client.list_topics(timeout=WAIT_S).topics)
    case.saw("removed now", answer(client.delete_topics([mine], operation_timeout=WAIT_S)))
    case.saw("acls", attempt(lambda: len(client.describe_acls(filter_of(TOPIC, hers)).result(WAIT_S))))
    case.saw("new acl", answer(client.create_acls([rule(TOPIC, hers, DO.READ)])))
    gone = answer(admin(case).delete_acls([filter_of(CLUSTER)]))
    case.saw("cluster", len(gone))
    until(lambda: not listed(case, filter_of(CLUSTER)))


@scenario("K73", "K57", "K75")
def groups(case: Case) -> None:
    """Joining, reading offsets and deleting a group are rights to its name."""
    name, group = topic(case, "t"), case.name("group")
    add(case, rule(GROUP, group, DO.DESCRIBE))
    client = consumer(case, {**alice(case), "group.id": group})
    client.subscribe([name])
    message = client.poll(WAIT_S)
    case.saw("joined", message.error().name() if message is not None and message.error() else "yes")
    client.close()
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0)])]
    user = AdminClient({**COMMON, **alice(case)})

    def offsets() -> Any:
        return [place.offset for place in answer(user.list_consumer_group_offsets(asked)).topic_partitions]

    case.saw("offsets", attempt(offsets))
    case.saw("deleted", answer(user.delete_consumer_groups([group])))
    add(case, rule(GROUP, group, DO.READ))
    reader = consumer(case, {**alice(case), "group.id": group})
    send(producer(case), name, values("x"))
    reader.subscribe([name])
    found = reader.poll(WAIT_S)
    case.saw("reads", found.value() if found is not None and not found.error() else "nothing")
    reader.close()
