"""Who reads the messages of an exchange with their headers as they came: names, types and order.

pamqp decodes headers to Python's types, in which a `long` and an `int` are the same, so the tables are read
here.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pamqp import commands, frame

from tests.clients.raw_client import RawClient

HEADERS, DELIVERY_MODE, TIMESTAMP = 0x2000, 0x1000, 0x0040
"""The only flags of properties that such messages have."""

Header = tuple[str, str, Any]
"""Name, letter of the type, value: of a table a list of such, of an array a list of letter and value."""

NUMBERS = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">q", "T": ">Q",
    "f": ">f", "d": ">d", "t": ">?",
}  # fmt: skip


class Told(NamedTuple):
    """One message."""

    key: str
    headers: list[Header]
    body: bytes
    delivery_mode: int | None
    timestamp: int | None


class Watcher:
    """A queue that is bound to an exchange, and what came into it."""

    def __init__(self, host: str, port: int, exchange: str) -> None:
        self._client = RawClient(host, port).open()
        self._client.open_channel()
        self._client.send(commands.Queue.Declare(exclusive=True), 1)
        self.queue = self._client.expect(commands.Queue.DeclareOk, 1).queue
        self._client.send(commands.Queue.Bind(queue=self.queue, exchange=exchange, routing_key="#"), 1)
        self._client.expect(commands.Queue.BindOk, 1)

    def take(self) -> list[Told]:
        """Everything that has come since."""
        taken = []
        while True:
            self._client.send(commands.Basic.Get(queue=self.queue, no_ack=True), 1)
            _, got = self._client.receive()
            if isinstance(got, commands.Basic.GetEmpty):
                return taken
            assert isinstance(got, commands.Basic.GetOk), got
            properties = self._frame()
            size = struct.unpack_from(">Q", properties, 4)[0]
            body = b""
            while len(body) < size:
                body += self._frame()
            taken.append(_told(str(got.routing_key), properties[12:], body))

    def close(self) -> None:
        self._client.send(commands.Connection.Close(200, "", 0, 0))
        self._client.expect(commands.Connection.CloseOk)
        self._client.socket.close()

    def _frame(self) -> bytes:
        start = self._client.receive_bytes(7)
        size = struct.unpack(">I", start[3:7])[0]
        whole = self._client.receive_bytes(size + 1)
        assert start[0] in (2, 3), frame.unmarshal(start + whole)
        return whole[:-1]


def _told(key: str, properties: bytes, body: bytes) -> Told:
    flags = struct.unpack_from(">H", properties)[0]
    assert not flags & ~(HEADERS | DELIVERY_MODE | TIMESTAMP), hex(flags)
    position = 2
    headers: list[Header] = []
    delivery_mode = timestamp = None
    if flags & HEADERS:
        headers, position = _table(properties, position)
    if flags & DELIVERY_MODE:
        delivery_mode, position = properties[position], position + 1
    if flags & TIMESTAMP:
        timestamp = struct.unpack_from(">Q", properties, position)[0]
    return Told(key, headers, body, delivery_mode, timestamp)


def _table(data: bytes, position: int) -> tuple[list[Header], int]:
    end = position + 4 + struct.unpack_from(">I", data, position)[0]
    position += 4
    fields = []
    while position < end:
        length = data[position]
        name = data[position + 1 : position + 1 + length].decode()
        letter, value, position = _value(data, position + 1 + length)
        fields.append((name, letter, value))
    return fields, end


def _value(data: bytes, position: int) -> tuple[str, Any, int]:
    letter = chr(data[position])
    position += 1
    value: Any
    if letter in NUMBERS:
        (value,) = struct.unpack_from(NUMBERS[letter], data, position)
        return letter, value, position + struct.calcsize(NUMBERS[letter])
    if letter == "F":
        return (letter, *_table(data, position))
    if letter == "V":
        return letter, None, position
    end = position + 4 + struct.unpack_from(">I", data, position)[0]
    position += 4
    if letter == "A":
        items = []
        while position < end:
            kind, item, position = _value(data, position)
            items.append((kind, item))
        return letter, items, end
    assert letter in "Sx", letter
    return letter, data[position:end].decode(), end
