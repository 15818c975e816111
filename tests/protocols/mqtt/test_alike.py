"""Packets that are alike are taken many at a time, and mean the same as one at a time."""

from __future__ import annotations

import random

import pytest

from tests.protocols.mqtt import peer
from tests.protocols.mqtt.rig import Feed, Rig, byte_by_byte, connect, packets_of, whole

LISTENER = "listener"
ROUNDS = 30


def publish(chance: random.Random, version: int, packet_id: int) -> bytes:
    """One of few kinds, so that most have a neighbour that is alike in all but one thing."""
    qos = chance.choice((0, 0, 1, 1, 2))
    fields = peer.text(chance.choice(("a/b", "a/b", "a/c")))
    if qos:
        fields += packet_id.to_bytes(2, "big")
    if version == 5:
        # Rarely with properties: a payload format indicator.
        fields += b"\x02\x01\x01" if chance.random() < 0.1 else b"\0"
    return peer.packet(0x30 | qos << 1, fields + bytes((packet_id & 0xFF,)) * chance.choice((0, 1, 1, 1, 2)))


def heard(feed: Feed, version: int, said: list[bytes]) -> tuple[list[object], bytes, bool]:
    """What a subscriber gets, what the publisher is answered, and whether it was closed."""
    rig = Rig(feed)
    listener = rig.head.connect("127.0.0.1:5 -> 127.0.0.1:2")
    subscribe = b"\0\1" + (b"\0" if version == 5 else b"") + peer.text("a/#") + b"\2"
    listener.receive(connect(version, client_id=LISTENER) + peer.packet(0x82, subscribe))
    rig.domain.run()
    listener.take_output()
    rig.turn(connect(version))
    answers, got = b"", b""
    for data in said:
        answers += rig.turn(data)
        got += b"".join(map(bytes, listener.take_output()))
    return [*packets_of(got, version)], answers, rig.connection.want_close


@pytest.mark.row("R141")
@pytest.mark.parametrize("version", [4, 5])
def test_packets_mean_the_same_alone_and_among_others(version: int) -> None:
    """MQTT 5.0, 3.3: also where some are alike, one has no identifier, or the input ends within one."""
    chance = random.Random(141)
    for _ in range(ROUNDS):
        said = [
            b"".join([publish(chance, version, number) for number in range(first + 1, first + 40)])
            for first in (0, 100)
        ]
        if chance.random() < 0.3:
            # Nothing may come behind it.
            said[1] += peer.packet(0x32, peer.text("a/b") + b"\0\0" + b"\0" * (version == 5) + b"x")
        # Cut within a packet.
        said = [said[0][:-3], said[0][-3:] + said[1]]
        assert heard(whole, version, said) == heard(byte_by_byte, version, said)


@pytest.mark.row("R141")
@pytest.mark.parametrize("version", [4, 5])
def test_answers_mean_the_same_alone_and_among_others(version: int) -> None:
    """MQTT 5.0, 3.4: PUBACKs that follow one another, with strange ones among them."""

    def left(feed: Feed) -> tuple[int, int, bool]:
        rig = Rig(feed)
        subscribe = b"\0\1" + (b"\0" if version == 5 else b"") + peer.text("a") + b"\1"
        rig.turn(connect(version, clean=False) + peer.packet(0x82, subscribe))
        for number in range(20):
            rig.publish("a", bytes((number,)))
        identifiers = [packet.fields["packet_id"] for packet in packets_of(rig.turn(), version)]
        assert len(identifiers) == 20
        acks = [peer.packet(0x40, number.to_bytes(2, "big")) for number in identifiers]
        # Out of order, twice, and of no message.
        acks[3], acks[7] = acks[7], acks[3]
        said = b"".join((*acks[:10], acks[2], peer.packet(0x40, b"\x77\x77"), *acks[12:17]))
        rig.turn(said)
        (queue,) = [one for one in rig.domain.core.all_queues() if "me" in one.name]
        return queue.ready_count, queue.unacked_count, rig.connection.want_close

    assert left(whole) == left(byte_by_byte) == (0, 5, False)
