"""What clients of a simulated broker do with queues and bindings; see `simulated_broker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.testing.simulated_queues import SimulatedQueue
from pillarbox.testing.simulated_travellers import GRAVE

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker

DURABLE = ("d0", "d1", "ttl", "rated", "short", "fatal")
TO_GRAVE = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": GRAVE}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ttl": {"x-message-ttl": 40},
    "rated": {"x-max-priority": 2},
    "short": {"x-max-length": 6},
    "fatal": {"x-message-ttl": 60, "x-max-length": 8, **TO_GRAVE},
}
QUEUES = (*DURABLE, "t0", "auto")
KEYS = ("k0", "k1")


def declare(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    name = sim.chance.choice((*QUEUES, f"x-{client.name}"))
    exclusive = name.startswith("x-")
    durable = name not in ("t0",) and not exclusive
    arguments = ARGUMENTS.get(name, {})
    ticket = sim.ticket
    sim.ask(
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
    queue = sim.queues.get(name)
    if queue is None:
        uid = sim.core.vhosts["/"].queues[name].uid
        queue = sim.queues[name] = SimulatedQueue(
            name,
            uid,
            ticket,
            durable=durable,
            exclusive=exclusive,
            auto_delete=name == "auto",
            ttl_ms=arguments.get("x-message-ttl"),
            priority_max=arguments.get("x-max-priority", 0),
            length_max=arguments.get("x-max-length"),
            mourned="x-dead-letter-exchange" in arguments,
        )
    assert consumers == queue.consumers
    sim.demand_count(queue, ready)


def bind(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or (queue := sim.any_queue(found[0])) is None:
        return
    client, channel = found
    exchange, key = sim.chance.choice(("fan", "dir")), sim.chance.choice(KEYS)
    adds = sim.chance.random() < 0.7
    ticket = sim.ticket
    if adds:
        sim.ask(client, channel, m.QUEUE_BIND, 0, queue.name, exchange, key, False, {})
        channel.take_answer(m.QUEUE_BIND_OK)
    else:
        sim.ask(client, channel, m.QUEUE_UNBIND, 0, queue.name, exchange, key, {})
        channel.take_answer(m.QUEUE_UNBIND_OK)
    there, _ = sim.bindings.get((exchange, key, queue.uid), (False, 0))
    if there is not adds:
        sim.bindings[exchange, key, queue.uid] = (adds, ticket)


def purge(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or (queue := sim.any_queue(found[0])) is None:
        return
    client, channel = found
    ticket = sim.ticket
    sim.ask(client, channel, m.QUEUE_PURGE, 0, queue.name, False)
    (count,) = channel.take_answer(m.QUEUE_PURGE_OK)
    sim.demand_count(queue, count)
    for letter in list(queue.ready()):
        queue.remove(letter, ticket)


def delete(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None or (queue := sim.any_queue(found[0])) is None:
        return
    client, channel = found
    letters = queue
    ready = list(letters.ready())
    sim.queue_gone(queue)
    sim.ask(client, channel, m.QUEUE_DELETE, 0, queue.name, False, False, False)
    (count,) = channel.take_answer(m.QUEUE_DELETE_OK)
    over = sum(sim.is_over(letter) for letter in ready)
    assert len(ready) - over <= count <= len(ready)


ACTIONS = (
    (declare, 5),
    (bind, 4),
    (purge, 2),
    (delete, 1),
)
"""Each with its weight among all."""
