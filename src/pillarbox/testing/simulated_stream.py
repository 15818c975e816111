"""A stream of a simulated broker, and one reader who reads all of it again and again (R80, R81).

It is bound to the exchange `fan`, so messages go to queues and to it together. Only a broker on a disk has
it, since logs need files.

Invariants: the reader gets every offset once, in order, with the message that was published there, and
nothing that a crash could still take; when all is quiet it has everything; after a crash what was confirmed
and what was read is there, at its offset, and nothing else but what was published in that place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.stream import StreamQueue
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.testing.simulated_client import Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import Letter, SimulatedQueue

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker

STREAM = "stream"
SOURCE = "fan"
"""The exchange that it is bound to."""
SEGMENT_BYTES = 2000
CREDIT = 7
"""The reader's prefetch: few, so that it often waits."""


class SimulatedStream:
    """See the module; `sim` is the broker."""

    def __init__(self, sim: SimulatedBroker) -> None:
        self.sim = sim
        self.letters: list[Letter] = []
        """By offset."""
        self.read_count = 0
        """Offsets below it have been read since the broker was started."""
        self.read_most = 0
        """The most that was ever read."""
        self._client: Client
        self._answered = 0
        """The last delivery tag that the reader has acknowledged."""

    def __repr__(self) -> str:
        return f"<SimulatedStream length={len(self.letters)} read={self.read_count}>"

    def prepare(self) -> None:
        """Declare and bind it."""
        vhost = self.sim.core.vhosts["/"]
        arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": SEGMENT_BYTES}
        queue = vhost.declare_queue(None, STREAM, durable=True, arguments=arguments)
        vhost.bind(vhost.exchanges[SOURCE], queue, "", {})

    def read_from_first(self) -> None:
        """Connect the reader."""
        sim = self.sim
        client = self._client = Client(
            sim.core,
            self,  # type: ignore[arg-type]  # It is told of deliveries alone.
            name="reader",
            split=sim.split,
            on_output=sim.on_output,
        )
        channel = client.channels[1] = ClientChannel(1)
        everything = {"x-stream-offset": "first"}
        client.send_method(1, m.CHANNEL_OPEN, "")
        client.send_method(1, m.BASIC_QOS, 0, CREDIT, False)
        client.send_method(1, m.BASIC_CONSUME, 0, STREAM, STREAM, False, False, False, False, everything)
        stream = SimulatedQueue(STREAM, 0, 0, durable=True)
        channel.subscriptions[STREAM] = Subscription(stream, no_ack=False, prefetch=CREDIT)
        self.read_count = self._answered = 0
        client.read()

    def take(self, number: int, ticket: int) -> Letter:
        """A message was published to it, whose confirm waits for the log whatever its delivery mode says."""
        letter = Letter(number, len(self.letters), 0, len(self.letters), ticket, stored=True, due_ms=None)
        self.letters.append(letter)
        return letter

    def on_deliver(
        self,
        client: Client,
        channel: ClientChannel,
        tag: int,
        subscription: Subscription,
        redelivered: bool,
        body: bytes,
    ) -> None:
        """What the reader gets."""
        assert self.read_count < len(self.letters), "the stream has more than was published"
        letter, number = self.letters[self.read_count], int(body.partition(b".")[0])
        assert letter.number == number, f"message {number} at the offset of {letter}"
        self.read_count += 1
        self.read_most = max(self.read_most, self.read_count)

    def answer(self) -> None:
        """Acknowledge what was read; the reader gets more then."""
        tag = self._client.channels[1].tag_last
        if tag > self._answered:
            self._answered = tag
            self.sim.begin()
            self._client.send_method(1, m.BASIC_ACK, tag, True)

    # --- what must hold ------------------------------------------------------------------------------

    def goes_on(self) -> bool:
        """All is quiet: has the reader more to read? Then it answers what it has."""
        if self.read_count == len(self.letters):
            return False
        read = self._client.channels[1].tag_last
        assert read - self._answered >= CREDIT, f"the reader of {self} waits for nothing"
        self.answer()
        return True

    def restarted(self) -> None:
        """The broker came back: what is there has to reach as far as anybody was told."""
        queue = self.sim.core.vhosts["/"].queues[STREAM]
        assert isinstance(queue, StreamQueue)
        count = queue.log.offsets().accepted
        told = max((letter.sequence + 1 for letter in self.letters if letter.confirmed), default=0)
        assert max(told, self.read_most) <= count <= len(self.letters), f"{self} came back with {count}"
        del self.letters[count:]
        for letter in self.letters:
            letter.ticket = 0
            letter.confirmed = True
        self.read_from_first()


def answer(sim: SimulatedBroker) -> None:
    """The reader acknowledges, where there is one."""
    if sim.stream is not None:
        sim.stream.answer()


ACTIONS = ((answer, 5),)
"""Each with its weight among all."""
