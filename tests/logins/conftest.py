"""A service that decides, and brokers that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker, ManualClock
from tests.logins.service import Service, password_of

Connect = Callable[..., Any]


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def broker(request: pytest.FixtureRequest, service: Service) -> Iterator[Broker]:
    """Asks the service; `request.param` are further options."""
    options = service.options(**getattr(request, "param", {}))
    with Broker(clock=ManualClock(), management_port=0, **options) as running:
        yield running


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    made = []

    def make(user: str = "alice", password: str | None = None, vhost: str = "/") -> Any:
        credentials = pika.PlainCredentials(user, password_of(user) if password is None else password)
        parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, vhost, credentials, heartbeat=0)
        made.append(pika.BlockingConnection(parameters))
        return made[-1]

    yield make
    for connection in made:
        if connection.is_open:
            connection.close()
