"""Function calls and processor time for each MQTT message, in this process and without sockets or disk.

    python -m bench.mqtt_calls            count, and compare with mqtt_calls.json
    python -m bench.mqtt_calls --write    count, and make that the gate
    python -m bench.mqtt_calls --time     microseconds instead: the best round of many

As `bench.stomp_calls`: some publishers' and subscribers' connections share a core, and each round gives every
publisher one read of its socket, ends the turn, and gives every subscriber's answers in one read.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.mqtt_load import packet, text
from bench.stomp_calls import BODY, end_turn, make_core, run
from pillarbox.protocols.mqtt.connection import Connection
from pillarbox.protocols.mqtt.head import Head, Settings

GATE = Path(__file__).with_name("mqtt_calls.json")
TOPIC = text("load/topic")


class Step(NamedTuple):
    """One workload in lock step."""

    name: str
    batch: int = 500
    """Messages of each publisher in one read."""
    qos: int = 0
    publishers: int = 1
    subscribers: int = 1


# fmt: off
STEPS = (
    Step("qos-0"),
    Step("qos-1", qos=1, batch=50),
    Step("qos-2", qos=2, batch=50),
    Step("lone", batch=1),
    Step("fan-in", batch=50, publishers=20),
    Step("fan-out", batch=10, subscribers=100),
)
# fmt: on


class Rig:
    """The broker's side of one workload. `during` runs what the broker does."""

    def __init__(self, step: Step, during: Callable[[Callable[[], object]], None]) -> None:
        self.step, self.during = step, during
        self.core = make_core()
        self.head = Head(self.core, Settings(anonymous="guest"))
        self.publishers = [self._connection(f"p{number}") for number in range(step.publishers)]
        self.subscribers = [self._connection(f"s{number}") for number in range(step.subscribers)]
        for one in self.subscribers:
            one.receive(packet(0x82, b"\0\1" + TOPIC + bytes((step.qos,))))
        end_turn(self.core)
        for one in self.subscribers:
            one.take_output()
        self.ids = [struct.pack(">H", number + 1) if step.qos else b"" for number in range(step.batch)]
        first = 0x30 | step.qos << 1
        self.packets = b"".join([packet(first, TOPIC + each + BODY) for each in self.ids])

    def _connection(self, name: str) -> Connection:
        connection = self.head.connect("127.0.0.1:1 -> 127.0.0.1:2")
        connection.receive(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text(name)))
        connection.take_output()
        return connection

    def _deliver(self) -> None:
        for one in self.publishers:
            one.receive(self.packets)
        end_turn(self.core)
        self.written = [b"".join(one.take_output()) for one in self.subscribers]
        self.answers = [b"".join(one.take_output()) for one in self.publishers]

    def _answer(self, connection: Connection, answer: bytes) -> None:
        self.during(lambda: (connection.receive(answer), end_turn(self.core)))
        connection.take_output()

    def round(self) -> None:
        """Publish one batch, deliver it, and have it answered as its quality asks."""
        step = self.step
        self.during(self._deliver)
        for data in self.written:
            assert data.count(BODY) == step.batch * step.publishers, "a message is missing"
        if not step.qos:
            return
        for data in self.answers:
            assert len(data) == 4 * step.batch, "an answer is missing"
        size = len(self.packets) // step.batch
        for one, data in zip(self.subscribers, self.written, strict=True):
            starts = range(0, len(data), size)
            ids = [data[start + 2 + len(TOPIC) : start + 4 + len(TOPIC)] for start in starts]
            self._answer(one, b"".join([(b"\x40\x02", b"\x50\x02")[step.qos - 1] + each for each in ids]))
            if step.qos == 2:
                self._answer(one, b"".join([b"\x70\x02" + each for each in ids]))
        if step.qos == 2:
            for one in self.publishers:
                self._answer(one, b"".join([b"\x62\x02" + each for each in self.ids]))


if __name__ == "__main__":
    sys.exit(run("mqtt_calls", __doc__, STEPS, Rig, GATE))
