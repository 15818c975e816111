"""How a client of Kafka begins: with the size of its first request, and which one that is, in which version.

There is no magic number in it, so the numbers have to be likely ones; what is unlikely, the connection would
refuse as well.
"""

from pillarbox.protocols.beginnings import is_between

REQUEST_BYTES_MIN = 8
"""Key, version and number of a request."""
STRANGER_BYTES_MAX = 64 << 10
"""Of any request before the client has said who it is."""
KEY_MAX = 1023
"""Kafka has numbered some 90 kinds of requests in 15 years."""
VERSION_MAX = 127
"""No kind has more than 20 versions."""

_FIELDS = (
    (0, 4, REQUEST_BYTES_MIN, STRANGER_BYTES_MAX),
    (4, 2, 0, KEY_MAX),
    (6, 2, 0, VERSION_MAX),
)
"""Where each number stands, its bytes, what it is at least and at most."""


def begins(first: bytes) -> bool | None:
    """See `protocols.beginnings`. Source: Kafka's protocol guide, "Protocol Common", "Request Header"."""
    for at, size, least, most in _FIELDS:
        if not (fits := is_between(first, at, size, least, most)):
            return fits
    return True
