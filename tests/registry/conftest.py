from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillarbox import Broker
from tests.registry.asking import Asking


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(schema_registry_port=0) as running:
        yield running


@pytest.fixture
def ask(broker: Broker) -> Asking:
    return Asking(broker.schema_registry_url)
