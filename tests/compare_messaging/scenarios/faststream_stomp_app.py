"""A FastStream application on STOMP (`faststream-stomp`, which is built on stompman)."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

from tests.compare_messaging.case import Case
from tests.compare_messaging.scenarios.stompman_client import WAIT_S, client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq"
PEER = "activemq"


def missing() -> str:
    there = importlib.util.find_spec("faststream_stomp")
    return "" if there else "faststream-stomp is not installed: run `make setup`"


async def run(case: Case, prepare: Any, play: Any) -> None:
    """Start an application that `prepare` has given its handlers, and let `play` use it."""
    from faststream import FastStream
    from faststream_stomp import StompBroker

    broker = StompBroker(client(case), logger=None, receipt_timeout=WAIT_S)
    prepare(broker)
    application = FastStream(broker, logger=None)
    async with asyncio.timeout(2 * WAIT_S):
        await application.start()
        try:
            await play(broker)
        finally:
            await application.stop()


@scenario("R142", "A1", "A3", "A6")
def handlers_and_what_they_return(case: Case) -> None:
    """A handler that publishes what it returns, and one that takes that."""
    source, target = f"/queue/{case.name('source')}", f"/queue/{case.name('target')}"
    seen: asyncio.Queue[Any] = asyncio.Queue()

    def prepare(broker: Any) -> None:
        @broker.subscriber(source)
        @broker.publisher(target)
        async def double(number: int) -> int:
            return 2 * number

        @broker.subscriber(target)
        async def collect(number: int) -> None:
            seen.put_nowait(number)

    async def play(broker: Any) -> None:
        for number in range(5):
            await broker.publish(number, source, headers={"persistent": "true"})
        case.saw("doubled", sorted([await seen.get() for _ in range(5)]))

    asyncio.run(run(case, prepare, play))


@scenario("R142", "A3")
def models_and_failures(case: Case) -> None:
    """A body of JSON becomes what the handler wants; where the handler raises, it is a dead letter."""
    name = f"/queue/{case.name('orders')}"
    seen: asyncio.Queue[Any] = asyncio.Queue()
    dead: asyncio.Queue[Any] = asyncio.Queue()

    def prepare(broker: Any) -> None:
        @broker.subscriber(name)
        async def take(order: dict[str, Any]) -> None:
            if order["count"] < 0:
                raise ValueError(order)
            seen.put_nowait(order)

        @broker.subscriber("/queue/ActiveMQ.DLQ")
        async def bury(order: dict[str, Any]) -> None:
            dead.put_nowait(order)

    async def play(broker: Any) -> None:
        await broker.publish({"item": "pen", "count": -1}, name, headers={"persistent": "true"})
        await broker.publish({"item": "pen", "count": 3}, name, headers={"persistent": "true"})
        case.saw("taken", await seen.get(), "dead", await dead.get())

    asyncio.run(run(case, prepare, play))


@scenario("R142", "A20")
def topics_reach_every_application(case: Case) -> None:
    topic = f"/topic/{case.name('news')}"
    seen: asyncio.Queue[Any] = asyncio.Queue()

    def prepare(broker: Any) -> None:
        for _ in range(2):

            @broker.subscriber(topic, ack_mode="auto")
            async def hear(text: str) -> None:
                seen.put_nowait(text)

    async def play(broker: Any) -> None:
        # Subscriptions are asked for without a receipt, but on the same connection.
        await broker.publish("extra", topic, correlation_id="c")
        case.saw("heard", [await seen.get() for _ in range(2)])

    asyncio.run(run(case, prepare, play))
