"""One data folder and the broker processes that live and die on it.

A round: start, take everything out and compare, go on with load, and end the process in the middle of it.
`kill` ends it with SIGKILL, `stop` with SIGTERM. The folder stays from round to round.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.peers import Pillarbox

from . import topology
from .actors import Actor, Drain, any_style
from .model import Model
from .sockets import TIMEOUT_S, Loop

LAUNCHER = Path(__file__).with_name("small_broker.py")
LOAD_S_MAX = 1.2
INTERRUPTED_START_S = 0.4
"""A start is interrupted at some moment before this, by when it is over."""
FIRST_ACTOR = 1
"""Number 0 is the one that drains."""
ACTORS_MAX = 4


class Wrong(AssertionError):
    """The broker did not keep its promises; the text says which, and how to see it again."""


class Broker(Pillarbox):
    """A broker with small segments, whose start can be cut off."""

    interrupt_s: float | None = None

    def start_interrupted(self, after_s: float) -> None:
        """Start, and kill the process after this time, wherever it is then."""
        self.interrupt_s = after_s
        try:
            self.start()
        finally:
            self.interrupt_s = None

    def _await_ready(self, ready: object) -> None:
        if self.interrupt_s is None:
            super()._await_ready(ready)  # type: ignore[arg-type]
            return
        assert self.process is not None
        try:
            self.process.wait(self.interrupt_s)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            raise Wrong(f"the broker ended by itself: {self.printed()[-2000:]}")


class Folder:
    """See the module. `counts` adds up what happened."""

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self.chance = chance = random.Random(seed)
        self.model = Model(topology.QUEUES, [topology.RATED])
        self.counts: Counter[str] = Counter()
        self.options = [
            f"--durability={chance.choice(('fsync', 'fsync', 'os'))}",
            f"--memory-budget={chance.choice(('1MiB', '128MiB'))}",
        ]
        self.limits = {
            "SMALL_SEGMENT": str(chance.choice((20_000, 200_000, 2_000_000))),
            "SMALL_CHECKPOINT": str(chance.choice((100_000, 1_000_000, 8_000_000))),
            "SMALL_RECORDS": str(chance.choice((200, 2_000, 20_000))),
        }
        self.broker = Broker(
            options=self.options, env=self.limits, command=(sys.executable, str(LAUNCHER)), data=path
        )
        self.moment = ""
        """What was going on, for the text of an error."""
        self._numbers: Counter[int] = Counter()
        """Of the next message of each publisher."""
        self._incarnations: Counter[int] = Counter()
        self._used = False

    def __repr__(self) -> str:
        limits = " ".join(f"{name}={value}" for name, value in self.limits.items())
        return f"<Folder seed={self.seed} {' '.join(self.options)} {limits}>"

    @property
    def _data(self) -> Path:
        return self.broker.data / "data"

    # --- a round -------------------------------------------------------------------------------------------

    def round(self, number: int, end: str) -> None:
        """Start, compare, make load, and end the process in this way: `kill`, `stop` or `none`.

        Raises Wrong if anything is not as it was promised.
        """
        self.moment = f"round {number}"
        try:
            self._start()
            with Loop([self._drain()], self.broker.amqp_port) as loop:
                self._compare(loop)
            if end != "none":
                self._load(end)
        except Wrong as error:
            raise Wrong(f"{self} in {self.moment}: {error}\n{self.broker.printed()[-3000:]}") from error
        except BaseException:
            print(f"{self} in {self.moment}\n{self.broker.printed()[-3000:]}", file=sys.stderr)
            self.broker.kill()
            raise

    def finish(self) -> None:
        """Compare once more, stop, and let `pillarbox check` look at the folder."""
        self.round(-1, "none")
        self._stop_process()
        command = [sys.executable, "-m", "pillarbox", "check", str(self._data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode:
            raise Wrong(f"{self}: `pillarbox check` says {done.stdout}{done.stderr}")

    def _start(self) -> None:
        while self.chance.random() < 0.15:
            self.counts["interrupted starts"] += 1
            self.broker.start_interrupted(self.chance.uniform(0.1, INTERRUPTED_START_S))
            self._look_at_log()
        started = time.monotonic()
        self.broker.start()
        self.counts["start_ms"] += int((time.monotonic() - started) * 1000)
        self.counts["starts"] += 1

    # --- compare -------------------------------------------------------------------------------------------

    def _drain(self) -> Drain:
        return Drain(
            0,
            self._numbers[0],
            self.chance,
            self.model.apply,
            range(FIRST_ACTOR, FIRST_ACTOR + ACTORS_MAX) if self._used else (),
        )

    def _compare(self, loop: Loop) -> None:
        """Take everything out and compare it with the model; then leave some of it for later."""
        drain = loop.lines[0].actor
        assert isinstance(drain, Drain)
        if self._used:
            loop.run(lambda: drain.done or drain.closed is not None)
            errors = drain.errors + self.model.check(drain.state)
            if drain.closed is not None:
                errors.append(f"the connection was closed: {drain.closed}")
            if errors:
                raise Wrong(f"{len(errors)} errors:\n" + "\n".join(errors[:20]))
            self.counts["found"] += sum(map(len, drain.state.queues.values()))
            self.model.apply(("adopt", drain.state))
            drain.settle(self.chance.choice((0.0, 0.5, 0.95, 1.0, 1.0)), self.model.names)
            loop.run(lambda: drain.settled)
        else:
            loop.run(lambda: drain.open)
            drain.forget_tasks()
        topology.declare(drain)
        drain.fence()
        loop.run(lambda: drain.settled)
        self._numbers[0] = drain.number
        self._used = True

    # --- load ----------------------------------------------------------------------------------------------

    def _load(self, end: str) -> None:
        chance = self.chance
        actors = [self._actor(FIRST_ACTOR + count) for count in range(chance.randint(1, ACTORS_MAX))]
        before = dict(self.model.counts)
        with Loop(actors, self.broker.amqp_port) as loop:
            loop.run_for(chance.uniform(0.05, LOAD_S_MAX))
            if end == "kill":
                self._kill(loop)
            else:
                self._stop(loop)
        for actor in actors:
            self._numbers[actor.publisher] = actor.number
            self._incarnations[actor.publisher] = actor.incarnation
        for name, count in self.model.counts.items():
            self.counts[name] += count - before[name]
        self.counts[end] += 1
        self._look_at_log()
        names = (path.name.removeprefix("checkpoint-") for path in self._data.glob("checkpoint-*"))
        numbers = [int(name) for name in names if name.isdecimal()]
        self.counts["checkpoints"] = max([self.counts["checkpoints"], *numbers])

    def _actor(self, publisher: int) -> Actor:
        actor = Actor(
            publisher, self._numbers[publisher], self.chance, self.model.apply, any_style(self.chance)
        )
        one = self.model.publishers.get(publisher)
        if one is not None:
            actor.adopt(one.proven, self._incarnations[publisher])
        return actor

    def _kill(self, loop: Loop) -> None:
        process = self.broker.process
        assert process is not None
        if self.chance.random() < 0.1:
            # In the middle of an orderly stop.
            self.counts["killed while stopping"] += 1
            process.send_signal(signal.SIGTERM)
            loop.run_for(self.chance.uniform(0, 0.1))
        self.broker.kill()
        loop.read_rest()

    def _stop(self, loop: Loop) -> None:
        process = self.broker.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        loop.run(lambda: all(line.ended for line in loop.lines))
        self._stop_process()
        self.model.apply(("processed",))

    def _stop_process(self) -> None:
        process = self.broker.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(TIMEOUT_S)
        self.broker.kill()
        if code:
            raise Wrong(f"the broker ended with {code} after SIGTERM")
        self._look_at_log()

    def _look_at_log(self) -> None:
        printed = self.broker.printed()
        if re.search(r"Traceback|Exception| (ERROR|CRITICAL) ", printed):
            raise Wrong("the broker's log speaks of an error")
        self.counts["torn tails"] += printed.count("the journal ends in the middle of a write")


def run(path: Path, seed: int, plan: Sequence[str]) -> Counter[str]:
    """Run these ends on one folder, one after another; return what happened. Raises Wrong."""
    folder = Folder(path, seed)
    try:
        for number, end in enumerate(plan, 1):
            folder.round(number, end)
        folder.finish()
    finally:
        folder.broker.kill()
    return folder.counts
