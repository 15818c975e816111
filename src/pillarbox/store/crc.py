"""CRC-32C (Castagnoli), the checksum of every stored format: compiled if there is one, else pure Python.

`crc32c(data, start)` goes on from the checksum `start`, so a sum over chunks needs no join.
"""

from __future__ import annotations

from collections.abc import Callable

POLYNOMIAL = 0x82F63B78
"""Castagnoli's polynomial, bit-reversed."""


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ POLYNOMIAL if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


def pure_crc32c(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """The same sum, byte by byte: what runs where no wheel of `crc32c` exists, and the tests' twin."""
    table = _TABLE
    value = start ^ 0xFFFFFFFF
    for byte in bytes(data):
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


_TABLE = _table()

crc32c: Callable[..., int]
try:
    from crc32c import crc32c as crc32c
except ImportError:  # pragma: no cover - depends on the platform
    crc32c = pure_crc32c
