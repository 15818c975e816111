"""A broker with clients in one thread, and what a model knows of both: the stage on which the simulator acts.

Real: the core, the AMQP 0-9-1 connections with all their bytes, and the journal (`simulated_storage`).
Simulated: the loop that gathers input and ticks, sockets, clocks, the scheduler of the disk. Here stand turns
and time, asking and reading, and what the model notes when clients or queues go. Not here: what clients do
(`simulated_channels`, `simulated_declarations`, `simulated_messages`), what they may be told
(`simulated_answers`), what must hold (`simulated_checks`), and in which order things happen (`simulator`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pillarbox.broker.core import Core
from pillarbox.broker.queue import Queue
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.protocols.amqp091.records import RecordCodec
from pillarbox.testing.simulated_answers import Answers
from pillarbox.testing.simulated_checks import check
from pillarbox.testing.simulated_client import Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import NEVER, Letter, SimulatedQueue
from pillarbox.testing.simulated_storage import DiskStorage, MemoryStorage, Storage
from pillarbox.testing.simulated_stream import STREAM, SimulatedStream
from pillarbox.testing.simulated_travellers import DUE, GRAVE, Travellers

NOW_MS = 1_700_000_000_000

Binding = tuple[str, str, int]
"""Exchange, key, queue uid."""


class SimulatedBroker:
    """See the module. `disk`: the local engine on simulated files; otherwise a journal in memory."""

    def __init__(self, seed: int, *, disk: bool = False) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.now_ms = NOW_MS
        self.delivered = 0
        self.clients: list[Client] = []
        self.queues: dict[str, SimulatedQueue] = {}
        self.deleted: list[SimulatedQueue] = []
        """Deleted queues that a crash may bring back."""
        self.bindings: dict[Binding, tuple[bool, int]] = {}
        """Binding → whether it is there, and the ticket of the last change."""
        self.synced_ticket = 0
        self.begun = False
        """A turn has begun: a tick will come."""
        self.outputs: dict[Client, None] = {}
        self.expected_code = 0
        """What the next refusal must say."""
        self.numbers = 0
        self.names = 0
        self.emptied: list[SimulatedQueue] = []
        """Queues of which a client was told that they are empty."""
        self.handed: dict[tuple[int, int], list[int]] = {}
        """(channel's identity, queue uid) → places delivered to it in this phase."""
        self.arrived = False
        """Something was published in this phase: it may have overtaken what was delivered before it came."""
        self._memory_budget = self.chance.choice((0, 2000, 20_000, 1 << 30))
        self.storage: Storage = (DiskStorage if disk else MemoryStorage)(self.chance)
        self.left: int | None = None
        """How many messages were left in the queue, by the last answer to a basic.get."""
        self.answers = Answers(self)
        self.travellers = Travellers(self)
        self.stream = SimulatedStream(self) if disk else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} seed={self.seed} clients={len(self.clients)}>"

    # --- the broker ----------------------------------------------------------------------------------

    def open_broker(self) -> None:
        recovery = self.storage.open()
        assert not [warning for warning in recovery.warnings if "cut" not in warning], recovery.warnings
        self.core = Core(
            self.storage.journal,
            now_ms=self.now_ms,
            random=self.chance.randbytes,
            wake=self.begin,
            memory_budget=self._memory_budget,
            logs=self.storage.logs,
        )
        self.storage.attach(self.core)
        self.core.streams.make_codec = lambda: RecordCodec(self.core.dialects)
        self.core.dead_letters.writers[ORIGIN] = dead_letter
        self.core.schedules.timetables[ORIGIN] = TIMETABLE
        confirms = self.core.confirms
        synced = confirms.synced

        def note_synced(ticket: int) -> None:
            self.synced_ticket = ticket
            synced(ticket)

        confirms.synced = note_synced  # type: ignore[method-assign]
        self.synced_ticket = 0
        self.core.restore(recovery)
        self.begin()

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.core_time()

    def core_time(self) -> None:
        """Tell the core what time it is, as a turn's begin does."""
        if hasattr(self, "core"):
            self.core.set_time(self.now_ms)

    def on_output(self, client: Client) -> None:
        self.outputs[client] = None
        self.begin()

    @property
    def ticket(self) -> int:
        """The group that will carry what happens now."""
        return self.core.ticket + 1

    # --- turns ---------------------------------------------------------------------------------------

    def end_turn(self) -> None:
        """Tick and let every client read, if a turn has begun or a timer is due."""
        next_ms = self.core.scheduler.next_ms
        if next_ms is not None and next_ms <= self.now_ms:
            self.begin()
        if not self.begun:
            return
        self.begun = False
        self.core.tick(self.now_ms)
        self.read_all()
        self.check()

    def read_all(self, first: Client | None = None, last: Client | None = None) -> None:
        """Let clients read what there is for them; `first` was answered before others were told anything,
        `last` after them."""
        if first is not None and first in self.outputs:
            del self.outputs[first]
            first.read()
        while self.outputs:
            client = min(self.outputs, key=lambda one: one is last)
            del self.outputs[client]
            client.read()
            if not client.open:
                self.client_gone(client)
        # Only now, since what another client was given just before may have been read after the answer.
        emptied, self.emptied = self.emptied, []
        for queue in emptied:
            assert all(self.is_over(letter) for letter in queue.ready()), f"{queue} is not empty"

    # --- asking --------------------------------------------------------------------------------------

    def split(self, data: bytes) -> Iterator[bytes]:
        """Cut input anywhere, or not at all."""
        if len(data) > 1 and self.chance.random() < 0.2:
            cut = self.chance.randrange(1, len(data))
            yield data[:cut]
            data = data[cut:]
        yield data

    def any_channel(self) -> tuple[Client, ClientChannel] | None:
        """Any channel on which something may be asked now."""
        channels = [
            (client, channel)
            for client in self.clients
            for channel in client.channels.values()
            if channel.getting is None
        ]
        return self.chance.choice(channels) if channels else None

    def any_queue(self, client: Client) -> SimulatedQueue | None:
        """Any queue that this client may use."""
        queues = [
            queue for queue in self.queues.values() if not queue.exclusive or queue.name == f"x-{client.name}"
        ]
        return self.chance.choice(queues) if queues else None

    def send(self, client: Client, data: bytes) -> None:
        """Input for the broker, and what it answers at once."""
        self.begin()
        client.send(data)
        self.read_all(client)

    def ask(self, client: Client, channel: ClientChannel, method_id: int, *arguments: object) -> None:
        self.send(client, m.method_frame(channel.number, method_id, *arguments))

    def ask_after_dispatch(
        self, client: Client, channel: ClientChannel, method_id: int, *arguments: object
    ) -> None:
        """A question before whose answer consumers of a queue with times to live get what they can have."""
        self.begin()
        client.send_method(channel.number, method_id, *arguments)
        self.read_all(last=client)

    # --- who goes ------------------------------------------------------------------------------------

    def client_gone(self, client: Client) -> None:
        if client in self.clients:
            self.leave(client)

    def leave(self, client: Client) -> None:
        """What the broker does when a connection ends."""
        self.clients.remove(client)
        for channel in client.channels.values():
            self.release(channel)
        client.channels.clear()
        for queue in [queue for queue in self.queues.values() if queue.exclusive]:
            if queue.name == f"x-{client.name}":
                self.queue_gone(queue)

    def release(self, channel: ClientChannel) -> None:
        """What the broker does when a channel ends: everything goes back, consumers end."""
        for queue, letter, _ in channel.out.values():
            queue.release(letter)
        channel.out.clear()
        for subscription in channel.subscriptions.values():
            self.consumer_gone(subscription)
        channel.subscriptions.clear()
        channel.getting = None

    def consumer_gone(self, subscription: Subscription) -> None:
        queue = subscription.queue
        queue.consumers -= 1
        if queue.auto_delete and not queue.consumers and not queue.deleted:
            self.queue_gone(queue)

    def queue_gone(self, queue: SimulatedQueue) -> None:
        queue.deleted_ticket = self.ticket
        del self.queues[queue.name]
        if queue.durable and not queue.exclusive:
            self.deleted.append(queue)
        for binding, (there, _) in self.bindings.items():
            if binding[2] == queue.uid and there:
                self.bindings[binding] = (False, self.ticket)

    def settled(
        self, channel: ClientChannel, tags: list[int], *, released: bool = False, rejected: bool = False
    ) -> None:
        for tag in tags:
            queue, letter, subscription = channel.out.pop(tag)
            if subscription is not None:
                subscription.count -= 1
            if queue.deleted:
                continue
            if released:
                queue.release(letter)
            elif rejected:
                self.died(queue, letter)
            else:
                queue.remove(letter, self.ticket)

    def died(self, queue: SimulatedQueue, letter: Letter) -> None:
        """A letter was rejected or dropped, or its time is over."""
        queue.remove(letter, NEVER if queue.mourned else self.ticket)
        if queue.mourned:
            self.travellers.die(letter)

    # --- what the model says -------------------------------------------------------------------------

    def demand_count(self, queue: SimulatedQueue, count: int) -> None:
        """A count that the broker told. Messages whose time is over may be in it or not, and such for which
        there was no room beside them."""
        letters = list(queue.ready())
        over = sum(self.is_over(letter) for letter in letters)
        least = len(letters) if queue.length_max is None or not over else queue.length_max - 1
        assert min(least, len(letters)) - over <= count <= len(letters)

    def is_over(self, letter: Letter) -> bool:
        return letter.due_ms is not None and letter.due_ms <= self.now_ms

    @property
    def found(self) -> dict[str, Queue]:
        """The broker's queues of which the model knows every letter."""
        queues = self.core.vhosts["/"].queues
        return {name: queue for name, queue in queues.items() if name not in (GRAVE, DUE, STREAM)}

    def check(self) -> None:
        """Compare everything with the model; see `simulated_checks`."""
        check(self)
