"""A whole broker in one thread, driven by a seed: clients, disk, time, crashes; checked after every step.

What is real and what is simulated stands in `simulated_broker`. Every step is a choice of a
`random.Random(seed)`, so a failure is repeated by its seed: `Simulation(seed).run(steps)`.

Invariants, after every step: each queue holds exactly the messages that were routed to it and not settled,
in order, with exact counts, except what a time to live or a full queue explains; nothing is delivered twice,
to nobody, out of turn or beyond credit; an answer comes to every request. A tick happens only when something
asked for it, so that a wake-up that is forgotten shows: whenever all is quiet, nothing waits that somebody
could have (`settle_down`). What has died or was delayed arrives once, in time (`simulated_travellers`); a
stream is read as it was written (`simulated_stream`). After a crash everything confirmed is there, nothing
settled for good is back, nothing is invented.

Source: DESIGN, "seeded simulation of the whole broker". Not here: time to live of queues, failing disks.
"""

from __future__ import annotations

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import CoreSnapshot
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.testing.simulated_broker import SimulatedBroker
from pillarbox.testing.simulated_channels import ACTIONS as OF_CHANNELS
from pillarbox.testing.simulated_channels import connect, open_channel
from pillarbox.testing.simulated_checks import (
    compare_bindings,
    compare_queues,
    demand_limits_are_kept,
    demand_memory_is_counted,
    demand_nothing_waits,
    forget_tickets,
)
from pillarbox.testing.simulated_client import Subscription
from pillarbox.testing.simulated_declarations import ACTIONS as OF_DECLARATIONS
from pillarbox.testing.simulated_declarations import QUEUES, bind, declare
from pillarbox.testing.simulated_messages import ACTIONS as OF_MESSAGES
from pillarbox.testing.simulated_stream import ACTIONS as OF_STREAMS
from pillarbox.testing.simulated_travellers import ACTIONS as OF_TRAVELLERS
from pillarbox.testing.simulated_travellers import DELAY_MAX_MS

QUIET_TICKS_MAX = 2000
"""Turns after which a broker that has nothing new to do must have come to rest."""


class Simulation(SimulatedBroker):
    """See the module. `disk`: the local engine on simulated files; otherwise a journal in memory."""

    def __init__(self, seed: int, *, disk: bool = False) -> None:
        super().__init__(seed, disk=disk)
        self.steps = 0
        self.restarts = 0
        self.open_broker()
        self._prepare()

    def __repr__(self) -> str:
        return f"<Simulation seed={self.seed} steps={self.steps} restarts={self.restarts}>"

    def _prepare(self) -> None:
        core = self.core
        vhost = core.add_vhost("/")
        core.put_user(User("guest", hash_password("guest", b"salt")))
        core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        vhost.declare_exchange("fan", "fanout", durable=True)
        vhost.declare_exchange("dir", "direct", durable=True)
        self.travellers.prepare()
        if self.stream is not None:
            self.stream.prepare()
        self.end_turn()
        while self.storage.step():
            pass
        assert self.synced_ticket
        self.travellers.watch()
        if self.stream is not None:
            self.stream.read_from_first()
        for _ in range(2):
            connect(self)
        for _ in range(2 * len(QUEUES)):
            declare(self)
            bind(self)

    def run(self, steps: int) -> Simulation:
        """So many steps, then quiet, then everything is consumed."""
        for _ in range(steps):
            self.step()
        self.settle_down()
        self.drain()
        return self

    def step(self) -> None:
        """One thing happens."""
        self.steps += 1
        (action,) = self.chance.choices(*ACTIONS)
        action(self)
        self.check()
        if self.chance.random() < 0.6:
            self.end_turn()
        for _ in range(self.chance.choice((0, 0, 1, 3))):
            if not self.storage.step():
                break
            self.read_all()
            self.check()

    def settle_down(self) -> None:
        """Let everything finish that has begun; then nobody waits for anything."""
        for client in self.clients:
            if client.paused:
                client.paused = False
                self.begin()
                client.connection.unpause()
        for _ in range(QUIET_TICKS_MAX):
            self.end_turn()
            busy = self.storage.step()
            self.read_all()
            if not busy and not self.begun and not (self.stream is not None and self.stream.goes_on()):
                break
        else:
            raise AssertionError("the broker never comes to rest")
        self.check()
        for client in self.clients:
            for channel in client.channels.values():
                assert not channel.unconfirmed, "a confirm was forgotten"
                assert channel.getting is None, "a get was never answered"
                demand_nothing_waits(self, channel)
        self.travellers.demand_nobody_is_late()
        demand_memory_is_counted(self)
        demand_limits_are_kept(self)

    def drain(self) -> None:
        """Consume everything that is left: it must be exactly what the model has, in order."""
        for client in list(self.clients):
            client.lost()
            self.client_gone(client)
        self.outputs.clear()
        self.settle_down()
        connect(self)
        while not self.clients[0].channels:
            open_channel(self)
        client = self.clients[0]
        channel = next(iter(client.channels.values()))
        for queue in list(self.queues.values()):
            self.ask(
                client, channel, m.BASIC_CONSUME, 0, queue.name, queue.name, False, True, False, False, {}
            )
            channel.take_answer(m.BASIC_CONSUME_OK)
            channel.subscriptions[queue.name] = Subscription(queue, no_ack=True, prefetch=0)
            queue.consumers += 1
        self.settle_down()
        self.now_ms += DELAY_MAX_MS
        self.settle_down()
        assert not self.travellers.under_way
        for queue in self.queues.values():
            assert not list(queue.ready())
        assert self.core.changes.resident_bytes == 0, "memory is counted that nothing takes"

    def restart(self, *, clean: bool) -> None:
        """Stop or crash, start again, and compare what is there with what must and what may be."""
        self.restarts += 1
        if clean:
            if any(client.waits for client in self.clients):
                self.settle_down()
            for client in list(self.clients):
                client.lost()
                self.client_gone(client)
            self.outputs.clear()
            self.begun = True
            self.end_turn()
            self.core.flush()
            synced = self.core.ticket
            self.storage.stop(CoreSnapshot(self.core))
        else:
            synced = self.synced_ticket
            self.storage.crash()
        self.clients.clear()
        self.outputs.clear()
        self.handed.clear()
        self.begun = False
        self.open_broker()
        compare_queues(self, synced)
        compare_bindings(self, synced)
        self.travellers.restarted(synced)
        forget_tickets(self)
        self.travellers.watch()
        if self.stream is not None:
            self.stream.restarted()
        self.check()


def _advance(sim: Simulation) -> None:
    sim.now_ms += sim.chance.choice((1, 1, 10, 50))
    sim.end_turn()


def _settle_down_sometimes(sim: Simulation) -> None:
    if sim.chance.random() < 0.5:
        sim.settle_down()


def _restart_sometimes(sim: Simulation) -> None:
    if sim.chance.random() < 0.3:
        sim.restart(clean=sim.chance.random() < 0.4)


OWN_ACTIONS = ((_advance, 6), (_settle_down_sometimes, 1), (_restart_sometimes, 1))
_ALL = (*OF_MESSAGES, *OF_CHANNELS, *OF_DECLARATIONS, *OF_TRAVELLERS, *OF_STREAMS, *OWN_ACTIONS)
ACTIONS = ([action for action, _ in _ALL], [weight for _, weight in _ALL])
"""What may happen in a step, and how often each comes."""
