"""How clients begin: what the predicates of all protocols share that tell them apart on one port (A67).

A protocol's row in `registry` names the module that has its `begins(first)`: given the first bytes of a
client, it says whether they are of this protocol: yes, no, or None, if more have to come to know. It is pure,
and what it has once said of some bytes it says of all that begin with them, so it does not matter how they
are cut. No bytes are of two protocols.
"""

from __future__ import annotations

FIRST_BYTES_MAX = 64
"""With so many every protocol is known: the longest of them, MQTT 3.1, needs 13. The rest is for the line
ends that may stand in front of a STOMP frame."""


def begins_with(first: bytes, *beginnings: bytes) -> bool | None:
    """Do these bytes begin with one of these?"""
    if first.startswith(beginnings):
        return True
    return None if any(each.startswith(first) for each in beginnings) else False


def is_between(first: bytes, at: int, size: int, least: int, most: int) -> bool | None:
    """Is the unsigned number of `size` bytes that stands there between these (inclusive)?"""
    known = first[at : at + size]
    lowest = int.from_bytes(known.ljust(size, b"\0"), "big")
    highest = int.from_bytes(known.ljust(size, b"\xff"), "big")
    if highest < least or lowest > most:
        return False
    return True if len(known) == size else None
