"""`pillarbox monitor`: destinations and subscribers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.ops.api_client import ApiClient
from pillarbox.ops.monitor.screen import Monitor
from pillarbox.ops.monitor.source import take
from tests.messaging.scene import scene
from tests.monitor.tools import monitor, on_screen

pytestmark = pytest.mark.row("R122")


@pytest.fixture
def messaging() -> Iterator[Broker]:
    with scene(management_port=0) as broker:
        yield broker


@pytest.mark.row("A82")
def test_destinations_and_subscribers(messaging: Broker) -> None:
    url = messaging.management_url
    shown = monitor("--url", url, "--destinations", "--once").stdout
    assert "2 queues  ·  3 topics  ·  5 pending" in shown.splitlines()[0]
    assert re.search(r"^ */ +orders +queue +3 +1 +1 +3 +1 +0", shown, re.MULTILINE), shown
    assert re.search(r"^ */ +plant\.> +topic +\? ", shown, re.MULTILINE), shown
    found = json.loads(monitor("--url", url, "--subscribers", "--sort", "pending", "--json", "--once").stdout)
    assert [found["totals"][name] for name in ("subscribers", "offline", "pending")] == [4, 2, 2]
    first = found["subscribers"][0]
    assert (first["client"], first["subscription"], first["state"]) == ("billing", "all", "offline")
    assert [one["selector"] for one in found["subscribers"] if one["client"] == "audit"] == ["colour = 'red'"]
    refused = monitor("--url", url, "--subscribers", "--sort", "ready", "--once")
    assert (refused.returncode, "subscribers are sorted by vhost, client" in refused.stderr) == (2, True)


@pytest.mark.row("A82")
def test_keys_go_over_to_destinations_and_subscribers(messaging: Broker) -> None:
    with ApiClient(messaging.management_url) as api:

        async def story(app: Monitor, pilot: Any) -> None:
            for key, rows, words in (("4", 5, "destinations"), ("5", 4, "subscribers")):
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()
                table: Any = app.query_one("#rows")
                assert table.row_count == rows
                assert str(app.query_one("#status").render()).startswith(words)

        on_screen(lambda subject: take(api, subject), story)
