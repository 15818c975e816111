"""A whole broker in one thread, driven by a seed: clients, disk, time, crashes; checked after every step.

Real: the core, the AMQP 0-9-1 connections with all their bytes, and the journal (`simulated_storage`).
Simulated: the loop that gathers input and ticks, sockets, clocks, the scheduler of the disk. Every step is
a choice of a `random.Random(seed)`, so a failure is repeated by its seed: `Simulation(seed).run(steps)`.

Invariants, after every step: each queue holds exactly the messages that were routed to it and not settled,
in order, with exact counts; nothing is delivered twice, to nobody, out of turn or beyond credit; an answer
comes to every request. A tick happens only when something asked for it, so that a wake-up that is
forgotten shows: whenever all is quiet, nothing waits that somebody could have (`settle_down`). After a crash
everything confirmed is there, nothing settled for good is back, nothing is invented.

Source: DESIGN, "seeded simulation of the whole broker". Not here: time to live of queues, failing disks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.broker.queue import Queue
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.testing.simulated_client import PERSISTENT, TRANSIENT, Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import NEVER, Letter, SimulatedQueue, Where, place_of
from pillarbox.testing.simulated_storage import DiskStorage, MemoryStorage, Storage

NOW_MS = 1_700_000_000_000
CLIENTS_MAX = 5
CHANNELS_MAX = 3
READY_MAX = 120
"""Messages in a queue from which on nobody publishes to it: checks look at all of them."""
QUIET_TICKS_MAX = 2000
"""Turns after which a broker that has nothing new to do must have come to rest."""

DURABLE = ("d0", "d1", "ttl", "rated")
ARGUMENTS = {"ttl": {"x-message-ttl": 40}, "rated": {"x-max-priority": 2}}
QUEUES = (*DURABLE, "t0", "auto")
EXCHANGES = {"": "default", "fan": "fanout", "dir": "direct"}
KEYS = ("k0", "k1")
LIFETIMES = (None, None, None, 0, 25)
PRIORITIES = (None, None, 0, 1, 2, 7)

Binding = tuple[str, str, int]
"""Exchange, key, queue uid."""


class Simulation:
    """See the module. `disk`: the local engine on simulated files; otherwise a journal in memory."""

    def __init__(self, seed: int, *, disk: bool = False) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.now_ms = NOW_MS
        self.steps = 0
        self.restarts = 0
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
        self._outputs: dict[Client, None] = {}
        self._expected_code = 0
        """What the next refusal must say."""
        self._numbers = 0
        self._names = 0
        self._emptied: list[SimulatedQueue] = []
        """Queues of which a client was told that they are empty."""
        self._handed: dict[tuple[int, int], list[int]] = {}
        """(channel's identity, queue uid) → places delivered to it in this phase."""
        self._arrived = False
        """Something was published in this phase: it may have overtaken what was delivered before it came."""
        self._memory_budget = self.chance.choice((0, 2000, 20_000, 1 << 30))
        self._storage: Storage = (DiskStorage if disk else MemoryStorage)(self.chance)
        self._actions = self._weighted_actions()
        self._open()
        self._prepare()

    def __repr__(self) -> str:
        return f"<Simulation seed={self.seed} steps={self.steps} restarts={self.restarts}>"

    # --- the broker --------------------------------------------------------------------------------

    def _open(self) -> None:
        recovery = self._storage.open()
        assert not [warning for warning in recovery.warnings if "cut" not in warning], recovery.warnings
        self.core = Core(
            self._storage.journal,
            now_ms=self.now_ms,
            random=self.chance.randbytes,
            wake=self._begin,
            memory_budget=self._memory_budget,
        )
        self._storage.attach(self.core)
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
        self._begin()

    def _prepare(self) -> None:
        core = self.core
        vhost = core.add_vhost("/")
        core.put_user(User("guest", hash_password("guest", b"salt")))
        core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        vhost.declare_exchange("fan", "fanout", durable=True)
        vhost.declare_exchange("dir", "direct", durable=True)
        self._end_turn()
        while self._storage.step():
            pass
        assert self.synced_ticket
        for _ in range(2):
            self._connect()
        for _ in range(2 * len(QUEUES)):
            self._declare()
            self._bind()

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.core_time()

    def core_time(self) -> None:
        """Tell the core what time it is, as a turn's begin does."""
        if hasattr(self, "core"):
            self.core.set_time(self.now_ms)

    def _on_output(self, client: Client) -> None:
        self._outputs[client] = None
        self._begin()

    @property
    def ticket(self) -> int:
        """The group that will carry what happens now."""
        return self.core.ticket + 1

    def _end_turn(self) -> None:
        """Tick and let every client read, if a turn has begun or a timer is due."""
        next_ms = self.core.scheduler.next_ms
        if next_ms is not None and next_ms <= self.now_ms:
            self._begin()
        if not self.begun:
            return
        self.begun = False
        self.core.tick(self.now_ms)
        self._read_all()
        self.check()

    def _read_all(self, first: Client | None = None, last: Client | None = None) -> None:
        """Let clients read what there is for them; `first` was answered before others were told anything,
        `last` after them."""
        if first is not None and first in self._outputs:
            del self._outputs[first]
            first.read()
        while self._outputs:
            client = min(self._outputs, key=lambda one: one is last)
            del self._outputs[client]
            client.read()
            if not client.open:
                self._client_gone(client)
        # Only now, since what another client was given just before may have been read after the answer.
        emptied, self._emptied = self._emptied, []
        for queue in emptied:
            assert all(self._is_over(letter) for letter in queue.ready()), f"{queue} is not empty"

    # --- steps -------------------------------------------------------------------------------------

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
        (action,) = self.chance.choices(*self._actions)
        action()
        self.check()
        if self.chance.random() < 0.6:
            self._end_turn()
        for _ in range(self.chance.choice((0, 0, 1, 3))):
            if not self._storage.step():
                break
            self._read_all()
            self.check()

    def _weighted_actions(self) -> tuple[list[Callable[[], None]], list[int]]:
        table: list[tuple[Callable[[], None], int]] = [
            (self._publish, 24),
            (self._settle, 24),
            (self._consume, 8),
            (self._get, 8),
            (self._cancel, 4),
            (self._connect, 5),
            (self._open_channel, 6),
            (self._close_channel, 1),
            (self._disconnect, 1),
            (self._declare, 5),
            (self._bind, 4),
            (self._purge, 2),
            (self._delete, 1),
            (self._qos, 4),
            (self._recover, 1),
            (self._fault, 1),
            (self._pause, 2),
            (self._advance, 6),
            (self._settle_down_sometimes, 1),
            (self._restart_sometimes, 1),
        ]
        return [action for action, _ in table], [weight for _, weight in table]

    def _split(self, data: bytes) -> Iterator[bytes]:
        """Cut input anywhere, or not at all."""
        if len(data) > 1 and self.chance.random() < 0.2:
            cut = self.chance.randrange(1, len(data))
            yield data[:cut]
            data = data[cut:]
        yield data

    def _channel(self) -> tuple[Client, ClientChannel] | None:
        """Any channel on which something may be asked now."""
        channels = [
            (client, channel)
            for client in self.clients
            for channel in client.channels.values()
            if channel.getting is None
        ]
        return self.chance.choice(channels) if channels else None

    def _send(self, client: Client, data: bytes) -> None:
        """Input for the broker, and what it answers at once."""
        self._begin()
        client.send(data)
        self._read_all(client)

    def _ask(self, client: Client, channel: ClientChannel, method_id: int, *arguments: object) -> None:
        self._send(client, m.method_frame(channel.number, method_id, *arguments))

    def _ask_after_dispatch(
        self, client: Client, channel: ClientChannel, method_id: int, *arguments: object
    ) -> None:
        """A question before whose answer consumers of a queue with times to live get what they can have."""
        self._begin()
        client.send_method(channel.number, method_id, *arguments)
        self._read_all(last=client)

    # --- connections and channels ------------------------------------------------------------------

    def _connect(self) -> None:
        if len(self.clients) < CLIENTS_MAX:
            self._names += 1
            self._begin()
            client = Client(
                self.core, self, name=f"c{self._names}", split=self._split, on_output=self._on_output
            )
            self.clients.append(client)
            self._open_channel()

    def _open_channel(self) -> None:
        if not self.clients:
            return
        client = self.chance.choice(self.clients)
        number = self.chance.randint(1, CHANNELS_MAX)
        if number in client.channels:
            return
        channel = client.channels[number] = ClientChannel(number)
        self._ask(client, channel, m.CHANNEL_OPEN, "")
        channel.take_answer(m.CHANNEL_OPEN_OK)
        if self.chance.random() < 0.6:
            self._ask(client, channel, m.CONFIRM_SELECT, False)
            channel.take_answer(m.CONFIRM_SELECT_OK)
            channel.confirming = True

    def _close_channel(self) -> None:
        if (found := self._channel()) is None:
            return
        client, channel = found
        self._release(channel)
        self._ask(client, channel, m.CHANNEL_CLOSE, 200, "", 0, 0)
        channel.take_answer(m.CHANNEL_CLOSE_OK)
        del client.channels[channel.number]

    def _disconnect(self) -> None:
        """With or without saying so."""
        if not self.clients:
            return
        client = self.chance.choice(self.clients)
        self._begin()
        if self.chance.random() < 0.5:
            client.lost()
            self._client_gone(client)
        else:
            self._leave(client)
            client.send_method(0, m.CONNECTION_CLOSE, 200, "", 0, 0)
            client.read()
            assert not client.open
        self._outputs.pop(client, None)
        self._read_all()

    def _client_gone(self, client: Client) -> None:
        if client in self.clients:
            self._leave(client)

    def _leave(self, client: Client) -> None:
        """What the broker does when a connection ends."""
        self.clients.remove(client)
        for channel in client.channels.values():
            self._release(channel)
        client.channels.clear()
        for queue in [queue for queue in self.queues.values() if queue.exclusive]:
            if queue.name == f"x-{client.name}":
                self._queue_gone(queue)

    def _release(self, channel: ClientChannel) -> None:
        """What the broker does when a channel ends: everything goes back, consumers end."""
        for queue, letter, _ in channel.out.values():
            queue.release(letter)
        channel.out.clear()
        for subscription in channel.subscriptions.values():
            self._consumer_gone(subscription)
        channel.subscriptions.clear()
        channel.getting = None

    def _consumer_gone(self, subscription: Subscription) -> None:
        queue = subscription.queue
        queue.consumers -= 1
        if queue.auto_delete and not queue.consumers and not queue.deleted:
            self._queue_gone(queue)

    def _queue_gone(self, queue: SimulatedQueue) -> None:
        queue.deleted_ticket = self.ticket
        del self.queues[queue.name]
        if queue.durable and not queue.exclusive:
            self.deleted.append(queue)
        for binding, (there, _) in self.bindings.items():
            if binding[2] == queue.uid and there:
                self.bindings[binding] = (False, self.ticket)

    def _pause(self) -> None:
        """The socket of a client takes no more, or takes bytes again."""
        if self.clients:
            client = self.chance.choice(self.clients)
            client.paused = not client.paused
            if client.paused:
                client.connection.pause()
            else:
                self._begin()
                client.connection.unpause()

    # --- queues and bindings -----------------------------------------------------------------------

    def _declare(self) -> None:
        if (found := self._channel()) is None:
            return
        client, channel = found
        name = self.chance.choice((*QUEUES, f"x-{client.name}"))
        exclusive = name.startswith("x-")
        durable = name not in ("t0",) and not exclusive
        arguments = ARGUMENTS.get(name, {})
        ticket = self.ticket
        self._ask(
            client,
            channel,
            m.QUEUE_DECLARE,
            0,
            name,
            False,
            durable,
            exclusive,
            name == "auto",
            False,
            arguments,
        )
        _, ready, consumers = channel.take_answer(m.QUEUE_DECLARE_OK)
        queue = self.queues.get(name)
        if queue is None:
            uid = self.core.vhosts["/"].queues[name].uid
            queue = self.queues[name] = SimulatedQueue(
                name,
                uid,
                ticket,
                durable=durable,
                exclusive=exclusive,
                auto_delete=name == "auto",
                ttl_ms=arguments.get("x-message-ttl"),
                priority_max=arguments.get("x-max-priority", 0),
            )
        assert consumers == queue.consumers
        self._demand_count(queue, ready)

    def _demand_count(self, queue: SimulatedQueue, count: int) -> None:
        """A count that the broker told: messages whose time is over may or may not be in it."""
        letters = list(queue.ready())
        over = sum(self._is_over(letter) for letter in letters)
        assert len(letters) - over <= count <= len(letters)

    def _is_over(self, letter: Letter) -> bool:
        return letter.due_ms is not None and letter.due_ms <= self.now_ms

    def _bind(self) -> None:
        if (found := self._channel()) is None or (queue := self._usable(found[0])) is None:
            return
        client, channel = found
        exchange, key = self.chance.choice(("fan", "dir")), self.chance.choice(KEYS)
        adds = self.chance.random() < 0.7
        ticket = self.ticket
        if adds:
            self._ask(client, channel, m.QUEUE_BIND, 0, queue.name, exchange, key, False, {})
            channel.take_answer(m.QUEUE_BIND_OK)
        else:
            self._ask(client, channel, m.QUEUE_UNBIND, 0, queue.name, exchange, key, {})
            channel.take_answer(m.QUEUE_UNBIND_OK)
        there, _ = self.bindings.get((exchange, key, queue.uid), (False, 0))
        if there is not adds:
            self.bindings[exchange, key, queue.uid] = (adds, ticket)

    def _usable(self, client: Client) -> SimulatedQueue | None:
        """Any queue that this client may use."""
        queues = [
            queue for queue in self.queues.values() if not queue.exclusive or queue.name == f"x-{client.name}"
        ]
        return self.chance.choice(queues) if queues else None

    def _purge(self) -> None:
        if (found := self._channel()) is None or (queue := self._usable(found[0])) is None:
            return
        client, channel = found
        ticket = self.ticket
        self._ask(client, channel, m.QUEUE_PURGE, 0, queue.name, False)
        (count,) = channel.take_answer(m.QUEUE_PURGE_OK)
        self._demand_count(queue, count)
        for letter in list(queue.ready()):
            queue.remove(letter, ticket)

    def _delete(self) -> None:
        if (found := self._channel()) is None or (queue := self._usable(found[0])) is None:
            return
        client, channel = found
        letters = queue
        ready = list(letters.ready())
        self._queue_gone(queue)
        self._ask(client, channel, m.QUEUE_DELETE, 0, queue.name, False, False, False)
        (count,) = channel.take_answer(m.QUEUE_DELETE_OK)
        over = sum(self._is_over(letter) for letter in ready)
        assert len(ready) - over <= count <= len(ready)

    # --- publishing --------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Some messages in one input: as many queues as the bindings say, all of them or none returned."""
        if (found := self._channel()) is None:
            return
        client, channel = found
        exchange = self.chance.choice(tuple(EXCHANGES))
        key = self.chance.choice(QUEUES if not exchange else KEYS)
        targets = self._targets(exchange, key)
        if any(sum(1 for _ in queue.ready()) > READY_MAX for queue in targets):
            return
        data: list[bytes] = []
        mandatory = self.chance.random() < 0.2
        ticket = self.ticket
        returned = channel.returned
        self._arrived = True
        count = self.chance.choice((1, 1, 2, 5, 12))
        for _ in range(count):
            data.append(self._one_message(client, channel, exchange, key, targets, ticket, mandatory))
        self._send(client, b"".join(data))
        expected = count if mandatory and not targets else 0
        assert channel.returned - returned == expected, "returns do not match"

    def _targets(self, exchange: str, key: str) -> list[SimulatedQueue]:
        if not exchange:
            return [queue for queue in self.queues.values() if queue.name == key]
        return [
            queue
            for queue in self.queues.values()
            if any(
                there and source == exchange and uid == queue.uid and (source == "fan" or bound == key)
                for (source, bound, uid), (there, _) in self.bindings.items()
            )
        ]

    def _one_message(
        self,
        client: Client,
        channel: ClientChannel,
        exchange: str,
        key: str,
        targets: list[SimulatedQueue],
        ticket: int,
        mandatory: bool,
    ) -> bytes:
        self._numbers += 1
        persistent = self.chance.random() < 0.7
        lifetime, priority = self.chance.choice(LIFETIMES), self.chance.choice(PRIORITIES)
        properties = PERSISTENT if persistent else TRANSIENT
        if lifetime is not None or priority is not None:
            properties = wire.encode_properties(
                wire.Properties(
                    delivery_mode=2 if persistent else None,
                    priority=priority,
                    expiration=None if lifetime is None else str(lifetime),
                )
            )
        letters = []
        for queue in targets:
            lives = [limit for limit in (lifetime, queue.ttl_ms) if limit is not None]
            due_ms = self.now_ms + min(lives) if lives else None
            letters.append(
                queue.add(self._numbers, ticket, persistent=persistent, due_ms=due_ms, priority=priority or 0)
            )
        channel.published += 1
        if channel.confirming:
            channel.unconfirmed[channel.published] = letters
        # Large ones need several frames, and a few of them stop the consumers of a connection for a turn.
        size = self.chance.choice((0, 0, 0, 100, 1000)) if self.chance.random() < 0.995 else 600_000
        body = b"%d." % self._numbers + b"x" * size
        return client.publish_frames(channel.number, exchange, key, properties, body, mandatory=mandatory)

    # --- consuming ---------------------------------------------------------------------------------

    def _consume(self) -> None:
        if (found := self._channel()) is None or (queue := self._usable(found[0])) is None:
            return
        client, channel = found
        if queue.consumers >= 4:
            return
        self._names += 1
        tag, no_ack = f"t{self._names}", self.chance.random() < 0.15
        priority = self.chance.choice((0, 0, 0, 1))
        self._ask(
            client, channel, m.BASIC_CONSUME, 0, queue.name, tag, False, no_ack, False, False,
            {"x-priority": priority} if priority else {},
        )  # fmt: skip
        channel.take_answer(m.BASIC_CONSUME_OK)
        channel.subscriptions[tag] = Subscription(queue, no_ack=no_ack, prefetch=channel.prefetch)
        queue.consumers += 1

    def _cancel(self) -> None:
        if (found := self._channel()) is None or not found[1].subscriptions:
            return
        client, channel = found
        tag = self.chance.choice(list(channel.subscriptions))
        subscription = channel.subscriptions.pop(tag)
        self._consumer_gone(subscription)
        self._ask(client, channel, m.BASIC_CANCEL, tag, False)
        channel.take_answer(m.BASIC_CANCEL_OK)

    def _get(self) -> None:
        if (found := self._channel()) is None or (queue := self._usable(found[0])) is None:
            return
        client, channel = found
        no_ack = self.chance.random() < 0.3
        channel.getting = (queue, no_ack)
        self._left: int | None = None
        self._ask_after_dispatch(client, channel, m.BASIC_GET, 0, queue.name, no_ack)
        if self._left is not None:
            self._demand_count(queue, self._left)

    def _qos(self) -> None:
        if (found := self._channel()) is None:
            return
        client, channel = found
        shared, count = self.chance.random() < 0.3, self.chance.choice((0, 1, 2, 10))
        self._ask(client, channel, m.BASIC_QOS, 0, count, shared)
        channel.take_answer(m.BASIC_QOS_OK)
        if shared:
            channel.pool = count
        else:
            channel.pool = 0
            channel.prefetch = count

    def _settle(self) -> None:
        """Answer some deliveries, by any of the ways there are."""
        channels = [
            (client, channel)
            for client in self.clients
            for channel in client.channels.values()
            if channel.out and channel.getting is None
        ]
        if not channels:
            return
        client, channel = self.chance.choice(channels)
        tags = list(channel.out)
        way = self.chance.random()
        if way < 0.4:
            count = self.chance.randint(1, len(tags))
            tags = tags[:count] if self.chance.random() < 0.7 else self.chance.sample(tags, count)
            data = [m.method_frame(channel.number, m.BASIC_ACK, tag, False) for tag in tags]
            self._settled(channel, tags, released=False)
            self._send(client, b"".join(data))
            return
        tag = self.chance.choice((*tags, tags[-1], 0))
        named = tags if not tag else tags[: tags.index(tag) + 1]
        if way < 0.6:
            self._settled(channel, named, released=False)
            self._ask(client, channel, m.BASIC_ACK, tag, True)
        elif way < 0.85:
            requeue = self.chance.random() < 0.7
            self._settled(channel, named, released=requeue)
            self._ask(client, channel, m.BASIC_NACK, tag, True, requeue)
        else:
            requeue, tag = self.chance.random() < 0.7, self.chance.choice(tags)
            self._settled(channel, [tag], released=requeue)
            self._ask(client, channel, m.BASIC_REJECT, tag, requeue)

    def _settled(self, channel: ClientChannel, tags: list[int], *, released: bool) -> None:
        for tag in tags:
            queue, letter, subscription = channel.out.pop(tag)
            if subscription is not None:
                subscription.count -= 1
            if queue.deleted:
                continue
            if released:
                queue.release(letter)
            else:
                queue.remove(letter, self.ticket)

    def _recover(self) -> None:
        if (found := self._channel()) is None:
            return
        client, channel = found
        self._settled(channel, list(channel.out), released=True)
        self._ask(client, channel, m.BASIC_RECOVER, True)
        channel.take_answer(m.BASIC_RECOVER_OK)

    def _fault(self) -> None:
        """A request that is refused closes the channel, and gives everything back."""
        if (found := self._channel()) is None:
            return
        client, channel = found
        code, method_id, arguments = self.chance.choice(
            (
                (406, m.BASIC_ACK, (channel.tag_last + 1, False)),
                (404, m.QUEUE_PURGE, (0, "nowhere", False)),
                (404, m.BASIC_GET, (0, "nowhere", False)),
                (403, m.EXCHANGE_DELETE, (0, "amq.topic", False, False)),
            )
        )
        self._expected_code = code
        self._ask(client, channel, method_id, *arguments)
        self._expected_code = 0
        assert channel.closing, "the refusal did not close the channel"
        assert channel.number not in client.channels

    # --- what clients are told ---------------------------------------------------------------------

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
        self._left = count

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
        self.delivered += 1
        number = int(body.partition(b".")[0])
        letter = next((letter for letter in queue.ready() if letter.number == number), None)
        assert letter is not None, f"message {number} is not ready in {queue}"
        assert letter.redelivered is redelivered, f"{letter} has the wrong flag"
        self._handed.setdefault((id(channel), queue.uid), []).append(letter.place)
        letter.handed_out = True
        if no_ack:
            queue.remove(letter, self.ticket)
            return
        letter.where = Where.OUT
        letter.delivered_ticket = min(letter.delivered_ticket, self.ticket)
        channel.out[tag] = (queue, letter, subscription)
        if subscription is not None:
            subscription.count += 1

    def on_get_empty(self, client: Client, channel: ClientChannel) -> None:
        assert channel.getting is not None, "nobody asked"
        queue, _ = channel.getting
        channel.getting = None
        self._emptied.append(queue)

    def on_confirm(self, client: Client, channel: ClientChannel, tag: int, multiple: bool) -> None:
        first = next(iter(channel.unconfirmed))
        assert multiple or tag == first, "a confirm out of order"
        for number in range(first, tag + 1):
            for letter in channel.unconfirmed.pop(number):
                assert not letter.stored or letter.ticket <= self.synced_ticket, "confirmed before the sync"
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
            assert code == self._expected_code, text
        self._release(channel)

    def on_connection_close(self, client: Client, code: int, text: str) -> None:
        raise AssertionError(f"{client} was closed: {code} {text}")

    # --- time, quiet, restarts ---------------------------------------------------------------------

    def _advance(self) -> None:
        self.now_ms += self.chance.choice((1, 1, 10, 50))
        self._end_turn()

    def _settle_down_sometimes(self) -> None:
        if self.chance.random() < 0.5:
            self.settle_down()

    def settle_down(self) -> None:
        """Let everything finish that has begun; then nobody waits for anything."""
        for client in self.clients:
            if client.paused:
                client.paused = False
                self._begin()
                client.connection.unpause()
        for _ in range(QUIET_TICKS_MAX):
            self._end_turn()
            busy = self._storage.step()
            self._read_all()
            if not busy and not self.begun:
                break
        else:
            raise AssertionError("the broker never comes to rest")
        self.check()
        for client in self.clients:
            for channel in client.channels.values():
                assert not channel.unconfirmed, "a confirm was forgotten"
                assert channel.getting is None, "a get was never answered"
                self._demand_nothing_waits(channel)
        self._demand_memory_is_counted()

    def _demand_memory_is_counted(self) -> None:
        """The budget works with the right number: what is in memory, counted anew."""
        total = 0
        for queue in self.core.vhosts["/"].queues.values():
            for run in queue.ready_runs():
                if run.messages is not None:
                    total += run.held_bytes
            for entry in queue.outstanding():
                total += entry.held_bytes
        assert self.core.changes.resident_bytes == total, "memory is counted wrongly"

    def _demand_nothing_waits(self, channel: ClientChannel) -> None:
        full = channel.pool and channel.pool_count >= channel.pool
        for subscription in channel.subscriptions.values():
            able = subscription.has_credit and not full
            waiting = [letter for letter in subscription.queue.ready() if not self._is_over(letter)]
            assert not able or not waiting, f"{waiting[0]} of {subscription.queue} waits for nothing"

    def drain(self) -> None:
        """Consume everything that is left: it must be exactly what the model has, in order."""
        for client in list(self.clients):
            client.lost()
            self._client_gone(client)
        self._outputs.clear()
        self.settle_down()
        self._connect()
        while not self.clients[0].channels:
            self._open_channel()
        client = self.clients[0]
        channel = next(iter(client.channels.values()))
        for queue in list(self.queues.values()):
            self._ask(
                client, channel, m.BASIC_CONSUME, 0, queue.name, queue.name, False, True, False, False, {}
            )
            channel.take_answer(m.BASIC_CONSUME_OK)
            channel.subscriptions[queue.name] = Subscription(queue, no_ack=True, prefetch=0)
            queue.consumers += 1
        self.settle_down()
        for queue in self.queues.values():
            assert not list(queue.ready())
        assert self.core.changes.resident_bytes == 0, "memory is counted that nothing takes"

    def _restart_sometimes(self) -> None:
        if self.chance.random() < 0.3:
            self.restart(clean=self.chance.random() < 0.4)

    def restart(self, *, clean: bool) -> None:
        """Stop or crash, start again, and compare what is there with what must and what may be."""
        self.restarts += 1
        if clean:
            for client in list(self.clients):
                client.lost()
                self._client_gone(client)
            self._outputs.clear()
            self.begun = True
            self._end_turn()
            self.core.flush()
            synced = self.core.ticket
            self._storage.stop(CoreSnapshot(self.core))
        else:
            synced = self.synced_ticket
            self._storage.crash()
        self.clients.clear()
        self._outputs.clear()
        self._handed.clear()
        self.begun = False
        self._open()
        self._compare_queues(synced)
        self._compare_bindings(synced)
        self._forget_tickets()
        self.check()

    def _compare_queues(self, synced: int) -> None:
        actual = {queue.uid: queue for queue in self.core.vhosts["/"].queues.values()}
        known = [*self.queues.values(), *self.deleted]
        self.queues, self.deleted = {}, []
        assert set(actual) <= {queue.uid for queue in known}, "a queue was invented"
        for queue in known:
            there = queue.uid in actual
            lasting = queue.durable and not queue.exclusive
            assert lasting or not there, f"{queue} outlived its broker"
            if there:
                assert queue.deleted_ticket > synced, f"{queue} was deleted for good and came back"
                found = actual[queue.uid]
                through = {lane.priority: lane.delivered_through for lane in found.lanes}
                queue.recovered(_ready(found), through, synced)
                queue.sequences_next = _sequences_next(found)
                self.queues[queue.name] = queue
            else:
                lost = lasting and queue.ticket <= synced and not queue.deleted
                assert not lost, f"{queue} was lost"

    def _compare_bindings(self, synced: int) -> None:
        vhost = self.core.vhosts["/"]
        uids = {queue.uid for queue in self.queues.values()}
        actual = {
            (binding.source.name, binding.key, binding.destination.uid)
            for bindings in vhost.inbound.values()
            for binding in bindings
            if isinstance(binding.destination, Queue)
        }
        for binding, (there, ticket) in self.bindings.items():
            if binding[2] in uids and ticket <= synced:
                assert (binding in actual) is there, f"binding {binding} should be {there}"
        assert actual <= set(self.bindings), "a binding was invented"
        self.bindings = dict.fromkeys(actual, (True, 0))

    def _forget_tickets(self) -> None:
        """Tickets count from 1 in every process; what is there now is durable."""
        for queue in self.queues.values():
            queue.ticket = 0
            for letter in queue.letters.values():
                letter.ticket = 0
                letter.confirmed = True
                letter.delivered_ticket = 0 if letter.redelivered else NEVER

    # --- always ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare every queue with the model; take note of what has expired."""
        overtaken = {queue.uid for queue in self.queues.values() if queue.priority_max and self._arrived}
        for (_, uid), places in self._handed.items():
            assert places == sorted(places) or uid in overtaken, f"queue {uid}: out of order on one channel"
        actual = self.core.vhosts["/"].queues
        assert actual.keys() == self.queues.keys()
        for name, queue in self.queues.items():
            found = actual[name]
            if found.ready_count or queue.letters or found.unacked_count:
                self._check_queue(queue, found)
            assert _sequences_next(found) == queue.sequences_next, f"{queue}: messages went elsewhere"
            assert len(found.consumers) == queue.consumers
        self._handed.clear()
        self._arrived = False

    def _check_queue(self, queue: SimulatedQueue, found: Queue) -> None:
        assert found.uid == queue.uid
        present = _ready(found)
        expected = [letter.place for letter in queue.ready()]
        if present != expected:
            self._take_note_of_expired(queue, present)
        assert found.ready_count == len(present)
        handed = [place for (_, uid), some in self._handed.items() if uid == queue.uid for place in some]
        oldest = not handed or not present or max(handed) < present[0]
        assert oldest or (queue.priority_max and self._arrived), f"{queue}: not the oldest first"
        out = sorted(
            place_of(found.priority_max, entry.lane.priority, sequence)
            for entry in found.outstanding()
            for sequence in entry.run.sequences[entry.start : entry.stop]
        )
        assert out == [letter.place for letter in queue.out()], f"{queue}: other deliveries are out"
        assert found.unacked_count == len(out)
        queue.forget_gone(self.synced_ticket)

    def _take_note_of_expired(self, queue: SimulatedQueue, present: list[int]) -> None:
        """Messages at the head, one behind the other, whose time is over."""
        there = set(present)
        for letter in list(queue.ready()):
            if letter.place not in there:
                assert self._is_over(letter), f"{queue}: {letter} was lost"
                assert not present or letter.place < present[0], f"{queue}: {letter} was not at the head"
                queue.remove(letter, self.ticket)
        assert present == [letter.place for letter in queue.ready()], f"{queue}: order or invention"


def _ready(queue: Queue) -> list[int]:
    """What waits in a queue of the broker; released runs may interleave until they are taken."""
    return sorted(
        [
            place_of(queue.priority_max, run.lane.priority, sequence)
            for run in queue.ready_runs()
            for sequence in run.sequences
        ]
    )


def _sequences_next(queue: Queue) -> dict[int, int]:
    return {lane.priority: lane.sequence_next for lane in queue.lanes}
