"""A broker with its management API, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillarbox import Broker
from tests.management.http import Client, client


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker in memory for this test alone."""
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    """Its management API, as guest."""
    with client(broker) as found:
        yield found
