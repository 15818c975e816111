"""Write a tiny data folder of the present format, to be checked in and opened by every later version.

    python tests/store/make_fixture.py tests/store/fixtures/format-1

It has a checkpoint, a backlog segment (with one record shared by two queues, one slimmed and one merged) and
a journal that goes on after the checkpoint. `DEFINITIONS` and `QUEUES` are what must come back from it.
"""

from __future__ import annotations

import sys

from pillarbox.engine.base import (
    Address,
    DefinitionFact,
    DeliveredFact,
    Group,
    Location,
    Message,
    MessagesFact,
    QueueState,
    SettledFact,
    StoredRun,
)
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store.files import DiskFiles

NOW_MS = 1_700_000_000_000
ADDRESS = Address("amqp091", "amq.topic", "orders.new")

DEFINITIONS = {
    ("vhost", "/"): b"{}",
    ("queue", "1"): b"orders",
    ("queue", "2"): b"audit",
    ("exchange", "later"): b"x",
}


def message(number: int) -> Message:
    return Message(
        ADDRESS, b"\x10\0\2", b"body %d" % number, NOW_MS + number, 60_000 if number % 2 else -1, True
    )


QUEUES = {
    # uid: (sequence_next, delivered_through, {sequence: number of the message})
    1: (1300, 4, {0: 0, 1: 1, 2: 2, 5: 3, 6: 4, 600: 600, 1002: 1002, 1299: 1299}),
    2: (103, -1, {100: 3, 101: 4, 102: 102}),
}


def main(folder: str) -> None:
    scheduler = InlineScheduler()
    engine = LocalEngine(folder, DiskFiles(), scheduler, allocate_bytes=0)
    engine.open()
    ticket = 0

    def append(
        messages: list[MessagesFact], settled: list[SettledFact], definitions: dict[tuple[str, str], bytes]
    ) -> None:
        nonlocal ticket
        ticket += 1
        facts = [DefinitionFact(kind, key, value) for (kind, key), value in definitions.items()]
        engine.append(Group(ticket, facts, messages, [DeliveredFact(1, 4)] if settled else [], settled))
        scheduler.run_until_idle()

    singles = [MessagesFact([(1, n)], [message(n)], Location()) for n in range(3)]
    shared = MessagesFact([(1, 5), (2, 100)], [message(3), message(4)], Location())
    large = MessagesFact([(1, 400)], [message(n) for n in range(400, 1000)], Location())
    before = {key: value for key, value in DEFINITIONS.items() if key[0] != "exchange"}
    append(singles, [], before)
    append([shared, large], [], {})

    class Snapshot:
        def definitions(self) -> list[tuple[str, str, bytes]]:
            return [(kind, key, value) for (kind, key), value in before.items()]

        def queues(self) -> list[QueueState]:
            runs = [StoredRun(range(n, n + 1), singles[n].location, 6, NOW_MS + n) for n in range(3)]
            runs.append(StoredRun(range(5, 7), shared.location, 12, NOW_MS))
            runs.append(StoredRun(range(600, 604), large.location, 32, NOW_MS))
            return [
                QueueState(1, 1000, 2, runs),
                QueueState(2, 102, -1, [StoredRun(range(100, 102), shared.location, 12, NOW_MS)]),
            ]

    engine.checkpoint(Snapshot())
    scheduler.run_until_idle()
    append([MessagesFact([(1, 1000)], [message(n) for n in range(1000, 1300)], Location())], [], {})
    append(
        [MessagesFact([(2, 102)], [message(102)], Location())],
        [SettledFact(1, [range(601, 1002), range(1003, 1299)])],
        {("exchange", "later"): b"x"},
    )
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1])
