"""Unmodified clients as load: pika, aio-pika and Celery, in the same worker processes as the raw load.

Here the client is the bottleneck (it spends many times the broker's processor time on each message), so the
rate says little about a broker and is published with the CPU seconds that the broker spent beside it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from typing import Any

from bench.amqp_load import POLL_S, Load, LoadError, Share, Worker, make_body, queue_name
from bench.amqp_wire import Address

Pair = tuple[Worker, Worker]


def amqp_url(address: Address) -> str:
    return f"amqp://{address.user}:{address.password}@{address.host}:{address.port}/"


def pika_channel(load: Load, address: Address) -> Any:
    import pika  # type: ignore[import-untyped]

    connection = pika.BlockingConnection(pika.URLParameters(amqp_url(address)))
    return connection.channel()


def pika_publish(load: Load, address: Address, worker: int, share: Share) -> None:
    """BlockingConnection, one basic_publish a message; with `load.confirm` each waits for its confirm."""
    import pika

    channel, body, key = pika_channel(load, address), make_body(load.size), queue_name(worker % load.queues)
    properties = pika.BasicProperties(delivery_mode=2 if load.persistent else 1)
    if load.confirm:
        channel.confirm_delivery()
    share.begin()
    for _ in range(load.per_publisher):
        channel.basic_publish("", key, body, properties)
    channel.queue_declare(key, passive=True)
    share.counted(load.per_publisher)
    channel.connection.close()


def pika_consume(load: Load, address: Address, worker: int, share: Share) -> None:
    """One basic_ack a message, unless the load acknowledges automatically."""
    channel, received = pika_channel(load, address), 0

    def on_message(channel: Any, delivery: Any, properties: Any, body: bytes) -> None:
        nonlocal received
        received += 1
        share.counted(received)
        if load.prefetch:
            channel.basic_ack(delivery.delivery_tag)

    if load.prefetch:
        channel.basic_qos(prefetch_count=load.prefetch)
    channel.basic_consume(queue_name(worker % load.queues), on_message, auto_ack=not load.prefetch)
    share.begin()
    while not share.stop.is_set():
        channel.connection.process_data_events(time_limit=POLL_S)
    channel.connection.close()


def aio_pika_publish(load: Load, address: Address, worker: int, share: Share) -> None:
    """`load.confirm` publishes are awaited together."""

    async def run() -> None:
        import aio_pika

        connection = await aio_pika.connect(amqp_url(address))
        channel = await connection.channel(publisher_confirms=bool(load.confirm))
        mode = aio_pika.DeliveryMode.PERSISTENT if load.persistent else aio_pika.DeliveryMode.NOT_PERSISTENT
        sent = aio_pika.Message(make_body(load.size), delivery_mode=mode)
        key, publish = queue_name(worker % load.queues), channel.default_exchange.publish
        await asyncio.to_thread(share.begin)
        for done in range(0, load.per_publisher, load.batch):
            size = min(load.batch, load.per_publisher - done)
            await asyncio.gather(*[publish(sent, key) for _ in range(size)])
        await channel.declare_queue(key, passive=True)
        share.counted(load.per_publisher)
        await connection.close()

    asyncio.run(run())


def aio_pika_consume(load: Load, address: Address, worker: int, share: Share) -> None:
    """A callback that acknowledges each message."""
    received = 0

    async def on_message(message: Any) -> None:
        nonlocal received
        received += 1
        share.counted(received)
        if load.prefetch:
            await message.ack()

    async def run() -> None:
        import aio_pika

        connection = await aio_pika.connect(amqp_url(address))
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=load.prefetch)
        queue = await channel.get_queue(queue_name(worker % load.queues))
        await queue.consume(on_message, no_ack=not load.prefetch)
        await asyncio.to_thread(share.begin)
        while not share.stop.is_set():
            await asyncio.sleep(POLL_S)
        await connection.close()

    asyncio.run(run())


def celery_application(address: Address, worker: int, load: Load) -> Any:
    from celery import Celery  # type: ignore[import-untyped]

    application = Celery("load", broker=amqp_url(address))
    application.conf.update(
        task_default_queue=queue_name(worker % load.queues),
        task_ignore_result=True,
        worker_prefetch_multiplier=max(1, load.prefetch),
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=False,
    )
    return application


def celery_publish(load: Load, address: Address, worker: int, share: Share) -> None:
    """Send tasks one by one (persistent, without confirms: Celery's defaults)."""
    application, body = celery_application(address, worker, load), "x" * load.size
    share.begin()
    for _ in range(load.per_publisher):
        application.send_task("load.count", (body,))
    share.counted(load.per_publisher)
    application.close()


def celery_consume(load: Load, address: Address, worker: int, share: Share) -> None:
    """A real worker (solo pool) whose task counts."""
    from celery import signals
    from celery.platforms import SecurityWarning  # type: ignore[import-untyped]

    application, received = celery_application(address, worker, load), 0

    @application.task(name="load.count")  # type: ignore[untyped-decorator]
    def _count(body: str) -> None:
        nonlocal received
        received += 1
        share.counted(received)

    def stop_when_told() -> None:
        share.stop.wait()
        os._exit(0)  # Every task is acknowledged; a warm shutdown waits ten seconds for its event loop.

    def on_ready(**_: Any) -> None:
        share.begin()

    warnings.simplefilter("ignore", SecurityWarning)  # Benchmarks may run as root, in a container.
    signals.worker_ready.connect(on_ready)
    threading.Thread(target=stop_when_told, daemon=True).start()
    celery_worker = application.Worker(
        pool="solo",
        loglevel="ERROR",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    celery_worker.start()
    raise LoadError("the worker ended before the load")


CLIENTS: dict[str, Pair] = {
    "pika": (pika_publish, pika_consume),
    "aio-pika": (aio_pika_publish, aio_pika_consume),
    "celery": (celery_publish, celery_consume),
}
MODULES = {"pika": "pika", "aio-pika": "aio_pika", "celery": "celery"}
