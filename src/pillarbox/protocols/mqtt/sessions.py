"""Sessions: what a client has subscribed to and what is under way with it, whether it is connected or not.

A session that outlives its connection is kept, with the packet identifiers of QoS 2 whose exchange is not
over, each in the same group as the message it belongs to. Messages wait in the session's queue, which is an
ordinary one. A shared subscription is a queue of its own, for all who share it.

Source: MQTT 5.0, 4.1, 4.8.2, 3.1.2.11.2; row R141. Queues are named as RabbitMQ names them.
"""

from __future__ import annotations

from hashlib import sha256
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.broker.lean import NO_DICT, NO_SET
from pillarbox.protocols.mqtt import topics
from pillarbox.protocols.mqtt.packets import Subscription

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.protocols.mqtt.connection import Connection

FOR_EVER: Final = 0xFFFFFFFF
"""A session expiry that never comes (3.1.2.11.2)."""

GRANTS_MAX: Final = 10_000
"""Topics for which a session remembers which of its filters take them."""

STALE_MAX: Final = 1000
"""Times to look at a session that has come back, or ended, beyond as many as there are sessions: clients that
come and go all the time would leave one each time."""

SHARED_NAME_MAX: Final = 200
"""Characters of a shared queue's name; a longer one is told by its hash."""


def bounded(wanted_s: int, longest_s: int) -> int:
    """How long a session lives without a connection that its client wants to live so long; `longest_s` 0:
    there is no bound."""
    return min(wanted_s, longest_s) if longest_s else wanted_s


class Grant(NamedTuple):
    """How a session gets the messages of one topic."""

    qos: int
    retain_as_published: bool
    identifiers: tuple[int, ...]


class Subscribed(msgspec.Struct, frozen=True, array_like=True):
    """One subscription. `identifier` 0: there is none."""

    options: Subscription
    identifier: int = 0

    @property
    def parsed(self) -> topics.Filter:
        return topics.parse_filter(self.options.filter)

    @property
    def grant(self) -> Grant:
        """How messages come by it alone."""
        options = self.options
        identifiers = (self.identifier,) if self.identifier else ()
        return Grant(options.qos, options.retain_as_published, identifiers)


class Record(msgspec.Struct, array_like=True):
    """What is kept of a session, beside its subscriptions, each of which is kept by itself: a client may have
    thousands. `gone_ms`: since when nobody is connected; 0: somebody is."""

    expiry_s: int
    gone_ms: int
    subscriptions: list[Subscribed] = []
    """They stood here once."""


