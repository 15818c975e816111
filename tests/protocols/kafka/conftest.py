"""A broker with a Kafka port, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillarbox import Broker
from tests.protocols.kafka.asking import Asking


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One for all tests of a module: each makes topics of its own."""
    with Broker(kafka_port=0) as running:
        yield running


@pytest.fixture
def client(broker: Broker) -> Iterator[Asking]:
    with Asking(broker.kafka_bootstrap) as asking:
        yield asking
