"""What a handler is given and what it may answer. Knows neither starlette nor sockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pillarbox.broker.outside import Undecided
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.local_client import LocalClient
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.management.samples import Sampler
    from pillarbox.ops.management.work import Work

NO_HEADERS: Mapping[str, str] = {}
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
NAME_BYTES_MAX = 255
"""AMQP's short strings: an object with a longer name could be made here and never be used."""
DIGITS_MAX = 18
"""Of a number of 64 bits; Python itself refuses to read one of several thousand."""


class HttpError(Exception):
    """An answer that refuses: the status, and the two words of RabbitMQ's error documents."""

    def __init__(self, status: int, error: str, reason: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(reason)
        self.status = status
        self.document = {"error": error, "reason": reason}
        self.headers = headers


def not_found() -> HttpError:
    """404 for an unknown object."""
    return HttpError(404, "Object Not Found", "Not Found")


def bad_request(reason: str) -> HttpError:
    """400 for what cannot be understood, or goes against a rule."""
    return HttpError(400, "bad_request", reason)


def not_authorised(reason: str) -> HttpError:
    """401 for somebody who may not do this."""
    return HttpError(401, "not_authorised", reason)


def demand_name(text: str, what: str = "a name") -> str:
    """A name or a key that clients of AMQP can say. Raises 400, in RabbitMQ's words."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > NAME_BYTES_MAX:
        raise bad_request(f"{what} should be less than {NAME_BYTES_MAX} bytes, actually was {size}")
    return text


def number_of(text: str) -> int | None:
    """A whole number of a path or a query; None if it is none, or larger than anything that is counted."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX else None


def decode(data: bytes | bytearray) -> Any:
    """What JSON says. Raises msgspec.DecodeError, also for a number that nothing here could keep."""
    found = msgspec.json.decode(data)
    if _LONG_NUMBER.search(data) is not None:
        _demand_64_bits(found)
    return found


def _demand_64_bits(value: Any) -> None:
    values = [value]
    while values:
        one = values.pop()
        if isinstance(one, dict):
            values.extend(one.values())
        elif isinstance(one, list):
            values.extend(one)
        elif isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
            raise msgspec.DecodeError(f"the number {str(one)[:30]} is too large")


def table_of(value: dict[str, Any] | list[Any]) -> dict[str, Any]:
    """An object of a body; an empty list stands for an empty one, as Erlang writes it. Raises 400."""
    if isinstance(value, list):
        if value:
            raise bad_request("a list stands where an object belongs")
        return {}
    return value


class Answer(NamedTuple):
    """An answer with a status of its own.

    `body`: a document; bytes as they are; or a generator of bytes, each step of which takes well below a
    millisecond, sent in slices.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = NO_HEADERS
    content_type: str = "application/json"


CREATED = Answer(201)
NO_CONTENT = Answer(204)


class Request(NamedTuple):
    """One request by a user who may make it. `path` and `query` are decoded; `body` is what the route's
    `body` type made of it (None if it has none)."""

    core: Core
    node: Node
    sampler: Sampler
    begin: Callable[[], None]
    """Starts a turn of the broker, unless one has begun: for handlers that wait for something in between."""
    work: Work
    """For handlers with more to do than fits into a turn."""
    user: Principal
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None

    def client(self, vhost: str) -> LocalClient:
        """A client of AMQP as this user; see `local_client`."""
        from pillarbox.ops.management.local_client import LocalClient

        return LocalClient(self.node.connect, self.begin, self.work.pace, self.user, vhost)

    def flag(self, name: str) -> bool:
        """Is this parameter of the query true?"""
        return self.query.get(name, "") == "true"

    @property
    def now_ms(self) -> int:
        return self.core.changes.now_ms

    # --- what the path names; each raises 404 -----------------------------------------------------------

    @property
    def vhost(self) -> VHost:
        """The virtual host of the path."""
        vhost = self.core.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found()
        return vhost

    @property
    def queue(self) -> Queue:
        """The queue of the path."""
        queue = self.vhost.queues.get(self.path["queue"])
        if queue is None:
            raise not_found()
        return queue

    @property
    def exchange(self) -> Exchange | None:
        """The exchange of the path; None is the default one."""
        return self.exchange_named(self.path["exchange"])

    def exchange_named(self, name: str) -> Exchange | None:
        """An exchange of the virtual host in the path; None is the default one."""
        if name in ("", DEFAULT_EXCHANGE_SHOWN):
            return None
        exchange = self.vhost.exchanges.get(name)
        if exchange is None:
            raise not_found()
        return exchange

    def visible_vhosts(self) -> Iterator[VHost]:
        """The virtual host in the path, if there is one there; else all that this user may look into."""
        if "vhost" in self.path:
            yield self.vhost
            return
        for vhost in self.core.vhosts.values():
            if self.sees(vhost.name):
                yield vhost

    # --- what the user may see ---------------------------------------------------------------------------

    @property
    def monitors(self) -> bool:
        """May the user see everything?"""
        return bool(MONITORS.intersection(self.user.tags))

    def sees_session(self, session: Session) -> bool:
        """May the user see this connection, its channels and consumers: its own, or all?"""
        return self.monitors or session.user.name == self.user.name

    def sees(self, vhost: str) -> bool:
        """May the user see what is in this virtual host? What nobody has been asked about is not seen."""
        try:
            return self.monitors or self.core.users.may_enter(self.user, vhost)
        except Undecided:
            return False


DEFAULT_EXCHANGE_SHOWN = "amq.default"
"""How paths name the exchange whose name is empty."""

MONITORS = frozenset(("administrator", "monitoring"))
"""Tags of users who see all virtual hosts, connections and channels."""

_STATUS: dict[Reason, tuple[int, str]] = {
    Reason.ACCESS_REFUSED: (401, "not_authorised"),
    Reason.NOT_FOUND: (404, "Object Not Found"),
    Reason.RESOURCE_LOCKED: (400, "bad_request"),
    Reason.PRECONDITION_FAILED: (400, "bad_request"),
    Reason.NOT_ALLOWED: (400, "bad_request"),
    Reason.NOT_IMPLEMENTED: (400, "bad_request"),
    Reason.INTERNAL_ERROR: (503, "service_unavailable"),
}


def refusal(error: BrokerError) -> HttpError:
    """The answer for a refusal of the core."""
    status, word = _STATUS[error.reason]
    return HttpError(status, word, error.text)
