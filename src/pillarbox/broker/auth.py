"""Users, passwords and permissions: one model under all protocols.

A user has a password hash, tags, and per virtual host three patterns: configure, write, read. Hashes are
RabbitMQ's: base64(salt4 + H(salt4 + utf-8 password)); who got a password in clear has SCRAM verifiers of it
too (`scram`). Who logs in with a token brings rights along and is kept nowhere (`bearer`): a *principal* is
either. Not here: how a protocol carries credentials.

Source: RabbitMQ's access control documentation; rows R5, R90-R92, R94.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pillarbox.broker.bearer import Bearer
from pillarbox.broker.outside import NO_CALLER, Answer, Backend, Caller, Login, Outside, Vouched
from pillarbox.broker.scram import Verifier, derive_all
from pillarbox.broker.topic_permission import TopicPermissions, topic_refused
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


Principal = User | Bearer | Vouched
"""Who somebody is after the login."""


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
    return User(name, hashed, tags=tags, scram=derive_all(password, random) if password else ())


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
    """All users and their permissions. `backends`: what is asked who somebody is, in this order.

    `outside` knows what others have said, where any of the backends is elsewhere.
    """

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.backends: tuple[Backend, ...] = (Backend(INTERNAL, INTERNAL),)
        self.by_token: Callable[[bytes], Bearer | None] = lambda token: None
        """Whose token that is, where there are such logins; the composition root knows."""
        self.by_name: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}
        self.topics = TopicPermissions()

    def believes(self, authn: str) -> bool:
        """Is this one of the backends that are asked who somebody is?"""
        return any(backend.authn == authn for backend in self.backends)

    def authenticate(self, name: str, password: bytes | None, caller: Caller = NO_CALLER) -> Principal | None:
        """Who that is, if there is somebody with this name and password, or with this token as password.

        None as the password: the name is known to be theirs, from a certificate. Raises Undecided.
        """
        for backend in self.backends:
            believe = BELIEVED.get(backend.authn, Users._by_outside)
            found = believe(self, backend, name, password, caller)
            if found is not None:
                found = self._judged(backend, found, password, caller)
            if found is not None:
                return found
        return None

    def by_proof(self, name: str, verifier: Verifier, caller: Caller = NO_CALLER) -> Principal | None:
        """Who that is, if somebody has proved to know the password that this verifier is of, and it is still
        that user's. Raises Undecided."""
        user = self.by_name.get(name)
        if user is None or verifier not in user.scram:
            return None
        for backend in self.backends:
            found = self._judged(backend, user, None, caller) if backend.authn == INTERNAL else None
            if found is not None:
                return found
        return None

    def by_password(self, name: str, password: bytes | None) -> User | None:
        """The user, if there is one of this name with this password; an empty one is none, as in RabbitMQ."""
        user = self.by_name.get(name)
        if password is None:
            return user
        return user if password_matches(user or NOBODY, password) and password else None

    def _by_outside(
        self, backend: Backend, name: str, password: bytes | None, caller: Caller
    ) -> Principal | None:
        answer = self.outside.answer(Login(backend.authn, name, password, caller), backend)
        if not answer.allowed:
            return None
        return Vouched(self.outside, backend, name, answer.tags, caller, password)

    def _judged(
        self, backend: Backend, found: Principal, password: bytes | None, caller: Caller
    ) -> Principal | None:
        """The same with the rights that another backend gives, and its tags; None: that one knows nobody."""
        if backend.authz == backend.authn:
            return found
        if backend.authz == INTERNAL:
            user = self.by_name.get(found.name)
            tags = () if user is None else tuple(dict.fromkeys((*found.tags, *user.tags)))
            return user and msgspec.structs.replace(user, tags=tags)
        answer = self.outside.answer(Login(backend.authz, found.name, None, caller), backend)
        if not answer.allowed:
            return None
        tags = tuple(dict.fromkeys((*found.tags, *answer.tags)))
        return Vouched(self.outside, backend, found.name, tags, caller, password)

    def renew(self, principal: Principal, secret: bytes) -> Principal:
        """Who that is with a new token; a password needs no renewal. Raises NOT_ALLOWED."""
        if not isinstance(principal, Bearer):
            return principal
        renewed = self.by_token(secret)
        if renewed is None or renewed.name != principal.name:
            raise BrokerError(Reason.NOT_ALLOWED, "New secret was refused by one of the backends")
        return renewed

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

    def may_enter(self, user: Principal, vhost: str) -> bool:
        """May the user open a connection to this virtual host at all?"""
        if isinstance(user, User):
            return (user.name, vhost) in self.permissions
        return user.may_enter(vhost) if isinstance(user, Bearer) else user.entry(vhost).allowed

    def demand_entry(self, user: Principal, vhost: str) -> None:
        """Raise BrokerError(NOT_ALLOWED) unless the user may open a connection to this virtual host."""
        if not self.may_enter(user, vhost):
            why = _why(user, user.entry(vhost)) if isinstance(user, Vouched) else ""
            text = f"access to vhost '{vhost}' refused for user '{user.name}'{why}"
            raise BrokerError(Reason.NOT_ALLOWED, text)

    def allows(self, user: Principal, vhost: str, action: str, name: str, kind: str = "queue") -> bool:
        """May the user do this to the thing of this name? `kind` matters to nobody but others outside."""
        if isinstance(user, User):
            permission = self.permissions.get((user.name, vhost))
            return permission is not None and permission.allows(action, name or "amq.default")
        if isinstance(user, Bearer):
            return user.allows(vhost, action, name or "amq.default")
        return user.access(vhost, action, kind, name or "amq.default").allowed

    def demand(self, user: Principal, vhost: str, action: str, kind: str, name: str) -> None:
        """Raise BrokerError(ACCESS_REFUSED) unless the user may do this to the `kind` of this name."""
        if not self.allows(user, vhost, action, name, kind):
            shown = name or "amq.default"
            why = _why(user, user.access(vhost, action, kind, shown)) if isinstance(user, Vouched) else ""
            text = f"access to {kind} '{shown}' in vhost '{vhost}' refused for user '{user.name}'{why}"
            raise BrokerError(Reason.ACCESS_REFUSED, text)

    def looks_at_topics(self, user: Principal) -> bool:
        """Do routing keys matter for this user?"""
        return bool(self.topics.by_user) or not isinstance(user, User)

    def demand_topics(
        self,
        user: Principal,
        vhost: str,
        exchange: str,
        action: str,
        keys: tuple[str, ...],
        variables: Mapping[str, str],
    ) -> None:
        """Raise BrokerError(ACCESS_REFUSED) unless the user may do this with these keys (R93)."""
        if isinstance(user, User):
            for key in keys if self.topics.by_user else ():
                self.topics.demand(user.name, vhost, exchange, action, key, variables)
        elif isinstance(user, Bearer):
            for key in keys:
                if not user.allows(vhost, action, exchange, key):
                    raise topic_refused(user.name, vhost, exchange, key)
        else:
            for key in keys:
                answer = user.topic_access(vhost, exchange, action, key, dict(variables))
                if not answer.allowed:
                    refused = topic_refused(user.name, vhost, exchange, key)
                    raise BrokerError(refused.reason, refused.text + _why(user, answer))


def _why(user: Vouched, answer: Answer) -> str:
    """What a refusal says of a backend that could not answer."""
    if not answer.error:
        return ""
    return f", backend rabbit_auth_backend_{user.backend.authz} returned an error: {answer.error}"


INTERNAL, OAUTH2 = "internal", "oauth2"
BELIEVED: dict[str, Callable[[Users, Backend, str, bytes | None, Caller], Principal | None]] = {
    INTERNAL: lambda users, backend, name, password, caller: users.by_password(name, password),
    OAUTH2: lambda users, backend, name, password, caller: users.by_token(password or b""),
}
"""Name of a backend in this process → who that is, or nobody; any other is asked outside. A token knows the
name better than the client does."""
