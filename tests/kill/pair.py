"""A broker that is killed over and over, and its two clients: one sends, the other reads.

What MQTT's and STOMP's rounds share. Not here: what is said, and what was promised (`mqtt`, `stomp`).
"""

from __future__ import annotations

import argparse
import random
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from bench.peers import Pillarbox, free_ports

QUIET_S = 20.0
"""How long nothing must have come until nothing more is waited for."""


class Reader(Protocol):
    """A client that logs in again and again."""

    socket: socket.socket | None

    def connect(self, port: int) -> None: ...

    def act(self) -> None:
        """Take what has come."""


class Writer(Reader, Protocol):
    """One that sends as well."""

    def publish(self) -> None: ...


W = TypeVar("W", bound=Writer)
R = TypeVar("R", bound=Reader)


class Pair(Generic[W, R]):
    """See the module. The two speak `protocol`; a round takes `round_s` until the kill."""

    def __init__(
        self,
        folder: Path,
        protocol: str,
        chance: random.Random,
        writer: W,
        reader: R,
        round_s: tuple[float, float],
    ) -> None:
        self.random = chance
        self.writer, self.reader = writer, reader
        self.kills = 0
        self._round_s = round_s
        (self.port,) = free_ports(1)
        port = {f"PILLARBOX_{protocol.upper()}_PORT": str(self.port)}
        self.broker = Pillarbox(options=("--port", "off"), env=port, data=folder)
        self.broker.start()
        self._connect()

    def _connect(self) -> None:
        self.reader.connect(self.port)
        self.writer.connect(self.port)

    def _pump(self, seconds: float) -> None:
        """Let the clients do what they do."""
        until = time.monotonic() + seconds
        sockets = {each.socket: each for each in (self.reader, self.writer)}
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select(list(sockets), [], [], left)
            for each in readable:
                sockets[each].act()

    def _pump_until(self, done: Callable[[], bool]) -> None:
        """Let them do it until it is done, or until nothing has come of it for a while.

        How much there is to come depends on how far behind the killing has left them.
        """
        before: object = None
        until = 0.0
        while not done():
            now = self._progress()
            if now != before:
                before, until = now, time.monotonic() + QUIET_S
            elif time.monotonic() > until:
                return
            self._pump(0.02)

    def _progress(self) -> object:
        """Something that changes with everything that comes."""
        raise NotImplementedError

    def round(self) -> None:
        """Send until the broker is killed; start it again, and go on."""
        until = time.monotonic() + self.random.uniform(*self._round_s)
        while time.monotonic() < until:
            self.writer.publish()
            self._pump(0.002)
        self.broker.kill()
        self.kills += 1
        self._take_rest()
        self.broker.start()
        self._connect()

    def _take_rest(self) -> None:
        """Before it comes back: what the broker had sent before it died, where that counts."""


class Rounds(Protocol):
    """What is played: see `play`."""

    @property
    def broker(self) -> Pillarbox: ...

    def round(self) -> None: ...

    def finish(self) -> None: ...


def arguments_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """What can be said to each of these programs."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.kill.{name}", description=description)
    parser.add_argument("--rounds", type=int, default=200, help="kills (default %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    return parser


def play(arguments: argparse.Namespace, make: Callable[[Path], Rounds]) -> int:
    """Play so many rounds in a folder of their own and say what came of them, and with which seed."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = make(Path(folder))
        try:
            for _ in range(arguments.rounds):
                rounds.round()
            rounds.finish()
        except AssertionError:
            print(f"seed {arguments.seed}: {rounds!r}", file=sys.stderr)
            raise
        finally:
            rounds.broker.kill()
    print(f"seed {arguments.seed}: {rounds!r}, as promised")
    return 0
