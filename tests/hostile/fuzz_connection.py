"""Random frames, right and wrong, against whole connections: nothing but a close may come of them.

`Attack` drives two connections on one core with frames made from a seed: every method with good, odd and
mutilated arguments, content of all sorts, splits anywhere. `python -m tests.hostile.fuzz_connection SECONDS`
runs longer than the suite and prints the seed that failed. No sockets: this is about reaching states fast.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core
from pillarbox.engine.base import Recovery
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import Settings, State
from pillarbox.testing.memory_journal import MemoryJournal

NAMES = (
    "",
    "q",
    "p",
    "x",
    "amq.topic",
    "amq.headers",
    "amq.rabbitmq.reply-to",
    "amq.q",
    "é",
    "a" * 255,
    "#.*.#",
)
KINDS = (
    *("direct", "fanout", "topic", "headers", "", "nonsense"),
    *("x-consistent-hash", "x-modulus-hash", "x-random", "x-local-random", "x-recent-history", "x-anycast"),
)
KEYS = (
    *("x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow", "x-max-priority"),
    *("x-dead-letter-exchange", "x-dead-letter-routing-key", "x-single-active-consumer", "x-queue-type"),
    *("x-queue-mode", "x-queue-version", "x-match", "alternate-exchange", "x-priority", "CC", "BCC"),
    *("hash-header", "hash-property", "x-recent-history-length", "x-recent-history-no-store"),
    *("x-stream-offset", "x-delivery-limit", "", "k", "x-cancel-on-ha-failover", "capabilities"),
)
NUMBERS = (0, 1, 2, 3, 7, 255, 256, 65_535, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63), (1 << 64) - 1)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        5,
        1 << 40,
        1.5,
        "",
        "q",
        "k",
        "all",
        "any",
        "quorum",
        "classic",
        "stream",
    ),
    *("reject-publish", "drop-head", "lazy", [], ["q", "p"], [1, None], {}, {"a": {"b": [1]}}, b"\xff"),
    *(
        wire.Byte(-3),
        wire.Short(9),
        wire.Timestamp(1 << 63),
        wire.Decimal(2, 31),
        wire.LongString(b"\xff\xfe"),
    ),
    *(wire.Float(0.5), wire.UnsignedInt(1 << 31), wire.Long(7)),
)
USUAL = (
    *(methods.QUEUE_DECLARE, methods.BASIC_PUBLISH, methods.BASIC_PUBLISH, methods.BASIC_CONSUME),
    *(methods.BASIC_PUBLISH, methods.BASIC_GET, methods.BASIC_ACK, methods.BASIC_NACK, methods.QUEUE_BIND),
    *(methods.EXCHANGE_DECLARE, methods.CONFIRM_SELECT, methods.BASIC_REJECT, methods.BASIC_CANCEL),
    *(methods.QUEUE_PURGE, methods.BASIC_QOS, methods.BASIC_RECOVER, methods.EXCHANGE_BIND),
)
SETTLING = (methods.BASIC_ACK, methods.BASIC_NACK, methods.BASIC_REJECT)
RARE = (
    *(method.id for method in methods.METHODS.values() if method.from_client and method.id >> 16 != 10),
    *(methods.CONNECTION_BLOCKED, methods.CONNECTION_UNBLOCKED, methods.CONNECTION_UPDATE_SECRET),
)


class Attack:
    """See the module. Any exception that leaves `step` is a fault of ours."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = 1_700_000_000_000
        self.journal = MemoryJournal()
        self.core = Core(
            self.journal,
            now_ms=self.now_ms,
            random=self.random.randbytes,
            wake=lambda: None,
            memory_budget=self.random.choice((1000, 1 << 20)),
        )
        self.journal.attach(self.core)
        self.core.restore(Recovery({}, {}, []))
        self.core.add_vhost("/")
        self.core.put_user(User("guest", hash_password("guest", b"salt")))
        self.core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        vhost = self.core.vhosts["/"]
        for name in ("q", "p"):
            vhost.declare_queue(None, name, durable=True)
        vhost.declare_exchange("x", "topic", durable=True)
        self.connections = [self._connect(), self._connect()]
        self.frames = 0

    def _connect(self) -> Connection:
        connection = Connection(self.core, Settings(message_size_max=1 << 20))
        connection.receive(b"AMQP\0\0\x09\1")
        table = {"capabilities": {"consumer_cancel_notify": True, "authentication_failure_close": True}}
        for frame in (
            methods.method_frame(0, methods.CONNECTION_START_OK, table, "PLAIN", b"\0guest\0guest", "en_US"),
            methods.method_frame(0, methods.CONNECTION_TUNE_OK, 100, 131_072, 0),
            methods.method_frame(0, methods.CONNECTION_OPEN, "/", "", False),
            methods.method_frame(1, methods.CHANNEL_OPEN, ""),
        ):
            connection.receive(frame)
        assert connection.state is State.RUNNING
        return connection

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        for connection in self.connections:
            connection.closed("over")
        self._tick()
        assert not self.core.sessions
        for vhost in self.core.vhosts.values():
            for queue in vhost.queues.values():
                assert not queue.consumers
                assert queue.unacked_count == 0 == queue.unacked_bytes
                assert queue.owner is None

    def step(self) -> None:
        """Some frames to one of the connections, cut anywhere; then, mostly, a turn ends."""
        which = self.random.randrange(len(self.connections))
        connection = self.connections[which]
        if connection.state is State.CLOSED or (connection.state is State.CLOSING and self._chance(0.3)):
            connection.closed("gone")
            connection = self.connections[which] = self._connect()
        # Mostly one by one, so that what is made next knows what the last one did.
        count = 1 if self._chance(0.8) else self.random.randrange(2, 8)
        data = b"".join([self._frames(connection) for _ in range(count)])
        if self._chance(0.005):
            place = self.random.randrange(len(data))
            data = data[:place] + self.random.randbytes(self.random.randrange(4)) + data[place + 1 :]
        cut = self.random.randrange(len(data) + 1) if self._chance(0.5) else len(data)
        for part in (data[:cut], data[cut:]):
            connection.receive(memoryview(part))
            if self._chance(0.7):
                self._tick()

    def _tick(self) -> None:
        self.now_ms += self.random.choice((0, 0, 1, 500, 60_000))
        self.core.set_time(self.now_ms)
        self.core.tick(self.now_ms)
        self.journal.sync()
        while self.journal.loads:
            self.journal.answer_load()
        for connection in self.connections:
            connection.take_output()
            connection.wake_consumers()
            connection.tick(self.now_ms)

    def _chance(self, of_one: float) -> bool:
        return self.random.random() < of_one

    def _frames(self, connection: Connection) -> bytes:
        """One frame, or the frames of one publish."""
        self.frames += 1
        channel = (
            self.random.choice((1, 1, 1, 2)) if self._chance(0.99) else self.random.choice((0, 3, 65_535))
        )
        if self._chance(0.005):
            kind = self.random.choice((1, 2, 3, 8, 9, 0))
            return wire.frame(kind, channel, self.random.randbytes(self.random.randrange(30)))
        known = connection.channels.get(channel)
        method_id = self.random.choice(USUAL if self._chance(0.9) else RARE)
        if method_id in SETTLING and not (known and known.ledger.count) and self._chance(0.95):
            method_id = methods.BASIC_PUBLISH
        if self._chance(0.002):
            method_id = self.random.choice(tuple(methods.METHODS))
        elif known is None and self._chance(0.9):
            method_id = methods.CHANNEL_OPEN
        elif known is not None and known.closing and self._chance(0.5):
            method_id = methods.CHANNEL_CLOSE_OK
        if method_id >> 16 == 10 and self._chance(0.95):
            channel = 0
        arguments = [self._argument(argument) for argument in methods.METHODS[method_id].arguments]
        if method_id in SETTLING and known is not None:
            out = [entry.tag_first for entry in known.ledger.entries()] or [0]
            if self._chance(0.95):
                arguments[0] = self.random.choice(out)
        data = methods.method_frame(channel, method_id, *arguments)
        if self._chance(0.003):
            # A method whose arguments end too early or go on.
            payload = data[7:-1]
            payload = payload[: self.random.randrange(4, len(payload) + 1)] + b"\0" * self.random.randrange(3)
            data = wire.frame(1, channel, payload)
        if method_id == methods.BASIC_PUBLISH:
            data += self._content(channel)
        return data

    def _content(self, channel: int) -> bytes:
        body = self.random.randbytes(self.random.choice((0, 1, 5, 300, 20_000)))
        declared = len(body) if self._chance(0.99) else self.random.choice(NUMBERS)
        header = wire.header_frame(channel, declared, self._properties())
        if not body or self._chance(0.005):
            return header
        step = self.random.choice((len(body), 16_384, 1 + len(body) // 3))
        parts = [body[place : place + step] for place in range(0, len(body), step)]
        return header + b"".join([wire.frame(3, channel, part) for part in parts])

    def _properties(self) -> bytes:
        if self._chance(0.5):
            return b"\0\0"
        if self._chance(0.02):
            return self.random.randbytes(self.random.randrange(2, 40))
        pick = self.random.choice
        return wire.encode_properties(
            wire.Properties(
                headers=self._table() if self._chance(0.5) else None,
                delivery_mode=pick((None, 1, 2, 9)),
                priority=pick((None, 0, 255)),
                reply_to=pick((None, "q", "amq.rabbitmq.reply-to")),
                expiration=pick((None, None, "", "0", "5", "x", "-1", "9" * 200)),
                user_id=pick((None, None, None, "guest", "root")),
            )
        )

    def _table(self) -> dict[str, Any]:
        return {self.random.choice(KEYS): self.random.choice(VALUES) for _ in range(self.random.randrange(3))}

    def _argument(self, argument: tuple[str, str]) -> Any:
        name, kind = argument
        if kind == "bit":
            # Few nowaits and passives, so that there are things to work with.
            return self._chance(_BITS.get(name, 0.1))
        return _ARGUMENTS[kind](self, name)


_BITS = {
    "immediate": 0.01,
    "internal": 0.02,
    "exclusive": 0.05,
    "requeue": 0.95,
    "active": 0.95,
    "durable": 0.9,
}
"""How likely a bit is set; what mostly ends a connection is rare."""


def _shortstr(attack: Attack, name: str) -> str:
    if name == "type":
        return attack.random.choice(KINDS)
    if name in ("queue", "routing_key") and attack._chance(0.8):
        return attack.random.choice(("q", "p"))
    if name in ("exchange", "source", "destination") and attack._chance(0.8):
        return attack.random.choice(("", "amq.fanout", "amq.headers", "amq.topic", "x"))
    return attack.random.choice(NAMES)


_ARGUMENTS: dict[str, Callable[[Attack, str], Any]] = {
    "shortstr": _shortstr,
    "longstr": lambda attack, name: attack.random.choice((b"", b"\0guest\0guest", b"\xff")),
    "table": lambda attack, name: attack._table() if attack._chance(0.3) else {},
    "octet": lambda attack, name: attack.random.choice(NUMBERS) & 0xFF,
    "short": lambda attack, name: attack.random.choice(NUMBERS) & 0xFFFF if attack._chance(0.3) else 2,
    "long": lambda attack, name: attack.random.choice(NUMBERS) & 0xFFFF_FFFF if attack._chance(0.02) else 0,
    "longlong": lambda attack, name: attack.random.choice(NUMBERS),
    "timestamp": lambda attack, name: attack.random.choice(NUMBERS),
}


def main(seconds: float) -> int:
    """Attack with seed after seed."""
    until = time.monotonic() + seconds
    seed = random.SystemRandom().randrange(1 << 32)
    attacks = frames = 0
    while time.monotonic() < until:
        attack = Attack(seed)
        try:
            attack.run(200)
        except Exception:
            print(f"seed {seed} after {attack.frames} frames")
            raise
        seed, attacks, frames = seed + 1, attacks + 1, frames + attack.frames
    print(f"{attacks} attacks, {frames} frames: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
