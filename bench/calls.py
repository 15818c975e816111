"""Function calls that the broker makes for each message, exactly: the regression gate that no noise can move.

    python -m bench.calls            count and compare with calls.json
    python -m bench.calls --write    count and make that the gate

Every workload runs in lock step: one write of the client, then everything that the broker answers is awaited,
until its counters stand still; so each round makes the broker do the same, in the same batches. The lower
quartile of the rounds counts: a timer that falls into some, or a write that comes in two parts because the
machine has other work, does not matter. What is counted are calls in the broker's main thread, of Python
functions and of built-in ones. Counts differ between minor versions of Python, so the gate names its own.
Where syncs are quick a lone message is committed on the loop, else by a thread: the gate has the larger of
both figures, which differ by some calls.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import select
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bench.amqp_load import EXCHANGE, MARK, STALLED_S, LoadError, make_body, queue_name, receive
from bench.amqp_wire import Address, Confirms, RawConnection, ack, message
from bench.counted import SIZE
from bench.peers import Pillarbox

GATE = Path(__file__).with_name("calls.json")
TOLERANCE = 0.02  # Of a count: it may move by a call or two where a tick falls differently.
ROUNDS = 11
WARM_UP_ROUNDS = 4  # Route caches, lazily imported modules.
STILL_S = 0.01  # Counters that did not move for this long: the tick is over.

Counts = tuple[int, int]


class Step(NamedTuple):
    """One workload in lock step."""

    name: str
    batch: int = 50
    persistent: bool = False
    confirm: bool = False
    manual: bool = False
    ack_each: bool = False
    consumers: int = 1
    prefetch: int = 1000
    keys: bool = False
    fanout: int = 0


# fmt: off
STEPS = (
    Step("transient"),
    Step("manual-ack", manual=True),
    Step("durable", persistent=True, confirm=True, manual=True),
    Step("ack-each", manual=True, ack_each=True),
    Step("prefetch-1", batch=1, manual=True, ack_each=True, consumers=4, prefetch=1),
    Step("synchronous", batch=1, persistent=True, confirm=True, consumers=0),
    Step("keys", manual=True, keys=True),
    Step("fanout-100", batch=10, persistent=True, confirm=True, consumers=0, fanout=100),
)
# fmt: on


class Client:
    """The client's side of one workload: a publishing and some consuming connections, driven in lock step."""

    def __init__(self, step: Step, address: Address, quiet: Callable[[], object]) -> None:
        self.step, self.quiet = step, quiet
        self.publisher = RawConnection(address)
        for number in range(step.fanout or 1):
            self.publisher.declare_queue(queue_name(number))
        if step.fanout or step.keys:
            self.publisher.declare_fanout(EXCHANGE)
            for number in range(step.fanout or 1):
                self.publisher.bind(queue_name(number), EXCHANGE)
        if step.confirm:
            self.publisher.select_confirms()
        self.confirms, self.published = Confirms(), 0
        self.consumers = [RawConnection(address) for _ in range(step.consumers)]
        self.acked = [0] * step.consumers
        for consumer in self.consumers:
            consumer.consume(queue_name(0), prefetch=step.prefetch if step.manual else 0)
            consumer.socket.settimeout(STALLED_S)
        self.frames = self._encode()

    def _encode(self) -> bytes:
        step, body, size = self.step, make_body(100), self.publisher.frame_max
        exchange = EXCHANGE if step.fanout or step.keys else ""
        names = [f"key.{number}" if step.keys else queue_name(0) for number in range(step.batch)]
        return b"".join(
            message(exchange, name, body, persistent=step.persistent, frame_max=size) for name in names
        )

    def round(self) -> None:
        """Publish one batch; await its confirms, then its deliveries, and acknowledge them.

        One after the other, or acknowledgements would sometimes share a tick with confirms and sometimes not.
        """
        self.publisher.socket.sendall(self.frames)
        self.published += self.step.batch
        while self.step.confirm and self.confirms.count < self.published:
            self.confirms.receive(receive(self.publisher.socket))
        due = self.step.batch if self.consumers else 0
        while due:
            sockets = {consumer.socket: index for index, consumer in enumerate(self.consumers)}
            readable, _, _ = select.select(list(sockets), [], [], STALLED_S)
            if not readable:
                raise LoadError(f"{due} messages did not come")
            for sock in readable:
                due -= self._take(sockets[sock], due)

    def _take(self, index: int, due: int) -> int:
        """Take all that this consumer may get and acknowledge it; return how many."""
        consumer, step = self.consumers[index], self.step
        wanted, data = min(due, step.prefetch), b""
        while (count := data.count(MARK)) < wanted:
            data += receive(consumer.socket)
        if step.manual:
            self.quiet()  # Else the acknowledgement sometimes shares a tick with the end of a sync.
            first, last = self.acked[index] + 1, self.acked[index] + count
            self.acked[index] = last
            tags = range(first, last + 1) if step.ack_each else (last,)
            consumer.socket.sendall(b"".join(ack(tag, multiple=not step.ack_each) for tag in tags))
        return count

    def close(self) -> None:
        for connection in [*self.consumers, self.publisher]:
            connection.close()


