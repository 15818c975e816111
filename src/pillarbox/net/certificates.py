"""Who a client is by its TLS certificate: from what `ssl` decoded to the name of a user (R6).

Only certificates that were checked get here; an unchecked one decodes to nothing. Not here: checking
them, logging in.

Source: RabbitMQ's `ssl_cert_login_from`; RFC 4514 (how a distinguished name is written).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DISTINGUISHED_NAME, COMMON_NAME, ALTERNATIVE_NAME = (
    "distinguished_name",
    "common_name",
    "subject_alternative_name",
)
LOGIN_FROM = (DISTINGUISHED_NAME, COMMON_NAME, ALTERNATIVE_NAME)

ALTERNATIVE_TYPES = {"dns": "DNS", "email": "email", "ip": "IP Address", "uri": "URI"}
"""RabbitMQ's words for types of alternative names → OpenSSL's."""

SHORT_NAMES = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "EMAILADDRESS",
    "generationQualifier": "GENERATIONQUALIFIER",
    "givenName": "GIVENNAME",
    "initials": "INITIALS",
    "localityName": "L",
    "name": "NAME",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "pseudonym": "PSEUDONYM",
    "serialNumber": "SERIALNUMBER",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "surname": "SN",
    "title": "TITLE",
    "userId": "UID",
}
"""OpenSSL's words for parts of a name → what RabbitMQ writes for them."""

_ESCAPED = frozenset(',+"\\<>;')

Names = Iterable[Iterable[tuple[str, str]]]


def user_of(
    certificate: Mapping[str, Any] | None, *, login_from: str, san_type: str = "dns", san_index: int = 0
) -> str | None:
    """The user that a checked certificate speaks for; None if there is none, or no such name in it."""
    if not certificate:
        return None
    if login_from == ALTERNATIVE_NAME:
        kind = ALTERNATIVE_TYPES[san_type]
        found = [name for of, name in certificate.get("subjectAltName", ()) if of == kind]
        return found[san_index] if san_index < len(found) else None
    subject: Names = certificate.get("subject", ())
    if login_from == COMMON_NAME:
        return ",".join(value for part in subject for name, value in part if name == "commonName") or None
    return distinguished_name(subject) or None


def facts_of(cipher: tuple[str, str, int] | None, certificate: Mapping[str, Any] | None) -> dict[str, str]:
    """What people are shown of an encrypted connection: its protocol and cipher, as OpenSSL names them, and
    whose checked certificate the peer has."""
    name, protocol = cipher[:2] if cipher else ("", "")
    facts = {"protocol": protocol, "cipher": name}
    if certificate:
        facts["peer_subject"] = distinguished_name(certificate.get("subject", ()))
        facts["peer_issuer"] = distinguished_name(certificate.get("issuer", ()))
        facts["peer_validity"] = f"{certificate.get('notBefore', '')} - {certificate.get('notAfter', '')}"
    return facts


def distinguished_name(subject: Names) -> str:
    """A name as RFC 4514 writes it: the last part first."""
    parts = [
        "+".join(f"{SHORT_NAMES.get(name, name)}={_escaped(value)}" for name, value in part)
        for part in subject
    ]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    escaped = "".join(f"\\{character}" if character in _ESCAPED else character for character in value)
    if escaped[:1] in ("#", " "):
        escaped = "\\" + escaped
    if len(value) > 1 and escaped.endswith(" "):
        escaped = escaped[:-1] + "\\ "
    return escaped
