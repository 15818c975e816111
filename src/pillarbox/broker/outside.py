"""Logins and permissions that somebody outside decides: what is asked, what was answered, who waits (R8).

The domain cannot wait. Where an answer is missing it raises `Undecided` with the question, before anything
has changed. The head leaves its client's input where it is and says what to do again
(`Outside.when_answered`); whoever asks (`pillarbox.logins`) brings the answer (`answered`), and what had
asked is done again. Everything that an operation was told so far is known while it is done again, whatever
the cache keeps, so each attempt gets one question further. Names that the broker chose for it are chosen
again then, since they were asked about.

A question that several wait for is asked once. What outlives an operation: an answer of a backend with a time
to live (RabbitMQ's cache backend; refusals only if that is wanted, errors never), for all; and what a
principal was allowed, with that principal, since RabbitMQ's channels keep it for as long as they live.

Not here: how anybody is asked, and the order of backends (`auth`). Source: RabbitMQ, "Access Control";
rabbitmq_auth_backend_http, rabbitmq_auth_backend_cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

ANSWERS_MAX = 10_000
"""Answers that are kept for all, about 1 KB each; the oldest goes for one more."""

TOLD_MAX = 256
"""Answers that are kept with a principal. RabbitMQ has twelve for each channel."""

OUTSTANDING_MAX = 2000
"""Questions under way at a time: more are refused unasked, for there is no end of who may want to log in."""

QUESTIONS_MAX = 256
"""Questions of one operation: a publish with many routing keys, a listing of virtual hosts."""


class Caller(NamedTuple):
    """Where somebody logs in from, as far as a backend outside hears of it."""

    host: str = ""
    vhost: str = ""
    """Where that is known before the login."""
    client_id: str = ""


NO_CALLER = Caller()


class Sealed:
    """A secret that goes with a question and is no part of it: two of them are equal, and none is shown."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed)

    def __hash__(self) -> int:
        return 0


class Person(msgspec.Struct, frozen=True):
    """Whom a question is about, after the login."""

    name: str
    tags: tuple[str, ...]
    client_id: str
    secret: Sealed


class Login(msgspec.Struct, frozen=True):
    """Is this the password of somebody of this name (None: is there such a person at all)?"""

    backend: str
    name: str
    password: bytes | None
    caller: Caller

    def __repr__(self) -> str:
        return f"Login({self.backend!r}, {self.name!r})"


class Entry(msgspec.Struct, frozen=True):
    """May somebody open a connection to this virtual host?"""

    backend: str
    person: Person
    vhost: str
    host: str


class Access(msgspec.Struct, frozen=True):
    """May somebody do `action` ("configure", "write", "read") to the `kind` of this name?"""

    backend: str
    person: Person
    vhost: str
    kind: str
    name: str
    action: str


class TopicAccess(msgspec.Struct, frozen=True):
    """May somebody do `action` ("write", "read") with this routing key on a topic exchange?"""

    backend: str
    person: Person
    vhost: str
    name: str
    action: str
    key: str
    variables: tuple[tuple[str, str], ...]


Question = Login | Entry | Access | TopicAccess


class Answer(NamedTuple):
    """`error`: why there is none, in words; then it is no."""

    allowed: bool
    tags: tuple[str, ...] = ()
    error: str = ""


OVERLOADED = Answer(False, error="too many questions are under way")
ENDLESS = Answer(False, error="one operation has too many questions")


class Undecided(Exception):
    """Nobody here knows; see the module. Nothing has changed yet."""

    def __init__(self, question: Question, backend: Backend) -> None:
        super().__init__(repr(question))
        self.question = question
        self.backend = backend


class Backend(NamedTuple):
    """Who is asked to believe somebody, and who afterwards decides what they may do."""

    authn: str
    authz: str
    ttl_ms: int = 0
    """How long answers are kept for all; 0: they are not."""
    keeps_refusals: bool = False


class Waiter:
    """Somebody who waits for an answer, until it is there or he does not want it any more."""

    __slots__ = ("again", "known")

    def __init__(self, again: Callable[[], None], known: dict[Question, Answer]) -> None:
        self.again: Callable[[], None] | None = again
        self.known = known

    def cancel(self) -> None:
        """Do not call back."""
        self.again = None


