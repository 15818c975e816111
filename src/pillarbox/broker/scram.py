"""SCRAM verifiers: a password as SCRAM (RFC 5802) needs it on the server's side, and no more.

A verifier proves that a client knows the password without the server's knowing it, and the other way round.
From it nobody can log in; guessing costs `ITERATIONS` hashes a try. They are made whenever a password is set
in clear and kept beside RabbitMQ's salted hash, which is what PLAIN is checked against (microseconds; a
verifier would take milliseconds for every login) and what RabbitMQ reads.

Not here: the exchange of messages, which is a head's. Passwords are taken as UTF-8 as they come, as Kafka
does, without SASLprep. Source: RFC 5802 section 3, RFC 7677.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import msgspec

MECHANISMS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
"""Mechanism → the hash that it stands on."""

ITERATIONS = 4096
"""RFC 7677 asks for at least as many, Kafka makes and expects as many."""

ITERATIONS_MAX = 1_000_000
"""Of verifiers made elsewhere. The client does this work, so more would keep it out."""

SALT_BYTES = 16


class Verifier(msgspec.Struct, frozen=True):
    """What is kept of a password for one mechanism."""

    mechanism: str
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __post_init__(self) -> None:
        size = hashlib.new(MECHANISMS.get(self.mechanism, "sha256")).digest_size
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"unknown mechanism {self.mechanism!r}")
        if not ITERATIONS <= self.iterations <= ITERATIONS_MAX:
            raise ValueError(f"iterations must be from {ITERATIONS} to {ITERATIONS_MAX}")
        if not self.salt or len(self.stored_key) != size or len(self.server_key) != size:
            raise ValueError(f"salt or keys do not fit {self.mechanism}")


def derive(mechanism: str, password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """Make the verifier of a password. Cost: milliseconds, without the interpreter's lock."""
    salted = hashlib.pbkdf2_hmac(MECHANISMS[mechanism], password.encode(), salt, iterations)
    return of_salted(mechanism, salted, salt, iterations)


def of_salted(mechanism: str, salted: bytes, salt: bytes, iterations: int) -> Verifier:
    """Make the verifier of a password that was salted elsewhere. Raises ValueError if that is none."""
    algorithm = MECHANISMS[mechanism]
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    stored_key = hashlib.new(algorithm, client_key).digest()
    return Verifier(mechanism, iterations, salt, stored_key, hmac.digest(salted, b"Server Key", algorithm))


def derive_all(password: str, random: Callable[[int], bytes]) -> tuple[Verifier, ...]:
    """The verifiers of a password for every mechanism, each with a salt of its own. Cost: about 5 ms."""
    return tuple(derive(mechanism, password, random(SALT_BYTES)) for mechanism in MECHANISMS)
