"""Whoever takes messages over HTTP: a reader of one queue or topic, which clients may keep by a `clientId`.

A reader that is kept has its subscription between requests, so it misses nothing of a topic, and has at most
one message ahead, which goes back when it is closed: by `oneShot`, by `action=unsubscribe`, after `IDLE_S`
without a request, and when the broker stops. Readers belong to a user; nobody else can ask for them.

Source: ActiveMQ's documentation, "REST", and its `MessageServlet`: one request at a time for a consumer.
Bound: `READERS_MAX` that are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.exchange import TOPICS
from pillarbox.ops.activemq.errors import JolokiaError
from pillarbox.ops.activemq.view import meets
from pillarbox.ops.management.request import HttpError, bad_request
from pillarbox.ops.messaging.seen import topic_key
from pillarbox.ops.messaging.sending import TOPIC, Destination, declare
from pillarbox.protocols.amqp091 import methods

if TYPE_CHECKING:
    from pillarbox.broker.dialects import Neutral
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.activemq.view import View
    from pillarbox.ops.management.local_client import Got, LocalClient

IDLE_S: Final = 300
"""A reader that nobody has asked for so long is closed: clients forget to say that they go."""
READERS_MAX: Final = 1_000
"""Each has a channel, and a queue if it reads a topic. ActiveMQ has no bound."""


class Key(NamedTuple):
    """By what a reader is known that is kept."""

    user: str
    client: str
    source: Destination


class Reader:
    """See the module. `open` before use."""

    def __init__(self, client: LocalClient, view: View, source: Destination, selector: str) -> None:
        self._client = client
        self._view = view
        self._source = source
        self._selector = selector
        self._wants: Callable[[Neutral], bool] | None = None
        """What a message of a topic has to meet; a queue knows itself what its consumers want."""
        self._next: asyncio.Future[Got] | None = None
        self._queue: Queue | None = None
        self.opened = False
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Subscribe. Raises HttpError."""
        client, source = self._client, self._source
        arguments = {}
        if self._selector:
            try:
                wants = meets(self._selector)
            except JolokiaError:
                raise bad_request(f"the selector cannot be understood: {self._selector}") from None
            if source.kind == TOPIC:
                self._wants = wants
            else:
                arguments[SELECTOR] = self._selector
        if source.kind == TOPIC:
            (queue, *_) = await client.call(
                methods.QUEUE_DECLARE,
                *(0, "", False, False, True, True, False, {}),
                answer=methods.QUEUE_DECLARE_OK,
            )
            await client.call(
                methods.QUEUE_BIND,
                *(0, queue, TOPICS, topic_key(source.name), False, {}),
                answer=methods.QUEUE_BIND_OK,
            )
        else:
            queue = source.name
            if queue not in self._view.queues:
                await declare(client, queue)
        await client.call(methods.BASIC_QOS, 0, 1, False, answer=methods.BASIC_QOS_OK)
        await client.call(
            methods.BASIC_CONSUME,
            *(0, queue, "http", False, False, False, False, arguments),
            answer=methods.BASIC_CONSUME_OK,
        )
        self._queue = self._view.queues.get(queue)
        self.opened = True

    @property
    def is_gone(self) -> bool:
        """Has the queue that it reads been deleted?"""
        return self.opened and (self._queue is None or self._queue.deleted)

    async def next(self, timeout_s: float) -> Got | None:
        """The next message, which is gone from its queue then; None: none has come in time."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._receive())
        # It goes on when this request has given up: a message that comes is for the next one.
        await asyncio.wait((self._next,), timeout=timeout_s)
        if not self._next.done():
            return None
        got = self._next.result()
        self._next = None
        self._client.cast(methods.BASIC_ACK, got.tag, False)
        return got

    async def _receive(self) -> Got:
        while True:
            got = await self._client.delivered()
            if self._wants is None or self._wants(self._view.said(got)):
                return got
            self._client.cast(methods.BASIC_ACK, got.tag, False)

    def close(self) -> None:
        """End it; what it has ahead goes back."""
        if self.timer is not None:
            self.timer.cancel()
        if self._next is not None:
            self._next.cancel()
        self._client.close()


class Readers:
    """All that are kept."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._kept: dict[Key, Reader] = {}
        self._watch: asyncio.Future[None] | None = None

    async def take(
        self, view: View, key: Key, selector: str, timeout_s: float, *, one_shot: bool
    ) -> Got | None:
        """The next message for a client; without an id, or with `one_shot`, its reader is closed behind it.

        Raises HttpError.
        """
        reader = self._kept.get(key)
        if reader is not None and reader.busy:
            raise HttpError(500, "internal_server_error", "Concurrent access to consumer is not supported")
        if reader is not None and reader.is_gone:
            self._end(key, reader)
            reader = None
        if reader is None:
            if key.client and len(self._kept) >= READERS_MAX:
                raise HttpError(503, "service_unavailable", f"more than {READERS_MAX} clients read over HTTP")
            reader = Reader(view.client(), view, key.source, selector)
            if key.client:
                self._keep(key, reader)
        reader.busy, well = True, False
        try:
            if not reader.opened:
                await reader.open()
            got = await reader.next(timeout_s)
            well = True
        except asyncio.CancelledError:
            # Whoever asked has gone. A reader that is kept and open may go on.
            well = reader.opened
            raise
        finally:
            reader.busy = False
            if one_shot or not key.client or not well:
                self._end(key, reader)
            else:
                self._wait(key, reader)
        return got

    def unsubscribe(self, user: str, client: str) -> None:
        """Close all readers of a client."""
        for key in [key for key in self._kept if (key.user, key.client) == (user, client)]:
            self._end(key, self._kept[key])

    def _keep(self, key: Key, reader: Reader) -> None:
        self._kept[key] = reader
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._end_with_the_broker())

    def _wait(self, key: Key, reader: Reader) -> None:
        """Close it when nobody asks again."""
        if self._kept.get(key) is not reader:
            return
        if reader.timer is not None:
            reader.timer.cancel()
        loop = asyncio.get_running_loop()
        reader.timer = loop.call_later(IDLE_S, lambda: None if reader.busy else self._end(key, reader))

    def _end(self, key: Key, reader: Reader) -> None:
        if self._kept.get(key) is reader:
            del self._kept[key]
        reader.close()

    async def _end_with_the_broker(self) -> None:
        await self._stopping.wait()
        for key, reader in list(self._kept.items()):
            self._end(key, reader)