def still(read: Callable[[], Counts]) -> Counts:
    """Return the counters once they do not move any more."""
    last, since = read(), time.monotonic()
    while time.monotonic() - since < STILL_S:
        time.sleep(STILL_S / 8)
        if (now := read()) != last:
            last, since = now, time.monotonic()
    return last


def undisturbed(counts: Iterable[int]) -> int:
    """What a round takes in which nothing else happens."""
    ordered = sorted(counts)
    return ordered[len(ordered) // 4]


def count_step(step: Step, address: Address, read: Callable[[], Counts]) -> dict[str, float]:
    """Return Python and built-in calls of a round, each divided by its messages."""
    client = Client(step, address, lambda: still(read))
    for _ in range(WARM_UP_ROUNDS):
        client.round()
    rounds: list[Counts] = []
    before = still(read)
    for _ in range(ROUNDS):
        client.round()
        after = still(read)
        rounds.append((after[0] - before[0], after[1] - before[1]))
        before = after
    client.close()
    python, builtin = (undisturbed(each[kind] for each in rounds) / step.batch for kind in (0, 1))
    return {"python": round(python, 3), "builtin": round(builtin, 3)}


def count(step: Step) -> dict[str, float]:
    """Count one workload in a broker of its own."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(SIZE))
        file.flush()
        shared = mmap.mmap(file.fileno(), SIZE)
        command = (sys.executable, "-m", "bench.counted", file.name)
        path = os.pathsep.join([str(GATE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        with Pillarbox(command=command, env={"PYTHONPATH": path}) as peer:
            return count_step(step, Address(peer.amqp_port), lambda: struct.unpack("=QQ", shared[:SIZE]))


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def compare(counts: dict[str, dict[str, float]], gate: dict[str, Any]) -> list[str]:
    """Return one sentence for every count that is above the gate by more than the tolerance."""
    return [
        f"{name}: {value} {kind} calls a message, the gate is {gate['calls'][name][kind]}"
        for name, kinds in counts.items()
        for kind, value in kinds.items()
        if value > gate["calls"][name][kind] * (1 + TOLERANCE)
    ]


def main() -> int:
    purpose = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=purpose)
    parser.add_argument("--write", action="store_true", help="make the counts the gate")
    parser.add_argument("--only", default="", help="only these workloads, separated by commas")
    options = parser.parse_args()
    counts = {}
    for step in STEPS:
        if not options.only or step.name in options.only.split(","):
            counts[step.name] = kinds = count(step)
            python, builtin = kinds["python"], kinds["builtin"]
            print(
                f"{step.name:12} calls a message: {python:8.2f} Python, {builtin:8.2f} built-in", flush=True
            )
    if options.write:
        GATE.write_text(json.dumps({"python": python_version(), "calls": counts}, indent=1) + "\n")
        return 0
    if not GATE.exists():
        raise LoadError("there is no gate yet: run with --write")
    worse = compare(counts, json.loads(GATE.read_text()))
    print("\n".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
