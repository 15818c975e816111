"""kafka-python 3: producer, consumer, groups, transactions, administrator, logins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from bench.kafka_peer import USERS
from scripts.kafka_codec.package import NOT_FOR_CLIENTS
from tests.compare_kafka.case import Case
from tests.transcripts.registry import scenario

WAIT_S = 15.0
QUICK = {"reconnect_backoff_ms": 10, "retry_backoff_ms": 20}
CONSUMER = {
    **QUICK,
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "fetch_max_wait_ms": 20,
    "heartbeat_interval_ms": 100,
    "session_timeout_ms": 6_000,
}

logging.getLogger("kafka").setLevel(logging.CRITICAL)  # What went wrong is in the transcript.


@contextmanager
def producer(case: Case, **config: Any) -> Iterator[KafkaProducer]:
    client = KafkaProducer(bootstrap_servers=case.bootstrap, **{**QUICK, **config})
    try:
        yield client
    finally:
        client.close(timeout=WAIT_S)


@contextmanager
def consumer(case: Case, *topics: str, **config: Any) -> Iterator[KafkaConsumer]:
    client = KafkaConsumer(*topics, bootstrap_servers=case.bootstrap, **{**CONSUMER, **config})
    try:
        yield client
    finally:
        client.close(timeout_ms=WAIT_S * 1000)


@contextmanager
def administrator(case: Case) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=case.bootstrap, **QUICK)
    try:
        yield client
    finally:
        client.close()


def topic(case: Case, word: str, partitions: int = 1) -> str:
    name = case.name(word)
    with administrator(case) as admin:
        admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
    return name


def attempt(action: Callable[[], Any]) -> Any:
    """Return what an action returns, or the name of its error."""
    try:
        return action()
    except KafkaError as error:
        return type(error).__name__


def sent(client: KafkaProducer, name: str, *values: bytes | None, **more: Any) -> list[Any]:
    """Send values; return where each of them is."""
    futures = [client.send(name, value, **more) for value in values]
    found = [attempt(lambda future=future: future.get(WAIT_S)) for future in futures]  # type: ignore[misc]
    return [each if isinstance(each, str) else [each.partition, each.offset] for each in found]


def polled(client: KafkaConsumer, count: int) -> list[Any]:
    """Poll until so many records have come."""
    records: list[Any] = []
    deadline = time.monotonic() + WAIT_S
    while len(records) < count and time.monotonic() < deadline:
        for batch in client.poll(timeout_ms=50).values():
            records += batch
    return records


@scenario("K1", "K2", "K4", "K17", "T7")
def round_trip(case: Case) -> None:
    """Keys, values, headers and nulls, plain and compressed."""
    name = topic(case, "t")
    with producer(case) as client:
        case.saw("sent", sent(client, name, b"v", key=b"k", headers=[("a", b"1"), ("b", b"")]))
        case.saw("sent", sent(client, name, None, key=b"k"))
        case.saw("sent", sent(client, name, b"", timestamp_ms=1_500_000_000_000))
    with producer(case, compression_type="gzip", linger_ms=20) as client:
        case.saw("sent", sent(client, name, *(b"compressed" * 20 for _ in range(5))))
    with consumer(case, name) as client:
        for record in polled(client, 8):
            case.saw("read", record.offset, record.key, record.value, record.headers)


@scenario("T8")
def inferred_release(case: Case) -> None:
    """The client takes the broker for the release whose table of versions it shows."""
    with administrator(case) as admin:
        case.saw("release", admin.get_broker_version_data(1).broker_version)


@scenario("T4", "T6", "T8")
def table_of_versions(case: Case) -> None:
    """Every key that clients ask for, with its first and last version."""
    with administrator(case) as admin:
        for key, span in sorted(admin.api_versions().items()):
            if key not in NOT_FOR_CLIENTS:
                case.saw(str(getattr(key, "name", key)), *span)


@scenario("K5", "K7", "K8", "K75")
def acks_and_sizes(case: Case) -> None:
    name = topic(case, "t")
    for acks in (0, 1, "all"):
        with producer(case, acks=acks, enable_idempotence=acks == "all") as client:
            case.saw(f"acks {acks}", len(sent(client, name, b"x")))
    with producer(case, max_request_size=3_000_000) as client:
        case.saw("large", sent(client, name, b"x" * 1_000_000))
        case.saw("too large", sent(client, name, b"x" * 1_100_000))
    with consumer(case, name) as client:
        case.saw("read", [len(record.value) for record in polled(client, 4)])


@scenario("K15", "K16")
def offsets(case: Case) -> None:
    """Beginning, end, by time, and where a consumer stands."""
    name = topic(case, "t")
    place = TopicPartition(name, 0)
    with producer(case) as client:
        for number in range(3):
            sent(client, name, b"x", timestamp_ms=1_700_000_000_000 + number * 1000)
    with consumer(case) as client:
        client.assign([place])
        case.saw("beginning", client.beginning_offsets([place])[place])
        case.saw("end", client.end_offsets([place])[place])
        for at in (1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000):
            found = client.offsets_for_times({place: at})[place]
            case.saw(f"at {at}", found and [found.offset, found.timestamp])
        client.seek(place, 2)
        case.saw("from 2", [record.offset for record in polled(client, 1)], client.position(place))
        client.seek(place, 99)
        case.saw("out of range", [record.offset for record in polled(client, 3)])
    with administrator(case) as admin:
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST, OffsetSpec.MAX_TIMESTAMP):
            found = admin.list_partition_offsets({place: spec})[place]
            case.saw(spec.name, found.offset, found.timestamp)


class Member(threading.Thread):
    """A consumer of a group, polled by a thread of its own."""

    def __init__(self, case: Case, name: str, **config: Any) -> None:
        super().__init__(daemon=True)
        self.case, self.topic, self.config = case, name, config
        self.owned: set[int] = set()
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        with consumer(self.case, self.topic, group_id=self.case.name("group"), **self.config) as client:
            while not self.over.is_set():
                client.poll(timeout_ms=300)
                self.owned = {each.partition for each in client.assignment()}

    def stop(self) -> None:
        self.over.set()
        self.join(WAIT_S)


def until(condition: Callable[[], bool]) -> bool:
    """Look every few milliseconds, as long as a scenario may take."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@scenario("K50", "K51", "K54", "K57")
