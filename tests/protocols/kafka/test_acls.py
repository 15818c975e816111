"""Kafka's ACLs: what is decided by them, how they are asked for and kept, and whom they let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import User
from pillarbox.broker.core import Core
from pillarbox.protocols.kafka.acls import ANSWERS_MAX, Acl, AclFilter, Acls, Effect, Pattern
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.rights import (
    ALTER_CLUSTER,
    ALTER_TOPIC_CONFIGS,
    CLUSTER_NAME,
    READ_GROUP,
    READ_TOPIC,
    SEE_TOPIC,
    SEE_TOPIC_CONFIGS,
    WRITE_TOPIC,
    Operation,
    Resource,
    Right,
)
from pillarbox.testing.memory_journal import MemoryJournal
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.party import Party
from tests.protocols.kafka.test_credentials import alter, logs_in, upsertion

ALLOW, DENY = Effect.ALLOW, Effect.DENY
LITERAL, PREFIXED = Pattern.LITERAL, Pattern.PREFIXED
ALICE, ROOT = User("alice", ""), User("root", "", tags=("administrator",))
HERE = "10.0.0.1"
ACL_BROKER = {"kafka_port": 0, "kafka_authorizer": "acl"}


def rule(
    name: str = "orders",
    operation: Operation = Operation.READ,
    effect: Effect = ALLOW,
    *,
    pattern: Pattern = LITERAL,
    resource: Resource = Resource.TOPIC,
    principal: str = "User:alice",
    host: str = "*",
) -> Acl:
    return Acl(resource, pattern, name, principal, host, operation, effect)


@pytest.fixture
def core() -> Core:
    return Core(MemoryJournal(), now_ms=0, random=bytes, wake=lambda: None)


def acls_of(core: Core, *rules: Acl, open_by_default: bool = False) -> Acls:
    acls = Acls(core, open_by_default=open_by_default)
    for each in rules:
        acls.add(each)
    return acls


# --- what is decided -----------------------------------------------------------------------------------


@pytest.mark.row("K73")
@pytest.mark.parametrize(
    ("rules", "right", "name", "allowed"),
    [
        ([], READ_TOPIC, "orders", False),
        ([rule()], READ_TOPIC, "orders", True),
        ([rule()], READ_TOPIC, "orders2", False),
        ([rule()], READ_GROUP, "orders", False),
        ([rule()], WRITE_TOPIC, "orders", False),
        ([rule("*")], READ_TOPIC, "orders", True),
        ([rule("*", pattern=PREFIXED)], READ_TOPIC, "orders", False),
        ([rule("or", pattern=PREFIXED)], READ_TOPIC, "orders", True),
        ([rule("orders-", pattern=PREFIXED)], READ_TOPIC, "orders", False),
        ([rule(operation=Operation.ALL)], WRITE_TOPIC, "orders", True),
        ([rule(principal="User:*")], READ_TOPIC, "orders", True),
        ([rule(principal="User:bob")], READ_TOPIC, "orders", False),
        ([rule(principal="Group:alice")], READ_TOPIC, "orders", False),
        ([rule(host=HERE)], READ_TOPIC, "orders", True),
        ([rule(host="10.0.0.2")], READ_TOPIC, "orders", False),
        ([rule(), rule(effect=DENY)], READ_TOPIC, "orders", False),
        ([rule(), rule("o", effect=DENY, pattern=PREFIXED)], READ_TOPIC, "orders", False),
        ([rule(), rule("*", Operation.ALL, DENY)], READ_TOPIC, "orders", False),
        ([rule(), rule(effect=DENY, host="10.0.0.2")], READ_TOPIC, "orders", True),
        ([rule()], SEE_TOPIC, "orders", True),
        ([rule(operation=Operation.ALTER)], SEE_TOPIC, "orders", True),
        ([rule(operation=Operation.ALTER_CONFIGS)], SEE_TOPIC_CONFIGS, "orders", True),
        ([rule(operation=Operation.ALTER_CONFIGS)], SEE_TOPIC, "orders", False),
        ([rule(operation=Operation.DESCRIBE)], READ_TOPIC, "orders", False),
        ([rule(operation=Operation.DESCRIBE_CONFIGS)], ALTER_TOPIC_CONFIGS, "orders", False),
        ([rule(operation=Operation.DESCRIBE), rule(effect=DENY)], SEE_TOPIC, "orders", True),
    ],
)
def test_a_right_is_there_if_an_acl_gives_it_and_none_refuses_it(
    core: Core, rules: list[Acl], right: Right, name: str, allowed: bool
) -> None:
    """Refusing somebody to read does not keep it from being seen: only allowances imply others."""
    assert acls_of(core, *rules).allows(ALICE, HERE, right, name) is allowed


@pytest.mark.row("K73")
def test_what_no_acl_is_about_is_for_everybody_only_if_the_operator_says_so(core: Core) -> None:
    acls = acls_of(core, rule(principal="User:bob"), open_by_default=True)
    assert acls.allows(ALICE, HERE, WRITE_TOPIC, "stock")
    assert not acls.allows(ALICE, HERE, READ_TOPIC, "orders")
    assert acls.allows(ALICE, HERE, ALTER_CLUSTER, CLUSTER_NAME)


@pytest.mark.row("K73")
def test_an_administrator_may_do_everything_whatever_acls_say(core: Core) -> None:
    acls = acls_of(core, rule(effect=DENY, principal="User:root"), rule("*", effect=DENY, principal="User:*"))
    assert acls.allows(ROOT, HERE, READ_TOPIC, "orders")
    assert acls.allows_any(ROOT, HERE, READ_TOPIC)


@pytest.mark.row("K73")
@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], False),
        ([rule()], True),
        ([rule(effect=DENY)], False),
        ([rule(), rule(effect=DENY)], False),
        ([rule(), rule("stock", effect=DENY)], True),
        ([rule(), rule("or", effect=DENY, pattern=PREFIXED)], False),
        ([rule("o", pattern=PREFIXED), rule("or", effect=DENY, pattern=PREFIXED)], True),
        ([rule("*"), rule("o", effect=DENY, pattern=PREFIXED)], True),
        ([rule("stock"), rule("*", effect=DENY)], False),
        ([rule(operation=Operation.WRITE)], False),
        ([rule(principal="User:bob")], False),
    ],
)
def test_there_is_a_right_to_something_unless_refusals_leave_nothing_of_it(
    core: Core, rules: list[Acl], allowed: bool
) -> None:
    assert acls_of(core, *rules).allows_any(ALICE, HERE, READ_TOPIC) is allowed


@pytest.mark.row("K73")
def test_an_answer_that_is_remembered_is_forgotten_with_the_acl(core: Core) -> None:
    acls = acls_of(core)
    assert not acls.allows(ALICE, HERE, READ_TOPIC, "orders")
    acls.add(rule())
    assert acls.allows(ALICE, HERE, READ_TOPIC, "orders")
    acls.remove(rule())
    assert not acls.allows(ALICE, HERE, READ_TOPIC, "orders")


@pytest.mark.row("K73")
def test_no_more_answers_are_remembered_than_there_is_room_for(core: Core) -> None:
    acls = acls_of(core)
    for number in range(ANSWERS_MAX + 1):
        acls.allows(ALICE, HERE, READ_TOPIC, f"t{number}")
    assert len(acls._answers) == 1


@pytest.mark.row("K73")
def test_acls_are_there_again_after_a_restart(core: Core) -> None:
    acls_of(core, rule(), rule("stock"), rule("*")).remove(rule("stock"))
    assert list(acls_of(core)) == [rule(), rule("*")]


# --- filters -------------------------------------------------------------------------------------------

ORDERS, PREFIX, ALL, GROUP = rule(), rule("or", pattern=PREFIXED), rule("*"), rule(resource=Resource.GROUP)


@pytest.mark.row("K73")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AclFilter(), [ALL, ORDERS, PREFIX, GROUP]),
        (AclFilter(resource=Resource.GROUP), [GROUP]),
        (AclFilter(Resource.TOPIC, Pattern.LITERAL, "orders"), [ORDERS]),
        (AclFilter(Resource.TOPIC, Pattern.PREFIXED, "orders"), []),
        (AclFilter(Resource.TOPIC, Pattern.PREFIXED, "or"), [PREFIX]),
        (AclFilter(Resource.TOPIC, name="or"), [PREFIX]),
        (AclFilter(Resource.TOPIC, Pattern.MATCH, "orders"), [ALL, ORDERS, PREFIX]),
        (AclFilter(Resource.TOPIC, Pattern.MATCH, "stock"), [ALL]),
        (AclFilter(Resource.TOPIC, Pattern.LITERAL), [ALL, ORDERS]),
        (AclFilter(principal="User:bob"), []),
        (AclFilter(host="*", operation=Operation.READ, effect=ALLOW, name="or"), [PREFIX]),
        (AclFilter(operation=Operation.WRITE), []),
        (AclFilter(effect=DENY), []),
    ],
)
def test_a_filter_means_what_fits_all_of_its_parts(core: Core, wanted: AclFilter, found: list[Acl]) -> None:
    assert acls_of(core, ORDERS, PREFIX, ALL, GROUP).found(wanted) == found


# --- over sockets --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """As for other modules, but with ACLs."""
    with Broker(**ACL_BROKER) as running:
        yield running


def creation(**values: Any) -> dict[str, Any]:
    return {
        "resource_type": 2,
        "resource_name": "t",
        "resource_pattern_type": 3,
        "principal": "User:u",
        "host": "*",
        "operation": 3,
        "permission_type": 3,
        **values,
    }


def filter_of(**values: Any) -> dict[str, Any]:
    anything = {"resource_type_filter": 1, "pattern_type_filter": 1, "operation": 1, "permission_type": 1}
    nothing = {"resource_name_filter": None, "principal_filter": None, "host_filter": None}
    return {**anything, **nothing, **values}


@pytest.mark.row("K73")
@pytest.mark.parametrize("version", range(1, 4))
def test_acls_are_made_described_and_deleted(client: Asking, version: int) -> None:
    name = f"v{version}"
    one, other = creation(resource_name=name), creation(resource_name=name, operation=4)
    made = client.ask("CreateAcls", version, creations=[one, other, one]).results
    assert [(each.error_code.value, each.error_message) for each in made] == [(0, None)] * 3
    (resource,) = client.ask("DescribeAcls", version, **filter_of(resource_name_filter=name)).resources
    assert (resource.resource_type, resource.resource_name, resource.pattern_type) == (2, name, 3)
    assert [(acl.principal, acl.operation) for acl in resource.acls] == [("User:u", 3), ("User:u", 4)]
    removed = client.ask("DeleteAcls", version, filters=[filter_of(resource_name_filter=name), filter_of()])
    assert [acl.operation for acl in removed.filter_results[0].matching_acls] == [3, 4]
    assert not removed.filter_results[1].matching_acls
    assert not client.ask("DescribeAcls", version, **filter_of()).resources


@pytest.mark.row("K73")
@pytest.mark.parametrize(
    "wrong",
    [
        {"resource_type": 1},
        {"resource_type": 99},
        {"resource_pattern_type": 1},
        {"resource_pattern_type": 2},
        {"operation": 1},
        {"operation": 99},
        {"permission_type": 1},
        {"resource_name": ""},
        {"resource_type": 4, "resource_name": "t"},
        {"principal": "u"},
    ],
)
def test_an_acl_that_makes_no_sense_is_refused_alone(client: Asking, wrong: dict[str, Any]) -> None:
    good = creation(resource_name="good")
    made = client.ask("CreateAcls", 3, creations=[creation(**wrong), good]).results
    assert [each.error_code.value for each in made] == [Code.INVALID_REQUEST, Code.NONE]
    assert made[0].error_message
    client.ask("DeleteAcls", 3, filters=[filter_of()])


@pytest.mark.row("K73")
@pytest.mark.parametrize(
    "part", ["resource_type_filter", "pattern_type_filter", "operation", "permission_type"]
)
def test_a_filter_for_what_there_is_not_is_refused(client: Asking, part: str) -> None:
    wanted = filter_of(**{part: 99})
    assert client.ask("DescribeAcls", 3, **wanted).error_code.value == Code.INVALID_REQUEST
    (removed,) = client.ask("DeleteAcls", 3, filters=[wanted]).filter_results
    assert removed.error_code.value == Code.INVALID_REQUEST


@pytest.mark.row("K73")
def test_acls_outlive_a_restart_and_say_who_may_change_them(tmp_path: Path) -> None:
    """A user without the tag sees and changes nothing, until an ACL of the cluster lets it."""
    with Broker(data=tmp_path, **ACL_BROKER) as running, Asking(running.kafka_bootstrap) as client:
        rules = [
            creation(resource_type=4, resource_name=CLUSTER_NAME, principal="User:guest", operation=8),
            creation(resource_name="public", principal="User:guest"),
        ]
        client.ask("CreateAcls", 3, creations=rules)
        running.call(lambda server: server.core.add_user("guest", "guest"))
    with Broker(data=tmp_path, **ACL_BROKER) as running, Asking(running.kafka_bootstrap) as client:
        assert len(client.ask("DescribeAcls", 3, **filter_of()).resources) == 2
        (made,) = client.ask("CreateAcls", 3, creations=[creation()]).results
        assert made.error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED
        (removed,) = client.ask("DeleteAcls", 3, filters=[filter_of()]).filter_results
        assert removed.error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED
        named = [{"name": "public"}, {"name": "secret"}]
        shown = client.ask("Metadata", 12, topics=named, allow_auto_topic_creation=True).topics
        assert [topic.error_code.value for topic in shown] == [Code.TOPIC_AUTHORIZATION_FAILED] * 2
        shown = client.ask("Metadata", 12, topics=named, allow_auto_topic_creation=False).topics
        codes = [topic.error_code.value for topic in shown]
        assert codes == [Code.UNKNOWN_TOPIC_OR_PARTITION, Code.TOPIC_AUTHORIZATION_FAILED]
        produces = client.ask("InitProducerId", 4, transactional_id=None)
        assert produces.error_code.value == Code.CLUSTER_AUTHORIZATION_FAILED


@pytest.mark.row("K71", "K73")
def test_a_user_made_over_kafka_needs_no_permission_where_acls_count(broker: Broker, client: Asking) -> None:
    assert alter(client, upsertion("fresh", "first")) == {"fresh": Code.NONE}
    assert logs_in(broker, "fresh", "first")
    assert not logs_in(broker, "fresh", "second")


@pytest.mark.row("K73")
def test_who_may_do_nothing_with_a_topic_does_not_learn_whether_it_is_there() -> None:
    with Broker(**ACL_BROKER) as running:
        with Asking(running.kafka_bootstrap) as client:
            client.ask("Metadata", 12, topics=[{"name": "there"}], allow_auto_topic_creation=True)
        running.call(lambda server: server.core.add_user("guest", "guest"))
        names = "there", "missing"
        with Asking(running.kafka_bootstrap) as client:
            one = {"index": 0, "records": b""}
            topics = [{"name": name, "partition_data": [one]} for name in names]
            produced = client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=topics).responses
            codes = [topic.partition_responses[0].error_code.value for topic in produced]
            one = {"partition": 0, "current_leader_epoch": -1, "last_fetched_epoch": -1}
            topics = [{"topic": name, "partitions": [one]} for name in names]
            fetched = client.ask("Fetch", 12, session_epoch=-1, topics=topics).responses
            codes += [topic.partitions[0].error_code.value for topic in fetched]
            one = {"partition_index": 0, "timestamp": -1, "current_leader_epoch": -1}
            topics = [{"name": name, "partitions": [one]} for name in names]
            listed = client.ask("ListOffsets", 7, replica_id=-1, topics=topics).topics
            codes += [topic.partitions[0].error_code.value for topic in listed]
        assert codes == [Code.TOPIC_AUTHORIZATION_FAILED] * 6


@pytest.mark.row("K64", "K73")
def test_a_transaction_is_shown_with_those_topics_that_the_client_may_see() -> None:
    with Broker(**ACL_BROKER) as running:
        with Asking(running.kafka_bootstrap) as client:
            for name in ("public", "secret"):
                client.ask("Metadata", 12, topics=[{"name": name}], allow_auto_topic_creation=True)
            party = Party(client, topic="public")
            party.begin()
            party.join()
            party.join("secret")
            rules = [
                creation(resource_type=5, resource_name=party.name, principal="User:guest"),
                creation(resource_name="public", principal="User:guest"),
            ]
            client.ask("CreateAcls", 3, creations=[{**rule, "operation": 8} for rule in rules])
        running.call(lambda server: server.core.add_user("guest", "guest"))
        with Asking(running.kafka_bootstrap) as client:
            asked = client.ask("DescribeTransactions", 0, transactional_ids=[party.name])
            assert [topic.topic for topic in asked.transaction_states[0].topics] == ["public"]
