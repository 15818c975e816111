"""An AMQP client without a socket: one channel of a logged-in user, for what HTTP does with messages.

So a message published or got over HTTP meets the same checks, headers, limits and words as any other. Answers
may come later, such as confirms and messages on disk, and are waited for.

Not here: JSON. Source: AMQP 0-9-1, and RabbitMQ's management plugin, which uses a client of its own as well.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management.request import HttpError, bad_request, demand_name
from pillarbox.protocols.amqp091 import methods, wire

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.ledger import Ledger
    from pillarbox.ops.pace import Pace
    from pillarbox.protocols.amqp091.connection import Connection

CHANNEL = 1
_HEADER = b"AMQP\x00\x00\x09\x01"
_frame_head = struct.Struct(">BHI").unpack_from
_method_id = struct.Struct(">I").unpack_from

Connect = Callable[["Principal", Callable[[], None]], "Connection"]
"""(who is logged in, what to call when there is output) → a connection in its first state."""


class Got(NamedTuple):
    """A message as it came out of a queue. `left`: how many more are ready; `properties`: on the wire."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    left: int
    properties: bytes
    body: bytes


class LocalClient:
    """See the module. `begin` starts a turn of the broker; who gets many messages keeps to the `pace`. Use as
    a context manager: leaving it gives back what was got and not settled. Every method that waits raises
    HttpError when the broker closes the channel, and all of them 400 for names that are too long for AMQP.
    """

    def __init__(
        self, connect: Connect, begin: Callable[[], None], pace: Pace, user: Principal, vhost: str
    ) -> None:
        self._begin = begin
        self._pace = pace
        self._arrived = asyncio.Event()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._tail = b""
        self._published = self._answered = 0
        self._refused: set[int] = set()
        self._returned = False
        self._connection = connect(user, self._arrived.set)
        self._frame_max = self._connection.settings.frame_max
        self._send(
            _HEADER
            + methods.method_frame(0, methods.CONNECTION_START_OK, {}, "EXTERNAL", b"", "en_US")
            + methods.method_frame(0, methods.CONNECTION_TUNE_OK, CHANNEL, self._frame_max, 0)
            + methods.method_frame(0, methods.CONNECTION_OPEN, vhost, "", False)
            + methods.method_frame(CHANNEL, methods.CHANNEL_OPEN, "")
        )

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what was got and not settled, and end."""
        self._begin()
        self._connection.closed("done")

    async def call(self, method: int, *arguments: Any, answer: int) -> tuple[Any, ...]:
        """Call a method and return the arguments of its answer."""
        self.cast(method, *arguments)
        return (await self._await(answer))[1]

    def cast(self, method: int, *arguments: Any) -> None:
        """Call a method that has no answer."""
        self._send(_frame_of(method, *arguments))

    def publish(self, exchange: str, routing_key: str, properties: bytes, body: bytes) -> None:
        """Publish a message, to be returned if no queue takes it. Its confirm has its number, from 1."""
        frame = _frame_of(methods.BASIC_PUBLISH, 0, exchange, routing_key, True, False)
        self._published += 1
        self._send(frame + wire.content_frames(CHANNEL, properties, body, self._frame_max))

    async def confirmed(self) -> bool:
        """Wait until all publishes are answered; were they all taken by a queue, and refused by none?"""
        return not await self.refused()

    async def refused(self) -> set[int]:
        """Wait until all publishes are answered; the numbers of those that no queue took, or one refused.

        Of several that are answered in one, all count as refused if one was returned.
        """
        while self._answered < self._published:
            await self._await(methods.BASIC_ACK, methods.BASIC_NACK)
        refused, self._refused = self._refused, set()
        return refused

    async def get(self, queue: str) -> Got | None:
        """Get one message, to be settled; None if the queue is empty."""
        if self._pace.is_over:
            # What is in memory comes at once: without this, nobody else had a turn before the last one.
            await self._pace.begin()
        self.cast(methods.BASIC_GET, 0, queue, False)
        method, arguments = await self._await(methods.BASIC_GET_OK, methods.BASIC_GET_EMPTY)
        if method == methods.BASIC_GET_EMPTY:
            return None
        tag, redelivered, exchange, routing_key, left = arguments
        properties, body = await self._content()
        return Got(tag, redelivered, exchange, routing_key, left, properties, body)

    def place(self, tag: int) -> tuple[int, int]:
        """Where a message stands that was got and is not settled: its priority, and its sequence."""
        entry = self._ledger.entry_of(tag)
        return entry.lane.priority, entry.run.sequences[tag - entry.base]

    def condemn(self, tag: int, reason: str) -> None:
        """Let a message die for this reason (see `broker.deadletter`) that was got and is not settled."""
        self._begin()
        self._ledger.condemn(tag, reason)

    @property
    def _ledger(self) -> Ledger:
        return self._connection.channels[CHANNEL].ledger

    async def delivered(self) -> Got:
        """The next message for a consumer, to be settled; how many are left is not known (-1)."""
        _, (_, tag, redelivered, exchange, routing_key) = await self._await(methods.BASIC_DELIVER)
        properties, body = await self._content()
        return Got(tag, redelivered, exchange, routing_key, -1, properties, body)

    # --- frames ------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        self._begin()
        self._connection.receive(data)

    async def _frame(self) -> tuple[int, bytes]:
        while not self._frames:
            self._arrived.clear()
            self._take(b"".join(self._connection.take_output()))
            if not self._frames:
                if self._connection.want_close:
                    raise HttpError(503, "service_unavailable", self._connection.close_reason)
                await self._arrived.wait()
        return self._frames.popleft()

    def _take(self, data: bytes) -> None:
        data = self._tail + data
        position = 0
        while len(data) - position >= 7:
            kind, _, length = _frame_head(data, position)
            if len(data) - position < length + 8:
                break
            self._frames.append((kind, data[position + 7 : position + 7 + length]))
            position += length + 8
        self._tail = data[position:]

    async def _await(self, *wanted: int) -> tuple[int, tuple[Any, ...]]:
        """The next of these methods, and its arguments. Answers to publishes are noted whenever they come."""
        while True:
            _, payload = await self._frame()
            (method,) = _method_id(payload)
            if method == methods.BASIC_RETURN:
                self._returned = True
                await self._content()
            elif method in (methods.BASIC_ACK, methods.BASIC_NACK):
                self._note(method, methods.decode(method, payload)[0])
            if method in wanted:
                return method, methods.decode(method, payload)
            if method in (methods.CHANNEL_CLOSE, methods.CONNECTION_CLOSE):
                code, text, *_ = methods.decode(method, payload)
                if code == 404:
                    raise HttpError(404, "not_found", text)
                raise bad_request(f"{code} {text}")

    def _note(self, method: int, number: int) -> None:
        """Publishes up to this one are answered. What was returned is told before its answer."""
        first, self._answered = self._answered + 1, max(self._answered, number)
        if self._returned or method == methods.BASIC_NACK:
            self._refused.update(range(first, self._answered + 1))
        self._returned = False

    async def _content(self) -> tuple[bytes, bytes]:
        """Properties and body of the message that comes next."""
        _, payload = await self._frame()
        _, size, properties = wire.decode_header(payload)
        body = bytearray()
        while len(body) < size:
            body += (await self._frame())[1]
        return properties, bytes(body)


def _frame_of(method: int, *arguments: Any) -> bytes:
    """A method as it goes to the broker. Raises 400 for what AMQP has no form for, such as a long name."""
    for argument in arguments:
        if isinstance(argument, str):
            demand_name(argument)
    try:
        return methods.method_frame(CHANNEL, method, *arguments)
    except ValueError as error:
        raise bad_request(f"{error}") from None
