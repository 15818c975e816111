"""aiokafka: producer, consumer, groups, transactions; it asks for old versions of most calls (T7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from bench.kafka_peer import USERS
from tests.compare_kafka.case import Case
from tests.transcripts.registry import scenario

WAIT_S = 15.0
QUICK = {"retry_backoff_ms": 20}
CONSUMER = {
    **QUICK,
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "fetch_max_wait_ms": 20,
    "heartbeat_interval_ms": 100,
    "session_timeout_ms": 6_000,
}

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # What went wrong is in the transcript.


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run the coroutine of a scenario, with a bound on its time."""

    async def bounded() -> None:
        # aiokafka leaves the failures of its own tasks to whoever collects them.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with asyncio.timeout(2 * WAIT_S):
            await work()

    asyncio.run(bounded())


async def topic(case: Case, word: str, partitions: int = 1) -> str:
    name = case.name(word)
    admin = AIOKafkaAdminClient(bootstrap_servers=case.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    return name


async def attempt(work: Awaitable[Any]) -> Any:
    """Return what a coroutine returns, or the name of its error."""
    try:
        return await work
    except KafkaError as error:
        return type(error).__name__


async def sent(client: AIOKafkaProducer, name: str, *values: bytes | None, **more: Any) -> list[Any]:
    found = [await attempt(client.send_and_wait(name, value, **more)) for value in values]
    return [each if isinstance(each, str) else [each.partition, each.offset] for each in found]


async def polled(client: AIOKafkaConsumer, count: int) -> list[Any]:
    """Poll until so many records have come."""
    records: list[Any] = []
    async with asyncio.timeout(WAIT_S):
        while len(records) < count:
            for batch in (await client.getmany(timeout_ms=50)).values():
                records += batch
    return records


@scenario("K1", "K2", "K4", "K17", "T7")
def round_trip(case: Case) -> None:
    async def work() -> None:
        name = await topic(case, "t")
        for config in ({}, {"compression_type": "gzip"}, {"enable_idempotence": True}, {"acks": 1}):
            async with AIOKafkaProducer(bootstrap_servers=case.bootstrap, **QUICK, **config) as client:
                case.saw(
                    "sent", config, await sent(client, name, b"v", None, key=b"k", headers=[("a", b"1")])
                )
        async with AIOKafkaConsumer(name, bootstrap_servers=case.bootstrap, **CONSUMER) as reader:
            for record in await polled(reader, 8):
                case.saw("read", record.offset, record.key, record.value, record.headers)

    run(work)


@scenario("K15", "K16")
def offsets(case: Case) -> None:
    async def work() -> None:
        name = await topic(case, "t")
        place = TopicPartition(name, 0)
        async with AIOKafkaProducer(bootstrap_servers=case.bootstrap, **QUICK) as client:
            for number in range(3):
                await sent(client, name, b"x", timestamp_ms=1_700_000_000_000 + number * 1000)
        async with AIOKafkaConsumer(bootstrap_servers=case.bootstrap, **CONSUMER) as reader:
            reader.assign([place])
            case.saw("beginning", (await reader.beginning_offsets([place]))[place])
            case.saw("end", (await reader.end_offsets([place]))[place])
            for at in (1_700_000_000_001, 1_800_000_000_000):
                found = (await reader.offsets_for_times({place: at}))[place]
                case.saw(f"at {at}", found and [found.offset, found.timestamp])
            reader.seek(place, 2)
            case.saw("from 2", [record.offset for record in await polled(reader, 1)])
            reader.seek(place, 99)
            case.saw("out of range", [record.offset for record in await polled(reader, 3)])

    run(work)


@scenario("K50", "K54", "T7")
def groups(case: Case) -> None:
    """Two members share, one goes, the next goes on behind what was committed."""

    async def work() -> None:
        name = await topic(case, "t", 4)
        config = {**CONSUMER, "bootstrap_servers": case.bootstrap, "group_id": case.name("group")}
        async with AIOKafkaProducer(bootstrap_servers=case.bootstrap, **QUICK) as client:
            for partition in range(4):
                await sent(client, name, b"0", b"1", partition=partition)
        first, second = AIOKafkaConsumer(name, **config), AIOKafkaConsumer(name, **config)

        async def owned(*counts: int) -> bool:
            members = (first, second)[: len(counts)]
            while [len(each.assignment()) for each in members] != list(counts):
                for each in members:
                    await each.getmany(timeout_ms=10)
            return True

        await first.start()
        case.saw("alone", await asyncio.wait_for(owned(4), WAIT_S))
        await second.start()
        case.saw("shared", await asyncio.wait_for(owned(2, 2), WAIT_S))
        case.saw("all", sorted(each.partition for each in first.assignment() | second.assignment()))
        await second.stop()
        case.saw("one is left", await asyncio.wait_for(owned(4), WAIT_S))
        places = {TopicPartition(name, number): OffsetAndMetadata(1, f"p{number}") for number in range(4)}
        await first.commit(places)
        await first.stop()
        async with AIOKafkaConsumer(name, **config) as reader:
            case.saw("goes on", sorted((r.partition, r.offset) for r in await polled(reader, 4)))
            case.saw("committed", [await reader.committed(place) for place in places])

    run(work)


@scenario("K60", "K61")
def transactions(case: Case) -> None:
    """Commit, abort, offsets with them, and the second producer of an id."""

    async def work() -> None:
        source, name = await topic(case, "source"), await topic(case, "t")
        config = {"bootstrap_servers": case.bootstrap, "transactional_id": case.name("id"), **QUICK}
        client = AIOKafkaProducer(**config)
        await client.start()
        async with client.transaction():
            case.saw("sent", await sent(client, name, b"committed"))
            place = {TopicPartition(source, 0): OffsetAndMetadata(5, "")}
            await client.send_offsets_to_transaction(place, case.name("group"))
        await client.begin_transaction()
        case.saw("sent", await sent(client, name, b"aborted"))
        await client.abort_transaction()
        async with AIOKafkaProducer(**config) as second:
            await client.begin_transaction()
            case.saw("fenced", await sent(client, name, b"fenced"))
            async with second.transaction():
                case.saw("sent", await sent(second, name, b"second"))
        await attempt(client.stop())
        for level, count in (("read_committed", 2), ("read_uncommitted", 3)):
            settings = {**CONSUMER, "bootstrap_servers": case.bootstrap, "isolation_level": level}
            async with AIOKafkaConsumer(name, **settings) as reader:
                case.saw(level, [[r.offset, r.value] for r in await polled(reader, count)])
        settings = {**CONSUMER, "bootstrap_servers": case.bootstrap, "group_id": case.name("group")}
        async with AIOKafkaConsumer(**settings) as reader:
            case.saw("committed", await reader.committed(TopicPartition(source, 0)))

    run(work)


@scenario("K30", "K31", "K57")
def administration(case: Case) -> None:
    async def work() -> None:
        name = await topic(case, "t", 2)
        admin = AIOKafkaAdminClient(bootstrap_servers=case.bootstrap)
        await admin.start()
        try:
            answered = await admin.create_topics([NewTopic(name, 1, 1)])
            case.saw("again", [error[1] for error in answered.topic_errors])
            async with asyncio.timeout(WAIT_S):
                while name not in await admin.list_topics():
                    await asyncio.sleep(0.01)
            (found,) = await admin.describe_topics([name])
            case.saw("described", found["is_internal"], len(found["partitions"]))
            case.saw(
                "groups", [each for each in await admin.list_consumer_groups() if case.name("") in each[0]]
            )
            await admin.delete_topics([name])
        finally:
            await admin.close()

    run(work)


@scenario("K70", "K71")
def logins(case: Case) -> None:
    async def work() -> None:
        name = await topic(case, "t")
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            login = {
                "bootstrap_servers": case.sasl_bootstrap,
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_plain_username": "alice",
            }
            async with AIOKafkaProducer(**login, sasl_plain_password=USERS["alice"]) as client:
                case.saw(mechanism, await sent(client, name, b"x"))
            wrong = AIOKafkaProducer(**login, sasl_plain_password="wrong")
            case.saw(mechanism, await attempt(wrong.start()))
            await wrong.stop()

    run(work)
