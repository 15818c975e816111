"""confluent-kafka (librdkafka) as the scenarios use it: quick settings, results as plain values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.compare_kafka.case import Case

WAIT_S = 15.0
"""After this a scenario goes on without what it waited for, and so differs."""

Config = Mapping[str, Any]
NONE: Config = MappingProxyType({})
COMMON = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "topic.metadata.refresh.fast.interval.ms": 20,
    "socket.timeout.ms": 10_000,
    "log_level": 0,
}
PRODUCER = {"linger.ms": 1, "message.timeout.ms": 10_000, "retry.backoff.ms": 20}
CONSUMER = {
    "fetch.wait.max.ms": 20,
    "fetch.error.backoff.ms": 20,
    "heartbeat.interval.ms": 100,
    "session.timeout.ms": 6_000,
    "coordinator.query.interval.ms": 200,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
}


def error_name(error: KafkaException | KafkaError) -> str:
    """Return the name of the code that a client was given."""
    return str((error.args[0] if isinstance(error, KafkaException) else error).name())


def attempt(action: Callable[[], Any]) -> Any:
    """Return what an action returns, or the name of its error."""
    try:
        return action()
    except KafkaException as error:
        return error_name(error)


def admin(case: Case) -> AdminClient:
    """Return the case's administrator; it has to live until it has answered."""
    if "admin" not in case.clients:
        case.clients["admin"] = AdminClient({"bootstrap.servers": case.bootstrap, **COMMON})
    client: AdminClient = case.clients["admin"]
    return client


def answers(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Return the results of an administrator's calls, by what they are about: values or names of errors."""
    return {key: attempt(lambda f=future: f.result(WAIT_S)) for key, future in futures.items()}  # type: ignore[misc]


def answer(futures: Mapping[Any, Future[Any]]) -> Any:
    """Return the one result of a call about one thing."""
    (value,) = answers(futures).values()
    return value


def topic(case: Case, word: str, partitions: int = 1, config: Mapping[str, str] = NONE) -> str:
    """Make a topic and return its name."""
    name = case.name(word)
    made = answer(admin(case).create_topics([NewTopic(name, partitions, config=dict(config))]))
    assert made is None, made
    return name


def producer(case: Case, config: Config = NONE) -> Producer:
    return Producer({"bootstrap.servers": case.bootstrap, **COMMON, **PRODUCER, **config})


def send(client: Producer, to: str, records: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Produce records, each given by `Producer.produce`'s own arguments; return what became of each.

    That is [partition, offset], or the name of an error.
    """
    reports: list[Any] = []

    def report(place: int) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            reports[place] = error_name(error) if error else [message.partition(), message.offset()]

        return note

    for record in records:
        reports.append("nothing")
        client.produce(to, **record, on_delivery=report(len(reports) - 1))
    client.flush(WAIT_S)
    return reports


def values(*texts: str | int) -> list[dict[str, Any]]:
    """Return records that have only values."""
    return [{"value": str(text)} for text in texts]


def consumer(case: Case, config: Config = NONE) -> Consumer:
    """Return a consumer, of a group of its own if none is named; settings that are None are left out."""
    defaults = {**COMMON, **CONSUMER, "group.id": case.name("alone")}
    settings = {"bootstrap.servers": case.bootstrap, **defaults, **config}
    return Consumer({key: value for key, value in settings.items() if value is not None})


def commit(client: Consumer, place: TopicPartition) -> Any:
    """Commit one offset; return what is committed then, or the name of an error."""
    done = attempt(lambda: client.commit(offsets=[place], asynchronous=False))
    if isinstance(done, str):
        return done
    return error_name(done[0].error) if done[0].error else done[0].offset


def committed(client: Consumer, *places: TopicPartition) -> list[Any]:
    """Return what is committed for each of some partitions: [offset, metadata]."""
    found = client.committed(list(places), timeout=WAIT_S)
    return [[each.offset, each.metadata] for each in found]


def drain(client: Consumer, count: int = 0) -> list[Message]:
    """Poll `count` messages, or up to the end of what is assigned; an error ends it and is the last."""
    messages: list[Message] = []
    ended: set[tuple[str | None, int | None]] = set()
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and not (count and len(messages) >= count):
        message = client.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() != KafkaError._PARTITION_EOF:
            return [*messages, message]
        elif not count:
            ended.add((message.topic(), message.partition()))
            if len(ended) == len(client.assignment()):
                break
    return messages


def seen(message: Message) -> Any:
    """Return a message as a line of a transcript shows it."""
    if error := message.error():
        return error_name(error)
    return [message.partition(), message.offset(), message.key(), message.value(), message.headers()]


def read_all(case: Case, name: str, partitions: int = 1, config: Config = NONE) -> list[Message]:
    """Return all messages of a topic, partition by partition."""
    client = consumer(case, config)
    found: list[Message] = []
    for partition in range(partitions):
        client.assign([TopicPartition(name, partition, 0)])
        found += drain(client)
    client.close()
    return found
