"""Brokers to shovel from and to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillarbox import Broker
from tests.shovel.site import Site, site_of


@pytest.fixture
def broker() -> Iterator[Broker]:
    """The one that has the shovels."""
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def here(broker: Broker) -> Iterator[Site]:
    with site_of(broker) as site:
        yield site


@pytest.fixture
def other() -> Iterator[Broker]:
    """One elsewhere."""
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def there(other: Broker) -> Iterator[Site]:
    with site_of(other) as site:
        yield site
