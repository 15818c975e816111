"""The table of hand-written transcripts, and words that several of them use."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.compare.client import FRAME_BODY, FRAME_HEADER, encode_properties, frame, method_frame
from tests.compare.operations import Operation, Sequence, op


@dataclass(frozen=True)
class Transcript:
    name: str
    group: str
    rows: tuple[str, ...]
    rule: str
    operations: tuple[Operation, ...]

    def sequence(self) -> Sequence:
        """Return the operations as a recording has them: what JSON makes of them."""
        return [Operation.from_json(json.loads(json.dumps(each.to_json()))) for each in self.operations]


ALL: dict[str, Transcript] = {}


def transcript(*rows: str) -> Callable[[Callable[[], Sequence]], Callable[[], Sequence]]:
    """Register a function's operations under its name."""

    def register(function: Callable[[], Sequence]) -> Callable[[], Sequence]:
        name = function.__name__
        assert name not in ALL, f"two transcripts are called {name}"
        group = function.__module__.rpartition(".")[2]
        ALL[name] = Transcript(name, group, rows, function.__doc__ or "", tuple(function()))
        return function

    return register


def properties(**values: Any) -> str:
    """Return basic properties in hex."""
    return encode_properties(values).hex()


def header(size: int, *, class_id: int = 60, rest: bytes = b"\0\0", channel: int = 1) -> bytes:
    """Return a content header frame for a body of `size`."""
    return frame(FRAME_HEADER, channel, struct.pack(">HHQ", class_id, 0, size) + rest)


def body(data: bytes, channel: int = 1) -> bytes:
    return frame(FRAME_BODY, channel, data)


def method(name: str, channel: int = 1, **args: Any) -> bytes:
    return method_frame(channel, name, **args)


def raw(*frames: bytes, on: str = "a", channels: list[int] | None = None, **args: Any) -> Operation:
    """Return an operation that sends bytes on an open connection with these channels open (default: 1)."""
    return op(on, "raw", data=b"".join(frames).hex(), channels=[1] if channels is None else channels, **args)


def fatal(*frames: bytes, channels: list[int] | None = None) -> Operation:
    """Return an operation whose bytes end the connection."""
    return raw(*frames, expect=[0, "eof"], channels=channels)


def close_args(code: int = 200, text: str = "") -> dict[str, Any]:
    return {"reply_code": code, "reply_text": text, "class_id": 0, "method_id": 0}
