"""confluent-kafka and a broker that is stopped and started again in the middle."""

from __future__ import annotations

from confluent_kafka import TopicPartition

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    WAIT_S,
    committed,
    consumer,
    drain,
    producer,
    read_all,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario


@scenario("K2", "K7", "K54", "K60")
def restart_in_the_middle(case: Case) -> None:
    """Clients connect again by themselves and go on; nothing is lost, nothing doubled."""
    name, ledger = topic(case, "t"), topic(case, "ledger")
    sender = producer(case, {"enable.idempotence": True, "message.timeout.ms": 30_000})
    worker = producer(case, {"transactional.id": case.name("id"), "message.timeout.ms": 30_000})
    worker.init_transactions(WAIT_S)
    worker.begin_transaction()
    case.saw("in a transaction", send(worker, ledger, values("t1")))
    worker.commit_transaction(WAIT_S)
    case.saw("before", send(sender, name, values("a", "b")))
    reader = consumer(case, {"group.id": case.name("group")})
    reader.subscribe([name])
    case.saw("read", [message.value() for message in drain(reader, 2)])
    reader.commit(asynchronous=False)

    case.broker.restart()

    case.saw("after", send(sender, name, values("c")))
    case.saw("read on", [message.value() for message in drain(reader, 1)])
    case.saw("committed", committed(reader, TopicPartition(name, 0)))
    reader.commit(asynchronous=False)
    worker.begin_transaction()
    case.saw("in a transaction", send(worker, ledger, values("t2")))
    worker.commit_transaction(WAIT_S)
    reader.close()
    for each in (name, ledger):
        messages = read_all(case, each, config={"isolation.level": "read_committed"})
        case.saw("all", each, [[message.offset(), message.value()] for message in messages])
