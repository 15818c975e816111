"""Server-sent events: documents at once, and again when they have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from pillarbox import Broker
from tests.management.http import Client, basic, client


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A broker that looks at documents more often than one would for people."""
    monkeypatch.setattr("pillarbox.ops.web.live.Live.__init__.__defaults__", (0.05,))
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


class Stream:
    """One listener."""

    def __init__(self, broker: Broker, *documents: str, password: str = "guest") -> None:
        address = urlsplit(broker.management_url)
        self.connection = HTTPConnection(str(address.hostname), address.port or 0, timeout=30)
        query = "&".join(f"document={quote(one, safe='')}" for one in documents)
        self.connection.request(
            "GET", f"/api/live?{query}", headers={"authorization": basic("guest", password)}
        )
        self.response: HTTPResponse = self.connection.getresponse()

    def event(self) -> Any:
        """The next event; comments are passed over."""
        while True:
            line = self.response.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])


@pytest.mark.row("R124")
def test_documents_come_at_once_and_when_they_change(broker: Broker, api: Client) -> None:
    stream = Stream(broker, "/api/global-parameters", "/api/whoami")
    assert stream.response.getheader("content-type") == "text/event-stream"
    assert stream.event() == {"path": "/api/global-parameters", "status": 200, "body": []}
    assert stream.event()["body"] == {"name": "guest", "tags": ["administrator"]}
    api.request("PUT", "global-parameters/a", {"value": 1})
    changed = stream.event()
    assert (changed["path"], changed["body"]) == ("/api/global-parameters", [{"name": "a", "value": 1}])
    stream.connection.close()


@pytest.mark.row("R124")
def test_what_is_missing_is_told_and_shown_when_it_comes(broker: Broker, api: Client) -> None:
    stream = Stream(broker, "/api/global-parameters/v1")
    assert stream.event()["status"] == 404
    api.request("PUT", "global-parameters/v1", {"value": 1})
    assert stream.event() == {
        "path": "/api/global-parameters/v1",
        "status": 200,
        "body": {"name": "v1", "value": 1},
    }
    stream.connection.close()


@pytest.mark.row("R124")
def test_nobody_sees_more_than_the_api_shows(broker: Broker, api: Client) -> None:
    refused = Stream(broker, "/api/overview", password="wrong")
    assert refused.response.status == 401
    assert json.loads(refused.response.read()) == {"error": "not_authorized", "reason": "Login failed"}


@pytest.mark.parametrize(
    "documents",
    [(), ("/none",), ("http://elsewhere/api/x",), ("/api/live?document=/api/whoami",), ("/api/whoami",) * 11],
)
def test_what_is_no_document_is_refused(broker: Broker, documents: tuple[str, ...]) -> None:
    assert Stream(broker, *documents).response.status == 400


def test_open_stream_ends_when_the_broker_stops(broker: Broker) -> None:
    stream = Stream(broker, "/api/whoami")
    stream.event()
    broker.stop()
    assert stream.response.read().strip().replace(b": still here", b"").strip() == b""
