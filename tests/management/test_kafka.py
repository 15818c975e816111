"""Kafka's side over HTTP: topics, groups, transactions, clients, and why a group is stuck.

Unmodified clients (confluent-kafka) make what is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bench.peers import await_true
from pillarbox import Broker, ManualClock
from pillarbox.clock import SystemClock
from tests.management.http import Client, client
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.test_shares import Member, configure

TIMEOUT_S = 20
TOPIC = "kafka/topics/orders"
GROUP = "kafka/groups/billing"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0, kafka_port=0) as broker:
        yield broker


@pytest.fixture
def still() -> Iterator[Broker]:
    """Its time stands still, but begins where clients are; samples fall on whole ten seconds."""
    clock = ManualClock(SystemClock().now_ms() // 10_000 * 10_000)
    with Broker(management_port=0, kafka_port=0, clock=clock) as broker:
        yield broker


@pytest.fixture
def still_api(still: Broker) -> Iterator[Client]:
    with client(still) as found:
        yield found


def sampled(broker: Broker) -> None:
    """Let the sampler come round, to its end: while it works, time goes on in small steps."""

    def finish() -> None:
        for _ in range(5):
            broker.advance(1)

    assert isinstance(broker.clock, ManualClock)
    finish()
    broker.advance(5_000 - broker.clock.now_ms() % 5_000)
    finish()


@pytest.fixture
def clerk(broker: Broker, api: Client) -> Iterator[Client]:
    """The API as somebody who may use what begins with `orders`, read by what begins with `billing`."""
    api.request("PUT", "users/clerk", {"password": "c", "tags": "management"})
    rights = {"configure": "^orders", "write": "^orders", "read": "^(orders|billing)"}
    api.request("PUT", "permissions/%2F/clerk", rights)
    with client(broker, "clerk", "c") as found:
        yield found


def produce(broker: Broker, topic: str, values: list[bytes], **more: Any) -> None:
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap, "log_level": 0})
    faults: list[Any] = []
    for value in values:
        told = {"on_delivery": lambda error, _: faults.append(error)}
        producer.produce(topic, value, **{"partition": 0, **told, **more})
    producer.flush(TIMEOUT_S)
    assert faults == [None] * len(values)


def transactional(broker: Broker, name: str) -> Producer:
    settings = {"bootstrap.servers": broker.kafka_bootstrap, "transactional.id": name, "log_level": 0}
    producer = Producer(settings)
    producer.init_transactions(TIMEOUT_S)
    return producer


@contextmanager
def consumer(broker: Broker, client_id: str = "worker-1", **more: Any) -> Iterator[Consumer]:
    settings = {
        "bootstrap.servers": broker.kafka_bootstrap,
        "group.id": "billing",
        "client.id": client_id,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "log_level": 0,
    }
    found = Consumer({**settings, **more})
    try:
        yield found
    finally:
        found.close()


def read(consumer: Consumer, count: int) -> None:
    """Read so many and commit that."""
    consumer.subscribe(["orders"])
    while count:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.error() is None
        count -= 1
        consumer.commit(message, asynchronous=False)


def findings(api: Client) -> dict[str, str]:
    return {one["code"]: one["text"] for one in api.get(f"{GROUP}/explain")["findings"]}


# --- topics ------------------------------------------------------------------------------------------------


@pytest.mark.row("K57")
def test_topic_of_many_partitions_is_made_grown_and_deleted_in_slices(api: Client) -> None:
    assert api.request("PUT", TOPIC, {"partitions": 60}).status == 201
    assert api.get("kafka/topics")[0]["partitions"] == 60
    assert api.request("PUT", f"{TOPIC}/partitions", {"partitions": 90}).status == 204
    assert api.get("kafka/topics")[0]["partitions"] == 90
    assert api.request("DELETE", TOPIC).status == 204
    assert api.get("kafka/topics") == []
    assert api.request("PUT", TOPIC, {"partitions": 2}).status == 201


@pytest.mark.row("K57", "K76", "R110")
def test_topic_is_made_altered_grown_and_deleted(api: Client) -> None:
    made = api.request("PUT", TOPIC, {"partitions": 2, "config": {"retention.ms": 60_000}})
    assert made.status == 201
    (listed,) = api.get("kafka/topics")
    assert (listed["name"], listed["partitions"], listed["messages"]) == ("orders", 2, 0)
    assert listed["config"] == {"retention.ms": "60000"}
    change = {"retention.ms": None, "cleanup.policy": "compact"}
    assert api.request("PUT", f"{TOPIC}/config", change).status == 204
    assert api.request("PUT", f"{TOPIC}/partitions", {"partitions": 3}).status == 204
    shown = api.get(TOPIC)
    configs = {one["name"]: (one["value"], one["source"]) for one in shown["configs"]}
    assert configs["cleanup.policy"] == ("compact", "topic")
    assert configs["retention.ms"][1] == "default"
    assert [one["partition"] for one in shown["partition_details"]] == [0, 1, 2]
    assert api.request("DELETE", TOPIC).status == 204
    assert (api.get("kafka/topics"), api.request("GET", TOPIC).status) == ([], 404)


@pytest.mark.row("K57", "R110")
@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("kafka/topics/no%20name", {}, "Topic name is invalid"),
        (TOPIC, {}, "already exists"),
        ("kafka/topics/t", {"partitions": 0}, "non-positive"),
        ("kafka/topics/t", {"partitions": 2_000}, "at most 1000"),
        ("kafka/topics/t", {"config": {"colour": "red"}}, "Unknown topic config name: colour"),
        ("kafka/topics/t", {"config": {"retention.ms": "soon"}}, "retention.ms"),
        ("kafka/topics/t", {"config": {"retention.ms": [1]}}, "neither a text nor a number"),
        (f"{TOPIC}/config", {"colour": "red"}, "Unknown topic config name: colour"),
        (f"{TOPIC}/partitions", {"partitions": 1}, "already has 1 partition"),
        (f"{TOPIC}/partitions", {}, "partitions"),
    ],
)
def test_what_is_wrong_with_a_topic_is_refused_in_words(
    api: Client, path: str, body: dict[str, Any], complaint: str
) -> None:
    assert api.request("PUT", TOPIC, {"partitions": 1}).status == 201
    before = api.get(TOPIC)
    refused = api.request("PUT", path, body)
    assert refused.status == 400
    assert complaint in refused.document["reason"]
    assert [one["name"] for one in api.get("kafka/topics")] == ["orders"]
    assert api.get(TOPIC) == before


@pytest.mark.row("K76", "R123")
def test_traffic_of_a_topic_is_counted_per_batch_and_has_rates(still: Broker, still_api: Client) -> None:
    broker, api = still, still_api
    api.request("PUT", TOPIC, {"partitions": 1})
    assert api.get(TOPIC)["messages_in"] == 0
    sampled(broker)
    produce(broker, "orders", [b"x" * 100] * 10)
    with consumer(broker) as reader:
        read(reader, 1)
    sampled(broker)
    shown = api.get(f"{TOPIC}?msg_rates_age=60&msg_rates_incr=5")
    assert shown["messages_in"] == 10
    assert shown["messages_in_details"]["rate"] == pytest.approx(2, rel=0.01)
    assert 1_000 < shown["bytes_in"] <= shown["bytes_out"]
    assert min(shown["produce"], shown["fetch"]) >= 1
    assert shown["messages_in_details"]["samples"][0]["sample"] == 10
    cluster = api.get("kafka/cluster")
    assert cluster["messages_in"] == 10
    assert cluster["messages_in_details"]["rate"] == pytest.approx(2, rel=0.01)
    assert api.request("DELETE", TOPIC).status == 204
    assert api.get("kafka/cluster")["messages_in"] == 10, "totals never go back"


@pytest.mark.row("K76")
def test_what_amqp_publishes_to_a_stream_counts_as_the_topics(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "orders", b"x" * 50)
    shown = api.get(TOPIC)
    assert (shown["messages_in"], shown["messages"]) == (1, 1)
    assert shown["bytes_in"] > 50


@pytest.mark.row("R110")
def test_partitions_say_where_they_are(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 2})
    produce(broker, "orders", [b"a", b"b"], partition=1)
    first, second = api.get(f"{TOPIC}/partitions")
    assert [one["end_offset"] for one in (first, second)] == [0, 2]
    assert (second["start_offset"], second["last_stable_offset"], second["name"]) == (0, 2, "orders-1")
    page = api.get(f"{TOPIC}/partitions?page=2&page_size=1")
    assert [one["partition"] for one in page["items"]] == [1]
    for number in ("2", "-1", "x", "9" * 30):
        assert api.request("GET", f"{TOPIC}/partitions/{number}").status == 404


# --- records -----------------------------------------------------------------------------------------------


@pytest.mark.row("R110")
def test_last_records_are_shown_as_text_where_they_are_text(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"old"])
    produce(broker, "orders", ["späť".encode(), b"\xff\x00"], key=b"k", headers=[("h", b"\xfe"), ("n", None)])
    records = api.get(f"{TOPIC}/partitions/0/records?count=2")
    assert [(one["offset"], one["value"], one["value_encoding"]) for one in records] == [
        (1, "späť", "string"),
        (2, "ff00", "hex"),
    ]
    assert (records[0]["key"], records[0]["aborted"]) == ("k", False)
    assert [(one["name"], one["value"]) for one in records[0]["headers"]] == [("h", "fe"), ("n", None)]
    (first,) = api.get(f"{TOPIC}/partitions/0/records?offset=0&count=1&encoding=base64&truncate=2")
    assert (first["value"], first["value_encoding"], first["size"], first["key"]) == (
        "b2w=",
        "base64",
        3,
        None,
    )


@pytest.mark.row("R110")
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_are_opened(broker: Broker, api: Client, codec: str) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap, "compression.type": codec})
    for number in range(20):
        producer.produce("orders", b"%d" % number * 100, partition=0)
    producer.flush(TIMEOUT_S)
    (record,) = api.get(f"{TOPIC}/partitions/0/records?offset=7&count=1")
    assert record["value"] == "7" * 100


@pytest.mark.row("R110")
def test_records_of_a_transaction_that_was_aborted_are_marked(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    producer = transactional(broker, "t")
    for value, commits in ((b"no", False), (b"yes", True)):
        producer.begin_transaction()
        producer.produce("orders", value, partition=0)
        producer.flush(TIMEOUT_S)
        producer.commit_transaction(TIMEOUT_S) if commits else producer.abort_transaction(TIMEOUT_S)
    records = api.get(f"{TOPIC}/partitions/0/records?offset=0")
    assert [(one["value"], one["aborted"]) for one in records] == [("no", True), ("yes", False)]


@pytest.mark.row("R110")
@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("offset=9", "not within 0..1"),
        ("offset=-1", "offset is a number"),
        ("count=501", "from 0 to 500"),
        ("count=many", "count is a number"),
        ("encoding=rot13", "encoding is one of"),
        ("truncate=99999999", "truncate is a number"),
    ],
)
def test_questions_for_records_that_make_no_sense_are_refused(
    broker: Broker, api: Client, query: str, complaint: str
) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"])
    refused = api.request("GET", f"{TOPIC}/partitions/0/records?{query}")
    assert refused.status == 400
    assert complaint in refused.document["reason"]


# --- groups ------------------------------------------------------------------------------------------------


@pytest.mark.row("K56", "K57")
def test_share_group_looks_as_others_do_and_is_reset_and_deleted(broker: Broker, api: Client) -> None:
    """By the protocol itself: no client in Python knows share groups."""
    api.request("PUT", TOPIC, {"partitions": 1})
    for _ in range(3):
        produce(broker, "orders", [b"x"])
    with Asking(broker.kafka_bootstrap) as asking:
        configure(asking, "billing", share_auto_offset_reset="earliest")
        member = Member(asking, group="billing", topic="orders")
        assert member.got() == [(0, 2, 1)]
        assert member.settle((1, 1, [1])) == 0
        shown = api.get(GROUP)
        facts = ("type", "state", "protocol", "members", "lag", "committed")
        assert [shown[each] for each in facts] == ["share", "Stable", "simple", 1, 2, 0]
        (one,) = shown["member_details"]
        assert (one["member_id"], one["topics"], one["partitions"]) == (member.id, ["orders"], 1)
        assert findings(api)["behind"].startswith("orders/0 is 2 behind; read by asking")
        assert api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "latest"}).status == 400
        member.beat(member_epoch=-1)
        assert findings(api)["no-member"] == "nobody is in it: 2 records wait"
        answer = api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "offset", "offset": 1})
        assert [(one["committed_offset"], one["lag"]) for one in answer.document] == [(1, 2)]
        again = Member(asking, "two", "billing", topic="orders")
        assert again.got() == [(1, 2, 1)]
        again.beat(member_epoch=-1)
        assert api.request("DELETE", GROUP).status == 204
        assert api.get("kafka/groups") == []


@pytest.mark.row("K57")
def test_group_shows_members_offsets_and_lag(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 2})
    produce(broker, "orders", [b"x"] * 5)
    with consumer(broker) as reader:
        read(reader, 2)
        shown = api.get(GROUP)
        assert (shown["state"], shown["type"], shown["members"]) == ("Stable", "classic", 1)
        assert (shown["lag"], shown["partitions_without_lag"]) == (3, 1)
        (member,) = shown["member_details"]
        assert (member["client_id"], member["host"]) == ("worker-1", "127.0.0.1")
        assert (member["topics"], member["assignment"]) == (["orders"], {"orders": [0, 1]})
        known, unknown = shown["offset_details"]
        assert (known["committed_offset"], known["end_offset"], known["lag"]) == (2, 5, 3)
        assert known["client_id"] == "worker-1"
        assert (unknown["committed_offset"], unknown["end_offset"], unknown["lag"]) == (None, 0, None)
        refused = api.request("DELETE", GROUP)
        assert (refused.status, "has members" in refused.document["reason"]) == (400, True)
    assert [(one["name"], one["state"], one["lag"]) for one in api.get("kafka/groups")] == [
        ("billing", "Empty", 3)
    ]
    assert [one["name"] for one in api.get(f"{GROUP}/offsets?page=1&name=-0")["items"]] == ["orders-0"]
    assert api.request("DELETE", GROUP).status == 204
    assert (api.get("kafka/groups"), api.request("GET", GROUP).status) == ([], 404)


@pytest.mark.row("K55", "K57")
def test_group_of_the_new_protocol_looks_alike(broker: Broker, api: Client) -> None:
    """KIP-848: the broker deals out."""
    api.request("PUT", TOPIC, {"partitions": 2})
    produce(broker, "orders", [b"x"] * 3)
    with consumer(broker, **{"group.protocol": "consumer"}) as reader:
        read(reader, 1)
        shown = api.get(GROUP)
    assert (shown["type"], shown["state"], shown["lag"]) == ("consumer", "Stable", 2)
    assert shown["member_details"][0]["assignment"] == {"orders": [0, 1]}


@pytest.mark.row("K57")
@pytest.mark.parametrize(
    ("where", "offset"),
    [
        ({"to": "earliest"}, 0),
        ({"to": "latest"}, 5),
        ({"to": "offset", "offset": 3}, 3),
        ({"to": "offset", "offset": 99}, 5),
        ({"to": "shift", "offset": -1}, 1),
        ({"to": "time", "timestamp": 3_500}, 3),
        ({"to": "time", "timestamp": 9_000}, 5),
    ],
)
def test_offsets_of_a_group_without_members_are_reset(
    broker: Broker, api: Client, where: dict[str, Any], offset: int
) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    for number in range(5):
        produce(broker, "orders", [b"x"], timestamp=(number + 1) * 1_000)
    with consumer(broker) as reader:
        read(reader, 2)
        refused = api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", **where})
        assert (refused.status, "has members" in refused.document["reason"]) == (400, True)
    answer = api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", **where})
    assert answer.status == 200
    assert [one["committed_offset"] for one in answer.document] == [offset]
    with consumer(broker) as reader:
        (found,) = reader.committed([TopicPartition("orders", 0)], TIMEOUT_S)
        assert found.offset == offset


@pytest.mark.row("K57")
@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        ({"topic": "orders", "to": "somewhere"}, 400, "to is earliest or latest"),
        ({"topic": "orders", "to": "earliest", "offset": 1}, 400, "to is earliest or latest"),
        ({"topic": "orders", "to": "offset"}, 400, "with an offset"),
        ({"topic": "orders", "to": "shift", "offset": 1}, 400, "nothing was committed for orders-0"),
        ({"topic": "orders", "to": "latest", "partitions": [1]}, 400, "orders are 0 to 0"),
        ({"topic": "none", "to": "latest"}, 404, "Not Found"),
        ({"to": "latest"}, 400, "topic"),
    ],
)
def test_a_reset_that_makes_no_sense_changes_nothing(
    api: Client, body: dict[str, Any], status: int, complaint: str
) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    refused = api.request("PUT", f"{GROUP}/offsets", body)
    assert refused.status == status
    assert complaint in refused.document["reason"]
    assert api.get("kafka/groups") == []


@pytest.mark.row("K57")
def test_lag_of_a_group_has_a_chart(still: Broker, still_api: Client) -> None:
    broker, api = still, still_api
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"] * 4)
    api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "earliest"})
    sampled(broker)
    api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "offset", "offset": 3})
    sampled(broker)
    shown = api.get(f"{GROUP}?lengths_age=10&lengths_incr=5")
    assert [one["sample"] for one in shown["lag_details"]["samples"]][:2] == [1, 4]
    assert shown["committed_details"]["rate"] == pytest.approx(3 / 5, rel=0.01)


# --- why is it stuck? --------------------------------------------------------------------------------------


@pytest.mark.row("K57")
def test_a_group_that_nobody_is_in_says_so_with_what_waits(still: Broker, still_api: Client) -> None:
    broker, api = still, still_api
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"] * 5)
    with consumer(broker) as reader:
        read(reader, 2)
    broker.advance("70s")
    assert api.get(f"{GROUP}/explain")["summary"] == "Empty; no member; 3 behind in 1 partition"
    assert findings(api)["no-member"] == "nobody is in it, for 00:01:10: 3 records wait"


@pytest.mark.row("K57")
def test_a_member_that_neither_polls_nor_commits_is_named(still: Broker, still_api: Client) -> None:
    broker, api = still, still_api
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"] * 5)
    with consumer(broker, **{"session.timeout.ms": 300_000, "max.poll.interval.ms": 600_000}) as reader:
        read(reader, 2)
        assert findings(api) == {"behind": "orders/0 is 3 behind; read by worker-1 (127.0.0.1)"}
        broker.advance("70s")
        found = findings(api)
    assert found["not-committing"] == (
        "worker-1 (127.0.0.1) has committed nothing for 00:01:10 in orders/0, 3 behind: "
        "it does not poll, or does not commit"
    )
    assert found["silent-member"] == "worker-1 (127.0.0.1) was last heard of 00:01:10 ago"


@pytest.mark.row("K57")
def test_a_rebalance_names_who_it_waits_for(broker: Broker, api: Client) -> None:
    """The first one does not poll, so it does not hear that it has to join again."""
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"])
    with consumer(broker) as first, consumer(broker, "worker-2") as second:
        read(first, 1)
        second.subscribe(["orders"])
        seen = ""
        for _ in range(200):
            second.poll(0.05)
            seen = findings(api).get("rebalancing", "")
            if seen:
                break
    assert seen == (
        "it has been rebalancing for 00:00:00, and nobody gets records: "
        "worker-1 (127.0.0.1) has yet to join again"
    )


@pytest.mark.row("K57")
def test_an_open_transaction_that_holds_readers_up_is_named(still: Broker, still_api: Client) -> None:
    broker, api = still, still_api
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"])
    producer = transactional(broker, "invoices")
    producer.begin_transaction()
    producer.produce("orders", b"y", partition=0)
    producer.flush(TIMEOUT_S)
    api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "offset", "offset": 1})
    broker.advance("8s")
    assert findings(api)["open-transaction"] == (
        "orders/0: a transaction of 'invoices', open for 00:00:08, holds readers of committed records "
        "at offset 1 of 2"
    )
    (open_one,) = api.get("kafka/transactions")
    assert (open_one["name"], open_one["state"], open_one["age_ms"]) == ("invoices", "Ongoing", 8_000)
    assert open_one["partitions"] == [{"topic": "orders", "partition": 0}]
    partition = api.get(f"{TOPIC}/partitions/0")
    assert partition["open_transaction_details"][0]["transactional_id"] == "invoices"
    assert partition["producer_details"][0]["last_sequence"] == 0
    producer.abort_transaction(TIMEOUT_S)
    assert "open-transaction" not in findings(api)


@pytest.mark.row("K57")
def test_offsets_that_lead_nowhere_are_told(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"] * 3)
    api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "earliest"})
    broker.call(lambda server: server.core.vhosts["/"].topics.get("orders").partitions[0].begin_at(2))
    assert "offset 0 has been removed, the first is 2" in findings(api)["offset-removed"]
    api.request("DELETE", TOPIC)
    assert findings(api)["gone"] == "it has committed for what is not there any more: orders/0"
    (place,) = api.get(f"{GROUP}/offsets")
    assert (place["end_offset"], place["lag"]) == (None, None)
    assert api.get(GROUP)["lag"] is None


@pytest.mark.row("K57")
def test_members_without_work_and_work_without_members_are_told(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 1})
    produce(broker, "orders", [b"x"])

    def settled() -> Any:
        shown = api.get(GROUP)
        return shown["members"] == 2 and shown["state"] == "Stable"

    with consumer(broker) as first, consumer(broker, "worker-2") as second:
        for one in (first, second):
            one.subscribe(["orders", "missing"])
        for _ in range(600):
            for one in (first, second):
                one.poll(0.05)
            if api.request("GET", GROUP).status == 200 and settled():
                break
        assert "members without a partition" in findings(api)["idle-members"]


# --- who may ----------------------------------------------------------------------------------------------


@pytest.mark.row("R116", "K73")
def test_users_see_what_their_permissions_let_them(broker: Broker, api: Client, clerk: Client) -> None:
    for name in ("orders", "secrets"):
        api.request("PUT", f"kafka/topics/{name}", {})
        for group in ("billing", "audit"):
            api.request("PUT", f"kafka/groups/{group}/offsets", {"topic": name, "to": "earliest"})
    assert [one["name"] for one in clerk.get("kafka/topics")] == ["orders"]
    assert [one["name"] for one in clerk.get("kafka/groups")] == ["billing"]
    for method, path, body in (
        ("GET", "kafka/topics/secrets", None),
        ("PUT", "kafka/topics/others", {}),
        ("DELETE", "kafka/topics/secrets", None),
        ("PUT", "kafka/topics/secrets/config", {}),
        ("GET", "kafka/topics/secrets/partitions/0/records", None),
        ("GET", "kafka/groups/audit", None),
        ("DELETE", "kafka/groups/audit", None),
        ("PUT", "kafka/groups/audit/offsets", {"topic": "orders", "to": "latest"}),
        ("PUT", "kafka/groups/billing/offsets", {"topic": "secrets", "to": "latest"}),
    ):
        assert clerk.request(method, path, body).status == 401, (method, path)
    assert clerk.request("PUT", "kafka/topics/orders-2", {}).status == 201
    assert clerk.request("DELETE", GROUP).status == 204
    assert [one["name"] for one in api.get("kafka/groups")] == ["audit"]


@pytest.mark.row("R116")
def test_who_monitors_sees_everything_and_changes_nothing(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {})
    api.request("PUT", "users/eye", {"password": "e", "tags": "monitoring"})
    with client(broker, "eye", "e") as eye:
        assert [one["name"] for one in eye.get("kafka/topics")] == ["orders"]
        for method, path in (
            ("DELETE", TOPIC),
            ("GET", f"{TOPIC}/partitions/0/records"),
            ("PUT", "kafka/topics/mine"),
        ):
            assert eye.request(method, path, {} if method == "PUT" else None).status == 401


@pytest.mark.row("R114")
def test_clients_of_kafka_are_listed_with_what_they_say_of_themselves(broker: Broker, api: Client) -> None:
    with consumer(broker) as reader:
        reader.list_topics(timeout=TIMEOUT_S)
        # The client may be between its first connection and the one to the broker that it was told of.
        found: list[dict[str, Any]] = []
        await_true(
            lambda: bool(found.extend(api.get("kafka/connections")) or found), TIMEOUT_S, "it is connected"
        )
        shown = found[0]
        listed = {one["name"]: one for one in api.get("connections")}
    assert (shown["client_id"], shown["user"], shown["ssl"]) == ("worker-1", "guest", False)
    assert shown["client_software_name"] == "confluent-kafka-python"
    assert shown["port"] == int(broker.kafka_bootstrap.rpartition(":")[2])
    assert listed[shown["name"]]["client_properties"]["connection_name"] == "worker-1"
    assert listed[shown["name"]]["protocol"] == "Kafka"


@pytest.mark.row("R110")
def test_cluster_says_what_clients_see(broker: Broker, api: Client) -> None:
    api.request("PUT", TOPIC, {"partitions": 3})
    shown = api.get("kafka/cluster")
    assert (shown["brokers"], shown["topics"], shown["partitions"], shown["groups"]) == (1, 1, 3, 0)
    host, _, port = broker.kafka_bootstrap.rpartition(":")
    assert {"protocol": "kafka", "host": host, "port": int(port)} in shown["listeners"]
    assert "PLAIN" in shown["sasl_mechanisms"]


# --- where it is off --------------------------------------------------------------------------------------


@pytest.mark.row("R110")
def test_where_kafka_is_off_every_path_says_so() -> None:
    with Broker(management_port=0) as broker, client(broker) as api:
        for path in ("topics", "topics/t", "groups", "groups/g", "transactions", "connections", "cluster"):
            refused = api.request("GET", f"kafka/{path}")
            assert refused.status == 404
            assert "none of kafka_port, kafka_tls_port" in refused.document["reason"]


@pytest.mark.row("R110")
def test_nobody_loads_kafka_by_looking_at_everything_else() -> None:
    with Broker(management_port=0, prometheus_port=0, kafka_port=0) as broker, client(broker) as api:
        for path in ("overview", "queues", "connections"):
            api.get(path)
        assert not broker.call(lambda server: server.spoken["kafka"].is_loaded)


@pytest.mark.row("K57")
def test_groups_are_seen_after_a_restart_before_any_client_has_come(tmp_path: Path) -> None:
    options: dict[str, Any] = {"management_port": 0, "kafka_port": 0}
    with Broker(str(tmp_path / "data"), **options) as broker, client(broker) as api:
        api.request("PUT", TOPIC, {"partitions": 1})
        produce(broker, "orders", [b"x"] * 3)
        api.request("PUT", f"{GROUP}/offsets", {"topic": "orders", "to": "offset", "offset": 1})
    with Broker(str(tmp_path / "data"), **options) as broker, client(broker) as api:
        (shown,) = api.get("kafka/groups")
        assert (shown["name"], shown["state"], shown["lag"]) == ("billing", "Empty", 2)


@pytest.mark.row("K73")
def test_where_acls_count_they_count_here_too() -> None:
    """The clerk has no permissions at all, but an ACL of Kafka's own."""
    with Broker(management_port=0, kafka_port=0, kafka_authorizer="acl") as broker, client(broker) as api:
        api.request("PUT", "users/clerk", {"password": "c", "tags": "management"})
        for name in ("orders", "secrets"):
            assert api.request("PUT", f"kafka/topics/{name}", {}).status == 201
        admin = AdminClient({"bootstrap.servers": broker.kafka_bootstrap, "log_level": 0})
        acl = AclBinding(
            ResourceType.TOPIC,
            "orders",
            ResourcePatternType.LITERAL,
            "User:clerk",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        for made in admin.create_acls([acl]).values():
            made.result(TIMEOUT_S)
        with client(broker, "clerk", "c") as clerk:
            assert [one["name"] for one in clerk.get("kafka/topics")] == ["orders"]
            assert clerk.get(f"{TOPIC}/partitions/0/records") == []
            refused = clerk.request("DELETE", TOPIC)
            assert (refused.status, "may not delete topic 'orders'" in refused.document["reason"]) == (
                401,
                True,
            )
