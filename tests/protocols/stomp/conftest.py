"""A broker with a STOMP port, and clients of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from pillarbox import Broker
from tests.protocols.stomp.talking import Talking


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One for all tests of a module: each makes queues of its own."""
    with Broker(stomp_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def activemq() -> Iterator[Broker]:
    """The same in the dialect of ActiveMQ."""
    with Broker(stomp_port=0, stomp_dialect="activemq") as running:
        yield running


@pytest.fixture
def stranger(broker: Broker) -> Iterator[Talking]:
    """A client that has said nothing yet."""
    with Talking(broker.stomp_address) as client:
        yield client


@pytest.fixture
def client(stranger: Talking) -> Talking:
    stranger.connect()
    return stranger


@pytest.fixture
def connected(broker: Broker) -> Iterator[Callable[..., Talking]]:
    """Makes clients that have logged in, of the broker or of another."""
    clients: list[Talking] = []

    def connect(version: str = "1.2", to: Broker | None = None, **headers: str) -> Talking:
        clients.append(Talking((to or broker).stomp_address))
        clients[-1].connect(version, **headers)
        return clients[-1]

    yield connect
    for one in clients:
        one.socket.close()


@pytest.fixture
def name() -> str:
    """Of something that no other test uses."""
    return f"q{secrets.token_hex(4)}"
