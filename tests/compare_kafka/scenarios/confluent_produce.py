"""confluent-kafka produces: what comes back to the producer, and what a consumer reads."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    admin,
    error_name,
    producer,
    read_all,
    seen,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@scenario("K1", "K2", "K17")
def keys_values_and_headers(case: Case) -> None:
    """Anything may be null or empty, and a header's name may come twice."""
    name = topic(case, "t")
    records = [
        {"key": "k", "value": "v"},
        {"key": None, "value": "v"},
        {"key": "k", "value": None},
        {"key": None, "value": None},
        {"key": "", "value": ""},
        {"key": b"\x00\xff", "value": "ä€😀".encode()},
        {"value": "v", "headers": [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None), ("ä", b"\xff")]},
    ]
    case.saw("delivered", send(producer(case), name, records))
    for message in read_all(case, name):
        case.saw("read", *seen(message))


@scenario("K4", "T4")
def each_codec(case: Case) -> None:
    """What was compressed by any codec is read as it was sent."""
    name = topic(case, "t")
    texts = []
    for codec in CODECS:
        client = producer(case, {"compression.type": codec, "linger.ms": 50})
        texts += [f"{codec} {number} " * 20 for number in range(20)]
        case.saw(codec, send(client, name, values(*texts[-20:]))[-1])
    case.saw("read as sent", [(message.value() or b"").decode() for message in read_all(case, name)] == texts)


@scenario("K5")
def each_acks(case: Case) -> None:
    """With acks 0 nothing comes back, and the client has no offset to tell."""
    name = topic(case, "t")
    for acks in ("0", "1", "all"):
        sent = send(producer(case, {"acks": acks}), name, values(acks))
        case.saw(f"acks {acks}", [partition for partition, _ in sent])
    case.saw("read", [message.value() for message in read_all(case, name)])


@scenario("K7")
def idempotent(case: Case) -> None:
    name = topic(case, "t", 2)
    client = producer(case, {"enable.idempotence": True})
    for batch in range(8):
        case.saw("delivered", send(client, name, [{"value": f"{batch}", "partition": batch % 2}]))
    case.saw("read", [seen(message)[:2] for message in read_all(case, name, 2)])


@scenario("K8", "K75")
def large_and_too_large(case: Case) -> None:
    """A batch of up to max.message.bytes is taken; a larger one is refused, and the next goes on."""
    name = topic(case, "t")
    small = topic(case, "small", config={"max.message.bytes": "1000"})
    client = producer(case, {"message.max.bytes": 3_000_000, "compression.type": "none"})
    case.saw("1,000,000 bytes", send(client, name, [{"value": b"x" * 1_000_000}]))
    case.saw("1,048,500 bytes", send(client, name, [{"value": b"x" * 1_048_500}]))
    case.saw("1,048,600 bytes", send(client, name, [{"value": b"x" * 1_048_600}]))
    case.saw("afterwards", send(client, name, values("small")))
    case.saw("900 bytes", send(client, small, [{"value": b"x" * 900}]))
    case.saw("1,000 bytes", send(client, small, [{"value": b"x" * 1000}]))
    fetch = {"fetch.message.max.bytes": 10_000}
    case.saw("read", [len(message.value() or b"") for message in read_all(case, name, config=fetch)])


@scenario("K6", "K75")
def timestamps(case: Case) -> None:
    """A topic keeps the producer's time, or the broker's; limits are limits of the producer's."""
    now = int(time.time() * 1000)
    name = topic(case, "created")
    send(producer(case), name, [{"value": "x", "timestamp": 1_500_000_000_000}])
    case.saw("create time", [message.timestamp() for message in read_all(case, name)])

    name = topic(case, "appended", config={"message.timestamp.type": "LogAppendTime"})
    send(producer(case), name, [{"value": "x", "timestamp": 1_500_000_000_000}])
    for kind, at in (message.timestamp() for message in read_all(case, name)):
        case.saw("append time", kind, 0 <= at - now < 60_000)

    for setting, timestamp in (("before", now - 100_000), ("after", now + 100_000)):
        name = topic(case, setting, config={f"message.timestamp.{setting}.max.ms": "50000"})
        case.saw(setting, send(producer(case), name, [{"value": "x", "timestamp": timestamp}]))
        case.saw(setting, send(producer(case), name, [{"value": "x", "timestamp": now}]))

    name = topic(case, "hour")
    ahead = [{"value": "x", "timestamp": now + 3_660_000}]
    case.saw("an hour and a minute ahead", send(producer(case), name, ahead))


@scenario("K9", "K34", "K75")
def no_key_for_a_compacted_topic(case: Case) -> None:
    name = topic(case, "t", config={"cleanup.policy": "compact"})
    case.saw("with a key", send(producer(case), name, [{"key": "k", "value": "v"}]))
    case.saw("without", send(producer(case), name, values("v")))


@scenario("K30")
def topic_that_is_not_there(case: Case) -> None:
    """It is made, with one partition, when a producer asks for it; an unknown partition is none."""
    name = case.name("t")
    client = producer(case)
    case.saw("delivered", send(client, name, values("first")))
    case.saw("partitions", len(admin(case).list_topics(name, timeout=10).topics[name].partitions))
    try:
        client.produce(name, "x", partition=3)
        case.saw("partition 3", "taken")
    except KafkaException as error:
        case.saw("partition 3", error_name(error))
    case.saw("bad name", send(producer(case, {"message.timeout.ms": 2000}), "no such/topic", values("x")))


@scenario("K31")
def partitioners(case: Case) -> None:
    """Keys choose partitions on the client's side, by the number that the broker tells."""
    name = topic(case, "t", 5)
    keys = [{"key": f"key-{number}", "value": "v"} for number in range(12)]
    for partitioner in ("consistent", "murmur2", "fnv1a"):
        sent = send(producer(case, {"partitioner": partitioner}), name, keys)
        case.saw(partitioner, [partition for partition, _ in sent])


@scenario("K5", "K75")
def min_insync_replicas(case: Case) -> None:
    """One node cannot have two replicas in sync: acks all is refused, acks 1 is not."""
    name = topic(case, "t", config={"min.insync.replicas": "2"})
    config = {"message.timeout.ms": 1500, "retries": 2}
    case.saw("acks all", send(producer(case, {**config, "acks": "all"}), name, values("x")))
    case.saw("acks 1", send(producer(case, {**config, "acks": "1"}), name, values("x")))
