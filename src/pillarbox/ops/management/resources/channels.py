"""Channels: /channels and what is below, and /vhosts/{vhost}/channels (R114)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.clock import iso_time
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import (
    ABSENT,
    ANY,
    BOOLEAN,
    INTEGER,
    STRING,
    Absent,
    Document,
    Field,
    Level,
    array,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import not_authorised, not_found
from pillarbox.ops.management.resources.parts import (
    CONNECTION_DETAILS,
    CONSUMER,
    GARBAGE_COLLECTION,
    NO_ERLANG_PROCESS,
    channel_name,
    connection_details,
    consumer_document,
)
from pillarbox.ops.management.routes import (
    COLUMNS,
    LISTING,
    MANAGEMENT,
    SAMPLES,
    SEES,
    STATS,
    Many,
    Route,
)

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientChannel, ClientFacts
    from pillarbox.broker.session import Session
    from pillarbox.ops.management.request import Request


class Shown(NamedTuple):
    """A channel, whose it is, and what does not change of its connection."""

    channel: ClientChannel
    session: Session
    facts: ClientFacts


def _message_stats(shown: Shown, request: Request) -> Any:
    counters = shown.channel.counters
    return stats.message_stats(stats.OF_CHANNEL, stats.values_of(counters), (counters,), request)


def _unconfirmed(shown: Shown, request: Request) -> int:
    publisher, counters = shown.channel.publisher, shown.channel.counters
    if publisher is None:
        return 0
    return max(0, publisher.published - counters.confirm)


def _idle_since(shown: Shown, request: Request) -> str | Absent:
    """When the last sample was taken that showed it at work, if that was not the last of all."""
    series = shown.channel.counters.samples
    since_ms = shown.facts.connected_ms if series is None else series.newest_ms
    return iso_time(since_ms) if since_ms < request.sampler.last_ms else ABSENT


def _global_prefetch(shown: Shown, request: Request) -> int:
    pool = shown.channel.pool
    return pool.limit if pool.is_limited else 0


def _consumers(shown: Shown, request: Request) -> list[Any]:
    vhost = shown.session.vhost.name
    return [consumer_document(one, vhost, request) for one in shown.channel.consumers.values()]


# fmt: off
CHANNEL = Document(
    "Channel",
    Field("name", STRING, lambda s, r: channel_name(s.facts, s.channel)),
    Field("number", INTEGER, lambda s, r: s.channel.number),
    Field("vhost", STRING, lambda s, r: s.session.vhost.name),
    Field("user", STRING, lambda s, r: s.session.user.name),
    Field("user_who_performed_action", STRING, lambda s, r: s.session.user.name),
    Field("node", STRING, lambda s, r: r.node.name),
    Field("connection_details", CONNECTION_DETAILS, lambda s, r: connection_details(s.facts)),
    Field("state", STRING, lambda s, r: "running"),
    Field("confirm", BOOLEAN, lambda s, r: s.channel.publisher is not None),
    Field("transactional", BOOLEAN, lambda s, r: s.channel.transactional),
    Field("prefetch_count", INTEGER, lambda s, r: s.channel.prefetch),
    Field("global_prefetch_count", INTEGER, _global_prefetch),
    Field("consumer_count", INTEGER, lambda s, r: len(s.channel.consumers)),
    Field("messages_unacknowledged", INTEGER, lambda s, r: s.channel.ledger.count, Level.STATS),
    Field("messages_unconfirmed", INTEGER, _unconfirmed, Level.STATS),
    Field("messages_uncommitted", INTEGER, lambda s, r: s.channel.messages_uncommitted, Level.STATS),
    Field("acks_uncommitted", INTEGER, lambda s, r: s.channel.acks_uncommitted, Level.STATS),
    Field("pending_raft_commands", INTEGER, lambda s, r: 0, Level.STATS),
    Field("message_stats", stats.schema_of(*stats.OF_CHANNEL), _message_stats, Level.STATS),
    Field("idle_since", STRING, _idle_since, Level.STATS),
    Field("garbage_collection", GARBAGE_COLLECTION, lambda s, r: NO_ERLANG_PROCESS, Level.STATS),
    Field("reductions", INTEGER, lambda s, r: 0, Level.STATS),
    Field("reductions_details", stats.DETAILS, lambda s, r: stats.no_rate(r), Level.STATS),
    Field("consumer_details", array(CONSUMER), _consumers, Level.DETAIL),
    Field("deliveries", array(ANY), lambda s, r: [], Level.DETAIL),
    Field("publishes", array(ANY), lambda s, r: [], Level.DETAIL),
)
# fmt: on


def channels_of(session: Session) -> Iterator[Shown]:
    if session.head is not None:
        facts = session.head.client_facts()
        for channel in list(session.channels):
            yield Shown(channel, session, facts)


def _all(request: Request) -> Iterator[Shown]:
    vhost = request.vhost if "vhost" in request.path else None
    for session in list(request.core.sessions):
        if (vhost is None or session.vhost is vhost) and request.sees_session(session):
            yield from channels_of(session)


def channels(request: Request) -> Listing:
    return Listing(_all(request), CHANNEL, lambda shown: (shown.facts.name, shown.channel.number))


def channel(request: Request) -> Iterator[bytes]:
    name = request.path["channel"]
    for session in request.core.sessions:
        if session.head is None or not name.startswith(session.head.client_facts().name):
            continue
        for shown in channels_of(session):
            if channel_name(shown.facts, shown.channel) == name:
                if not request.sees_session(session):
                    raise not_authorised("User not authorised to access object")
                return show(shown, CHANNEL, request)
    raise not_found()


_LISTED = (*LISTING, *STATS, *SAMPLES)
ROUTES = (
    Route(
        "GET",
        "/channels",
        channels,
        MANAGEMENT,
        "All channels that the user may see: its own, or all.",
        Many(CHANNEL),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/vhosts/{vhost}/channels",
        channels,
        SEES,
        "The channels in a virtual host.",
        Many(CHANNEL),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/channels/{channel}",
        channel,
        MANAGEMENT,
        "A channel, by its name.",
        CHANNEL,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
)
