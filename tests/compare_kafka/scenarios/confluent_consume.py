"""confluent-kafka consumes without a group: where it starts, what it may ask about offsets."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    WAIT_S,
    admin,
    answer,
    answers,
    attempt,
    consumer,
    drain,
    producer,
    seen,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


@scenario("K10", "K16")
def where_to_start(case: Case) -> None:
    """At the beginning, at the end, at an offset, counted from the end."""
    name = topic(case, "t")
    send(producer(case), name, values(*range(10)))
    client = consumer(case)
    for start in (OFFSET_BEGINNING, 0, 4, 9, 10):
        client.assign([TopicPartition(name, 0, start)])
        case.saw(f"from {start}", [message.offset() for message in drain(client)])
    client.assign([TopicPartition(name, 0, OFFSET_END)])
    case.saw("from the end", [message.offset() for message in drain(client)])
    send(producer(case), name, values("new"))
    case.saw("what comes then", [seen(message)[:2] for message in drain(client, 1)])
    client.close()


@scenario("K16")
def offset_out_of_range(case: Case) -> None:
    """A consumer goes on by auto.offset.reset, or is told."""
    name = topic(case, "t")
    send(producer(case), name, values(*range(5)))
    answer(admin(case).delete_records([TopicPartition(name, 0, 2)]))
    for reset in ("earliest", "latest", "error"):
        client = consumer(case, {"auto.offset.reset": reset})
        for start in (0, 100):
            client.assign([TopicPartition(name, 0, start)])
            case.saw(f"{reset} from {start}", [seen(message) for message in drain(client)])
        client.close()


@scenario("K15")
def offsets_by_time(case: Case) -> None:
    """The first message at or after a time; behind all of them, the end."""
    name = topic(case, "t", 2)
    client = producer(case, {"batch.num.messages": 1})
    for number in range(4):
        send(client, name, [{"value": "x", "partition": 0, "timestamp": START_MS + number * HOUR_MS}])
    reader = consumer(case)
    for at in (0, START_MS, START_MS + 1, START_MS + 2 * HOUR_MS, START_MS + 3 * HOUR_MS + 1):
        asked = [TopicPartition(name, partition, at) for partition in (0, 1)]
        case.saw(f"at {at}", [each.offset for each in reader.offsets_for_times(asked, timeout=WAIT_S)])
    for partition in (0, 1):
        case.saw("watermarks", reader.get_watermark_offsets(TopicPartition(name, partition), timeout=WAIT_S))
    missing = TopicPartition(name, 7)
    case.saw("no such partition", attempt(lambda: reader.get_watermark_offsets(missing, timeout=WAIT_S)))
    reader.close()


@scenario("K15")
def list_offsets(case: Case) -> None:
    """An administrator's question: earliest, latest, the highest time, by time."""
    name = topic(case, "t")
    client = producer(case, {"batch.num.messages": 1})
    for hours in (0, 5, 2):
        send(client, name, [{"value": "x", "timestamp": START_MS + hours * HOUR_MS}])
    specs = {
        "earliest": OffsetSpec.earliest(),
        "latest": OffsetSpec.latest(),
        "max timestamp": OffsetSpec.max_timestamp(),
        "by time": OffsetSpec.for_timestamp(START_MS + HOUR_MS),
        "by a time to come": OffsetSpec.for_timestamp(START_MS + 100 * HOUR_MS),
    }
    for kind, spec in specs.items():
        for level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED):
            found = answer(admin(case).list_offsets({TopicPartition(name, 0): spec}, isolation_level=level))
            case.saw(kind, found.offset, found.timestamp)
    there, gone = TopicPartition(name, 0), TopicPartition(case.name("gone"), 0)
    asked = {there: OffsetSpec.latest(), gone: OffsetSpec.latest()}
    found = answers(admin(case).list_offsets(asked, request_timeout=1))
    case.saw("one of two", getattr(found[there], "offset", found[there]), found[gone])


@scenario("K10")
def seek_pause_and_resume(case: Case) -> None:
    name = topic(case, "t", 2)
    client = producer(case)
    for partition in (0, 1):
        send(client, name, [{"value": str(number), "partition": partition} for number in range(5)])
    reader = consumer(case)
    both = [TopicPartition(name, partition, 0) for partition in (0, 1)]
    reader.assign(both)
    case.saw("all", sorted(seen(message)[:2] for message in drain(reader)))
    reader.pause(both[1:])
    for partition in both:
        reader.seek(TopicPartition(name, partition.partition, 3))
    case.saw("one is paused", sorted(seen(message)[:2] for message in drain(reader, 2)))
    reader.resume(both[1:])
    case.saw("the other", sorted(seen(message)[:2] for message in drain(reader, 2)))
    case.saw("position", [each.offset for each in reader.position(both)])
    reader.close()


@scenario("K10")
def waiting_fetch(case: Case) -> None:
    """A fetch that waits is answered when something comes, long before its time is over."""
    name = topic(case, "t")
    reader = consumer(case, {"fetch.wait.max.ms": 8_000})
    reader.assign([TopicPartition(name, 0, 0)])
    case.saw("nothing yet", reader.poll(0.1))
    client = producer(case)
    for number in range(3):
        began = time.monotonic()
        send(client, name, values(number))
        case.saw("then", [seen(message)[:2] for message in drain(reader, 1)], time.monotonic() - began < 4)
    reader.close()


@scenario("K30", "K75")
def topic_that_is_not_there(case: Case) -> None:
    """A consumer is told, unless it wants topics to be made."""
    reader = consumer(case)
    reader.subscribe([case.name("t")])
    case.saw("subscribed", [seen(message) for message in drain(reader, 1)])
    reader.close()
    reader = consumer(case, {"allow.auto.create.topics": True})
    reader.subscribe([case.name("made")])
    case.saw("may be made", [seen(message) for message in drain(reader)])
    reader.close()
