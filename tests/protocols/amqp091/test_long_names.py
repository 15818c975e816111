"""Names that are too long for a short string: dead-letter rules have them, and so have other protocols."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.publishing import ORIGIN
from tests.protocols.amqp091.rig import Rig, sent_methods

KEY = "k" * 300


def publish(queue: str) -> bytes:
    method = m.method_frame(1, m.BASIC_PUBLISH, 0, "", queue, False, False)
    return method + wire.content_frames(1, wire.encode_properties(wire.Properties()), b"body", 131_072)


@pytest.fixture
def rig() -> Rig:
    """A queue whose messages die at once, with a key that no AMQP client could have published with."""
    rig = Rig().log_in()
    rig.core.dead_letters.writers[ORIGIN] = dead_letter
    arguments: dict[str, Any] = {
        "x-dead-letter-exchange": "amq.fanout",
        "x-dead-letter-routing-key": KEY,
        "x-message-ttl": 0,
    }
    rig.turn(
        m.method_frame(1, m.CHANNEL_OPEN, "")
        + m.method_frame(1, m.QUEUE_DECLARE, 0, "dead", False, False, False, False, False, {})
        + m.method_frame(1, m.QUEUE_BIND, 0, "dead", "amq.fanout", "", False, {})
        + m.method_frame(1, m.QUEUE_DECLARE, 0, "q", False, False, False, False, False, arguments)
    )
    return rig


def told(output: bytes, name: str) -> list[tuple[Any, ...]]:
    return [arguments for _, method, arguments in sent_methods(output) if method == name]


@pytest.mark.row("R48", "R63")
def test_consumer_is_told_the_beginning(rig: Rig) -> None:
    rig.turn(m.method_frame(1, m.BASIC_CONSUME, 0, "dead", "c", False, True, False, False, {}))
    assert told(rig.turn(publish("q")), "basic.deliver") == [("c", 1, False, "amq.fanout", KEY[:255])]


@pytest.mark.row("R48", "R67")
def test_who_gets_is_told_the_beginning(rig: Rig) -> None:
    rig.turn(publish("q"))
    got = told(rig.turn(m.method_frame(1, m.BASIC_GET, 0, "dead", True)), "basic.get-ok")
    assert got == [(1, False, "amq.fanout", KEY[:255], 0)]


def test_no_character_is_cut_in_two() -> None:
    assert wire.shortened("ä" * 128) == "ä" * 127
    assert wire.shortened("a" + "ä" * 127) == "a" + "ä" * 127
