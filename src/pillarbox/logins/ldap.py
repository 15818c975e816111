"""Asks an LDAP directory, as rabbitmq_auth_backend_ldap does (R8): who somebody is by a bind, and what they
may do by queries (`ldap_queries`).

A login binds with the user's password; the name of the user's entry is made by a pattern, or looked up before
or after that. Later questions bind as the user again, or as whom `other_bind` names. Every question has a
connection of its own and takes a thread, of eight; one whose query needs no directory takes neither.

Needs the extra `pillarbox[ldap]` (ldap3). Source: RFC 4511, RFC 4513 (an empty name or password is none), RFC
4514, RFC 4515; RabbitMQ, "LDAP Support".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from ldap3 import ANONYMOUS, BASE, NONE, SIMPLE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException, LDAPSocketOpenError
from ldap3.utils.conv import escape_filter_chars

from pillarbox.broker.outside import Access, Answer, Entry, Login, Question, TopicAccess
from pillarbox.errors import StartupError
from pillarbox.logins.asker import BackendError
from pillarbox.logins.ldap_queries import Query, QueryError, Variables, filled_dn, parse, parse_tags

AT_A_TIME = 8
"""Questions that are asked at a time, each in a thread that waits for the directory."""

NAMES_MAX = 10_000
"""Users whose entries' names are remembered from their logins; others are looked up anew."""

GROUPS_MAX = 1000
"""Groups within groups that are looked at for one question."""

AS_USER, ANON = "as_user", "anon"
NO_ATTRIBUTES = "1.1"
"""RFC 4511, 4.5.1.8."""


class Bind(NamedTuple):
    """As whom to look: the name of an entry and its password; an empty name is nobody."""

    dn: str
    password: str = ""


class LdapSettings(NamedTuple):
    """Where the directory is and how it is asked; see `auth_ldap_*` in `config`."""

    servers: Sequence[str]
    port: int
    use_ssl: bool
    use_starttls: bool
    authorities: str
    timeout_s: float
    user_dn_pattern: str
    user_bind_pattern: str
    lookup_attribute: str
    lookup_base: str
    lookup_bind: Bind | None
    """None: as the user."""
    other_bind: Bind | None
    group_base: str
    vhost_query: str
    resource_query: str
    topic_query: str
    tag_queries: str


