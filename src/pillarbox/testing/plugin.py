"""The pytest plugin: fixtures that give a test a real broker of its own, ready in milliseconds.

    def test_order_is_stored(pillarbox):
        connection = pika.BlockingConnection(pika.URLParameters(pillarbox.amqp_url))
        ...
        assert pillarbox.queue("orders").ready == 1

`pillarbox` keeps everything in memory and runs on the machine's clock; `pillarbox_durable` keeps its data
in the test's `tmp_path`; `pillarbox_manual` runs on a `ManualClock`: `pillarbox_manual.advance("30m")`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pillarbox import Broker


@pytest.fixture
def pillarbox() -> Iterator[Broker]:
    """A broker in memory, on a free port, for this test alone."""
    from pillarbox import Broker

    with Broker() as broker:
        yield broker


@pytest.fixture
def pillarbox_durable(tmp_path: Path) -> Iterator[Broker]:
    """A broker that keeps its data in the test's temporary folder."""
    from pillarbox import Broker

    with Broker(str(tmp_path / "pillarbox")) as broker:
        yield broker


@pytest.fixture
def pillarbox_manual() -> Iterator[Broker]:
    """A broker in memory whose time stands still until the test calls `advance`."""
    from pillarbox import Broker, ManualClock

    with Broker(clock=ManualClock()) as broker:
        yield broker
