"""Fuzz target for whole connections: `check` says of any input whether the broker keeps its promises on it.

    python -m tests.protocols.amqp091.fuzz_connection [--seconds 60] [--runs N] [--corpus FOLDER]

An input is a list of records (see `Script`), so that what the fuzzer changes is mostly still made of frames:
right ones, wrong ones, octets that are no frames, cuts, ends of turns, alarms. The promises:

- nothing but a close comes of any input, never an exception;
- what is written is read by pamqp, and contents are whole;
- a connection holds no more than its limits allow, and when it is over nothing of it is left;
- the twin that reads slowly writes the same and ends in the same state, as long as all is in memory (what
  was let go to disk, and so when answers come, depends on what was read at once).

With atheris the run is guided by coverage; without it, the seeds are changed at random.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests import fuzzing

if __name__ == "__main__":
    fuzzing.watch("pillarbox.broker.core", "pillarbox.protocols.amqp091.connection")

from pamqp import frame as oracle_frame

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.channel import HEADS_MAX
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, Settings, State
from pillarbox.protocols.amqp091.publishing import FACTS_BYTES_MAX, FACTS_MAX, ROUTES_MAX

from . import twin
from .ingest_twin import TwinConnection
from .rig import Rig, frames, login_frames
from .streams import CONSUME, FILLED, PRELUDE

MESSAGE_SIZE_MAX = 20_000
SETTINGS = Settings(message_size_max=MESSAGE_SIZE_MAX)
INPUT_MAX = 4096
METHODS = tuple(m.METHODS.values())

# --- scripts: what the octets of an input mean --------------------------------------------------------

FRAME, METHOD, BODY, RAW, CUT, TURN, ALARM, BROKEN = range(8)
"""The lowest three bits of a record's first octet; the next two are the channel."""
KINDS = (1, 2, 3, 8, 0, 4, 9, 255)

START = PROTOCOL_HEADER + login_frames()
BEGUN = START + b"".join(PRELUDE)
BEGINNINGS = (b"", PROTOCOL_HEADER, START, BEGUN, BEGUN + FILLED + CONSUME)
"""What is sent before the first record."""
BUDGETS = (1 << 27, 1000, 0)


