"""aio-pika: asyncio, robust connections, publisher confirms, RPC and delayed retries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import pytest
from aio_pika.patterns import RPC, Master
from broker_target import Target

WAIT_S = 15.0
Scenario = Callable[[aio_pika.abc.AbstractRobustConnection], Awaitable[None]]


@pytest.fixture
def run(broker: Target) -> Callable[[Scenario], None]:
    """Return a runner: an event loop, one robust connection, and a bound on the time."""

    async def with_connection(scenario: Scenario) -> None:
        async with asyncio.timeout(2 * WAIT_S):
            async with await aio_pika.connect_robust(broker.url()) as connection:
                await scenario(connection)

    return lambda scenario: asyncio.run(with_connection(scenario))


async def collect(
    queue: aio_pika.abc.AbstractQueue, count: int, **options: Any
) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """Consume `count` messages through aio-pika's iterator."""
    messages = []
    async with queue.iterator(timeout=WAIT_S, **options) as iterator:
        async for message in iterator:
            messages.append(message)
            if len(messages) == count:
                return messages
    raise AssertionError(messages)


@pytest.mark.row("R60", "R61", "R63", "R66")
def test_publish_with_confirms_and_consume(run: Any, name: str) -> None:
    """R61: aio-pika confirms by default; the confirmation of a routed message is an ack."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, durable=True)
        message = aio_pika.Message(
            b"body", headers={"n": 1}, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, priority=3
        )
        confirmation = await channel.default_exchange.publish(message, name)
        assert type(confirmation).__name__ == "Ack"
        (got,) = await collect(queue, 1)
        assert (got.body, got.headers, got.priority) == (b"body", {"n": 1}, 3)
        await got.ack()
        await queue.delete()

    run(scenario)


@pytest.mark.row("R61", "R71")
def test_a_thousand_publishes_in_flight(run: Any, name: str) -> None:
    """R61, R71: confirms come for all of them, `multiple` or not, and order holds."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, exclusive=True)
        messages = [aio_pika.Message(str(n).encode()) for n in range(1000)]
        await asyncio.gather(*(channel.default_exchange.publish(message, name) for message in messages))
        declared = await (await connection.channel()).declare_queue(name, passive=True)
        assert declared.declaration_result.message_count == 1000
        got = await collect(queue, 1000, no_ack=True)
        assert [message.body for message in got] == [message.body for message in messages]

    run(scenario)


@pytest.mark.row("R27")
def test_unroutable_mandatory_raises(run: Any, name: str) -> None:
    """R27: aio-pika publishes mandatory by default and raises what came back."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel(on_return_raises=True)
        with pytest.raises(aio_pika.exceptions.PublishError):
            await channel.default_exchange.publish(aio_pika.Message(b"lost"), name)

    run(scenario)


@pytest.mark.row("R66")
def test_processing_context_requeues_on_an_error(run: Any, name: str) -> None:
    """R66: an exception in the `process` context rejects with requeue; the next delivery is redelivered."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(name, exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), name)
        seen: list[bool] = []
        done = asyncio.Event()

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process(requeue=True):
                seen.append(bool(message.redelivered))
                if len(seen) == 1:
                    raise RuntimeError("the first attempt fails")
                done.set()

        await queue.consume(work)
        await asyncio.wait_for(done.wait(), WAIT_S)
        assert seen == [False, True]

    run(scenario)


@pytest.mark.row("R44", "R48")
def test_delay_queues_deliver_in_order_of_expiration(run: Any, name: str) -> None:
    """R44, R48: one TTL queue per delay, dead-lettered to the work queue."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        work = await channel.declare_queue(name, exclusive=True)
        for delay_ms in (900, 100, 500):
            arguments = {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": name,
                "x-message-ttl": delay_ms,
                "x-expires": 60_000,
            }
            delay = await channel.declare_queue(f"{name}-{delay_ms}", exclusive=True, arguments=arguments)
            await channel.default_exchange.publish(aio_pika.Message(str(delay_ms).encode()), delay.name)
        got = await collect(work, 3, no_ack=True)
        assert [message.body for message in got] == [b"100", b"500", b"900"]
        assert [message.headers["x-death"][0]["reason"] for message in got] == ["expired"] * 3

    run(scenario)


@pytest.mark.row("R22", "R48", "R70")
def test_rpc_pattern(run: Any, name: str) -> None:
    """R22, R48: aio-pika's RPC uses a headers exchange for dead letters and expirations."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        rpc = await RPC.create(channel)

        async def multiply(*, x: int, y: int) -> int:
            return x * y

        async def fail() -> None:
            raise ValueError("on purpose")

        await rpc.register(f"{name}-multiply", multiply, auto_delete=True)
        await rpc.register(f"{name}-fail", fail, auto_delete=True)
        calls = (rpc.call(f"{name}-multiply", kwargs={"x": n, "y": 2}) for n in range(20))
        assert await asyncio.gather(*calls) == [2 * n for n in range(20)]
        with pytest.raises(ValueError, match="on purpose"):
            await rpc.call(f"{name}-fail")
        await rpc.close()

    run(scenario)