class Outside:
    """See the module. `send` takes a question to whoever asks; it must be answered, in the end by an error.

    `soon` calls back in a turn to come.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        soon: Callable[[Callable[[], None]], None],
        random: Callable[[int], bytes],
    ) -> None:
        self.send: Callable[[Question], None] | None = None
        self._now_ms = now_ms
        self._soon = soon
        self._digest_key = random(32)
        self._waiting: dict[Question, list[Waiter]] = {}
        self._backend_of: dict[Question, Backend] = {}
        self._kept: dict[Question, tuple[int, Answer]] = {}
        self._known: dict[Question, Answer] = {}
        """What the operation was told that is done again just now."""
        self.names: list[str] = []
        """Names that it chose and asked about, and has not chosen again yet."""

    def __repr__(self) -> str:
        return f"<Outside waiting={len(self._waiting)} kept={len(self._kept)}>"

    def answer(self, question: Question, backend: Backend) -> Answer:
        """The answer, if it is here. Raises Undecided."""
        found = self._known.get(question)
        if found is None and backend.ttl_ms:
            until_ms, found = self._kept.get(self._keyed(question), (0, None))
            if until_ms <= self._now_ms():
                found = None
        if found is None:
            raise Undecided(question, backend)
        return found

    def name_again(self, prefix: str) -> str | None:
        """The name beginning so that the operation chose when it was done before, each one once."""
        for name in self.names:
            if name.startswith(prefix):
                self.names.remove(name)
                return name
        return None

    def when_answered(self, undecided: Undecided, again: Callable[[], None]) -> Waiter:
        """Call `again` when the answer is here: in a turn to come, with all that is known by now."""
        question = undecided.question
        waiter = Waiter(again, dict(self._known))
        waiting = self._waiting.get(question)
        if waiting is not None:
            waiting.append(waiter)
        elif len(waiter.known) >= QUESTIONS_MAX:
            self._soon(lambda: self._tell(waiter, question, ENDLESS))
        elif len(self._waiting) >= OUTSTANDING_MAX or self.send is None:
            self._soon(lambda: self._tell(waiter, question, OVERLOADED))
        else:
            self._waiting[question] = [waiter]
            self._backend_of[question] = undecided.backend
            self.send(question)
        return waiter

    def answered(self, question: Question, answer: Answer) -> None:
        """Keep an answer, if its backend wants that, and have everything done again that waited for it."""
        backend = self._backend_of.pop(question)
        if backend.ttl_ms and not answer.error and (answer.allowed or backend.keeps_refusals):
            key = self._keyed(question)
            self._kept.pop(key, None)
            if len(self._kept) >= ANSWERS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._now_ms() + backend.ttl_ms, answer
        for waiter in self._waiting.pop(question):
            self._tell(waiter, question, answer)

    def _tell(self, waiter: Waiter, question: Question, answer: Answer) -> None:
        again, waiter.again = waiter.again, None
        if again is None:
            return
        known = waiter.known
        known[question] = answer
        self._known = known
        self.names = list(dict.fromkeys(filter(None, map(_chosen, known))))
        try:
            again()
        finally:
            self.over()

    def over(self) -> None:
        """The operation that was done again is over: what comes next is another one, and begins anew.

        For whoever goes on with something else before it returns.
        """
        if self._known:
            self._known, self.names = {}, []

    def _keyed(self, question: Question) -> Question:
        """The question as it is kept: without the password."""
        if not isinstance(question, Login) or question.password is None:
            return question
        digest = hashlib.blake2b(question.password, key=self._digest_key).digest()
        return msgspec.structs.replace(question, password=digest)


def _chosen(question: Question) -> str:
    """The name in a question that the broker may have chosen."""
    if isinstance(question, Login):
        return question.caller.client_id
    return question.name if isinstance(question, Access) else ""


class Vouched:
    """Somebody whom a backend outside has vouched for, or decides about: a principal that is kept nowhere."""

    __slots__ = ("_outside", "_told", "backend", "caller", "name", "person", "tags")

    def __init__(
        self,
        outside: Outside,
        backend: Backend,
        name: str,
        tags: tuple[str, ...],
        caller: Caller,
        secret: bytes | None,
    ) -> None:
        self.name = name
        self.tags = tags
        self.backend = backend
        self.caller = caller
        self.person = Person(name, tags, caller.client_id, Sealed(secret))
        self._outside = outside
        self._told: dict[Question, Answer] = {}

    def __repr__(self) -> str:
        return f"<Vouched {self.name!r} by {self.backend.authz}>"

    def entry(self, vhost: str) -> Answer:
        """May it open a connection to this virtual host? Raises Undecided, as all here do."""
        return self._ask(Entry(self.backend.authz, self.person, vhost, self.caller.host))

    def access(self, vhost: str, action: str, kind: str, name: str) -> Answer:
        """May it do this to the thing of this name?"""
        return self._ask(Access(self.backend.authz, self.person, vhost, kind, name, action))

    def topic_access(
        self, vhost: str, exchange: str, action: str, key: str, variables: dict[str, str]
    ) -> Answer:
        """May it do this with this routing key?"""
        known: dict[str, Any] = {"username": self.name, "vhost": vhost, **variables}
        given = tuple(sorted((name, value) for name, value in known.items() if value))
        question = TopicAccess(self.backend.authz, self.person, vhost, exchange, action, key, given)
        return self._ask(question)

    def _ask(self, question: Question) -> Answer:
        found = self._told.get(question)
        if found is None:
            found = self._outside.answer(question, self.backend)
            if found.allowed:
                self.remember(question, found)
        return found

    def remember(self, question: Question, answer: Answer) -> None:
        """Keep an answer for as long as this principal lives."""
        if len(self._told) >= TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._told[question] = answer
