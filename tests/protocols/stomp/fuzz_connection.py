"""Fuzz target for whole STOMP connections: `check` says of any input whether the broker keeps its promises.

    python -m tests.protocols.stomp.fuzz_connection [--seconds 60] [--runs N] [--corpus FOLDER]

An input is a list of records (see `Script`), so that what the fuzzer changes is mostly still made of frames:
right ones, wrong ones, bytes that are none, frames that are alike, answers that count on, cuts, ends of
turns, what others do, a lost connection and the next one. The broker has the dialect of RabbitMQ, ActiveMQ or
Artemis, and rules and limits of an operator. The promises:

- nothing but an end comes of any input, never an exception;
- what is written is whole frames that a server may send, which any client can read, and nothing follows an
  end;
- a connection holds no more input than a frame may have, and when it is over nothing of it is left;
- the twin that reads in small pieces and takes no quick way answers the same; as long as all is in memory and
  no queue has a limit, it delivers the same and ends in the same state (when what was let go to disk comes,
  and what is delivered to make room, depends on what was read at once).

With atheris the run is guided by coverage; without it, the seeds are changed at random.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tests import fuzzing

if __name__ == "__main__":
    fuzzing.watch(
        "pillarbox.broker.core",
        "pillarbox.broker.selectors",
        "pillarbox.protocols.stomp.head",
        "pillarbox.protocols.stomp.intercepting",
    )

from pillarbox.broker.auth import Permission
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.protocols.amqp091 import wire as amqp
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.protocols.stomp.errors import FATAL
from pillarbox.protocols.stomp.wire import HEAD_BYTES_MAX, STRANGER_BYTES_MAX, V10, V11, V12
from tests.protocols.stomp.rig import Rig
from tests.protocols.stomp.words import COMMANDS, PAIRS

INPUT_MAX = 2048
BODY_BYTES_MAX = 20_000
VERSIONS = (V12, V12, V11, V10)
BUDGETS = (1 << 27, 1000)
PIECES = (64, 17, 4, 1)
"""How much the twin reads at a time."""

LIMITED: dict[str, Any] = {
    "profile": "activemq:classic",
    "stomp_destination_limit": 400,
    "stomp_pending_message_limit": 1,
    "stomp_slow_consumer": "abort",
}
DIALECTS: tuple[dict[str, Any], ...] = (
    {},
    {"profile": "activemq:classic"},
    {"profile": "activemq:artemis"},
    LIMITED,
    LIMITED | {"stomp_send_fail_if_no_space": True},
    {
        "profile": "activemq:classic",
        "stomp_composite_destinations": (
            "/queue/a += /queue/s, /topic/a.b [colour = 'blue']",
            "/topic/VirtualTopic.v = /queue/a",
        ),
        "stomp_topics_keep": ("/topic/a.> = last",),
        "stomp_mirrored_queues": "VirtualTopic.Mirror.",
        "stomp_virtual_topics_select": True,
    },
)

# --- scripts: what the bytes of an input mean -----------------------------------------------------------

FRAME, ALIKE, ANSWER, RAW, CUT, TURN, EVENT, AGAIN = range(8)
"""The lowest three bits of a record's first byte; what the others mean depends on it."""
HEADERS_MASK = 7
IDENTITIES = ("1", "2")


