"""SIGKILL under STOMP: what had its receipt is there after every kill, once it was acknowledged it is not.

    python -m tests.kill.stomp --rounds 200

One client sends persistent messages to a queue, alone and three to a transaction, with receipts. The other
reads them (`client-individual`), and acknowledges those that it likes, with receipts as well. Both come back
after each kill; what had no receipt is not sent again, so it may be there or not. What is checked:

- a message, or transaction, that had its receipt comes; of another one, all of it comes or nothing;
- on one connection messages come in the order in which they were sent, whether anew or again;
- none comes after the receipt of its acknowledgement, and none that was not sent.
"""

from __future__ import annotations

import random
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.peers import HOST
from pillarbox.protocols.stomp.wire import Scanner, read_head
from tests.kill.pair import Pair, arguments_of, play

WINDOW = 30
"""Sends that have no receipt yet."""
PREFETCH = 500
"""Deliveries that are not answered."""
ROUND_S = (0.02, 0.4)
"""How long a round may take until the kill."""
IN_TRANSACTION = 3
DESTINATION = "/queue/kill"
Headers = dict[str, str]


class Peer:
    """A client that logs in again and again."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self._scanner = Scanner()

    def connect(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self._scanner = Scanner()
        self._scanner.body_bytes_max = 1 << 20
        self.say("CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})
        self.resume()

    def resume(self) -> None:
        """Go on, on a new connection."""

    def say(self, command: str, headers: Headers, body: str = "") -> None:
        """A broker that is gone hears nothing."""
        assert self.socket is not None
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        with suppress(OSError):
            self.socket.sendall(f"{command}\n{lines}\n{body}\0".encode())

    def heard(self) -> Iterator[tuple[str, Headers, bytes]]:
        """What has come by now."""
        assert self.socket is not None
        with suppress(OSError):
            self._scanner.feed(self.socket.recv(1 << 16))
        while (found := self._scanner.next()) is not None:
            command, headers = read_head(found[0], "1.2")
            yield command, headers, found[1]

    def act(self) -> None:
        """Take what has come."""
        for command, headers, body in self.heard():
            assert command in ("CONNECTED", "MESSAGE", "RECEIPT"), (command, headers, body)
            if command != "CONNECTED":
                self.take(command, headers, body)

    def take(self, command: str, headers: Headers, body: bytes) -> None:
        raise NotImplementedError


class Writer(Peer):
    """Sends numbers."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.sent = 0
        self.promised: set[int] = set()
        """Had their receipt."""
        self.pending: dict[str, range] = {}
        """Receipt → the numbers that it is for."""
        self.transactions: list[range] = []

    def resume(self) -> None:
        self.pending.clear()

    def publish(self) -> None:
        """As much as the window has room for."""
        while len(self.pending) < WINDOW:
            together = self._chance.random() < 0.2
            numbers = range(self.sent, self.sent + (IN_TRANSACTION if together else 1))
            self.sent = numbers.stop
            receipt = f"upto-{numbers.stop}"
            self.pending[receipt] = numbers
            if together:
                self.transactions.append(numbers)
                self.say("BEGIN", {"transaction": receipt})
                for number in numbers:
                    self._send(number, {"transaction": receipt})
                self.say("COMMIT", {"transaction": receipt, "receipt": receipt})
            else:
                self._send(numbers.start, {"receipt": receipt})

    def _send(self, number: int, more: Headers) -> None:
        self.say("SEND", {"destination": DESTINATION, "persistent": "true", **more}, str(number))

    def take(self, command: str, headers: Headers, body: bytes) -> None:
        assert command == "RECEIPT", command
        self.promised.update(self.pending.pop(headers["receipt-id"]))


class Reader(Peer):
    """Acknowledges what it likes, and sees that the rest comes again."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.likes = 0.7
        self.got: set[int] = set()
        self.settled: set[int] = set()
        """Acknowledged, and told so by a receipt."""
        self.asked: set[int] = set()
        """Acknowledged on this connection, without a receipt so far."""
        self._last = -1
        """Of this connection."""
        self.again = 0

    def resume(self) -> None:
        self._last = -1
        self.asked.clear()
        said = {
            "id": "0",
            "destination": DESTINATION,
            "ack": "client-individual",
            "prefetch-count": str(PREFETCH),
        }
        self.say("SUBSCRIBE", said)

    def take(self, command: str, headers: Headers, body: bytes) -> None:
        if command == "RECEIPT":
            number = int(headers["receipt-id"])
            self.asked.discard(number)
            self.settled.add(number)
            return
        number = int(body)
        assert number > self._last, f"{number} came behind {self._last}"
        assert number not in self.settled, f"{number} came again, but its acknowledgement had a receipt"
        self._last = number
        self.again += number in self.got
        self.got.add(number)
        if self._chance.random() < self.likes:
            self.asked.add(number)
            self.say("ACK", {"id": headers["ack"], "receipt": str(number)})


class StompRounds(Pair[Writer, Reader]):
    """See `Pair`."""

    def __init__(self, folder: Path, seed: int) -> None:
        chance = random.Random(seed)
        super().__init__(folder, "stomp", chance, Writer(chance), Reader(chance), ROUND_S)

    def _take_rest(self) -> None:
        """What the broker had sent before it died counts."""
        for each in (self.reader, self.writer):
            assert each.socket is not None
            while select.select([each.socket], [], [], 0)[0]:
                try:
                    if not each.socket.recv(1, socket.MSG_PEEK):
                        break
                except OSError:
                    break
                each.act()
            each.socket.close()

    def finish(self) -> None:
        """Take everything out, and compare. Raises AssertionError."""
        reader, writer = self.reader, self.writer
        reader.likes = 1.0
        # What it did not like came again with this connection, so what is left comes with a new one.
        assert reader.socket is not None
        reader.socket.close()
        reader.connect(self.port)
        self._pump_until(lambda: not writer.pending)
        writer.say("SEND", {"destination": DESTINATION, "receipt": "end"}, str(writer.sent))
        writer.pending["end"] = range(writer.sent, writer.sent + 1)
        self._pump_until(lambda: writer.sent in reader.settled and not reader.asked)
        self.broker.stop()
        for numbers in writer.transactions:
            there = [number for number in numbers if number in reader.got]
            assert not there or len(there) == len(numbers), f"of transaction {numbers} only {there} came"
        lost = writer.promised - reader.got
        assert not lost, f"{len(lost)} messages with a receipt are lost: {sorted(lost)[:20]}"
        assert reader.got <= set(range(writer.sent + 1)), "something came that was not sent"
        command = [sys.executable, "-m", "pillarbox", "check", str(self.broker.data / "data")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _progress(self) -> object:
        return len(self.reader.got), len(self.reader.settled), len(self.writer.pending)

    def __repr__(self) -> str:
        writer, reader = self.writer, self.reader
        return (
            f"{self.kills} kills, {writer.sent} messages, {len(writer.promised)} with a receipt, "
            f"{len(writer.transactions)} transactions, {len(reader.got)} came, {reader.again} of them again"
        )


def main() -> int:
    arguments = arguments_of("stomp", __doc__).parse_args()
    return play(arguments, lambda folder: StompRounds(folder, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())
