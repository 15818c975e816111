"""How MQTT writes numbers, texts and bytes. Bounded by the bytes at hand; nothing but `WireError` leaves.

Source: MQTT 5.0, 1.5.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pillarbox.protocols.mqtt.reasons import ReasonCode

INTEGER_MAX: Final = 268_435_455
"""What four bytes of seven bits hold."""

_uint16 = Struct(">H")
_uint32 = Struct(">I")


class WireError(Exception):
    """The peer sent what is not MQTT. `reason` is the code that version 5 answers it with."""

    def __init__(self, reason: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Reader:
    """Takes one thing after the other from the bytes of one packet."""

    __slots__ = ("_data", "_end", "at")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self.at = at
        self._end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Bytes that are not taken yet."""
        return self._end - self.at

    def _take(self, count: int) -> int:
        """Move on by so many bytes; return where they begin."""
        at = self.at
        if count > self._end - at:
            raise WireError(ReasonCode.MALFORMED_PACKET, "a packet that ends too early")
        self.at = at + count
        return at

    def byte(self) -> int:
        return self._data[self._take(1)]

    def uint16(self) -> int:
        value: int = _uint16.unpack_from(self._data, self._take(2))[0]
        return value

    def uint32(self) -> int:
        value: int = _uint32.unpack_from(self._data, self._take(4))[0]
        return value

    def integer(self) -> int:
        """A number of one to four bytes, lowest seven bits first."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift and not byte:
                    raise WireError(ReasonCode.MALFORMED_PACKET, "a number with more bytes than it needs")
                return value
        raise WireError(ReasonCode.MALFORMED_PACKET, "a number of more than four bytes")

    def binary(self) -> bytes:
        size = self.uint16()
        at = self._take(size)
        return self._data[at : at + size]

    def text(self) -> str:
        """UTF-8 without NUL (which [MQTT-1.5.4-2] forbids) and without surrogates."""
        raw = self.binary()
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            raise WireError(ReasonCode.MALFORMED_PACKET, "a text that is not UTF-8") from None
        if "\0" in value:
            raise WireError(ReasonCode.MALFORMED_PACKET, "a text with a NUL")
        return value

    def rest(self) -> bytes:
        """All that is left."""
        at, self.at = self.at, self._end
        return self._data[at : self._end]

    def part(self, size: int) -> Reader:
        """A reader of the next bytes alone."""
        at = self._take(size)
        return Reader(self._data, at, at + size)

    def demand_end(self) -> None:
        """Refuse what stands behind the last field."""
        if self.at != self._end:
            raise WireError(ReasonCode.MALFORMED_PACKET, "a packet with more bytes than its fields")


def integer(value: int) -> bytes:
    """Write a number of up to 28 bits."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary(value: bytes) -> bytes:
    """Write up to 65,535 bytes with their size in front."""
    return _uint16.pack(len(value)) + value


def text(value: str) -> bytes:
    """Write a text as UTF-8."""
    return binary(value.encode())
