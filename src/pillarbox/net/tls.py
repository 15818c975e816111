"""TLS for listeners: from two PEM files to a context, or one sentence for the operator.

Checked at the start rather than by the first client: that both files can be read, belong together, and that
the certificate is not over. When the files change, new clients meet what stands in them then.
Not here: listening, which port, for whom a client's certificate speaks.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pillarbox.certificates import ends_s
from pillarbox.clock import iso_time
from pillarbox.errors import StartupError

log = logging.getLogger("pillarbox")

LOOK_MS = 10_000
"""How often it is looked whether files have changed."""

VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
"""What is asked of clients: no certificate, one that is checked if it is there, or one in any case."""


def server_context(
    certificate: str,
    key: str,
    now_ms: int,
    *,
    verify: str = "none",
    authorities: str = "",
    by_name: Mapping[str, tuple[str, str]] | None = None,
) -> ssl.SSLContext:
    """Make the context of a listener. Raises StartupError for files that no client could accept.

    `verify` and `authorities`: which client certificates are asked for and trusted. `by_name`: for names that
    clients ask for (SNI; `*.` stands for one label), other certificates and their keys.
    """
    context = _context(certificate, key, now_ms, verify, authorities)
    others = {
        name.lower(): _context(*pair, now_ms, verify, authorities) for name, pair in (by_name or {}).items()
    }
    if others:
        context.sni_callback = lambda connection, name, _: _choose(others, connection, name)
    return context


class Renewal:
    """Has a context go on with new files. It is looked at by the ticker (see `ticker.Watched`).

    `make` makes another context of these `paths`, at this time in milliseconds. If it raises StartupError the
    log says so once: until the files change again, what was there before goes on.
    """

    def __init__(self, make: Callable[[int], ssl.SSLContext], paths: Sequence[str], now_ms: int) -> None:
        self._make = make
        self._paths = [path for path in paths if path]
        self._due_ms = now_ms + LOOK_MS
        self._seen = self._stamps()
        self.context = make(now_ms)
        """For listeners, for good."""

    def __repr__(self) -> str:
        return f"<Renewal {', '.join(self._paths)}>"

    def housekeeping(self, now_ms: int) -> None:
        """Make another context if it is time to look and some file is another one."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + LOOK_MS
        seen, before = self._stamps(), self._seen
        if seen == before:
            return
        self._seen = seen
        try:
            fresh = self._make(now_ms)
        except StartupError as error:
            log.warning("%s; TLS goes on with what it had", error)
            return
        self.context.sni_callback = partial(_meet, fresh)
        log.info("TLS goes on with new files for new connections: %s", self._paths[0])

    def _stamps(self) -> list[tuple[int, ...]]:
        """What tells whether files are the same."""
        return [_stamp(path) for path in self._paths]


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _meet(fresh: ssl.SSLContext, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> Any:
    """Let a client go on with another context than that of the listener, and by its choice of names."""
    connection.context = fresh
    if fresh.sni_callback is None:
        return None
    return fresh.sni_callback(connection, name, fresh)  # type: ignore[arg-type]


def _choose(others: Mapping[str, ssl.SSLContext], connection: ssl.SSLObject, name: str | None) -> None:
    asked = (name or "").lower()
    other = others.get(asked) or others.get("*." + asked.partition(".")[2])
    if other is not None:
        connection.context = other


def _context(certificate: str, key: str, now_ms: int, verify: str, authorities: str) -> ssl.SSLContext:
    text = _read("certificate", certificate)
    _read("key", key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password given, an encrypted key would have OpenSSL ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartupError(f"the TLS key {key} is not that of the certificate {certificate}") from None
        raise StartupError(
            f"cannot use the TLS certificate {certificate} with the key {key}: both must be PEM files, "
            f"the key without a password ({error.reason or error})"
        ) from None
    _check_time(certificate, text, now_ms)
    if authorities:
        _read("authorities", authorities)
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError as error:
            why = f"it must be a PEM file ({error.reason or error})"
            raise StartupError(f"cannot use the TLS authorities {authorities}: {why}") from None
    context.verify_mode = VERIFY[verify]
    return context


def _read(what: str, path: str) -> str:
    try:
        return Path(path).read_text("latin-1")
    except OSError as error:
        raise StartupError(f"cannot read the TLS {what} {path}: {error.strerror or error}") from None


def _check_time(certificate: str, pem: str, now_ms: int) -> None:
    """Refuse what is over. What OpenSSL has taken and we cannot read, its peers may judge."""
    try:
        end_ms = ends_s(pem) * 1000
    except ValueError:
        return
    if end_ms < now_ms:
        until = iso_time(end_ms)
        raise StartupError(f"the TLS certificate {certificate} has expired: it was valid until {until}")