def frame(command: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    lines = "".join(f"{name}:{value}\n" for name, value in headers)
    size = f"content-length:{len(body)}\n" if 0 in body else ""
    return f"{command}\n{lines}{size}\n".encode() + body + b"\0"


def connect(version: str) -> bytes:
    return frame("CONNECT", [("accept-version", version), ("client-id", "c"), ("heart-beat", "0,9000")])


FILLED = b"".join(
    [
        frame("SUBSCRIBE", [("id", "1"), ("destination", "/queue/a"), ("ack", "client-individual")]),
        frame("SUBSCRIBE", [("id", "2"), ("destination", "/topic/a.b"), ("ack", "client")]),
        frame("BEGIN", [("transaction", "t")]),
        *[frame("SEND", [("destination", where)], b"x") for where in ("/queue/a", "/topic/a.b") * 3],
    ]
)


class Script:
    """What an input tells to do: two bytes choose dialect and beginning, records follow."""

    def __init__(self, data: bytes) -> None:
        self._reader = fuzzing.Reader(data[:INPUT_MAX])
        choice = self._reader.octet()
        self.version = VERSIONS[choice & 3]
        said = connect(self.version)
        self.beginning = (b"", said, said + FILLED, said + FILLED)[choice >> 2 & 3]
        self.memory_budget = BUDGETS[choice >> 4 & 1]
        self.piece_bytes = PIECES[choice >> 5 & 3]
        self.dialect = DIALECTS[self._reader.octet() % len(DIALECTS)]
        self._last = frame("SEND", [("destination", "/queue/a"), ("receipt", "r#")])
        self._count = 0

    def steps(self, session: Callable[[], str]) -> Iterator[bytes | tuple[int, int]]:
        """Input for the socket; or what else happens, with the rest of the record's first byte.

        `session` tells by which name the broker knows the client at the moment.
        """
        reader = self._reader
        yield self.beginning
        yield TURN, 0
        while reader:
            byte = reader.octet()
            op, more = byte & 7, byte >> 3
            if op == FRAME:
                self._last = self._frame(more)
                yield self._numbered()
            elif op == ALIKE:
                yield b"".join([self._numbered() for _ in range(more + 1)])
            elif op == ANSWER:
                yield self._answers(more, session())
            elif op == RAW:
                yield reader.octets()
            else:
                yield op, more
        yield TURN, 0

    def _frame(self, command: int) -> bytes:
        reader = self._reader
        headers = [PAIRS[reader.octet() % len(PAIRS)] for _ in range(reader.octet() & HEADERS_MASK)]
        return frame(COMMANDS[command % len(COMMANDS)], headers, reader.octets())

    def _numbered(self) -> bytes:
        self._count += 1
        return self._last.replace(b"#", b"%d" % self._count, 1)

    def _answers(self, more: int, session: str) -> bytes:
        """Answers to deliveries, each to the next one."""
        first = self._reader.octet()
        identity = IDENTITIES[more >> 3 & 1]
        name = "id" if self.version == V12 else "message-id"
        named = [("subscription", identity)] if more & 16 else []
        return b"".join(
            [
                frame("NACK" if more & 1 else "ACK", [*named, (name, f"T_{identity}@@{session}@@{number}")])
                for number in range(first, first + (more >> 1 & 3) + 1)
            ]
        )


# --- what else happens ------------------------------------------------------------------------------------


def _sent(where: str, *headers: tuple[str, str], body: bytes = b"x") -> Callable[[Rig], None]:
    said = frame("SEND", [("destination", where), *headers], body)
    return lambda rig: rig.another(said)


def _odd(rig: Rig) -> None:
    """A message of AMQP that says what STOMP cannot."""
    headers = {
        "n": None,
        "l": [1],
        "t": {},
        "b": b"\xff",
        "z": "a\0b",
        "a:b\n": "\r\n\\",
        "": "e",
        "f": 1.5,
        "destination": "no",
        "content-length": "9",
    }
    properties = amqp.encode_properties(
        amqp.Properties(headers=headers, correlation_id="\0", reply_to="r", delivery_mode=2, timestamp=7)
    )
    queue = rig.domain.vhost.queues.get("a")
    if queue is not None and not queue.in_log:
        address = Address(ORIGIN, "amq.direct", "k\0\n")
        now_ms = rig.domain.now_ms
        rig.domain.publish([queue], [Message(address, properties, b"odd\0", now_ms, NO_EXPIRATION, True, 0)])


def _deleted(rig: Rig) -> None:
    if "a" in rig.domain.vhost.queues:
        session = rig.domain.session()
        session.delete_queue("a", if_unused=False, if_empty=False)
        session.close()


def _alarm(rig: Rig) -> None:
    rig.core.set_alarm("disk", rig.core.alarm is None)


def _permission(rig: Rig) -> None:
    """The client may read less than before, or as much again."""
    now = rig.core.users.permissions["guest", "/"]
    rig.core.set_permission(Permission("guest", "/", ".*", ".*", "^a" if now.read == ".*" else ".*"))


EVENTS: tuple[Callable[[Rig], None], ...] = (
    _sent("/queue/a"),
    _sent("/topic/a.b", ("colour", "blue"), ("priority", "7"), body=b"\0"),
    _sent("/queue/a", ("colour", "blue"), ("persistent", "true"), ("expiration", "1000")),
    lambda rig: rig.another(
        frame("SUBSCRIBE", [("id", "9"), ("destination", "/queue/a"), ("ack", "client")])
    ),
    _odd,
    _deleted,
    _alarm,
    lambda rig: rig.connection.pause(),
    lambda rig: rig.connection.unpause(),
    lambda rig: rig.advance(20),
    lambda rig: rig.advance(1000),
    lambda rig: rig.advance(100_000),
    _permission,
    lambda rig: rig.connection.shut_down("enough"),
)


# --- promises ---------------------------------------------------------------------------------------------


def check(data: bytes) -> None:
    """Raise whatever shows that the broker breaks a promise on this input."""
    script = Script(data)
    options = {"message_size_max": BODY_BYTES_MAX, **script.dialect}
    fast = Rig(options, memory_budget=script.memory_budget)
    rigs = (
        [fast, Rig(options, piece_bytes=script.piece_bytes)] if script.memory_budget == BUDGETS[0] else [fast]
    )
    conversation = Conversation()
    pending = b""
    for step in script.steps(lambda: fast.connection.session_name):
        if isinstance(step, bytes):
            pending += step
            continue
        op, more = step
        now = len(pending) - (min(more, len(pending)) if op == CUT else 0)
        output, *others = [_act(rig, pending[:now], op, more) for rig in rigs]
        pending = b"" if op == AGAIN else pending[now:]
        for rig, other in zip(rigs[1:], others, strict=True):
            assert _answers(output) == _answers(other)
            if not fast.settings.policies.limit:
                assert _deliveries(output) == _deliveries(other)
                assert fast.state() == rig.state()
        conversation.hear(output[0])
        if op == AGAIN:
            conversation = Conversation()
            pending = script.beginning if more & 1 else connect(script.version)
        conversation.hear(output[1])
        connection = fast.connection
        held = connection._scanner.waiting_bytes
        assert held <= HEAD_BYTES_MAX + max(BODY_BYTES_MAX, STRANGER_BYTES_MAX) or connection.waiting
    _check_end(fast)


def _act(rig: Rig, data: bytes, op: int, more: int) -> tuple[bytes, bytes]:
    """What is written because of the input, and because of what comes behind it."""
    output = rig.turn(data)
    if op == EVENT:
        EVENTS[more % len(EVENTS)](rig)
    elif op == AGAIN:
        rig.come_again()
    return output, rig.turn()


class Told(NamedTuple):
    """One frame of the broker, as it is written."""

    command: bytes
    lines: tuple[bytes, ...]
    body: bytes


def frames_of(output: bytes) -> Iterator[Told]:
    """Read frames as the specification has them, with no code of the broker's."""
    while output:
        if output[:1] == b"\n":
            output = output[1:]
            continue
        head, end, rest = output.partition(b"\n\n")
        assert end
        assert 0 not in head
        command, *lines = head.split(b"\n")
        sizes = [line for line in lines if line.startswith(b"content-length:")]
        size = int(sizes[0].partition(b":")[2]) if sizes else rest.find(b"\0")
        assert rest[size : size + 1] == b"\0"
        output = rest[size + 1 :]
        yield Told(command, tuple(lines), rest[:size])


def _answers(outputs: Iterable[bytes]) -> list[list[Told]]:
    return [[one for one in frames_of(output) if one.command != b"MESSAGE"] for output in outputs]


def _deliveries(outputs: Iterable[bytes]) -> list[list[Told]]:
    return [[one for one in frames_of(output) if one.command == b"MESSAGE"] for output in outputs]


ESCAPED = {
    V10: re.compile(rb"[^\n]*"),
    V11: re.compile(rb"(?:[^\n:\\]|\\[nc\\])*"),
    V12: re.compile(rb"(?:[^\n\r:\\]|\\[nrc\\])*"),
}
"""What a name or a value may be."""
ENDING = FATAL | {"Bad frame", "Slow consumer"}
"""Errors behind which nothing comes; so it is with every one before the login."""


class Conversation:
    """What the broker says on one connection."""

    def __init__(self) -> None:
        self._version = V10
        self._began = self._ended = False

    def hear(self, output: bytes) -> None:
        for told in frames_of(output):
            self._heard(told.command, self._headers(told))

    def _headers(self, told: Told) -> dict[bytes, bytes]:
        form = ESCAPED[V10 if told.command == b"CONNECTED" else self._version].fullmatch
        found: dict[bytes, bytes] = {}
        for line in told.lines:
            name, colon, value = line.partition(b":")
            line.decode()
            assert colon, line
            assert name
            assert form(name), line
            assert form(value), line
            found.setdefault(name, value)
        return found

    def _heard(self, command: bytes, headers: dict[bytes, bytes]) -> None:
        assert not self._ended, "something behind an ERROR that ends the connection"
        if command == b"CONNECTED":
            assert not self._began
            self._began = True
            self._version = headers[b"version"].decode()
        elif command == b"MESSAGE":
            assert self._began
            assert headers.keys() >= {b"destination", b"message-id"}
        elif command == b"RECEIPT":
            assert self._began
            assert headers.keys() == {b"receipt-id"}
        else:
            assert command == b"ERROR"
            self._ended = not self._began or headers[b"message"].decode() in ENDING


def _check_end(rig: Rig) -> None:
    """When the socket is gone, nothing of the connection is left in the core."""
    rig.connection.closed("over")
    rig.core.set_alarm("disk", False)
    rig.domain.run()
    assert not rig.core.sessions
    for vhost in rig.core.vhosts.values():
        assert not [watch for watch in vhost.watchers if "Channel" in getattr(watch, "__qualname__", "")]
    for queue in rig.core.all_queues():
        assert queue.owner is None
        assert not queue.consumers
        assert queue.unacked_count == queue.unacked_bytes == 0


# --- seeds --------------------------------------------------------------------------------------------------


def record(command: str, *pairs: tuple[str, str], body: bytes = b"") -> bytes:
    """A frame as the record that stands for it."""
    numbers = bytes(PAIRS.index(pair) for pair in pairs)
    return bytes((FRAME | COMMANDS.index(command) << 3, len(pairs))) + numbers + bytes((len(body),)) + body


def seeds() -> Iterator[bytes]:
    """Valid inputs: each frame in each dialect, and conversations with all that happens beside."""
    destinations = [pair for pair in PAIRS if pair[0] == "destination"]
    others = [pair for pair in PAIRS if pair[0] != "destination"]
    everything = bytes(EVENT | number << 3 for number in range(len(EVENTS) - 1))
    for dialect in range(len(DIALECTS)):
        for choice in (4, 8, 70, 107, 26):
            first = bytes((choice, dialect))
            yield first + bytes((ALIKE | 9 << 3, TURN, ANSWER | 3 << 3, 1, ANSWER | 31 << 3, 2))
            yield first + everything + bytes((AGAIN, EVENT, EVENT | 8 << 3, AGAIN | 1 << 3))
            alarm = EVENT | EVENTS.index(_alarm) << 3
            yield first + bytes((ALIKE | 20 << 3, CUT | 5 << 3, alarm, ALIKE | 3 << 3, alarm))
        for number, where in enumerate(destinations):
            more = others[number * 3 : number * 3 + 3]
            yield bytes((8 | number & 3 | (number & 12) << 3, dialect)) + b"".join(
                [
                    record("SUBSCRIBE", where, ("id", "T_1@@session@@1"), *more),
                    record("SEND", where, *more, body=b"x"),
                    bytes((ALIKE | 3 << 3, TURN)),
                    record("SEND", where, ("transaction", "t"), body=b"\0"),
                    record("COMMIT", ("transaction", "t"), ("receipt", "r")),
                    record("UNSUBSCRIBE", ("id", "T_1@@session@@1")),
                    record("DISCONNECT", ("receipt", "r")),
                ]
            )
    for number in range(0, len(others), 3):
        some = others[number : number + 3]
        yield bytes((8, number % len(DIALECTS))) + b"".join(
            [record(command, ("destination", "/queue/s"), *some) + bytes((TURN,)) for command in COMMANDS[:8]]
        )
        yield bytes((0, number % len(DIALECTS))) + record("CONNECT", *some) + bytes((TURN, AGAIN))


if __name__ == "__main__":
    fuzzing.main("whole STOMP connections", check, seeds(), size_max=INPUT_MAX)
