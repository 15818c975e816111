"""What a request sees of the broker, and what it does to messages, by a client without a socket.

So users' permissions, limits and confirms are those of any client.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.broker.dialects import Neutral
from pillarbox.broker.selectors import compile_selector, lookup_of
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.errors import BrokerError
from pillarbox.ops.activemq.errors import BAD_SELECTOR, JMS, JolokiaError
from pillarbox.ops.activemq.looking import LOOKED_AT_BYTES_MAX, LOOKED_AT_MAX, Seen, look, number_of
from pillarbox.ops.management.local_client import Got, LocalClient
from pillarbox.ops.management.request import HttpError
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.publishing import ORIGIN

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.pace import Pace


class Found(NamedTuple):
    """A message that was taken out of a queue. `number`: see `number_of`."""

    number: int
    said: Neutral
    got: Got


Wants = Callable[["Found | Seen"], bool]
"""Is this message one of those?"""


class View(NamedTuple):
    """See the module."""

    core: Core
    node: Node
    begin: Callable[[], None]
    pace: Pace
    user: Principal

    @property
    def vhost(self) -> str:
        return self.node.config.default_vhost

    @property
    def queues(self) -> dict[str, Queue]:
        host = self.core.vhosts.get(self.vhost)
        return {} if host is None else host.queues

    def client(self) -> LocalClient:
        return LocalClient(self.node.connect, self.begin, self.pace, self.user, self.vhost)

    async def call(self, method: int, *arguments: Any, answer: int) -> tuple[Any, ...] | None:
        """Call a method of AMQP, and return what its answer says; None: what it is about is not there."""
        with self.client() as client:
            try:
                return await client.call(method, *arguments, answer=answer)
            except HttpError as error:
                if error.status == 404:
                    return None
                raise JolokiaError(500, JMS, str(error)) from None

    async def send(
        self, exchange: str, key: str, body: str | bytes, said: wire.Properties, *, persistent: bool = True
    ) -> str:
        """Send a message to a queue or a topic; return its name when it is safe."""
        name = f"ID:pillarbox-{secrets.token_hex(8)}"
        properties = said._replace(message_id=name, delivery_mode=2 if persistent else 1)
        data = body.encode() if isinstance(body, str) else body
        with self.client() as client:
            try:
                await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
                client.publish(exchange, key, wire.encode_properties(properties), data)
                taken = await client.confirmed()
            except HttpError as error:
                raise JolokiaError(500, JMS, str(error)) from None
            except (wire.WireError, ValueError, OverflowError) as error:
                raise JolokiaError(500, JMS, f"the message cannot be written: {error}") from None
        if not taken and not exchange:
            raise JolokiaError(500, JMS, f"queue {key} has refused the message")
        return name

    def said(self, got: Got) -> Neutral:
        address = Address(ORIGIN, got.exchange, got.routing_key)
        message = Message(address, got.properties, got.body, self.core.changes.now_ms, NO_EXPIRATION, True)
        return self.core.dialects.said(message)

    async def look(self, queue: str, wants: Wants, count_max: int) -> list[Seen]:
        """Messages at the head of a queue, which stay there."""
        seen, _ = await look(self, queue, wants, count_max=count_max)
        return seen

    async def take(
        self,
        queue: str,
        wants: Wants,
        count_max: int,
        *,
        to: Callable[[Found], tuple[str, str]] | None = None,
        keep: bool = False,
        dies_of: str = "",
    ) -> int:
        """Remove messages that are wanted, or move or copy them; return how many. The others stay.

        `to`: exchange and routing key for each. Nothing is removed unless all of them have been taken.
        `dies_of`: why they die, as the queue has it for what dies (see `broker.deadletter`).
        """
        chosen: list[Found] = []
        with self.client() as client:
            if to is not None:
                await client.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
            async for found in _heads(self, client, queue):
                if len(chosen) == count_max:
                    break
                if wants(found):
                    chosen.append(found)
            if to is not None:
                for found in chosen:
                    client.publish(*to(found), found.got.properties, found.got.body)
                if not await client.confirmed():
                    raise JolokiaError(500, JMS, "some of the messages were not taken where they were to go")
            for found in chosen:
                if dies_of:
                    client.condemn(found.got.tag, dies_of)
                elif not keep:
                    client.cast(methods.BASIC_ACK, found.got.tag, False)
        return len(chosen)


async def _heads(view: View, client: LocalClient, queue: str) -> AsyncIterator[Found]:
    """Get messages one by one; whoever leaves the client gives them back to their places."""
    size = 0
    for _ in range(LOOKED_AT_MAX):
        try:
            got = await client.get(queue)
        except HttpError as error:
            raise JolokiaError(500, JMS, str(error)) from None
        if got is None:
            return
        yield Found(number_of(*client.place(got.tag)), view.said(got), got)
        size += len(got.body)
        if size > LOOKED_AT_BYTES_MAX:
            return


def meets(selector: str) -> Callable[[Neutral], bool]:
    """What a selector says of a message; the empty one wants all. Raises JolokiaError."""
    if not selector:
        return lambda said: True
    try:
        wants = compile_selector(selector)
    except BrokerError:
        raise JolokiaError(500, BAD_SELECTOR, selector) from None
    return lambda said: wants(lookup_of(said))


def is_met(selector: str) -> Wants:
    """The same for a message in a queue."""
    wants = meets(selector)
    return lambda found: wants(found.said)


def id_of(found: Found | Seen) -> str:
    """What a message is called: its own id, or one by its number."""
    return found.said.message_id or f"ID:pillarbox-{found.number}"


def has_id(identity: str) -> Wants:
    """Whether a message is called so."""
    return lambda found: id_of(found) == identity