class ClientSession:
    """See the module."""

    __slots__ = (
        "_core",
        "_grants",
        "_keeps_out_own",
        "_wild",
        "client_id",
        "connection",
        "due_ms",
        "expiry_s",
        "gone_ms",
        "is_kept",
        "received",
        "released",
        "subscriptions",
        "vhost",
    )

    def __init__(self, core: Core, vhost: str, client_id: str, expiry_s: int) -> None:
        self._core = core
        self.vhost = vhost
        self.client_id = client_id
        self.expiry_s = expiry_s
        """How long it lives without a connection; 0: not at all."""
        self.is_kept = expiry_s > 0
        """Is it, and its queue, such that it may outlive a connection? A client may change its mind while
        it is connected; it is kept all the same until the connection ends."""
        self.gone_ms = 0
        self.due_ms = 0
        """When it is over, if its client does not come back until then; 0: never."""
        self.connection: Connection | None = None
        self.subscriptions: dict[str, Subscribed] = NO_DICT
        self.received: set[int] = NO_SET
        """Identifiers of messages of QoS 2 that have come and may come again."""
        self.released: dict[int, None] = NO_DICT
        """Identifiers of messages of QoS 2 that the client has, as it says, and may still remember."""
        self._grants: dict[tuple[str, bool], Grant | None] = NO_DICT
        # What follows from the subscriptions; None: it is to be worked out.
        self._wild: list[Subscribed] | None = None
        self._keeps_out_own: bool | None = None

    def __repr__(self) -> str:
        return f"<ClientSession {self.client_id!r} subscriptions={len(self.subscriptions)}>"

    @property
    def queue_name(self) -> str:
        """Of the queue in which its messages wait."""
        return f"mqtt-subscription-{self.client_id}qos{int(self.is_kept)}"

    @property
    def queue_names(self) -> set[str]:
        """Of all queues that its subscriptions fill."""
        shared = [one for raw, one in self.subscriptions.items() if raw.startswith(topics.SHARED)]
        names = {shared_queue_name(one.parsed) for one in shared}
        return names if len(shared) == len(self.subscriptions) else names | {self.queue_name}

    @property
    def keeps_out_own(self) -> bool:
        """Is there a subscription that wants nothing of what the client itself publishes?"""
        if self._keeps_out_own is None:
            self._keeps_out_own = any(one.options.no_local for one in self.subscriptions.values())
        return self._keeps_out_own

    # --- subscriptions -------------------------------------------------------------------------------

    def grant(self, topic: str, *, own: bool = False) -> Grant | None:
        """How messages of this topic come, by all subscriptions that take it; None: not at all.

        `own`: the client has published it itself. Cost: a step for each filter with wildcards, once for each
        topic.
        """
        key = (topic, own)
        if key in self._grants:
            return self._grants[key]
        if self._wild is None:
            self._wild = [
                one
                for raw, one in self.subscriptions.items()
                if ("+" in raw or "#" in raw) and not raw.startswith(topics.SHARED)
            ]
        found = [one for one in self._wild if topics.matches(one.options.filter, topic)]
        exact = None if topic.startswith(topics.SHARED) else self.subscriptions.get(topic)
        if exact is not None:
            found.append(exact)
        grants = [one.grant for one in found if not (own and one.options.no_local)]
        grant = None
        if grants:
            grant = Grant(
                max(one.qos for one in grants),
                any(one.retain_as_published for one in grants),
                tuple(number for one in grants for number in one.identifiers),
            )
        if len(self._grants) >= GRANTS_MAX or self._grants is NO_DICT:
            self._grants = {}
        self._grants[key] = grant
        return grant

    def subscribe(self, subscribed: Subscribed) -> bool:
        """Note a subscription, in place of the one with the same filter; return whether there was none."""
        is_new = subscribed.options.filter not in self.subscriptions
        self.note(subscribed)
        if self.is_kept:
            self._keep(subscribed)
        return is_new

    def note(self, subscribed: Subscribed) -> None:
        """Have a subscription that is kept already."""
        if self.subscriptions is NO_DICT:
            self.subscriptions = {}
        self.subscriptions[subscribed.options.filter] = subscribed
        self._changed()

    def unsubscribe(self, raw: str) -> None:
        """Forget a subscription, which there is."""
        del self.subscriptions[raw]
        self._core.keep(self._key_of("subscription", raw), None)
        self._changed()

    def _changed(self) -> None:
        self._grants, self._wild, self._keeps_out_own = NO_DICT, None, None

    def _keep(self, subscribed: Subscribed) -> None:
        key = self._key_of("subscription", subscribed.options.filter)
        self._core.keep(key, msgspec.msgpack.encode(subscribed))

    def _key_of(self, what: str, *which: str) -> str:
        return key_of("mqtt", what, self.vhost, self.client_id, *which)

    # --- what is kept --------------------------------------------------------------------------------

    def save(self) -> None:
        """Keep it as it is now, if it is kept at all."""
        if self.is_kept:
            record = Record(self.expiry_s, self.gone_ms)
            self._core.keep(self._key_of("session"), msgspec.msgpack.encode(record))

    def restore(self, record: Record) -> None:
        """Have the subscriptions that stood in the record, and keep each by itself from now on."""
        for subscribed in record.subscriptions:
            self.note(subscribed)
            self._keep(subscribed)
        if record.subscriptions:
            self.save()

    def forget(self) -> None:
        """Keep nothing of it any more."""
        self._core.keep(self._key_of("session"), None)
        for raw in self.subscriptions if self.is_kept else ():
            self._core.keep(self._key_of("subscription", raw), None)
        for packet_id in list(self.received):
            self.drop_received(packet_id)
        for packet_id in list(self.released):
            self.drop_released(packet_id)

    def add_received(self, packet_id: int, *, is_kept: bool = False) -> None:
        """Note a message of QoS 2 that has come. `is_kept`: that is known from before a restart."""
        if self.received is NO_SET:
            self.received = set()
        self.received.add(packet_id)
        if self.is_kept and not is_kept:
            self._core.keep(key_of("mqtt", "received", self.vhost, self.client_id, packet_id), b"")

    def drop_received(self, packet_id: int) -> None:
        if self.received:
            self.received.discard(packet_id)
        self._forget_exchange("received", packet_id)

    def add_released(self, packet_id: int, *, is_kept: bool = False) -> None:
        """Note that the client has a message of QoS 2. `is_kept`: as in `add_received`."""
        if self.released is NO_DICT:
            self.released = {}
        self.released[packet_id] = None
        if self.is_kept and not is_kept:
            self._core.keep(key_of("mqtt", "released", self.vhost, self.client_id, packet_id), b"")

    def drop_released(self, packet_id: int) -> None:
        self.released.pop(packet_id, None)
        self._forget_exchange("released", packet_id)

    def _forget_exchange(self, what: str, packet_id: int) -> None:
        self._core.keep(key_of("mqtt", what, self.vhost, self.client_id, packet_id), None)


