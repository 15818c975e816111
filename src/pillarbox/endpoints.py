"""Where the broker listens for clients, an `Endpoint` each, and how an operator writes them.

Not here: which there are (`config` and each protocol's `options`), sockets (`app.binding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from pillarbox.config_values import OFF, PORT_MAX


class Endpoint(NamedTuple):
    """A port on which one protocol is spoken."""

    protocol: str
    name: str
    """As the startup line has it."""
    port: int
    """0: any that is free."""
    tls: bool = False
    host: str = ""
    """Empty: where all others are (the option `host`)."""
    advertised: tuple[str, int] | None = None
    """Where clients are told to connect, by protocols that tell them; None: where they did."""
    subprotocols: tuple[str, ...] = ()
    """It is spoken over WebSocket, by clients that name one of these; empty: by those that name none."""

    def is_open(self, has_certificate: bool) -> bool:
        """Whether clients can connect there, by whether there is a certificate for TLS."""
        return self.port != OFF and (has_certificate or not self.tls)

    @property
    def shown(self) -> str:
        """What RabbitMQ's management API calls its protocol."""
        if self.subprotocols:
            return f"http/web-{self.protocol}"
        return f"{self.protocol}/ssl" if self.tls else self.protocol


_LISTENER: Final = re.compile(r"([a-z0-9][a-z0-9_-]*)(\+tls)?://(.*):(\d+)", re.IGNORECASE)


def address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise ValueError(f'must be HOST:PORT, not "{text}"')
    return host.strip("[]"), int(port)


def in_url(host: str) -> str:
    """An address as it stands before a port: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def plain_and_tls(protocol: str, port: int, tls_port: int) -> tuple[Endpoint, Endpoint]:
    """The usual two of a protocol."""
    return Endpoint(protocol, protocol, port), Endpoint(protocol, f"{protocol}s", tls_port, tls=True)


def named(protocol: str, listeners: Iterable[str], advertised: Iterable[str]) -> tuple[Endpoint, ...]:
    """The named listeners of a protocol, from `NAME://HOST:PORT` or `NAME+tls://HOST:PORT`.

    `advertised`: `NAME://HOST:PORT` of some of them. Raises ValueError with the end of a sentence.
    """
    told: dict[str, tuple[str, int]] = {}
    for entry in advertised:
        name, _, text = entry.partition("://")
        told[name.lower()] = address(text)
    found: dict[str, Endpoint] = {}
    for entry in listeners:
        match = _LISTENER.fullmatch(entry)
        if match is None or int(match[4]) > PORT_MAX:
            raise ValueError(f'must be of NAME://HOST:PORT or NAME+tls://HOST:PORT, not "{entry}"')
        name = match[1].lower()
        if name in found:
            raise ValueError(f'must have different names, not "{name}" twice')
        host = match[3].strip("[]")
        found[name] = Endpoint(
            protocol, f"{protocol}-{name}", int(match[4]), bool(match[2]), host, told.get(name)
        )
    if unknown := told.keys() - found.keys():
        raise ValueError(f"must have the listeners that are advertised: {', '.join(sorted(unknown))}")
    return tuple(found.values())
