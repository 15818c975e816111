"""A man in the middle: what an unmodified client really sends, as AMQP methods, while a broker answers it.

    with Wiretap(broker) as tap:
        connect(tap.target.url())
        tap.sent(commands.Basic.Qos)

Bytes are passed on as they come, by one thread for each direction; nothing is changed or held back.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self, TypeVar

from broker_target import Target
from pamqp import base, exceptions, frame
from raw_client import PROTOCOL_HEADER

READ_BYTES = 1 << 16
M = TypeVar("M", bound=base.Frame)


class Wiretap:
    """A listening socket in front of a broker; `target` is where clients go instead of it."""

    def __init__(self, broker: Target) -> None:
        self._listener = socket.create_server((broker.host, 0))
        self.target = Target(broker.kind, broker.host, self._listener.getsockname()[1])
        self._broker = broker
        self._heard: list[bytearray] = []
        """What each client has sent."""
        self._threads = [threading.Thread(target=self._accept, name="wiretap")]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._listener)
        self._threads[0].join()
        for each in self._sockets:
            end(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def sent(self, method: type[M]) -> list[M]:
        """Every method of one kind that clients have sent, in the order of each connection."""
        return [found for heard in self._heard for found in methods(bytes(heard), method)]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The listener ends.
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection((self._broker.host, self._broker.port))
                self._sockets += client, broker
                self._heard.append(bytearray())
                for ends in ((client, broker, self._heard[-1]), (broker, client, bytearray())):
                    self._threads.append(threading.Thread(target=pass_on, args=ends, name="wiretap"))
                    self._threads[-1].start()


def end(each: socket.socket) -> None:
    """Wake whoever waits at a socket; it stays open, so that its number is nobody else's yet."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


def pass_on(source: socket.socket, sink: socket.socket, heard: bytearray) -> None:
    """Copy what one side sends to the other, and a copy to `heard`, until one of them ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(READ_BYTES):
            heard += data
            sink.sendall(data)
    end(source)
    end(sink)


def methods(heard: bytes, wanted: type[M]) -> list[M]:
    """The methods of one kind in what a client has sent; a frame that is not complete yet is left."""
    found: list[M] = []
    rest = heard.removeprefix(PROTOCOL_HEADER)
    with contextlib.suppress(exceptions.UnmarshalingException):
        while rest:
            consumed, _, value = frame.unmarshal(rest)
            rest = rest[consumed:]
            if isinstance(value, wanted):
                found.append(value)
    return found
