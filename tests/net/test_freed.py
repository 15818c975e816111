"""What a connection had is freed as soon as it has ended, and not when the collector looks at what is old.

Ten thousand clients that go at once would else hold their memory for as long as nothing else makes garbage.
"""

from __future__ import annotations

import gc
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import ref

import pytest

from pillarbox.embedded import Broker
from pillarbox.protocols.registry import PROTOCOLS

WAIT_S = 10.0


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def mqtt(sock: socket.socket) -> None:
    """A client that has subscribed, published and got its message."""
    connect = text("MQTT") + b"\x04\x02\x00\x00" + text("one")
    sock.sendall(b"\x10" + bytes((len(connect),)) + connect)
    assert sock.recv(4) == b"\x20\x02\x00\x00"
    subscribe = b"\0\1" + text("a/b") + b"\1"
    sock.sendall(b"\x82" + bytes((len(subscribe),)) + subscribe)
    assert sock.recv(5) == b"\x90\x03\x00\x01\x01"
    publish = text("a/b") + b"\0\7hello"
    sock.sendall(b"\x32" + bytes((len(publish),)) + publish)
    heard = b""
    while b"hello" not in heard or b"\x40\x02\x00\x07" not in heard:
        heard += sock.recv(1000)


def stomp(sock: socket.socket) -> None:
    """The same."""
    sock.sendall(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
    sock.sendall(b"SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client\n\n\0")
    sock.sendall(b"SEND\ndestination:/queue/q\nreceipt:r\n\nhello\0")
    heard = b""
    while b"hello" not in heard or b"receipt-id:r" not in heard:
        heard += sock.recv(1000)


def kafka(sock: socket.socket) -> None:
    """A client that has asked what topics there are."""
    asked = struct.pack(">hhi", 3, 1, 5) + text("one") + struct.pack(">i", -1)
    sock.sendall(struct.pack(">i", len(asked)) + asked)
    assert sock.recv(1000)[4:8] == struct.pack(">i", 5)


def amqp(sock: socket.socket) -> None:
    """A client that has declared a queue, published to it and got its message."""

    def method(channel: int, payload: bytes) -> bytes:
        return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"

    def short(value: str) -> bytes:
        return bytes((len(value),)) + value.encode()

    login = b"\0guest\0guest"
    sock.sendall(b"AMQP\0\0\x09\x01")
    sock.sendall(
        method(
            0,
            struct.pack(">HHI", 10, 11, 0)
            + short("PLAIN")
            + struct.pack(">I", len(login))
            + login
            + short("en_US"),
        )
        + method(0, struct.pack(">HHHIH", 10, 31, 100, 131_072, 0))
        + method(0, struct.pack(">HH", 10, 40) + short("/") + b"\0\0")
        + method(1, struct.pack(">HH", 20, 10) + b"\0")
        + method(1, struct.pack(">HHH", 50, 10, 0) + short("q") + b"\0" + b"\0\0\0\0")
        + method(1, struct.pack(">HHH", 60, 20, 0) + short("q") + short("c") + b"\0" + b"\0\0\0\0")
        + method(1, struct.pack(">HHH", 60, 40, 0) + short("") + short("q") + b"\0")
        + struct.pack(">BHIHHQHB", 2, 1, 14, 60, 0, 5, 0, 0xCE)
        + struct.pack(">BHI5sB", 3, 1, 5, b"hello", 0xCE)
    )
    heard = b""
    while b"hello" not in heard:
        heard += sock.recv(10_000)


CLIENTS: dict[str, Callable[[socket.socket], None]] = {
    "amqp": amqp,
    "mqtt": mqtt,
    "stomp": stomp,
    "kafka": kafka,
}


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
def test_a_connection_is_freed_when_it_has_ended(protocol: str) -> None:
    """DESIGN, section 11: no reference leads from what a connection has back to itself."""
    options = {} if protocol == "amqp" else {f"{protocol}_port": 0}
    with Broker(**options) as broker:

        def port() -> int:
            return broker.call(lambda server: server.addresses[protocol][0][1])

        def come_and_go() -> list[ref[object]]:
            with socket.create_connection(("127.0.0.1", port()), timeout=WAIT_S) as sock:
                CLIENTS[protocol](sock)
                return broker.call(
                    lambda server: [
                        ref(one)
                        for one in [*(each.connection for each in server.clients), *server.core.sessions]
                    ]
                )

        come_and_go()
        with without_collector():
            left = come_and_go()
            assert len(left) >= 2
            until = time.monotonic() + WAIT_S
            while any(one() is not None for one in left) and time.monotonic() < until:
                time.sleep(0.01)
            assert [one() for one in left if one() is not None] == []