def groups(case: Case) -> None:
    """Two members share, one goes, the group is looked at and deleted."""
    name = topic(case, "t", 4)
    first = Member(case, name, client_id="a")
    case.saw("alone", until(lambda: first.owned == {0, 1, 2, 3}))
    second = Member(case, name, client_id="b")
    case.saw(
        "shared", until(lambda: {len(first.owned), len(second.owned)} == {2}), first.owned | second.owned
    )
    group = case.name("group")
    with administrator(case) as admin:
        found = admin.describe_groups([group])[group]
        case.saw("described", found["group_state"], found["protocol_type"], len(found["members"]))
        first.stop()
        case.saw("one is left", until(lambda: len(second.owned) == 4))
        second.stop()
        with consumer(case, name, group_id=group) as client:
            place = {TopicPartition(name, 1): OffsetAndMetadata(7, "note", -1)}
            until(
                lambda: (
                    client.poll(timeout_ms=300) is not None and attempt(lambda: client.commit(place)) is None
                )
            )
            case.saw("committed", client.committed(TopicPartition(name, 1), metadata=True)[:2])
        found = admin.list_group_offsets({group: None})[group]
        case.saw("listed", {str(place.partition): each.offset for place, each in found.items()})
        case.saw("deleted", attempt(lambda: admin.delete_groups([group])))


@scenario("K60", "K61")
def transactions(case: Case) -> None:
    name = topic(case, "t")
    with producer(case, transactional_id=case.name("id")) as client:
        client.init_transactions()
        for word, end in ((b"committed", client.commit_transaction), (b"aborted", client.abort_transaction)):
            client.begin_transaction()
            case.saw("sent", sent(client, name, word))
            end()
        with producer(case, transactional_id=case.name("id")) as second:
            second.init_transactions()
            client.begin_transaction()
            case.saw("fenced", sent(client, name, b"fenced"))
            attempt(client.abort_transaction)
            second.begin_transaction()
            case.saw("sent", sent(second, name, b"second"))
            second.commit_transaction()
    for level, count in (("read_committed", 2), ("read_uncommitted", 3)):
        with consumer(case, name, isolation_level=level) as client:
            case.saw(level, [[record.offset, record.value] for record in polled(client, count)])


@scenario("K31", "K32", "K35", "K37")
def administration(case: Case) -> None:
    name = topic(case, "t", 2)
    with producer(case) as client:
        sent(client, name, b"1", b"2", b"3", partition=0)
    with administrator(case) as admin:
        case.saw("again", attempt(lambda: admin.create_topics([NewTopic(name, 1, 1)])))
        case.saw("listed", name in admin.list_topics())
        (found,) = admin.describe_topics([name])
        numbers = sorted(each["partition_index"] for each in found["partitions"])
        case.saw("described", found["is_internal"], numbers)
        admin.create_partitions({name: 3})
        (found,) = admin.describe_topics([name])
        case.saw("more", len(found["partitions"]))
        place = TopicPartition(name, 0)
        (found,) = admin.delete_records({place: 2}).values()
        case.saw("records", found["low_watermark"])
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "5000"})
        admin.alter_configs([resource])
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        case.saw("configs", found)
        cluster = admin.describe_cluster()
        case.saw("cluster", cluster["controller_id"], [each["broker_id"] for each in cluster["brokers"]])
        admin.delete_topics([name])
        case.saw("deleted", until(lambda: name not in admin.list_topics()))


@scenario("K70", "K71")
def logins(case: Case) -> None:
    name = topic(case, "t")
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        login = {
            "bootstrap_servers": case.sasl_bootstrap,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "alice",
        }
        client = KafkaProducer(**QUICK, **login, sasl_plain_password=USERS["alice"])
        case.saw(mechanism, sent(client, name, b"x"))
        client.close()

        def wrong(login: dict[str, Any] = login) -> None:
            KafkaProducer(**QUICK, **login, sasl_plain_password="wrong", bootstrap_timeout_ms=1000).close()

        case.saw(mechanism, attempt(wrong))
