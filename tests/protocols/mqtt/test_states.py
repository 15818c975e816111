"""Every state of a session's exchanges against everything a client may send then: one declared table.

A row says what comes of one packet in one state, in each version: the names of the packets that answer it,
with the reason if it is not 0, and `cut` when the socket is closed; `-` when nothing is said. What is not in
a state's row has what stands in `CONNECTED`. Never does an exception leave the connection.

Source: MQTT 5.0, 2.1.3 (flags), 3.1.0 (CONNECT first and once), 4.3 (exchanges), 3.14.4 (nothing after
DISCONNECT), 4.13 (errors); MQTT 3.1.1, 3.1.0, 4.3, 4.8 for what closes the connection without a word.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.protocols.mqtt.packets import (
    Answer,
    Auth,
    Disconnect,
    Packet,
    PingRequest,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.rig import Rig, connect, packets_of

NAMES = {2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP"}
NAMES |= {9: "SUBACK", 11: "UNSUBACK", 13: "PINGRESP", 14: "DISCONNECT"}

IN, OUT = 7, 1
"""Identifiers of the message that comes, and of the one that goes; 9 is of none."""


def publish(qos: int, packet_id: int = 0, **said: bool) -> Publish:
    return Publish(topic="t", payload=b"x", qos=qos, retain=False, packet_id=packet_id, properties={}, **said)


def inputs(version: int) -> dict[str, bytes]:
    """Everything that is sent in every state, by name."""
    said: dict[str, Packet] = {
        "PUBLISH 0": publish(0),
        "PUBLISH 1": publish(1, 9),
        "PUBLISH 2": publish(2, 9),
        "PUBLISH 2 again": publish(2, IN, duplicate=True),
        "PUBACK": Answer(4, OUT),
        "PUBREC": Answer(5, OUT),
        "PUBREL": Answer(6, IN),
        "PUBCOMP": Answer(7, OUT),
        "PUBACK 9": Answer(4, 9),
        "PUBREC 9": Answer(5, 9),
        "PUBREL 9": Answer(6, 9),
        "PUBCOMP 9": Answer(7, 9),
        "SUBSCRIBE": Subscribe(9, [Subscription("s", 1)], {}),
        "UNSUBSCRIBE": Unsubscribe(9, ["s"], {}),
        "PINGREQ": PingRequest(),
        "DISCONNECT": Disconnect(0, {}),
        "AUTH": Auth(0x18, {}),
    }
    more = b"\0" if version == 5 else b""
    return (
        {"CONNECT": connect(version)}
        | {name: peer.encode(one, version) for name, one in said.items()}
        | {
            "CONNACK": peer.packet(0x20, b"\0\0" + more),
            "SUBACK": peer.packet(0x90, b"\0\x09" + more + b"\0"),
            "UNSUBACK": peer.packet(0xB0, b"\0\x09" + more),
            "PINGRESP": peer.packet(0xD0, b""),
            "reserved": peer.packet(0x00, b""),
            "SUBSCRIBE with other flags": peer.packet(0x80, b"\0\x09" + more + peer.text("s") + b"\0"),
            "PUBREL with other flags": peer.packet(0x60, b"\0\x09"),
            "PUBLISH of quality 3": peer.packet(0x36, peer.text("t") + b"\0\x09" + more),
            "PUBLISH without a number": peer.packet(0x32, peer.text("t") + b"\0\0" + more),
            "SUBSCRIBE to nothing": peer.packet(0x82, b"\0\x09" + more),
        }
    )


def outcome(rig: Rig, data: bytes) -> str:
    """What comes of it, in the words of the table."""
    words = []
    for received in packets_of(rig.turn(data), rig.version):
        reason = received.fields.get("reason", 0)
        reasons = received.fields.get("reasons", [])
        shown = [f"{code:#x}" for code in [reason, *reasons] if code]
        words.append(" ".join((NAMES[received.kind], *shown)))
    if rig.connection.want_close:
        words.append("cut")
    return ", ".join(words) or "-"


# --- states -------------------------------------------------------------------------------------------


def nobody(version: int) -> Rig:
    """A socket, and nothing was said."""
    rig = Rig()
    rig.version = version
    return rig


def connected(version: int) -> Rig:
    rig = nobody(version)
    assert outcome(rig, connect(version, clean=False)) == "CONNACK"
    return rig


def coming(version: int) -> Rig:
    """A message of QoS 2 has come, and may come again."""
    rig = connected(version)
    assert outcome(rig, peer.encode(publish(2, IN), version)) == "PUBREC"
    return rig


def going(version: int, qos: int) -> Rig:
    """A message is under way to the client."""
    rig = connected(version)
    subscribe = Subscribe(5, [Subscription("out", qos)], {})
    assert outcome(rig, peer.encode(subscribe, version)) == f"SUBACK {qos:#x}"
    rig.publish("out", qos=qos)
    (sent,) = packets_of(rig.turn(), version)
    assert (sent.fields["packet_id"], sent.flags >> 1 & 3) == (OUT, qos)
    return rig


def completing(version: int) -> Rig:
    """The client has a message of QoS 2, and may not have forgotten its identifier."""
    rig = going(version, 2)
    assert outcome(rig, peer.encode(Answer(5, OUT), version)) == "PUBREL"
    return rig


def come_back(version: int) -> Rig:
    """The same, on another connection."""
    rig = completing(version)
    answers = packets_of(rig.come_again(version, clean=False), version)
    assert [NAMES[one.kind] for one in answers] == ["CONNACK", "PUBREL"]
    return rig


def ended(version: int) -> Rig:
    rig = connected(version)
    assert outcome(rig, peer.encode(Disconnect(0, {}), version)) == "cut"
    return rig


STATES: dict[str, Callable[[int], Rig]] = {
    "nobody": nobody,
    "connected": connected,
    "coming": coming,
    "going 1": lambda version: going(version, 1),
    "going 2": lambda version: going(version, 2),
    "completing": completing,
    "come back": come_back,
    "ended": ended,
}

CUT = ("cut", "cut")
MALFORMED = ("cut", "DISCONNECT 0x81, cut")
PROTOCOL_ERROR = ("cut", "DISCONNECT 0x82, cut")
NOTHING = ("-", "-")
UNKNOWN = {"PUBREC": ("PUBREL", "PUBREL 0x92"), "PUBREL": ("PUBCOMP", "PUBCOMP 0x92")}
"""Before version 5 nobody can be told that an identifier is of no exchange."""

CONNECTED: dict[str, tuple[str, str]] = {
    "CONNECT": PROTOCOL_ERROR,
    "PUBLISH 0": NOTHING,
    "PUBLISH 1": ("PUBACK", "PUBACK"),
    "PUBLISH 2": ("PUBREC", "PUBREC"),
    "PUBLISH 2 again": ("PUBREC", "PUBREC"),
    "PUBACK": NOTHING,
    "PUBREC": UNKNOWN["PUBREC"],
    "PUBREL": UNKNOWN["PUBREL"],
    "PUBCOMP": NOTHING,
    "PUBACK 9": NOTHING,
    "PUBREC 9": UNKNOWN["PUBREC"],
    "PUBREL 9": UNKNOWN["PUBREL"],
    "PUBCOMP 9": NOTHING,
    "SUBSCRIBE": ("SUBACK 0x1", "SUBACK 0x1"),
    "UNSUBSCRIBE": ("UNSUBACK", "UNSUBACK 0x11"),
    "PINGREQ": ("PINGRESP", "PINGRESP"),
    "DISCONNECT": CUT,
    "AUTH": PROTOCOL_ERROR,
    "CONNACK": MALFORMED,
    "SUBACK": MALFORMED,
    "UNSUBACK": MALFORMED,
    "PINGRESP": MALFORMED,
    "reserved": MALFORMED,
    "SUBSCRIBE with other flags": MALFORMED,
    "PUBREL with other flags": MALFORMED,
    "PUBLISH of quality 3": MALFORMED,
    "PUBLISH without a number": PROTOCOL_ERROR,
    "SUBSCRIBE to nothing": PROTOCOL_ERROR,
}
"""Versions 3.1.1 and 5."""

ALL_CUT = dict.fromkeys(CONNECTED, CUT)
OTHERS: dict[str, dict[str, tuple[str, str]]] = {
    "nobody": ALL_CUT | {"CONNECT": ("CONNACK", "CONNACK")},
    "connected": {},
    "coming": {"PUBREL": ("PUBCOMP", "PUBCOMP")},
    "going 1": {},
    "going 2": {"PUBREC": ("PUBREL", "PUBREL")},
    "completing": {"PUBREC": ("PUBREL", "PUBREL")},
    "come back": {"PUBREC": ("PUBREL", "PUBREL")},
    "ended": ALL_CUT,
}

LEFT: dict[str, tuple[str, dict[str, str]]] = {
    "connected": ("", {"PUBLISH 2": "in 9", "PUBLISH 2 again": "in 7"}),
    "coming": ("in 7", {"PUBREL": "", "PUBLISH 2": "in 7 9"}),
    "going 1": (
        "unanswered",
        {"PUBACK": "", "PUBLISH 2": "in 9 unanswered", "PUBLISH 2 again": "in 7 unanswered"},
    ),
    "going 2": (
        "unanswered",
        {"PUBREC": "out 1", "PUBLISH 2": "in 9 unanswered", "PUBLISH 2 again": "in 7 unanswered"},
    ),
    "completing": ("out 1", {"PUBCOMP": "", "PUBLISH 2": "in 9 out 1", "PUBLISH 2 again": "in 7 out 1"}),
    "come back": ("out 1", {"PUBCOMP": "", "PUBLISH 2": "in 9 out 1", "PUBLISH 2 again": "in 7 out 1"}),
}
"""What is under way in each state, and after those packets that change it. The PUBACK of a message of QoS 2
and the PUBREC of one of QoS 1 are answers to something else."""
EXCHANGES = [name for name, said in CONNECTED.items() if name.startswith("PUB") and "cut" not in said]


def left(rig: Rig) -> str:
    """What is under way with the client."""
    (session,) = [one for one in rig.head.sessions.by_client.values() if one.client_id == "me"]
    words = ["in", *map(str, sorted(session.received))] if session.received else []
    words += ["out", *map(str, session.released)] if session.released else []
    queue = rig.domain.vhost.queues.get(session.queue_name)
    words += ["unanswered"] if queue is not None and queue.unacked_count else []
    return " ".join(words)


@pytest.mark.row("A64", "R141")
@pytest.mark.parametrize("name", list(inputs(5)))
@pytest.mark.parametrize("state", list(STATES))
def test_what_comes_of_each_packet_in_each_state(state: str, name: str) -> None:
    expected = (CONNECTED | OTHERS[state])[name]
    found = []
    for version in (4, 5):
        rig = STATES[state](version)
        found.append(outcome(rig, inputs(version)[name]))
    assert tuple(found) == expected


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("state", list(LEFT))
def test_what_is_under_way_after_each_packet(state: str, name: str, version: int) -> None:
    """Also that nothing else is: an answer to no message, or the wrong one, changes nothing."""
    before, after = LEFT[state]
    rig = STATES[state](version)
    assert left(rig) == before
    rig.turn(inputs(version)[name])
    assert left(rig) == after.get(name, before)


def test_the_table_has_everything_that_is_sent() -> None:
    assert set(inputs(4)) == set(inputs(5)) == set(CONNECTED)
    assert set(OTHERS) == set(STATES)
