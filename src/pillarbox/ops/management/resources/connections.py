"""Connections: /connections and what is below, and /vhosts/{vhost}/connections (R114)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import (
    ABSENT,
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    Document,
    Field,
    Level,
    nullable,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import bad_request, not_authorised, not_found
from pillarbox.ops.management.resources.channels import CHANNEL, channels_of
from pillarbox.ops.management.resources.parts import GARBAGE_COLLECTION, NO_ERLANG_PROCESS
from pillarbox.ops.management.routes import (
    COLUMNS,
    LISTING,
    MANAGEMENT,
    SAMPLES,
    SEES,
    STATS,
    Many,
    Parameter,
    Route,
)

if TYPE_CHECKING:
    from pillarbox.broker.client import Client, ClientFacts, Tls
    from pillarbox.broker.session import Session
    from pillarbox.ops.management.request import Request

REASON_HEADER = "x-reason"
CLOSED = "Closed via management plugin"
"""What clients are told when nobody has given a reason; in RabbitMQ's words."""
CLOSER = "administrator"
"""The tag of users who close other users' connections. Whoever monitors sees them, and closes its own."""
NOT_YOURS = "User not authorised to access object"


class Shown(NamedTuple):
    """A connection that has been opened to the end, and what does not change of it."""

    session: Session
    client: Client
    facts: ClientFacts


def _fact(name: str) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: getattr(shown.facts, name)


def _counter(name: str) -> Callable[[Shown, Request], int]:
    return lambda shown, request: getattr(shown.client.traffic, name)


def _rate(measure: stats.Measure) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: stats.details(measure, (shown.client.traffic,), stats.DATA, request)


def _user_provided_name(shown: Shown, request: Request) -> Any:
    return shown.facts.properties.get("connection_name", ABSENT)


def _tls(get: Callable[[Tls], str]) -> Callable[[Shown, Request], str | None]:
    def show_it(shown: Shown, request: Request) -> str | None:
        return None if shown.facts.tls is None else get(shown.facts.tls) or None

    return show_it


# fmt: off
CONNECTION = Document(
    "Connection",
    Field("name", STRING, _fact("name")),
    Field("vhost", STRING, lambda s, r: s.session.vhost.name),
    Field("user", STRING, lambda s, r: s.session.user.name),
    Field("user_who_performed_action", STRING, lambda s, r: s.session.user.name),
    Field("user_provided_name", STRING, _user_provided_name),
    Field("node", STRING, lambda s, r: r.node.name),
    Field("protocol", STRING, _fact("protocol")),
    Field("type", STRING, lambda s, r: "network"),
    Field("state", STRING, lambda s, r: s.client.flow_state),
    Field("channels", INTEGER, lambda s, r: len(s.session.channels)),
    Field("connected_at", INTEGER, _fact("connected_ms")),
    Field("client_properties", OBJECT, _fact("properties")),
    Field("auth_mechanism", STRING, _fact("auth_mechanism")),
    Field("channel_max", INTEGER, _fact("channel_max")),
    Field("frame_max", INTEGER, _fact("frame_max")),
    Field("timeout", INTEGER, _fact("timeout_s")),
    Field("host", STRING, _fact("host")),
    Field("port", INTEGER, _fact("port")),
    Field("peer_host", STRING, _fact("peer_host")),
    Field("peer_port", INTEGER, _fact("peer_port")),
    Field("ssl", BOOLEAN, lambda s, r: s.facts.tls is not None),
    Field("ssl_protocol", nullable(STRING), _tls(lambda tls: tls.version)),
    Field("ssl_key_exchange", nullable(STRING), _tls(lambda tls: tls.suite[0])),
    Field("ssl_cipher", nullable(STRING), _tls(lambda tls: tls.suite[1])),
    Field("ssl_hash", nullable(STRING), _tls(lambda tls: tls.suite[2])),
    Field("peer_cert_subject", nullable(STRING), _tls(lambda tls: tls.peer_subject)),
    Field("peer_cert_issuer", nullable(STRING), _tls(lambda tls: tls.peer_issuer)),
    Field("peer_cert_validity", nullable(STRING), _tls(lambda tls: tls.peer_validity)),
    Field("recv_oct", INTEGER, _counter("recv_oct"), Level.STATS),
    Field("recv_oct_details", stats.DETAILS, _rate(stats.BYTES[0]), Level.STATS),
    Field("recv_cnt", INTEGER, _counter("recv_cnt"), Level.STATS),
    Field("send_oct", INTEGER, _counter("send_oct"), Level.STATS),
    Field("send_oct_details", stats.DETAILS, _rate(stats.BYTES[1]), Level.STATS),
    Field("send_cnt", INTEGER, _counter("send_cnt"), Level.STATS),
    Field("send_pend", INTEGER, lambda s, r: s.client.unsent_bytes(), Level.STATS),
    Field("garbage_collection", GARBAGE_COLLECTION, lambda s, r: NO_ERLANG_PROCESS, Level.STATS),
    Field("reductions", INTEGER, lambda s, r: 0, Level.STATS),
    Field("reductions_details", stats.DETAILS, lambda s, r: stats.no_rate(r), Level.STATS),
)
TRACKED = Document(
    "TrackedConnection",
    Field("name", STRING, _fact("name")),
    Field("node", STRING, lambda s, r: r.node.name),
    Field("user", STRING, lambda s, r: s.session.user.name),
    Field("vhost", STRING, lambda s, r: s.session.vhost.name),
)
"""What /connections/username/{user} shows."""
SESSION = Document("Session", Field("channel_number", INTEGER, lambda s, r: s.channel_number))
"""What /connections/{connection}/sessions would show: there is no AMQP 1.0 yet."""
# fmt: on


