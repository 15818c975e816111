"""Kafka's console tools, as operators and scripts use them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

from bench.kafka_peer import USERS
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_tools import missing, run, saw, written
from tests.transcripts.registry import scenario

__all__ = ["missing"]

CLIENT_TIMEOUT_S = 15

SHOW_ALL = [
    word
    for shown in ("key", "headers", "partition", "offset", "timestamp")
    for word in ("--formatter-property", f"print.{shown}={'false' if shown == 'timestamp' else 'true'}")
]


def produce(case: Case, name: str, *lines: str, options: tuple[str, ...] = ()) -> None:
    code, text = run(
        "console-producer",
        "--bootstrap-server",
        case.bootstrap,
        "--topic",
        name,
        *options,
        given="".join(f"{line}\n" for line in lines),
    )
    assert code == 0, text


def consume(case: Case, name: str, count: int, *options: str) -> list[str]:
    given = ["--topic", name, "--max-messages", str(count), "--timeout-ms", "5000", *options]
    return written(case, "console-consumer", *given)


@scenario("K31", "K77")
def topics(case: Case) -> None:
    """Made, listed, described, grown, deleted; and what the tool says when that cannot be."""
    name = case.name("t")
    named = ("--topic", name)
    saw(case, "topics", "--create", *named, "--partitions", "2", "--config", "retention.ms=5000")
    saw(case, "topics", "--create", *named)
    saw(case, "topics", "--create", *named, "--if-not-exists")
    saw(case, "topics", "--create", "--topic", case.name("two"), "--replication-factor", "2")
    saw(case, "topics", "--describe", *named)
    saw(case, "topics", "--alter", *named, "--partitions", "3")
    saw(case, "topics", "--alter", *named, "--partitions", "1")
    case.saw("listed", name in run("topics", "--bootstrap-server", case.bootstrap, "--list")[1])
    saw(case, "topics", "--describe", "--topic", case.name("gone"))
    saw(case, "topics", "--delete", *named)
    saw(case, "topics", "--delete", *named)


@scenario("K1", "K2", "K7", "K17", "K77")
def produce_and_consume(case: Case) -> None:
    """Keys and headers, by an idempotent producer; read with and without a group."""
    name = case.name("t")
    keys = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    headers = ("--reader-property", "parse.headers=true")
    produce(case, name, "a:1\tk1:v1", "a:2,b:3\tk2:v2", options=(*keys, *headers))
    produce(case, name, "plain")
    case.saw("alone", consume(case, name, 3, "--from-beginning", *SHOW_ALL))
    case.saw("from 1", consume(case, name, 2, "--partition", "0", "--offset", "1", *SHOW_ALL))
    case.saw("group", consume(case, name, 3, "--from-beginning", "--group", case.name("group")))


@scenario("K4", "K77")
def codecs(case: Case) -> None:
    name = case.name("t")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(case, name, *[codec * 20] * 3, options=("--compression-codec", codec))
    case.saw("read", consume(case, name, 15, "--from-beginning"))


@scenario("K50", "K54", "K57", "K77")
def consumer_groups(case: Case) -> None:
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"abcde")
    case.saw("read", consume(case, name, 3, "--from-beginning", "--group", group))
    named = ("--group", group)
    saw(case, "consumer-groups", "--describe", *named)
    saw(case, "consumer-groups", "--describe", *named, "--state")
    saw(case, "consumer-groups", "--describe", *named, "--members")
    reset = ("--reset-offsets", *named, "--topic", name)
    for where in (("--to-earliest",), ("--to-offset", "9"), ("--shift-by", "-2")):
        saw(case, "consumer-groups", *reset, *where, "--execute")
    saw(case, "consumer-groups", *reset, "--to-offset", "1", "--dry-run")
    case.saw("read on", consume(case, name, 1, "--group", group))
    saw(case, "consumer-groups", "--delete-offsets", *named, "--topic", name)
    saw(case, "consumer-groups", "--delete", *named)
    saw(case, "consumer-groups", "--delete", *named)
    saw(case, "consumer-groups", "--describe", *named)


@scenario("K38", "K54", "K77")
def offsets_as_records(case: Case) -> None:
    """What a group has committed, read where Kafka keeps it, by the formatter that comes with the tools."""
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"abc")
    case.saw("read", consume(case, name, 3, "--from-beginning", "--group", group))
    listing = run("topics", "--bootstrap-server", case.bootstrap, "--list")[1]
    case.saw("listed", listing.count("__consumer_offsets"))
    options = ("--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", "3000")
    formatter = ("--formatter", "org.apache.kafka.tools.consumer.OffsetsMessageFormatter")
    text = " ".join(written(case, "console-consumer", *options, *formatter))
    own = [each for each in objects(text) if each["key"]["data"]["group"] == case.shorten(group)]
    case.saw("key", own[-1]["key"])
    case.saw("value", [own[-1]["value"]["data"][field] for field in ("offset", "leaderEpoch", "metadata")])


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand one behind the other at the beginning of a text."""
    decoder, at = json.JSONDecoder(), 0
    while text.startswith("{", at):
        found, at = decoder.raw_decode(text, at)
        yield found


