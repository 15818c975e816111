"""Messages that come to their queue by a detour: what has died, and what was delayed (R48, R28).

When and in which order they arrive is the broker's to decide, so the exact model of a queue does not fit.
Here stands who is under way, and one client, the watcher, takes everything from the queues in which they end.

Invariants: nobody arrives who is not under way, or twice, or before the time that was asked for; delayed
messages arrive in the order of those times; when all is quiet nobody is late; after a crash whoever was
confirmed is still under way or where it came from. What had arrived may come once more then, since that it
was taken was not durable.

Not here: what has become of a letter in the queue in which it died (`simulated_queues`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.testing.simulated_client import Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import Letter, SimulatedQueue

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker

GRAVE = "grave"
"""Where what has died arrives."""
DUE = "due"
"""Where what was delayed arrives."""
LATER = "later"
"""The exchange that delays."""
DELAYS_MS = (1, 20, 60, 300)
DELAY_MAX_MS = max(DELAYS_MS)


class Travellers:
    """See the module; `sim` is the broker."""

    def __init__(self, sim: SimulatedBroker) -> None:
        self.sim = sim
        self.under_way: dict[int, tuple[Letter, int]] = {}
        """Number of a message → its letter, and the time (ms) before which it must not arrive."""
        self.arrived: dict[int, Letter] = {}
        self.again: set[int] = set()
        """Numbers that a crash may bring once more, or may have lost."""
        self.died = self.delayed = self.reached = 0
        self._due_last_ms = 0
        self._got: list[int] = []
        """What the watcher got, in order, and nobody has looked at."""

    def __repr__(self) -> str:
        return f"<Travellers under_way={len(self.under_way)} arrived={self.reached}>"

    def prepare(self) -> None:
        """Declare where they end."""
        vhost = self.sim.core.vhosts["/"]
        for name in (GRAVE, DUE):
            vhost.declare_queue(None, name, durable=True)
        later = vhost.declare_exchange(
            LATER, "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"}
        )
        vhost.bind(later, vhost.queues[DUE], "", {})

    def watch(self) -> None:
        """Connect the watcher, which consumes without acknowledgements."""
        sim = self.sim
        client = Client(
            sim.core,
            self,  # type: ignore[arg-type]  # It is told of deliveries alone.
            name="watcher",
            split=sim.split,
            on_output=sim.on_output,
        )
        channel = client.channels[1] = ClientChannel(1)
        client.send_method(1, m.CHANNEL_OPEN, "")
        for name in (GRAVE, DUE):
            client.send_method(1, m.BASIC_CONSUME, 0, name, name, False, True, False, False, {})
            end = SimulatedQueue(name, 0, 0, durable=True)
            channel.subscriptions[name] = Subscription(end, no_ack=True, prefetch=0)
        client.read()
        self._due_last_ms = 0

    # --- who travels ---------------------------------------------------------------------------------

    def die(self, letter: Letter) -> None:
        """A letter died in a queue that forwards its dead."""
        self.died += 1
        self.under_way[letter.number] = letter, 0

    def delay(self, number: int, ticket: int, due_ms: int, *, stored: bool) -> Letter:
        """A message was published that shall arrive later."""
        self.delayed += 1
        letter = Letter(number, 0, 0, 0, ticket, stored=stored, due_ms=None)
        self.under_way[number] = letter, due_ms
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
        """What the watcher gets. Whether it was dropped is known when queues have been compared."""
        self._got.append(int(body.partition(b".")[0]))

    # --- what must hold ------------------------------------------------------------------------------

    def take_note(self) -> None:
        """Look at what the watcher got since the last time."""
        got, self._got = self._got, []
        for number in got:
            journey = self.under_way.pop(number, None)
            if journey is not None:
                self._arrive(number, *journey)
            else:
                assert number in self.again, f"message {number} arrives and should not"
                self.again.discard(number)

    def _arrive(self, number: int, letter: Letter, due_ms: int) -> None:
        self.reached += 1
        self.arrived[number] = letter
        # Whoever forwarded it has settled it in the same group, which is under way by now at the latest.
        letter.gone_ticket = self.sim.ticket
        if due_ms:
            assert self._due_last_ms <= due_ms <= self.sim.now_ms, f"{letter} is early, or out of turn"
            self._due_last_ms = due_ms

    def demand_nobody_is_late(self) -> None:
        """All is quiet: whoever could have arrived has."""
        late = [letter for letter, due_ms in self.under_way.values() if due_ms <= self.sim.now_ms]
        assert not late, f"{late[0]} never arrives"

    def restarted(self, synced: int) -> None:
        """The broker came back with all groups up to `synced`; queues have been compared before."""
        self.again |= self.arrived.keys()
        self.arrived.clear()
        back = {
            letter.number for queue in self.sim.queues.values() if queue.mourned for letter in queue.ready()
        }
        for number, (letter, _) in list(self.under_way.items()):
            lasting = letter.stored and (letter.ticket <= synced or letter.confirmed)
            if number in back or not lasting:
                del self.under_way[number]
                self.again.add(number)
            letter.ticket = 0
            letter.confirmed = True


def delay(sim: SimulatedBroker) -> None:
    """Publish some messages that shall arrive later."""
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    ticket, data = sim.ticket, []
    for _ in range(sim.chance.choice((1, 2, 5))):
        sim.numbers += 1
        persistent, delay_ms = sim.chance.random() < 0.7, sim.chance.choice(DELAYS_MS)
        properties = wire.encode_properties(
            wire.Properties(delivery_mode=2 if persistent else None, headers={"x-delay": delay_ms})
        )
        letter = sim.travellers.delay(sim.numbers, ticket, sim.now_ms + delay_ms, stored=persistent)
        channel.published += 1
        if channel.confirming:
            channel.unconfirmed[channel.published] = [letter]
        data.append(
            client.publish_frames(
                channel.number, LATER, "", properties, b"%d." % sim.numbers, mandatory=False
            )
        )
    sim.send(client, b"".join(data))


ACTIONS = ((delay, 5),)
"""Each with its weight among all."""