def _all(request: Request) -> Iterator[Shown]:
    """Those in the virtual host of the path, if it names one, as far as the user may see them."""
    vhost = request.vhost if "vhost" in request.path else None
    for session in list(request.core.sessions):
        if vhost is not None and session.vhost is not vhost:
            continue
        if session.head is not None and request.sees_session(session):
            yield Shown(session, session.head, session.head.client_facts())


def connections(request: Request) -> Listing:
    return Listing(_all(request), CONNECTION, lambda shown: shown.facts.name)


def connections_of_user(request: Request) -> Listing:
    name = request.path["user"]
    return Listing((one for one in _all(request) if one.session.user.name == name), TRACKED)


def find(request: Request) -> Shown:
    """The connection that the path names. Raises 404, and 401 if it is another user's."""
    for session in request.core.sessions:
        if session.head is not None:
            facts = session.head.client_facts()
            if facts.name == request.path["connection"]:
                if not request.sees_session(session):
                    raise not_authorised(NOT_YOURS)
                return Shown(session, session.head, facts)
    raise not_found()


def connection(request: Request) -> Iterator[bytes]:
    # RabbitMQ has null for what is not known in lists, and an empty text here.
    return show(find(request), CONNECTION, request, unknown="")


def channels(request: Request) -> Listing:
    return Listing(channels_of(find(request).session), CHANNEL)


def sessions(request: Request) -> Listing:
    """Sessions are AMQP 1.0's. Source: RabbitMQ 4.1, which refuses other connections."""
    find(request)
    raise bad_request("connection does not use AMQP 1.0")


def _demand_own(request: Request, user: str) -> None:
    """Raise 401 for whoever may only see this user's connections: to close them takes an administrator."""
    if request.user.name != user and CLOSER not in request.user.tags:
        raise not_authorised(NOT_YOURS)


def close(request: Request) -> None:
    found = find(request)
    _demand_own(request, found.session.user.name)
    found.client.shut_down(request.headers.get(REASON_HEADER) or CLOSED)


def close_all_of_user(request: Request) -> None:
    user = request.path["user"]
    _demand_own(request, user)
    reason = request.headers.get(REASON_HEADER) or CLOSED
    for shown in list(_all(request)):
        if shown.session.user.name == user:
            shown.client.shut_down(reason)


_LISTED = (*LISTING, *STATS, *SAMPLES)
_REASON = Parameter("X-Reason", STRING, "What the client is told.", where="header")
ROUTES = (
    Route(
        "GET",
        "/connections",
        connections,
        MANAGEMENT,
        "All connections that the user may see: its own, or all.",
        Many(CONNECTION),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/vhosts/{vhost}/connections",
        connections,
        SEES,
        "The connections to a virtual host.",
        Many(CONNECTION),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/connections/username/{user}",
        connections_of_user,
        MANAGEMENT,
        "The connections of a user.",
        Many(TRACKED),
        parameters=LISTING,
    ),
    Route(
        "DELETE",
        "/connections/username/{user}",
        close_all_of_user,
        MANAGEMENT,
        "Close all connections of a user: one's own, or as an administrator.",
        parameters=(_REASON,),
    ),
    Route(
        "GET",
        "/connections/{connection}",
        connection,
        MANAGEMENT,
        "A connection.",
        CONNECTION,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route(
        "DELETE",
        "/connections/{connection}",
        close,
        MANAGEMENT,
        "Close a connection: one's own, or as an administrator.",
        parameters=(_REASON,),
    ),
    Route(
        "GET",
        "/connections/{connection}/channels",
        channels,
        MANAGEMENT,
        "The channels of a connection.",
        Many(CHANNEL),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/connections/{connection}/sessions",
        sessions,
        MANAGEMENT,
        "The sessions of an AMQP 1.0 connection; 400 for any other.",
        Many(SESSION),
    ),
)
