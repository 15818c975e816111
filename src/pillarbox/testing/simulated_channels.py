"""What clients of a simulated broker do with connections and channels; see `simulated_broker`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.testing.simulated_client import Client, ClientChannel

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker

CLIENTS_MAX = 5
CHANNELS_MAX = 3


def connect(sim: SimulatedBroker) -> None:
    if len(sim.clients) < CLIENTS_MAX:
        sim.names += 1
        sim.begin()
        client = Client(sim.core, sim.answers, name=f"c{sim.names}", split=sim.split, on_output=sim.on_output)
        sim.clients.append(client)
        open_channel(sim)


def open_channel(sim: SimulatedBroker) -> None:
    if not sim.clients:
        return
    client = sim.chance.choice(sim.clients)
    number = sim.chance.randint(1, CHANNELS_MAX)
    if number in client.channels:
        return
    channel = client.channels[number] = ClientChannel(number)
    sim.ask(client, channel, m.CHANNEL_OPEN, "")
    channel.take_answer(m.CHANNEL_OPEN_OK)
    if sim.chance.random() < 0.6:
        sim.ask(client, channel, m.CONFIRM_SELECT, False)
        channel.take_answer(m.CONFIRM_SELECT_OK)
        channel.confirming = True


def close_channel(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    sim.release(channel)
    sim.ask(client, channel, m.CHANNEL_CLOSE, 200, "", 0, 0)
    channel.take_answer(m.CHANNEL_CLOSE_OK)
    del client.channels[channel.number]


def disconnect(sim: SimulatedBroker) -> None:
    """With or without saying so, but not while a get is not answered: the end would wait for that."""
    if not sim.clients:
        return
    client = sim.chance.choice(sim.clients)
    if client.waits:
        return
    sim.begin()
    if sim.chance.random() < 0.5:
        client.lost()
        sim.client_gone(client)
    else:
        sim.leave(client)
        client.send_method(0, m.CONNECTION_CLOSE, 200, "", 0, 0)
        client.read()
        assert not client.open
    sim.outputs.pop(client, None)
    sim.read_all()


def pause(sim: SimulatedBroker) -> None:
    """The socket of a client takes no more, or takes bytes again."""
    if sim.clients:
        client = sim.chance.choice(sim.clients)
        client.paused = not client.paused
        if client.paused:
            client.connection.pause()
        else:
            sim.begin()
            client.connection.unpause()


def qos(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    shared, count = sim.chance.random() < 0.3, sim.chance.choice((0, 1, 2, 10))
    sim.ask(client, channel, m.BASIC_QOS, 0, count, shared)
    channel.take_answer(m.BASIC_QOS_OK)
    if shared:
        channel.pool = count
    else:
        channel.pool = 0
        channel.prefetch = count


def recover(sim: SimulatedBroker) -> None:
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    sim.settled(channel, list(channel.out), released=True)
    sim.ask(client, channel, m.BASIC_RECOVER, True)
    channel.take_answer(m.BASIC_RECOVER_OK)


def fault(sim: SimulatedBroker) -> None:
    """A request that is refused closes the channel, and gives everything back."""
    if (found := sim.any_channel()) is None:
        return
    client, channel = found
    code, method_id, arguments = sim.chance.choice(
        (
            (406, m.BASIC_ACK, (channel.tag_last + 1, False)),
            (404, m.QUEUE_PURGE, (0, "nowhere", False)),
            (404, m.BASIC_GET, (0, "nowhere", False)),
            (403, m.EXCHANGE_DELETE, (0, "amq.topic", False, False)),
        )
    )
    sim.expected_code = code
    sim.ask(client, channel, method_id, *arguments)
    sim.expected_code = 0
    assert channel.closing, "the refusal did not close the channel"
    assert channel.number not in client.channels


ACTIONS = (
    (connect, 5),
    (open_channel, 6),
    (close_channel, 1),
    (disconnect, 1),
    (pause, 2),
    (qos, 4),
    (recover, 1),
    (fault, 1),
)
"""Each with its weight among all."""
