"""Messages that wait for their time are stored together when they come together (A35)."""

from __future__ import annotations

import re

import pytest

from bench.stomp_calls import NOW_MS, make_core
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.protocols.stomp.connection import Connection
from pillarbox.protocols.stomp.head import Settings

COUNT = 60


class Rig:
    """A connection without a socket, on a core whose journal answers at once."""

    def __init__(self) -> None:
        self.core = make_core()
        self.core.schedules.timetables[ORIGIN] = TIMETABLE
        self.now_ms = NOW_MS
        self.connection = Connection(self.core, Settings(anonymous="guest"))
        self.turn(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")

    def turn(self, data: bytes = b"", wait_ms: int = 0) -> bytes:
        """Input, everything that follows from it, and what is written."""
        self.now_ms += wait_ms
        self.core.set_time(self.now_ms)
        self.connection.receive(data)
        for _ in range(20):
            self.core.tick(self.now_ms)
            self.core.synced(self.core.journal_ticket)
        return b"".join(map(bytes, self.connection.take_output()))


def send(queue: str, body: int, delay_ms: int = 0) -> bytes:
    delay = b"AMQ_SCHEDULED_DELAY:%d\n" % delay_ms if delay_ms else b""
    head = b"SEND\ndestination:/queue/%b\npersistent:true\nnumber:%d\nreceipt:%d\n" % (
        queue.encode(),
        body,
        body,
    )
    return head + delay + b"\n%d\0" % body


@pytest.mark.row("A35")
def test_scheduled_messages_that_come_together_are_one_record() -> None:
    """Also those of several queues: all wait in one exchange."""
    rig = Rig()
    rig.turn(send("a", 1000) + send("b", 1001) + send("a", 1002, 10) + send("b", 1003, 10))
    before = rig.core.ticket
    said = b"".join([send("ab"[number % 2], number, 1000 - number) for number in range(COUNT)])
    rig.core.set_time(rig.now_ms)
    rig.connection.receive(said)
    assert [len(fact.messages) for fact in rig.core.changes.messages] == [COUNT]
    receipts = re.findall(rb"receipt-id:(\d+)", rig.turn())
    assert [int(each) for each in receipts] == [*range(COUNT)]
    assert rig.core.ticket == before + 1


@pytest.mark.row("A35")
def test_each_fires_at_its_time_whatever_came_with_it() -> None:
    """Among messages that do not wait, those of other queues, and one that goes another way."""
    rig = Rig()
    rig.turn(send("a", 1000) + send("b", 1001) + send("a", 1002, 10) + send("b", 1003, 10))
    rig.turn(wait_ms=20)
    said = b""
    for number in range(COUNT):
        # Every third does not wait; what does comes in the other order.
        said += send("ab"[number % 2], number, 0 if number % 3 == 0 else 1000 - 10 * number)
    rig.turn(said)
    heard = rig.turn(
        b"SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0SUBSCRIBE\nid:2\ndestination:/queue/b\n\n\0"
    )

    def bodies(output: bytes, queue: str) -> list[int]:
        found = re.findall(rb"destination:/queue/%b\n[^\0]*?\n\n(\d+)\0" % queue.encode(), output)
        return [int(each) for each in found if int(each) < 1000]

    for at, queue in enumerate("ab"):
        now = [number for number in range(at, COUNT, 2) if number % 3 == 0]
        assert bodies(heard, queue) == now
    later = b"".join([rig.turn(wait_ms=10) for _ in range(110)])
    for at, queue in enumerate("ab"):
        waited = [number for number in range(at, COUNT, 2) if number % 3]
        assert bodies(later, queue) == waited[::-1]
