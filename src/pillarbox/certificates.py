"""When a certificate is over: the one thing about it that the broker has to know, read from the file.

`ssl` tells it only of certificates of peers. What is needed of DER (X.690) is small: a tag, a length, and
what is inside. A certificate is SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { not
before, not after }, ... } ... } (RFC 5280, 4.1).
"""

from __future__ import annotations

import ssl
from calendar import timegm

UTC_TIME, GENERALIZED_TIME, VERSION = 0x17, 0x18, 0xA0
YEAR_DIGITS = {UTC_TIME: 2, GENERALIZED_TIME: 4}


def ends_s(pem: str) -> int:
    """The second since 1970 with which the first certificate of a PEM file is over.

    Raises ValueError if there is none, or none that can be read.
    """
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        raise ValueError("there is no certificate in it")
    try:
        return _not_after_s(ssl.PEM_cert_to_DER_cert(pem[begin : end + len(ssl.PEM_FOOTER)]))
    except (ValueError, IndexError, KeyError):
        raise ValueError("the certificate in it cannot be read") from None


def _not_after_s(der: bytes) -> int:
    """Raises ValueError, IndexError or KeyError for what is no certificate."""
    (_, certificate), *_ = _parts(der)
    (_, body), *_ = _parts(certificate)
    fields = [part for part in _parts(body) if part[0] != VERSION]
    _serial, _algorithm, _issuer, (_, validity), *_ = fields
    _, (tag, text) = _parts(validity)
    digits = YEAR_DIGITS[tag]
    year = int(text[:digits])
    if digits == 2:
        year += 2000 if year < 50 else 1900
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(digits, digits + 10, 2))
    return timegm((year, month, day, hour, minute, second))


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element. Raises ValueError if one is cut off."""
    found = []
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("the certificate is cut off")
        found.append((tag, data[position : position + length]))
        position += length
    return found
