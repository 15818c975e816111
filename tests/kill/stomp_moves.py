"""SIGKILL under transactions of STOMP that go over several destinations, as JMS's local ones do (A44).

    python -m tests.kill.stomp_moves --rounds 200

A client takes numbers from one queue; in a transaction for each it sends the number to two others and
acknowledges it. Some of these it aborts, and some it leaves open. It comes back after each kill. What is
checked, when all is read in the end:

- a number is in the queue that it came from, or else in both others, and never twice in one;
- one whose COMMIT had its receipt is in both;
- one whose transactions were all aborted, or left open, is where it was.
"""

from __future__ import annotations

import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.peers import Pillarbox, free_ports
from tests.kill.pair import arguments_of, play
from tests.kill.stomp import Headers, Peer

SOURCE, GOALS = "/queue/from", ("/queue/one", "/queue/other")
NUMBERS = 4000
PREFETCH = 40
OPEN_MAX = 8
"""Transactions that are open at a time."""
ROUND_S = (0.05, 0.4)
QUIET_S = 30.0


class Mover(Peer):
    """Moves numbers, each in a transaction."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.committed: set[int] = set()
        """Had the receipt of their COMMIT."""
        self.tried: set[int] = set()
        """A COMMIT was sent."""
        self.aborted: set[int] = set()
        self._open: list[tuple[int, str]] = []
        """Numbers and the names of their transactions, which are open."""

    def resume(self) -> None:
        self._open.clear()
        said = {"id": "s", "destination": SOURCE, "ack": "client-individual"}
        self.say("SUBSCRIBE", said | {"prefetch-count": str(PREFETCH)})

    def take(self, command: str, headers: Headers, body: bytes) -> None:
        if command == "RECEIPT":
            self.committed.add(int(headers["receipt-id"]))
            return
        number = int(body)
        assert number not in self.committed, f"{number} came again, but its transaction had a receipt"
        transaction = {"transaction": f"t{number}"}
        self.say("BEGIN", transaction)
        said = [("SEND", {"destination": goal, "persistent": "true"}) for goal in GOALS]
        said.append(("ACK", {"id": headers["ack"]}))
        # In any order: it does not say in which the broker has it.
        for command, its in self._chance.sample(said, len(said)):
            self.say(command, its | transaction, str(number) if command == "SEND" else "")
        self._open.append((number, headers["ack"]))
        if len(self._open) == OPEN_MAX:
            self._end(self._open.pop(self._chance.randrange(OPEN_MAX)))

    def _end(self, opened: tuple[int, str]) -> None:
        number, ack = opened
        transaction = {"transaction": f"t{number}"}
        if self._chance.random() < 0.2:
            self.aborted.add(number)
            self.say("ABORT", transaction)
            # It has the delivery still: back with it, so that it comes again with another one.
            self.say("NACK", {"id": ack})
            return
        self.tried.add(number)
        self.say("COMMIT", transaction | {"receipt": str(number)})


class Moves:
    """See the module."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        (self.port,) = free_ports(1)
        options = ("--port", "off", "--stomp-port", str(self.port))
        self.broker = Pillarbox(options=options, data=folder)
        self.broker.start()
        self.mover = Mover(self._chance)
        self.kills = 0
        self._fill()
        self.mover.connect(self.port)

    def __repr__(self) -> str:
        mover = self.mover
        return (
            f"{self.kills} kills, {len(mover.committed)} commits with a receipt of {len(mover.tried)}, "
            f"{len(mover.aborted)} aborted"
        )

    def _fill(self) -> None:
        filler = Filler()
        filler.connect(self.port)
        for number in range(NUMBERS):
            filler.say("SEND", {"destination": SOURCE, "persistent": "true"}, str(number))
        filler.say("SEND", {"destination": SOURCE, "persistent": "true", "receipt": "end"}, str(NUMBERS))
        for command, _, _ in heard(filler):
            if command == "RECEIPT":
                return

    def round(self) -> None:
        """Move numbers until the broker is killed; start it again, and go on."""
        until = time.monotonic() + self._chance.uniform(*ROUND_S)
        while (left := until - time.monotonic()) > 0:
            if select.select([self.mover.socket], [], [], left)[0]:
                self.mover.act()
        self.broker.kill()
        self.kills += 1
        with suppress(OSError):
            # What the broker had sent before it died counts.
            while self.mover.socket is not None and self.mover.socket.recv(1, socket.MSG_PEEK):
                self.mover.act()
        self.broker.start()
        self.mover.connect(self.port)

    def finish(self) -> None:
        """Take everything out, and compare. Raises AssertionError."""
        mover = self.mover
        assert mover.socket is not None
        mover.socket.close()
        there = self._rest()
        self.broker.stop()
        everything = set(range(NUMBERS + 1))
        assert set(there[SOURCE]) | set(there[GOALS[0]]) == everything
        for name, numbers in there.items():
            assert max(numbers.values(), default=0) <= 1, f"something is twice in {name}"
        first, other = (set(there[goal]) for goal in GOALS)
        assert first == other, f"half of a transaction: {sorted(first ^ other)[:20]}"
        assert not first & set(there[SOURCE]), "moved, and where it was"
        lost = mover.committed - first
        assert not lost, f"{len(lost)} transactions with a receipt are lost: {sorted(lost)[:20]}"
        assert first <= mover.tried, "something was moved whose transaction was not committed"
        command = [sys.executable, "-m", "pillarbox", "check", str(self.broker.data / "data")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _rest(self) -> dict[str, Counter[int]]:
        """What is in which queue. Each ends with a mark."""
        reader, found = Filler(), dict[str, Counter[int]]()
        reader.connect(self.port)
        for name in (SOURCE, *GOALS):
            found[name] = Counter()
            reader.say("SEND", {"destination": name}, "end")
            reader.say("SUBSCRIBE", {"id": name, "destination": name})
            for command, _, body in heard(reader):
                if command == "MESSAGE" and body == b"end":
                    break
                if command == "MESSAGE":
                    found[name][int(body)] += 1
        return found


class Filler(Peer):
    """Says what it is told to."""


def heard(peer: Peer) -> Iterator[tuple[str, Headers, bytes]]:
    """All that comes, until nothing does for long."""
    while select.select([peer.socket], [], [], QUIET_S)[0]:
        yield from list(peer.heard())
    raise AssertionError("nothing comes any more")


def main() -> int:
    arguments = arguments_of("stomp_moves", __doc__).parse_args()
    return play(arguments, lambda folder: Moves(folder, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())
