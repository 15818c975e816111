"""Every unit of work on the broker's loop that takes too long, and what it was.

    python -m bench.units serve ...        as `pillarbox serve ...`, with the instrument in it

A unit is what the loop runs at a stretch: one socket read, the end of a turn, a slice of the management
API, a slice of a checkpoint, a timer. Its measure is the *processor time of the loop's thread*, so that a
process which has to wait for a busy machine is told from real work; the time on the wall stands beside it.
Collections of garbage and faults of pages are noted with the unit that they fell into. A timer looks every
half millisecond where the loop is, so that a long unit can say in which functions it was. A machine may stand
still with the clock of a thread running on; how often it does, `of_nothing` tells.

Each long unit is a line of JSON in the file that PILLARBOX_UNITS names: `at` (seconds since 1970), `cpu_ms`,
`wall_ms`, `gc_ms`, `faults` (the system gave memory then), `what` (the callback) and `where` (functions of
the broker, how often each was innermost).
asyncio's own loop is used, because uvloop does not say what it calls.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TextIO

from bench.peers import Pillarbox

LIMIT_MS = 2.0
"""What no unit should take (docs/architecture.md, "Staying fast in Python")."""

LOOK_S = 0.0005
DEEP = 3
"""Functions of the broker that are named of a stack, the innermost first."""

cpu_ns, wall_ns = time.thread_time_ns, time.perf_counter_ns


class Units:
    """The instrument: `install` it once, on the thread of the loop and before there is one."""

    def __init__(self, out: TextIO, limit_ms: float = LIMIT_MS) -> None:
        self._out = out
        self._limit_ns = int(limit_ms * 1e6)
        self._thread = threading.get_ident()
        self._stacks: list[tuple[CodeType, ...]] = []
        self._gc_ns = self._gc_began = 0

    def install(self) -> None:
        """Measure every callback of every asyncio loop in this process."""
        handle: Any = asyncio.events.Handle
        run = handle._run
        units = self

        def measured(self: Any) -> None:
            units._stacks.clear()
            units._gc_ns = 0
            callback = self._callback
            faults = _faults()
            wall, cpu = wall_ns(), cpu_ns()
            run(self)
            took = cpu_ns() - cpu
            if took > units._limit_ns:
                units._tell(callback, took, wall_ns() - wall, _faults() - faults)

        handle._run = measured
        gc.callbacks.append(self._collecting)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)

    def _look(self, number: int, frame: FrameType | None) -> None:
        stack: list[CodeType] = []
        while frame is not None and len(stack) < DEEP:
            if "pillarbox" in frame.f_code.co_filename:
                stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks.append(tuple(stack))

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._gc_began = cpu_ns()
        else:
            self._gc_ns += cpu_ns() - self._gc_began

    def _tell(self, callback: Any, cpu: int, wall: int, faults: int) -> None:
        where = Counter(" < ".join(code.co_qualname for code in stack) for stack in self._stacks if stack)
        line = {
            "at": time.time(),
            "cpu_ms": round(cpu / 1e6, 2),
            "wall_ms": round(wall / 1e6, 2),
            "gc_ms": round(self._gc_ns / 1e6, 2),
            "faults": faults,
            "what": _name(callback),
            "where": dict(where.most_common(4)),
        }
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


def _faults() -> int:
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_minflt + used.ru_majflt


def _name(callback: Any) -> str:
    """What a callback of the loop is for: the function, or the coroutine of a task."""
    owner = getattr(callback, "__self__", None)
    coroutine = owner.get_coro() if isinstance(owner, asyncio.Task) else None
    found = coroutine if coroutine is not None else callback
    return str(getattr(found, "__qualname__", repr(found)))


def of_nothing(seconds: float) -> list[float]:
    """Milliseconds of long units of a loop that does nothing but count, a fifth of a millisecond each."""
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        cpu = cpu_ns()
        for _ in range(10_000):
            pass
        took_ms = (cpu_ns() - cpu) / 1e6
        if took_ms > LIMIT_MS:
            found.append(round(took_ms, 2))
    return found


class Instrumented(Pillarbox):
    """A broker with the instrument in it."""

    def __init__(self) -> None:
        super().__init__(command=(sys.executable, "-m", "bench.units"))
        self.units = self.data / "units.jsonl"
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self.env = {"PYTHONPATH": path, "PILLARBOX_UNITS": str(self.units)}

    def long_units(self, since: float) -> list[dict[str, Any]]:
        """The long units that ended after this time (seconds since 1970)."""
        found = map(json.loads, self.units.read_text().splitlines())
        return [unit for unit in found if unit["at"] >= since]


def main() -> int:
    from pillarbox.__main__ import main as pillarbox

    modules: dict[str, Any] = sys.modules
    modules["uvloop"] = None
    with open(os.environ["PILLARBOX_UNITS"], "a") as out:
        Units(out).install()
        code: int = pillarbox()
    return code


if __name__ == "__main__":
    sys.exit(main())
