"""Fuzz target for whole MQTT connections: `check` says of any input whether the broker keeps its promises.

    python -m tests.protocols.mqtt.fuzz_connection [--seconds 60] [--runs N] [--corpus FOLDER]

An input is a list of records (see `Script`), so that what the fuzzer changes is mostly still made of packets:
right ones, wrong ones, bytes that are none, cuts, ends of turns, messages of others, a lost connection and a
second one. The promises:

- nothing but an end comes of any input, never an exception;
- what is written is whole packets that a server may send, CONNACK first, and nothing after DISCONNECT;
- a connection holds no more input than a packet may have, and when it is over nothing of it is left;
- the twin that reads byte by byte writes the same and ends in the same state.

With atheris the run is guided by coverage; without it, the seeds are changed at random.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests import fuzzing

if __name__ == "__main__":
    fuzzing.watch("pillarbox.protocols.mqtt.head")

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
    Will,
)
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.rig import PACKET_BYTES_MAX, Rig, byte_by_byte, connect, packets_of
from tests.protocols.mqtt.talker import CONNACK, DISCONNECT, PUBLISH

INPUT_MAX = 2048
VERSIONS = (3, 4, 5, 5)
SENT_BY_SERVERS = frozenset((2, 3, 4, 5, 6, 7, 9, 11, 13, 14))

PACKET, RAW, CUT, TURN, OTHER, AGAIN, ALARM, LATER = range(8)
"""The lowest three bits of a record's first byte; what the others mean depends on it."""


def filled(version: int) -> bytes:
    """A session that is kept, with subscriptions, and messages under way in both directions."""
    said: list[Packet] = [
        Subscribe(1, [Subscription("a/+", 2), Subscription("#", 1), Subscription("$share/g/b", 2)], {}),
        Publish(topic="a/b", payload=b"one", qos=2, retain=True, packet_id=7, properties={}),
        Publish(topic="a/c", payload=b"two", qos=1, retain=True, packet_id=8, properties={}),
    ]
    return connect(version, clean=False) + b"".join(peer.encode(one, version) for one in said)


class Script:
    """What an input tells to do: byte 0 chooses the version and the beginning, records follow."""

    def __init__(self, data: bytes) -> None:
        choice = data[0] if data else 0
        self.version = VERSIONS[choice & 3]
        self.beginning = (
            b"",
            connect(self.version),
            connect(self.version, clean=False, keep_alive_s=60),
            filled(self.version),
        )[choice >> 2 & 3]
        self._reader = fuzzing.Reader(data[1:INPUT_MAX])

    def steps(self) -> Iterator[bytes | tuple[int, int]]:
        """Input for the socket; or what else happens, with the rest of the record's first byte."""
        reader = self._reader
        yield self.beginning
        yield TURN, 0
        while reader:
            byte = reader.octet()
            op, more = byte & 7, byte >> 3
            if op == PACKET:
                first = reader.octet()
                yield peer.packet(first, reader.octets())
            elif op == RAW:
                yield reader.octets()
            else:
                yield op, more
        yield TURN, 0


def check(data: bytes) -> None:
    """Raise whatever shows that the broker breaks a promise on this input."""
    fast, slow = Rig(), Rig(byte_by_byte)
    script = Script(data)
    conversation = Conversation(script.version)
    pending = b""
    alarm = False
    for step in script.steps():
        if isinstance(step, bytes):
            pending += step
            continue
        op, more = step
        now = len(pending) - (min(more, len(pending)) if op == CUT else 0)
        alarm ^= op == ALARM
        outputs = [_act(rig, pending[:now], op, more, script.version, alarm) for rig in (fast, slow)]
        pending = b"" if op == AGAIN else pending[now:]
        conversation = Conversation(script.version) if op == AGAIN else conversation
        assert outputs[0] == outputs[1]
        assert fast.state() == slow.state()
        for part in outputs[0]:
            conversation.hear(part)
        held = len(fast.connection._input)
        assert held <= PACKET_BYTES_MAX + 5 or fast.connection.waiting
    _check_end(fast)


def _act(rig: Rig, data: bytes, op: int, more: int, version: int, alarm: bool) -> list[bytes]:
    outputs = [rig.turn(data)]
    if op == OTHER:
        rig.publish(("a/b", "b", "a")[more % 3], qos=more % 2, retain=bool(more & 4))
        outputs.append(rig.turn())
    elif op == AGAIN:
        outputs = [rig.come_again(version, clean=bool(more & 1), lost=bool(more & 2))]
    elif op == LATER:
        rig.advance(1000 << (more % 8))
        outputs.append(rig.turn())
    elif op == ALARM:
        rig.domain.core.set_alarm("disk", alarm)
        outputs.append(rig.turn())
    return outputs