class Script:
    """What an input tells to do: octet 0 chooses the beginning and the memory budget, records follow."""

    def __init__(self, data: bytes) -> None:
        choice = data[0] if data else 0
        self.beginning = BEGINNINGS[choice % len(BEGINNINGS)]
        self.memory_budget = BUDGETS[choice // len(BEGINNINGS) % len(BUDGETS)]
        self._reader = fuzzing.Reader(data[1:INPUT_MAX])

    def steps(self) -> Iterator[bytes | tuple[int, int]]:
        """Input for the socket; or CUT, TURN or ALARM, with how many of the last octets come later."""
        yield self.beginning
        yield TURN, 0
        while self._reader:
            octet = self._reader.octet()
            op, channel = octet & 7, octet >> 3 & 3
            if op == CUT:
                yield op, self._reader.octet()
            elif op in (TURN, ALARM):
                yield op, channel
            else:
                yield self._bytes(op, channel)
        yield TURN, 0

    def _bytes(self, op: int, channel: int) -> bytes:
        reader = self._reader
        if op == METHOD:
            method = METHODS[reader.octet() % len(METHODS)]
            return wire.frame(wire.FRAME_METHOD, channel, method.id.to_bytes(4, "big") + reader.octets())
        if op == BODY:
            return wire.frame(wire.FRAME_BODY, channel, bytes(reader.octet() << 7))
        if op == RAW:
            return reader.octets()
        whole = wire.frame(KINDS[reader.octet() % len(KINDS)], channel, reader.octets())
        if op == BROKEN:
            place = reader.octet() % len(whole)
            return whole[:place] + bytes((reader.octet(),)) + whole[place + 1 :]
        return whole


def records(data: bytes) -> bytes:
    """Frames as the records that stand for them: how seeds are made of sessions."""
    out = bytearray()
    for kind, channel, payload in frames(data):
        place = (channel & 3) << 3
        if kind == wire.FRAME_METHOD and len(payload) < 260:
            number = METHODS.index(m.METHODS[int.from_bytes(payload[:4], "big")])
            out += bytes((METHOD | place, number, len(payload) - 4)) + payload[4:]
        elif len(payload) < 256:
            out += bytes((FRAME | place, KINDS.index(kind), len(payload))) + payload
        else:
            out += bytes((BODY | place, min(len(payload) >> 7, 255)))
    return bytes(out)


# --- promises -----------------------------------------------------------------------------------------


def check(data: bytes) -> None:
    """Raise whatever shows that the broker breaks a promise on this input."""
    script = Script(data)
    fast, slow = (
        Rig(make, settings=SETTINGS, memory_budget=script.memory_budget)
        for make in (Connection, TwinConnection)
    )
    alarm = False
    pending = b""
    given = b""
    sent = 0
    for step in script.steps():
        if isinstance(step, bytes):
            pending += step
            continue
        op, back = step
        now = len(pending) - min(back, len(pending))
        fast.connection.receive(memoryview(pending)[:now])
        sent += now
        given, pending = given + pending[:now], pending[now:]
        _check_held(fast.connection, sent)
        if op == CUT:
            continue
        slow.connection.receive(given)
        given = b""
        alarm ^= op == ALARM
        for rig in (fast, slow):
            rig.turn()
            rig.core.set_alarm("disk", alarm)
            rig.later(10)
            rig.turn()
    if script.memory_budget == BUDGETS[0]:
        assert fast.output == slow.output
        assert fast.state() == slow.state()
    check_output(fast.output)
    _check_end(fast)


def _check_held(connection: Connection, sent: int) -> None:
    """What a connection keeps of its input stays within its limits, whatever sizes were announced."""
    if connection.state is State.CLOSED:
        assert not connection._tail
        assert not connection.channels
        assert connection.session is None
        return
    held = len(connection._tail)
    waits = connection.waiting or connection.core.alarm is not None
    assert held <= (sent if waits else connection.frame_max + wire.FRAME_OVERHEAD), connection
    assert len(connection.channels) <= connection.channel_max
    for channel in connection.channels.values():
        content = channel._content
        if content is not None:
            assert len(content.body) <= min(content.size, MESSAGE_SIZE_MAX, sent)
        assert len(channel._heads) <= HEADS_MAX
    assert len(connection.routes) <= ROUTES_MAX
    assert len(connection._targets) <= ROUTES_MAX
    assert len(connection.facts) <= FACTS_MAX
    assert all(len(properties) <= FACTS_BYTES_MAX for properties in connection.facts)


def check_output(output: bytes) -> None:
    """Whole frames that pamqp reads, and contents that are complete before anything else is said."""
    if output.startswith(PROTOCOL_HEADER):
        assert output == PROTOCOL_HEADER
        return
    missing: dict[int, int | None] = {}
    for kind, channel, payload in frames(output):
        if kind == wire.FRAME_METHOD:
            assert channel not in missing, "a method in the middle of a content"
            method_id = int.from_bytes(payload[:4], "big")
            _read_method(channel, method_id, payload)
            if m.METHODS[method_id].content:
                missing[channel] = None
        elif kind == wire.FRAME_HEADER:
            assert missing.pop(channel) is None
            size = _read_header(channel, payload)
            if size:
                missing[channel] = size
        elif kind == wire.FRAME_BODY:
            left = missing.pop(channel)
            assert left is not None
            assert 0 < len(payload) <= left
            if left > len(payload):
                missing[channel] = left - len(payload)
        else:
            assert (kind, channel, payload) == (wire.FRAME_HEARTBEAT, 0, b"")
    assert not missing


def _read_method(channel: int, method_id: int, payload: bytes) -> None:
    method = m.METHODS[method_id]
    assert method.from_server
    assert (channel == 0) == (method_id >> 16 == 10)
    if method_id >> 16 == 30:
        return  # pamqp does not have the class access.
    size, found, _ = oracle_frame.unmarshal(wire.frame(wire.FRAME_METHOD, channel, payload))
    assert size == len(payload) + wire.FRAME_OVERHEAD
    assert found == channel


def _read_header(channel: int, payload: bytes) -> int:
    class_id, body_size, properties = wire.decode_header(payload)
    assert class_id == wire.CLASS_BASIC
    # Not pamqp: properties go out as they came, and it cannot read all that is allowed (see `oracle`).
    twin.decode_properties(properties)
    return body_size


def _check_end(rig: Rig) -> None:
    """When the socket is gone, nothing of the connection is left in the core."""
    rig.connection.closed("over")
    rig.core.set_alarm("disk", False)
    rig.turn()
    assert not rig.core.sessions
    for vhost in rig.core.vhosts.values():
        assert not vhost.reply_queues
        for queue in vhost.queues.values():
            assert queue.owner is None
            assert not queue.consumers
            assert queue.unacked_count == queue.unacked_bytes == 0
            assert not list(queue.outstanding())


# --- seeds --------------------------------------------------------------------------------------------


def seeds() -> Iterator[bytes]:
    """Valid inputs: the beginnings, each method on a channel that is open, and sessions of several turns."""
    for choice in range(len(BEGINNINGS) * len(BUDGETS)):
        yield bytes((choice,))
    login = records(login_frames())
    yield b"\x01" + login
    yield b"\x01" + login + bytes((CUT, 20, CUT, 3))
    publish = m.method_frame(1, m.BASIC_PUBLISH, 0, "", "a", False, False)
    contents = {
        "plain": wire.content_frames(1, b"\x10\x00\x02", b"hello", 131_072),
        "pieces": wire.content_frames(1, b"\x00\x00", b"hello" * 9, 28),
        "large": wire.content_frames(1, b"\x00\x00", bytes(32_640), 131_072),
        "headers": wire.content_frames(
            1,
            wire.encode_properties(
                wire.Properties(headers={"CC": ["b"], "k": [1, {"x": None}]}, expiration="5", user_id="guest")
            ),
            b"hello",
            131_072,
        ),
    }
    for content in contents.values():
        yield b"\x03" + records((publish + content) * 2) + bytes((TURN,))
    get = m.method_frame(1, m.BASIC_GET, 0, "b", False)
    settle = [m.method_frame(1, m.BASIC_ACK, tag, False) for tag in (1, 2, 3)]
    settle += [
        m.method_frame(1, m.BASIC_NACK, 4, True, True),
        m.method_frame(2, m.BASIC_REJECT, 1, False),
        m.method_frame(1, m.BASIC_RECOVER, True),
    ]
    for choice in (4, 9, 14):
        yield (
            bytes((choice,))
            + records(b"".join(settle) + get * 3)
            + bytes((TURN, ALARM))
            + records(publish + contents["plain"])
            + bytes((ALARM, CUT, 2, TURN))
        )
    for closing in (
        m.method_frame(1, m.BASIC_ACK, 99, False) + m.method_frame(1, m.CHANNEL_CLOSE_OK),
        m.method_frame(1, m.CHANNEL_CLOSE, 200, "", 0, 0) + m.method_frame(1, m.CHANNEL_OPEN, ""),
        m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0),
        wire.HEARTBEAT_FRAME,
    ):
        yield b"\x04" + records(closing + publish + contents["plain"])
    yield from _method_seeds()


def _method_seeds() -> Iterator[bytes]:
    values = {
        "octet": 1,
        "short": 0,
        "long": 0,
        "longlong": 1,
        "bit": False,
        "shortstr": "a",
        "longstr": b"x",
        "table": {"x-max-length": 1, "alternate-exchange": "x"},
    }
    for method in METHODS:
        channel = 0 if method.id >> 16 == 10 else 1
        data = m.method_frame(channel, method.id, *(values[type_] for _, type_ in method.arguments))
        yield b"\x04" + records(data) + bytes((TURN,))


if __name__ == "__main__":
    fuzzing.main("whole AMQP 0-9-1 connections", check, seeds(), size_max=INPUT_MAX // 2)