class LdapBackend:
    """See the module. Raises StartupError for queries that are none."""

    def __init__(self, settings: LdapSettings) -> None:
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._queries: dict[type, Query] = {
            Entry: _read("auth_ldap_vhost_access_query", settings.vhost_query, parse),
            Access: _read("auth_ldap_resource_access_query", settings.resource_query, parse),
            TopicAccess: _read("auth_ldap_topic_access_query", settings.topic_query, parse),
        }
        self._tags = _read("auth_ldap_tag_queries", settings.tag_queries, parse_tags)
        self._threads = ThreadPoolExecutor(AT_A_TIME, "pillarbox-ldap")
        self._names: dict[str, str] = {}
        """The name of the entry of each user, as it was at the login."""
        tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=settings.authorities or None)
        self._servers = [
            Server(
                host,
                settings.port,
                use_ssl=settings.use_ssl,
                tls=tls,
                get_info=NONE,
                connect_timeout=settings.timeout_s,
            )
            for host in settings.servers
        ]

    def __repr__(self) -> str:
        return f"<LdapBackend {', '.join(self._settings.servers)}>"

    async def answer(self, question: Question) -> Answer:
        loop = asyncio.get_running_loop()
        if isinstance(question, Login):
            return await loop.run_in_executor(self._threads, self._log_in, question)
        return await loop.run_in_executor(self._threads, self._decide, question)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- in a thread ------------------------------------------------------------------------------------

    def _log_in(self, question: Login) -> Answer:
        settings, name = self._settings, question.name
        if question.password is None:
            if settings.other_bind is None:
                return Answer(False)
            with self._bound(settings.other_bind) as directory:
                return self._known(question, self._dn(directory, name), directory)
        try:
            password = question.password.decode()
        except UnicodeDecodeError:
            return Answer(False)
        if not password:
            # A bind without a password is nobody's, and always succeeds.
            return Answer(False)
        user_dn = None
        if settings.lookup_attribute and settings.lookup_bind is not None:
            with self._bound(settings.lookup_bind) as directory:
                user_dn = self._dn(directory, name)
        pattern = settings.user_bind_pattern or settings.user_dn_pattern
        bind = Bind(user_dn or filled_dn(pattern, {"username": name}), password)
        if not bind.dn.strip():
            # Nor is one without a name anybody's, whatever password it has.
            return Answer(False)
        with self._directory() as directory:
            if not directory.bind(bind):
                return Answer(False)
            return self._known(question, user_dn or self._dn(directory, name), directory)

    def _known(self, question: Login, user_dn: str, directory: _Directory) -> Answer:
        """The answer to a login that is good: which tags it has."""
        if len(self._names) >= NAMES_MAX:
            self._names.pop(next(iter(self._names)), None)
        self._names[question.name] = user_dn
        variables = {"username": question.name, "user_dn": user_dn}
        if question.caller.vhost:
            variables["vhost"] = question.caller.vhost
        other = self._settings.other_bind
        if other is None:
            return Answer(True, self._tags_of(variables, directory))
        with self._bound(other) as seen:
            return Answer(True, self._tags_of(variables, seen))

    def _tags_of(self, variables: Variables, directory: _Directory) -> tuple[str, ...]:
        return tuple(tag for tag, query in self._tags.items() if query(variables, directory))

    def _decide(self, question: Entry | Access | TopicAccess) -> Answer:
        variables = {"username": question.person.name, "vhost": question.vhost, **_more(question)}
        with self._directory() as directory:
            looking = _Looking(self, directory, question, variables)
            return Answer(self._queries[type(question)](looking.variables, looking))

    def _dn(self, directory: _Directory, name: str) -> str:
        """The name of a user's entry, by the pattern or by looking for it."""
        settings = self._settings
        found = filled_dn(settings.user_dn_pattern, {"username": name})
        if settings.lookup_attribute:
            value = escape_filter_chars(found)
            names = directory.search(settings.lookup_base, f"({settings.lookup_attribute}={value})", SUBTREE)
            if len(names) == 1:
                return names[0]
        return found

    @contextmanager
    def _directory(self) -> Iterator[_Directory]:
        directory = _Directory(self._servers, self._settings)
        try:
            yield directory
        except LDAPSocketOpenError as error:
            raise BackendError(f"LDAP: {error}", "ldap_connect_error") from None
        except LDAPException as error:
            raise BackendError(f"LDAP: {error}", "ldap_error") from None
        finally:
            directory.close()

    @contextmanager
    def _bound(self, bind: Bind) -> Iterator[_Directory]:
        """The directory as somebody whom the settings name. Raises BackendError if that one is not let in."""
        with self._directory() as directory:
            directory.demand_bind(bind)
            yield directory

    def bind_for(self, directory: _Directory, question: Entry | Access | TopicAccess) -> str:
        """Bind for a question about somebody who is logged in, and return the name of that one's entry."""
        settings, name = self._settings, question.person.name
        user_dn = self._names.get(name)
        if settings.other_bind is not None:
            directory.demand_bind(settings.other_bind)
            return user_dn or self._dn(directory, name)
        try:
            secret = (question.person.secret.value or b"").decode()
        except UnicodeDecodeError:
            # Another backend has taken it; the error would show it.
            secret = ""
        if not secret:
            raise BackendError(f"LDAP: no password of {name!r} to bind with", "not_authenticated")
        pattern = settings.user_bind_pattern or settings.user_dn_pattern
        directory.demand_bind(Bind(user_dn or filled_dn(pattern, {"username": name}), secret))
        return user_dn or self._dn(directory, name)


class _Looking:
    """A directory that is bound to when a query first looks at it, and variables that have `user_dn` then."""

    def __init__(
        self,
        backend: LdapBackend,
        directory: _Directory,
        question: Entry | Access | TopicAccess,
        variables: dict[str, str],
    ) -> None:
        self._bind = partial(backend.bind_for, directory, question)
        self._directory = directory
        self._is_bound = False
        self.variables: Variables = _Lazy(variables, self._user_dn)

    def _user_dn(self) -> str:
        self._is_bound = True
        return self._bind()

    def _seen(self) -> _Directory:
        if not self._is_bound:
            self.variables["user_dn"]
        return self._directory

    def exists(self, dn: str) -> bool:
        return self._seen().exists(dn)

    def has_member(self, dn: str, attribute: str, user_dn: str) -> bool:
        return self._seen().has_member(dn, attribute, user_dn)

    def has_member_nested(self, dn: str, attribute: str, user_dn: str) -> bool:
        return self._seen().has_member_nested(dn, attribute, user_dn)

    def values(self, dn: str, attribute: str) -> list[str]:
        return self._seen().values(dn, attribute)


