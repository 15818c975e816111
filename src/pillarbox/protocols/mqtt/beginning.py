"""How a client of MQTT begins: with CONNECT, its size, and the protocol's name in it.

Of any version: who wants one that is not spoken here gets the answer for that.
"""

from pillarbox.protocols.beginnings import begins_with

CONNECT = 0x10
SIZE_BYTES_MAX = 4
"""A remaining length has no more."""


def begins(first: bytes) -> bool | None:
    """See `protocols.beginnings`. Source: MQTT 3.1.1 and 5, 2.2.3, 3.1; MQTT 3.1, 3.1 (`MQIsdp`)."""
    if not first:
        return None
    if first[0] != CONNECT:
        return False
    size = first[1 : 1 + SIZE_BYTES_MAX]
    for at, byte in enumerate(size, 2):
        if byte < 0x80:
            return begins_with(first[at:], b"\0\4MQTT", b"\0\6MQIsdp")
    return None if len(size) < SIZE_BYTES_MAX else False
