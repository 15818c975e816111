"""A delivery that cannot be written: one connection ends, its session keeps the message (`broker.fence`)."""

from __future__ import annotations

import pytest

from pillarbox.protocols.mqtt.outbound import Outbound
from pillarbox.protocols.mqtt.reasons import ReasonCode
from tests.hostile.mistakes import demand_one_report, fails_where
from tests.protocols.mqtt.conftest import Talk
from tests.protocols.mqtt.talker import DISCONNECT


def test_delivery_that_cannot_be_written(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    victim, other = (talk(name, clean=False, session_expiry_interval=100) for name in ("victim", "other"))
    for talker in (victim, other):
        talker.subscribe("t")
    fails_where(
        monkeypatch, Outbound, "_form", lambda outbound, *_: outbound._connection.state.client_id == "victim"
    )
    publisher = talk("publisher")
    publisher.publish("t", b"body", qos=1)
    ended = victim.hear()
    assert (ended.kind, ended.fields["reason"]) == (DISCONNECT, ReasonCode.ADMINISTRATIVE_ACTION)
    assert victim.is_closed()
    assert other.got() == ("t", b"body", 1)
    publisher.publish("t", b"next", qos=1)
    assert other.got() == ("t", b"next", 1)
    demand_one_report(caplog)
    again = talk("victim", clean=False, session_expiry_interval=100)
    assert [again.got(), again.got()] == [("t", b"body", 1), ("t", b"next", 1)]