@scenario("K55", "K77")
def next_generation_group(case: Case) -> None:
    """The protocol in which the broker assigns."""
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"abc")
    newer = ("--group", group, "--command-property", "group.protocol=consumer")
    case.saw("read", consume(case, name, 3, "--from-beginning", *newer))
    saw(case, "consumer-groups", "--describe", "--group", group, "--state")
    saw(case, "consumer-groups", "--describe", "--group", group)


@scenario("K56", "K77")
def share_group(case: Case) -> None:
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"abc")
    entity = ("--entity-type", "groups", "--entity-name", group)
    saw(case, "configs", "--alter", *entity, "--add-config", "share.auto.offset.reset=earliest")
    options = ("--topic", name, "--group", group, "--max-messages", "3", "--timeout-ms", "5000")
    case.saw("read", sorted(written(case, "console-share-consumer", *options)))
    saw(case, "share-groups", "--describe", "--group", group, "--state")


@scenario("K32", "K77")
def configs(case: Case) -> None:
    name = case.name("t")
    run("topics", "--bootstrap-server", case.bootstrap, "--create", "--topic", name)
    entity = ("--entity-type", "topics", "--entity-name", name)
    saw(case, "configs", "--describe", *entity)
    saw(
        case,
        "configs",
        "--alter",
        *entity,
        "--add-config",
        "retention.ms=1000,cleanup.policy=[compact,delete]",
    )
    saw(case, "configs", "--describe", *entity)
    saw(case, "configs", "--alter", *entity, "--delete-config", "retention.ms")
    saw(case, "configs", "--alter", *entity, "--add-config", "no.such.config=1")
    saw(case, "configs", "--describe", *entity)
    saw(case, "configs", "--describe", "--entity-type", "topics", "--entity-name", case.name("gone"))


@scenario("K74", "K77")
def quotas(case: Case) -> None:
    """Of a user, of a user's client, of all users; set, shown, lifted."""
    user = case.name("user")
    of_user = ("--entity-type", "users", "--entity-name", user)
    of_both = (*of_user, "--entity-type", "clients", "--entity-name", "app")
    saw(
        case,
        "configs",
        "--alter",
        *of_user,
        "--add-config",
        "producer_byte_rate=1024,consumer_byte_rate=2048",
    )
    saw(case, "configs", "--alter", *of_both, "--add-config", "producer_byte_rate=512")
    for entity in (of_user, of_both, ("--entity-type", "users", "--entity-default")):
        saw(case, "configs", "--describe", *entity)
    saw(case, "configs", "--alter", *of_user, "--delete-config", "producer_byte_rate")
    saw(case, "configs", "--describe", *of_user)
    saw(case, "configs", "--alter", *of_user, "--add-config", "producer_byte_rate=0")
    saw(case, "configs", "--alter", *of_user, "--delete-config", "consumer_byte_rate")
    saw(case, "configs", "--alter", *of_both, "--delete-config", "producer_byte_rate")
    saw(case, "configs", "--describe", *of_both)


@scenario("K74", "K77")
def quotas_of_time_and_addresses(case: Case) -> None:
    """`request_percentage`, and `connection_creation_rate` of an address and of all others."""
    user = ("--entity-type", "users", "--entity-name", case.name("user"))
    saw(case, "configs", "--alter", *user, "--add-config", "request_percentage=150.5")
    saw(case, "configs", "--describe", *user)
    saw(case, "configs", "--alter", *user, "--delete-config", "request_percentage")
    address = ("--entity-type", "ips", "--entity-name", "192.0.2.1")
    for entity in (address, ("--entity-type", "ips", "--entity-default")):
        saw(case, "configs", "--alter", *entity, "--add-config", "connection_creation_rate=5000")
        saw(case, "configs", "--describe", *entity)
        saw(case, "configs", "--alter", *entity, "--delete-config", "connection_creation_rate")
    saw(case, "configs", "--alter", *address, "--add-config", "connection_creation_rate=0")
    saw(case, "configs", "--describe", *address)


@scenario("K15", "K77")
def get_offsets(case: Case) -> None:
    name = case.name("t")
    run("topics", "--bootstrap-server", case.bootstrap, "--create", "--topic", name)
    produce(case, name, *"abcd")
    for at in ("-2", "-1", "1"):
        saw(case, "get-offsets", "--topic-partitions", f"{name}:0", "--time", at)
    saw(case, "get-offsets", "--topic", name)
    saw(case, "get-offsets", "--topic", case.name("gone"))


