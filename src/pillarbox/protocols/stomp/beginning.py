"""How a client of STOMP begins: with CONNECT or STOMP, and line ends before it as anywhere between frames."""

from pillarbox.protocols.beginnings import begins_with


def begins(first: bytes) -> bool | None:
    """See `protocols.beginnings`. Source: STOMP 1.2, "Connecting", "Heart-beating"."""
    return begins_with(first.lstrip(b"\r\n"), b"CONNECT\n", b"CONNECT\r", b"STOMP\n", b"STOMP\r")
