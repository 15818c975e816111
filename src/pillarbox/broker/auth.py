"""Users, passwords and permissions: one model under all protocols.

A user has a password hash, tags, and per virtual host three patterns: configure, write, read. Hashes are
RabbitMQ's: base64(salt4 + H(salt4 + utf-8 password)); who got a password in clear has SCRAM verifiers of it
too (`scram`). Not here: how a protocol carries credentials.

Source: RabbitMQ's access control documentation; rows R5, R90-R92, R94.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

import msgspec

from pillarbox.broker.scram import Verifier, derive_all
from pillarbox.broker.topic_permission import TopicPermissions
from pillarbox.errors import BrokerError, Reason

SALT_BYTES = 4
DEFAULT_ALGORITHM = "rabbit_password_hashing_sha256"
ALGORITHMS: dict[str, Callable[[bytes], Any]] = {
    "rabbit_password_hashing_sha256": hashlib.sha256,
    "rabbit_password_hashing_sha512": hashlib.sha512,
    "rabbit_password_hashing_md5": hashlib.md5,
}


class User(msgspec.Struct, frozen=True):
    """Somebody who may log in, as it is kept. An empty hash never matches."""

    name: str
    password_hash: str
    hashing_algorithm: str = DEFAULT_ALGORITHM
    tags: tuple[str, ...] = ()
    scram: tuple[Verifier, ...] = ()
    """Of the same password; none where only the hash is known."""


class Permission(msgspec.Struct, frozen=True):
    """Patterns of the names that a user may configure, write and read in a virtual host, as they are kept."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str

    def allows(self, action: str, name: str) -> bool:
        """May the user do `action` ("configure", "write", "read") to the thing of this name?"""
        pattern = getattr(self, action) or "^$"
        try:
            return re.search(pattern, name) is not None
        except re.error:
            return False


def hash_password(password: str, salt: bytes, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Make the stored form of a password. Raises KeyError for an unknown algorithm."""
    digest = ALGORITHMS[algorithm](salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def user_with_password(
    name: str, password: str, tags: tuple[str, ...], random: Callable[[int], bytes]
) -> User:
    """A user with this password, in all the forms in which it is kept. Cost: that of `scram.derive_all`."""
    hashed = hash_password(password, random(SALT_BYTES))
    return User(name, hashed, tags=tags, scram=derive_all(password, random))


def password_matches(user: User, password: bytes) -> bool:
    """Compare in constant time; a malformed hash matches nothing."""
    try:
        stored = base64.b64decode(user.password_hash, validate=True)
    except ValueError:
        return False
    salt, digest = stored[:SALT_BYTES], stored[SALT_BYTES:]
    return bool(digest) and hmac.compare_digest(
        ALGORITHMS[user.hashing_algorithm](salt + password).digest(), digest
    )


NOBODY = User("", hash_password("", b"none"))
"""Stands in for a user who is not there, so that how long a refusal takes does not tell who is."""


class Users:
    """All users and their permissions."""

    def __init__(self) -> None:
        self.by_name: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}
        self.topics = TopicPermissions()

    def authenticate(self, name: str, password: bytes) -> User | None:
        """The user, if there is one of this name with this password."""
        user = self.by_name.get(name)
        return user if password_matches(user or NOBODY, password) else None

    def put(self, user: User) -> User:
        """Take a user over, and return it as it is then.

        The hash that is known already stands for the password that is known already, so verifiers stay with
        it: who exports a user, changes its tags and imports it has not taken anything away.
        """
        known = self.by_name.get(user.name)
        if known is not None and not user.scram and known.password_hash == user.password_hash:
            user = msgspec.structs.replace(user, scram=known.scram)
        self.by_name[user.name] = user
        return user

    def may_enter(self, user: User, vhost: str) -> bool:
        """May the user open a connection to this virtual host at all?"""
        return (user.name, vhost) in self.permissions

    def allows(self, user: User, vhost: str, action: str, name: str) -> bool:
        """May the user do this to the thing of this name?"""
        permission = self.permissions.get((user.name, vhost))
        return permission is not None and permission.allows(action, name or "amq.default")

    def demand(self, user: User, vhost: str, action: str, kind: str, name: str) -> None:
        """Raise BrokerError(ACCESS_REFUSED) unless the user may do this to the `kind` of this name."""
        if not self.allows(user, vhost, action, name):
            shown = name or "amq.default"
            text = f"access to {kind} '{shown}' in vhost '{vhost}' refused for user '{user.name}'"
            raise BrokerError(Reason.ACCESS_REFUSED, text)
