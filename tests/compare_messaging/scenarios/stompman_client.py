"""stompman, which names the machine as `host` and so is a client of ActiveMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import stompman

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq"
PEER = "activemq"
HOST = "127.0.0.1"
WAIT_S = 10


def client(case: Case, **more: Any) -> stompman.Client:
    where = stompman.ConnectionParameters(HOST, case.port, "guest", "guest")
    return stompman.Client([where], no_message_restart_interval=None, **more)


class Got:
    """What a subscription has got, in a queue; a body that begins with `bad` cannot be handled."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[stompman.MessageFrame] = asyncio.Queue()
        self.failed: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(self, frame: stompman.MessageFrame) -> None:
        if frame.body.startswith(b"bad"):
            raise ValueError(frame.body)
        self.frames.put_nowait(frame)

    def fail(self, error: Exception, frame: stompman.MessageFrame) -> None:
        self.failed.put_nowait(frame.body)

    async def bodies(self, count: int) -> list[bytes]:
        async with asyncio.timeout(WAIT_S):
            return [(await self.frames.get()).body for _ in range(count)]


@asynccontextmanager
async def subscribed(
    user: stompman.Client, destination: str, ack: Any = "client-individual"
) -> AsyncIterator[Got]:
    """A subscription that is there, and is left in the end: a client does not go before that."""
    got = Got()
    subscription = await user.subscribe(
        destination, got.handle, ack=ack, on_suppressed_exception=got.fail, receipt_timeout=WAIT_S
    )
    try:
        yield got
    finally:
        await subscription.unsubscribe()


@scenario("R142", "A1", "A3", "A4")
def send_and_subscribe(case: Case) -> None:
    async def play() -> None:
        for ack in ("auto", "client", "client-individual"):
            name = f"/queue/{case.name(ack)}"
            async with client(case) as user, subscribed(user, name, ack) as got:
                for body in (b"one", "zwei ü".encode(), b"nul \0 within"):
                    said = {"persistent": "true", "custom": "a:b"}
                    await user.send(
                        body, name, headers=said, content_type="text/plain", receipt_timeout=WAIT_S
                    )
                for _ in range(3):
                    async with asyncio.timeout(WAIT_S):
                        frame = await got.frames.get()
                    headers = {
                        key: frame.headers.get(key) for key in ("custom", "content-type", "destination")
                    }
                    case.saw(ack, frame.body, headers)

    asyncio.run(play())


@scenario("R142", "A3")
def what_cannot_be_handled_is_a_dead_letter(case: Case) -> None:
    """The client answers with NACK itself."""

    async def play() -> None:
        name = f"/queue/{case.name('n')}"
        async with (
            client(case) as user,
            subscribed(user, "/queue/ActiveMQ.DLQ") as dead,
            subscribed(user, name) as got,
        ):
            await user.send(b"bad one", name, headers={"persistent": "true"})
            await user.send(b"good", name, headers={"persistent": "true"})
            case.saw("good", await got.bodies(1), await asyncio.wait_for(got.failed.get(), WAIT_S))
            # What handles dead letters cannot handle this one either, as its body begins with the same word.
            case.saw("dead", await asyncio.wait_for(dead.failed.get(), WAIT_S))

    asyncio.run(play())


@scenario("R142", "A5")
def transactions(case: Case) -> None:
    async def play() -> None:
        name = f"/queue/{case.name('t')}"
        async with client(case) as user, subscribed(user, name) as got:
            try:
                async with user.begin() as transaction:
                    await transaction.send(b"given up", name)
                    raise LookupError
            except LookupError:
                case.saw("given up")
            async with user.begin() as transaction:
                for number in range(3):
                    await transaction.send(b"%d" % number, name, headers={"persistent": "true"})
                await user.send(b"before", name, receipt_timeout=WAIT_S)
            case.saw("got", await got.bodies(4))

    asyncio.run(play())


@scenario("R142", "A3")
def acknowledged_by_hand(case: Case) -> None:
    async def play() -> None:
        name = f"/queue/{case.name('m')}"
        frames: asyncio.Queue[stompman.AckableMessageFrame] = asyncio.Queue()

        async def keep(frame: stompman.AckableMessageFrame) -> None:
            frames.put_nowait(frame)

        async def take(count: int) -> list[stompman.AckableMessageFrame]:
            async with asyncio.timeout(WAIT_S):
                return [await frames.get() for _ in range(count)]

        async with client(case) as user:
            for number in range(4):
                await user.send(b"%d" % number, name, headers={"persistent": "true"}, receipt_timeout=WAIT_S)
            first = await user.subscribe_with_manual_ack(name, keep, receipt_timeout=WAIT_S)
            got = await take(4)
            await got[0].ack()
            await got[2].ack()
            await first.unsubscribe()
        async with client(case) as user:
            again = await user.subscribe_with_manual_ack(name, keep, receipt_timeout=WAIT_S)
            case.saw("again", [(frame.body, frame.headers.get("redelivered")) for frame in await take(2)])
            await again.unsubscribe()

    asyncio.run(play())


@scenario("R142", "A20", "A24")
def topics(case: Case) -> None:
    async def play() -> None:
        root = case.name("a").replace("-", "")
        async with client(case) as user, subscribed(user, f"/topic/{root}.*", "auto") as got:
            for word in ("b", "c"):
                await user.send(word.encode(), f"/topic/{root}.{word}", receipt_timeout=WAIT_S)
            case.saw("got", await got.bodies(2))

    asyncio.run(play())


async def taken_from(case: Case, name: str) -> None:
    """Send to a name, and see what comes from the queue `/queue/NAME`."""
    async with client(case) as user, subscribed(user, f"/queue/{name}") as got:
        await user.send(b"x", name, receipt_timeout=WAIT_S)
        frame = await asyncio.wait_for(got.frames.get(), WAIT_S)
        case.saw("got", frame.body, frame.headers["destination"])


@scenario("R142", "A2")
def a_name_alone_is_a_queue(case: Case) -> None:
    asyncio.run(taken_from(case, case.name("alone")))


@scenario("R142", "A2")
def so_is_one_with_slashes(case: Case) -> None:
    asyncio.run(taken_from(case, f"/odd/{case.name('alone')}"))


@scenario("R142", "A12")
def heart_beats(case: Case) -> None:
    async def play() -> None:
        async with client(case, heartbeat=stompman.Heartbeat(200, 200)) as user:
            for _ in range(10):
                await asyncio.sleep(0.15)
            case.saw("alive", user.is_alive())

    asyncio.run(play())