class _Lazy(dict[str, str]):
    """Variables of which one is found out when it is first used."""

    def __init__(self, known: dict[str, str], find_user_dn: Callable[[], str]) -> None:
        super().__init__(known)
        self._find = find_user_dn

    def __missing__(self, name: str) -> str:
        if name != "user_dn":
            raise KeyError(name)
        self[name] = found = self._find()
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name == "user_dn" else super().get(name, default)


class _Directory:
    """A connection to the first server that accepts one, made when it is first needed."""

    def __init__(self, servers: Sequence[Server], settings: LdapSettings) -> None:
        self._servers = servers
        self._settings = settings
        self._connection: Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.unbind()

    def bind(self, bind: Bind) -> bool:
        """Become somebody; False: the password is wrong, or there is no such entry."""
        connection = self._open(bind)
        if connection.bind():
            return True
        code, description = connection.result["result"], connection.result["description"]
        # invalidCredentials, noSuchObject, invalidDNSyntax, inappropriateAuthentication
        if code in (49, 32, 34, 48):
            return False
        raise BackendError(f"LDAP: bind: {description}", "ldap_error")

    def demand_bind(self, bind: Bind) -> None:
        if not self.bind(bind):
            raise BackendError(f"LDAP: {bind.dn or ANON!r} is not let in", "invalid_credentials")

    def _open(self, bind: Bind) -> Connection:
        self.close()
        settings = self._settings
        for position, server in enumerate(self._servers):
            connection = Connection(
                server,
                user=bind.dn or None,
                password=bind.password or None,
                authentication=SIMPLE if bind.dn else ANONYMOUS,
                receive_timeout=settings.timeout_s,
                read_only=True,
            )
            try:
                connection.open()
                if settings.use_starttls:
                    connection.start_tls()
            except LDAPSocketOpenError:
                if position == len(self._servers) - 1:
                    raise
                continue
            self._connection = connection
            return connection
        raise AssertionError("there is a server")

    # --- what queries look at: see `ldap_queries.Directory` ---------------------------------------------

    def search(self, base: str, wanted: str, scope: str) -> list[str]:
        """The names of entries that fit. Raises BackendError."""
        return [entry["dn"] for entry in self._entries(base, wanted, scope, (NO_ATTRIBUTES,))]

    def _entries(self, base: str, wanted: str, scope: str, attributes: Sequence[str]) -> list[Any]:
        connection = self._connection
        assert connection is not None
        connection.search(base, wanted, scope, attributes=list(attributes))
        code = connection.result["result"]
        if code in (32, 34):
            # noSuchObject, invalidDNSyntax: there is no such entry.
            return []
        if code:
            raise BackendError(f"LDAP: search: {connection.result['description']}", "ldap_error")
        return [entry for entry in connection.response if entry["type"] == "searchResEntry"]

    def exists(self, dn: str) -> bool:
        return bool(self.search(dn, "(objectClass=*)", BASE))

    def has_member(self, dn: str, attribute: str, user_dn: str) -> bool:
        return bool(self.search(dn, f"({attribute}={escape_filter_chars(user_dn)})", BASE))

    def has_member_nested(self, dn: str, attribute: str, user_dn: str) -> bool:
        base = self._settings.group_base or self._settings.lookup_base
        seen: dict[str, None] = {}
        todo = [user_dn]
        while todo and len(seen) < GROUPS_MAX:
            member = todo.pop()
            if self.has_member(dn, attribute, member):
                return True
            for group in self.search(base, f"({attribute}={escape_filter_chars(member)})", SUBTREE):
                if group.lower() not in seen:
                    seen[group.lower()] = None
                    todo.append(group)
        return False

    def values(self, dn: str, attribute: str) -> list[str]:
        entries = self._entries(dn, "(objectClass=*)", BASE, (attribute,))
        found = [value for entry in entries for value in entry["raw_attributes"].get(attribute, ())]
        return [value.decode("utf-8", "replace") for value in found]


def _more(question: Entry | Access | TopicAccess) -> dict[str, str]:
    """What queries may ask about a question beside user and virtual host."""
    if isinstance(question, Entry):
        return {}
    more = {"name": question.name, "permission": question.action}
    if isinstance(question, Access):
        return {**more, "resource": question.kind}
    known = {f"variable_map.{name}": value for name, value in question.variables}
    return {**more, "resource": "topic", "routing_key": question.key, **known}


def _read(option: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except QueryError as error:
        raise StartupError(f"{option}: {error}") from None
