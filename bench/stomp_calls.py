"""Function calls and processor time for each STOMP message, in this process and without sockets or disk.

    python -m bench.stomp_calls            count, and compare with stomp_calls.json
    python -m bench.stomp_calls --write    count, and make that the gate
    python -m bench.stomp_calls --time     microseconds instead: the best round of many

A publisher's and some subscribers' connections share a core. Each round gives the publisher one read of its
socket, ends the turn, and gives every subscriber's answers in one read; so all rounds are alike and the
counts are exact. They hold for one minor version of Python. Not here: what sockets and the disk cost
(`stomp_run`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

from bench.calls import compare, python_version, undisturbed
from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.protocols import registry
from pillarbox.protocols.stomp.connection import Connection
from pillarbox.protocols.stomp.head import Settings
from pillarbox.testing.memory_journal import MemoryJournal

GATE = Path(__file__).with_name("stomp_calls.json")
NOW_MS = 1_700_000_000_000
ROUNDS = 5
ROUNDS_TIMED = 400
WARM_UP_ROUNDS = 4
BODY = bytes([120]) * 100

_acks_of = re.compile(rb"\nack:([^\n]+)").findall


class Step(NamedTuple):
    """One workload in lock step."""

    name: str
    batch: int = 500
    """Messages in one read."""
    ack: str = "auto"
    persistent: bool = False
    receipts: bool = False
    """Each message asks for one, which has a name of its own."""
    sized: bool = False
    """With `content-length`."""
    subscribers: int = 1
    """More than one: of a topic."""


# fmt: off
STEPS = (
    Step("auto"),
    Step("client", ack="client"),
    Step("client-individual", ack="client-individual"),
    Step("sized", ack="client-individual", sized=True),
    Step("receipts", batch=50, ack="client", persistent=True, receipts=True),
    Step("lone", batch=1, ack="client-individual"),
    Step("topic", batch=50, subscribers=50),
)
# fmt: on


def make_core() -> Core:
    core = Core(MemoryJournal(), now_ms=NOW_MS, random=os.urandom, wake=lambda: None)
    core.dialects.common, core.dialects.find = registry.COMMON, registry.dialect
    core.add_vhost("/")
    core.add_user("guest", "guest")
    core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
    return core


def end_turn(core: Core) -> None:
    """Let the core end its turn, and store what it has to store."""
    core.tick(NOW_MS)
    while core.changes.dirty or core.changes.has_facts:
        core.tick(NOW_MS)
    core.synced(core.journal_ticket)


class Rig:
    """The broker's side of one workload. `during` runs what the broker does."""

    def __init__(self, step: Step, during: Callable[[Callable[[], object]], None]) -> None:
        self.step, self.during = step, during
        self.core = make_core()
        self.publisher = self._connection()
        self.subscribers = [self._connection() for _ in range(step.subscribers)]
        destination = "/topic/t" if step.subscribers > 1 else "/queue/q"
        for one in self.subscribers:
            one.receive(f"SUBSCRIBE\nid:0\ndestination:{destination}\nack:{step.ack}\n\n\0".encode())
        end_turn(self.core)
        for one in self.subscribers:
            one.take_output()
        head = f"SEND\ndestination:{destination}\n"
        head += "persistent:true\n" if step.persistent else ""
        head += f"content-length:{len(BODY)}\n" if step.sized else ""
        receipts = [f"receipt:message-{n:06}\n" if step.receipts else "" for n in range(step.batch)]
        self.frames = b"".join([f"{head}{each}\n".encode() + BODY + b"\0" for each in receipts])

    def _connection(self) -> Connection:
        connection = Connection(self.core, Settings(anonymous="guest"))
        connection.receive(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")
        connection.take_output()
        return connection

    def _deliver(self) -> None:
        self.publisher.receive(self.frames)
        end_turn(self.core)
        self.written = [b"".join(one.take_output()) for one in (*self.subscribers, self.publisher)]

    def round(self) -> None:
        """Publish one batch, deliver it, and have it acknowledged."""
        step = self.step
        self.during(self._deliver)
        due = step.batch * step.receipts
        assert self.written[-1].count(b"RECEIPT\n") == due, "a receipt is missing"
        for one, data in zip(self.subscribers, self.written, strict=False):
            assert data.count(BODY) == step.batch, "a message is missing"
            acks = _acks_of(data) if step.ack == "client-individual" else _acks_of(data)[-1:]
            answer = b"".join([b"ACK\nid:%b\n\n\0" % each for each in acks])
            if answer:
                self.during(lambda one=one, answer=answer: (one.receive(answer), end_turn(self.core)))  # type: ignore[misc]


class Workload(Protocol):
    """One workload: `Rig.round`."""

    def round(self) -> None: ...


Make = Callable[[Any, Callable[[Callable[[], object]], None]], Workload]
"""Makes the workload of a step."""


def count(step: Any, make: Make = Rig) -> dict[str, float]:
    """Python and built-in calls of a round, for each message that is delivered."""
    calls = {"call": 0, "c_call": 0}

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event in calls:
            calls[event] += 1

    def counted(act: Callable[[], object]) -> None:
        sys.setprofile(note)
        try:
            act()
        finally:
            sys.setprofile(None)

    rig = make(step, counted)
    for _ in range(WARM_UP_ROUNDS):
        rig.round()
    rounds = []
    for _ in range(ROUNDS):
        calls.update(call=0, c_call=0)
        rig.round()
        rounds.append((calls["call"], calls["c_call"]))
    messages = messages_of(step)
    python, builtin = (undisturbed(each[kind] for each in rounds) / messages for kind in (0, 1))
    return {"python": round(python, 3), "builtin": round(builtin, 3)}


def messages_of(step: Any) -> int:
    """How many messages a round delivers."""
    number: int = step.batch * step.subscribers * getattr(step, "publishers", 1)
    return number


def time_of(step: Any, make: Make = Rig) -> float:
    """Microseconds for each message that is delivered, in the best round."""
    spent = 0

    def timed(act: Callable[[], object]) -> None:
        nonlocal spent
        began = time.perf_counter_ns()
        act()
        spent += time.perf_counter_ns() - began

    rig = make(step, timed)
    best = None
    for _ in range(ROUNDS_TIMED):
        spent = 0
        rig.round()
        best = spent if best is None else min(best, spent)
    assert best is not None
    return best / 1000 / messages_of(step)


def run(name: str, about: str | None, steps: Sequence[Any], make: Make, gate: Path) -> int:
    """What a module like this one does when it is started."""
    purpose = (about or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=purpose)
    parser.add_argument("--write", action="store_true", help="make the counts the gate")
    parser.add_argument("--time", action="store_true", help="show microseconds, and compare nothing")
    options = parser.parse_args()
    if options.time:
        for step in steps:
            print(f"{step.name:18} {time_of(step, make):7.3f} microseconds a message", flush=True)
        return 0
    counts = {step.name: count(step, make) for step in steps}
    for workload, kinds in counts.items():
        print(
            f"{workload:18} calls a message: {kinds['python']:7.3f} Python, {kinds['builtin']:7.3f} built-in"
        )
    if options.write:
        gate.write_text(json.dumps({"python": python_version(), "calls": counts}, indent=1) + "\n")
        return 0
    worse = compare(counts, json.loads(gate.read_text()))
    print("\n".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(run("stomp_calls", __doc__, STEPS, Rig, GATE))
