"""TLS for listeners: from two PEM files to a context, or one sentence for the operator.

Checked at the start rather than by the first client: that both files can be read, belong together, and that
the certificate is not over. Not here: listening, which port, for whom a client's certificate speaks.

Source: RFC 5280 section 4.1 (where a certificate says how long it is valid).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from pillarbox.errors import StartupError

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _SEQUENCE = 0xA0, 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
    until = _valid_until(text)
    if until is not None and ssl.cert_time_to_seconds(until) * 1000 < now_ms:
        raise StartupError(f"the TLS certificate {certificate} has expired: it was valid until {until}")
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


def _valid_until(pem: str) -> str | None:
    """When the first certificate of a PEM file ends, in the words of `ssl`; None if that cannot be found."""
    found = _CERTIFICATE.search(pem)
    if found is None:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        _, position, _ = _element(der, 0)
        _, position, _ = _element(der, position)
        kind, _, end = _element(der, position)
        # Serial number, algorithm and issuer stand before the validity; an explicit version before them.
        for _ in range(3 + (kind == _VERSION)):
            position, end = end, _element(der, end)[2]
        kind, start, _ = _element(der, position)
        if kind != _SEQUENCE:
            return None
        _, _, not_before_end = _element(der, start)
        kind, start, end = _element(der, not_before_end)
        return _time(kind, der[start:end].decode("ascii"))
    except (ValueError, IndexError, KeyError):
        return None


def _time(kind: int, digits: str) -> str:
    """A time as a certificate has it, in the one form that RFC 5280 allows of each kind."""
    if kind == _UTC_TIME:
        digits = ("20" if digits < "5" else "19") + digits
    elif kind != _GENERALIZED_TIME:
        raise ValueError(kind)
    month = _MONTHS[int(digits[4:6]) - 1]
    return f"{month} {int(digits[6:8]):2} {digits[8:10]}:{digits[10:12]}:{digits[12:14]} {digits[:4]} GMT"


def _element(der: bytes, position: int) -> tuple[int, int, int]:
    """The tag of the DER element at this position, where its content starts and where it ends."""
    size = der[position + 1]
    start = position + 2
    if size & 0x80:
        octets = size & 0x7F
        size = int.from_bytes(der[start : start + octets], "big")
        start += octets
    return der[position], start, start + size
