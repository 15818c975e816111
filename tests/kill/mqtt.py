"""SIGKILL under MQTT: what a publisher has sent comes to its subscriber, with QoS 2 exactly once, with QoS 1
at least once and in order.

    python -m tests.kill.mqtt --rounds 200 --qos 1

Both clients keep to the standard (MQTT 3.1.1, 4.3, 4.4): after each kill they go on with their sessions,
send again what was not answered, and take a message whose identifier they hold for the one they have. In a
round they publish until the broker is killed at a random moment; in the end everything is seen through and
counted.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.peers import HOST
from pillarbox.protocols.mqtt.packets import Answer, Connect, Packet, Publish, Subscribe, Subscription
from tests.kill.pair import Pair, arguments_of, play
from tests.protocols.mqtt import peer

WINDOW = 20
ROUND_S = (0.02, 0.3)
"""How long a round may take until the kill."""
TOPIC = "kill/q"
PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK = 3, 4, 5, 6, 7, 9


class Peer:
    """A client with a session that is kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket: socket.socket | None = None
        self.subscribed = False
        self._data = b""

    def connect(self, port: int) -> None:
        """Go on with the session."""
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self._data = b""
        self.say(
            Connect(
                version=4,
                clean=False,
                keep_alive_s=0,
                client_id=self.name,
                will=None,
                username=None,
                password=None,
                properties={},
            )
        )
        self.resume()

    def resume(self) -> None:
        """Send again what was not answered."""

    def say(self, packet: Packet) -> None:
        """A broker that is gone will be told again."""
        assert self.socket is not None
        with suppress(OSError):
            self.socket.sendall(peer.encode(packet, 4))

    def heard(self) -> Iterator[peer.Received]:
        """What has come by now."""
        assert self.socket is not None
        with suppress(OSError):
            self._data += self.socket.recv(1 << 16)
        while len(self._data) >= 2 and len(self._data) >= 2 + self._data[1]:
            received, self._data = peer.decode(self._data, 4)
            yield received

    def act(self) -> None:
        """Answer what has come."""
        for received in self.heard():
            self.subscribed |= received.kind == SUBACK
            if PUBLISH <= received.kind <= PUBCOMP:
                self.take(received)

    def take(self, received: peer.Received) -> None:
        raise NotImplementedError


class Writer(Peer):
    """Publishes numbers, and sees the exchange of each through."""

    def __init__(self, qos: int) -> None:
        super().__init__("writer")
        self.qos = qos
        self.sent = 0
        self.pending: dict[int, bytes | None] = {}
        """Identifier → payload; None: the broker has it, and is to forget the identifier."""
        self._next_id = 0

    def resume(self) -> None:
        for packet_id, payload in self.pending.items():
            self._say(packet_id, payload, duplicate=True)

    def _say(self, packet_id: int, payload: bytes | None, *, duplicate: bool) -> None:
        if payload is None:
            self.say(Answer(PUBREL, packet_id))
        else:
            self.say(
                Publish(topic=TOPIC, payload=payload, qos=self.qos, packet_id=packet_id, duplicate=duplicate)
            )

    def publish(self) -> None:
        """As many as the window has room for."""
        while len(self.pending) < WINDOW:
            self._next_id = self._next_id % 100 + 1
            if self._next_id in self.pending:
                return
            payload = b"%d" % self.sent
            self.sent += 1
            self.pending[self._next_id] = payload
            self._say(self._next_id, payload, duplicate=False)

    def take(self, received: peer.Received) -> None:
        packet_id = received.fields["packet_id"]
        if received.kind == PUBREC and packet_id in self.pending:
            self.pending[packet_id] = None
            self.say(Answer(PUBREL, packet_id))
        elif received.kind in (PUBACK, PUBCOMP):
            self.pending.pop(packet_id, None)


class Reader(Peer):
    """Notes each message, those of QoS 2 once."""

    def __init__(self, qos: int) -> None:
        super().__init__("reader")
        self.qos = qos
        self.got: list[int] = []
        self.seen: set[int] = set()
        """The same, each once."""
        self.held: set[int] = set()
        """Identifiers of messages that it has and the broker has not released."""

    def take(self, received: peer.Received) -> None:
        packet_id = received.fields["packet_id"]
        if received.kind == PUBLISH and self.qos == 1:
            self._note(received)
            self.say(Answer(PUBACK, packet_id))
        elif received.kind == PUBLISH:
            if packet_id not in self.held:
                self.held.add(packet_id)
                self._note(received)
            self.say(Answer(PUBREC, packet_id))
        elif received.kind == PUBREL:
            self.held.discard(packet_id)
            self.say(Answer(PUBCOMP, packet_id))

    def _note(self, received: peer.Received) -> None:
        number = int(received.fields["payload"])
        self.got.append(number)
        self.seen.add(number)


class MqttRounds(Pair[Writer, Reader]):
    """See `Pair`."""

    def __init__(self, folder: Path, seed: int, qos: int = 2) -> None:
        self.qos = qos
        super().__init__(folder, "mqtt", random.Random(seed), Writer(qos), Reader(qos), ROUND_S)
        self.reader.say(Subscribe(1, [Subscription(TOPIC, qos)], {}))
        # What is published before it is answered need not come.
        self._pump_until(lambda: self.reader.subscribed)
        assert self.reader.subscribed

    def finish(self) -> None:
        """See everything through, and count. Raises AssertionError."""
        self._pump_until(lambda: not self.writer.pending and not self._missing())
        self._pump(0.2)
        self.broker.stop()
        got = self.reader.got
        assert not self.writer.pending, f"not answered: {self.writer.pending}"
        assert not self._missing(), f"{self._missing()} messages are lost"
        if self.qos == 2:
            assert not self.again, f"{self.again} messages came twice"
        first = list(dict.fromkeys(got))
        assert first == sorted(first), "messages came out of their order"

    def _missing(self) -> int:
        """How many have not come."""
        return self.writer.sent - len(self.reader.seen)

    def _progress(self) -> object:
        return len(self.reader.got), len(self.writer.pending), self.reader.subscribed

    @property
    def again(self) -> int:
        """How many have come that had come before."""
        return len(self.reader.got) - len(self.reader.seen)

    def __repr__(self) -> str:
        confirmed = self.writer.sent - len(self.writer.pending)
        return (
            f"{self.kills} kills, {self.writer.sent} messages of QoS {self.qos}, {confirmed} confirmed, "
            f"{self._missing()} missing, {self.again} came again"
        )


def main() -> int:
    parser = arguments_of("mqtt", __doc__)
    parser.add_argument("--qos", type=int, choices=(1, 2), default=2)
    arguments = parser.parse_args()
    return play(arguments, lambda folder: MqttRounds(folder, arguments.seed, arguments.qos))


if __name__ == "__main__":
    sys.exit(main())