class Conversation:
    """What the broker says on one connection."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._began = self._ended = False

    def hear(self, output: bytes) -> None:
        # A client may say another version than the script; what is written then depends on it.
        if output and not self._began and output[:1] == b"\x20":
            self.version = self.version if self._fits(output, self.version) else 9 - self.version
        for received in packets_of(output, self.version):
            assert received.kind in SENT_BY_SERVERS
            assert not self._ended, "something after DISCONNECT"
            assert self._began or received.kind in (CONNACK, DISCONNECT)
            self._began = True
            self._ended = received.kind == DISCONNECT
            if received.kind == PUBLISH:
                assert received.fields["topic"]
                assert received.flags & 6 != 6
                assert received.fields.get("packet_id", 1)

    @staticmethod
    def _fits(output: bytes, version: int) -> bool:
        try:
            peer.decode(output, version)
        except (AssertionError, IndexError):
            return False
        return True


def _check_end(rig: Rig) -> None:
    """When the socket is gone, nothing of the connection is left in the core."""
    rig.connection.closed("over")
    rig.domain.core.set_alarm("disk", False)
    rig.domain.run()
    assert not rig.domain.core.sessions
    assert rig.head.sessions.connected == 0
    kept = {one.queue_name for one in rig.head.sessions.by_client.values()}
    for queue in rig.domain.core.all_queues():
        assert queue.name in kept or queue.name.startswith("mqtt-shared-")
        assert not queue.consumers
        assert queue.unacked_count == 0
    for session in rig.head.sessions.by_client.values():
        assert session.is_kept
        assert session.connection is None


# --- seeds --------------------------------------------------------------------------------------------


def said(version: int) -> list[Packet]:
    """Every packet of a client, right and nearly right."""
    five = version == 5
    more = {"user_property": [("a", "b")], "content_type": "x"} if five else {}
    found: list[Packet] = [
        Publish(topic="a/b", payload=b"x", qos=0, retain=False, packet_id=0, properties=more),
        Publish(topic="a/b", payload=b"x", qos=1, retain=True, packet_id=3, properties={}),
        Publish(topic="a/b", payload=b"", qos=0, retain=True, packet_id=0, properties={}),
        Publish(topic="a/b", payload=b"x", qos=2, retain=False, packet_id=4, properties={}),
        Publish(topic="$SYS/x", payload=b"x", qos=1, retain=False, packet_id=5, properties={}),
        *[Answer(kind, number) for kind in (4, 5, 6, 7) for number in (1, 2, 4, 7)],
        Subscribe(9, [Subscription("a/#", 2), Subscription("$share/g/a", 1), Subscription("+/x#", 0)], {}),
        Subscribe(10, [Subscription("$SYS/#", 0)], {}),
        Unsubscribe(11, ["a/+", "#", "$share/g/b", "nothing"], {}),
        PingRequest(),
        Disconnect(0, {}),
    ]
    if five:
        aliased = {"topic_alias": 2, "message_expiry_interval": 3}
        found += [
            Publish(topic="a", payload=b"x", qos=1, retain=False, packet_id=6, properties=aliased),
            Publish(topic="", payload=b"y", qos=1, retain=False, packet_id=7, properties={"topic_alias": 2}),
            Disconnect(4, {"session_expiry_interval": 5}),
            Auth(0x18, {"authentication_method": "x"}),
            Answer(5, 1, 0x80),
        ]
    return found


def record(said: bytes) -> bytes:
    """A packet as the record that stands for it, or raw bytes if it is too long for that."""
    cursor = peer.Cursor(said[1:])
    size = cursor.integer()
    if size > 255 or len(cursor.data) != size:
        return bytes((RAW, min(len(said), 255))) + said[:255]
    return bytes((PACKET, said[0], size)) + cursor.data


def seeds() -> Iterator[bytes]:
    """Valid inputs: each packet after each beginning, and conversations with all that happens beside."""
    will = Will(topic="a/b", payload=b"dead", qos=1, retain=True, properties={})
    for choice, version in enumerate(VERSIONS[:3]):
        everything = [record(peer.encode(one, version)) for one in said(version)]
        for beginning in range(4):
            first = bytes((choice | beginning << 2,))
            for one in everything:
                yield first + one + bytes((TURN,))
            yield first + bytes(
                (OTHER | 1 << 3, OTHER | 2 << 3, AGAIN | 2 << 3, OTHER | 5 << 3, LATER | 5 << 3)
            )
            yield first + b"".join(one + bytes((OTHER | 1 << 3,)) for one in everything[:-2])
            yield first + bytes((ALARM,)) + b"".join(everything[:4]) + bytes((CUT | 3 << 3, ALARM, AGAIN))
        yield bytes((choice,)) + record(connect(version, will=will)) + bytes((AGAIN | 2 << 3, TURN))


if __name__ == "__main__":
    fuzzing.main("MQTT connections", check, seeds(), size_max=INPUT_MAX)