@scenario("K35", "K77")
def delete_records(case: Case) -> None:
    name = case.name("t")
    produce(case, name, *"abcd")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "offsets.json"
        for before in (3, 9):
            place = {"topic": name, "partition": 0, "offset": before}
            file.write_text(json.dumps({"partitions": [place], "version": 1}))
            case.saw(f"before {before}", written(case, "delete-records", "--offset-json-file", str(file)))
    saw(case, "get-offsets", "--topic", name, "--time", "-2")


@scenario("K37", "K77", "T8")
def cluster(case: Case) -> None:
    """Its id, the versions that both know, the features of the release."""
    _, text = run("cluster", "cluster-id", "--bootstrap-server", case.bootstrap)
    case.saw("cluster", len(text.strip().removeprefix("Cluster ID: ")))
    versions = written(case, "broker-api-versions")
    case.saw("versions", [line for line in versions if "UNSUPPORTED" in line or "unusable" in line])
    for line in written(case, "features", "describe"):
        case.saw("feature", line.partition(" Epoch:")[0])


@scenario("K60", "K62", "K64", "K77")
def transactions(case: Case) -> None:
    """A load in transactions, which the tools then list and describe."""
    name, named = case.name("t"), case.name("id")
    load = ("--topic", name, "--num-records", "50", "--record-size", "10", "--throughput", "-1")
    ids = ("--transactional-id", named, "--transaction-duration-ms", "1000")
    code, _ = run("producer-perf-test", "--bootstrap-server", case.bootstrap, *load, *ids)
    case.saw("load", code)
    read = consume(case, name, 50, "--from-beginning", "--command-property", "isolation.level=read_committed")
    case.saw("read", len(read), read[-1])
    listed = written(case, "transactions", "list")
    case.saw("listed", [line.split()[-1] for line in listed if line.split()[0] == case.shorten(named)])
    described = written(case, "transactions", "describe", "--transactional-id", named)
    case.saw("described", described[0].split()[:2], described[1].split()[:1])


@scenario("K64", "K77")
def aborted_transaction(case: Case) -> None:
    """What a producer has open is found in its partition, and ended there."""
    name, named = case.name("t"), case.name("id")
    producer = Producer({"bootstrap.servers": case.bootstrap, "transactional.id": named, "log_level": 0})
    producer.init_transactions(CLIENT_TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(name, b"open", partition=0)
    producer.flush(CLIENT_TIMEOUT_S)
    place = ("--topic", name, "--partition", "0")

    def producers() -> None:
        """Without the producer's id and the time of its last batch."""
        for line in written(case, "transactions", "describe-producers", *place):
            case.saw("producer", [word for at, word in enumerate(line.split()) if at not in (0, 4)])

    producers()
    saw(case, "transactions", "find-hanging", *place)
    saw(case, "transactions", "abort", *place, "--start-offset", "7")
    saw(case, "transactions", "abort", *place, "--start-offset", "0")
    producers()
    options = ("--from-beginning", "--command-property", "isolation.level=read_committed")
    case.saw("read", written(case, "console-consumer", "--topic", name, "--timeout-ms", "500", *options))
    saw(case, "transactions", "abort", *place, "--start-offset", "0")
    saw(case, "transactions", "forceTerminateTransaction", "--transactionalId", named)
    listed = [line.split() for line in written(case, "transactions", "list")]
    case.saw("listed", [words[-1] for words in listed if words[0] == case.shorten(named)])
    try:
        producer.commit_transaction(CLIENT_TIMEOUT_S)
        case.saw("commit", "done")
    except KafkaException as error:
        case.saw("commit", error.args[0].name())


@scenario("K70", "K71", "K77")
def logins(case: Case) -> None:
    name = case.name("t")
    modules = {"PLAIN": "plain.Plain", "SCRAM-SHA-256": "scram.Scram", "SCRAM-SHA-512": "scram.Scram"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "client.properties"
        for mechanism, login in modules.items():
            for password in (USERS["alice"], "wrong"):
                module = f"org.apache.kafka.common.security.{login}LoginModule required"
                file.write_text(
                    f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n"
                    f'sasl.jaas.config={module} username="alice" password="{password}";\n'
                )
                options = ("--command-config", str(file), "--create", "--if-not-exists", "--topic", name)
                code, text = run("topics", "--bootstrap-server", case.sasl_bootstrap, *options)
                case.saw(mechanism, password, code, case.shorten(text).splitlines()[:1])


@scenario("K73", "K77")
def acls(case: Case) -> None:
    """Added, listed, removed; the topic is kept from a user."""
    name = case.name("t")
    entry = ("--topic", name, "--allow-principal", "User:alice", "--operation", "Read")
    saw(case, "acls", "--add", *entry)
    saw(case, "acls", "--list", "--topic", name)
    saw(case, "acls", "--remove", *entry, "--force")
    saw(case, "acls", "--list", "--topic", name)
