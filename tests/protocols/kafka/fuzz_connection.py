"""Fuzz target for whole Kafka connections: `check` says of any input whether the broker keeps its promises.

    python -m tests.protocols.kafka.fuzz_connection [--seconds 60] [--runs N] [--corpus FOLDER]

An input is a list of records (see `Script`), so that what the fuzzer changes is mostly still made of
requests, to two connections in turn: every key in every version, bytes that are no request, cuts, ends of
turns, time. The promises:

- nothing but a close comes of any input, never an exception;
- what is written is read by kio, to the last byte, in the order of the requests;
- a connection holds no more than its limits allow, and when it is over nothing of it is left.

`Attack` demands the same for requests that make sense as often as not: they come further than bytes do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests import fuzzing

if __name__ == "__main__":
    fuzzing.watch("pillarbox.broker.core", "pillarbox.protocols.kafka.head")

from pillarbox.protocols.kafka.messages import APIS
from tests.protocols.kafka.attack import KEYS, Attacker, versions
from tests.protocols.kafka.rig import Client, Rig

INPUT_MAX = 4096
REQUEST, ODD, RAW, CUT, TURN, TIME, OTHER, END = range(8)
"""The lowest three bits of a record's first octet."""
TIMES_MS = (1, 100, 6_000, 60_000)
ODD_KEYS = (*APIS, 4, 5, 91, -1, 0x7FFF)
SIZE_OCTETS = 2
"""Of the size of a body in an input."""


class Player:
    """Two connections on a rig, one of which is spoken to; one that has closed is made anew."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.clients = [rig.connect(), rig.connect()]
        self.which = 0
        self._kept = b""
        """What the next input comes behind."""

    @property
    def client(self) -> Client:
        if self.clients[self.which].connection.want_close:
            self.end()
        return self.clients[self.which]

    def receive(self, data: bytes, *, later: int = 0) -> None:
        """Give input, but for the last octets, which come with the next."""
        client = self.client
        data = self._kept + data
        now = len(data) - min(later, len(data))
        self._kept = data[now:]
        client.connection.receive(memoryview(data)[:now])
        client.check_held(INPUT_MAX * 4)

    def other(self) -> None:
        """Go on with the other connection."""
        self.receive(b"")
        self.which = 1 - self.which

    def end(self) -> None:
        """The socket is gone."""
        self._kept = b""
        self.rig.drop(self.clients[self.which])
        self.clients[self.which] = self.rig.connect()


class Script:
    """What an input tells to do: octet 0 says whether there has to be a login, records follow."""

    def __init__(self, data: bytes) -> None:
        self.login = bool(data[:1]) and data[0] & 1 == 1
        self._reader = fuzzing.Reader(data[1:INPUT_MAX])

    def play(self, player: Player) -> None:
        reader = self._reader
        while reader:
            octet = reader.octet()
            op, number = octet & 7, octet >> 3
            if op == REQUEST:
                key = KEYS[reader.octet() % len(KEYS)]
                spans = versions(key)
                player.receive(
                    player.client.request(key, spans[number % len(spans)], reader.octets(SIZE_OCTETS))
                )
            elif op == ODD:
                key = ODD_KEYS[reader.octet() % len(ODD_KEYS)]
                player.receive(
                    player.client.request(key, number - 2, reader.octets(SIZE_OCTETS), client_id=None)
                )
            elif op == RAW:
                player.receive(reader.octets(SIZE_OCTETS))
            elif op == CUT:
                player.receive(b"", later=number)
            elif op == TURN:
                player.rig.turn()
            elif op == TIME:
                player.rig.later(TIMES_MS[number % len(TIMES_MS)])
            elif op == OTHER:
                player.other()
            else:
                player.end()


def record(key: int, version: int, body: bytes) -> bytes:
    """What stands for a request in an input."""
    number = version - versions(key)[0]
    return bytes((REQUEST | number << 3, KEYS.index(key))) + len(body).to_bytes(SIZE_OCTETS, "big") + body


def check(data: bytes) -> None:
    """Raise whatever shows that the broker breaks a promise on this input."""
    script = Script(data)
    player = Player(Rig(login=script.login))
    script.play(player)
    player.rig.turn()
    player.rig.check_end()


class Attack:
    """Requests made from a seed, each of which knows what was answered before."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._rig = Rig(seed)
        self._attacker = Attacker(self._rng)
        self._rig.on_answer = lambda key, answer: self._attacker.learn(answer)
        self._player = Player(self._rig)

    def run(self, steps: int) -> None:
        rng, player = self._rng, self._player
        for _ in range(steps):
            player.which = rng.randrange(2)
            data = player.client.request(*self._attacker.request())
            player.client.connection.receive(memoryview(data))
            if rng.random() < 0.7:
                self._rig.turn()
            if rng.random() < 0.1:
                self._rig.later(rng.choice(TIMES_MS))
            if rng.random() < 0.01:
                player.end()
        self._rig.check_end()


def seeds() -> Iterator[bytes]:
    """Valid inputs: each key in its first and last version, and conversations of several turns."""
    rng = random.Random(1)
    for key in KEYS:
        for version in {versions(key)[0], versions(key)[-1]}:
            yield b"\0" + record(key, version, Attacker(rng, wild=0.0).body(key, version)) + bytes((TURN,))
    for number in range(20):
        attacker = Attacker(rng, wild=0.0)
        data = bytearray((number & 1,))
        while len(data) < 1500:
            data += record(*attacker.request()) + bytes((rng.choice((TURN, TURN, TIME | 2 << 3, OTHER)),))
        yield bytes(data)
    yield b"\0" + bytes((RAW, 0, 5)) + b"GET /" + bytes((CUT | 3 << 3, ODD | 9 << 3, 0, 0, 0, END))


if __name__ == "__main__":
    fuzzing.main("whole Kafka connections", check, seeds(), size_max=INPUT_MAX)