def shared_queue_name(shared: topics.Filter) -> str:
    """Of the queue whose messages a group shares."""
    name = f"mqtt-shared-{shared.group}/{shared.pattern}"
    if len(name) <= SHARED_NAME_MAX:
        return name
    return f"mqtt-shared-{sha256(name.encode()).hexdigest()}"


class Sessions:
    """All sessions of a broker, by virtual host and client identifier.

    `longest_s`: how long those that were kept before a restart may live from then on; 0: as they wanted to.
    """

    def __init__(self, core: Core, longest_s: int = 0) -> None:
        self._core = core
        self._longest_s = longest_s
        self.by_client: dict[tuple[str, str], ClientSession] = {}
        self.connected: int = 0
        """How many of them have a connection."""
        self.expired: int = 0
        """How many have ended because nobody came back in time."""
        self._sharers: dict[tuple[str, str], int] = {}
        """How many sessions have each shared subscription, by virtual host and filter."""
        self._due: list[tuple[int, int, ClientSession]] = []
        """A heap: when to look at sessions that nobody is connected to. Some have come back since."""
        self._order = count()
        self._load()

    def __repr__(self) -> str:
        return f"<Sessions count={len(self.by_client)}>"

    def _load(self) -> None:
        now_ms = self._core.changes.now_ms
        noted = {key for key, _ in self._core.kept('["mqtt","shared",')}
        left = set(noted)
        for key, value in list(self._core.kept('["mqtt","session",')):
            _, _, vhost, client_id = msgspec.json.decode(key, type=list[str])
            record = msgspec.msgpack.decode(value, type=Record)
            expiry_s = bounded(record.expiry_s, self._longest_s)
            session = self._add(ClientSession(self._core, vhost, client_id, expiry_s))
            # Who was connected when the broker ended is gone since it is back.
            session.gone_ms = record.gone_ms or now_ms
            session.restore(record)
            self._watch(session)
        for key, value in list(self._core.kept('["mqtt","subscription",')):
            _, _, vhost, client_id, raw = msgspec.json.decode(key, type=list[str])
            found = self.by_client.get((vhost, client_id))
            if found is None:
                self._core.keep(key, None)
                continue
            found.note(msgspec.msgpack.decode(value, type=Subscribed))
            if raw.startswith(topics.SHARED):
                shared = key_of("mqtt", "shared", vhost, raw)
                self.join_shared(vhost, raw, is_kept=shared in noted)
                left.discard(shared)
        for what in ("received", "released"):
            for key, _ in list(self._core.kept(f'["mqtt","{what}",')):
                _, _, vhost, client_id, packet_id = msgspec.json.decode(
                    key, type=tuple[str, str, str, str, int]
                )
                found = self.by_client.get((vhost, client_id))
                if found is None:
                    self._core.keep(key, None)
                elif what == "received":
                    found.add_received(packet_id, is_kept=True)
                else:
                    found.add_released(packet_id, is_kept=True)
        for key in left:
            # Only clients had it whose sessions a crash has ended.
            _, _, vhost, raw = msgspec.json.decode(key, type=list[str])
            self._core.keep(key, None)
            self._remove_queue(vhost, shared_queue_name(topics.parse_filter(raw)))

    def _add(self, session: ClientSession) -> ClientSession:
        self.by_client[session.vhost, session.client_id] = session
        return session

    def find(self, vhost: str, client_id: str) -> ClientSession | None:
        """The session of this client, if there is one whose time has not gone by."""
        session = self.by_client.get((vhost, client_id))
        if session is not None and self._is_over(session, self._core.changes.now_ms):
            self.expired += 1
            self.end(session)
            return None
        return session

    def of_vhost(self, vhost: str) -> list[ClientSession]:
        """All of a virtual host."""
        return [session for session in self.by_client.values() if session.vhost == vhost]

    def begin(self, vhost: str, client_id: str, expiry_s: int) -> ClientSession:
        """A new one."""
        session = self._add(ClientSession(self._core, vhost, client_id, expiry_s))
        session.save()
        return session

    def is_whole(self, session: ClientSession) -> bool:
        """Are all its queues there? Else messages are lost to it: an operator has deleted one, or it has
        expired."""
        host = self._core.vhosts.get(session.vhost)
        return host is not None and session.queue_names <= host.queues.keys()

    @property
    def subscriptions(self) -> int:
        """How many there are. Cost: a step for each session."""
        return sum([len(one.subscriptions) for one in self.by_client.values()])

    @property
    def shared_subscriptions(self) -> int:
        """How many of these are shared."""
        return sum(self._sharers.values())

    def enter(self, session: ClientSession, connection: Connection) -> None:
        """Its client is connected."""
        session.connection = connection
        session.due_ms = 0
        self.connected += 1

    def leave(self, session: ClientSession) -> None:
        """Its client is not connected any more."""
        session.connection = None
        self.connected -= 1
        if not session.expiry_s:
            self.end(session)
            return
        session.gone_ms = self._core.changes.now_ms
        session.save()
        self._watch(session)

    def set_expiry(self, session: ClientSession, expiry_s: int) -> None:
        """Let a session live so long without a connection from now on; somebody is connected."""
        session.expiry_s = expiry_s
        session.gone_ms = 0
        session.save()

    def end(self, session: ClientSession) -> None:
        """Forget a session, its queue, and what it alone has shared."""
        session.due_ms = 0
        self.by_client.pop((session.vhost, session.client_id), None)
        session.forget()
        self._remove_queue(session.vhost, session.queue_name)
        for raw, one in session.subscriptions.items():
            if raw.startswith(topics.SHARED):
                self.leave_shared(session.vhost, one.parsed)

    def join_shared(self, vhost: str, raw: str, *, is_kept: bool = False) -> None:
        """Another session has a shared subscription. That somebody has it is noted, or a crash would leave a
        queue behind that is nobody's and is filled for ever. `is_kept`: that is known from before."""
        sharers = self._sharers.get((vhost, raw), 0)
        self._sharers[vhost, raw] = sharers + 1
        if not (sharers or is_kept):
            self._core.keep(key_of("mqtt", "shared", vhost, raw), b"")

    def leave_shared(self, vhost: str, shared: topics.Filter) -> None:
        """A session has it no more: delete the queue of a shared subscription that nobody has any more."""
        if not shared.group:
            return
        key = (vhost, f"{topics.SHARED}{shared.group}/{shared.pattern}")
        left = self._sharers.pop(key) - 1
        if left:
            self._sharers[key] = left
        else:
            self._core.keep(key_of("mqtt", "shared", *key), None)
            self._remove_queue(vhost, shared_queue_name(shared))

    def _remove_queue(self, vhost: str, name: str) -> None:
        host = self._core.vhosts.get(vhost)
        queue = None if host is None else host.queues.get(name)
        if host is not None and queue is not None:
            host.remove_queue(queue)

    # --- time --------------------------------------------------------------------------------------------

    def _is_over(self, session: ClientSession, now_ms: int) -> bool:
        return (
            session.connection is None
            and session.expiry_s != FOR_EVER
            and now_ms >= session.gone_ms + session.expiry_s * 1000
        )

    def _watch(self, session: ClientSession) -> None:
        if session.expiry_s == FOR_EVER:
            return
        session.due_ms = due_ms = session.gone_ms + session.expiry_s * 1000
        if len(self._due) > 2 * len(self.by_client) + STALE_MAX:
            waiting = [one for one in self.by_client.values() if one.due_ms and one is not session]
            self._due = [(one.due_ms, next(self._order), one) for one in waiting]
            heapify(self._due)
        heappush(self._due, (due_ms, next(self._order), session))
        if self._due[0][0] == due_ms:
            self._core.scheduler.at(due_ms, self)

    def on_timer(self, now_ms: int) -> None:
        """End the sessions whose time has gone by."""
        due = self._due
        while due and due[0][0] <= now_ms:
            due_ms, _, session = heappop(due)
            if session.due_ms == due_ms and self._is_over(session, now_ms):
                self.expired += 1
                self.end(session)
        if due:
            self._core.scheduler.at(due[0][0], self)
