"""One request on its way through the broker: who asks, what is asked, and how it is answered.

A handler (`api/<key>.py`) gets a call and the decoded request. It returns the response, or None: then it has
answered already, or answers later with `reply`, or never with `skip`. Calls of one connection are answered
in the order in which they came, whatever order they are ready in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.outside import Undecided
from pillarbox.protocols.kafka.codec import RequestHeader, encode_response
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.quotas import FETCHED, NS_PER_PERCENT, PRODUCED, REQUESTS
from pillarbox.protocols.kafka.rights import CLUSTER_NAME, REFUSALS
from pillarbox.protocols.kafka.versions import FETCH, PRODUCE, SHARE_FETCH, WRITE_TXN_MARKERS

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.session import Session
    from pillarbox.protocols.kafka.connection import Connection
    from pillarbox.protocols.kafka.head import Head
    from pillarbox.protocols.kafka.rights import Right

CHARGED: Final = {PRODUCE: (PRODUCED, False), FETCH: (FETCHED, True), SHARE_FETCH: (FETCHED, True)}
"""What counts against a quota: which, and whether by the size of the answer or of the request."""
FREE: Final = frozenset((WRITE_TXN_MARKERS,))
"""Keys whose time is limited for nobody: Kafka's are those that brokers ask each other."""


class Call:
    """See the module. `pieces` is the encoded response with its header; None: not answered yet."""

    __slots__ = (
        "answer_size",
        "began_ns",
        "client_id",
        "connection",
        "correlation_id",
        "gone",
        "head",
        "key",
        "pieces",
        "size",
        "version",
        "work_ns",
    )

    def __init__(self, connection: Connection, header: RequestHeader, size: int) -> None:
        self.connection = connection
        self.head: Head = connection.head
        self.key, self.version, self.correlation_id, self.client_id = header
        self.size = size
        """Bytes of the request."""
        self.gone: Callable[[], None] | None = None
        """Called when the connection closes before the answer, so that what waits for long lets go."""
        self.pieces: list[bytes] | None = None
        self.answer_size = 0
        """Bytes of the response that the connection counts as waiting."""
        self.began_ns: int | None = None
        """Since when it is being worked on, if that is measured (K74)."""
        self.work_ns = 0
        """How long it was worked on before."""

    def __repr__(self) -> str:
        return f"<Call key={self.key} version={self.version} id={self.correlation_id}>"

    @property
    def session(self) -> Session:
        """Whose call it is, and in which virtual host its topics are."""
        session = self.connection.session
        assert session is not None, "nobody is served without a session"
        return session

    @property
    def principal(self) -> Principal:
        return self.session.user

    @property
    def client_host(self) -> str:
        """The address of the client, as Kafka's tools show it: Java's way of writing one has a slash."""
        return f"/{self.connection.client_host}"

    @property
    def now_ms(self) -> int:
        return self.head.core.changes.now_ms

    @property
    def is_open(self) -> bool:
        """Whether there is still somebody to answer."""
        return not self.connection.is_closed

    def allows(self, right: Right, name: str = CLUSTER_NAME) -> bool:
        """Has the client this right to the resource of this name?

        Where that is for somebody outside to say, it raises Undecided as long as the request has not had its
        turn; later, what nobody was asked about is not allowed.
        """
        try:
            return self.head.authorizer.allows(self.principal, self.connection.client_host, right, name)
        except Undecided:
            if self.connection.decides:
                raise
            return False

    def allows_any(self, right: Right) -> bool:
        """Has the client this right to a resource of any name?"""
        return self.head.authorizer.allows_any(self.principal, self.connection.client_host, right)

    def demand(self, right: Right, name: str = CLUSTER_NAME) -> None:
        """Raise Refused, with the code for resources of that kind, unless the client has this right."""
        if not self.allows(right, name):
            raise Refused(*REFUSALS[right.resource])

    def reply(self, response: Any) -> None:
        """Answer; for a closed connection without effect."""
        assert self.pieces is None, f"{self!r} is answered twice"
        if self.head.quotas.times_requests and self.began_ns is None:
            self.work_begins()
        self.pieces = encode_response(self.key, self.version, self.correlation_id, response)
        pause_ms = self._pause() if self.head.quotas.limits else 0
        # Some answers have no word for it.
        if pause_ms and pause_ms > getattr(response, "throttle_time_ms", pause_ms):
            response.throttle_time_ms = pause_ms
            self.pieces = encode_response(self.key, self.version, self.correlation_id, response)
        self.answer_size = sum(map(len, self.pieces))
        self.connection.ready(self.answer_size)
        self.connection.answered()

    def work_begins(self) -> None:
        self.began_ns = self.head.steady_ns()

    def work_rests(self) -> None:
        """It waits for something, or is over."""
        if self.began_ns is not None:
            self.work_ns += self.head.steady_ns() - self.began_ns
            self.began_ns = None

    def _pause(self) -> int:
        """Have the client pause, if it has had more than it may (K74); return for how many milliseconds."""
        if self.connection.session is None:
            return 0
        quotas = self.head.quotas
        user, client_id = self.principal.name, self.client_id or ""
        pause_ms = 0
        if self.key in CHARGED:
            what, by_answer = CHARGED[self.key]
            size = sum(map(len, self.pieces or ())) if by_answer else self.size
            pause_ms = quotas.charge(what, user, client_id, size)
        if quotas.times_requests and self.key not in FREE:
            self.work_rests()
            pause_ms = max(pause_ms, quotas.charge(REQUESTS, user, client_id, self.work_ns / NS_PER_PERCENT))
        if pause_ms:
            self.connection.mute(pause_ms)
        return pause_ms

    def reply_when_durable(self, response: Any) -> None:
        """Answer when all that was changed up to now is durable.

        If it can never be, nobody knows what will be left of it, and the connection is closed instead.
        """

        def settled(failure: str | None) -> None:
            if failure is not None:
                self.connection.shut_down(failure)
            elif self.is_open:
                self.reply(response)

        self.head.promises.when_durable(settled)

    def skip(self) -> None:
        """Send no answer, as a producer with acks=0 wants it."""
        self.pieces = []
        if self.head.quotas.limits:
            self._pause()
        self.connection.answered()
