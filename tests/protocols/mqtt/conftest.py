"""A broker with an MQTT port, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from tests.protocols.mqtt.talker import Talker

Talk = Callable[..., Talker]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> Iterator[Broker]:
    with Broker(mqtt_port=0, clock=clock) as running:
        yield running


@pytest.fixture
def talk(broker: Broker) -> Iterator[Talk]:
    """Make clients, which connect unless they are told not to; their sockets are closed in the end."""
    made: list[Talker] = []

    def make(client_id: str = "", *, connected: bool = True, version: int = 5, **said: object) -> Talker:
        talker = Talker(broker.mqtt_port, version)
        made.append(talker)
        if connected:
            talker.connect(client_id, **said)
        return talker

    yield make
    for talker in made:
        talker.cut()
