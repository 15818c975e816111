"""What clients of a simulated broker are told, and whether it may be: a `Listener` of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.testing.simulated_client import Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import SimulatedQueue, Where

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker


class Answers:
    """See the module; `sim` is the broker that speaks."""

    def __init__(self, sim: SimulatedBroker) -> None:
        self.sim = sim

    def on_deliver(
        self,
        client: Client,
        channel: ClientChannel,
        tag: int,
        subscription: Subscription,
        redelivered: bool,
        body: bytes,
    ) -> None:
        assert not client.paused, "delivered to a socket that takes no more"
        assert subscription.has_credit, "more than the prefetch of the consumer"
        assert not channel.pool or channel.pool_count < channel.pool, "more than the prefetch of the channel"
        self._handed_out(
            channel, tag, subscription.queue, subscription, redelivered, body, subscription.no_ack
        )

    def on_get_ok(
        self, client: Client, channel: ClientChannel, tag: int, redelivered: bool, count: int, body: bytes
    ) -> None:
        assert channel.getting is not None, "nobody asked"
        queue, no_ack = channel.getting
        channel.getting = None
        self._handed_out(channel, tag, queue, None, redelivered, body, no_ack)
        self.sim.left = count

    def on_get_empty(self, client: Client, channel: ClientChannel) -> None:
        assert channel.getting is not None, "nobody asked"
        queue, _ = channel.getting
        channel.getting = None
        self.sim.emptied.append(queue)

    def on_confirm(self, client: Client, channel: ClientChannel, tag: int, multiple: bool) -> None:
        first = next(iter(channel.unconfirmed))
        assert multiple or tag == first, "a confirm out of order"
        for number in range(first, tag + 1):
            for letter in channel.unconfirmed.pop(number):
                synced = letter.ticket <= self.sim.synced_ticket
                assert synced or not letter.stored, "confirmed before the sync"
                letter.confirmed = True

    def on_return(self, client: Client, channel: ClientChannel, body: bytes) -> None:
        channel.returned += 1

    def on_cancel(self, client: Client, channel: ClientChannel, subscription: Subscription) -> None:
        assert subscription.queue.deleted, "cancelled, and the queue is still there"
        subscription.queue.consumers -= 1

    def on_channel_close(self, client: Client, channel: ClientChannel, code: int, text: str) -> None:
        if channel.getting is not None:
            assert code == 404, text
            assert channel.getting[0].deleted, text
        else:
            assert code == self.sim.expected_code, text
        self.sim.release(channel)

    def on_connection_close(self, client: Client, code: int, text: str) -> None:
        raise AssertionError(f"{client} was closed: {code} {text}")

    def _handed_out(
        self,
        channel: ClientChannel,
        tag: int,
        queue: SimulatedQueue,
        subscription: Subscription | None,
        redelivered: bool,
        body: bytes,
        no_ack: bool,
    ) -> None:
        self.sim.delivered += 1
        number = int(body.partition(b".")[0])
        letter = next((letter for letter in queue.ready() if letter.number == number), None)
        assert letter is not None, f"message {number} is not ready in {queue}"
        assert letter.redelivered is redelivered, f"{letter} has the wrong flag"
        self.sim.handed.setdefault((id(channel), queue.uid), []).append(letter.place)
        letter.handed_out = True
        if no_ack:
            queue.remove(letter, self.sim.ticket)
            return
        letter.where = Where.OUT
        letter.delivered_ticket = min(letter.delivered_ticket, self.sim.ticket)
        channel.out[tag] = (queue, letter, subscription)
        if subscription is not None:
            subscription.count += 1
