"""What clients of a simulated broker do with messages: publish, consume, settle; see `simulated_broker`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.testing.simulated_client import PERSISTENT, TRANSIENT, Client, ClientChannel, Subscription
from pillarbox.testing.simulated_declarations import KEYS, QUEUES
from pillarbox.testing.simulated_queues import SimulatedQueue
from pillarbox.testing.simulated_stream import SOURCE

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker

READY_MAX = 120
"""Messages in a queue from which on nobody publishes to it: checks look at all of them."""
EXCHANGES = {"": "default", "fan": "fanout", "dir": "direct"}
LIFETIMES = (None, None, None, 0, 25)
PRIORITIES = (None, None, 0, 1, 2, 7)


def publish(sim: SimulatedBroker) -> None:
    """Some messages in one input: as many queues as the bindings say, all of them or none returned."""
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    exchange = sim.chance.choice(tuple(EXCHANGES))
    key = sim.chance.choice(QUEUES if not exchange else KEYS)
    targets = _targets(sim, exchange, key)
    if any(sum(1 for _ in queue.ready()) > READY_MAX for queue in targets):
        return
    data: list[bytes] = []
    mandatory = sim.chance.random() < 0.2
    ticket = sim.ticket
    returned = channel.returned
    sim.arrived = True
    count = sim.chance.choice((1, 1, 2, 5, 12))
    for _ in range(count):
        data.append(_one_message(sim, client, channel, exchange, key, targets, ticket, mandatory))
    sim.send(client, b"".join(data))
    streamed = sim.stream is not None and exchange == SOURCE
    expected = count if mandatory and not targets and not streamed else 0
    assert channel.returned - returned == expected, "returns do not match"


def _targets(sim: SimulatedBroker, exchange: str, key: str) -> list[SimulatedQueue]:
    if not exchange:
        return [queue for queue in sim.queues.values() if queue.name == key]
    return [
        queue
        for queue in sim.queues.values()
        if any(
            there and source == exchange and uid == queue.uid and (source == "fan" or bound == key)
            for (source, bound, uid), (there, _) in sim.bindings.items()
        )
    ]


def _one_message(
    sim: SimulatedBroker,
    client: Client,
    channel: ClientChannel,
    exchange: str,
    key: str,
    targets: list[SimulatedQueue],
    ticket: int,
    mandatory: bool,
) -> bytes:
    sim.numbers += 1
    persistent = sim.chance.random() < 0.7
    lifetime, priority = sim.chance.choice(LIFETIMES), sim.chance.choice(PRIORITIES)
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
        due_ms = sim.now_ms + min(lives) if lives else None
        letters.append(
            queue.add(sim.numbers, ticket, persistent=persistent, due_ms=due_ms, priority=priority or 0)
        )
    if sim.stream is not None and exchange == SOURCE:
        letters.append(sim.stream.take(sim.numbers, ticket))
    channel.published += 1
    if channel.confirming:
        channel.unconfirmed[channel.published] = letters
    # Large ones need several frames, and a few of them stop the consumers of a connection for a turn.
    size = sim.chance.choice((0, 0, 0, 100, 1000)) if sim.chance.random() < 0.995 else 600_000
    body = b"%d." % sim.numbers + b"x" * size
    return client.publish_frames(channel.number, exchange, key, properties, body, mandatory=mandatory)


def consume(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or (queue := sim.any_queue(found[0])) is None:
        return
    client, channel = found
    if queue.consumers >= 4:
        return
    sim.names += 1
    tag, no_ack = f"t{sim.names}", sim.chance.random() < 0.15
    priority = sim.chance.choice((0, 0, 0, 1))
    sim.ask(
        client, channel, m.BASIC_CONSUME, 0, queue.name, tag, False, no_ack, False, False,
        {"x-priority": priority} if priority else {},
    )  # fmt: skip
    channel.take_answer(m.BASIC_CONSUME_OK)
    channel.subscriptions[tag] = Subscription(queue, no_ack=no_ack, prefetch=channel.prefetch)
    queue.consumers += 1


def cancel(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or not found[1].subscriptions:
        return
    client, channel = found
    tag = sim.chance.choice(list(channel.subscriptions))
    subscription = channel.subscriptions.pop(tag)
    sim.consumer_gone(subscription)
    sim.ask(client, channel, m.BASIC_CANCEL, tag, False)
    channel.take_answer(m.BASIC_CANCEL_OK)


def get(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or (queue := sim.any_queue(found[0])) is None:
        return
    client, channel = found
    no_ack = sim.chance.random() < 0.3
    channel.getting = (queue, no_ack)
    sim.left = None
    sim.ask_after_dispatch(client, channel, m.BASIC_GET, 0, queue.name, no_ack)
    if sim.left is not None:
        sim.demand_count(queue, sim.left)


def settle(sim: SimulatedBroker) -> None:
    """Answer some deliveries, by any of the ways there are."""
    channels = [
        (client, channel)
        for client in sim.clients
        for channel in client.channels.values()
        if channel.out and channel.getting is None
    ]
    if not channels:
        return
    client, channel = sim.chance.choice(channels)
    tags = list(channel.out)
    way = sim.chance.random()
    if way < 0.4:
        count = sim.chance.randint(1, len(tags))
        tags = tags[:count] if sim.chance.random() < 0.7 else sim.chance.sample(tags, count)
        data = [m.method_frame(channel.number, m.BASIC_ACK, tag, False) for tag in tags]
        sim.settled(channel, tags)
        sim.send(client, b"".join(data))
        return
    tag = sim.chance.choice((*tags, tags[-1], 0))
    named = tags if not tag else tags[: tags.index(tag) + 1]
    if way < 0.6:
        sim.settled(channel, named)
        sim.ask(client, channel, m.BASIC_ACK, tag, True)
    elif way < 0.85:
        requeue = sim.chance.random() < 0.7
        sim.settled(channel, named, released=requeue, rejected=not requeue)
        sim.ask(client, channel, m.BASIC_NACK, tag, True, requeue)
    else:
        requeue, tag = sim.chance.random() < 0.7, sim.chance.choice(tags)
        sim.settled(channel, [tag], released=requeue, rejected=not requeue)
        sim.ask(client, channel, m.BASIC_REJECT, tag, requeue)


ACTIONS = (
    (publish, 24),
    (consume, 8),
    (cancel, 4),
    (get, 8),
    (settle, 24),
)
"""Each with its weight among all."""
