"""confluent-kafka's transactions: what becomes visible to whom, and who is fenced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    NONE,
    WAIT_S,
    Config,
    admin,
    answer,
    consumer,
    drain,
    error_name,
    producer,
    read_all,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario

COMMITTED: Config = {"isolation.level": "read_committed"}
UNCOMMITTED: Config = {"isolation.level": "read_uncommitted"}


def transactional(case: Case, word: str, config: Config = NONE) -> Producer:
    """Return a producer with a transactional id; it has fenced whoever had the id before."""
    settings = {"transactional.id": case.name(word), "transaction.timeout.ms": 10_000, **config}
    client = producer(case, settings)
    client.init_transactions(WAIT_S)
    return client


def outcome(action: Callable[[], Any]) -> Any:
    """Return "done", or an error's name and what the client makes of it."""
    try:
        action()
    except KafkaException as error:
        kind = error.args[0]
        return [error_name(error), kind.fatal(), kind.retriable(), kind.txn_requires_abort()]
    return "done"


def read(case: Case, name: str, config: Config) -> list[Any]:
    return [[message.offset(), message.value()] for message in read_all(case, name, config=config)]


@scenario("K60")
def commit_and_abort(case: Case) -> None:
    """Markers take an offset each; who reads committed messages alone does not see what was aborted."""
    name = topic(case, "t")
    client = transactional(case, "id")
    ends = (client.commit_transaction, client.abort_transaction, client.commit_transaction)
    for number, end in enumerate(ends):
        client.begin_transaction()
        case.saw("sent", send(client, name, values(f"{number}a", f"{number}b")))
        end(WAIT_S)
    for config in (COMMITTED, UNCOMMITTED):
        case.saw(config["isolation.level"], read(case, name, config))


@scenario("K60", "K10")
def open_transaction_holds_up_readers(case: Case) -> None:
    """Who reads committed messages alone comes to the first open transaction, and no further."""
    name = topic(case, "t")
    send(producer(case), name, values("before"))
    client = transactional(case, "id")
    client.begin_transaction()
    send(client, name, values("open"))
    send(producer(case), name, values("behind"))
    for config in (COMMITTED, UNCOMMITTED):
        case.saw(config["isolation.level"], read(case, name, config))
        reader = consumer(case, config)
        ends = reader.get_watermark_offsets(TopicPartition(name, 0), timeout=WAIT_S)
        case.saw("watermarks", ends)
        reader.close()
    client.commit_transaction(WAIT_S)
    case.saw("when it is over", read(case, name, COMMITTED))


@scenario("K60", "K54")
def offsets_in_a_transaction(case: Case) -> None:
    """What was read and what was made of it are committed together, or not at all."""
    source, target = topic(case, "source"), topic(case, "target")
    send(producer(case), source, values(*range(4)))
    client = transactional(case, "id")
    reader = consumer(case, {**COMMITTED, "group.id": case.name("group")})
    reader.subscribe([source])
    place = [TopicPartition(source, 0)]
    for end in (client.abort_transaction, client.commit_transaction):
        client.begin_transaction()
        drain(reader, 2)
        send(client, target, values("made"))
        offsets = reader.position(reader.assignment())
        client.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), WAIT_S)
        end(WAIT_S)
        case.saw("committed", [each.offset for each in reader.committed(place, timeout=WAIT_S)])
    case.saw("target", read(case, target, COMMITTED))
    reader.close()


@scenario("K61", "K75")
def fenced_by_the_next(case: Case) -> None:
    """The second producer with an id ends the open transaction of the first, which cannot go on."""
    name = topic(case, "t")
    old = transactional(case, "id")
    old.begin_transaction()
    send(old, name, values("old"))
    new = transactional(case, "id")
    case.saw("commit of the old", outcome(lambda: old.commit_transaction(WAIT_S)))
    new.begin_transaction()
    send(new, name, values("new"))
    new.commit_transaction(WAIT_S)
    case.saw("read", read(case, name, COMMITTED))


@scenario("K61", "K75")
def fenced_while_producing(case: Case) -> None:
    name = topic(case, "t")
    old = transactional(case, "id")
    transactional(case, "id")
    old.begin_transaction()
    old.produce(name, "old")
    case.saw("commit", outcome(lambda: old.commit_transaction(WAIT_S)))
    case.saw("read", read(case, name, COMMITTED))


@scenario("K63", "K75")
def transaction_that_takes_too_long(case: Case) -> None:
    """The broker aborts it; its producer learns that when it goes on."""
    name = topic(case, "t")
    limits = ("transaction.timeout.ms", "message.timeout.ms", "socket.timeout.ms")
    client = transactional(case, "id", dict.fromkeys(limits, 1000))
    client.begin_transaction()
    send(client, name, values("late"))
    reader = consumer(case, {**COMMITTED, "enable.partition.eof": False})
    reader.assign([TopicPartition(name, 0, 0)])
    send(producer(case), name, values("behind"))
    case.saw("read when it is aborted", [message.value() for message in drain(reader, 1)])
    reader.close()
    case.saw("commit", outcome(lambda: client.commit_transaction(WAIT_S)))


@scenario("K63", "K75")
def time_beyond_the_broker_s_limit(case: Case) -> None:
    case.saw("16 minutes", outcome(lambda: transactional(case, "id", {"transaction.timeout.ms": 960_000})))


@scenario("K60", "K50")
def group_that_moved_on(case: Case) -> None:
    """Offsets of a member that is none any more are refused, and the transaction has to be aborted."""
    source = topic(case, "source")
    send(producer(case), source, values(*range(4)))
    client = transactional(case, "id")
    reader = consumer(case, {"group.id": case.name("group")})
    reader.subscribe([source])
    drain(reader, 1)
    metadata, place = reader.consumer_group_metadata(), reader.position(reader.assignment())
    reader.close()
    client.begin_transaction()
    case.saw("offsets", outcome(lambda: client.send_offsets_to_transaction(place, metadata, WAIT_S)))
    case.saw("abort", outcome(lambda: client.abort_transaction(WAIT_S)))


@scenario("K60", "K35")
def transactions_and_deleted_topics(case: Case) -> None:
    name = topic(case, "t")
    client = transactional(case, "id")
    client.begin_transaction()
    send(client, name, values("x"))
    case.saw("deleted", answer(admin(case).delete_topics([name])))
    case.saw("commit", outcome(lambda: client.commit_transaction(WAIT_S)))