@pytest.mark.row("R48", "R64")
def test_rpc_call_that_nobody_serves_times_out_by_expiration(run: Any, name: str) -> None:
    """R48: the expired request comes back through the headers exchange of dead letters."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        await channel.declare_queue(
            f"{name}-silent", auto_delete=True, arguments={"x-dead-letter-exchange": "rpc.dlx"}
        )
        rpc = await RPC.create(channel)
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await rpc.call(f"{name}-silent", expiration=0.2)
        await rpc.close()
        await (await channel.get_queue(f"{name}-silent")).delete(if_unused=False, if_empty=False)

    run(scenario)


@pytest.mark.row("R65", "R66")
def test_master_worker_pattern(run: Any, name: str) -> None:
    """R65: aio-pika's Master distributes tasks to workers with prefetch."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2)
        master = Master(channel)
        done: list[int] = []
        all_done = asyncio.Event()

        async def work(*, task: int) -> None:
            done.append(task)
            if len(done) == 10:
                all_done.set()

        workers = [await master.create_worker(name, work, auto_delete=True) for _ in range(2)]
        for task in range(10):
            await master.create_task(name, kwargs={"task": task})
        await asyncio.wait_for(all_done.wait(), WAIT_S)
        assert sorted(done) == list(range(10))
        for worker in workers:
            await worker.close()

    run(scenario)


@pytest.mark.row("R24", "R22")
def test_exchange_bindings(run: Any, name: str) -> None:
    """R24: bind one exchange to another, and unbind."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        source = await channel.declare_exchange(
            f"{name}-source", aio_pika.ExchangeType.TOPIC, auto_delete=True
        )
        target = await channel.declare_exchange(
            f"{name}-target", aio_pika.ExchangeType.FANOUT, auto_delete=True
        )
        queue = await channel.declare_queue(name, exclusive=True)
        await target.bind(source, routing_key="a.*")
        await queue.bind(target)
        await source.publish(aio_pika.Message(b"in"), "a.b")
        await source.publish(aio_pika.Message(b"out"), "b.b", mandatory=False)
        got = await collect(queue, 1, no_ack=True)
        assert got[0].body == b"in"
        await target.unbind(source, routing_key="a.*")

    run(scenario)


@pytest.mark.row("R62")
def test_transaction(run: Any, name: str) -> None:
    """R62: commit publishes, rollback does not."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(name, exclusive=True)
        async with channel.transaction():
            await channel.default_exchange.publish(aio_pika.Message(b"kept"), name)

        async def publish_and_fail() -> None:
            async with channel.transaction():
                await channel.default_exchange.publish(aio_pika.Message(b"forgotten"), name)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await publish_and_fail()
        assert (await queue.get(no_ack=True)).body == b"kept"
        assert await queue.get(no_ack=True, fail=False) is None

    run(scenario)


@pytest.mark.row("404", "405", "406")
def test_errors_become_exceptions_and_the_channel_can_be_reopened(run: Any, name: str) -> None:
    """1.2: aio-pika maps 404, 405 and 406 to exceptions of their own, and reopens the channel."""

    async def scenario(connection: aio_pika.abc.AbstractRobustConnection) -> None:
        channel = await connection.channel()
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(name, passive=True)
        channel = await connection.channel()
        await channel.declare_queue(name, exclusive=True)
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed):
            await channel.declare_queue(name, exclusive=True, auto_delete=True)
        channel = await connection.channel()
        assert (await channel.declare_queue(name, passive=True)).name == name

    run(scenario)


class Proxy:
    """Passes bytes between a client and the broker until it is told to cut all connections."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection, in whatever frame it is."""
        while self.writers:
            self.writers.pop().transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_upstream = await asyncio.open_connection(*self.address)
        self.writers += [writer, to_upstream]
        await asyncio.gather(self._pass(reader, to_upstream), self._pass(upstream, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.row("R12", "R63")
def test_robust_consumer_survives_a_lost_connection(broker: Target, name: str) -> None:
    """R12: the connection is cut; aio-pika reconnects, declares its queue again and goes on consuming."""

    async def scenario() -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                await got.put(message.body)

        async with asyncio.timeout(2 * WAIT_S), Proxy(broker.host, broker.port) as proxy:
            url = broker.url().replace(f":{broker.port}", f":{proxy.port}")
            async with (
                await aio_pika.connect_robust(url, reconnect_interval=0.1) as connection,
                await aio_pika.connect(broker.url()) as other,
            ):
                publisher = await other.channel()
                reconnected = asyncio.Event()
                connection.reconnect_callbacks.add(lambda *_: reconnected.set())
                channel = await connection.channel()
                queue = await channel.declare_queue(name, durable=True)
                await queue.consume(work)
                await publisher.default_exchange.publish(aio_pika.Message(b"before"), name)
                assert await got.get() == b"before"
                proxy.cut()
                await reconnected.wait()
                await publisher.default_exchange.publish(aio_pika.Message(b"after"), name)
                while await got.get() != b"after":
                    pass  # The first one comes again if the cut overtook its acknowledgement.
                await publisher.queue_delete(name)

    asyncio.run(scenario())
