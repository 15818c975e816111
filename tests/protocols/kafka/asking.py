"""A client of one socket that asks one thing at a time: requests and responses by kio, not by our codec.

`ask("CreateTopics", 7, topics=[{"name": "orders", ...}])` takes plain values: dictionaries for structs,
lists, ids as bytes, milliseconds as numbers; what is left out has Kafka's default or is empty. The response
is kio's.
"""

from __future__ import annotations

import dataclasses
import datetime
import socket
import struct
import uuid
from collections.abc import Mapping
from typing import Any, Self

from kio.serial import entity_reader

from pillarbox.protocols.kafka.messages import APIS
from tests.protocols.kafka.oracle import MS, encoded, kio_class, parts

KEYS = {api.name: key for key, api in APIS.items()}
EMPTY = {"string": "", "bytes": b"", "records": b"", "bool": False, "float64": 0.0, "uuid": None}


def built(kio_type: Any, values: Mapping[str, Any]) -> Any:
    """An instance of a kio class from plain values."""
    fields = {field.name: field for field in dataclasses.fields(kio_type)}
    assert set(values) <= set(fields), f"{kio_type.__name__} has no {set(values) - set(fields)}"
    return kio_type(
        **{
            name: _made(field, values[name]) if name in values else _left_out(field)
            for name, field in fields.items()
        }
    )


def _left_out(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    kind, is_array, optional = parts(field)
    if is_array:
        return ()
    if optional:
        return None
    if dataclasses.is_dataclass(kind):
        return built(kind, {})
    return _value(field.metadata["kafka_type"], EMPTY.get(field.metadata["kafka_type"], 0))


def _made(field: Any, value: Any) -> Any:
    kind, is_array, _ = parts(field)
    if value is None:
        return None

    def one(item: Any) -> Any:
        if dataclasses.is_dataclass(kind):
            return built(kind, item)
        return _value(field.metadata["kafka_type"], item)

    return tuple(one(item) for item in value) if is_array else one(value)


def _value(kafka_type: str, value: Any) -> Any:
    if kafka_type.startswith("timedelta"):
        return value * MS
    if kafka_type == "uuid":
        return None if value is None or value == bytes(16) else uuid.UUID(bytes=value)
    return value


class Asking:
    """See the module. Closes with its `with` block."""

    def __init__(
        self, bootstrap: str, *, client_id: str = "asking", context: Any = None, timeout_s: float = 10
    ) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        self._client_id = client_id
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, name: str, version: int, **values: Any) -> Any:
        """Send a request and return the response. Raises ConnectionError if the broker closes instead."""
        self.tell(name, version, **values)
        return self.take(KEYS[name], version)

    def tell(self, name: str, version: int, **values: Any) -> None:
        """Send a request to which there is no answer, or not yet."""
        key = KEYS[name]
        self.send(key, version, encoded(built(kio_class(key, version, "request"), values)))

    def send(self, key: int, version: int, body: bytes) -> None:
        """Send a request of these bytes."""
        self._correlation_id += 1
        header = struct.pack(">hhi", key, version, self._correlation_id)
        client_id = self._client_id.encode()
        header += struct.pack(">h", len(client_id)) + client_id
        if version >= APIS[key].flexible:
            header += b"\0"
        self._socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)

    def take(self, key: int, version: int) -> Any:
        """The response to what was sent last."""
        (size,) = struct.unpack(">i", self._read(4))
        data = self._read(size)
        (correlation_id,) = struct.unpack_from(">i", data)
        assert correlation_id == self._correlation_id
        at = 4
        if version >= APIS[key].flexible and key != KEYS["ApiVersions"]:
            assert data[4] == 0, "there are tags in the header"
            at = 5
        response, size = entity_reader(kio_class(key, version, "response"))(data, at)
        assert at + size == len(data), "there is something behind the response"
        return response

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def send_bare(self, message: bytes) -> None:
        """Send a message without a header, but with its size."""
        self.send_raw(struct.pack(">i", len(message)) + message)

    def take_bare(self) -> bytes:
        """A message without a header."""
        (size,) = struct.unpack(">i", self._read(4))
        return self._read(size)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the broker has closed the connection")
            data += more
        return data

    @property
    def is_closed(self) -> bool:
        """Whether the broker closes the connection; waits for that."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True


def ms(span: datetime.timedelta) -> int:
    """The milliseconds of a span, as kio has it."""
    return span // MS
