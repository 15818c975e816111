"""A delivery that cannot be written: one connection ends, others get the message (`broker.fence`)."""

from __future__ import annotations

import pytest

from pillarbox import Broker
from pillarbox.protocols.stomp.subscription import Subscription
from tests.hostile.mistakes import demand_one_report, fails_where
from tests.protocols.stomp.talking import Talking


def test_delivery_that_cannot_be_written(
    broker: Broker, client: Talking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails_where(monkeypatch, Subscription, "form_of", lambda one, message, *_, **__: b"bad" in message.body)
    client.done("SUBSCRIBE", {"destination": "/queue/defects", "id": "1", "ack": "client"})
    with Talking(broker.stomp_address) as other:
        other.connect()
        other.done("SEND", {"destination": "/queue/defects", "persistent": "true"}, "bad")
        ended = client.read()
        assert ended.command == "ERROR"
        assert b"the broker has a defect, see its log" in ended.body
        demand_one_report(caplog)
        other.say("SUBSCRIBE", {"destination": "/queue/defects", "id": "1", "ack": "client"})
        got = other.message()
        assert (got.body, got.headers["redelivered"]) == (b"bad", "true")
