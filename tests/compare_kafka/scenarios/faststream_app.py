"""FastStream applications, on aiokafka and on confluent-kafka: handlers, answers elsewhere, batches."""

from __future__ import annotations

import asyncio
from typing import Any

from faststream import FastStream
from faststream.confluent import KafkaBroker as ConfluentBroker
from faststream.kafka import KafkaBroker

from tests.compare_kafka.case import Case
from tests.transcripts.registry import scenario

WAIT_S = 20.0


async def pipeline(case: Case, broker: Any) -> None:
    """A handler that publishes what it returns, one that gets batches, and a publisher."""
    source, target = case.name("source"), case.name("target")
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber(source, group_id=case.name("group"), auto_offset_reset="earliest")
    @broker.publisher(target)
    async def double(number: int) -> int:
        return 2 * number

    @broker.subscriber(target, group_id=case.name("batches"), auto_offset_reset="earliest", batch=True)
    async def collect(numbers: list[int]) -> None:
        for number in numbers:
            seen.put_nowait(number)

    application = FastStream(broker, logger=None)
    async with asyncio.timeout(WAIT_S):
        await application.start()
        try:
            for number in range(5):
                await broker.publish(number, source, key=b"k", headers={"n": str(number)})
            case.saw("doubled", [await seen.get() for _ in range(5)])
        finally:
            await application.stop()


@scenario("K30", "K50", "K77")
def on_aiokafka(case: Case) -> None:
    asyncio.run(pipeline(case, KafkaBroker(case.bootstrap, logger=None)))


@scenario("K30", "K50", "K77")
def on_confluent_kafka(case: Case) -> None:
    asyncio.run(pipeline(case, ConfluentBroker(case.bootstrap, logger=None)))
