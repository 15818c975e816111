"""Asks an HTTP service, in the protocol of rabbitmq_auth_backend_http (R8).

A question is a form for one of four addresses: user, vhost, resource, topic. The answer is `allow` (for a
user with its tags behind) or `deny`, in any case of letters, with 200 or 201; anything else is an error.

Source: rabbitmq_auth_backend_http; names and order of the parameters recorded from 3.10.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode, urlsplit

from pillarbox.broker.outside import Access, Answer, Entry, Login, Person, Question, TopicAccess
from pillarbox.logins.asker import BackendError
from pillarbox.logins.http_client import HttpClient, HttpClientError

ALLOW, DENY = "allow", "deny"
SHOWN = 200
"""Characters of an answer that the log shows."""

Field = tuple[str, str | bytes]


class HttpBackend:
    """See the module. `paths`: the address of each kind of question, by its name."""

    def __init__(
        self, client: HttpClient, paths: Mapping[str, str], *, method: str, timeout_s: float
    ) -> None:
        self._client = client
        self._paths = paths
        self._method = method.upper()
        self.timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"<HttpBackend {self._method} {shown(self._paths['user'])}>"

    async def answer(self, question: Question) -> Answer:
        kind = KINDS[type(question)]
        url = self._paths[kind]
        where = shown(url)
        try:
            status, body = await self._client.send(self._method, url, form_of(question))
        except HttpClientError as error:
            raise BackendError(f"{where}: the answer cannot be read: {error}", "bad_response") from None
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise BackendError(f"{where}: it takes too long", "timeout") from None
            raise BackendError(f"{where}: {error.strerror or error}", "failed_connect") from None
        text = body.decode("utf-8", "replace").strip()
        if status not in (200, 201):
            raise BackendError(f"{where}: status {status}: {text[:SHOWN]!r}", f"{{{status}}}")
        word, *tags = text.lower().split() or [""]
        if word == DENY and not tags:
            return Answer(False)
        if word == ALLOW and (not tags or kind == "user"):
            return Answer(True, tuple(dict.fromkeys(tags)))
        raise BackendError(f"{where}: neither allow nor deny: {text[:SHOWN]!r}", "bad_response")

    async def close(self) -> None:
        self._client.close()


def shown(url: str) -> str:
    """An address as the log has it: by whom it is asked, and with what password, is none of its readers'."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


KINDS: Mapping[type, str] = {Login: "user", Entry: "vhost", Access: "resource", TopicAccess: "topic"}


def form_of(question: Question) -> str:
    """The question as a form."""
    return urlencode(list(FIELDS[type(question)](question)))  # type: ignore[operator]


def _login(question: Login) -> Iterator[Field]:
    yield "username", question.name
    if question.password is not None:
        yield "password", question.password
    for name in ("vhost", "client_id"):
        if value := getattr(question.caller, name):
            yield name, value


def _entry(question: Entry) -> Iterator[Field]:
    person = question.person
    yield from (("username", person.name), ("vhost", question.vhost), ("ip", question.host))
    yield from _rest(person)


def _access(question: Access) -> Iterator[Field]:
    yield from (("username", question.person.name), ("vhost", question.vhost))
    yield from (("resource", question.kind), ("name", question.name), ("permission", question.action))
    yield from _rest(question.person)


def _topic(question: TopicAccess) -> Iterator[Field]:
    person = question.person
    yield from (("username", person.name), ("vhost", question.vhost))
    yield from (("resource", "topic"), ("name", question.name), ("permission", question.action))
    yield from (("tags", " ".join(person.tags)), ("routing_key", question.key))
    for name, value in question.variables:
        yield f"variable_map.{name}", value


def _rest(person: Person) -> Iterator[Field]:
    yield "tags", " ".join(person.tags)
    if person.client_id:
        yield "client_id", person.client_id


FIELDS = {Login: _login, Entry: _entry, Access: _access, TopicAccess: _topic}
