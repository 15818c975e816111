"""How a client of AMQP begins. Of any version: who wants another one is told which is spoken here."""

from pillarbox.protocols.beginnings import begins_with


def begins(first: bytes) -> bool | None:
    """See `protocols.beginnings`. Source: AMQP 0-9-1, 4.2.2 "Protocol Header"."""
    return begins_with(first, b"AMQP")
